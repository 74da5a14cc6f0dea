// RUN: attune-opt %s -split-input-file --attune-raise-linear-attention | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-linear-attention --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>

// The scores are a result of their own.
// REMARK: [Missed] LinearAttnNotRaised | Category:attune-raise
// REMARK-SAME: 'outputs' also uses what 'scores' computes for every query
// CHECK-LABEL: func.func @scores_returned
// CHECK-NOT: attune.linear_attention
func.func @scores_returned(%q: tensor<3x4x8xf32>, %k: tensor<3x4x8xf32>) -> (tensor<3x4x8xf32>, tensor<3x4x4xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32> loc("scores")
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %1 = linalg.contract indexing_maps = [#p, #v, #o] ins(%0, %k : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32> loc("context")
  return %1, %0 : tensor<3x4x8xf32>, tensor<3x4x4xf32> loc("outputs")
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>

// Keys after the query count, those before do not.
// REMARK: the weights have a mask other than causal or of keys
// CHECK-LABEL: func.func @anticausal
// CHECK-NOT: attune.linear_attention
func.func @anticausal(%q: tensor<3x4x8xf32>, %k: tensor<3x4x8xf32>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %w = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%0 : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) {
  ^bb0(%a: f32, %out: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %c = arith.cmpi sge, %j, %i : index
    %x = arith.select %c, %a, %zero : f32
    linalg.yield %x : f32
  } -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %1 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %k : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  return %1 : tensor<3x4x8xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>

// Two layers without an activation: weights are neither keys nor values, and there is no remark.
// REMARK-NOT: LinearAttn
// CHECK-LABEL: func.func @layers
// CHECK-NOT: attune.linear_attention
func.func @layers(%x: tensor<3x4x8xf32>) -> tensor<3x4x8xf32> {
  %w = arith.constant dense<0.5> : tensor<8x8xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%x, %w : tensor<3x4x8xf32>, tensor<8x8xf32>) outs(%f : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %1 = linalg.contract indexing_maps = [#q, #k, #s] ins(%0, %w : tensor<3x4x8xf32>, tensor<8x8xf32>) outs(%f : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  return %1 : tensor<3x4x8xf32>
}

// -----

#l = affine_map<(h, l, d, m) -> (h, l, m)>
#x = affine_map<(h, l, d, m) -> (h, m, d)>
#t = affine_map<(h, l, d, m) -> (h, l, d)>
#q = affine_map<(h, n, l, d) -> (h, n, d)>
#k = affine_map<(h, n, l, d) -> (h, l, d)>
#s = affine_map<(h, n, l, d) -> (h, n, l)>

// Scores of queries with what another attention gives: its map is no value of this product.
// REMARK-NOT: LinearAttn
// CHECK-LABEL: func.func @scores_of_attention
// CHECK-NOT: attune.linear_attention
func.func @scores_of_attention(%a: tensor<3x4x7xf32>, %x: tensor<3x7x8xf32>, %y: tensor<3x5x8xf32>) -> tensor<3x5x4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x7xf32>
  %w = linalg.softmax dimension(2) ins(%a : tensor<3x4x7xf32>) outs(%e : tensor<3x4x7xf32>) -> tensor<3x4x7xf32>
  %e0 = tensor.empty() : tensor<3x4x8xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %0 = linalg.contract indexing_maps = [#l, #x, #t] ins(%w, %x : tensor<3x4x7xf32>, tensor<3x7x8xf32>) outs(%f0 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %e1 = tensor.empty() : tensor<3x5x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  %1 = linalg.contract indexing_maps = [#q, #k, #s] ins(%y, %0 : tensor<3x5x8xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  return %1 : tensor<3x5x4xf32>
}
