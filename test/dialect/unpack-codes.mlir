// RUN: attune-opt %s -split-input-file -verify-diagnostics | FileCheck %s

// 60 codes of 4 bits take 8 words, 30 columns two panels.
// CHECK-LABEL: func @matrix
// CHECK: attune.unpack_codes %arg0 {bits = 4 : i64} : tensor<2x8x16xi32> -> tensor<60x30xi8>
func.func @matrix(%w: tensor<2x8x16xi32>) -> tensor<60x30xi8> {
  %c = attune.unpack_codes %w {bits = 4 : i64} : tensor<2x8x16xi32> -> tensor<60x30xi8>
  return %c : tensor<60x30xi8>
}

// -----

// CHECK-LABEL: func @filters
// CHECK: attune.unpack_codes
func.func @filters(%w: tensor<1x5x16xi32>) -> tensor<3x3x3x7xi8> {
  %c = attune.unpack_codes %w {bits = 5 : i64} : tensor<1x5x16xi32> -> tensor<3x3x3x7xi8>
  return %c : tensor<3x3x3x7xi8>
}

// -----

func.func @bits(%w: tensor<1x1x16xi32>) -> tensor<2x3xi8> {
  // expected-error @+1 {{bits must be in [2, 8], found 9}}
  %c = attune.unpack_codes %w {bits = 9 : i64} : tensor<1x1x16xi32> -> tensor<2x3xi8>
  return %c : tensor<2x3xi8>
}

// -----

func.func @element(%w: tensor<1x1x16xi32>) -> tensor<2x3xi32> {
  // expected-error @+1 {{the result must be i8 with at least one axis, found 'tensor<2x3xi32>'}}
  %c = attune.unpack_codes %w {bits = 8 : i64} : tensor<1x1x16xi32> -> tensor<2x3xi32>
  return %c : tensor<2x3xi32>
}

// -----

func.func @words(%w: tensor<1x1x16xi32>) -> tensor<5x3xi8> {
  // expected-error @+1 {{the words of 'tensor<5x3xi8>' must be 'tensor<1x2x16xi32>', found 'tensor<1x1x16xi32>'}}
  %c = attune.unpack_codes %w {bits = 8 : i64} : tensor<1x1x16xi32> -> tensor<5x3xi8>
  return %c : tensor<5x3xi8>
}
