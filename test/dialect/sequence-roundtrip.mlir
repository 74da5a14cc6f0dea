// RUN: attune-opt %s | attune-opt | FileCheck %s
// RUN: attune-opt %s -mlir-print-op-generic | attune-opt | FileCheck %s
// Ops of linear attention, of sequences and of maps, and choices.

// CHECK-LABEL: func @linear_plain
// CHECK: attune.linear_attention ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>) -> tensor<1x2x?x4xf32>{{$}}
func.func @linear_plain(%q: tensor<1x2x?x4xf32>) -> tensor<1x2x?x4xf32> {
  %o = attune.linear_attention ins(%q, %q, %q : tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>)
    -> tensor<1x2x?x4xf32>
  return %o : tensor<1x2x?x4xf32>
}

// CHECK-LABEL: func @linear_gated
// CHECK: attune.linear_attention ins({{.*}}) pos(%{{.*}}, %{{.*}} : tensor<2x5xf16>, tensor<2x5xf16>)
// CHECK-SAME: decay(%{{.*}} : tensor<1x2x5xf32>) key_mask(%{{.*}} : tensor<1x5xf16>)
// CHECK-SAME: init_state(%{{.*}} : tensor<1x2x6x7xf32>) init_norm(%{{.*}} : tensor<1x2x6xf32>)
// CHECK-SAME: {accum = f64, den = #attune.denominator<plain>, eps = 5.000000e-01 : f64, eps_mode = #attune.eps_mode<clamp>, form = #attune.form<chunked>, norm = #attune.weighting<sum>, update = #attune.update<gated>}
// CHECK-SAME: -> tensor<1x4x5x7xf16> final_state(tensor<1x2x6x7xf32>) final_norm(tensor<1x2x6xf32>) phi_q {
// CHECK-NEXT: ^bb0(%{{.*}}: f64):
// CHECK: } phi_k {
func.func @linear_gated(%q: tensor<1x4x5x3xf16>, %k: tensor<1x2x5x3xf16>, %v: tensor<1x2x5x7xf16>, %t: tensor<2x5xf16>,
    %g: tensor<1x2x5xf32>, %m: tensor<1x5xf16>, %s: tensor<1x2x6x7xf32>, %z: tensor<1x2x6xf32>) -> tensor<1x4x5x7xf16> {
  %o:3 = attune.linear_attention ins(%q, %k, %v : tensor<1x4x5x3xf16>, tensor<1x2x5x3xf16>, tensor<1x2x5x7xf16>)
    pos(%t, %t : tensor<2x5xf16>, tensor<2x5xf16>) decay(%g : tensor<1x2x5xf32>) key_mask(%m : tensor<1x5xf16>)
    init_state(%s : tensor<1x2x6x7xf32>) init_norm(%z : tensor<1x2x6xf32>)
    {accum = f64, update = #attune.update<gated>, norm = #attune.weighting<sum>, eps = 0.5 : f64,
     eps_mode = #attune.eps_mode<clamp>, den = #attune.denominator<plain>, form = #attune.form<chunked>}
    -> tensor<1x4x5x7xf16> final_state(tensor<1x2x6x7xf32>) final_norm(tensor<1x2x6xf32>)
  phi_q {
  ^bb0(%x: f64):
    %y = math.absf %x : f64
    attune.yield %y : f64
  } phi_k {
  ^bb0(%x: f64):
    %y = math.absf %x : f64
    attune.yield %y : f64
  }
  return %o#0 : tensor<1x4x5x7xf16>
}

// CHECK-LABEL: func @linear_updates
// CHECK: attune.linear_attention {{.*}} beta(%{{.*}} : tensor<1x2x5xf32>) {update = #attune.update<delta>}
// CHECK: attune.linear_attention {{.*}} momentum(%{{.*}}, %{{.*}} : f32, f64) {update = #attune.update<momentum>}
// CHECK: attune.linear_attention {{.*}} momentum(%{{.*}} : f64) {update = #attune.update<adaptive_momentum>}
func.func @linear_updates(%q: tensor<1x2x5x3xf32>, %b: tensor<1x2x5xf32>, %mu: f32, %step: f64) -> tensor<1x2x5x3xf32> {
  %0 = attune.linear_attention ins(%q, %q, %q : tensor<1x2x5x3xf32>, tensor<1x2x5x3xf32>, tensor<1x2x5x3xf32>)
    beta(%b : tensor<1x2x5xf32>) {update = #attune.update<delta>} -> tensor<1x2x5x3xf32>
  %1 = attune.linear_attention ins(%0, %q, %q : tensor<1x2x5x3xf32>, tensor<1x2x5x3xf32>, tensor<1x2x5x3xf32>)
    momentum(%mu, %step : f32, f64) {update = #attune.update<momentum>} -> tensor<1x2x5x3xf32>
  %2 = attune.linear_attention ins(%1, %q, %q : tensor<1x2x5x3xf32>, tensor<1x2x5x3xf32>, tensor<1x2x5x3xf32>)
    momentum(%step : f64) {update = #attune.update<adaptive_momentum>} -> tensor<1x2x5x3xf32>
  return %2 : tensor<1x2x5x3xf32>
}

// CHECK-LABEL: func @linear_bidirectional
// CHECK: attune.linear_attention {{.*}} toeplitz(%{{.*}} : tensor<?xf32>) {direction = #attune.direction<bidirectional>} -> tensor<1x2x3x4xf32>{{$}}
// CHECK: attune.linear_attention {{.*}} {direction = #attune.direction<bidirectional>} -> tensor<1x2x3x4xf32> state {
func.func @linear_bidirectional(%q: tensor<1x2x3x4xf32>, %k: tensor<1x2x?x4xf32>, %c: tensor<?xf32>) -> tensor<1x2x3x4xf32> {
  %0 = attune.linear_attention ins(%q, %k, %k : tensor<1x2x3x4xf32>, tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>)
    toeplitz(%c : tensor<?xf32>) {direction = #attune.direction<bidirectional>} -> tensor<1x2x3x4xf32>
  %1 = attune.linear_attention ins(%0, %k, %k : tensor<1x2x3x4xf32>, tensor<1x2x?x4xf32>, tensor<1x2x?x4xf32>)
    {direction = #attune.direction<bidirectional>} -> tensor<1x2x3x4xf32>
  state {
  ^bb0(%x: f32):
    %y = math.tanh %x : f32
    attune.yield %y : f32
  }
  return %1 : tensor<1x2x3x4xf32>
}

// CHECK-LABEL: func @ema
// CHECK: attune.ema ins(%{{.*}} : tensor<1x?x8xf32>) coeffs(%{{.*}}, %{{.*}}, %{{.*}} : tensor<8x2xf32>, tensor<8x2xf32>, tensor<8x2xf32>) skip(%{{.*}} : tensor<8xf32>)
// CHECK-SAME: init_state(%{{.*}} : tensor<1x8x2xf32>) -> tensor<1x?x8xf32> final_state(tensor<1x8x2xf32>)
// CHECK: attune.ema ins({{.*}}) coeffs({{.*}}) {truncation = 16 : i64} -> tensor<1x?x8xf32>
func.func @ema(%x: tensor<1x?x8xf32>, %a: tensor<8x2xf32>, %w: tensor<8xf32>, %h: tensor<1x8x2xf32>) -> tensor<1x?x8xf32> {
  %y, %s = attune.ema ins(%x : tensor<1x?x8xf32>) coeffs(%a, %a, %a : tensor<8x2xf32>, tensor<8x2xf32>, tensor<8x2xf32>)
    skip(%w : tensor<8xf32>) init_state(%h : tensor<1x8x2xf32>) -> tensor<1x?x8xf32> final_state(tensor<1x8x2xf32>)
  %z = attune.ema ins(%y : tensor<1x?x8xf32>) coeffs(%a, %a, %a : tensor<8x2xf32>, tensor<8x2xf32>, tensor<8x2xf32>)
    {truncation = 16 : i64} -> tensor<1x?x8xf32>
  return %z : tensor<1x?x8xf32>
}

// CHECK-LABEL: func @toeplitz
// CHECK: attune.toeplitz ins(%{{.*}}, %{{.*}} : tensor<?x4xf32>, tensor<1x?x4xf32>) {direction = #attune.direction<bidirectional>, form = #attune.form<fft>} -> tensor<1x?x4xf32>
func.func @toeplitz(%c: tensor<?x4xf32>, %x: tensor<1x?x4xf32>) -> tensor<1x?x4xf32> {
  %y = attune.toeplitz ins(%c, %x : tensor<?x4xf32>, tensor<1x?x4xf32>)
    {direction = #attune.direction<bidirectional>, form = #attune.form<fft>} -> tensor<1x?x4xf32>
  return %y : tensor<1x?x4xf32>
}

// CHECK-LABEL: func @map_mix
// CHECK: attune.map_mix ins(%{{.*}} : tensor<1x4x?x?xf32>) previous(%{{.*}} : tensor<1x4x?x?xf32>)
// CHECK-SAME: weights(%{{.*}}, %{{.*}} : tensor<8x4x1x1xf32>, tensor<4x2x3x3xf32>) biases(%{{.*}}, %{{.*}} : tensor<8xf32>, tensor<4xf32>)
// CHECK-SAME: {acts = [#attune.map_act<relu>, #attune.map_act<leaky_relu>], alpha = 2.500000e-01 : f64, beta = 5.000000e-01 : f64, dilations = array<i64: 1, 2>, groups = array<i64: 1, 4>, slopes = array<f64: 0.000000e+00, 1.000000e-02>}
func.func @map_mix(%m: tensor<1x4x?x?xf32>, %v: tensor<8x4x1x1xf32>, %w: tensor<4x2x3x3xf32>, %b: tensor<8xf32>, %c: tensor<4xf32>) -> tensor<1x4x?x?xf32> {
  %y = attune.map_mix ins(%m : tensor<1x4x?x?xf32>) previous(%m : tensor<1x4x?x?xf32>)
    weights(%v, %w : tensor<8x4x1x1xf32>, tensor<4x2x3x3xf32>) biases(%b, %c : tensor<8xf32>, tensor<4xf32>)
    {alpha = 0.25 : f64, beta = 0.5 : f64, groups = array<i64: 1, 4>, dilations = array<i64: 1, 2>,
     acts = [#attune.map_act<relu>, #attune.map_act<leaky_relu>], slopes = array<f64: 0.0, 0.01>} -> tensor<1x4x?x?xf32>
  return %y : tensor<1x4x?x?xf32>
}

// CHECK-LABEL: func @contract
// CHECK: attune.contract ins(%{{.*}}, %{{.*}} : tensor<?x6xf32>, tensor<3x6xi8>) outs(%{{.*}} : tensor<?x3xf32>)
// CHECK-SAME: {exponent_bias = 16 : i64, indexing_maps = [#{{.*}}, #{{.*}}, #{{.*}}], kind = #attune.contract_kind<shift>}
func.func @contract(%x: tensor<?x6xf32>, %w: tensor<3x6xi8>, %z: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %y = attune.contract ins(%x, %w : tensor<?x6xf32>, tensor<3x6xi8>) outs(%z : tensor<?x3xf32>)
    {kind = #attune.contract_kind<shift>, exponent_bias = 16 : i64,
     indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return %y : tensor<?x3xf32>
}

// CHECK-LABEL: func @contract_integers
// CHECK: attune.contract ins(%{{.*}}, %{{.*}} : tensor<?x6xi32>, tensor<3x6xi8>) outs(%{{.*}} : tensor<?x3xi64>)
// CHECK-SAME: {exponent_bias = 16 : i64, indexing_maps = [#{{.*}}, #{{.*}}, #{{.*}}], kind = #attune.contract_kind<shift>, rounding = #attune.contract_rounding<floor_terms>}
func.func @contract_integers(%x: tensor<?x6xi32>, %w: tensor<3x6xi8>, %z: tensor<?x3xi64>) -> tensor<?x3xi64> {
  %y = attune.contract ins(%x, %w : tensor<?x6xi32>, tensor<3x6xi8>) outs(%z : tensor<?x3xi64>)
    {kind = #attune.contract_kind<shift>, exponent_bias = 16 : i64,
     rounding = #attune.contract_rounding<floor_terms>,
     indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
  return %y : tensor<?x3xi64>
}

// CHECK-LABEL: func @choice
// CHECK: %[[R:.*]]:2 = attune.choice "block0" ins(%{{.*}} : tensor<4xf32>) {selected = 1 : i64} -> tensor<4xf32>, tensor<4xf32> alternative keep {
// CHECK-NEXT: ^bb0(%[[A:.*]]: tensor<4xf32>):
// CHECK-NEXT: attune.yield %[[A]], %[[A]] : tensor<4xf32>, tensor<4xf32>
// CHECK-NEXT: } alternative "any name" {
// CHECK: attune.choice "constant" -> f32 alternative one {
func.func @choice(%x: tensor<4xf32>) -> (tensor<4xf32>, f32) {
  %y:2 = attune.choice "block0" ins(%x : tensor<4xf32>) {selected = 1 : i64} -> tensor<4xf32>, tensor<4xf32> alternative keep {
  ^bb0(%a: tensor<4xf32>):
    attune.yield %a, %a : tensor<4xf32>, tensor<4xf32>
  } alternative "any name" {
  ^bb0(%a: tensor<4xf32>):
    %s = attune.scan %a {axis = 0 : i64, kind = #attune.scan_kind<sum>} : tensor<4xf32>
    attune.yield %a, %s : tensor<4xf32>, tensor<4xf32>
  }
  %z = attune.choice "constant" -> f32 alternative one {
    %one = arith.constant 1.0 : f32
    attune.yield %one : f32
  }
  return %y#1, %z : tensor<4xf32>, f32
}
