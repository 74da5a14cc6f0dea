// RUN: attune-opt %s -split-input-file --attune-raise-attention | FileCheck %s

#q = affine_map<(b, h, n, m, d) -> (b, h, n, d)>
#k = affine_map<(b, h, n, m, d) -> (b, h, m, d)>
#s = affine_map<(b, h, n, m, d) -> (b, h, n, m)>
#p = affine_map<(b, h, n, e, m) -> (b, h, n, m)>
#v = affine_map<(b, h, n, e, m) -> (b, h, m, e)>
#o = affine_map<(b, h, n, e, m) -> (b, h, n, e)>
#in = affine_map<(b, h, g, m, d) -> (b, h, m, d)>
#out = affine_map<(b, h, g, m, d) -> (b, h, g, m, d)>

// Keys and values repeated in place for groups of two query heads.
// CHECK-LABEL: func.func @grouped
// CHECK-SAME: %[[Q:[a-z0-9]*]]: tensor<2x4x6x8xf32>, %[[K:[a-z0-9]*]]: tensor<2x2x6x8xf32>
// CHECK: attune.attention ins(%[[Q]], %[[K]], %[[K]] : tensor<2x4x6x8xf32>, tensor<2x2x6x8xf32>, tensor<2x2x6x8xf32>)
func.func @grouped(%q: tensor<2x4x6x8xf32>, %k: tensor<2x2x6x8xf32>) -> tensor<2x4x6x8xf32> {
  %zero = arith.constant 0.0 : f32
  %er = tensor.empty() : tensor<2x2x2x6x8xf32>
  %r = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%k : tensor<2x2x6x8xf32>) outs(%er : tensor<2x2x2x6x8xf32>) {
  ^bb0(%a: f32, %c: f32):
    linalg.yield %a : f32
  } -> tensor<2x2x2x6x8xf32>
  %kr = tensor.collapse_shape %r [[0], [1, 2], [3], [4]] : tensor<2x2x2x6x8xf32> into tensor<2x4x6x8xf32>
  %e = tensor.empty() : tensor<2x4x6x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4x6x6xf32>) -> tensor<2x4x6x6xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %kr : tensor<2x4x6x8xf32>, tensor<2x4x6x8xf32>) outs(%f : tensor<2x4x6x6xf32>) -> tensor<2x4x6x6xf32>
  %1 = linalg.softmax dimension(3) ins(%0 : tensor<2x4x6x6xf32>) outs(%e : tensor<2x4x6x6xf32>) -> tensor<2x4x6x6xf32>
  %e1 = tensor.empty() : tensor<2x4x6x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<2x4x6x8xf32>) -> tensor<2x4x6x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %kr : tensor<2x4x6x6xf32>, tensor<2x4x6x8xf32>) outs(%f1 : tensor<2x4x6x8xf32>) -> tensor<2x4x6x8xf32>
  return %2 : tensor<2x4x6x8xf32>
}

// -----

#q = affine_map<(b, h, n, m, d) -> (b, h, n, d)>
#k = affine_map<(b, h, n, m, d) -> (b, h, m, d)>
#s = affine_map<(b, h, n, m, d) -> (b, h, n, m)>
#p = affine_map<(b, h, n, e, m) -> (b, h, n, m)>
#v = affine_map<(b, h, n, e, m) -> (b, h, m, e)>
#o = affine_map<(b, h, n, e, m) -> (b, h, n, e)>
#in = affine_map<(b, g, h, m, d) -> (b, h, m, d)>
#out = affine_map<(b, g, h, m, d) -> (b, g, h, m, d)>

