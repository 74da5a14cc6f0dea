// RUN: attune-opt %s --pass-pipeline='builtin.module(func.func(attune-make-choices{kinds=attention alternatives=softmax,linear,cosformer,local3}))' \
// RUN:   --split-input-file --remarks-filter=attune-rewrite --remark-format=emitRemark 2>%t.remarks | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK <%t.remarks
// RUN: not attune-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(attune-make-choices{kinds=convolution}))' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=KIND
// RUN: not attune-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(attune-make-choices{kinds=attention alternatives=window}))' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=ALTERNATIVE

// KIND: error: there is no kind of operators `convolution`; accepted: attention
// ALTERNATIVE: error: there is no alternative `window`; accepted for attention: softmax, linear, cosformer, localN

// CHECK-LABEL: @plain
// CHECK-SAME: (%[[Q:.*]]: tensor<1x2x4x8xf32>, %[[C:.*]]: f32)
// CHECK: %[[SCALE:.*]] = arith.constant 2.5
// CHECK: attune.choice "/layer.0/MatMul_1" ins(%[[Q]], %[[SCALE]] : tensor<1x2x4x8xf32>, f32)
// CHECK-SAME: alternative softmax {
// CHECK-NEXT: ^bb0(%[[A:.*]]: tensor<1x2x4x8xf32>, %[[S:.*]]: f32):
// CHECK-NEXT: %[[R:.*]] = attune.attention ins(%[[A]], %[[A]], %[[A]] : {{.*}}) scale(%[[S]] : f32) {empty_row = #attune.empty_row<nan>}
// CHECK-NEXT: attune.yield %[[R]]
// CHECK: alternative linear {
// CHECK-NEXT: ^bb0(%[[A:.*]]: tensor<1x2x4x8xf32>, %{{.*}}: f32):
// CHECK-NEXT: attune.linear_attention ins(%[[A]], %[[A]], %[[A]] : {{.*}}) {direction = #attune.direction<bidirectional>, eps = {{.*}}, norm = #attune.weighting<sum>}
// CHECK: arith.maximumf
// CHECK: arith.mulf %{{.*}}, %{{.*}} : f32
// CHECK: arith.maximumf
// CHECK-NEXT: attune.yield
// CHECK: alternative cosformer {
// The sines of 1/4, 2/4, 3/4 and 4/4 of a right angle, then the cosines.
// CHECK: %[[T:.*]] = arith.constant dense<{{\[}}[0.382683426, 0.707106769, 0.923879504, 1.000000e+00], [0.923879504, 0.707106769, 0.382683426, {{.*}}]]> : tensor<2x4xf32>
// CHECK: attune.linear_attention {{.*}} pos(%[[T]], %{{.*}}) {{.*}}eps_mode = #attune.eps_mode<clamp>
// CHECK: alternative local3 {
// CHECK: attune.attention
// CHECK-NOT: nan
// CHECK: mask {
// CHECK-NEXT: ^bb0(%{{.*}}: index, %{{.*}}: index, %[[I:.*]]: index, %[[J:.*]]: index, %{{.*}}: index, %{{.*}}: index):
// CHECK-NEXT: %[[N:.*]] = arith.constant 3 : index
// CHECK-NEXT: %[[JN:.*]] = arith.addi %[[J]], %[[N]]
// CHECK-NEXT: %[[LEFT:.*]] = arith.cmpi sle, %[[I]], %[[JN]]
// CHECK-NEXT: %[[IN:.*]] = arith.addi %[[I]], %[[N]]
// CHECK-NEXT: %[[RIGHT:.*]] = arith.cmpi sle, %[[J]], %[[IN]]
// CHECK-NEXT: %[[BOTH:.*]] = arith.andi %[[LEFT]], %[[RIGHT]]
// CHECK-NEXT: attune.yield %[[BOTH]]
// CHECK: return
// REMARK: [Passed] ChoiceMade {{.*}}choice `/layer.0/MatMul_1` of softmax, linear, cosformer, local3
// The same node once more.
// CHECK-LABEL: @repeated
// CHECK: attune.choice "/layer.0/MatMul_1"
// CHECK: attune.choice "/layer.0/MatMul_1.2"
#node = loc(fused["/layer.0/MatMul", "/layer.0/Softmax", "/layer.0/MatMul_1"])
func.func @plain(%q: tensor<1x2x4x8xf32>, %c: f32) -> tensor<1x2x4x8xf32> {
  %scale = arith.constant 2.5 : f32
  %o = attune.attention ins(%q, %q, %q : tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>)
      scale(%scale : f32) {empty_row = #attune.empty_row<nan>} -> tensor<1x2x4x8xf32> loc(#node)
  return %o : tensor<1x2x4x8xf32>
}
func.func @repeated(%q: tensor<1x2x4x8xf32>) -> tensor<1x2x4x8xf32> {
  %a = attune.attention ins(%q, %q, %q : tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x4x8xf32> loc(#node)
  %b = attune.attention ins(%a, %q, %q : tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x4x8xf32> loc(#node)
  return %b : tensor<1x2x4x8xf32>
}

// -----

// A padding mask and the future in one finite mask on the scores: a factor per key, and a causal sum. One
// length that is not static: no table of positions.
// CHECK-LABEL: @masked
// CHECK: attune.choice "attention"
// CHECK: alternative linear {
// CHECK-NEXT: ^bb0(%{{.*}}: tensor<?x2x?x8xf32>, %[[SEEN:.*]]: tensor<?x?xi1>, %[[BIAS:.*]]: tensor<?xf32>):
// CHECK: %[[W:.*]] = linalg.generic {{.*}} iterator_types = ["parallel", "parallel"]
// CHECK: %[[B:.*]] = linalg.index 0
// CHECK: %[[M:.*]] = linalg.index 1
// CHECK-DAG: %[[X:.*]] = tensor.extract %[[BIAS]][%[[M]]]
// CHECK-DAG: %[[F:.*]] = math.exp %[[X]]
// CHECK-DAG: %[[P:.*]] = tensor.extract %[[SEEN]][%[[B]], %[[M]]]
// CHECK: %[[Y:.*]] = arith.select %[[P]], %[[F]], %{{.*}} : f32
// CHECK: linalg.yield %[[Y]]
// CHECK: attune.linear_attention {{.*}} key_mask(%[[W]] : tensor<?x?xf32>) {eps = {{.*}}, norm = #attune.weighting<sum>}
// CHECK-NOT: alternative cosformer
// CHECK: alternative local3 {
// REMARK: [Missed] AlternativeRefused {{.*}}no cosformer: its lengths are not static
func.func @masked(%q: tensor<?x2x?x8xf32>, %seen: tensor<?x?xi1>, %bias: tensor<?xf32>) -> tensor<?x2x?x8xf32> {
  %o = attune.attention ins(%q, %q, %q : tensor<?x2x?x8xf32>, tensor<?x2x?x8xf32>, tensor<?x2x?x8xf32>)
      captures(%seen, %bias : tensor<?x?xi1>, tensor<?xf32>) -> tensor<?x2x?x8xf32> score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %s: tensor<?x?xi1>, %c: tensor<?xf32>):
    %zero = arith.constant 0.0 : f32
    %never = arith.constant -3.4e38 : f32
    %past = arith.cmpi sle, %j, %i : index
    %key = tensor.extract %s[%b, %m] : tensor<?x?xi1>
    %both = arith.andi %past, %key : i1
    %mask = arith.select %both, %zero, %never : f32
    %add = tensor.extract %c[%m] : tensor<?xf32>
    %y = arith.addf %mask, %x : f32
    %z = arith.addf %y, %add : f32
    attune.yield %z : f32
  }
  return %o : tensor<?x2x?x8xf32>
}

// -----

// A mask that puts a finite number in place of scores.
// CHECK-LABEL: @replaced
// CHECK: alternative linear
// CHECK: attune.linear_attention {{.*}}, %{{[a-z0-9]+}} : {{[^)]*}}) {eps =
func.func @replaced(%q: tensor<1x2x?x8xf32>) -> tensor<1x2x?x8xf32> {
  %o = attune.attention ins(%q, %q, %q : tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>) -> tensor<1x2x?x8xf32> score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    %never = arith.constant -3.4e38 : f32
    %future = arith.cmpi sgt, %j, %i : index
    %y = arith.select %future, %never, %x : f32
    attune.yield %y : f32
  }
  return %o : tensor<1x2x?x8xf32>
}

// -----

// What linear attention cannot carry leaves the window.
// CHECK-LABEL: @capped
// CHECK: alternative softmax
// CHECK-NOT: alternative linear
// CHECK: alternative local3
// REMARK: no linear: its scores are more than products of queries and keys, a bias per key and a mask
func.func @capped(%q: tensor<1x2x?x8xf32>) -> tensor<1x2x?x8xf32> {
  %o = attune.attention ins(%q, %q, %q : tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>) -> tensor<1x2x?x8xf32> score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    %y = math.tanh %x : f32
    attune.yield %y : f32
  }
  return %o : tensor<1x2x?x8xf32>
}

// A mask that is no mask of keys: it depends on the head.
// CHECK-LABEL: @heads
// CHECK: alternative softmax
// CHECK-NOT: alternative linear
// CHECK: alternative local3
// CHECK: arith.andi
// REMARK: no linear: its mask depends on query and key in another way than hiding the future
func.func @heads(%q: tensor<1x2x?x8xf32>) -> tensor<1x2x?x8xf32> {
  %o = attune.attention ins(%q, %q, %q : tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>) -> tensor<1x2x?x8xf32> mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    %p = arith.cmpi sle, %j, %h : index
    attune.yield %p : i1
  }
  return %o : tensor<1x2x?x8xf32>
}

