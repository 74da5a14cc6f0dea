// RUN: attune-opt %s | attune-opt | FileCheck %s

// CHECK-LABEL: func @kernel
// CHECK: attune.yield %{{.*}} : tensor<4xf32>
func.func @kernel(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = "attune.kernel"(%x) <{operandSegmentSizes = array<i32: 1, 0, 0>}> ({
  ^bb0(%a: tensor<4xf32>):
    attune.yield %a : tensor<4xf32>
  }) : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}
