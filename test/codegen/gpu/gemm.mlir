// RUN: attune compile %s --target=cuda --emit=ptx -o - | FileCheck %s --check-prefixes=CHECK,SM80
// RUN: attune compile %s --target=cuda --gpu=sm_90a --emit=ptx -o - | FileCheck %s --check-prefixes=CHECK,SM90
// RUN: attune compile %s --target=cuda --gpu-math=tf32 --emit=ptx -o - | FileCheck %s --check-prefix=TF32
// RUN: attune compile %s --target=cuda --stop-after=fuse -o - | FileCheck %s --check-prefix=FUSED

// A product of halves with a bias is one kernel on tensor cores, whose tiles come while others are
// multiplied; one of f32 is multiplied and added with one rounding, or on tensor cores on request.
// Nothing lies in local memory.

// FUSED: attune.kernel
// FUSED-SAME: emitter = "gpu-gemm"
// FUSED: attune.kernel
// FUSED-SAME: emitter = "gpu-gemm"
// FUSED-NOT: attune.kernel

// SM80: .target sm_80
// SM90: .target sm_90a
// CHECK-NOT: .local
// CHECK: .visible .entry
// CHECK-DAG: cp.async.{{cg.shared|bulk}}
// CHECK-DAG: {{(mma.sync.aligned.m16n8k16.row.col|wgmma.mma_async.sync.aligned.m64n[0-9]+k16).f32.f16.f16}}
// CHECK: ret;
// CHECK-NOT: .local
// CHECK: .visible .entry
// CHECK: fma.rn.f32
// CHECK-NOT: mma
// CHECK: ret;

// TF32-NOT: .local
// TF32: mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
// TF32-NOT: fma.rn.f32
// TF32: cvt.rna.tf32.f32
// TF32: mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
// TF32-NOT: fma.rn.f32
func.func @main(%x: tensor<?x64xf16> {attune.name = "x", attune.dims = ["n", ""]},
    %w: tensor<64x128xf16> {attune.name = "w"}, %bias: tensor<128xf16> {attune.name = "bias"},
    %u: tensor<?x64xf32> {attune.name = "u", attune.dims = ["n", ""]},
    %v: tensor<64x128xf32> {attune.name = "v"})
    -> (tensor<?x128xf16> {attune.name = "y"}, tensor<?x128xf32> {attune.name = "z"}) {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x64xf16>
  %space = tensor.empty(%n) : tensor<?x128xf32>
  %start = linalg.fill ins(%zero : f32) outs(%space : tensor<?x128xf32>) -> tensor<?x128xf32>
  %p = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>,
                                        affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %w : tensor<?x64xf16>, tensor<64x128xf16>) outs(%start : tensor<?x128xf32>) -> tensor<?x128xf32>
  %narrow = tensor.empty(%n) : tensor<?x128xf16>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>,
                                        affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}
      ins(%p, %bias : tensor<?x128xf32>, tensor<128xf16>) outs(%narrow : tensor<?x128xf16>) {
  ^bb0(%a: f32, %b: f16, %out: f16):
    %h = arith.truncf %a : f32 to f16
    %s = arith.addf %h, %b : f16
    linalg.yield %s : f16
  } -> tensor<?x128xf16>
  %z = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>,
                                        affine_map<(m, n, k) -> (m, n)>]
      ins(%u, %v : tensor<?x64xf32>, tensor<64x128xf32>) outs(%start : tensor<?x128xf32>) -> tensor<?x128xf32>
  return %y, %z : tensor<?x128xf16>, tensor<?x128xf32>
}
