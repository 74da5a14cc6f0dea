// RUN: attune compile %s --target=cuda --emit=ptx -o - | FileCheck %s --check-prefixes=CHECK,SM80
// RUN: attune compile %s --target=cuda --gpu=sm_90a --emit=ptx -o - | FileCheck %s --check-prefixes=CHECK,SM90
// RUN: attune compile %s --target=cuda --stop-after=fuse -o - | FileCheck %s --check-prefix=FUSED

// Softmax attention with a window is one kernel, of one launch where queries are known to be many:
// both products on tensor cores, weights as powers of 2 between them. With another weighting it is
// products and what is between them, in kernels of their own.

// FUSED: emitter = "gpu-attention"
// FUSED-NOT: emitter = "gpu-attention"
// FUSED: emitter = "gpu-rowwise"

// CHECK-NOT: .local
// CHECK: .visible .entry attune_k0_0
// CHECK: cp.async.cg.shared.global
// SM80: mma.sync.aligned.m16n8k16.row.col.f32.f16.f16
// SM90: wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16
// CHECK-DAG: ex2.approx.ftz.f32
// SM80-DAG: ldmatrix.sync.aligned.m8n8.x4.trans
// SM90-DAG: fence.proxy.async
// CHECK: ret;
// CHECK-NOT: attune_k0_1
func.func @main(%q: tensor<2x8x128x64xf16> {attune.name = "q"},
    %k: tensor<2x2x?x64xf16> {attune.name = "k", attune.dims = ["", "", "m", ""]},
    %v: tensor<2x2x?x64xf16> {attune.name = "v", attune.dims = ["", "", "m", ""]})
    -> (tensor<2x8x128x64xf16> {attune.name = "y"}, tensor<2x8x128x64xf16> {attune.name = "z"}) {
  %scale = arith.constant 0.125 : f32
  %y = attune.attention ins(%q, %k, %v : tensor<2x8x128x64xf16>, tensor<2x2x?x64xf16>, tensor<2x2x?x64xf16>)
      scale(%scale : f32) -> tensor<2x8x128x64xf16>
    mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
      %width = arith.constant 32 : index
      %first = arith.subi %i, %width : index
      %behind = arith.cmpi sgt, %j, %first : index
      %before = arith.cmpi sle, %j, %i : index
      %seen = arith.andi %behind, %before : i1
      attune.yield %seen : i1
    }
  %z = attune.attention ins(%q, %k, %v : tensor<2x8x128x64xf16>, tensor<2x2x?x64xf16>, tensor<2x2x?x64xf16>)
      scale(%scale : f32) {weighting = #attune.weighting<count>} -> tensor<2x8x128x64xf16>
  return %y, %z : tensor<2x8x128x64xf16>, tensor<2x8x128x64xf16>
}
