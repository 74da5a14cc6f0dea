// RUN: attune compile %s --cpu=x86-64-v3 --stop-after=fuse -o - | FileCheck %s

// Two products of run-time matrices that one elementwise operator joins: merged into one row-wise
// kernel they would lose their tiles.
#a = affine_map<(b, n, m, k) -> (b, n, k)>
#b = affine_map<(b, n, m, k) -> (b, k, m)>
#c = affine_map<(b, n, m, k) -> (b, n, m)>
#i = affine_map<(b, n, m) -> (b, n, m)>
// CHECK-LABEL: @main
// CHECK-COUNT-2: emitter = "gemm"
// CHECK-NOT: emitter = "gemm"
func.func @main(%x: tensor<8x64x64xf32>, %y: tensor<8x64x64xf32>, %z: tensor<8x64x64xf32>) -> tensor<8x64x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x64x64xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<8x64x64xf32>) -> tensor<8x64x64xf32>
  %p = linalg.contract indexing_maps = [#a, #b, #c]
      ins(%x, %y : tensor<8x64x64xf32>, tensor<8x64x64xf32>) outs(%init : tensor<8x64x64xf32>) -> tensor<8x64x64xf32>
  %q = linalg.contract indexing_maps = [#a, #b, #c]
      ins(%x, %z : tensor<8x64x64xf32>, tensor<8x64x64xf32>) outs(%init : tensor<8x64x64xf32>) -> tensor<8x64x64xf32>
  %r = linalg.generic {indexing_maps = [#i, #i, #i], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%p, %q : tensor<8x64x64xf32>, tensor<8x64x64xf32>) outs(%e : tensor<8x64x64xf32>) {
  ^bb0(%s: f32, %t: f32, %old: f32):
    %d = arith.subf %s, %t : f32
    linalg.yield %d : f32
  } -> tensor<8x64x64xf32>
  return %r : tensor<8x64x64xf32>
}
