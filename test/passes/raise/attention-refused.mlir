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
