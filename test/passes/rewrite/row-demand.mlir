// RUN: attune-opt %s -split-input-file --attune-row-demand --canonicalize --cse | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-row-demand --remarks-filter=attune-rewrite --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

// The last position of a row-wise chain, through a norm, a product, a softmax and a reshape.
// CHECK-LABEL: func.func @last
// CHECK-SAME: %[[x:[^:]*]]: tensor<1x?x4xf32>
// CHECK: %[[row:.*]] = tensor.extract_slice %[[x]][0, %{{.*}}, 0] [1, 1, 4] [1, 1, 1]
// CHECK: %[[y:.*]] = attune.norm ins(%[[row]] : tensor<1x1x4xf32>) scale(%{{.*}} : tensor<4xf32>)
// CHECK: %[[z:.*]] = linalg.contract {{.*}} ins(%[[y]], %{{.*}}) outs(%{{.*}} : tensor<1x1x6xf32>)
// CHECK: linalg.softmax dimension(2) ins(%[[z]] : tensor<1x1x6xf32>)
// CHECK-NOT: tensor.extract_slice
// CHECK: return %{{.*}} : tensor<6xf32>
// REMARK: [Passed] RowsReduced
// REMARK-SAME: 3 operators compute only the positions that are read
#x = affine_map<(b, n, c, k) -> (b, n, k)>
#w = affine_map<(b, n, c, k) -> (k, c)>
#y = affine_map<(b, n, c, k) -> (b, n, c)>
func.func @last(%x: tensor<1x?x4xf32>, %g: tensor<4xf32>) -> tensor<6xf32> {
  %w = arith.constant dense<1.0> : tensor<4x6xf32>
  %zero = arith.constant 0.0 : f32
  %c1 = arith.constant 1 : index
  %n = tensor.dim %x, %c1 : tensor<1x?x4xf32>
  %y = attune.norm ins(%x : tensor<1x?x4xf32>) scale(%g : tensor<4xf32>) {axis = 2 : i64, eps = 1.0e-6 : f64, kind = #attune.norm_kind<rms>} -> tensor<1x?x4xf32>
  %e = tensor.empty(%n) : tensor<1x?x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x?x6xf32>) -> tensor<1x?x6xf32>
  %z = linalg.contract indexing_maps = [#x, #w, #y] ins(%y, %w : tensor<1x?x4xf32>, tensor<4x6xf32>) outs(%f : tensor<1x?x6xf32>) -> tensor<1x?x6xf32>
  %p = linalg.softmax dimension(2) ins(%z : tensor<1x?x6xf32>) outs(%e : tensor<1x?x6xf32>) -> tensor<1x?x6xf32>
  %flat = tensor.collapse_shape %p [[0, 1], [2]] : tensor<1x?x6xf32> into tensor<?x6xf32>
  %last = arith.subi %n, %c1 : index
  %r = tensor.extract_slice %flat[%last, 0] [1, 6] [1, 1] : tensor<?x6xf32> to tensor<6xf32>
  return %r : tensor<6xf32>
}

// -----

// Queries of attention, counted on from the first one of all; keys and values stay whole. The two
// readers want the same rows.
// CHECK-LABEL: func.func @queries
// CHECK-SAME: %[[q:[^:]*]]: tensor<1x2x?x4xf32>, %[[k:[^:]*]]: tensor<1x2x?x4xf32>, %[[at:[^:]*]]: index
// CHECK: %[[row:.*]] = tensor.extract_slice %[[q]][0, 0, %[[at]], 0] [1, 2, 1, 4] [1, 1, 1, 1]
// CHECK: attune.attention ins(%[[row]], %[[k]], %[[k]] : {{.*}}) captures(%[[at]] : index) -> tensor<1x2x1x4xf32> mask {
// CHECK: ^bb0(%{{.*}}: index, %{{.*}}: index, %[[i:[^:]*]]: index, %[[j:[^:]*]]: index, %{{.*}}: index, %{{.*}}: index, %[[first:.*]]: index):
// CHECK: %[[position:.*]] = arith.addi %[[i]], %[[first]]
// CHECK: arith.cmpi sle, %[[j]], %[[position]]
// REMARK: [Passed] RowsReduced
// REMARK-SAME: 1 operators
func.func @queries(%q: tensor<1x2x?x4xf32>, %k: tensor<1x2x?x4xf32>, %at: index) -> (tensor<1x2x1x4xf32>, tensor<1x2x4xf32>) {
  %c2 = arith.constant 2 : index
  %o = attune.attention ins(%q, %k, %k : tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>) -> tensor<1x2x?x4xf32> mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    %p = arith.cmpi sle, %j, %i : index
    attune.yield %p : i1
  }
  %r = tensor.extract_slice %o[0, 0, %at, 0] [1, 2, 1, 4] [1, 1, 1, 1] : tensor<1x2x?x4xf32> to tensor<1x2x1x4xf32>
  %s = tensor.extract_slice %o[0, 0, %at, 0] [1, 2, 1, 4] [1, 1, 1, 1] : tensor<1x2x?x4xf32> to tensor<1x2x4xf32>
  return %r, %s : tensor<1x2x1x4xf32>, tensor<1x2x4xf32>
}

// -----