// -----

// CHECK-LABEL: @sink
// CHECK: attune.choice {{.*}} {selected = 0 : i64} -> tensor<1x2x?x8xf32> alternative softmax
// CHECK-NOT: alternative
// CHECK: return
// REMARK: no linear: it has a sink
// REMARK: no local3: it is not known to have as many queries as keys
func.func @sink(%q: tensor<1x2x?x8xf32>, %k: tensor<1x2x?x8xf32>, %s: tensor<2xf32>) -> tensor<1x2x?x8xf32> {
  %o = attune.attention ins(%q, %k, %k : tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>)
      sink(%s : tensor<2xf32>) -> tensor<1x2x?x8xf32>
  return %o : tensor<1x2x?x8xf32>
}

// More keys than queries: linear attention, and no window.
// CHECK-LABEL: @cross
// CHECK: alternative linear
// CHECK-NOT: alternative local3
// CHECK: return
func.func @cross(%q: tensor<1x2x5x8xf32>, %k: tensor<1x1x7x8xf32>) -> tensor<1x2x5x8xf32> {
  %o = attune.attention ins(%q, %k, %k : tensor<1x2x5x8xf32>, tensor<1x1x7x8xf32>, tensor<1x1x7x8xf32>) -> tensor<1x2x5x8xf32>
  return %o : tensor<1x2x5x8xf32>
}

