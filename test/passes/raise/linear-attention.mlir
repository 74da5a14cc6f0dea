// RUN: attune-opt %s -split-input-file --attune-raise-linear-attention | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-linear-attention --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#k = affine_map<(h, f, e, m) -> (h, m, f)>
#v = affine_map<(h, f, e, m) -> (h, m, e)>
#s = affine_map<(h, f, e, m) -> (h, f, e)>
#q = affine_map<(h, n, e, f) -> (h, n, f)>
#r = affine_map<(h, n, e, f) -> (h, f, e)>
#o = affine_map<(h, n, e, f) -> (h, n, e)>
#z = affine_map<(h, f, m) -> (h, m, f)>
#zo = affine_map<(h, f, m) -> (h, f)>
#dq = affine_map<(h, n, f) -> (h, n, f)>
#dz = affine_map<(h, n, f) -> (h, f)>
#do = affine_map<(h, n, f) -> (h, n)>
#id = affine_map<(h, n, e) -> (h, n, e)>
#row = affine_map<(h, n, e) -> (h, n)>

// The state of keys and values, divided by the weights' sum plus eps; dynamic lengths.
// REMARK: [Passed] LinearAttnRaised | Category:attune-raise
// REMARK-SAME: linear attention, bidirectional, update sum, norm sum with eps add
// REMARK-SAME: nodes divide, denominator, norm, total, state
// CHECK-LABEL: func.func @state
// CHECK-SAME: %[[Q:.*]]: tensor<3x?x8xf32>, %[[K:.*]]: tensor<3x?x8xf32> {{.*}}, %[[V:.*]]: tensor<3x?x5xf32>
// CHECK-DAG: %[[QE:.*]] = tensor.expand_shape %[[Q]]
// CHECK-DAG: %[[KE:.*]] = tensor.expand_shape %[[K]]
// CHECK-DAG: %[[VE:.*]] = tensor.expand_shape %[[V]]
// CHECK: %[[R:.*]] = attune.linear_attention ins(%[[QE]], %[[KE]], %[[VE]]
// CHECK-SAME: direction = #attune.direction<bidirectional>, eps = 1.250000e-01 : f64, norm = #attune.weighting<sum>
// CHECK-SAME: -> tensor<1x3x?x5xf32>
// CHECK-NOT: linalg
// CHECK: tensor.collapse_shape %[[R]]
func.func @state(%q: tensor<3x?x8xf32>, %k: tensor<3x?x8xf32> {attune.dims = ["", "m", ""]}, %v: tensor<3x?x5xf32> {attune.dims = ["", "m", ""]}) -> tensor<3x?x5xf32> {
  %zero = arith.constant 0.0 : f32
  %eps = arith.constant 0.125 : f32
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<3x?x8xf32>
  %e0 = tensor.empty() : tensor<3x8x5xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<3x8x5xf32>) -> tensor<3x8x5xf32>
  %s = linalg.contract indexing_maps = [#k, #v, #s] ins(%k, %v : tensor<3x?x8xf32>, tensor<3x?x5xf32>) outs(%f0 : tensor<3x8x5xf32>) -> tensor<3x8x5xf32> loc("state")
  %e1 = tensor.empty(%n) : tensor<3x?x5xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x?x5xf32>) -> tensor<3x?x5xf32>
  %o = linalg.contract indexing_maps = [#q, #r, #o] ins(%q, %s : tensor<3x?x8xf32>, tensor<3x8x5xf32>) outs(%f1 : tensor<3x?x5xf32>) -> tensor<3x?x5xf32> loc("total")
  %e2 = tensor.empty() : tensor<3x8xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x8xf32>) -> tensor<3x8xf32>
  %z = linalg.generic {indexing_maps = [#z, #zo], iterator_types = ["parallel", "parallel", "reduction"]} ins(%k : tensor<3x?x8xf32>) outs(%f2 : tensor<3x8xf32>) {
  ^bb0(%a: f32, %b: f32):
    %x = arith.addf %b, %a : f32
    linalg.yield %x : f32
  } -> tensor<3x8xf32> loc("norm")
  %e3 = tensor.empty(%n) : tensor<3x?xf32>
  %f3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<3x?xf32>) -> tensor<3x?xf32>
  %d = linalg.contract indexing_maps = [#dq, #dz, #do] ins(%q, %z : tensor<3x?x8xf32>, tensor<3x8xf32>) outs(%f3 : tensor<3x?xf32>) -> tensor<3x?xf32> loc("denominator")
  %y = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%o, %d : tensor<3x?x5xf32>, tensor<3x?xf32>) outs(%e1 : tensor<3x?x5xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %g = arith.addf %b, %eps : f32
    %x = arith.divf %a, %g : f32
    linalg.yield %x : f32
  } -> tensor<3x?x5xf32> loc("divide")
  return %y : tensor<3x?x5xf32>
}