// The whole block of heads repeated (h mod 2) is another order: the copy stays.
// CHECK-LABEL: func.func @tiled
// CHECK: %[[R:.*]] = tensor.collapse_shape
// CHECK: attune.attention ins(%{{.*}}, %[[R]], %[[R]] : tensor<2x4x6x8xf32>, tensor<2x4x6x8xf32>, tensor<2x4x6x8xf32>)
func.func @tiled(%q: tensor<2x4x6x8xf32>, %k: tensor<2x2x6x8xf32>) -> tensor<2x4x6x8xf32> {
  %zero = arith.constant 0.0 : f32
  %er = tensor.empty() : tensor<2x2x2x6x8xf32>
  %r = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%k : tensor<2x2x6x8xf32>) outs(%er : tensor<2x2x2x6x8xf32>) {
  ^bb0(%a: f32, %c: f32):
    linalg.yield %a : f32
  } -> tensor<2x2x2x6x8xf32>
  %kr = tensor.collapse_shape %r [[0], [1, 2], [3], [4]] : tensor<2x2x2x6x8xf32> into tensor<2x4x6x8xf32>
  %e = tensor.empty() : tensor<2x4x6x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4x6x6xf32>) -> tensor<2x4x6x6xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %kr : tensor<2x4x6x8xf32>, tensor<2x4x6x8xf32>) outs(%f : tensor<2x4x6x6xf32>) -> tensor<2x4x6x6xf32>
  %1 = linalg.softmax dimension(3) ins(%0 : tensor<2x4x6x6xf32>) outs(%e : tensor<2x4x6x6xf32>) -> tensor<2x4x6x6xf32>
  %e1 = tensor.empty() : tensor<2x4x6x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<2x4x6x8xf32>) -> tensor<2x4x6x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %kr : tensor<2x4x6x6xf32>, tensor<2x4x6x8xf32>) outs(%f1 : tensor<2x4x6x8xf32>) -> tensor<2x4x6x8xf32>
  return %2 : tensor<2x4x6x8xf32>
}

// -----

#q = affine_map<(b, k, g, n, m, d) -> (b, k, g, n, d)>
#k = affine_map<(b, k, g, n, m, d) -> (b, k, m, d)>
#s = affine_map<(b, k, g, n, m, d) -> (b, k, g, n, m)>
#p = affine_map<(b, k, g, n, e, m) -> (b, k, g, n, m)>
#v = affine_map<(b, k, g, n, e, m) -> (b, k, m, e)>
#o = affine_map<(b, k, g, n, e, m) -> (b, k, g, n, e)>

// Groups as an axis of their own.
// CHECK-LABEL: func.func @group_axis
// CHECK: %[[Q:.*]] = tensor.collapse_shape %{{.*}} {{\[\[}}0], [1, 2], [3], [4]] : tensor<?x2x3x6x8xf32> into tensor<?x6x6x8xf32>
// CHECK: %[[O:[a-z0-9_]*]] = attune.attention ins(%[[Q]], %{{.*}}, %{{.*}} : tensor<?x6x6x8xf32>, tensor<?x2x6x8xf32>, tensor<?x2x6x8xf32>)
// CHECK: tensor.expand_shape %[[O]] {{.*}} into tensor<?x2x3x6x8xf32>
func.func @group_axis(%q: tensor<?x2x3x6x8xf32> {attune.dims = ["b", "", "", "", ""]}, %k: tensor<?x2x6x8xf32> {attune.dims = ["b", "", "", ""]}) -> tensor<?x2x3x6x8xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %b = tensor.dim %q, %c0 : tensor<?x2x3x6x8xf32>
  %e = tensor.empty(%b) : tensor<?x2x3x6x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x2x3x6x6xf32>) -> tensor<?x2x3x6x6xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<?x2x3x6x8xf32>, tensor<?x2x6x8xf32>) outs(%f : tensor<?x2x3x6x6xf32>) -> tensor<?x2x3x6x6xf32>
  %1 = linalg.softmax dimension(4) ins(%0 : tensor<?x2x3x6x6xf32>) outs(%e : tensor<?x2x3x6x6xf32>) -> tensor<?x2x3x6x6xf32>
  %e1 = tensor.empty(%b) : tensor<?x2x3x6x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?x2x3x6x8xf32>) -> tensor<?x2x3x6x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %k : tensor<?x2x3x6x6xf32>, tensor<?x2x6x8xf32>) outs(%f1 : tensor<?x2x3x6x8xf32>) -> tensor<?x2x3x6x8xf32>
  return %2 : tensor<?x2x3x6x8xf32>
}

// -----

#q = affine_map<(n, m, d) -> (n, d)>
#k = affine_map<(n, m, d) -> (m, d)>
#s = affine_map<(n, m, d) -> (n, m)>
#p = affine_map<(n, e, m) -> (n, m)>
#v = affine_map<(n, e, m) -> (m, e)>
#o = affine_map<(n, e, m) -> (n, e)>

