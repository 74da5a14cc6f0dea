// RUN: not attune compile %s --backend=halide -o %t.so 2>&1 | FileCheck %s
// RUN: attune compile %s --backend=auto -o %t.so

// CHECK: error: node `running sum`: unsupported: the Halide back end does not take this kernel: `scf.for`
func.func @main(%x: tensor<4x8xf32> {attune.name = "x", attune.dims = ["", ""]})
    -> (tensor<4x8xf32> {attune.name = "y", attune.dims = ["", ""]}) {
  %y = attune.scan %x {axis = 1 : i64, kind = #attune.scan_kind<sum>} : tensor<4x8xf32> loc("running sum")
  return %y : tensor<4x8xf32>
}
