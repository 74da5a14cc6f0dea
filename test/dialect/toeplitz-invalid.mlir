// RUN: attune-opt %s -split-input-file -verify-diagnostics
// One case per rule of `attune.toeplitz`.

func.func @integers(%c: tensor<5xf32>, %x: tensor<2x5x3xi32>) {
  // expected-error @below {{input must have float elements, found 'i32'}}
  %y = attune.toeplitz ins(%c, %x : tensor<5xf32>, tensor<2x5x3xi32>) {direction = #attune.direction<causal>} -> tensor<2x5x3xf32>
  return
}

// -----

func.func @input_rank(%c: tensor<5xf32>, %x: tensor<5x3xf32>) {
  // expected-error @below {{input must have rank 3, found 2}}
  %y = attune.toeplitz ins(%c, %x : tensor<5xf32>, tensor<5x3xf32>) {direction = #attune.direction<causal>} -> tensor<2x5x3xf32>
  return
}

// -----

func.func @coeffs_rank(%c: tensor<1x5x3xf32>, %x: tensor<2x5x3xf32>) {
  // expected-error @below {{coeffs must have rank 1, found 3}}
  %y = attune.toeplitz ins(%c, %x : tensor<1x5x3xf32>, tensor<2x5x3xf32>) {direction = #attune.direction<causal>} -> tensor<2x5x3xf32>
  return
}

// -----

func.func @channels(%c: tensor<5x4xf32>, %x: tensor<2x5x3xf32>) {
  // expected-error @below {{coeffs has extent 4 where input has 3}}
  %y = attune.toeplitz ins(%c, %x : tensor<5x4xf32>, tensor<2x5x3xf32>) {direction = #attune.direction<causal>} -> tensor<2x5x3xf32>
  return
}

// -----

func.func @causal_result(%c: tensor<5xf32>, %x: tensor<2x5x3xf32>) {
  // expected-error @below {{result has extent 6 where input has 5}}
  %y = attune.toeplitz ins(%c, %x : tensor<5xf32>, tensor<2x5x3xf32>) {direction = #attune.direction<causal>} -> tensor<2x6x3xf32>
  return
}

// -----

func.func @batch(%c: tensor<5xf32>, %x: tensor<2x5x3xf32>) {
  // expected-error @below {{result has extent 1 where input has 2}}
  %y = attune.toeplitz ins(%c, %x : tensor<5xf32>, tensor<2x5x3xf32>) {direction = #attune.direction<causal>} -> tensor<1x5x3xf32>
  return
}

// -----

func.func @length(%c: tensor<9xf32>, %x: tensor<2x5x3xf32>) {
  // expected-error @below {{coeffs must have extent N + M - 1 = 8, found 9}}
  %y = attune.toeplitz ins(%c, %x : tensor<9xf32>, tensor<2x5x3xf32>) {direction = #attune.direction<bidirectional>} -> tensor<2x4x3xf32>
  return
}
