// RUN: attune-opt %s -split-input-file --attune-raise-map-mix | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-map-mix --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#x = affine_map<(n, m, h, w, c, i, j) -> (n, c, h + i, w + j)>
#f = affine_map<(n, m, h, w, c, i, j) -> (m, c, i, j)>
#y = affine_map<(n, m, h, w, c, i, j) -> (n, m, h, w)>
#id = affine_map<(n, m, h, w) -> (n, m, h, w)>

// 0.3 * relu(conv(s)) + 0.7 * s
// REMARK: remark: [Passed] MapMixRaised
// CHECK-LABEL: func.func @residual
// CHECK: %[[M:.*]] = attune.map_mix ins(%arg0 : tensor<1x2x?x?xf32>) weights(%arg1 : tensor<2x2x3x3xf32>)
// CHECK-SAME: acts = [#attune.map_act<relu>]
// CHECK-SAME: alpha = 0.3
// CHECK: linalg.softmax dimension(3) ins(%[[M]]
func.func @residual(%s: tensor<1x2x?x?xf32>, %w: tensor<2x2x3x3xf32>, %init: tensor<1x2x?x?xf32>)
    -> tensor<1x2x?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %a = arith.constant 0.3 : f32
  %b = arith.constant 0.7 : f32
  %p = tensor.pad %s low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%i0: index, %i1: index, %i2: index, %i3: index):
    tensor.yield %zero : f32
  } : tensor<1x2x?x?xf32> to tensor<1x2x?x?xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%init : tensor<1x2x?x?xf32>) -> tensor<1x2x?x?xf32>
  %c = linalg.generic {indexing_maps = [#x, #f, #y],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%p, %w : tensor<1x2x?x?xf32>, tensor<2x2x3x3xf32>) outs(%fill : tensor<1x2x?x?xf32>) {
  ^bb0(%i: f32, %j: f32, %acc: f32):
    %t = arith.mulf %i, %j : f32
    %u = arith.addf %acc, %t : f32
    linalg.yield %u : f32
  } -> tensor<1x2x?x?xf32>
  %r = linalg.generic {indexing_maps = [#id, #id, #id],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%c, %s : tensor<1x2x?x?xf32>, tensor<1x2x?x?xf32>) outs(%init : tensor<1x2x?x?xf32>) {
  ^bb0(%i: f32, %j: f32, %o: f32):
    %t = arith.maximumf %i, %zero : f32
    %u = arith.mulf %t, %a : f32
    %v = arith.mulf %j, %b : f32
    %q = arith.addf %u, %v : f32
    linalg.yield %q : f32
  } -> tensor<1x2x?x?xf32>
  %o = linalg.softmax dimension(3) ins(%r : tensor<1x2x?x?xf32>) outs(%init : tensor<1x2x?x?xf32>)
      -> tensor<1x2x?x?xf32>
  return %o : tensor<1x2x?x?xf32>
}

// -----

#x = affine_map<(n, m, h, w, c, i, j) -> (n, c, h + i, w + j)>
#f = affine_map<(n, m, h, w, c, i, j) -> (m, c, i, j)>
#y = affine_map<(n, m, h, w, c, i, j) -> (n, m, h, w)>
#id = affine_map<(n, m, h, w) -> (n, m, h, w)>

// REMARK: remark: [Missed] MapMixNotRaised
// REMARK-SAME: the function behind the product of the maps is not known
// CHECK-LABEL: func.func @tanh
// CHECK-NOT: attune.map_mix
func.func @tanh(%s: tensor<1x2x?x?xf32>, %w: tensor<2x2x1x1xf32>, %init: tensor<1x2x?x?xf32>)
    -> tensor<1x2x?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %fill = linalg.fill ins(%zero : f32) outs(%init : tensor<1x2x?x?xf32>) -> tensor<1x2x?x?xf32>
  %c = linalg.generic {indexing_maps = [#x, #f, #y],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%s, %w : tensor<1x2x?x?xf32>, tensor<2x2x1x1xf32>) outs(%fill : tensor<1x2x?x?xf32>) {
  ^bb0(%i: f32, %j: f32, %acc: f32):
    %t = arith.mulf %i, %j : f32
    %u = arith.addf %acc, %t : f32
    linalg.yield %u : f32
  } -> tensor<1x2x?x?xf32>
  %r = linalg.generic {indexing_maps = [#id, #id],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%c : tensor<1x2x?x?xf32>) outs(%init : tensor<1x2x?x?xf32>) {
  ^bb0(%i: f32, %o: f32):
    %t = math.tanh %i : f32
    linalg.yield %t : f32
  } -> tensor<1x2x?x?xf32>
  %o = linalg.softmax dimension(3) ins(%r : tensor<1x2x?x?xf32>) outs(%init : tensor<1x2x?x?xf32>)
      -> tensor<1x2x?x?xf32>
  return %o : tensor<1x2x?x?xf32>
}
