// RUN: attune-opt %s -split-input-file --attune-raise-scatter-windows --canonicalize | FileCheck %s

// Columns 2 to 4 of every row, at constant places.
// CHECK-LABEL: func.func @constant
// CHECK-SAME: %[[X:.*]]: tensor<2x6xf32>, %[[U:.*]]: tensor<2x3xf32>
// CHECK: %[[L:.*]] = tensor.extract_slice %[[X]][0, 0] [2, 2] [1, 1]
// CHECK: %[[R:.*]] = tensor.extract_slice %[[X]][0, 5] [2, 1] [1, 1]
// CHECK: %[[Y:.*]] = tensor.concat dim(1) %[[L]], %[[U]], %[[R]]
// CHECK: return %[[Y]]
func.func @constant(%x: tensor<2x6xf32>, %u: tensor<2x3xf32>) -> tensor<2x6xf32> {
  %at = arith.constant dense<[[[0, 2], [0, 3], [0, 4]], [[1, 2], [1, 3], [1, 4]]]> : tensor<2x3x2xi64>
  %y = attune.scatter ins(%x, %at, %u : tensor<2x6xf32>, tensor<2x3x2xi64>, tensor<2x3xf32>) -> tensor<2x6xf32>
  return %y : tensor<2x6xf32>
}

// -----

// Rows that the model counts, and all columns: the updates, with their axes in the data's order.
// CHECK-LABEL: func.func @ranges
// CHECK-SAME: %[[X:.*]]: tensor<?x4xf32>, %[[U:.*]]: tensor<4x?xf32>
// CHECK: %[[W:.*]] = linalg.exp ins(%[[U]]
// CHECK-NOT: attune.scatter
// CHECK: %[[T:.*]] = linalg.transpose ins(%[[W]] : tensor<4x?xf32>) {{.*}} permutation = [1, 0]
// CHECK-NEXT: return %[[T]]
func.func @ranges(%x: tensor<?x4xf32>, %u: tensor<4x?xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%n) : tensor<4x?x2xi64>
  %at = linalg.generic {indexing_maps = [affine_map<(i, j, c) -> (i, j, c)>], iterator_types = ["parallel", "parallel", "parallel"]}
      outs(%e : tensor<4x?x2xi64>) {
  ^bb0(%out: i64):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %c = linalg.index 2 : index
    %zero = arith.constant 0 : index
    %first = arith.cmpi eq, %c, %zero : index
    %k = arith.select %first, %j, %i : index
    %r = arith.index_cast %k : index to i64
    linalg.yield %r : i64
  } -> tensor<4x?x2xi64>
  %e2 = tensor.empty(%n) : tensor<4x?xf32>
  %w = linalg.exp ins(%u : tensor<4x?xf32>) outs(%e2 : tensor<4x?xf32>) -> tensor<4x?xf32>
  %y = attune.scatter ins(%x, %at, %w : tensor<?x4xf32>, tensor<4x?x2xi64>, tensor<4x?xf32>) -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// -----

// One place several times, a stride, two partial axes, and sums stay.
// CHECK-LABEL: func.func @kept
// CHECK-COUNT-4: attune.scatter
func.func @kept(%x: tensor<6x6xf32>, %u: tensor<2x6xf32>, %v: tensor<2x2xf32>) -> (tensor<6x6xf32>, tensor<6x6xf32>, tensor<6x6xf32>, tensor<6x6xf32>) {
  %same = arith.constant dense<[[1], [1]]> : tensor<2x1xi64>
  %a = attune.scatter ins(%x, %same, %u : tensor<6x6xf32>, tensor<2x1xi64>, tensor<2x6xf32>) -> tensor<6x6xf32>
  %steps = arith.constant dense<[[1], [3]]> : tensor<2x1xi64>
  %b = attune.scatter ins(%x, %steps, %u : tensor<6x6xf32>, tensor<2x1xi64>, tensor<2x6xf32>) -> tensor<6x6xf32>
  %corner = arith.constant dense<[[[1, 2], [1, 3]], [[2, 2], [2, 3]]]> : tensor<2x2x2xi64>
  %c = attune.scatter ins(%x, %corner, %v : tensor<6x6xf32>, tensor<2x2x2xi64>, tensor<2x2xf32>) -> tensor<6x6xf32>
  %next = arith.constant dense<[[1], [2]]> : tensor<2x1xi64>
  %d = attune.scatter ins(%x, %next, %u : tensor<6x6xf32>, tensor<2x1xi64>, tensor<2x6xf32>) -> tensor<6x6xf32> combine {
  ^bb0(%old: f32, %new: f32):
    %s = arith.addf %old, %new : f32
    attune.yield %s : f32
  }
  return %a, %b, %c, %d : tensor<6x6xf32>, tensor<6x6xf32>, tensor<6x6xf32>, tensor<6x6xf32>
}
