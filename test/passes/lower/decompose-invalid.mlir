// RUN: attune-opt %s -attune-decompose -split-input-file -verify-diagnostics

func.func @block_index(%q: tensor<1x2x8x4xf32>, %bi: tensor<2x2x1xi32>) -> tensor<1x2x8x4xf32> {
  // expected-error @below {{unsupported: block_index has no reference lowering}}
  %o = attune.attention ins(%q, %q, %q : tensor<1x2x8x4xf32>, tensor<1x2x8x4xf32>, tensor<1x2x8x4xf32>)
    block_index(%bi : tensor<2x2x1xi32>) -> tensor<1x2x8x4xf32>
  return %o : tensor<1x2x8x4xf32>
}
