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
