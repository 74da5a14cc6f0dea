// RUN: attune compile %s --target=opencl -o %t.so && attune inspect %t.so | FileCheck %s
// RUN: attune inspect %t.so --json | FileCheck %s --check-prefix=JSON
// RUN: FileCheck %s --check-prefix=SOURCE --input-file=%t.so
// RUN: not attune compile %s --target=gpu -o %t.so 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// CHECK: for opencl, host
// CHECK: input x nx8
// CHECK: kernel {{.*}}halide  opencl
// JSON: "backend":"halide","emitter":"opencl"
// SOURCE-COUNT-3: __kernel void _kernel_
// UNKNOWN: --target accepts cpu, opencl or cuda, found `gpu`
func.func @main(%x: tensor<?x8xf32> {attune.name = "x", attune.dims = ["n", ""]})
    -> (tensor<?x8xf32> {attune.name = "y", attune.dims = ["n", ""]}) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
