// RUN: attune-opt %s -split-input-file --attune-raise-attention | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-attention --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#key = affine_map<(h, n, m) -> (m)>

// A mask behind the function becomes the mask; the constant factor the scale.
// REMARK: [Passed] AttnRaised | Category:attune-raise
// REMARK-SAME: attention with elementwise weights, scale, score region, mask region
// CHECK-LABEL: func.func @relu_squared
// CHECK-SAME: %[[Q:.*]]: tensor<3x?x8xf32>, %[[V:.*]]: tensor<3x?x8xf32>, %[[KEEP:.*]]: tensor<?xi1>
// CHECK: %[[C:.*]] = arith.constant 5.000000e-01 : f32
// CHECK: attune.attention ins(%{{.*}}, %{{.*}}, %{{.*}}) scale(%[[C]] : f32) captures(%[[KEEP]] : tensor<?xi1>) {weighting = #attune.weighting<none>}
// CHECK: score {
// CHECK: ^bb0(%[[X:.*]]: f32,
// CHECK: %[[R:.*]] = arith.maximumf %[[X]],
// CHECK: %[[W:.*]] = arith.mulf %[[R]], %[[R]]
// CHECK: attune.yield %[[W]]
// CHECK: mask {
// CHECK: %[[P:.*]] = tensor.extract %{{.*}}[%{{.*}}]
// CHECK: attune.yield %[[P]]
func.func @relu_squared(%q: tensor<3x?x8xf32>, %v: tensor<3x?x8xf32>, %keep: tensor<?xi1>) -> tensor<3x?x8xf32> {
  %zero = arith.constant 0.0 : f32
  %half = arith.constant 0.5 : f32
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<3x?x8xf32>
  %m = tensor.dim %v, %c1 : tensor<3x?x8xf32>
  %e = tensor.empty(%n, %m) : tensor<3x?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %v : tensor<3x?x8xf32>, tensor<3x?x8xf32>) outs(%f : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %1 = linalg.generic {indexing_maps = [#id, #key, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%0, %keep : tensor<3x?x?xf32>, tensor<?xi1>) outs(%e : tensor<3x?x?xf32>) {
  ^bb0(%x: f32, %k: i1, %out: f32):
    %y = arith.mulf %x, %half : f32
    %r = arith.maximumf %y, %zero : f32
    %w = arith.mulf %r, %r : f32
    %number = arith.uitofp %k : i1 to f32
    %z = arith.mulf %number, %w : f32
    linalg.yield %z : f32
  } -> tensor<3x?x?xf32>
  %e1 = tensor.empty(%n) : tensor<3x?x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x?x8xf32>) -> tensor<3x?x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %v : tensor<3x?x?xf32>, tensor<3x?x8xf32>) outs(%f1 : tensor<3x?x8xf32>) -> tensor<3x?x8xf32>
  return %2 : tensor<3x?x8xf32>
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

// The division by the sum of the row comes after the contraction.
// CHECK-LABEL: func.func @sum_afterwards
// CHECK: %[[O:.*]] = attune.attention {{.*}} {eps = 1.000000e+00 : f64, weighting = #attune.weighting<sum>}
// CHECK: %[[R:.*]] = tensor.collapse_shape %[[O]]
// CHECK: return %[[R]]
func.func @sum_afterwards(%q: tensor<3x4x8xf32>, %k: tensor<3x4x8xf32>, %v: tensor<3x4x8xf32>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%0 : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) {
  ^bb0(%x: f32, %out: f32):
    %w = math.exp %x : f32
    linalg.yield %w : f32
  } -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4xf32>) -> tensor<3x4xf32>
  %2 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%1 : tensor<3x4x4xf32>) outs(%f1 : tensor<3x4xf32>) {
  ^bb0(%x: f32, %sum: f32):
    %s = arith.addf %sum, %x : f32
    linalg.yield %s : f32
  } -> tensor<3x4xf32>
  %e2 = tensor.empty() : tensor<3x4x8xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %3 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %v : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f2 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %4 = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%3, %2 : tensor<3x4x8xf32>, tensor<3x4xf32>) outs(%e2 : tensor<3x4x8xf32>) {
  ^bb0(%x: f32, %sum: f32, %out: f32):
    %t = arith.addf %sum, %one : f32
    %y = arith.divf %x, %t : f32
    linalg.yield %y : f32
  } -> tensor<3x4x8xf32>
  return %4 : tensor<3x4x8xf32>
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

