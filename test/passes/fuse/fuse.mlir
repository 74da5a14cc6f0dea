// RUN: attune-opt %s --attune-stage-fuse | FileCheck %s
// RUN: attune-opt %s --attune-stage-fuse --attune-stage-fuse | FileCheck %s

#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>

// One kernel per operator; the extent of `?` is a dim of the kernel, the reshape stays outside.
// CHECK-LABEL: func @main
// CHECK-DAG: %[[N:.*]] = tensor.dim %arg0
// CHECK: %[[A:.*]] = attune.kernel ins(%arg0, %arg1 : tensor<?x4xf32>, tensor<4xf32>) dims(%[[N]]) result_dims(%[[N]])
// CHECK-SAME: input_dims = array<i64: 0>
// CHECK: arith.addf
// CHECK: attune.yield
// CHECK: %[[B:.*]] = attune.kernel ins(%[[A]] : tensor<?x4xf32>)
// CHECK: math.exp
// CHECK: tensor.expand_shape %[[B]] {{.*}} output_shape [%[[N]], 2, 2]
// CHECK-NOT: attune.kernel
func.func @main(%x: tensor<?x4xf32> {attune.dims = ["n", ""]}, %b: tensor<4xf32>) -> tensor<?x2x2xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %s = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %b : tensor<?x4xf32>, tensor<4xf32>) outs(%e : tensor<?x4xf32>) {
  ^bb0(%v: f32, %w: f32, %o: f32):
    %t = arith.addf %v, %w : f32
    linalg.yield %t : f32
  } -> tensor<?x4xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%s : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) {
  ^bb0(%v: f32, %o: f32):
    %t = math.exp %v : f32
    linalg.yield %t : f32
  } -> tensor<?x4xf32>
  %m = tensor.dim %y, %c0 : tensor<?x4xf32>
  %r = tensor.expand_shape %y [[0], [1, 2]] output_shape [%m, 2, 2] : tensor<?x4xf32> into tensor<?x2x2xf32>
  return %r : tensor<?x2x2xf32>
}

// A body may read tensors that are no inputs of the operator: the gather is no way to store weights.
// CHECK-LABEL: func @gathered
// CHECK: attune.kernel
// CHECK: tensor.extract
// CHECK: attune.kernel
// CHECK: linalg.contract
func.func @gathered(%x: tensor<5x4xf32>, %w: tensor<4x3xf32>) -> tensor<5x3xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<5x4xf32>
  %g = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel", "parallel"]} outs(%e : tensor<5x4xf32>) {
  ^bb0(%o: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %v = tensor.extract %x[%i, %j] : tensor<5x4xf32>
    linalg.yield %v : f32
  } -> tensor<5x4xf32>
  %e2 = tensor.empty() : tensor<5x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<5x3xf32>) -> tensor<5x3xf32>
  %y = linalg.contract indexing_maps = [affine_map<(i, j, k) -> (i, k)>, affine_map<(i, j, k) -> (k, j)>, affine_map<(i, j, k) -> (i, j)>]
      ins(%g, %w : tensor<5x4xf32>, tensor<4x3xf32>) outs(%f : tensor<5x3xf32>) -> tensor<5x3xf32>
  return %y : tensor<5x3xf32>
}
