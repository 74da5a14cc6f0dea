// RUN: attune-opt %s | attune-opt | FileCheck %s
// RUN: attune-opt %s -mlir-print-op-generic | attune-opt | FileCheck %s

// CHECK-LABEL: func @attention_plain
// CHECK: attune.attention ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>) -> tensor<1x2x?x4xf32>{{$}}
func.func @attention_plain(%q: tensor<1x2x?x4xf32>) -> tensor<1x2x?x4xf32> {
  %o = attune.attention ins(%q, %q, %q : tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>)
    -> tensor<1x2x?x4xf32>
  return %o : tensor<1x2x?x4xf32>
}

// CHECK-LABEL: func @attention_full
// CHECK: attune.attention ins({{.*}}) scale(%{{.*}} : f16) scores(%{{.*}} : tensor<?x8x5x7xf32>)
// CHECK-SAME: sink(%{{.*}} : tensor<8xf32>) q_offset(%{{.*}} : tensor<?xi64>) kv_len(%{{.*}} : tensor<1xi64>)
// CHECK-SAME: captures(%{{.*}}, %{{.*}} : tensor<8xf32>, index)
// CHECK-SAME: {accum = f64, empty_row = #attune.empty_row<nan>, softmax_type = f32}
// CHECK-SAME: -> tensor<?x8x5x3xf16> lse(tensor<?x8x5xf32>) logits(tensor<?x8x5x7xf32>)
// CHECK-SAME: score {
// CHECK-NEXT: ^bb0(%{{.*}}: f64, %{{.*}}: index, {{.*}}, %{{.*}}: tensor<8xf32>, %{{.*}}: index):
// CHECK: attune.yield %{{.*}} : f64
// CHECK: } mask {
// CHECK-NEXT: ^bb0(%{{.*}}: index, {{.*}}, %{{.*}}: tensor<8xf32>, %{{.*}}: index):
// CHECK: attune.yield %{{.*}} : i1
func.func @attention_full(%q: tensor<?x8x5x4xf16>, %k: tensor<?x2x7x4xf16>, %v: tensor<?x2x7x3xf16>,
    %c: f16, %s: tensor<?x8x5x7xf32>, %sink: tensor<8xf32>, %qo: tensor<?xi64>, %len: tensor<1xi64>,
    %slopes: tensor<8xf32>, %w: index) -> (tensor<?x8x5x3xf16>, tensor<?x8x5xf32>, tensor<?x8x5x7xf32>) {
  %o:3 = attune.attention ins(%q, %k, %v : tensor<?x8x5x4xf16>, tensor<?x2x7x4xf16>, tensor<?x2x7x3xf16>)
    scale(%c : f16) scores(%s : tensor<?x8x5x7xf32>) sink(%sink : tensor<8xf32>)
    q_offset(%qo : tensor<?xi64>) kv_len(%len : tensor<1xi64>)
    captures(%slopes, %w : tensor<8xf32>, index)
    {accum = f64, softmax_type = f32, empty_row = #attune.empty_row<nan>}
    -> tensor<?x8x5x3xf16> lse(tensor<?x8x5xf32>) logits(tensor<?x8x5x7xf32>)
  score {
  ^bb0(%x: f64, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %sl: tensor<8xf32>, %win: index):
    attune.yield %x : f64
  } mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %sl: tensor<8xf32>, %win: index):
    %d = arith.subi %i, %j : index
    %p = arith.cmpi slt, %d, %win : index
    attune.yield %p : i1
  }
  return %o#0, %o#1, %o#2 : tensor<?x8x5x3xf16>, tensor<?x8x5xf32>, tensor<?x8x5x7xf32>
}

