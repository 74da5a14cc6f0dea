// RUN: attune-opt %s -split-input-file -verify-diagnostics
// One case per rule of norm, scan, dft, kernel and yield.

func.func @norm_integers(%x: tensor<2x4xi32>) {
  // expected-error @below {{operands and results must have float elements}}
  %y = attune.norm ins(%x : tensor<2x4xi32>) {axis = 1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<layer>} -> tensor<2x4xi32>
  return
}

// -----

func.func @norm_axis(%x: tensor<2x4xf32>) {
  // expected-error @below {{axis must be in [0, 2), found -1}}
  %y = attune.norm ins(%x : tensor<2x4xf32>) {axis = -1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<layer>} -> tensor<2x4xf32>
  return
}

// -----

func.func @norm_result(%x: tensor<2x4xf32>) {
  // expected-error @below {{input and result must have the same shape}}
  %y = attune.norm ins(%x : tensor<2x4xf32>) {axis = 1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<rms>} -> tensor<2x5xf32>
  return
}

// -----

func.func @norm_scale(%x: tensor<2x4xf32>, %s: tensor<3xf32>) {
  // expected-error @below {{scale of type 'tensor<3xf32>' does not broadcast to the input 'tensor<2x4xf32>'}}
  %y = attune.norm ins(%x : tensor<2x4xf32>) scale(%s : tensor<3xf32>) {axis = 1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<rms>} -> tensor<2x4xf32>
  return
}

// -----

func.func @norm_bias_rank(%x: tensor<4xf32>, %s: tensor<1x4xf32>) {
  // expected-error @below {{bias of type 'tensor<1x4xf32>' does not broadcast to the input 'tensor<4xf32>'}}
  %y = attune.norm ins(%x : tensor<4xf32>) bias(%s : tensor<1x4xf32>) {axis = 0 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<rms>} -> tensor<4xf32>
  return
}

// -----

func.func @norm_mean_shape(%x: tensor<2x4xf32>) {
  // expected-error @below {{mean must have the input's shape with extent 1 from the axis on, found 'tensor<2xf32>'}}
  %y, %m = attune.norm ins(%x : tensor<2x4xf32>) {axis = 1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<layer>} -> tensor<2x4xf32> mean(tensor<2xf32>)
  return
}

// -----

func.func @norm_inv_std_shape(%x: tensor<2x4xf32>) {
  // expected-error @below {{inv_std must have the input's shape with extent 1 from the axis on, found 'tensor<2x4xf32>'}}
  %y, %m = attune.norm ins(%x : tensor<2x4xf32>) {axis = 1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<layer>} -> tensor<2x4xf32> inv_std(tensor<2x4xf32>)
  return
}

// -----

func.func @norm_rms_mean(%x: tensor<2x4xf32>) {
  // expected-error @below {{kind rms has no result mean}}
  %y, %m = attune.norm ins(%x : tensor<2x4xf32>) {axis = 1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<rms>} -> tensor<2x4xf32> mean(tensor<2x1xf32>)
  return
}

// -----

