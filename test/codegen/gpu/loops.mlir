// RUN: attune compile %s --target=cuda --emit=ptx -o - | FileCheck %s --check-prefixes=CHECK,SM80
// RUN: attune compile %s --target=cuda --gpu=sm_90a --emit=ptx -o - | FileCheck %s --check-prefixes=CHECK,SM90

// What no other emitter takes: a thread per sum of a running sum, whose steps are inside.

// SM80: .target sm_80
// SM90: .target sm_90a
// CHECK-NOT: .local
// CHECK: .visible .entry
// CHECK: .reqntid 256, 1, 1
// CHECK: add{{(.rn)?}}.f32
// CHECK: st.global.b32
// CHECK: bra
// CHECK: ret;
func.func @main(%x: tensor<?x8x4xf32> {attune.name = "x", attune.dims = ["n", "", ""]})
    -> (tensor<?x8x4xf32> {attune.name = "y"}) {
  %y = attune.scan %x {axis = 1 : i64, kind = #attune.scan_kind<sum>} : tensor<?x8x4xf32>
  return %y : tensor<?x8x4xf32>
}
