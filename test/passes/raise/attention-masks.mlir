// RUN: attune-opt %s -split-input-file --attune-raise-attention | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-attention --attune-raise-attention | FileCheck %s

#q = affine_map<(b, h, n, m, d) -> (b, h, n, d)>
#k = affine_map<(b, h, n, m, d) -> (b, h, m, d)>
#s = affine_map<(b, h, n, m, d) -> (b, h, n, m)>
#p = affine_map<(b, h, n, e, m) -> (b, h, n, m)>
#v = affine_map<(b, h, n, e, m) -> (b, h, m, e)>
#o = affine_map<(b, h, n, e, m) -> (b, h, n, e)>
#id = affine_map<(b, h, n, m) -> (b, h, n, m)>
#nm = affine_map<(b, h, n, m) -> (0, 0, n, m)>
#bm = affine_map<(b, h, n, m) -> (b, 0, 0, m)>

// A constant triangle of -inf becomes a comparison of positions; rows are never empty, but an
// unguarded -inf means nan.
// CHECK-LABEL: func.func @constant_causal
// CHECK: attune.attention
// CHECK-SAME: empty_row = #attune.empty_row<nan>
// CHECK-NOT: score {
// CHECK-SAME: mask {
// CHECK: ^bb0(%{{.*}}: index, %{{.*}}: index, %[[I:.*]]: index, %[[J:.*]]: index, %{{.*}}: index, %{{.*}}: index):
// CHECK: %[[P:.*]] = arith.cmpi sle, %[[J]], %[[I]] : index
// CHECK: attune.yield %[[P]]
func.func @constant_causal(%q: tensor<2x3x4x8xf32>, %k: tensor<2x3x4x8xf32>, %v: tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xf32> {
  %zero = arith.constant 0.0 : f32
  %bias = arith.constant dense<[[[[0.0, 0xFF800000, 0xFF800000, 0xFF800000], [0.0, 0.0, 0xFF800000, 0xFF800000],
                                  [0.0, 0.0, 0.0, 0xFF800000], [0.0, 0.0, 0.0, 0.0]]]]> : tensor<1x1x4x4xf32>
  %e = tensor.empty() : tensor<2x3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x3x4x4xf32>) -> tensor<2x3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<2x3x4x8xf32>, tensor<2x3x4x8xf32>) outs(%f : tensor<2x3x4x4xf32>) -> tensor<2x3x4x4xf32>
  %1 = linalg.generic {indexing_maps = [#id, #nm, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%0, %bias : tensor<2x3x4x4xf32>, tensor<1x1x4x4xf32>) outs(%e : tensor<2x3x4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %x = arith.addf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<2x3x4x4xf32>
  %2 = linalg.softmax dimension(3) ins(%1 : tensor<2x3x4x4xf32>) outs(%e : tensor<2x3x4x4xf32>) -> tensor<2x3x4x4xf32>
  %e1 = tensor.empty() : tensor<2x3x4x5xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xf32>
  %3 = linalg.contract indexing_maps = [#p, #v, #o] ins(%2, %v : tensor<2x3x4x4xf32>, tensor<2x3x4x5xf32>) outs(%f1 : tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xf32>
  return %3 : tensor<2x3x4x5xf32>
}

// -----

#q = affine_map<(b, h, n, m, d) -> (b, h, n, d)>
#k = affine_map<(b, h, n, m, d) -> (b, h, m, d)>
#s = affine_map<(b, h, n, m, d) -> (b, h, n, m)>
#p = affine_map<(b, h, n, e, m) -> (b, h, n, m)>
#v = affine_map<(b, h, n, e, m) -> (b, h, m, e)>
#o = affine_map<(b, h, n, e, m) -> (b, h, n, e)>
#id = affine_map<(b, h, n, m) -> (b, h, n, m)>
#bm = affine_map<(b, h, n, m) -> (b, 0, 0, m)>

// A finite padding bias is no mask: a row without keys is softmax of its scores.
// CHECK-LABEL: func.func @finite_padding
// CHECK-SAME: %[[BIAS:[a-z0-9]*]]: tensor<?x1x1x?xf32>
// CHECK: attune.attention {{.*}} captures(%[[BIAS]] : tensor<?x1x1x?xf32>)
// CHECK-SAME: score {
// CHECK: ^bb0(%[[X:.*]]: f32, %[[B:.*]]: index, %{{.*}}: index, %{{.*}}: index, %[[J:.*]]: index, %{{.*}}: index, %{{.*}}: index, %[[CAP:.*]]: tensor<?x1x1x?xf32>):
// CHECK: %[[T:.*]] = tensor.extract %[[CAP]][%[[B]], %{{.*}}, %{{.*}}, %[[J]]]
// CHECK: %[[Y:.*]] = arith.addf %[[X]], %[[T]]
// CHECK: attune.yield %[[Y]]
// CHECK-NOT: mask {
func.func @finite_padding(%q: tensor<?x3x?x8xf32> {attune.dims = ["b", "", "s", ""]}, %bias: tensor<?x1x1x?xf32> {attune.dims = ["b", "", "", "s"]}) -> tensor<?x3x?x8xf32> {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %zero = arith.constant 0.0 : f32
  %b = tensor.dim %q, %c0 : tensor<?x3x?x8xf32>
  %n = tensor.dim %q, %c2 : tensor<?x3x?x8xf32>
  %e = tensor.empty(%b, %n, %n) : tensor<?x3x?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x3x?x?xf32>) -> tensor<?x3x?x?xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<?x3x?x8xf32>, tensor<?x3x?x8xf32>) outs(%f : tensor<?x3x?x?xf32>) -> tensor<?x3x?x?xf32>
  %1 = linalg.generic {indexing_maps = [#id, #bm, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%0, %bias : tensor<?x3x?x?xf32>, tensor<?x1x1x?xf32>) outs(%e : tensor<?x3x?x?xf32>) {
  ^bb0(%a: f32, %c: f32, %out: f32):
    %x = arith.addf %a, %c : f32
    linalg.yield %x : f32
  } -> tensor<?x3x?x?xf32>
  %2 = linalg.softmax dimension(3) ins(%1 : tensor<?x3x?x?xf32>) outs(%e : tensor<?x3x?x?xf32>) -> tensor<?x3x?x?xf32>
  %e1 = tensor.empty(%b, %n) : tensor<?x3x?x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?x3x?x8xf32>) -> tensor<?x3x?x8xf32>
  %3 = linalg.contract indexing_maps = [#p, #v, #o] ins(%2, %q : tensor<?x3x?x?xf32>, tensor<?x3x?x8xf32>) outs(%f1 : tensor<?x3x?x8xf32>) -> tensor<?x3x?x8xf32>
  return %3 : tensor<?x3x?x8xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>

// Heads only, a window computed from positions, filled with a finite number: every row keeps a key,
// so it is a mask. A soft cap stays in the score region.
// CHECK-LABEL: func.func @window_and_cap
// CHECK: tensor.expand_shape {{.*}} tensor<3x?x8xf32> into tensor<1x3x?x8xf32>
// CHECK: attune.attention {{.*}} -> tensor<1x3x?x8xf32> score {
// CHECK: arith.divf
// CHECK: math.tanh
// CHECK: arith.mulf
// CHECK: } mask {
// CHECK: ^bb0(%{{.*}}: index, %{{.*}}: index, %[[I:.*]]: index, %[[J:.*]]: index, %{{.*}}: index, %{{.*}}: index):
// CHECK-DAG: %[[D:.*]] = arith.subi %[[I]], %[[J]]
// CHECK-DAG: arith.cmpi sle, %[[J]], %[[I]]
// CHECK-DAG: arith.cmpi slt, %[[D]], %{{.*}}
// CHECK: tensor.collapse_shape {{.*}} tensor<1x3x?x8xf32> into tensor<3x?x8xf32>
func.func @window_and_cap(%q: tensor<3x?x8xf32>) -> tensor<3x?x8xf32> {
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %never = arith.constant -3.40282347E+38 : f32
  %cap = arith.constant 50.0 : f32
  %n = tensor.dim %q, %c1 : tensor<3x?x8xf32>
  %e = tensor.empty(%n, %n) : tensor<3x?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<3x?x8xf32>, tensor<3x?x8xf32>) outs(%f : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%0 : tensor<3x?x?xf32>) outs(%e : tensor<3x?x?xf32>) {
  ^bb0(%a: f32, %out: f32):
    %scaled = arith.divf %a, %cap : f32
    %t = math.tanh %scaled : f32
    %x = arith.mulf %t, %cap : f32
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %c4 = arith.constant 4 : index
    %past = arith.cmpi sle, %j, %i : index
    %distance = arith.subi %i, %j : index
    %near = arith.cmpi slt, %distance, %c4 : index
    %keep = arith.andi %past, %near : i1
    %y = arith.select %keep, %x, %never : f32
    linalg.yield %y : f32
  } -> tensor<3x?x?xf32>
  %2 = linalg.softmax dimension(2) ins(%1 : tensor<3x?x?xf32>) outs(%e : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %e1 = tensor.empty(%n) : tensor<3x?x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x?x8xf32>) -> tensor<3x?x8xf32>
  %3 = linalg.contract indexing_maps = [#p, #v, #o] ins(%2, %q : tensor<3x?x?xf32>, tensor<3x?x8xf32>) outs(%f1 : tensor<3x?x8xf32>) -> tensor<3x?x8xf32>
  return %3 : tensor<3x?x8xf32>
}

// -----

#q = affine_map<(b, h, n, m, d) -> (b, h, n, d)>
#k = affine_map<(b, h, n, m, d) -> (b, h, m, d)>
#s = affine_map<(b, h, n, m, d) -> (b, h, n, m)>
#p = affine_map<(b, h, n, e, m) -> (b, h, n, m)>
#v = affine_map<(b, h, n, e, m) -> (b, h, m, e)>
#o = affine_map<(b, h, n, e, m) -> (b, h, n, e)>
#id = affine_map<(b, h, n, m) -> (b, h, n, m)>
#head = affine_map<(b, h, n, m) -> (h)>

// ALiBi: slopes[h] * (j - i).
// CHECK-LABEL: func.func @alibi
// CHECK-SAME: %[[SLOPES:[a-z0-9]*]]: tensor<3xf32>
// CHECK: attune.attention {{.*}} captures(%[[SLOPES]] : tensor<3xf32>)
// CHECK: ^bb0(%{{.*}}: f32, %{{.*}}: index, %[[H:.*]]: index, %[[I:.*]]: index, %[[J:.*]]: index, %{{.*}}: index, %{{.*}}: index, %[[CAP:.*]]: tensor<3xf32>):
// CHECK-DAG: tensor.extract %[[CAP]][%[[H]]]
// CHECK-DAG: arith.subi %[[J]], %[[I]]
func.func @alibi(%q: tensor<2x3x4x8xf32>, %k: tensor<2x3x4x8xf32>, %v: tensor<2x3x4x5xf32>, %slopes: tensor<3xf32>) -> tensor<2x3x4x5xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x3x4x4xf32>) -> tensor<2x3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<2x3x4x8xf32>, tensor<2x3x4x8xf32>) outs(%f : tensor<2x3x4x4xf32>) -> tensor<2x3x4x4xf32>
  %1 = linalg.generic {indexing_maps = [#id, #head, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%0, %slopes : tensor<2x3x4x4xf32>, tensor<3xf32>) outs(%e : tensor<2x3x4x4xf32>) {
  ^bb0(%a: f32, %slope: f32, %out: f32):
    %i = linalg.index 2 : index
    %j = linalg.index 3 : index
    %d = arith.subi %j, %i : index
    %d1 = arith.index_cast %d : index to i64
    %d2 = arith.sitofp %d1 : i64 to f32
    %b = arith.mulf %slope, %d2 : f32
    %x = arith.addf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<2x3x4x4xf32>
  %2 = linalg.softmax dimension(3) ins(%1 : tensor<2x3x4x4xf32>) outs(%e : tensor<2x3x4x4xf32>) -> tensor<2x3x4x4xf32>
  %e1 = tensor.empty() : tensor<2x3x4x5xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xf32>
  %3 = linalg.contract indexing_maps = [#p, #v, #o] ins(%2, %v : tensor<2x3x4x4xf32>, tensor<2x3x4x5xf32>) outs(%f1 : tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xf32>
  return %3 : tensor<2x3x4x5xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#row = affine_map<(h, n, m) -> (n)>

// A mask by the score itself belongs to the score.
// CHECK-LABEL: func.func @threshold
// CHECK: attune.attention
// CHECK-SAME: score {
// CHECK: arith.cmpf olt
// CHECK: arith.select
// CHECK-NOT: mask {
// CHECK: return
func.func @threshold(%q: tensor<3x4x8xf32>, %t: tensor<4xf32>) -> tensor<3x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %never = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<3x4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %q : tensor<3x4x8xf32>, tensor<3x4x8xf32>) outs(%f : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %m = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%0, %t : tensor<3x4x4xf32>, tensor<4xf32>) outs(%e : tensor<3x4x4xf32>) {
  ^bb0(%x: f32, %least: f32, %out: f32):
    %below = arith.cmpf olt, %x, %least : f32
    %y = arith.select %below, %never, %x : f32
    linalg.yield %y : f32
  } -> tensor<3x4x4xf32>
  %1 = linalg.softmax dimension(2) ins(%m : tensor<3x4x4xf32>) outs(%e : tensor<3x4x4xf32>) -> tensor<3x4x4xf32>
  %e1 = tensor.empty() : tensor<3x4x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  %2 = linalg.contract indexing_maps = [#p, #v, #o] ins(%1, %q : tensor<3x4x4xf32>, tensor<3x4x8xf32>) outs(%f1 : tensor<3x4x8xf32>) -> tensor<3x4x8xf32>
  return %2 : tensor<3x4x8xf32>
}