// CHECK-LABEL: func @attention_scores_only
// CHECK: attune.attention ins(%{{.*}} : tensor<1x2x6x4xf32>) scores(%{{.*}} : tensor<1x2x5x6xf32>)
// CHECK-SAME: block_index(%{{.*}} : tensor<2x1x3xi32>)
// CHECK-SAME: {eps = 5.000000e-01 : f64, eps_mode = #attune.eps_mode<clamp>, weighting = #attune.weighting<sum>}
func.func @attention_scores_only(%v: tensor<1x2x6x4xf32>, %s: tensor<1x2x5x6xf32>, %bi: tensor<2x1x3xi32>) -> tensor<1x2x5x4xf32> {
  %o = attune.attention ins(%v : tensor<1x2x6x4xf32>) scores(%s : tensor<1x2x5x6xf32>)
    block_index(%bi : tensor<2x1x3xi32>)
    {weighting = #attune.weighting<sum>, eps = 0.5, eps_mode = #attune.eps_mode<clamp>}
    -> tensor<1x2x5x4xf32>
  return %o : tensor<1x2x5x4xf32>
}

// CHECK-LABEL: func @norm
// CHECK: attune.norm ins(%{{.*}} : tensor<?x4x8xf32>) scale(%{{.*}} : tensor<8xf32>) bias(%{{.*}} : tensor<8xf32>)
// CHECK-SAME: {axis = 2 : i64, eps = 1.000000e-05 : f64, kind = #attune.norm_kind<layer>}
// CHECK-SAME: -> tensor<?x4x8xf32> mean(tensor<?x4x1xf32>) inv_std(tensor<?x4x1xf32>)
// CHECK: attune.norm ins(%{{.*}} : tensor<?x4x8xf32>) {axis = 1 : i64, eps = 1.000000e-05 : f64, groups = 2 : i64, kind = #attune.norm_kind<group>} -> tensor<?x4x8xf32>
func.func @norm(%x: tensor<?x4x8xf32>, %g: tensor<8xf32>) -> tensor<?x4x8xf32> {
  %y, %m, %s = attune.norm ins(%x : tensor<?x4x8xf32>) scale(%g : tensor<8xf32>) bias(%g : tensor<8xf32>)
    {axis = 2 : i64, eps = 1.0e-5 : f64, kind = #attune.norm_kind<layer>}
    -> tensor<?x4x8xf32> mean(tensor<?x4x1xf32>) inv_std(tensor<?x4x1xf32>)
  %z = attune.norm ins(%y : tensor<?x4x8xf32>)
    {axis = 1 : i64, eps = 1.0e-5 : f64, groups = 2 : i64, kind = #attune.norm_kind<group>} -> tensor<?x4x8xf32>
  return %z : tensor<?x4x8xf32>
}

// CHECK-LABEL: func @scan
// CHECK: attune.scan %{{.*}} {axis = 1 : i64, exclusive = true, kind = #attune.scan_kind<prod>, reverse = true} : tensor<2x?xi64>
func.func @scan(%x: tensor<2x?xi64>) -> tensor<2x?xi64> {
  %y = attune.scan %x {axis = 1 : i64, kind = #attune.scan_kind<prod>, exclusive = true, reverse = true} : tensor<2x?xi64>
  return %y : tensor<2x?xi64>
}

// CHECK-LABEL: func @dft
// CHECK: attune.dft %{{.*}} length(%{{.*}}) {axis = 1 : i64, onesided = true} : tensor<4x?x1xf32> -> tensor<4x?x2xf32>
func.func @dft(%x: tensor<4x?x1xf32>, %n: index) -> tensor<4x?x2xf32> {
  %y = attune.dft %x length(%n) {axis = 1 : i64, onesided = true} : tensor<4x?x1xf32> -> tensor<4x?x2xf32>
  return %y : tensor<4x?x2xf32>
}

// CHECK-LABEL: func @kernel
// CHECK: attune.kernel ins(%{{.*}} : tensor<?x8xf32>) dims(%[[N:.*]]) result_dims(%[[N]])
// CHECK-SAME: attributes {backend = "mlir", input_dims = array<i64: 0>, kernel_name = "copy"} -> tensor<?x8xf32> {
// CHECK-NEXT: ^bb0(%[[A:.*]]: tensor<?x8xf32>, %{{.*}}: index):
// CHECK-NEXT: attune.yield %[[A]] : tensor<?x8xf32>
func.func @kernel(%x: tensor<?x8xf32>, %n: index) -> tensor<?x8xf32> {
  %y = attune.kernel ins(%x : tensor<?x8xf32>) dims(%n) result_dims(%n)
    attributes {kernel_name = "copy", backend = "mlir", input_dims = array<i64: 0>} -> tensor<?x8xf32> {
  ^bb0(%a: tensor<?x8xf32>, %d: index):
    attune.yield %a : tensor<?x8xf32>
  }
  return %y : tensor<?x8xf32>
}