// A dynamic number of positions; what counts positions goes on from the offset.
// CHECK-LABEL: func.func @range
// CHECK-SAME: %{{.*}}: index, %[[from:[^:]*]]: index, %[[count:[^:]*]]: index
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<?x3xf32>) {
// CHECK: %[[i:.*]] = linalg.index 0
// CHECK: affine.apply #{{.*}}()[%[[i]], %[[from]]]
// CHECK-NOT: tensor.extract_slice
#id = affine_map<(n, c) -> (n, c)>
func.func @range(%n: index, %from: index, %count: index) -> tensor<?x3xf32> {
  %e = tensor.empty(%n) : tensor<?x3xf32>
  %y = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel", "parallel"]} outs(%e : tensor<?x3xf32>) {
  ^bb0(%o: f32):
    %i = linalg.index 0 : index
    %i64 = arith.index_cast %i : index to i64
    %v = arith.sitofp %i64 : i64 to f32
    linalg.yield %v : f32
  } -> tensor<?x3xf32>
  %r = tensor.extract_slice %y[%from, 0] [%count, 3] [1, 1] : tensor<?x3xf32> to tensor<?x3xf32>
  return %r : tensor<?x3xf32>
}

// -----

// Read whole elsewhere; positions that depend on each other; columns of constant weights.
// CHECK-LABEL: func.func @kept
// CHECK: math.exp
// CHECK: attune.scan {{.*}} : tensor<8x4xf32>
// CHECK: linalg.contract {{.*}} -> tensor<8x6xf32>
// CHECK-COUNT-3: tensor.extract_slice
// REMARK: [Missed] RowsNotReduced
// REMARK-SAME: more of it is read elsewhere
// REMARK: [Missed] RowsNotReduced
// REMARK-SAME: positions of this axis are not computed independently
#id = affine_map<(n, c) -> (n, c)>
func.func @kept(%x: tensor<8x4xf32>) -> (tensor<8x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>, tensor<8x2xf32>) {
  %w = arith.constant dense<1.0> : tensor<4x6xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x4xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<8x4xf32>) outs(%e : tensor<8x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = math.exp %a : f32
    linalg.yield %r : f32
  } -> tensor<8x4xf32>
  %s = attune.scan %x {axis = 0 : i64, kind = #attune.scan_kind<sum>} : tensor<8x4xf32>
  %e6 = tensor.empty() : tensor<8x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e6 : tensor<8x6xf32>) -> tensor<8x6xf32>
  %z = linalg.contract indexing_maps = [affine_map<(n, c, k) -> (n, k)>, affine_map<(n, c, k) -> (k, c)>, affine_map<(n, c, k) -> (n, c)>] ins(%x, %w : tensor<8x4xf32>, tensor<4x6xf32>) outs(%f : tensor<8x6xf32>) -> tensor<8x6xf32>
  %r0 = tensor.extract_slice %y[7, 0] [1, 4] [1, 1] : tensor<8x4xf32> to tensor<1x4xf32>
  %r1 = tensor.extract_slice %s[7, 0] [1, 4] [1, 1] : tensor<8x4xf32> to tensor<1x4xf32>
  %r2 = tensor.extract_slice %z[0, 2] [8, 2] [1, 1] : tensor<8x6xf32> to tensor<8x2xf32>
  return %y, %r0, %r1, %r2 : tensor<8x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>, tensor<8x2xf32>
}

// -----

// Other axes of a scan, a bidirectional sum over keys, a scale that varies along the positions.
// CHECK-LABEL: func.func @independent
// CHECK: attune.scan {{.*}} : tensor<1x4xf32>
// CHECK: attune.linear_attention ins({{.*}}) pos({{.*}} : tensor<3x2xf32>, tensor<3x8xf32>) {{.*}} -> tensor<1x1x2x4xf32>
// CHECK: attune.norm ins({{.*}} : tensor<2x4xf32>) scale({{.*}} : tensor<2x4xf32>)
func.func @independent(%x: tensor<8x4xf32>, %q: tensor<1x1x8x4xf32>, %t: tensor<3x8xf32>, %g: tensor<8x4xf32>) -> (tensor<1x4xf32>, tensor<1x1x2x4xf32>, tensor<2x4xf32>) {
  %s = attune.scan %x {axis = 1 : i64, kind = #attune.scan_kind<sum>} : tensor<8x4xf32>
  %l = attune.linear_attention ins(%q, %q, %q : tensor<1x1x8x4xf32>, tensor<1x1x8x4xf32>, tensor<1x1x8x4xf32>) pos(%t, %t : tensor<3x8xf32>, tensor<3x8xf32>) {direction = #attune.direction<bidirectional>} -> tensor<1x1x8x4xf32>
  %n = attune.norm ins(%x : tensor<8x4xf32>) scale(%g : tensor<8x4xf32>) {axis = 1 : i64, eps = 1.0e-6 : f64, kind = #attune.norm_kind<rms>} -> tensor<8x4xf32>
  %r0 = tensor.extract_slice %s[7, 0] [1, 4] [1, 1] : tensor<8x4xf32> to tensor<1x4xf32>
  %r1 = tensor.extract_slice %l[0, 0, 3, 0] [1, 1, 2, 4] [1, 1, 1, 1] : tensor<1x1x8x4xf32> to tensor<1x1x2x4xf32>
  %r2 = tensor.extract_slice %n[3, 0] [2, 4] [1, 1] : tensor<8x4xf32> to tensor<2x4xf32>
  return %r0, %r1, %r2 : tensor<1x4xf32>, tensor<1x1x2x4xf32>, tensor<2x4xf32>
}
