// RUN: attune-opt %s -split-input-file -verify-diagnostics
// One case per rule of `attune.ema`.

func.func @integers(%x: tensor<2x5x4xf32>, %a: tensor<4x3xi32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>) {
  // expected-error @below {{decay must have float elements, found 'i32'}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x3xi32>, tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<2x5x4xf32>
  return
}

// -----

func.func @rank(%x: tensor<5x4xf32>, %a: tensor<4x3xf32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>) {
  // expected-error @below {{input must have rank 3, found 2}}
  %y = attune.ema ins(%x : tensor<5x4xf32>) coeffs(%a, %b, %c : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<2x5x4xf32>
  return
}

// -----

func.func @channels(%x: tensor<2x5x4xf32>, %a: tensor<5x3xf32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>) {
  // expected-error @below {{decay has extent 5 where input has 4}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<5x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<2x5x4xf32>
  return
}

// -----

func.func @states(%x: tensor<2x5x4xf32>, %a: tensor<4x3xf32>, %b: tensor<4x3xf32>, %c: tensor<4x2xf32>) {
  // expected-error @below {{output_weight has extent 2 where decay has 3}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x2xf32>) -> tensor<2x5x4xf32>
  return
}

// -----

func.func @bidirectional_rows(%x: tensor<2x5x4xf32>, %a: tensor<4x3xf32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>) {
  // expected-error @below {{coefficients must have extent 2 C = 8, found 4}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) {bidirectional = true} -> tensor<2x5x4xf32>
  return
}

// -----

func.func @skip(%x: tensor<2x5x4xf32>, %a: tensor<4x3xf32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>, %w: tensor<3xf32>) {
  // expected-error @below {{skip has extent 3 where input has 4}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) skip(%w : tensor<3xf32>) -> tensor<2x5x4xf32>
  return
}

// -----

func.func @init_state(%x: tensor<2x5x4xf32>, %a: tensor<4x3xf32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>, %h: tensor<2x4x2xf32>) {
  // expected-error @below {{init_state has extent 2 where decay has 3}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) init_state(%h : tensor<2x4x2xf32>) -> tensor<2x5x4xf32>
  return
}

// -----

func.func @result(%x: tensor<2x5x4xf32>, %a: tensor<4x3xf32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>) {
  // expected-error @below {{result has extent 6 where input has 5}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<2x6x4xf32>
  return
}

// -----

func.func @final_state(%x: tensor<2x5x4xf32>, %a: tensor<4x3xf32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>) {
  // expected-error @below {{final_state must have rank 3, found 2}}
  %y:2 = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<2x5x4xf32> final_state(tensor<4x3xf32>)
  return
}

// -----

func.func @no_states(%x: tensor<2x5x4xf32>, %a: tensor<4x0xf32>, %b: tensor<4x0xf32>, %c: tensor<4x0xf32>) {
  // expected-error @below {{number of states must be static and at least 1, found 0}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x0xf32>, tensor<4x0xf32>, tensor<4x0xf32>) -> tensor<2x5x4xf32>
  return
}

// -----

func.func @dynamic_states(%x: tensor<2x5x4xf32>, %a: tensor<4x?xf32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>) {
  // expected-error @below {{number of states must be static and at least 1, found ?}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x?xf32>, tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<2x5x4xf32>
  return
}

// -----

func.func @bidirectional_state(%x: tensor<2x5x4xf32>, %a: tensor<8x3xf32>, %b: tensor<8x3xf32>, %c: tensor<8x3xf32>) {
  // expected-error @below {{initial and final states cannot be given with bidirectional}}
  %y:2 = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<8x3xf32>, tensor<8x3xf32>, tensor<8x3xf32>) {bidirectional = true} -> tensor<2x5x4xf32> final_state(tensor<2x4x3xf32>)
  return
}

// -----

func.func @truncated_state(%x: tensor<2x5x4xf32>, %a: tensor<4x3xf32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>, %h: tensor<2x4x3xf32>) {
  // expected-error @below {{initial and final states cannot be given with truncation}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) init_state(%h : tensor<2x4x3xf32>) {truncation = 3 : i64} -> tensor<2x5x4xf32>
  return
}

// -----

func.func @truncation(%x: tensor<2x5x4xf32>, %a: tensor<4x3xf32>, %b: tensor<4x3xf32>, %c: tensor<4x3xf32>) {
  // expected-error @below {{truncation must be at least 1, found 0}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %c : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) {truncation = 0 : i64} -> tensor<2x5x4xf32>
  return
}

// -----

func.func @growing(%x: tensor<2x5x4xf32>, %b: tensor<4x3xf32>) {
  %a = arith.constant dense<1.5> : tensor<4x3xf32>
  // expected-error @below {{decay must be at most 1 in magnitude, found 1.500000e+00}}
  %y = attune.ema ins(%x : tensor<2x5x4xf32>) coeffs(%a, %b, %b : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<2x5x4xf32>
  return
}
