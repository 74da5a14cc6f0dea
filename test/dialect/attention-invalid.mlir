// RUN: attune-opt %s -split-input-file -verify-diagnostics
// One case per rule of `attune.attention`.

func.func @query_without_key(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{query and key must be given together}}
  %o = "attune.attention"(%q, %v) <{operandSegmentSizes = array<i32: 1, 0, 1, 0, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0, 0>}> ({}, {}) : (tensor<1x4x3x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @no_scores_at_all(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{needs query and key, or scores}}
  %o = attune.attention ins(%v : tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @scale_without_query(%v: tensor<1x4x5x6xf32>, %s: tensor<1x4x3x5xf32>, %c: f32) {
  // expected-error @below {{scale applies to query and key, which are absent}}
  %o = attune.attention ins(%v : tensor<1x4x5x6xf32>) scale(%c : f32) scores(%s : tensor<1x4x3x5xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @logits_with_block_index(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %bi: tensor<4x1x1xi32>) {
  // expected-error @below {{logits cannot be given together with block_index}}
  %o:2 = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) block_index(%bi : tensor<4x1x1xi32>) -> tensor<1x4x3x6xf32> logits(tensor<1x4x3x5xf32>)
  return
}

// -----

func.func @integer_value(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xi32>) {
  // expected-error @below {{value must have float elements, found 'i32'}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xi32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @integer_sink(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %s: tensor<4xi32>) {
  // expected-error @below {{sink must have float elements, found 'i32'}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) sink(%s : tensor<4xi32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @integer_accum(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{accum must be a float type, found 'i32'}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) {accum = i32} -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @integer_softmax_type(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{softmax_type must be a float type, found 'i32'}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) {softmax_type = i32} -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @float_block_index(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %bi: tensor<4x1x1xf32>) {
  // expected-error @below {{block_index must have integer or index elements, found 'f32'}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) block_index(%bi : tensor<4x1x1xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @unranked_capture(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %t: tensor<*xf32>) {
  // expected-error @below {{captures must be ranked tensors or scalars, found 'tensor<*xf32>'}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) captures(%t : tensor<*xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @rank(%q: tensor<4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{query must have rank 4, found 3}}
  %o = attune.attention ins(%q, %k, %v : tensor<4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @head_dim(%q: tensor<1x4x3x7xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{query has extent 7 where key has 8}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x7xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @keys_and_values(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x9x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{key has extent 9 where value has 5}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x9x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @keys_and_scores(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %s: tensor<1x4x3x9xf32>) {
  // expected-error @below {{scores has extent 9 where value has 5}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) scores(%s : tensor<1x4x3x9xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @batch(%q: tensor<2x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{query has extent 2 where value has 1}}
  %o = attune.attention ins(%q, %k, %v : tensor<2x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @heads(%q: tensor<1x3x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{number of query heads (3) must be a multiple of the number of key heads (2)}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x3x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x3x3x6xf32>
  return
}

// -----

func.func @no_key_heads(%q: tensor<1x3x3x8xf32>, %k: tensor<1x0x5x8xf32>, %v: tensor<1x0x5x6xf32>) {
  // expected-error @below {{number of query heads (3) must be a multiple of the number of key heads (0)}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x3x3x8xf32>, tensor<1x0x5x8xf32>, tensor<1x0x5x6xf32>) -> tensor<1x3x3x6xf32>
  return
}

// -----

func.func @result_shape(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{result has extent 8 where value has 6}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x8xf32>
  return
}

// -----

func.func @lse_shape(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{lse has extent 5 where query has 3}}
  %o:2 = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32> lse(tensor<1x4x5xf32>)
  return
}

// -----

func.func @logits_shape(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{logits has extent 2 where query has 4}}
  %o:2 = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32> logits(tensor<1x2x3x5xf32>)
  return
}

// -----

func.func @sink_shape(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %s: tensor<2xf32>) {
  // expected-error @below {{sink has extent 2 where query has 4}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) sink(%s : tensor<2xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @q_offset_type(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %s: tensor<1xf32>) {
  // expected-error @below {{q_offset must have integer or index elements, found 'f32'}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) q_offset(%s : tensor<1xf32>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @q_offset_rank(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %s: tensor<i64>) {
  // expected-error @below {{q_offset must have rank 1, found 0}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) q_offset(%s : tensor<i64>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @kv_len_shape(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %s: tensor<3xi64>) {
  // expected-error @below {{kv_len must have extent 1 or the batch (1), found 3}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) kv_len(%s : tensor<3xi64>) -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @sink_without_softmax(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %s: tensor<4xf32>) {
  // expected-error @below {{sink is for weighting softmax only, found none}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) sink(%s : tensor<4xf32>) {weighting = #attune.weighting<none>} -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @lse_without_softmax(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{lse is for weighting softmax only, found count}}
  %o:2 = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) {weighting = #attune.weighting<count>} -> tensor<1x4x3x6xf32> lse(tensor<1x4x3xf32>)
  return
}

// -----

func.func @softmax_type_without_softmax(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{softmax_type is for weighting softmax only, found none}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) {weighting = #attune.weighting<none>, softmax_type = f32} -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @empty_row_without_softmax(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{empty_row = nan is for weighting softmax only, found none}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) {weighting = #attune.weighting<none>, empty_row = #attune.empty_row<nan>} -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @eps_without_sum(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{eps is for weighting sum only, found softmax}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) {eps = 1.0} -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @eps_mode_without_sum(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{eps_mode is for weighting sum only, found softmax}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) {eps_mode = #attune.eps_mode<clamp>} -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @sum_clamp_without_eps(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{eps_mode clamp needs eps}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) {weighting = #attune.weighting<sum>, eps_mode = #attune.eps_mode<clamp>} -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @sum_with_negative_eps(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{eps must be at least 0, found -1.0}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) {weighting = #attune.weighting<sum>, eps = -1.0} -> tensor<1x4x3x6xf32>
  return
}

// -----

func.func @mask_arguments(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{mask region expects arguments ('index', 'index', 'index', 'index', 'index', 'index'), found ('index')}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32> mask {
  ^bb0(%b: index):
    %p = arith.constant true
    attune.yield %p : i1
  }
  return
}

// -----

func.func @mask_captures(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %w: index) {
  // expected-error @below {{mask region expects arguments ('index', 'index', 'index', 'index', 'index', 'index', 'index'), found}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) captures(%w : index) -> tensor<1x4x3x6xf32> mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    %p = arith.constant true
    attune.yield %p : i1
  }
  return
}

// -----

func.func @mask_yields_a_float(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{mask region must yield one value of type 'i1'}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32> mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    %p = arith.constant 1.0 : f32
    attune.yield %p : f32
  }
  return
}

// -----

func.func @score_arguments(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{score region expects arguments ('f64', 'index', 'index', 'index', 'index', 'index', 'index'), found ('f32'}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) {accum = f64} -> tensor<1x4x3x6xf32> score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    attune.yield %x : f32
  }
  return
}

// -----

func.func @score_yields_nothing(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  // expected-error @below {{score region must yield one value of type 'f32'}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32> score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    attune.yield
  }
  return
}

// -----

func.func @impure_region(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>) {
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32> score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    // expected-error @below {{is not allowed in the score region of attune.attention}}
    %t = tensor.empty() : tensor<4xf32>
    attune.yield %x : f32
  }
  return
}

// -----

func.func @not_isolated(%q: tensor<1x4x3x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x6xf32>, %p: i1) {
  // expected-note @below {{required by region isolation constraints}}
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x5x8xf32>, tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32> mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    // expected-error @below {{using value defined outside the region}}
    attune.yield %p : i1
  }
  return
}
