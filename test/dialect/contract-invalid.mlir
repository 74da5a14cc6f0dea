// RUN: attune-opt %s -split-input-file -verify-diagnostics
// One case per rule of `attune.contract`.

func.func @shift_integers(%x: tensor<4x6xi8>, %w: tensor<3x6xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{elements of shift must be floats, or i8 codes as the weight; found 'i8', 'f32', 'f32'}}
  %y = attune.contract ins(%x, %w : tensor<4x6xi8>, tensor<3x6xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return
}

// -----

func.func @shift_wide_codes(%x: tensor<4x6xf32>, %w: tensor<3x6xi16>, %z: tensor<4x3xf32>) {
  // expected-error @below {{elements of shift must be floats, or i8 codes as the weight; found 'f32', 'i16', 'f32'}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xi16>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>], exponent_bias = 16 : i64}
  return
}

// -----

func.func @integers_exact(%x: tensor<4x6xi32>, %w: tensor<3x6xi8>, %z: tensor<4x3xi32>) {
  // expected-error @below {{elements of shift must be floats, or i8 codes as the weight; found 'i32', 'i8', 'i32'}}
  %y = attune.contract ins(%x, %w : tensor<4x6xi32>, tensor<3x6xi8>) outs(%z : tensor<4x3xi32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>], exponent_bias = 16 : i64}
  return
}

// -----

func.func @floor_floats(%x: tensor<4x6xf32>, %w: tensor<3x6xi8>, %z: tensor<4x3xf32>) {
  // expected-error @below {{elements of floor_terms must be i32 or i64, summed in no fewer bits, and i8 codes; found 'f32', 'i8', 'f32'}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xi8>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>], exponent_bias = 16 : i64, rounding = #attune.contract_rounding<floor_terms>}
  return
}

// -----

func.func @floor_float_weights(%x: tensor<4x6xi32>, %w: tensor<3x6xf32>, %z: tensor<4x3xi32>) {
  // expected-error @below {{elements of floor_terms must be i32 or i64, summed in no fewer bits, and i8 codes; found 'i32', 'f32', 'i32'}}
  %y = attune.contract ins(%x, %w : tensor<4x6xi32>, tensor<3x6xf32>) outs(%z : tensor<4x3xi32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>], rounding = #attune.contract_rounding<floor_terms>}
  return
}

// -----

func.func @truncate_narrow(%x: tensor<4x6xi64>, %w: tensor<3x6xi8>, %z: tensor<4x3xi32>) {
  // expected-error @below {{elements of truncate_terms must be i32 or i64, summed in no fewer bits, and i8 codes; found 'i64', 'i8', 'i32'}}
  %y = attune.contract ins(%x, %w : tensor<4x6xi64>, tensor<3x6xi8>) outs(%z : tensor<4x3xi32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>], exponent_bias = 16 : i64, rounding = #attune.contract_rounding<truncate_terms>}
  return
}

// -----

func.func @floor_no_bias(%x: tensor<4x6xi32>, %w: tensor<3x6xi8>, %z: tensor<4x3xi32>) {
  // expected-error @below {{exponent_bias goes with i8 codes of shifts}}
  %y = attune.contract ins(%x, %w : tensor<4x6xi32>, tensor<3x6xi8>) outs(%z : tensor<4x3xi32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>], rounding = #attune.contract_rounding<floor_terms>}
  return
}

// -----

func.func @adder_rounding(%x: tensor<4x6xi8>, %w: tensor<3x6xi8>, %z: tensor<4x3xi32>) {
  // expected-error @below {{rounding goes with shifts of integers}}
  %y = attune.contract ins(%x, %w : tensor<4x6xi8>, tensor<3x6xi8>) outs(%z : tensor<4x3xi32>) {kind = #attune.contract_kind<adder>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>], rounding = #attune.contract_rounding<floor_terms>}
  return
}

// -----

func.func @adder_mixed(%x: tensor<4x6xi8>, %w: tensor<3x6xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{elements of adder must be floats, or i8 with an i32 result; found 'i8', 'f32', 'f32'}}
  %y = attune.contract ins(%x, %w : tensor<4x6xi8>, tensor<3x6xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<adder>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return
}

// -----

func.func @adder_narrow(%x: tensor<4x6xi8>, %w: tensor<3x6xi8>, %z: tensor<4x3xi8>) {
  // expected-error @below {{elements of adder must be floats, or i8 with an i32 result; found 'i8', 'i8', 'i8'}}
  %y = attune.contract ins(%x, %w : tensor<4x6xi8>, tensor<3x6xi8>) outs(%z : tensor<4x3xi8>) {kind = #attune.contract_kind<adder>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return
}

// -----

func.func @bias_missing(%x: tensor<4x6xf32>, %w: tensor<3x6xi8>, %z: tensor<4x3xf32>) {
  // expected-error @below {{exponent_bias goes with i8 codes of shifts}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xi8>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return
}

// -----

func.func @bias_alone(%x: tensor<4x6xf32>, %w: tensor<3x6xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{exponent_bias goes with i8 codes of shifts}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>], exponent_bias = 16 : i64}
  return
}