// REMARK: [Missed] AttnNotRaised
// REMARK-SAME: the weights are no function of single scores
// CHECK-LABEL: func.func @row_statistic
// CHECK-NOT: attune.attention
func.func @row_statistic(%q: tensor<3x4x8xf32>, %k: tensor<3x4x8xf32>, %v: tensor<3x4x8xf32>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4xf32>) -> tensor<3x4xf32>
  %1 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%0 : tensor<3x4x4xf32>) outs(%f1 : tensor<3x4xf32>) {
  ^bb0(%x: f32, %sum: f32):
    %s = arith.addf %sum, %x : f32
    linalg.yield %s : f32
  } -> tensor<3x4xf32>
  %2 = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%0, %1 : tensor<3x4x4xf32>, tensor<3x4xf32>) outs(%e : tensor<3x4x4xf32>) {
  ^bb0(%x: f32, %sum: f32, %out: f32):
    %d = arith.subf %x, %sum : f32
    %w = arith.maximumf %d, %zero : f32
    linalg.yield %w : f32
  } -> tensor<3x4x4xf32>
  %e2 = tensor.empty() : tensor<3x4x8xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %3 = linalg.contract indexing_maps = [#p, #v, #o] ins(%2, %v : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f2 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  return %3 : tensor<3x4x8xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#sum = affine_map<(h, n, m) -> (h, n)>

// With the greatest t of a row, exp(x - t) / (exp(-t) + sum exp(x - t)) has a sink of 0.
// CHECK-LABEL: func.func @beside_the_sum
// CHECK-SAME: %[[Q:.*]]: tensor<3x?x8xf32>, %[[V:.*]]: tensor<3x?x8xf32>
// CHECK: %[[SINK:.*]] = linalg.fill ins(%{{.*}} : f32) outs(%{{.*}} : tensor<3xf32>)
// CHECK: attune.attention ins(%{{.*}}, %{{.*}}, %{{.*}}) sink(%[[SINK]] : tensor<3xf32>) {empty_row = #attune.empty_row<nan>} ->
func.func @beside_the_sum(%q: tensor<3x?x8xf32>, %v: tensor<3x?x8xf32>) -> tensor<3x?x8xf32> {
  %zero = arith.constant 0.0 : f32
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<3x?x8xf32>
  %m = tensor.dim %v, %c1 : tensor<3x?x8xf32>
  %e = tensor.empty(%n, %m) : tensor<3x?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %v : tensor<3x?x8xf32>, tensor<3x?x8xf32>) outs(%f : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %least = arith.constant 0xFF800000 : f32
  %em = tensor.empty(%n) : tensor<3x?xf32>
  %fm = linalg.fill ins(%least : f32) outs(%em : tensor<3x?xf32>) -> tensor<3x?xf32>
  %t = linalg.generic {indexing_maps = [#id, #sum], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%0 : tensor<3x?x?xf32>) outs(%fm : tensor<3x?xf32>) {
  ^bb0(%x: f32, %acc: f32):
    %a = arith.maximumf %acc, %x : f32
    linalg.yield %a : f32
  } -> tensor<3x?xf32>
  %1 = linalg.generic {indexing_maps = [#id, #sum, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%0, %t : tensor<3x?x?xf32>, tensor<3x?xf32>) outs(%e : tensor<3x?x?xf32>) {
  ^bb0(%x: f32, %shift: f32, %out: f32):
    %d = arith.subf %x, %shift : f32
    %w = math.exp %d : f32
    linalg.yield %w : f32
  } -> tensor<3x?x?xf32>
  %e2 = tensor.empty(%n) : tensor<3x?xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x?xf32>) -> tensor<3x?xf32>
  %total = linalg.generic {indexing_maps = [#id, #sum], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%1 : tensor<3x?x?xf32>) outs(%f2 : tensor<3x?xf32>) {
  ^bb0(%x: f32, %acc: f32):
    %a = arith.addf %acc, %x : f32
    linalg.yield %a : f32
  } -> tensor<3x?xf32>
  %w = linalg.generic {indexing_maps = [#id, #sum, #sum, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%1, %total, %t : tensor<3x?x?xf32>, tensor<3x?xf32>, tensor<3x?xf32>) outs(%e : tensor<3x?x?xf32>) {
  ^bb0(%x: f32, %sum: f32, %shift: f32, %out: f32):
    %negated = arith.negf %shift : f32
    %more = math.exp %negated : f32
    %all = arith.addf %sum, %more : f32
    %d = arith.divf %x, %all : f32
    linalg.yield %d : f32
  } -> tensor<3x?x?xf32>
  %e1 = tensor.empty(%n) : tensor<3x?x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x?x8xf32>) -> tensor<3x?x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %v : tensor<3x?x?xf32>, tensor<3x?x8xf32>) outs(%f1 : tensor<3x?x8xf32>) -> tensor<3x?x8xf32>
  return %2 : tensor<3x?x8xf32>
}
