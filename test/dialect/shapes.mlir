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

// CHECK-LABEL: func @linear_attention
// CHECK-SAME: %[[Q:[a-z0-9]+]]: tensor<?x4x?x?xf32>, %[[K:[a-z0-9]+]]: tensor<?x?x?x?xf32>, %[[T:[a-z0-9]+]]: tensor<?x?xf32>
// CHECK-DAG: %[[H:.*]] = tensor.dim %[[K]], %c1
// CHECK-DAG: %[[D:.*]] = tensor.dim %[[Q]], %c3
// CHECK-DAG: %[[R:.*]] = tensor.dim %[[T]], %c0
// CHECK-DAG: %[[E:.*]] = tensor.dim %[[K]], %c3
// CHECK-DAG: %[[F:.*]] = affine.apply #{{.*}}()[%[[R]], %[[D]]]
// CHECK: return %[[H]], %[[F]], %[[E]], %[[F]] : index, index, index, index
func.func @linear_attention(%q: tensor<?x4x?x?xf32>, %k: tensor<?x?x?x?xf32>, %t: tensor<?x?xf32>) -> (index, index, index, index) {
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %o:3 = attune.linear_attention ins(%q, %k, %k : tensor<?x4x?x?xf32>, tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>)
    pos(%t, %t : tensor<?x?xf32>, tensor<?x?xf32>) {norm = #attune.weighting<sum>}
    -> tensor<?x4x?x?xf32> final_state(tensor<?x?x?x?xf32>) final_norm(tensor<?x?x?xf32>)
  %h = tensor.dim %o#1, %c1 : tensor<?x?x?x?xf32>
  %f = tensor.dim %o#1, %c2 : tensor<?x?x?x?xf32>
  %e = tensor.dim %o#0, %c3 : tensor<?x4x?x?xf32>
  %g = tensor.dim %o#2, %c2 : tensor<?x?x?xf32>
  return %h, %f, %e, %g : index, index, index, index
}

// CHECK-LABEL: func @ema
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x?x?xf32>
// CHECK-DAG: %[[L:.*]] = tensor.dim %[[X]], %c1
// CHECK-DAG: %[[C:.*]] = tensor.dim %[[X]], %c2
// CHECK: return %[[L]], %[[C]] : index, index
func.func @ema(%x: tensor<?x?x?xf32>, %a: tensor<?x3xf32>) -> (index, index) {
  %c1 = arith.constant 1 : index
  %y, %s = attune.ema ins(%x : tensor<?x?x?xf32>) coeffs(%a, %a, %a : tensor<?x3xf32>, tensor<?x3xf32>, tensor<?x3xf32>)
    -> tensor<?x?x?xf32> final_state(tensor<?x?x3xf32>)
  %l = tensor.dim %y, %c1 : tensor<?x?x?xf32>
  %c = tensor.dim %s, %c1 : tensor<?x?x3xf32>
  return %l, %c : index, index
}

// CHECK-LABEL: func @toeplitz
// CHECK-SAME: %[[C:[a-z0-9]+]]: tensor<?xf32>, %[[X:[a-z0-9]+]]: tensor<1x?x4xf32>
// CHECK-DAG: %[[K:.*]] = tensor.dim %[[C]], %c0
// CHECK-DAG: %[[M:.*]] = tensor.dim %[[X]], %c1
// CHECK: %[[N:.*]] = affine.apply #{{.*}}()[%[[K]], %[[M]]]
// CHECK: return %[[N]] : index
func.func @toeplitz(%c: tensor<?xf32>, %x: tensor<1x?x4xf32>) -> index {
  %c1 = arith.constant 1 : index
  %y = attune.toeplitz ins(%c, %x : tensor<?xf32>, tensor<1x?x4xf32>) {direction = #attune.direction<bidirectional>} -> tensor<1x?x4xf32>
  %n = tensor.dim %y, %c1 : tensor<1x?x4xf32>
  return %n : index
}

// CHECK-LABEL: func @map_mix
// CHECK-SAME: %[[M:[a-z0-9]+]]: tensor<1x4x?x?xf32>, %[[W:[a-z0-9]+]]: tensor<?x4x1x1xf32>
// CHECK-DAG: %[[O:.*]] = tensor.dim %[[W]], %c0
// CHECK-DAG: %[[N:.*]] = tensor.dim %[[M]], %c2
// CHECK: return %[[O]], %[[N]] : index, index
func.func @map_mix(%m: tensor<1x4x?x?xf32>, %w: tensor<?x4x1x1xf32>, %b: tensor<?xf32>) -> (index, index) {
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %y = attune.map_mix ins(%m : tensor<1x4x?x?xf32>) weights(%w : tensor<?x4x1x1xf32>) biases(%b : tensor<?xf32>)
    {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<1x?x?x?xf32>
  %o = tensor.dim %y, %c1 : tensor<1x?x?x?xf32>
  %n = tensor.dim %y, %c2 : tensor<1x?x?x?xf32>
  return %o, %n : index, index
}

// CHECK-LABEL: func @contract
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x6xf32>, %[[W:[a-z0-9]+]]: tensor<3x6xf32>, %[[Z:[a-z0-9]+]]: tensor<?x3xf32>
// CHECK: %[[M:.*]] = tensor.dim %[[Z]], %c0
// CHECK: return %[[M]] : index
func.func @contract(%x: tensor<?x6xf32>, %w: tensor<3x6xf32>, %z: tensor<?x3xf32>) -> index {
  %c0 = arith.constant 0 : index
  %y = attune.contract ins(%x, %w : tensor<?x6xf32>, tensor<3x6xf32>) outs(%z : tensor<?x3xf32>)
    {kind = #attune.contract_kind<adder>,
     indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  %m = tensor.dim %y, %c0 : tensor<?x3xf32>
  return %m : index
}
