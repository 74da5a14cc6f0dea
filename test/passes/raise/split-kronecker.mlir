// RUN: attune-opt %s -split-input-file --attune-split-kronecker | FileCheck %s

// Rows and columns of an image, merged in the map, the value and the result.
// CHECK-LABEL: func.func @merged
// CHECK-SAME: %[[A:.*]]: tensor<3x3xf32>, %[[B:.*]]: tensor<4x4xf32>, %[[V:.*]]: tensor<12x5xf32>
// CHECK: %[[X:.*]] = tensor.expand_shape %[[V]] {{\[}}[0, 1], [2]] output_shape [3, 4, 5]
// CHECK: %[[T:.*]] = linalg.contract {{.*}} ins(%[[B]], %[[X]] : tensor<4x4xf32>, tensor<3x4x5xf32>)
// CHECK: %[[O:.*]] = linalg.contract {{.*}} ins(%[[A]], %[[T]] :
// CHECK: %[[R:.*]] = tensor.collapse_shape %[[O]] {{\[}}[0, 1], [2]] : tensor<3x4x5xf32>
// CHECK: return %[[R]]
#a = affine_map<(i, k, j, l) -> (i, j)>
#b = affine_map<(i, k, j, l) -> (k, l)>
#id = affine_map<(i, k, j, l) -> (i, k, j, l)>
#w = affine_map<(n, c, m) -> (n, m)>
#v = affine_map<(n, c, m) -> (m, c)>
#o = affine_map<(n, c, m) -> (n, c)>
func.func @merged(%a: tensor<3x3xf32>, %b: tensor<4x4xf32>, %v: tensor<12x5xf32>) -> tensor<12x5xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x3x4xf32>
  %0 = linalg.generic {indexing_maps = [#a, #b, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%a, %b : tensor<3x3xf32>, tensor<4x4xf32>) outs(%e : tensor<3x4x3x4xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %z = arith.mulf %x, %y : f32
    linalg.yield %z : f32
  } -> tensor<3x4x3x4xf32>
  %1 = tensor.collapse_shape %0 [[0, 1], [2, 3]] : tensor<3x4x3x4xf32> into tensor<12x12xf32>
  %e1 = tensor.empty() : tensor<12x5xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e1 : tensor<12x5xf32>) -> tensor<12x5xf32>
  %2 = linalg.contract indexing_maps = [#w, #v, #o] ins(%1, %v : tensor<12x12xf32>, tensor<12x5xf32>) outs(%f : tensor<12x5xf32>) -> tensor<12x5xf32>
  return %2 : tensor<12x5xf32>
}

// -----

// Both factors vary with the same sum.
// CHECK-LABEL: func.func @masked
// CHECK: linalg.contract
// CHECK-NOT: linalg.contract
#a = affine_map<(i, j, l) -> (i, j)>
#b = affine_map<(i, j, l) -> (j, l)>
#id = affine_map<(i, j, l) -> (i, j, l)>
#w = affine_map<(i, c, j, l) -> (i, j, l)>
#v = affine_map<(i, c, j, l) -> (j, l, c)>
#o = affine_map<(i, c, j, l) -> (i, c)>
func.func @masked(%a: tensor<3x3xf32>, %b: tensor<3x4xf32>, %v: tensor<3x4x5xf32>) -> tensor<3x5xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x3x4xf32>
  %0 = linalg.generic {indexing_maps = [#a, #b, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%a, %b : tensor<3x3xf32>, tensor<3x4xf32>) outs(%e : tensor<3x3x4xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %z = arith.mulf %x, %y : f32
    linalg.yield %z : f32
  } -> tensor<3x3x4xf32>
  %e1 = tensor.empty() : tensor<3x5xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x5xf32>) -> tensor<3x5xf32>
  %2 = linalg.contract indexing_maps = [#w, #v, #o] ins(%0, %v : tensor<3x3x4xf32>, tensor<3x4x5xf32>) outs(%f : tensor<3x5xf32>) -> tensor<3x5xf32>
  return %2 : tensor<3x5xf32>
}
