// RUN: attune-opt %s -split-input-file --attune-sequence-forms | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-sequence-forms --attune-raise-toeplitz --canonicalize | FileCheck %s --check-prefix=BACK
// RUN: attune-opt %s -split-input-file --attune-sequence-forms --remarks-filter=attune-rewrite --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

// The transform has the next length of factors 2, 3 and 5 that holds both signals.
// CHECK-LABEL: func.func @causal
// CHECK: %[[n:.*]] = arith.constant 18 : index
// CHECK: attune.dft %{{.*}} length(%[[n]]) {axis = 1 : i64, onesided = true} : tensor<2x12x3x1xf32> -> tensor<2x10x3x2xf32>
// CHECK: attune.dft %{{.*}} : tensor<1x7x3x1xf32> -> tensor<1x10x3x2xf32>
// CHECK: attune.dft %{{.*}} {axis = 1 : i64, inverse = true, onesided = true}
// CHECK: tensor.extract_slice %{{.*}}[0, 0, 0, 0] [2, 12, 3, 1]
// BACK-LABEL: func.func @causal
// BACK-SAME: %[[c:.*]]: tensor<7x3xf32>, %[[x:.*]]: tensor<2x12x3xf32>
// BACK: attune.toeplitz ins(%[[c]], %[[x]] :
// BACK-NOT: bidirectional
// REMARK: [Passed] FormUsed
// REMARK-SAME: Toeplitz product by transforms
func.func @causal(%c: tensor<7x3xf32>, %x: tensor<2x12x3xf32>) -> tensor<2x12x3xf32> {
  %y = attune.toeplitz ins(%c, %x : tensor<7x3xf32>, tensor<2x12x3xf32>) {form = #attune.form<fft>}
      -> tensor<2x12x3xf32>
  return %y : tensor<2x12x3xf32>
}

// -----

// CHECK-LABEL: func.func @shared_two_sided
// CHECK: tensor.extract_slice %{{.*}}[0, 5, 0, 0] [1, 4, 3, 1]
// BACK-LABEL: func.func @shared_two_sided
// BACK: attune.toeplitz ins({{.*}} : tensor<9xf32>, tensor<1x6x3xf32>) {direction = #attune.direction<bidirectional>}
func.func @shared_two_sided(%c: tensor<9xf32>, %x: tensor<1x6x3xf32>) -> tensor<1x4x3xf32> {
  %y = attune.toeplitz ins(%c, %x : tensor<9xf32>, tensor<1x6x3xf32>)
      {direction = #attune.direction<bidirectional>, form = #attune.form<fft>} -> tensor<1x4x3xf32>
  return %y : tensor<1x4x3xf32>
}

// -----

// CHECK-LABEL: func.func @dynamic
// CHECK: attune.toeplitz
// REMARK: [Missed] FormNotUsed
// REMARK-SAME: transforms need a length that is known
func.func @dynamic(%c: tensor<7x3xf32>, %x: tensor<2x?x3xf32>) -> tensor<2x?x3xf32> {
  %y = attune.toeplitz ins(%c, %x : tensor<7x3xf32>, tensor<2x?x3xf32>) {form = #attune.form<fft>}
      -> tensor<2x?x3xf32>
  return %y : tensor<2x?x3xf32>
}

// -----

// What is cut off is a kernel of so many taps: the average of an impulse.
// CHECK-LABEL: func.func @truncated
// CHECK: %[[impulse:.*]] = linalg.generic
// CHECK: %[[k:.*]] = attune.ema ins(%[[impulse]] : tensor<1x4x3xf32>)
// CHECK-SAME: skip(
// CHECK: %[[taps:.*]] = tensor.collapse_shape %[[k]] {{\[}}[0, 1], [2]]
// CHECK: attune.toeplitz ins(%[[taps]], %{{.*}} : tensor<4x3xf32>, tensor<2x?x3xf32>)
// REMARK: [Passed] FormUsed
// REMARK-SAME: moving average as a convolution
func.func @truncated(%x: tensor<2x?x3xf32>, %a: tensor<3x2xf32>, %w: tensor<3xf32>) -> tensor<2x?x3xf32> {
  %y = attune.ema ins(%x : tensor<2x?x3xf32>)
      coeffs(%a, %a, %a : tensor<3x2xf32>, tensor<3x2xf32>, tensor<3x2xf32>)
      skip(%w : tensor<3xf32>) {truncation = 4 : i64} -> tensor<2x?x3xf32>
  return %y : tensor<2x?x3xf32>
}

// -----

// Nothing is that old.
// CHECK-LABEL: func.func @never_reached
// CHECK: attune.ema
// CHECK-NOT: truncation
func.func @never_reached(%x: tensor<2x9x3xf32>, %a: tensor<3x2xf32>) -> tensor<2x9x3xf32> {
  %y = attune.ema ins(%x : tensor<2x9x3xf32>)
      coeffs(%a, %a, %a : tensor<3x2xf32>, tensor<3x2xf32>, tensor<3x2xf32>)
      {truncation = 9 : i64} -> tensor<2x9x3xf32>
  return %y : tensor<2x9x3xf32>
}

// -----

// Many taps of few exponentials are left to the kernel.
// CHECK-LABEL: func.func @chunked
// CHECK: attune.ema
// CHECK-SAME: form = #attune.form<chunked>
// CHECK-SAME: truncation = 64
// CHECK-NOT: attune.toeplitz
func.func @chunked(%x: tensor<2x?x3xf32>, %a: tensor<3x2xf32>) -> tensor<2x?x3xf32> {
  %y = attune.ema ins(%x : tensor<2x?x3xf32>)
      coeffs(%a, %a, %a : tensor<3x2xf32>, tensor<3x2xf32>, tensor<3x2xf32>)
      {truncation = 64 : i64} -> tensor<2x?x3xf32>
  return %y : tensor<2x?x3xf32>
}
