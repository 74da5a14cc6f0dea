// RUN: attune-opt %s -split-input-file --attune-raise-attention | FileCheck %s

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#row = affine_map<(h, n, m) -> (h, n)>

// Two softmaxes are two attentions; the factor of the rows stays with the results.
// CHECK-LABEL: func.func @difference
// CHECK-SAME: %[[GATE:[a-z0-9]+]]: tensor<3x5xf32>
// CHECK: %[[A:.*]] = attune.attention
// CHECK: %[[B:.*]] = attune.attention
// CHECK: linalg.generic {{.*}} outs
// CHECK: %[[G:.*]] = tensor.extract %[[GATE]]
// CHECK: arith.mulf %{{.*}}, %[[G]]
// CHECK: arith.addf
// CHECK-NOT: linalg.softmax
func.func @difference(%q: tensor<3x5x8xf32>, %k: tensor<3x5x8xf32>, %v: tensor<3x7x8xf32>, %gate: tensor<3x5xf32>) -> tensor<3x5x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x5x7xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x5x7xf32>) -> tensor<3x5x7xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %v : tensor<3x5x8xf32>, tensor<3x7x8xf32>) outs(%f : tensor<3x5x7xf32>) -> tensor<3x5x7xf32>
  %1 = linalg.contract indexing_maps = [#q, #k, #s] ins(%k, %v : tensor<3x5x8xf32>, tensor<3x7x8xf32>) outs(%f : tensor<3x5x7xf32>) -> tensor<3x5x7xf32>
  %p0 = linalg.softmax dimension(2) ins(%0 : tensor<3x5x7xf32>) outs(%e : tensor<3x5x7xf32>) -> tensor<3x5x7xf32>
  %p1 = linalg.softmax dimension(2) ins(%1 : tensor<3x5x7xf32>) outs(%e : tensor<3x5x7xf32>) -> tensor<3x5x7xf32>
  %w = linalg.generic {indexing_maps = [#id, #id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%p0, %p1, %gate : tensor<3x5x7xf32>, tensor<3x5x7xf32>, tensor<3x5xf32>) outs(%e : tensor<3x5x7xf32>) {
  ^bb0(%a: f32, %b: f32, %g: f32, %out: f32):
    %scaled = arith.mulf %b, %g : f32
    %d = arith.subf %a, %scaled : f32
    linalg.yield %d : f32
  } -> tensor<3x5x7xf32>
  %e1 = tensor.empty() : tensor<3x5x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x5x8xf32>) -> tensor<3x5x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %v : tensor<3x5x7xf32>, tensor<3x7x8xf32>) outs(%f1 : tensor<3x5x8xf32>) -> tensor<3x5x8xf32>
  return %2 : tensor<3x5x8xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>

// Heads in pairs: one attention of all heads, each value for two of them.
// CHECK-LABEL: func.func @pairs
// CHECK-SAME: %{{.*}}: tensor<6x5x8xf32>, %{{.*}}: tensor<6x7x8xf32>, %[[V:.*]]: tensor<3x7x4xf32>
// CHECK: linalg.broadcast ins(%[[V]] : tensor<3x7x4xf32>) outs(%{{.*}} : tensor<3x2x7x4xf32>) dimensions = [1]
// CHECK: attune.attention {{.*}} -> tensor<1x6x5x4xf32>
// CHECK: tensor.extract_slice %[[ALL:.*]][0, 0, 0, 0] [3, 1, 5, 4]
// CHECK: tensor.extract_slice %[[ALL]][0, 1, 0, 0] [3, 1, 5, 4]
// CHECK-NOT: attune.attention
func.func @pairs(%q: tensor<6x5x8xf32>, %k: tensor<6x7x8xf32>, %v: tensor<3x7x4xf32>) -> tensor<3x5x4xf32> {
  %zero = arith.constant 0.0 : f32
  %half = arith.constant 0.5 : f32
  %e = tensor.empty() : tensor<6x5x7xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x5x7xf32>) -> tensor<6x5x7xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<6x5x8xf32>, tensor<6x7x8xf32>) outs(%f : tensor<6x5x7xf32>) -> tensor<6x5x7xf32>
  %p = linalg.softmax dimension(2) ins(%0 : tensor<6x5x7xf32>) outs(%e : tensor<6x5x7xf32>) -> tensor<6x5x7xf32>
  %split = tensor.expand_shape %p [[0, 1], [2], [3]] output_shape [3, 2, 5, 7] : tensor<6x5x7xf32> into tensor<3x2x5x7xf32>
  %p0 = tensor.extract_slice %split[0, 0, 0, 0] [3, 1, 5, 7] [1, 1, 1, 1] : tensor<3x2x5x7xf32> to tensor<3x5x7xf32>
  %p1 = tensor.extract_slice %split[0, 1, 0, 0] [3, 1, 5, 7] [1, 1, 1, 1] : tensor<3x2x5x7xf32> to tensor<3x5x7xf32>
  %e0 = tensor.empty() : tensor<3x5x7xf32>
  %w = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%p0, %p1 : tensor<3x5x7xf32>, tensor<3x5x7xf32>) outs(%e0 : tensor<3x5x7xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %scaled = arith.mulf %b, %half : f32
    %d = arith.subf %a, %scaled : f32
    linalg.yield %d : f32
  } -> tensor<3x5x7xf32>
  %e1 = tensor.empty() : tensor<3x5x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %v : tensor<3x5x7xf32>, tensor<3x7x4xf32>) outs(%f1 : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  return %2 : tensor<3x5x4xf32>
}
