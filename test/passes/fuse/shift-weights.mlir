// RUN: attune-opt %s -split-input-file --attune-shift-weights | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-shift-weights --attune-decompose | FileCheck %s --check-prefix=REF

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

// Magnitudes 2^-2 to 2^1 and 0: fields of 4 bits, the sign on top; the least magnitude is 1.
// Columns: 0.25 and -2 are 1 and 0xc, -1 and 0 are 0xb and 0, 0.5 and 1 are 2 and 3.
// CHECK-LABEL: func @columns
// CHECK: %[[P:.*]] = arith.constant dense_resource<codes> : tensor<1x1x16xi32>
// CHECK: %[[W:.*]] = attune.unpack_codes %[[P]] {bits = 4 : i64} : tensor<1x1x16xi32> -> tensor<2x3xi8>
// CHECK: attune.contract ins(%arg0, %[[W]] : tensor<?x2xf32>, tensor<2x3xi8>) outs(%arg1 : tensor<?x3xf32>)
// CHECK-SAME: exponent_bias = 3 : i64
// CHECK-SAME: kind = #attune.contract_kind<shift>
// CHECK: codes: "0x40000000C10000000B00000032000000
// REF-LABEL: func @columns
// REF: linalg.generic
// REF: arith.remui
// REF: tensor.extract
func.func @columns(%x: tensor<?x2xf32>, %init: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %w = arith.constant dense<[[0.25, -1.0, 0.5], [-2.0, 0.0, 1.0]]> : tensor<2x3xf32>
  %y = linalg.contract indexing_maps = [#a, #b, #c]
      ins(%x, %w : tensor<?x2xf32>, tensor<2x3xf32>) outs(%init : tensor<?x3xf32>) -> tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

// -----

// A weight on the left; 8 magnitudes take 5 bits, 6 codes a word.
// CHECK-LABEL: func @left
// CHECK: attune.unpack_codes {{.*}} {bits = 5 : i64} : tensor<1x2x16xi32> -> tensor<8x1xi8>
// CHECK: attune.contract ins(%arg0, %{{.*}} : tensor<8x?xf32>, tensor<8x1xi8>)
func.func @left(%x: tensor<8x?xf32>, %init: tensor<1x?xf32>) -> tensor<1x?xf32> {
  %w = arith.constant dense<[[1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125]]> : tensor<1x8xf32>
  %y = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%w, %x : tensor<1x8xf32>, tensor<8x?xf32>) outs(%init : tensor<1x?xf32>) -> tensor<1x?xf32>
  return %y : tensor<1x?xf32>
}

// -----

// 1.5 is no power of two; an infinity and a subnormal are none either.
// CHECK-LABEL: func @others
// CHECK-NOT: attune
// CHECK: return
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>
func.func @others(%x: tensor<4x2xf32>, %init: tensor<4x1xf32>) -> (tensor<4x1xf32>, tensor<4x1xf32>, tensor<4x1xf32>) {
  %w0 = arith.constant dense<[[1.0, 1.5]]> : tensor<1x2xf32>
  %w1 = arith.constant dense<[[1.0, 0x7F800000]]> : tensor<1x2xf32>
  %w2 = arith.constant dense<[[1.0, 0x00400000]]> : tensor<1x2xf32>
  %y0 = linalg.contract indexing_maps = [#a, #b, #c] ins(%x, %w0 : tensor<4x2xf32>, tensor<1x2xf32>) outs(%init : tensor<4x1xf32>) -> tensor<4x1xf32>
  %y1 = linalg.contract indexing_maps = [#a, #b, #c] ins(%x, %w1 : tensor<4x2xf32>, tensor<1x2xf32>) outs(%init : tensor<4x1xf32>) -> tensor<4x1xf32>
  %y2 = linalg.contract indexing_maps = [#a, #b, #c] ins(%x, %w2 : tensor<4x2xf32>, tensor<1x2xf32>) outs(%init : tensor<4x1xf32>) -> tensor<4x1xf32>
  return %y0, %y1, %y2 : tensor<4x1xf32>, tensor<4x1xf32>, tensor<4x1xf32>
}

// -----

// A convolution in f32 becomes products: its codes as floats.
// CHECK-LABEL: func @convolution
// CHECK: %[[W:.*]] = arith.constant dense<{{.*}}0.000000e+00, 1.000000e+00, -5.000000e-01]]]> : tensor<1x1x3xf32>
// CHECK: linalg.generic {{.*}}ins(%arg0, %[[W]]
// CHECK: arith.mulf
// CHECK: arith.addf
func.func @convolution(%x: tensor<2x1x9xf32>, %init: tensor<2x1x7xf32>) -> tensor<2x1x7xf32> {
  %w = arith.constant dense<[[[0, 2, -1]]]> : tensor<1x1x3xi8>
  %y = attune.contract ins(%x, %w : tensor<2x1x9xf32>, tensor<1x1x3xi8>) outs(%init : tensor<2x1x7xf32>)
      {kind = #attune.contract_kind<shift>, exponent_bias = 2 : i64,
       indexing_maps = [affine_map<(b, o, p, c, t) -> (b, c, p + t)>, affine_map<(b, o, p, c, t) -> (o, c, t)>,
                        affine_map<(b, o, p, c, t) -> (b, o, p)>]}
  return %y : tensor<2x1x7xf32>
}

// -----

// Of integers always: the axes of the packed weight are channel, tap, output channel.
// CHECK-LABEL: func @integers
// CHECK: %[[W:.*]] = attune.unpack_codes {{.*}} {bits = 4 : i64} : tensor<1x1x16xi32> -> tensor<1x3x1xi8>
// CHECK: attune.contract ins(%arg0, %[[W]]
func.func @integers(%x: tensor<2x1x9xi32>, %init: tensor<2x1x7xi32>) -> tensor<2x1x7xi32> {
  %w = arith.constant dense<[[[0, 2, -1]]]> : tensor<1x1x3xi8>
  %y = attune.contract ins(%x, %w : tensor<2x1x9xi32>, tensor<1x1x3xi8>) outs(%init : tensor<2x1x7xi32>)
      {kind = #attune.contract_kind<shift>, exponent_bias = 2 : i64, rounding = #attune.contract_rounding<floor_terms>,
       indexing_maps = [affine_map<(b, o, p, c, t) -> (b, c, p + t)>, affine_map<(b, o, p, c, t) -> (o, c, t)>,
                        affine_map<(b, o, p, c, t) -> (b, o, p)>]}
  return %y : tensor<2x1x7xi32>
}