// -----

func.func @bias_range(%x: tensor<4x6xf32>, %w: tensor<3x6xi8>, %z: tensor<4x3xf32>) {
  // expected-error @below {{exponent_bias must be in [1, 127], found 128}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xi8>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>], exponent_bias = 128 : i64}
  return
}

// -----

func.func @map_count(%x: tensor<4x6xf32>, %w: tensor<3x6xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{expects three indexing maps, found 2}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>]}
  return
}

// -----

func.func @map_loops(%x: tensor<4x6xf32>, %w: tensor<3x6xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{maps must have the same loops and no symbols}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n) -> (m, n)>]}
  return
}

// -----

func.func @map_symbols(%x: tensor<4x6xf32>, %w: tensor<3x6xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{maps must have the same loops and no symbols}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k)[s] -> (m, k + s)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return
}

// -----

func.func @map_rank(%x: tensor<4x6xf32>, %w: tensor<3x6xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{the map of weight has 1 results, its rank is 2}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n)>, affine_map<(m, n, k) -> (m, n)>]}
  return
}

// -----

func.func @map_descending(%x: tensor<4x6xf32>, %w: tensor<3x6xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{the map of input must have loops or sums of loops times positive constants, found affine_map<(d0, d1, d2) -> (d0, -d2 + 5)>}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, 5 - k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return
}

// -----

func.func @map_division(%x: tensor<4x6xf32>, %w: tensor<3x6xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{the map of input must have loops or sums of loops times positive constants, found affine_map<(d0, d1, d2) -> (d0, d2 floordiv 2)>}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k floordiv 2)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return
}

// -----

func.func @map_result(%x: tensor<4x6xf32>, %w: tensor<3x6xf32>, %z: tensor<4x4xf32>) {
  // expected-error @below {{the map of the result must have distinct loops, found affine_map<(d0, d1, d2) -> (d0, d0)>}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xf32>) outs(%z : tensor<4x4xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, m)>]}
  return
}

// -----

func.func @extents(%x: tensor<4x6xf32>, %w: tensor<3x5xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{loop 2 has extents 6 and 5}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x5xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return
}

// -----

func.func @no_axis(%x: tensor<4x6xf32>, %w: tensor<3x6xf32>, %z: tensor<4x3xf32>) {
  // expected-error @below {{loop 3 is no axis of any operand}}
  %y = attune.contract ins(%x, %w : tensor<4x6xf32>, tensor<3x6xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k, q) -> (m, k)>, affine_map<(m, n, k, q) -> (n, k)>, affine_map<(m, n, k, q) -> (m, n)>]}
  return
}

// -----

func.func @outside(%x: tensor<8xf32>, %w: tensor<3xf32>, %z: tensor<7xf32>) {
  // expected-error @below {{the maps read up to position 8 of an axis of extent 8}}
  %y = attune.contract ins(%x, %w : tensor<8xf32>, tensor<3xf32>) outs(%z : tensor<7xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(n, k) -> (n + k)>, affine_map<(n, k) -> (k)>, affine_map<(n, k) -> (n)>]}
  return
}

// -----

func.func @weights(%x: tensor<4x2xf32>, %z: tensor<4x3xf32>) {
  %w = arith.constant dense<[[1.0, -0.5], [0.0, 4.0], [3.0, 1.0]]> : tensor<3x2xf32>
  // expected-error @below {{a shift weight must be 0 or a signed power of two, found 3.000000e+00}}
  %y = attune.contract ins(%x, %w : tensor<4x2xf32>, tensor<3x2xf32>) outs(%z : tensor<4x3xf32>) {kind = #attune.contract_kind<shift>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return
}
