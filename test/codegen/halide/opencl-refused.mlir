// RUN: not attune compile %s --target=opencl -o %t.so 2>&1 | FileCheck %s
// RUN: attune compile %s -o %t.so

// CHECK: error: node `gates`: unsupported: the Halide back end does not take this kernel: `scf.for`
func.func @main(%q: tensor<1x2x8x4xf32> {attune.name = "q"}, %g: tensor<1x2x8xf32> {attune.name = "g"})
    -> (tensor<1x2x8x4xf32> {attune.name = "y"}) {
  %y = attune.linear_attention ins(%q, %q, %q : tensor<1x2x8x4xf32>, tensor<1x2x8x4xf32>, tensor<1x2x8x4xf32>)
      decay(%g : tensor<1x2x8xf32>) {update = #attune.update<gated>} -> tensor<1x2x8x4xf32> loc("gates")
  return %y : tensor<1x2x8x4xf32>
}
