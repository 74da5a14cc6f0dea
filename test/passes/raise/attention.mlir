// RUN: attune-opt %s -split-input-file --attune-raise-attention --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 | FileCheck %s

#scores = affine_map<(b, h, n, m, d) -> (b, h, n, d)>
#keys_t = affine_map<(b, h, n, m, d) -> (b, h, d, m)>
#weights = affine_map<(b, h, n, m, d) -> (b, h, n, m)>
#p = affine_map<(b, h, n, e, m) -> (b, h, n, m)>
#v = affine_map<(b, h, n, e, m) -> (b, h, m, e)>
#o = affine_map<(b, h, n, e, m) -> (b, h, n, e)>
#id = affine_map<(b, h, n, m) -> (b, h, n, m)>
#row = affine_map<(b, h, n, m) -> (b, 0, 0, m)>

// Factors on queries and keys, 0 / -inf bias from a bool mask, guard against rows of NaN.
// CHECK: remark: [Passed] AttnRaised | Category:attune-raise
// CHECK-SAME: scale, mask region, empty rows zero
// CHECK-LABEL: func.func @guarded
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x?x384xf32>{{.*}}, %[[MASK:[^:]*]]: tensor<?x?xi1>
// CHECK: %[[Q:.*]] = linalg.transpose
// CHECK: %[[K:.*]] = linalg.transpose
// CHECK: %[[V:.*]] = linalg.transpose
// CHECK: %[[SCALE:.*]] = arith.constant 0.1767{{[0-9]*}} : f32
// CHECK: %[[O:[^ ]*]] = attune.attention ins(%[[Q]], %[[K]], %[[V]]
// CHECK-SAME: scale(%[[SCALE]] : f32) captures(%[[MASK]] : tensor<?x?xi1>)
// CHECK-NOT: score {
// CHECK: mask {
// CHECK: ^bb0(%[[B:.*]]: index, %{{.*}}: index, %{{.*}}: index, %[[J:.*]]: index, %{{.*}}: index, %{{.*}}: index, %[[CAP:.*]]: tensor<?x?xi1>):
// CHECK: %[[ALLOWED:.*]] = tensor.extract %[[CAP]][%[[B]], %[[J]]]
// CHECK: attune.yield %[[ALLOWED]] : i1
// CHECK: linalg.transpose ins(%[[O]]
// CHECK-NOT: linalg.softmax
func.func @guarded(%x: tensor<?x?x384xf32> {attune.dims = ["b", "s", ""]},
                   %mask: tensor<?x?xi1> {attune.dims = ["b", "s"]}) -> tensor<?x?x12x32xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %ninf = arith.constant 0xFF800000 : f32
  %root = arith.constant 0.420448214 : f32
  %b = tensor.dim %x, %c0 : tensor<?x?x384xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x384xf32>
  %heads = tensor.expand_shape %x [[0], [1], [2, 3]] output_shape [%b, %s, 12, 32] : tensor<?x?x384xf32> into tensor<?x?x12x32xf32>
  %e0 = tensor.empty(%b, %s) : tensor<?x12x?x32xf32>
  %q = linalg.transpose ins(%heads : tensor<?x?x12x32xf32>) outs(%e0 : tensor<?x12x?x32xf32>) permutation = [0, 2, 1, 3]
  %qs = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%q : tensor<?x12x?x32xf32>) outs(%e0 : tensor<?x12x?x32xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %root : f32
    linalg.yield %0 : f32
  } -> tensor<?x12x?x32xf32>
  // Keys go through [B*H, M, D], as some exporters write them.
  %flat = tensor.collapse_shape %q [[0, 1], [2], [3]] : tensor<?x12x?x32xf32> into tensor<?x?x32xf32>
  %c12 = arith.constant 12 : index
  %bh = arith.muli %b, %c12 : index
  %e1 = tensor.empty(%bh, %s) : tensor<?x32x?xf32>
  %flat_t = linalg.transpose ins(%flat : tensor<?x?x32xf32>) outs(%e1 : tensor<?x32x?xf32>) permutation = [0, 2, 1]
  %kt = tensor.expand_shape %flat_t [[0, 1], [2], [3]] output_shape [%b, 12, 32, %s] : tensor<?x32x?xf32> into tensor<?x12x32x?xf32>
  %e2 = tensor.empty(%b, %s) : tensor<?x12x32x?xf32>
  %ks = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%kt : tensor<?x12x32x?xf32>) outs(%e2 : tensor<?x12x32x?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %root : f32
    linalg.yield %0 : f32
  } -> tensor<?x12x32x?xf32>
  // The bias: [B,S] -> [B,1,1,S] -> select.
  %mask4 = tensor.expand_shape %mask [[0], [1, 2, 3]] output_shape [%b, 1, 1, %s] : tensor<?x?xi1> into tensor<?x1x1x?xi1>
  %e3 = tensor.empty(%b, %s) : tensor<?x1x1x?xf32>
  %bias = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%mask4 : tensor<?x1x1x?xi1>) outs(%e3 : tensor<?x1x1x?xf32>) {
  ^bb0(%in: i1, %out: f32):
    %0 = arith.select %in, %zero, %ninf : f32
    linalg.yield %0 : f32
  } -> tensor<?x1x1x?xf32>
  %e4 = tensor.empty(%b, %s, %s) : tensor<?x12x?x?xf32>
  %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<?x12x?x?xf32>) -> tensor<?x12x?x?xf32>
  %sc = linalg.contract indexing_maps = [#scores, #keys_t, #weights] ins(%qs, %ks : tensor<?x12x?x32xf32>, tensor<?x12x32x?xf32>) outs(%f4 : tensor<?x12x?x?xf32>) -> tensor<?x12x?x?xf32>
  %biased = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%sc, %bias : tensor<?x12x?x?xf32>, tensor<?x1x1x?xf32>) outs(%e4 : tensor<?x12x?x?xf32>) {
  ^bb0(%a: f32, %c: f32, %out: f32):
    %0 = arith.addf %a, %c : f32
    linalg.yield %0 : f32
  } -> tensor<?x12x?x?xf32>
  %soft = linalg.softmax dimension(3) ins(%biased : tensor<?x12x?x?xf32>) outs(%e4 : tensor<?x12x?x?xf32>) -> tensor<?x12x?x?xf32>
  %e5 = tensor.empty(%b, %s, %s) : tensor<?x12x?x?xi1>
  %nan = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%soft : tensor<?x12x?x?xf32>) outs(%e5 : tensor<?x12x?x?xi1>) {
  ^bb0(%in: f32, %out: i1):
    %0 = arith.cmpf uno, %in, %in : f32
    linalg.yield %0 : i1
  } -> tensor<?x12x?x?xi1>
  %guarded = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%nan, %soft : tensor<?x12x?x?xi1>, tensor<?x12x?x?xf32>) outs(%e4 : tensor<?x12x?x?xf32>) {
  ^bb0(%c: i1, %in: f32, %out: f32):
    %0 = arith.select %c, %zero, %in : f32
    linalg.yield %0 : f32
  } -> tensor<?x12x?x?xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<?x12x?x32xf32>) -> tensor<?x12x?x32xf32>
  %ctx = linalg.contract indexing_maps = [#p, #v, #o] ins(%guarded, %q : tensor<?x12x?x?xf32>, tensor<?x12x?x32xf32>) outs(%f0 : tensor<?x12x?x32xf32>) -> tensor<?x12x?x32xf32>
  %e6 = tensor.empty(%b, %s) : tensor<?x?x12x32xf32>
  %back = linalg.transpose ins(%ctx : tensor<?x12x?x32xf32>) outs(%e6 : tensor<?x?x12x32xf32>) permutation = [0, 2, 1, 3]
  return %back : tensor<?x?x12x32xf32>
}

