// RUN: attune-opt %s -split-input-file --attune-raise-toeplitz --canonicalize | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-toeplitz --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#re = affine_map<(b, k, c) -> (b, k, c, 0)>
#im = affine_map<(b, k, c) -> (b, k, c, 1)>
#kre = affine_map<(b, k, c) -> (0, k, c, 0)>
#kim = affine_map<(b, k, c) -> (0, k, c, 1)>
#id = affine_map<(b, k, c) -> (b, k, c)>

// No difference wraps around onto a coefficient.
// CHECK-LABEL: func @causal
// CHECK-NOT: attune.dft
// CHECK: attune.toeplitz ins(%{{.*}}, %{{.*}} : tensor<12x3xf32>, tensor<2x12x3xf32>)
// CHECK-NOT: bidirectional
// REMARK: [Passed] ToeplitzRaised {{.*}}causal convolution by transforms
func.func @causal(%x: tensor<2x12x3xf32>, %k: tensor<12x3xf32>) -> tensor<2x12x3xf32> {
  %n = arith.constant 24 : index
  %x1 = tensor.expand_shape %x [[0], [1], [2, 3]] output_shape [2, 12, 3, 1]
      : tensor<2x12x3xf32> into tensor<2x12x3x1xf32>
  %k1 = tensor.expand_shape %k [[0, 1], [2, 3]] output_shape [1, 12, 3, 1]
      : tensor<12x3xf32> into tensor<1x12x3x1xf32>
  %fx = attune.dft %x1 length(%n) {axis = 1 : i64, onesided = true}
      : tensor<2x12x3x1xf32> -> tensor<2x13x3x2xf32>
  %fk = attune.dft %k1 length(%n) {axis = 1 : i64, onesided = true}
      : tensor<1x12x3x1xf32> -> tensor<1x13x3x2xf32>
  %e = tensor.empty() : tensor<2x13x3xf32>
  %re = linalg.generic {indexing_maps = [#re, #im, #kre, #kim, #id],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%fx, %fx, %fk, %fk : tensor<2x13x3x2xf32>, tensor<2x13x3x2xf32>, tensor<1x13x3x2xf32>,
          tensor<1x13x3x2xf32>) outs(%e : tensor<2x13x3xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32, %o: f32):
    %0 = arith.mulf %a, %c : f32
    %1 = arith.mulf %b, %d : f32
    %2 = arith.subf %0, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<2x13x3xf32>
  %im = linalg.generic {indexing_maps = [#re, #im, #kre, #kim, #id],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%fx, %fx, %fk, %fk : tensor<2x13x3x2xf32>, tensor<2x13x3x2xf32>, tensor<1x13x3x2xf32>,
          tensor<1x13x3x2xf32>) outs(%e : tensor<2x13x3xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32, %o: f32):
    %0 = arith.mulf %a, %d : f32
    %1 = arith.mulf %b, %c : f32
    %2 = arith.addf %0, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<2x13x3xf32>
  %re1 = tensor.expand_shape %re [[0], [1], [2, 3]] output_shape [2, 13, 3, 1]
      : tensor<2x13x3xf32> into tensor<2x13x3x1xf32>
  %im1 = tensor.expand_shape %im [[0], [1], [2, 3]] output_shape [2, 13, 3, 1]
      : tensor<2x13x3xf32> into tensor<2x13x3x1xf32>
  %p = tensor.concat dim(3) %re1, %im1
      : (tensor<2x13x3x1xf32>, tensor<2x13x3x1xf32>) -> tensor<2x13x3x2xf32>
  %y = attune.dft %p length(%n) {axis = 1 : i64, inverse = true, onesided = true}
      : tensor<2x13x3x2xf32> -> tensor<2x24x3x1xf32>
  %z = tensor.extract_slice %y[0, 0, 0, 0] [2, 12, 3, 1] [1, 1, 1, 1]
      : tensor<2x24x3x1xf32> to tensor<2x12x3xf32>
  return %z : tensor<2x12x3xf32>
}

// -----

// The transform is shorter than signal and kernel together: coefficients are gathered modulo.
#re = affine_map<(b, k, c) -> (b, k, c, 0)>
#im = affine_map<(b, k, c) -> (b, k, c, 1)>
#kre = affine_map<(b, k, c) -> (0, k, c, 0)>
#kim = affine_map<(b, k, c) -> (0, k, c, 1)>
#id = affine_map<(b, k, c) -> (b, k, c)>
// CHECK-LABEL: func @wraps
// CHECK: arith.remui
// CHECK: attune.toeplitz ins(%{{.*}}, %{{.*}} : tensor<23x3xf32>, tensor<2x12x3xf32>) {direction = #attune.direction<bidirectional>}
// REMARK: [Passed] ToeplitzRaised {{.*}}two-sided convolution by transforms
func.func @wraps(%x: tensor<2x12x3xf32>, %k: tensor<12x3xf32>) -> tensor<2x12x3xf32> {
  %n = arith.constant 12 : index
  %x1 = tensor.expand_shape %x [[0], [1], [2, 3]] output_shape [2, 12, 3, 1]
      : tensor<2x12x3xf32> into tensor<2x12x3x1xf32>
  %k1 = tensor.expand_shape %k [[0, 1], [2, 3]] output_shape [1, 12, 3, 1]
      : tensor<12x3xf32> into tensor<1x12x3x1xf32>
  %fx = attune.dft %x1 length(%n) {axis = 1 : i64, onesided = true}
      : tensor<2x12x3x1xf32> -> tensor<2x7x3x2xf32>
  %fk = attune.dft %k1 length(%n) {axis = 1 : i64, onesided = true}
      : tensor<1x12x3x1xf32> -> tensor<1x7x3x2xf32>
  %e = tensor.empty() : tensor<2x7x3xf32>
  %re = linalg.generic {indexing_maps = [#re, #im, #kre, #kim, #id],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%fx, %fx, %fk, %fk : tensor<2x7x3x2xf32>, tensor<2x7x3x2xf32>, tensor<1x7x3x2xf32>,
          tensor<1x7x3x2xf32>) outs(%e : tensor<2x7x3xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32, %o: f32):
    %0 = arith.mulf %c, %a : f32
    %1 = arith.mulf %d, %b : f32
    %2 = arith.subf %0, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<2x7x3xf32>
  %im = linalg.generic {indexing_maps = [#re, #im, #kre, #kim, #id],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%fx, %fx, %fk, %fk : tensor<2x7x3x2xf32>, tensor<2x7x3x2xf32>, tensor<1x7x3x2xf32>,
          tensor<1x7x3x2xf32>) outs(%e : tensor<2x7x3xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32, %o: f32):
    %0 = arith.mulf %b, %c : f32
    %1 = arith.mulf %d, %a : f32
    %2 = arith.addf %0, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<2x7x3xf32>
  %re1 = tensor.expand_shape %re [[0], [1], [2, 3]] output_shape [2, 7, 3, 1]
      : tensor<2x7x3xf32> into tensor<2x7x3x1xf32>
  %im1 = tensor.expand_shape %im [[0], [1], [2, 3]] output_shape [2, 7, 3, 1]
      : tensor<2x7x3xf32> into tensor<2x7x3x1xf32>
  %p = tensor.concat dim(3) %re1, %im1
      : (tensor<2x7x3x1xf32>, tensor<2x7x3x1xf32>) -> tensor<2x7x3x2xf32>
  %y = attune.dft %p length(%n) {axis = 1 : i64, inverse = true, onesided = true}
      : tensor<2x7x3x2xf32> -> tensor<2x12x3x1xf32>
  %z = tensor.collapse_shape %y [[0], [1], [2, 3]] : tensor<2x12x3x1xf32> into tensor<2x12x3xf32>
  return %z : tensor<2x12x3xf32>
}

// -----

// Taps over the past, the last tap being the present.
// CHECK-LABEL: func @taps
// CHECK: attune.toeplitz ins(%{{.*}}, %{{.*}} : tensor<16x3xf32>, tensor<2x?x3xf32>)
// CHECK-NOT: bidirectional
// REMARK: [Passed] ToeplitzRaised {{.*}}causal depthwise convolution
func.func @taps(%x: tensor<2x?x3xf32>, %w: tensor<3x16xf32>) -> tensor<2x?x3xf32> {
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %l = tensor.dim %x, %c1 : tensor<2x?x3xf32>
  %pad = tensor.pad %x low[0, 15, 0] high[0, 0, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<2x?x3xf32> to tensor<2x?x3xf32>
  %e = tensor.empty(%l) : tensor<2x?x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x?x3xf32>) -> tensor<2x?x3xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(b, t, c, k) -> (b, t + k, c)>,
      affine_map<(b, t, c, k) -> (c, k)>, affine_map<(b, t, c, k) -> (b, t, c)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%pad, %w : tensor<2x?x3xf32>, tensor<3x16xf32>) outs(%f : tensor<2x?x3xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x?x3xf32>
  return %y : tensor<2x?x3xf32>
}

// -----

// A few taps, channels innermost.
// CHECK-LABEL: func @few_taps
// CHECK: attune.toeplitz ins(%{{.*}}, %{{.*}} : tensor<4x3xf32>, tensor<2x9x3xf32>)
// REMARK: [Passed] ToeplitzRaised {{.*}}Function=few_taps
func.func @few_taps(%x: tensor<2x9x3xf32>, %w: tensor<3x4xf32>) -> tensor<2x9x3xf32> {
  %zero = arith.constant 0.0 : f32
  %pad = tensor.pad %x low[0, 3, 0] high[0, 0, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<2x9x3xf32> to tensor<2x12x3xf32>
  %e = tensor.empty() : tensor<2x9x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x9x3xf32>) -> tensor<2x9x3xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(b, t, c, k) -> (b, t + k, c)>,
      affine_map<(b, t, c, k) -> (c, k)>, affine_map<(b, t, c, k) -> (b, t, c)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%pad, %w : tensor<2x12x3xf32>, tensor<3x4xf32>) outs(%f : tensor<2x9x3xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x9x3xf32>
  return %y : tensor<2x9x3xf32>
}

// -----

// A few taps, time innermost: a convolution like others.
// CHECK-LABEL: func @few_taps_in_lines
// CHECK-NOT: attune.toeplitz
// REMARK-NOT: Function=few_taps_in_lines
func.func @few_taps_in_lines(%x: tensor<2x3x9xf32>, %w: tensor<3x4xf32>) -> tensor<2x3x9xf32> {
  %zero = arith.constant 0.0 : f32
  %pad = tensor.pad %x low[0, 0, 3] high[0, 0, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<2x3x9xf32> to tensor<2x3x12xf32>
  %e = tensor.empty() : tensor<2x3x9xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x3x9xf32>) -> tensor<2x3x9xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(b, t, c, k) -> (b, c, t + k)>,
      affine_map<(b, t, c, k) -> (c, k)>, affine_map<(b, t, c, k) -> (b, c, t)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%pad, %w : tensor<2x3x12xf32>, tensor<3x4xf32>) outs(%f : tensor<2x3x9xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x3x9xf32>
  return %y : tensor<2x3x9xf32>
}

// -----

// CHECK-LABEL: func @centred
// CHECK-NOT: attune.toeplitz
// REMARK: [Missed] ToeplitzNotRaised {{.*}}the padding is not in front
func.func @centred(%x: tensor<2x32x3xf32>, %w: tensor<3x17xf32>) -> tensor<2x32x3xf32> {
  %zero = arith.constant 0.0 : f32
  %pad = tensor.pad %x low[0, 8, 0] high[0, 8, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<2x32x3xf32> to tensor<2x48x3xf32>
  %e = tensor.empty() : tensor<2x32x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x32x3xf32>) -> tensor<2x32x3xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(b, t, c, k) -> (b, t + k, c)>,
      affine_map<(b, t, c, k) -> (c, k)>, affine_map<(b, t, c, k) -> (b, t, c)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%pad, %w : tensor<2x48x3xf32>, tensor<3x17xf32>) outs(%f : tensor<2x32x3xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x32x3xf32>
  return %y : tensor<2x32x3xf32>
}
