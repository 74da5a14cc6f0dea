// RUN: attune-opt %s -resolve-ranked-shaped-type-result-dims -canonicalize -cse | FileCheck %s

// CHECK-LABEL: func @attention
// CHECK-SAME: %[[Q:[a-z0-9]+]]: tensor<?x4x?x8xf32>, %[[K:[a-z0-9]+]]: tensor<?x2x?x8xf32>, %[[V:[a-z0-9]+]]: tensor<?x2x?x?xf32>
// CHECK-DAG: %[[B:.*]] = tensor.dim %[[Q]], %c0
// CHECK-DAG: %[[N:.*]] = tensor.dim %[[Q]], %c2
// CHECK-DAG: %[[E:.*]] = tensor.dim %[[V]], %c3
// CHECK-DAG: %[[M:.*]] = tensor.dim %[[V]], %c2
// CHECK: return %[[B]], %[[N]], %[[E]], %[[M]] : index, index, index, index
func.func @attention(%q: tensor<?x4x?x8xf32>, %k: tensor<?x2x?x8xf32>, %v: tensor<?x2x?x?xf32>) -> (index, index, index, index) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %o:3 = attune.attention ins(%q, %k, %v : tensor<?x4x?x8xf32>, tensor<?x2x?x8xf32>, tensor<?x2x?x?xf32>)
    -> tensor<?x4x?x?xf32> lse(tensor<?x4x?xf32>) logits(tensor<?x4x?x?xf32>)
  %b = tensor.dim %o#0, %c0 : tensor<?x4x?x?xf32>
  %n = tensor.dim %o#1, %c2 : tensor<?x4x?xf32>
  %e = tensor.dim %o#0, %c3 : tensor<?x4x?x?xf32>
  %m = tensor.dim %o#2, %c3 : tensor<?x4x?x?xf32>
  return %b, %n, %e, %m : index, index, index, index
}

// CHECK-LABEL: func @norm
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x4xf32>
// CHECK: %[[D:.*]] = tensor.dim %[[X]], %c0
// CHECK: return %[[D]], %[[D]] : index, index
func.func @norm(%x: tensor<?x4xf32>) -> (index, index) {
  %c0 = arith.constant 0 : index
  %y, %s = attune.norm ins(%x : tensor<?x4xf32>) {axis = 1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<rms>}
    -> tensor<?x4xf32> inv_std(tensor<?x1xf32>)
  %z = attune.scan %y {axis = 0 : i64, kind = #attune.scan_kind<sum>} : tensor<?x4xf32>
  %a = tensor.dim %z, %c0 : tensor<?x4xf32>
  %b = tensor.dim %s, %c0 : tensor<?x1xf32>
  return %a, %b : index, index
}

// CHECK-LABEL: func @dft
// CHECK-SAME: %[[N:[a-z0-9]+]]: index
// CHECK: %[[HALF:.*]] = arith.shrui %[[N]], %c1
// CHECK: %[[K:.*]] = arith.addi %[[HALF]], %c1
// CHECK: return %[[K]] : index
func.func @dft(%x: tensor<4x?x1xf32>, %n: index) -> index {
  %c1 = arith.constant 1 : index
  %y = attune.dft %x length(%n) {axis = 1 : i64, onesided = true} : tensor<4x?x1xf32> -> tensor<4x?x2xf32>
  %k = tensor.dim %y, %c1 : tensor<4x?x2xf32>
  return %k : index
}

// CHECK-LABEL: func @kernel
// CHECK-SAME: %[[N:[a-z0-9]+]]: index, %[[M:[a-z0-9]+]]: index
// CHECK: return %[[M]] : index
func.func @kernel(%x: tensor<?xf32>, %n: index, %m: index) -> index {
  %c1 = arith.constant 1 : index
  %y = attune.kernel ins(%x : tensor<?xf32>) dims(%n, %m) result_dims(%n, %m)
    attributes {input_dims = array<i64: 0>} -> tensor<?x?xf32> {
  ^bb0(%a: tensor<?xf32>, %d: index, %e: index):
    %t = tensor.empty(%d, %e) : tensor<?x?xf32>
    attune.yield %t : tensor<?x?xf32>
  }
  %k = tensor.dim %y, %c1 : tensor<?x?xf32>
  return %k : index
}
