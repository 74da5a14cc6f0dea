// RUN: attune-opt %s -split-input-file -verify-diagnostics
// One case per rule of `attune.map_mix`.

func.func @integers(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xi8>, %b: tensor<4xf32>) {
  // expected-error @below {{weights must have float elements, found 'i8'}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xi8>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @rank(%m: tensor<4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{maps must have rank 4, found 3}}
  %y = attune.map_mix ins(%m : tensor<4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @previous(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>, %p: tensor<1x4x5x7xf32>) {
  // expected-error @below {{previous has extent 7 where maps has 6}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) previous(%p : tensor<1x4x5x7xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @result(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{result has extent 4 where maps has 5}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x4x6xf32>
  return
}

// -----

func.func @channels(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{result must have extent channels of the last stage = 4, found 3}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x3x5x6xf32>
  return
}

// -----

func.func @groups_list(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{expects one of groups per stage (1), found 2}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1, 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @dilations_list(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{expects one of dilations per stage (1), found 2}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1, 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @acts_list(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{expects one of acts per stage (1), found 0}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @slopes_list(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{expects one of slopes per stage (1), found 2}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0, 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @alpha(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{alpha must be in [0, 1], found 1.500000e+00}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {alpha = 1.5 : f64, groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @beta(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>, %p: tensor<1x4x5x6xf32>) {
  // expected-error @below {{beta must be in [0, 1], found -1.000000e+00}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) previous(%p : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {beta = -1.0 : f64, groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @beta_alone(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{beta is for maps with previous ones only, found 5.000000e-01}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {beta = 0.5 : f64, groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @groups(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{stage 0: groups and dilation must be at least 1, found 0 and 1}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 0>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @dilation(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{stage 0: groups and dilation must be at least 1, found 1 and -1}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: -1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @weight_rank(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{stage 0: weight and bias must have ranks 4 and 1, found 'tensor<4x4xf32>' and 'tensor<4xf32>'}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @even_kernel(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x2x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{stage 0: the kernel's extents must be static and odd, found 'tensor<4x4x2x3xf32>'}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x2x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @dynamic_kernel(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x?x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{stage 0: the kernel's extents must be static and odd, found 'tensor<4x4x?x3xf32>'}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x?x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @bias(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<3xf32>) {
  // expected-error @below {{stage 0: bias 'tensor<3xf32>' does not fit the weight 'tensor<4x4x3x3xf32>'}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<3xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @inputs(%m: tensor<1x4x5x6xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{stage 0: weight 'tensor<4x3x3x3xf32>' reads 3 channels in each of 1 groups, found 4 maps}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x3x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @outputs(%m: tensor<1x4x5x6xf32>, %w: tensor<3x2x3x3xf32>, %b: tensor<3xf32>) {
  // expected-error @below {{stage 0: 2 groups do not divide 3 channels}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<3x2x3x3xf32>) biases(%b : tensor<3xf32>) {groups = array<i64: 2>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x3x5x6xf32>
  return
}

// -----

func.func @slope(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{stage 0: a slope is for leaky_relu only, found 1.000000e-01}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<4x4x3x3xf32>) biases(%b : tensor<4xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.1>} -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @blend(%m: tensor<1x4x5x6xf32>, %w: tensor<3x4x3x3xf32>, %b: tensor<3xf32>) {
  // expected-error @below {{alpha != 1 adds the maps (4 channels) to the last stage (3 channels)}}
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<3x4x3x3xf32>) biases(%b : tensor<3xf32>) {alpha = 0.5 : f64, groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x3x5x6xf32>
  return
}

// -----

func.func @no_stage(%m: tensor<1x4x5x6xf32>) {
  // expected-error @below {{needs at least one stage}}
  %y = "attune.map_mix"(%m) <{acts = [], dilations = array<i64>, groups = array<i64>, operandSegmentSizes = array<i32: 1, 0, 0, 0>, slopes = array<f64>}> : (tensor<1x4x5x6xf32>) -> tensor<1x4x5x6xf32>
  return
}

// -----

func.func @biases_list(%m: tensor<1x4x5x6xf32>, %w: tensor<4x4x3x3xf32>) {
  // expected-error @below {{expects one of biases per stage (1), found 0}}
  %y = "attune.map_mix"(%m, %w) <{acts = [#attune.map_act<none>], dilations = array<i64: 1>, groups = array<i64: 1>, operandSegmentSizes = array<i32: 1, 0, 1, 0>, slopes = array<f64: 0.0>}> : (tensor<1x4x5x6xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x5x6xf32>
  return
}
