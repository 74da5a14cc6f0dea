// RUN: attune-opt %s -split-input-file --attune-push-map-mix | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-push-map-mix --remarks-filter=attune-rewrite --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#q = affine_map<(b, g, h, n, m, d) -> (b, g, n, d)>
#k = affine_map<(b, g, h, n, m, d) -> (b, h, m, d)>
#s = affine_map<(b, g, h, n, m, d) -> (b, g, h, n, m)>

// 2 mixed keys per query head instead of 3 pairs.
// REMARK: remark: [Passed] MapMixPushed
// CHECK-LABEL: func.func @pushed
// CHECK: %[[K:.*]] = linalg.contract {{.*}} -> tensor<?x4x2x?x8xf32>
// CHECK: %[[Q:.*]] = linalg.broadcast ins(%arg0 {{.*}} dimensions = [4]
// CHECK: linalg.contract {{.*}} ins(%[[Q]], %[[K]] : {{.*}} -> tensor<?x4x2x?x?xf32>
// CHECK: %[[A:.*]] = linalg.generic
// CHECK: arith.addf
// CHECK: arith.maximumf
// CHECK: attune.map_mix ins(%[[A]] : tensor<?x8x?x?xf32>) weights(%arg4 : tensor<4x2x1x1xf32>)
// CHECK-SAME: groups = array<i64: 4>
func.func @pushed(%q: tensor<?x4x?x8xf32>, %k: tensor<?x3x?x8xf32>, %w: tensor<8x3x1x1xf32>,
    %b: tensor<8xf32>, %w2: tensor<4x2x1x1xf32>, %b2: tensor<4xf32>, %init: tensor<?x4x3x?x?xf32>)
    -> tensor<?x4x?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%init : tensor<?x4x3x?x?xf32>) -> tensor<?x4x3x?x?xf32>
  %s = linalg.contract indexing_maps = [#q, #k, #s]
      ins(%q, %k : tensor<?x4x?x8xf32>, tensor<?x3x?x8xf32>) outs(%f : tensor<?x4x3x?x?xf32>)
      -> tensor<?x4x3x?x?xf32>
  %c = tensor.collapse_shape %s [[0], [1, 2], [3], [4]]
      : tensor<?x4x3x?x?xf32> into tensor<?x12x?x?xf32>
  %m = attune.map_mix ins(%c : tensor<?x12x?x?xf32>)
      weights(%w, %w2 : tensor<8x3x1x1xf32>, tensor<4x2x1x1xf32>)
      biases(%b, %b2 : tensor<8xf32>, tensor<4xf32>)
      {groups = array<i64: 4, 4>, dilations = array<i64: 1, 1>,
       acts = [#attune.map_act<relu>, #attune.map_act<none>], slopes = array<f64: 0.0, 0.0>}
      -> tensor<?x4x?x?xf32>
  return %m : tensor<?x4x?x?xf32>
}

// -----

#q = affine_map<(b, g, h, n, m, d) -> (b, g, n, d)>
#k = affine_map<(b, g, h, n, m, d) -> (b, h, m, d)>
#s = affine_map<(b, g, h, n, m, d) -> (b, g, h, n, m)>

// A neighbourhood is mixed: keys of one position do not hold it.
// REMARK: remark: [Missed] MapMixNotPushed
// REMARK-SAME: the first stage mixes neighbouring positions
// CHECK-LABEL: func.func @neighbours
// CHECK: attune.map_mix ins(%{{.*}} : tensor<?x12x?x?xf32>)
func.func @neighbours(%q: tensor<?x4x?x8xf32>, %k: tensor<?x3x?x8xf32>,
    %w: tensor<8x3x3x1xf32>, %b: tensor<8xf32>, %init: tensor<?x4x3x?x?xf32>)
    -> tensor<?x8x?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%init : tensor<?x4x3x?x?xf32>) -> tensor<?x4x3x?x?xf32>
  %s = linalg.contract indexing_maps = [#q, #k, #s]
      ins(%q, %k : tensor<?x4x?x8xf32>, tensor<?x3x?x8xf32>) outs(%f : tensor<?x4x3x?x?xf32>)
      -> tensor<?x4x3x?x?xf32>
  %c = tensor.collapse_shape %s [[0], [1, 2], [3], [4]]
      : tensor<?x4x3x?x?xf32> into tensor<?x12x?x?xf32>
  %m = attune.map_mix ins(%c : tensor<?x12x?x?xf32>) weights(%w : tensor<8x3x3x1xf32>)
      biases(%b : tensor<8xf32>) {groups = array<i64: 4>, dilations = array<i64: 1>,
       acts = [#attune.map_act<none>], slopes = array<f64: 0.0>} -> tensor<?x8x?x?xf32>
  return %m : tensor<?x8x?x?xf32>
}
