// RUN: attune compile %s --target=cuda --emit=ptx -o - | FileCheck %s --check-prefixes=CHECK,SM80
// RUN: attune compile %s --target=cuda --gpu=sm_90a --emit=ptx -o - | FileCheck %s --check-prefixes=CHECK,SM90

// A norm of short rows: a warp has a row, sums go from lane to lane, nobody waits for the block.
// One of long rows: a block has a row, and its warps put their sums side by side.

// SM80: .target sm_80
// SM90: .target sm_90a
// CHECK-NOT: .local
// CHECK: .visible .entry
// CHECK: .reqntid 256, 1, 1
// CHECK-NOT: bar.sync
// CHECK: shfl.sync.bfly.b32
// CHECK-NOT: bar.sync
// CHECK: ret;
// CHECK-NOT: .local
// CHECK: .visible .entry
// CHECK: shfl.sync.bfly.b32
// CHECK: bar.sync
// CHECK: ret;
func.func @main(%x: tensor<?x96xf32> {attune.name = "x", attune.dims = ["n", ""]},
    %u: tensor<?x4096xf32> {attune.name = "u", attune.dims = ["n", ""]},
    %short: tensor<96xf32> {attune.name = "s"}, %long: tensor<4096xf32> {attune.name = "l"})
    -> (tensor<?x96xf32> {attune.name = "y"}, tensor<?x4096xf32> {attune.name = "z"}) {
  %y = attune.norm ins(%x : tensor<?x96xf32>) scale(%short : tensor<96xf32>)
      {axis = 1 : i64, eps = 1.0e-5 : f64, kind = #attune.norm_kind<rms>} -> tensor<?x96xf32>
  %z = attune.norm ins(%u : tensor<?x4096xf32>) scale(%long : tensor<4096xf32>)
      {axis = 1 : i64, eps = 1.0e-5 : f64, kind = #attune.norm_kind<rms>} -> tensor<?x4096xf32>
  return %y, %z : tensor<?x96xf32>, tensor<?x4096xf32>
}
