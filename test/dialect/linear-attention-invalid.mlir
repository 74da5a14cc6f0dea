// RUN: attune-opt %s -split-input-file -verify-diagnostics
// One case per rule of `attune.linear_attention`.

func.func @integer_query(%q: tensor<2x4x5x3xi32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{query must have float elements, found 'i32'}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xi32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @accum(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{accum must be a float type, found 'i32'}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) {accum = i32} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @rank(%q: tensor<2x4x5x3xf32>, %k: tensor<2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{key must have rank 4, found 3}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x5x3xf32>, tensor<2x2x5x6xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @causal_keys(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x7x3xf32>, %v: tensor<2x2x7x6xf32>) {
  // expected-error @below {{key has extent 7 where query has 5}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x7x3xf32>, tensor<2x2x7x6xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @values(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x6x6xf32>) {
  // expected-error @below {{value has extent 6 where query has 5}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x6x6xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @feature_dim(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x4xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{key has extent 4 where query has 3}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x4xf32>, tensor<2x2x5x6xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @result_shape(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{result has extent 7 where value has 6}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) -> tensor<2x4x5x7xf32>
  return
}

// -----
func.func @heads(%q: tensor<2x3x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{number of query heads (3) must be a multiple of the number of key heads (2)}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x3x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) -> tensor<2x3x5x6xf32>
  return
}

// -----
func.func @one_table(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %t: tensor<2x5xf32>) {
  // expected-error @below {{query_pos and key_pos must be given together}}
  %o = "attune.linear_attention"(%q, %k, %v, %t) <{operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0, 0>}> ({}, {}, {}) : (tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>, tensor<2x5xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @table_terms(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %t: tensor<2x5xf32>, %s: tensor<3x5xf32>) {
  // expected-error @below {{key_pos has extent 3 where query_pos has 2}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) pos(%t, %s : tensor<2x5xf32>, tensor<3x5xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @table_length(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x7x3xf32>, %v: tensor<2x2x7x6xf32>, %t: tensor<2x5xf32>) {
  // expected-error @below {{key_pos has extent 5 where key has 7}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x7x3xf32>, tensor<2x2x7x6xf32>) pos(%t, %t : tensor<2x5xf32>, tensor<2x5xf32>) {direction = #attune.direction<bidirectional>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @toeplitz_length(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x7x3xf32>, %v: tensor<2x2x7x6xf32>, %t: tensor<9xf32>) {
  // expected-error @below {{toeplitz must have extent N + M - 1 = 11, found 9}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x7x3xf32>, tensor<2x2x7x6xf32>) toeplitz(%t : tensor<9xf32>) {direction = #attune.direction<bidirectional>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @toeplitz_causal_length(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %t: tensor<4x11xf32>) {
  // expected-error @below {{toeplitz must have extent N + M - 1 = 9, found 11}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) toeplitz(%t : tensor<4x11xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @toeplitz_heads(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %t: tensor<2x9xf32>) {
  // expected-error @below {{toeplitz has extent 2 where query has 4}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) toeplitz(%t : tensor<2x9xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @toeplitz_update(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %t: tensor<9xf32>, %g: tensor<2x2x5xf32>) {
  // expected-error @below {{toeplitz needs update sum, found update gated}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) toeplitz(%t : tensor<9xf32>) decay(%g : tensor<2x2x5xf32>) {update = #attune.update<gated>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @decay_shape(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %g: tensor<2x4x5xf32>) {
  // expected-error @below {{decay has extent 4 where key has 2}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) decay(%g : tensor<2x4x5xf32>) {update = #attune.update<gated>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @decay_features(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %g: tensor<2x2x5x6xf32>) {
  // expected-error @below {{decay has extent 6 where query has 3}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) decay(%g : tensor<2x2x5x6xf32>) {update = #attune.update<gated>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @decay_alone(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %g: tensor<2x2x5xf32>) {
  // expected-error @below {{decay is for gated updates only, found update sum}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) decay(%g : tensor<2x2x5xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @decay_missing(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %b: tensor<2x2x5xf32>) {
  // expected-error @below {{decay is missing for update gated_delta}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) beta(%b : tensor<2x2x5xf32>) {update = #attune.update<gated_delta>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @beta_alone(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %b: tensor<2x2x5xf32>) {
  // expected-error @below {{beta is for delta updates only, found update sum}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) beta(%b : tensor<2x2x5xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @beta_missing(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{beta is missing for update delta}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) {update = #attune.update<delta>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @beta_shape(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %b: tensor<2x2x4xf32>) {
  // expected-error @below {{beta has extent 4 where query has 5}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) beta(%b : tensor<2x2x4xf32>) {update = #attune.update<delta>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @step_alone(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %c: f32) {
  // expected-error @below {{step is for momentum updates only, found update sum}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) momentum(%c : f32) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @step_missing(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{step is missing for update adaptive_momentum}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) {update = #attune.update<adaptive_momentum>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @mu_alone(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %c: f32) {
  // expected-error @below {{mu is for update momentum only, found update adaptive_momentum}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) momentum(%c, %c : f32, f32) {update = #attune.update<adaptive_momentum>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @mu_missing(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %c: f32) {
  // expected-error @below {{mu is missing for update momentum}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) momentum(%c : f32) {update = #attune.update<momentum>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @momentum_operands(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %c: f32) {
  // expected-error @below {{expects mu and step, or step alone, each with its type}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) momentum(%c, %c, %c : f32, f32, f32) {update = #attune.update<momentum>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @update_direction(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %g: tensor<2x2x5xf32>) {
  // expected-error @below {{update gated needs direction = causal}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) decay(%g : tensor<2x2x5xf32>) {update = #attune.update<gated>, direction = #attune.direction<bidirectional>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @tables_features(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %t: tensor<2x5xf32>, %g: tensor<2x2x5x3xf32>) {
  // expected-error @below {{position tables cannot be given with gates per feature}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) pos(%t, %t : tensor<2x5xf32>, tensor<2x5xf32>) decay(%g : tensor<2x2x5x3xf32>) {update = #attune.update<gated>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @tables_delta(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %t: tensor<2x5xf32>, %b: tensor<2x2x5xf32>) {
  // expected-error @below {{position tables cannot be given with update delta}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) pos(%t, %t : tensor<2x5xf32>, tensor<2x5xf32>) beta(%b : tensor<2x2x5xf32>) {update = #attune.update<delta>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @key_mask(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %m: tensor<2x4xf32>) {
  // expected-error @below {{key_mask has extent 4 where query has 5}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) key_mask(%m : tensor<2x4xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @state_features(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %s: tensor<2x2x4x6xf32>) {
  // expected-error @below {{the state must have extent D = 3, found 4}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) init_state(%s : tensor<2x2x4x6xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @state_tables(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %t: tensor<2x5xf32>) {
  // expected-error @below {{the state must have extent R D = 6, found 3}}
  %o:2 = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) pos(%t, %t : tensor<2x5xf32>, tensor<2x5xf32>) -> tensor<2x4x5x6xf32> final_state(tensor<2x2x3x6xf32>)
  return
}

// -----
func.func @init_norm_shape(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %s: tensor<2x2x3x6xf32>) {
  // expected-error @below {{init_norm must have rank 3, found 4}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) init_norm(%s : tensor<2x2x3x6xf32>) {norm = #attune.weighting<sum>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @softmax(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{norm must be none, sum or count, found softmax}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) {norm = #attune.weighting<softmax>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @sum_delta(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %b: tensor<2x2x5xf32>) {
  // expected-error @below {{norm sum cannot be given with update delta}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) beta(%b : tensor<2x2x5xf32>) {update = #attune.update<delta>, norm = #attune.weighting<sum>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @eps_norm(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{eps is for norm sum only, found count}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) {norm = #attune.weighting<count>, eps = 1.0 : f64} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @eps_mode_norm(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{eps_mode is for norm sum only, found none}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) {eps_mode = #attune.eps_mode<clamp>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @den_norm(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{den = plain is for norm sum only, found none}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) {den = #attune.denominator<plain>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @init_norm_norm(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %z: tensor<2x2x3xf32>) {
  // expected-error @below {{init_norm is for norm sum only, found none}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) init_norm(%z : tensor<2x2x3xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @final_norm_norm(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{final_norm is for norm sum only, found none}}
  %o:2 = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) -> tensor<2x4x5x6xf32> final_norm(tensor<2x2x3xf32>)
  return
}

// -----
func.func @eps_negative(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{eps must be at least 0, found -1.000000e+00}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) {norm = #attune.weighting<sum>, eps = -1.0 : f64} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @clamp_eps(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{eps_mode clamp needs eps}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) {norm = #attune.weighting<sum>, eps_mode = #attune.eps_mode<clamp>} -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @state_direction(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x7x3xf32>, %v: tensor<2x2x7x6xf32>) {
  // expected-error @below {{initial and final states need direction = causal}}
  %o:2 = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x7x3xf32>, tensor<2x2x7x6xf32>) {direction = #attune.direction<bidirectional>} -> tensor<2x4x5x6xf32> final_state(tensor<2x2x3x6xf32>)
  return
}

// -----
func.func @state_toeplitz(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %t: tensor<9xf32>, %s: tensor<2x2x3x6xf32>) {
  // expected-error @below {{initial and final states cannot be given with toeplitz}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) toeplitz(%t : tensor<9xf32>) init_state(%s : tensor<2x2x3x6xf32>) -> tensor<2x4x5x6xf32>
  return
}

// -----
func.func @state_momentum(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>, %c: f32) {
  // expected-error @below {{initial and final states cannot be given with update momentum}}
  %o:2 = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) momentum(%c, %c : f32, f32) {update = #attune.update<momentum>} -> tensor<2x4x5x6xf32> final_state(tensor<2x2x3x6xf32>)
  return
}

// -----
func.func @map_direction(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{a state region needs direction = bidirectional}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) -> tensor<2x4x5x6xf32> state {
    ^bb0(%x: f32):
      attune.yield %x : f32
  }
  return
}