// One head, no batch.
// CHECK-LABEL: func.func @rank_two
// CHECK: attune.attention ins(%{{.*}} : tensor<1x1x?x8xf32>, tensor<1x1x?x8xf32>, tensor<1x1x?x8xf32>)
// CHECK: tensor.collapse_shape %{{.*}} {{\[\[}}0, 1, 2], [3]] : tensor<1x1x?x8xf32> into tensor<?x8xf32>
func.func @rank_two(%q: tensor<?x8xf32>, %k: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %q, %c0 : tensor<?x8xf32>
  %m = tensor.dim %k, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%n, %m) : tensor<?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<?x8xf32>, tensor<?x8xf32>) outs(%f : tensor<?x?xf32>) -> tensor<?x?xf32>
  %1 = linalg.softmax dimension(1) ins(%0 : tensor<?x?xf32>) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
  %e1 = tensor.empty(%n) : tensor<?x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?x8xf32>) -> tensor<?x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %k : tensor<?x?xf32>, tensor<?x8xf32>) outs(%f1 : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %2 : tensor<?x8xf32>
}

// -----

#q = affine_map<(b, h, n, m, d) -> (b, h, n, d)>
#k = affine_map<(b, h, n, m, d) -> (b, h, m, d)>
#s = affine_map<(b, h, n, m, d) -> (b, h, n, m)>
#p = affine_map<(b, h, n, e, m) -> (b, h, n, m)>
#v = affine_map<(b, h, n, e, m) -> (b, h, m, e)>
#o = affine_map<(b, h, n, e, m) -> (b, h, n, e)>
#in = affine_map<(b, h, n, x) -> (h)>
#out = affine_map<(b, h, n, x) -> (b, h, n, x)>

// A column of one number per head that takes part in the softmax only.
// CHECK-LABEL: func.func @sink
// CHECK-SAME: %[[SINK:[a-z0-9]*]]: tensor<3xf32>
// CHECK: attune.attention {{.*}} sink(%[[SINK]] : tensor<3xf32>)
func.func @sink(%q: tensor<2x3x?x8xf32>, %sink: tensor<3xf32>) -> tensor<2x3x?x8xf32> {
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %q, %c2 : tensor<2x3x?x8xf32>
  %n1 = arith.addi %n, %c1 : index
  %ec = tensor.empty(%n) : tensor<2x3x?x1xf32>
  %column = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%sink : tensor<3xf32>) outs(%ec : tensor<2x3x?x1xf32>) {
  ^bb0(%a: f32, %c: f32):
    linalg.yield %a : f32
  } -> tensor<2x3x?x1xf32>
  %e = tensor.empty(%n, %n) : tensor<2x3x?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x3x?x?xf32>) -> tensor<2x3x?x?xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<2x3x?x8xf32>, tensor<2x3x?x8xf32>) outs(%f : tensor<2x3x?x?xf32>) -> tensor<2x3x?x?xf32>
  %all = tensor.concat dim(3) %0, %column : (tensor<2x3x?x?xf32>, tensor<2x3x?x1xf32>) -> tensor<2x3x?x?xf32>
  %ea = tensor.empty(%n, %n1) : tensor<2x3x?x?xf32>
  %1 = linalg.softmax dimension(3) ins(%all : tensor<2x3x?x?xf32>) outs(%ea : tensor<2x3x?x?xf32>) -> tensor<2x3x?x?xf32>
  %kept = tensor.extract_slice %1[0, 0, 0, 0] [2, 3, %n, %n] [1, 1, 1, 1] : tensor<2x3x?x?xf32> to tensor<2x3x?x?xf32>
  %e1 = tensor.empty(%n) : tensor<2x3x?x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<2x3x?x8xf32>) -> tensor<2x3x?x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%kept, %q : tensor<2x3x?x?xf32>, tensor<2x3x?x8xf32>) outs(%f1 : tensor<2x3x?x8xf32>) -> tensor<2x3x?x8xf32>
  return %2 : tensor<2x3x?x8xf32>
}