// -----

#k = affine_map<(h, n, f, e) -> (h, n, f)>
#v = affine_map<(h, n, f, e) -> (h, n, e)>
#p = affine_map<(h, n, f, e) -> (h, n, f, e)>
#q = affine_map<(h, n, e, f) -> (h, n, f)>
#r = affine_map<(h, n, e, f) -> (h, n, f, e)>
#o = affine_map<(h, n, e, f) -> (h, n, e)>

// A cumulative sum of outer products; feature maps become regions, a factor too.
// REMARK: linear attention, causal, update sum, norm none
// CHECK-LABEL: func.func @cumulative
// CHECK: attune.linear_attention
// CHECK-NOT: bidirectional
// CHECK: phi_q {
// CHECK: %[[R:.*]] = arith.maximumf
// CHECK: arith.mulf %[[R]], %{{.*}} : f32
// CHECK: phi_k {
// CHECK: math.exp
// CHECK-NOT: attune.scan
func.func @cumulative(%q: tensor<3x7x8xf32>, %k: tensor<3x7x8xf32>, %v: tensor<3x7x5xf32>) -> tensor<3x7x5xf32> {
  %zero = arith.constant 0.0 : f32
  %two = arith.constant 2.0 : f32
  %e0 = tensor.empty() : tensor<3x7x8x5xf32>
  %0 = linalg.generic {indexing_maps = [#k, #v, #p], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%k, %v : tensor<3x7x8xf32>, tensor<3x7x5xf32>) outs(%e0 : tensor<3x7x8x5xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %e = math.exp %a : f32
    %x = arith.mulf %e, %b : f32
    linalg.yield %x : f32
  } -> tensor<3x7x8x5xf32>
  %1 = attune.scan %0 {axis = 1 : i64, kind = #attune.scan_kind<sum>} : tensor<3x7x8x5xf32>
  %e1 = tensor.empty() : tensor<3x7x5xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x7x5xf32>) -> tensor<3x7x5xf32>
  %2 = linalg.generic {indexing_maps = [#q, #r, #o], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%q, %1 : tensor<3x7x8xf32>, tensor<3x7x8x5xf32>) outs(%f1 : tensor<3x7x5xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %m = arith.maximumf %a, %zero : f32
    %s = arith.mulf %m, %two : f32
    %x = arith.mulf %s, %b : f32
    %y = arith.addf %out, %x : f32
    linalg.yield %y : f32
  } -> tensor<3x7x5xf32>
  return %2 : tensor<3x7x5xf32>
}

// -----

#state_k = affine_map<(h, f, e, m) -> (h, m, f)>
#state_v = affine_map<(h, f, e, m) -> (h, m, e)>
#state = affine_map<(h, f, e, m) -> (h, f, e)>
#out_q = affine_map<(h, n, e, f) -> (h, n, f)>
#out_s = affine_map<(h, n, e, f) -> (h, f, e)>
#out = affine_map<(h, n, e, f) -> (h, n, e)>

// Keys and values that groups of heads share are not copied.
// CHECK-LABEL: func.func @shared_heads
// CHECK-NOT: linalg.broadcast
// CHECK: attune.linear_attention ins({{.*}} : tensor<1x4x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x5xf32>)
func.func @shared_heads(%q: tensor<4x?x8xf32> {attune.dims = ["", "n", ""]}, %k: tensor<2x?x8xf32> {attune.dims = ["", "m", ""]}, %v: tensor<2x?x5xf32> {attune.dims = ["", "m", ""]}) -> tensor<4x?x5xf32> {
  %zero = arith.constant 0.0 : f32
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<4x?x8xf32>
  %m = tensor.dim %k, %c1 : tensor<2x?x8xf32>
  %ek = tensor.empty(%m) : tensor<2x2x?x8xf32>
  %k4 = linalg.broadcast ins(%k : tensor<2x?x8xf32>) outs(%ek : tensor<2x2x?x8xf32>) dimensions = [1]
  %kh = tensor.collapse_shape %k4 [[0, 1], [2], [3]] : tensor<2x2x?x8xf32> into tensor<4x?x8xf32>
  %ev = tensor.empty(%m) : tensor<2x2x?x5xf32>
  %v4 = linalg.broadcast ins(%v : tensor<2x?x5xf32>) outs(%ev : tensor<2x2x?x5xf32>) dimensions = [1]
  %vh = tensor.collapse_shape %v4 [[0, 1], [2], [3]] : tensor<2x2x?x5xf32> into tensor<4x?x5xf32>
  %es = tensor.empty() : tensor<4x8x5xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<4x8x5xf32>) -> tensor<4x8x5xf32>
  %s = linalg.contract indexing_maps = [#state_k, #state_v, #state] ins(%kh, %vh : tensor<4x?x8xf32>, tensor<4x?x5xf32>) outs(%fs : tensor<4x8x5xf32>) -> tensor<4x8x5xf32>
  %eo = tensor.empty(%n) : tensor<4x?x5xf32>
  %fo = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x?x5xf32>) -> tensor<4x?x5xf32>
  %o = linalg.contract indexing_maps = [#out_q, #out_s, #out] ins(%q, %s : tensor<4x?x8xf32>, tensor<4x8x5xf32>) outs(%fo : tensor<4x?x5xf32>) -> tensor<4x?x5xf32>
  return %o : tensor<4x?x5xf32>
}

// -----

#state_k = affine_map<(h, f, e, m) -> (h, m, f)>
#state_v = affine_map<(h, f, e, m) -> (h, m, e)>
#state = affine_map<(h, f, e, m) -> (h, f, e)>
#out_q = affine_map<(h, n, e, f) -> (h, n, f)>
#out_s = affine_map<(h, n, e, f) -> (h, f, e)>
#out = affine_map<(h, n, e, f) -> (h, n, e)>

// Efficient attention: features are a softmax over themselves, and over the keys.
// CHECK-LABEL: func.func @softmax_features
// CHECK-COUNT-2: linalg.softmax
// CHECK: attune.linear_attention {{.*}} {direction = #attune.direction<bidirectional>}
func.func @softmax_features(%q: tensor<4x6x8xf32>, %k: tensor<4x7x8xf32>, %v: tensor<4x7x5xf32>) -> tensor<4x6x5xf32> {
  %zero = arith.constant 0.0 : f32
  %eq = tensor.empty() : tensor<4x6x8xf32>
  %qf = linalg.softmax dimension(2) ins(%q : tensor<4x6x8xf32>) outs(%eq : tensor<4x6x8xf32>) -> tensor<4x6x8xf32>
  %ek = tensor.empty() : tensor<4x7x8xf32>
  %kf = linalg.softmax dimension(1) ins(%k : tensor<4x7x8xf32>) outs(%ek : tensor<4x7x8xf32>) -> tensor<4x7x8xf32>
  %es = tensor.empty() : tensor<4x8x5xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<4x8x5xf32>) -> tensor<4x8x5xf32>
  %s = linalg.contract indexing_maps = [#state_k, #state_v, #state] ins(%kf, %v : tensor<4x7x8xf32>, tensor<4x7x5xf32>) outs(%fs : tensor<4x8x5xf32>) -> tensor<4x8x5xf32>
  %eo = tensor.empty() : tensor<4x6x5xf32>
  %fo = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x6x5xf32>) -> tensor<4x6x5xf32>
  %o = linalg.contract indexing_maps = [#out_q, #out_s, #out] ins(%qf, %s : tensor<4x6x8xf32>, tensor<4x8x5xf32>) outs(%fo : tensor<4x6x5xf32>) -> tensor<4x6x5xf32>
  return %o : tensor<4x6x5xf32>
}