// -----

#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>

// Scores that are no contraction, for one head of queries after the other.
// CHECK-LABEL: func.func @given_scores
// CHECK-SAME: %[[S:.*]]: tensor<3x4x6xf32>
// CHECK: %[[R:.*]] = tensor.expand_shape %[[S]]
// CHECK: attune.attention ins({{.*}}) scores(%[[R]] : tensor<1x3x4x6xf32>) {empty_row = #attune.empty_row<nan>}
// CHECK-NOT: score {
func.func @given_scores(%s: tensor<3x4x6xf32>, %v: tensor<3x6x8xf32>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x6xf32>
  %1 = linalg.softmax dimension(2) ins(%s : tensor<3x4x6xf32>) outs(%e : tensor<3x4x6xf32>) -> tensor<3x4x6xf32>
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %v : tensor<3x4x6xf32>, tensor<3x6x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  return %2 : tensor<3x4x8xf32>
}

// -----

#p = affine_map<(b, h, n, e, m) -> (b, h, n, m)>
#v = affine_map<(b, h, n, e, m) -> (b, h, m, e)>
#o = affine_map<(b, h, n, e, m) -> (b, h, n, e)>

// Mixed maps have the extents of the maps that they mix; one batch is no copy.
// CHECK-LABEL: func.func @mixed_scores
// CHECK: attune.map_mix
// CHECK-NOT: linalg.broadcast
// CHECK: attune.attention ins({{.*}}) scores({{.*}} : tensor<1x2x?x?xf32>) {empty_row = #attune.empty_row<nan>}
func.func @mixed_scores(%s: tensor<1x2x?x?xf32> {attune.dims = ["", "", "n", "m"]},
    %w: tensor<2x2x3x3xf32>, %bias: tensor<2xf32>,
    %v: tensor<1x2x?x8xf32> {attune.dims = ["", "", "m", ""]}) -> tensor<1x2x?x8xf32> {
  %zero = arith.constant 0.0 : f32
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %rows = tensor.dim %s, %c2 : tensor<1x2x?x?xf32>
  %keys = tensor.dim %s, %c3 : tensor<1x2x?x?xf32>
  %mixed = attune.map_mix ins(%s : tensor<1x2x?x?xf32>) weights(%w : tensor<2x2x3x3xf32>)
      biases(%bias : tensor<2xf32>) {groups = array<i64: 1>, dilations = array<i64: 1>,
      acts = [#attune.map_act<relu>], slopes = array<f64: 0.0>} -> tensor<1x2x?x?xf32>
  %e0 = tensor.empty(%rows, %keys) : tensor<1x2x?x?xf32>
  %soft = linalg.softmax dimension(3) ins(%mixed : tensor<1x2x?x?xf32>) outs(%e0 : tensor<1x2x?x?xf32>) -> tensor<1x2x?x?xf32>
  %e1 = tensor.empty(%rows) : tensor<1x2x?x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x2x?x8xf32>) -> tensor<1x2x?x8xf32>
  %r = linalg.contract indexing_maps = [#p, #v, #o] ins(%soft, %v : tensor<1x2x?x?xf32>, tensor<1x2x?x8xf32>) outs(%f : tensor<1x2x?x8xf32>) -> tensor<1x2x?x8xf32>
  return %r : tensor<1x2x?x8xf32>
}
