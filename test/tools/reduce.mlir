// RUN: attune-reduce %s -reduction-tree='traversal-mode=0 test=%S/Inputs/has-scan.sh' | FileCheck %s

// What does not take part in the failure (here: the presence of a scan) goes away.

// CHECK-NOT: attune.norm
// CHECK: attune.scan
// CHECK-NOT: attune.norm
func.func @interesting(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %y = attune.scan %x {axis = 1 : i64, kind = #attune.scan_kind<sum>} : tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

func.func @dull(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %y = attune.norm ins(%x : tensor<2x4xf32>) {axis = 1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<rms>} -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}
