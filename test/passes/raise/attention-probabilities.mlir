// RUN: attune-opt %s -split-input-file --attune-raise-attention | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-attention --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#factor = affine_map<(h, n, m) -> (h)>

// Weights scaled after the softmax (pruned heads): the result is.
// REMARK: [Passed] AttnRaised
// REMARK-SAME: softmax attention
// CHECK-LABEL: func.func @of_heads
// CHECK-SAME: %[[Q:.*]]: tensor<3x4x8xf32>, %[[G:.*]]: tensor<3xf32>
// CHECK: %[[O:.*]] = attune.attention
// CHECK-NOT: attune.attention
// CHECK: linalg.generic {{.*}} ins(%[[O]] :
// CHECK: %[[H:.*]] = linalg.index 1
// CHECK: tensor.extract %[[G]][%[[H]]]
// CHECK: arith.mulf
func.func @of_heads(%q: tensor<3x4x8xf32>, %g: tensor<3xf32>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %1 = linalg.softmax dimension(2) ins(%0 : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %w = linalg.generic {indexing_maps = [#id, #factor, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%1, %g : tensor<3x4x4xf32>, tensor<3xf32>) outs(%e : tensor<3x4x4xf32>) {
  ^bb0(%a: f32, %c: f32, %out: f32):
    %x = arith.mulf %a, %c : f32
    linalg.yield %x : f32
  } -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %q : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
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
#factor = affine_map<(h, n, m) -> (m)>

// A factor for every key: the values have it.
// REMARK: [Passed] AttnRaised
// REMARK-SAME: softmax attention
// CHECK-LABEL: func.func @of_keys
// CHECK-SAME: %[[Q:.*]]: tensor<3x4x8xf32>, %[[G:.*]]: tensor<4xf32>
// CHECK: %[[V:.*]] = linalg.generic
// CHECK: %[[M:.*]] = linalg.index 2
// CHECK: tensor.extract %[[G]][%[[M]]]
// CHECK: attune.attention ins(%{{.*}}, %{{.*}}, %[[V]]
// CHECK-NOT: attune.attention
func.func @of_keys(%q: tensor<3x4x8xf32>, %g: tensor<4xf32>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %1 = linalg.softmax dimension(2) ins(%0 : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %w = linalg.generic {indexing_maps = [#id, #factor, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%1, %g : tensor<3x4x4xf32>, tensor<4xf32>) outs(%e : tensor<3x4x4xf32>) {
  ^bb0(%a: f32, %c: f32, %out: f32):
    %x = arith.mulf %a, %c : f32
    linalg.yield %x : f32
  } -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %q : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
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
#factor = affine_map<(h, n, m) -> (n, m)>

// A factor for every pair: the weights are a function of scores and the logarithm of their sum.
// REMARK: [Passed] AttnRaised
// CHECK-LABEL: func.func @of_pairs
// CHECK-SAME: %[[Q:.*]]: tensor<3x4x8xf32>, %[[G:.*]]: tensor<4x4xf32>
// CHECK: %[[NONE:.*]] = tensor.extract_slice {{.*}} to tensor<1x3x4x0xf32>
// CHECK: %{{.*}}, %[[LSE:.*]] = attune.attention ins(%{{.*}}, %{{.*}}, %[[NONE]]
// CHECK: attune.attention
// CHECK-SAME: captures(%[[G]], %[[LSE]] : tensor<4x4xf32>, tensor<1x3x4xf32>)
// CHECK-SAME: weighting = #attune.weighting<none>
// CHECK: %[[L:.*]] = tensor.extract
// CHECK: %[[D:.*]] = arith.subf %{{.*}}, %[[L]]
// CHECK: %[[E:.*]] = math.exp %[[D]]
// CHECK: arith.select %{{.*}}, %{{.*}}, %[[E]]
// CHECK: arith.mulf
func.func @of_pairs(%q: tensor<3x4x8xf32>, %g: tensor<4x4xf32>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %1 = linalg.softmax dimension(2) ins(%0 : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %w = linalg.generic {indexing_maps = [#id, #factor, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%1, %g : tensor<3x4x4xf32>, tensor<4x4xf32>) outs(%e : tensor<3x4x4xf32>) {
  ^bb0(%a: f32, %c: f32, %out: f32):
    %x = arith.mulf %a, %c : f32
    linalg.yield %x : f32
  } -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %q : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
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
#factor = affine_map<(h, n, m) -> (h)>

// Any other function of single probabilities.
// REMARK: [Passed] AttnRaised
// CHECK-LABEL: func.func @changed
// CHECK: attune.attention
// CHECK: weighting = #attune.weighting<none>
// CHECK: math.exp
// CHECK: arith.subf
// CHECK: arith.maximumf
func.func @changed(%q: tensor<3x4x8xf32>, %g: tensor<3xf32>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %1 = linalg.softmax dimension(2) ins(%0 : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %w = linalg.generic {indexing_maps = [#id, #factor, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%1, %g : tensor<3x4x4xf32>, tensor<3xf32>) outs(%e : tensor<3x4x4xf32>) {
  ^bb0(%a: f32, %c: f32, %out: f32):
    %d = arith.subf %a, %c : f32
    %x = arith.maximumf %d, %zero : f32
    linalg.yield %x : f32
  } -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %q : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  return %2 : tensor<3x4x8xf32>
}