// -----

// CHECK-LABEL: @negative
// CHECK: alternative softmax
// CHECK-NOT: alternative linear
// REMARK: no linear: its scale is not a positive constant
func.func @negative(%q: tensor<1x2x4x8xf32>, %c: f32) -> tensor<1x2x4x8xf32> {
  %o = attune.attention ins(%q, %q, %q : tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) scale(%c : f32) -> tensor<1x2x4x8xf32>
  return %o : tensor<1x2x4x8xf32>
}

// -----

// CHECK-LABEL: @sums
// CHECK-NOT: attune.choice
// CHECK: return
// REMARK: no linear: another result than the first is used
func.func @sums(%q: tensor<1x2x4x8xf32>) -> (tensor<1x2x4x8xf32>, tensor<1x2x4xf32>) {
  %o, %lse = attune.attention ins(%q, %q, %q : tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x4x8xf32> lse(tensor<1x2x4xf32>)
  return %o, %lse : tensor<1x2x4x8xf32>, tensor<1x2x4xf32>
}

// -----

// Causal, with keys of a cache in front.
// CHECK-LABEL: @decode
// CHECK: alternative softmax
// CHECK-NOT: alternative linear
// CHECK: alternative local3
// REMARK: no linear: its keys lie in a cache
func.func @decode(%q: tensor<1x2x1x8xf32>, %k: tensor<1x2x?x8xf32>, %p: tensor<1xi64>) -> tensor<1x2x1x8xf32> {
  %o = attune.attention ins(%q, %k, %k : tensor<1x2x1x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>)
      q_offset(%p : tensor<1xi64>) -> tensor<1x2x1x8xf32>
  return %o : tensor<1x2x1x8xf32>
}
