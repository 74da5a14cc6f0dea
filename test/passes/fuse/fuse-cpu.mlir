// RUN: attune-opt --attune-stage-fuse-cpu="cpu=x86-64-v3" --split-input-file %s | FileCheck %s

// Nothing here is of the dialects that emitters try kernels in; the passes that ask them load those.

#id = affine_map<(n, c) -> (n, c)>
#row = affine_map<(n, c) -> (n)>
// CHECK-LABEL: @rows
// CHECK: attune.kernel
// CHECK-SAME: emitter = "rowwise"
func.func @rows(%x: tensor<?x8xf32>, %sums: tensor<?xf32>) -> tensor<?xf32> {
  %0 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x8xf32>) outs(%sums : tensor<?xf32>) {
  ^bb0(%a: f32, %s: f32):
    %t = arith.addf %s, %a : f32
    linalg.yield %t : f32
  } -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----

#a = affine_map<(n, m, k) -> (n, k)>
#b = affine_map<(n, m, k) -> (k, m)>
#c = affine_map<(n, m, k) -> (n, m)>
// CHECK-LABEL: @product
// CHECK: attune.kernel
// CHECK-SAME: emitter = "gemm"
func.func @product(%x: tensor<64x64xf32>, %y: tensor<64x64xf32>) -> tensor<64x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x64xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<64x64xf32>) -> tensor<64x64xf32>
  %0 = linalg.contract indexing_maps = [#a, #b, #c]
      ins(%x, %y : tensor<64x64xf32>, tensor<64x64xf32>) outs(%z : tensor<64x64xf32>) -> tensor<64x64xf32>
  return %0 : tensor<64x64xf32>
}
