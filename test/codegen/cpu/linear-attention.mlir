// RUN: attune compile %s --stop-after=fuse -o - | FileCheck %s

// Splitting and merging heads costs nothing: one kernel reads and writes [B, N, H * D].
// CHECK-LABEL: func @main
// CHECK: attune.kernel
// CHECK-SAME: emitter = "linear_attention"
// CHECK: linalg.transpose
// CHECK: linalg.transpose
// CHECK: linalg.transpose
// CHECK: attune.linear_attention
// CHECK: linalg.transpose
// CHECK-NOT: attune.kernel
func.func @main(%q: tensor<1x?x512xf32> {attune.name = "q", attune.dims = ["", "n", ""]},
    %k: tensor<1x?x512xf32> {attune.name = "k", attune.dims = ["", "n", ""]},
    %v: tensor<1x?x512xf32> {attune.name = "v", attune.dims = ["", "n", ""]})
    -> (tensor<1x?x512xf32> {attune.name = "o", attune.dims = ["", "n", ""]}) {
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<1x?x512xf32>
  %eq = tensor.expand_shape %q [[0], [1], [2, 3]] output_shape [1, %n, 8, 64] : tensor<1x?x512xf32> into tensor<1x?x8x64xf32>
  %ek = tensor.expand_shape %k [[0], [1], [2, 3]] output_shape [1, %n, 8, 64] : tensor<1x?x512xf32> into tensor<1x?x8x64xf32>
  %ev = tensor.expand_shape %v [[0], [1], [2, 3]] output_shape [1, %n, 8, 64] : tensor<1x?x512xf32> into tensor<1x?x8x64xf32>
  %e = tensor.empty(%n) : tensor<1x8x?x64xf32>
  %tq = linalg.transpose ins(%eq : tensor<1x?x8x64xf32>) outs(%e : tensor<1x8x?x64xf32>) permutation = [0, 2, 1, 3]
  %tk = linalg.transpose ins(%ek : tensor<1x?x8x64xf32>) outs(%e : tensor<1x8x?x64xf32>) permutation = [0, 2, 1, 3]
  %tv = linalg.transpose ins(%ev : tensor<1x?x8x64xf32>) outs(%e : tensor<1x8x?x64xf32>) permutation = [0, 2, 1, 3]
  %o = attune.linear_attention ins(%tq, %tk, %tv : tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>)
      {direction = #attune.direction<causal>, norm = #attune.weighting<sum>, eps = 1.0e-6 : f64} -> tensor<1x8x?x64xf32>
      phi_q {
      ^bb0(%x: f32):
        %y = math.exp %x : f32
        attune.yield %y : f32
      } phi_k {
      ^bb0(%x: f32):
        %y = math.exp %x : f32
        attune.yield %y : f32
      }
  %b = tensor.empty(%n) : tensor<1x?x8x64xf32>
  %to = linalg.transpose ins(%o : tensor<1x8x?x64xf32>) outs(%b : tensor<1x?x8x64xf32>) permutation = [0, 2, 1, 3]
  %r = tensor.collapse_shape %to [[0], [1], [2, 3]] : tensor<1x?x8x64xf32> into tensor<1x?x512xf32>
  return %r : tensor<1x?x512xf32>
}
