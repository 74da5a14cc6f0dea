// RUN: attune-opt %s -split-input-file --attune-raise-broadcast-sums --canonicalize | FileCheck %s

// Slices side by side are a window: positions t + k, also where one of them is the whole image. The
// filter is that of the head.
// CHECK-DAG: #[[$X:.*]] = affine_map<(d0, d1, d2, d3) -> (d0 + d3, d1 * 4 + d2)>
// CHECK-DAG: #[[$W:.*]] = affine_map<(d0, d1, d2, d3) -> (d1, d3)>
// CHECK-LABEL: func @products
// CHECK: %[[padded:.*]] = tensor.pad
// CHECK: linalg.generic {indexing_maps = [#[[$X]], #[[$W]],
// CHECK-SAME: ins(%[[padded]], %{{.*}} : tensor<?x8xf32>, tensor<2x3xf32>)
// CHECK: arith.mulf
// CHECK-NOT: tensor.concat
func.func @products(%x: tensor<?x8xf32>, %w: tensor<2x3xf32>) -> tensor<?x2x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %p = tensor.pad %x low[1, 0] high[1, 0] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<?x8xf32> to tensor<?x8xf32>
  %s0 = tensor.extract_slice %p[0, 0] [%n, 8] [1, 1] : tensor<?x8xf32> to tensor<?x8xf32>
  %s2 = tensor.extract_slice %p[2, 0] [%n, 8] [1, 1] : tensor<?x8xf32> to tensor<?x8xf32>
  %e0 = tensor.expand_shape %s0 [[0], [1, 2]] output_shape [%n, 8, 1] : tensor<?x8xf32> into tensor<?x8x1xf32>
  %e1 = tensor.expand_shape %x [[0], [1, 2]] output_shape [%n, 8, 1] : tensor<?x8xf32> into tensor<?x8x1xf32>
  %e2 = tensor.expand_shape %s2 [[0], [1, 2]] output_shape [%n, 8, 1] : tensor<?x8xf32> into tensor<?x8x1xf32>
  %c = tensor.concat dim(2) %e0, %e1, %e2 : (tensor<?x8x1xf32>, tensor<?x8x1xf32>, tensor<?x8x1xf32>) -> tensor<?x8x3xf32>
  %h = tensor.expand_shape %c [[0], [1, 2], [3]] output_shape [%n, 2, 4, 3] : tensor<?x8x3xf32> into tensor<?x2x4x3xf32>
  %e = tensor.empty(%n) : tensor<?x2x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x2x4xf32>) -> tensor<?x2x4xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(t, h, r, k) -> (t, h, r, k)>, affine_map<(t, h, r, k) -> (h, k)>,
                                        affine_map<(t, h, r, k) -> (t, h, r)>],
                       iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%h, %w : tensor<?x2x4x3xf32>, tensor<2x3xf32>) outs(%f : tensor<?x2x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %o, %m : f32
    linalg.yield %s : f32
  } -> tensor<?x2x4xf32>
  return %y : tensor<?x2x4xf32>
}

// -----

// Slices that are not equally far apart are no window.
// CHECK-LABEL: func @uneven
// CHECK: tensor.concat
// CHECK-NOT: attune.contract
func.func @uneven(%x: tensor<9x8xf32>, %w: tensor<3xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %s0 = tensor.extract_slice %x[0, 0] [4, 8] [1, 1] : tensor<9x8xf32> to tensor<4x8xf32>
  %s1 = tensor.extract_slice %x[1, 0] [4, 8] [1, 1] : tensor<9x8xf32> to tensor<4x8xf32>
  %s2 = tensor.extract_slice %x[3, 0] [4, 8] [1, 1] : tensor<9x8xf32> to tensor<4x8xf32>
  %e0 = tensor.expand_shape %s0 [[0], [1, 2]] output_shape [4, 8, 1] : tensor<4x8xf32> into tensor<4x8x1xf32>
  %e1 = tensor.expand_shape %s1 [[0], [1, 2]] output_shape [4, 8, 1] : tensor<4x8xf32> into tensor<4x8x1xf32>
  %e2 = tensor.expand_shape %s2 [[0], [1, 2]] output_shape [4, 8, 1] : tensor<4x8xf32> into tensor<4x8x1xf32>
  %c = tensor.concat dim(2) %e0, %e1, %e2 : (tensor<4x8x1xf32>, tensor<4x8x1xf32>, tensor<4x8x1xf32>) -> tensor<4x8x3xf32>
  %e = tensor.empty() : tensor<4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(t, r, k) -> (t, r, k)>, affine_map<(t, r, k) -> (k)>,
                                        affine_map<(t, r, k) -> (t, r)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%c, %w : tensor<4x8x3xf32>, tensor<3xf32>) outs(%f : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %t = math.absf %d : f32
    %s = arith.addf %o, %t : f32
    linalg.yield %s : f32
  } -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