func.func @norm_layer_groups(%x: tensor<2x4xf32>) {
  // expected-error @below {{groups is for kind group only, found 2}}
  %y = attune.norm ins(%x : tensor<2x4xf32>) {axis = 1 : i64, eps = 0.0 : f64, groups = 2 : i64, kind = #attune.norm_kind<layer>} -> tensor<2x4xf32>
  return
}

// -----

func.func @group_axis(%x: tensor<2x4xf32>) {
  // expected-error @below {{kind group needs axis = 1 (channels), found 0}}
  %y = attune.norm ins(%x : tensor<2x4xf32>) {axis = 0 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<group>} -> tensor<2x4xf32>
  return
}

// -----

func.func @group_statistics(%x: tensor<2x4xf32>) {
  // expected-error @below {{kind group has no results mean and inv_std}}
  %y, %m = attune.norm ins(%x : tensor<2x4xf32>) {axis = 1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<group>} -> tensor<2x4xf32> mean(tensor<2x1xf32>)
  return
}

// -----

func.func @group_count(%x: tensor<2x4xf32>) {
  // expected-error @below {{groups must divide the number of channels, found 3}}
  %y = attune.norm ins(%x : tensor<2x4xf32>) {axis = 1 : i64, eps = 0.0 : f64, groups = 3 : i64, kind = #attune.norm_kind<group>} -> tensor<2x4xf32>
  return
}

// -----

func.func @group_scale(%x: tensor<2x4x3xf32>, %s: tensor<3xf32>) {
  // expected-error @below {{scale must have one element per channel, found 'tensor<3xf32>'}}
  %y = attune.norm ins(%x : tensor<2x4x3xf32>) scale(%s : tensor<3xf32>) {axis = 1 : i64, eps = 0.0 : f64, groups = 2 : i64, kind = #attune.norm_kind<group>} -> tensor<2x4x3xf32>
  return
}

// -----

func.func @scan_axis(%x: tensor<2x4xf32>) {
  // expected-error @below {{axis must be in [0, 2), found 2}}
  %y = attune.scan %x {axis = 2 : i64, kind = #attune.scan_kind<sum>} : tensor<2x4xf32>
  return
}

// -----

func.func @scan_elements(%x: tensor<2x4xindex>) {
  // expected-error @below {{elements must be integers or floats, found 'index'}}
  %y = attune.scan %x {axis = 1 : i64, kind = #attune.scan_kind<sum>} : tensor<2x4xindex>
  return
}

// -----

func.func @dft_elements(%x: tensor<4x1xi32>, %n: index) {
  // expected-error @below {{input and result must have float elements}}
  %y = attune.dft %x length(%n) {axis = 0 : i64} : tensor<4x1xi32> -> tensor<?x2xi32>
  return
}

// -----

func.func @dft_axis(%x: tensor<4x1xf32>, %n: index) {
  // expected-error @below {{axis must be in [0, rank - 1) = [0, 1), found 1}}
  %y = attune.dft %x length(%n) {axis = 1 : i64} : tensor<4x1xf32> -> tensor<?x2xf32>
  return
}

// -----

func.func @dft_parts(%x: tensor<4x?xf32>, %n: index) {
  // expected-error @below {{last extent of the input must be 1 (real) or 2 (complex), found 'tensor<4x?xf32>'}}
  %y = attune.dft %x length(%n) {axis = 0 : i64} : tensor<4x?xf32> -> tensor<?x2xf32>
  return
}

// -----

func.func @rfft_of_complex(%x: tensor<4x2xf32>, %n: index) {
  // expected-error @below {{onesided needs a real input, found 'tensor<4x2xf32>'}}
  %y = attune.dft %x length(%n) {axis = 0 : i64, onesided = true} : tensor<4x2xf32> -> tensor<?x2xf32>
  return
}

// -----

func.func @irfft_of_real(%x: tensor<4x1xf32>, %n: index) {
  // expected-error @below {{onesided, inverse needs a complex input, found 'tensor<4x1xf32>'}}
  %y = attune.dft %x length(%n) {axis = 0 : i64, inverse = true, onesided = true} : tensor<4x1xf32> -> tensor<?x1xf32>
  return
}

// -----

func.func @dft_result(%x: tensor<3x4x1xf32>, %n: index) {
  // expected-error @below {{result type does not fit: expected shape 'tensor<3x?x2xf32>', found 'tensor<3x?x1xf32>'}}
  %y = attune.dft %x length(%n) {axis = 1 : i64} : tensor<3x4x1xf32> -> tensor<3x?x1xf32>
  return
}

// -----

func.func @kernel_result_dims(%x: tensor<?xf32>, %n: index) {
  // expected-error @below {{results have 1 dynamic extents, result_dims gives 0}}
  %y = attune.kernel ins(%x : tensor<?xf32>) dims(%n) attributes {input_dims = array<i64: 0>} -> tensor<?xf32> {
  ^bb0(%a: tensor<?xf32>, %d: index):
    attune.yield %a : tensor<?xf32>
  }
  return
}

// -----

func.func @kernel_input_dims(%x: tensor<?xf32>, %n: index) {
  // expected-error @below {{inputs have 1 dynamic extents, input_dims gives 0}}
  %y = attune.kernel ins(%x : tensor<?xf32>) dims(%n) result_dims(%n) -> tensor<?xf32> {
  ^bb0(%a: tensor<?xf32>, %d: index):
    attune.yield %a : tensor<?xf32>
  }
  return
}

// -----

func.func @kernel_input_dim_number(%x: tensor<?xf32>, %n: index) {
  // expected-error @below {{input_dims names dim 1 of 1}}
  %y = attune.kernel ins(%x : tensor<?xf32>) dims(%n) result_dims(%n) attributes {input_dims = array<i64: 1>} -> tensor<?xf32> {
  ^bb0(%a: tensor<?xf32>, %d: index):
    attune.yield %a : tensor<?xf32>
  }
  return
}

// -----

func.func @kernel_argument_count(%x: tensor<4xf32>) {
  // expected-error @below {{expects one block argument per input and dim (1), found 0}}
  %y = attune.kernel ins(%x : tensor<4xf32>) -> tensor<4xf32> {
    %e = tensor.empty() : tensor<4xf32>
    attune.yield %e : tensor<4xf32>
  }
  return
}

// -----

func.func @kernel_argument_type(%x: tensor<4xf32>) {
  // expected-error @below {{block argument 0 has type 'tensor<5xf32>', its operand 'tensor<4xf32>'}}
  %y = attune.kernel ins(%x : tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<5xf32>):
    %e = tensor.empty() : tensor<4xf32>
    attune.yield %e : tensor<4xf32>
  }
  return
}

// -----

func.func @kernel_yield_type(%x: tensor<4xf32>) {
  // expected-error @below {{yields types that differ from its results}}
  %y = attune.kernel ins(%x : tensor<4xf32>) -> tensor<5xf32> {
  ^bb0(%a: tensor<4xf32>):
    attune.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @kernel_terminator(%x: tensor<4xf32>) {
  // expected-error @below {{region must end in attune.yield}}
  %y = attune.kernel ins(%x : tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    llvm.unreachable
  }
  return
}

// -----

func.func @yield_parent(%x: f32) -> f32 {
  // expected-error @below {{expects parent op to be one of 'attune.attention, attune.choice, attune.kernel, attune.linear_attention, attune.scatter'}}
  attune.yield %x : f32
}