// -----
func.func @map_toeplitz(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x7x3xf32>, %v: tensor<2x2x7x6xf32>, %t: tensor<11xf32>) {
  // expected-error @below {{a state region cannot be given with toeplitz}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x7x3xf32>, tensor<2x2x7x6xf32>) toeplitz(%t : tensor<11xf32>) {direction = #attune.direction<bidirectional>} -> tensor<2x4x5x6xf32> state {
    ^bb0(%x: f32):
      attune.yield %x : f32
  }
  return
}

// -----
func.func @region_argument(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{phi_q region expects arguments ('f32'), found ('f64')}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) -> tensor<2x4x5x6xf32> phi_q {
    ^bb0(%x: f64):
      attune.yield %x : f64
  }
  return
}

// -----
func.func @region_yield(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  // expected-error @below {{phi_k region must yield one value of type 'f32'}}
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) -> tensor<2x4x5x6xf32> phi_k {
    ^bb0(%x: f32):
      attune.yield %x, %x : f32, f32
  }
  return
}

// -----
func.func @region_op(%q: tensor<2x4x5x3xf32>, %k: tensor<2x2x5x3xf32>, %v: tensor<2x2x5x6xf32>) {
  %o = attune.linear_attention ins(%q, %k, %v : tensor<2x4x5x3xf32>, tensor<2x2x5x3xf32>, tensor<2x2x5x6xf32>) -> tensor<2x4x5x6xf32> phi_q {
  ^bb0(%x: f32):
    // expected-error @below {{is not allowed in the phi_q region of attune.linear_attention}}
    %t = tensor.from_elements %x : tensor<1xf32>
    attune.yield %x : f32
  }
  return
}

// -----
// expected-error @below {{form prices take one price per form and one symbol per size}}
#a = #attune.form_prices<[linear, quadratic] of [0, 2] : ()[s0] -> (s0)>

// -----
// expected-error @below {{form prices take one price per form and one symbol per size}}
#b = #attune.form_prices<[linear] of [0, 2, 1, 2] : ()[s0] -> (s0)>

// -----
// expected-error @below {{sizes are pairs of an operand and an axis}}
#c = #attune.form_prices<[linear] of [0, -1] : ()[s0] -> (s0)>
