// RUN: attune-opt %s -split-input-file --attune-clean-views | FileCheck %s

// Three assignments to slices.
// CHECK-LABEL: func.func @assembled
// CHECK-SAME: (%[[X:.*]]: tensor<2x4x8xf32>, %[[A:[a-z0-9]*]]: tensor<2x1x8xf32>, %[[B:[a-z0-9]*]]:
// CHECK: %[[LAST:.*]] = tensor.extract_slice %[[X]][0, 2, 0] [2, 2, 8] [1, 1, 1]
// CHECK: %[[Y:.*]] = tensor.concat dim(1) %[[A]], %[[B]], %[[LAST]]
// CHECK-NEXT: return %[[Y]]
func.func @assembled(%x: tensor<2x4x8xf32>, %a: tensor<2x1x8xf32>, %b: tensor<2x1x8xf32>) -> tensor<2x4x8xf32> {
  %0 = tensor.extract_slice %x[0, 1, 0] [2, 3, 8] [1, 1, 1] : tensor<2x4x8xf32> to tensor<2x3x8xf32>
  %1 = tensor.concat dim(1) %a, %0 : (tensor<2x1x8xf32>, tensor<2x3x8xf32>) -> tensor<2x4x8xf32>
  %2 = tensor.extract_slice %1[0, 0, 0] [2, 1, 8] [1, 1, 1] : tensor<2x4x8xf32> to tensor<2x1x8xf32>
  %3 = tensor.extract_slice %1[0, 2, 0] [2, 2, 8] [1, 1, 1] : tensor<2x4x8xf32> to tensor<2x2x8xf32>
  %4 = tensor.concat dim(1) %2, %b, %3 : (tensor<2x1x8xf32>, tensor<2x1x8xf32>, tensor<2x2x8xf32>) -> tensor<2x4x8xf32>
  return %4 : tensor<2x4x8xf32>
}

// -----

// A slice across inputs stays a slice, unless it is concatenated along the same axis.
// CHECK-LABEL: func.func @across
// CHECK: %[[C:.*]] = tensor.concat dim(0)
// CHECK: %[[S:.*]] = tensor.extract_slice %[[C]][1, 0] [4, 8] [1, 1]
// CHECK: tensor.concat dim(1) %[[S]], %[[S]]
func.func @across(%a: tensor<3x8xf32>, %b: tensor<3x8xf32>) -> tensor<4x16xf32> {
  %0 = tensor.concat dim(0) %a, %b : (tensor<3x8xf32>, tensor<3x8xf32>) -> tensor<6x8xf32>
  %1 = tensor.extract_slice %0[1, 0] [4, 8] [1, 1] : tensor<6x8xf32> to tensor<4x8xf32>
  %2 = tensor.concat dim(1) %1, %1 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x16xf32>
  return %2 : tensor<4x16xf32>
}

// -----

// Extents that are not known, strides, and axes that are dropped.
// CHECK-LABEL: func.func @kept
// CHECK: tensor.concat dim(0) %{{.*}}, %{{.*}} : (tensor<?x8xf32>
// CHECK: tensor.extract_slice
// CHECK: tensor.concat
// CHECK: tensor.extract_slice %{{.*}}[0, 0] [2, 8] [2, 1]
// CHECK: tensor.extract_slice %{{.*}}[0, 0] [1, 8] [1, 1] : tensor<6x8xf32> to tensor<8xf32>
func.func @kept(%a: tensor<?x8xf32>, %b: tensor<3x8xf32>) -> (tensor<1x8xf32>, tensor<2x8xf32>, tensor<8xf32>) {
  %0 = tensor.concat dim(0) %a, %b : (tensor<?x8xf32>, tensor<3x8xf32>) -> tensor<?x8xf32>
  %1 = tensor.extract_slice %0[0, 0] [1, 8] [1, 1] : tensor<?x8xf32> to tensor<1x8xf32>
  %2 = tensor.concat dim(0) %b, %b : (tensor<3x8xf32>, tensor<3x8xf32>) -> tensor<6x8xf32>
  %3 = tensor.extract_slice %2[0, 0] [2, 8] [2, 1] : tensor<6x8xf32> to tensor<2x8xf32>
  %4 = tensor.extract_slice %2[0, 0] [1, 8] [1, 1] : tensor<6x8xf32> to tensor<8xf32>
  return %1, %3, %4 : tensor<1x8xf32>, tensor<2x8xf32>, tensor<8xf32>
}
