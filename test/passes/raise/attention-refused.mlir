// RUN: attune-opt %s -split-input-file --attune-raise-attention | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-attention --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>

// REMARK: [Missed] AttnNotRaised | Category:attune-raise
// REMARK-SAME: 'outputs' also uses the probabilities
// REMARK-SAME: nodes probs, context
// CHECK-LABEL: func.func @probabilities_returned
// CHECK-NOT: attune.attention
func.func @probabilities_returned(%q: tensor<3x4x8xf32>) -> (tensor<3x4x8xf32>, tensor<3x4x4xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32> loc("scores")
  %1 = linalg.softmax dimension(2) ins(%0 : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32> loc("probs")
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %q : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32> loc("context")
  return %2, %1 : tensor<3x4x8xf32>, tensor<3x4x4xf32> loc("outputs")
}

// -----

#p = affine_map<(n, e, m) -> (n, m)>
#v = affine_map<(n, e, m) -> (n, m, e)>
#o = affine_map<(n, e, m) -> (n, e)>

// A mixture of experts: every row has its own values.
// REMARK: the scores do not come from a contraction of queries and keys, and no axis
// CHECK-LABEL: func.func @mixture
// CHECK-NOT: attune.attention
func.func @mixture(%s: tensor<4x6xf32>, %v: tensor<4x6x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x6xf32>
  %1 = linalg.softmax dimension(1) ins(%s : tensor<4x6xf32>) outs(%e : tensor<4x6xf32>) -> tensor<4x6xf32>
  %e1 = tensor.empty() : tensor<4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<4x8xf32>) -> tensor<4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %v : tensor<4x6xf32>, tensor<4x6x8xf32>) outs(%f1 : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %2 : tensor<4x8xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>

// REMARK: the softmax runs over another axis than the sum with the values
// CHECK-LABEL: func.func @over_queries
// CHECK-NOT: attune.attention
func.func @over_queries(%q: tensor<3x4x8xf32>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %1 = linalg.softmax dimension(1) ins(%0 : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %q : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  return %2 : tensor<3x4x8xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>

// Scores that reach one of their row: the attention would round the other side of the comparison anew.
// REMARK: score or mask depend on other scores of the row
// CHECK-LABEL: func.func @among_the_greatest
// CHECK-NOT: attune.attention
func.func @among_the_greatest(%q: tensor<3x4x8xf32>, %rank: tensor<3x4xindex>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %never = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %m = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%0 : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) {
  ^bb0(%x: f32, %out: f32):
    %h = linalg.index 0 : index
    %n = linalg.index 1 : index
    %at = tensor.extract %rank[%h, %n] : tensor<3x4xindex>
    %least = tensor.extract %0[%h, %n, %at] : tensor<3x4x4xf32>
    %below = arith.cmpf olt, %x, %least : f32
    %y = arith.select %below, %never, %x : f32
    linalg.yield %y : f32
  } -> tensor<3x4x4xf32>
  %1 = linalg.softmax dimension(2) ins(%m : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %q : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  return %2 : tensor<3x4x8xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#row = affine_map<(h, n, m) -> (h, n)>
#table = affine_map<(h, n) -> (h, n)>

// The same where the threshold was read from the scores before.
// REMARK: score or mask depend on other scores of the row
// CHECK-LABEL: func.func @among_the_greatest_read_before
// CHECK-NOT: attune.attention
func.func @among_the_greatest_read_before(%q: tensor<3x4x8xf32>, %rank: tensor<3x4xindex>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %never = arith.constant 0xFF800000 : f32
  %c4 = arith.constant 4 : index
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %et = tensor.empty() : tensor<3x4xf32>
  %t = linalg.generic {indexing_maps = [#table, #table], iterator_types = ["parallel", "parallel"]}
      ins(%rank : tensor<3x4xindex>) outs(%et : tensor<3x4xf32>) {
  ^bb0(%at: index, %out: f32):
    %h = linalg.index 0 : index
    %n = linalg.index 1 : index
    %inside = arith.cmpi ult, %at, %c4 : index
    cf.assert %inside, "out of bounds"
    %x = tensor.extract %0[%h, %n, %at] : tensor<3x4x4xf32>
    linalg.yield %x : f32
  } -> tensor<3x4xf32>
  %m = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%0, %t : tensor<3x4x4xf32>, tensor<3x4xf32>) outs(%e : tensor<3x4x4xf32>) {
  ^bb0(%x: f32, %least: f32, %out: f32):
    %below = arith.cmpf olt, %x, %least : f32
    %y = arith.select %below, %never, %x : f32
    linalg.yield %y : f32
  } -> tensor<3x4x4xf32>
  %1 = linalg.softmax dimension(2) ins(%m : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %q : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  return %2 : tensor<3x4x8xf32>
}
