// RUN: attune compile %s --backend=halide -o %t.so && attune inspect %t.so | FileCheck %s --check-prefix=HALIDE
// RUN: attune compile %s --backend=mlir -o %t.so && attune inspect %t.so | FileCheck %s --check-prefix=MLIR
// RUN: attune inspect %t.so --json | FileCheck %s --check-prefix=JSON
// RUN: attune check %s --backend=halide --dim n=37 --tolerance=1e-5
// RUN: not attune compile %s --backend=none -o %t.so 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// HALIDE: input x nx8
// HALIDE: kernel {{.*}}halide  halide
// MLIR: kernel {{.*}}mlir    rowwise
// JSON: "backend":"mlir","emitter":"rowwise"
// UNKNOWN: --backend accepts auto, mlir or halide, found `none`
func.func @main(%x: tensor<?x8xf32> {attune.name = "x", attune.dims = ["n", ""]})
    -> (tensor<?x8xf32> {attune.name = "y", attune.dims = ["n", ""]}) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
