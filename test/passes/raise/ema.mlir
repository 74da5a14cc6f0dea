// RUN: attune-opt %s -split-input-file --attune-raise-ema --canonicalize | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-ema --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#tcn = affine_map<(t, c, n) -> (t, c, n)>
#cn = affine_map<(t, c, n) -> (c, n)>
#tc = affine_map<(t, c, n) -> (t, c)>

// Powers by exp of multiples of the logarithm, parameters at run time.
// CHECK-LABEL: func @exponents
// CHECK-SAME: %[[x:.*]]: tensor<2x?x3xf32>
// CHECK: %[[decay:.*]] = linalg.generic
// CHECK: math.exp
// CHECK: attune.ema ins(%[[x]] : tensor<2x?x3xf32>) coeffs(%[[decay]],
// CHECK-NOT: attune.toeplitz
// REMARK: [Passed] EmaRaised {{.*}}convolution with 4 exponentials as moving average
func.func @exponents(%x: tensor<2x?x3xf32>, %log: tensor<3x4xf32>, %w: tensor<3x4xf32>) -> tensor<2x?x3xf32> {
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %l = tensor.dim %x, %c1 : tensor<2x?x3xf32>
  %e = tensor.empty(%l) : tensor<?x3x4xf32>
  %p = linalg.generic {indexing_maps = [#cn, #tcn], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%log : tensor<3x4xf32>) outs(%e : tensor<?x3x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i64
    %t = arith.sitofp %j : i64 to f32
    %m = arith.mulf %t, %a : f32
    %r = math.exp %m : f32
    linalg.yield %r : f32
  } -> tensor<?x3x4xf32>
  %e2 = tensor.empty(%l) : tensor<?x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<?x3xf32>) -> tensor<?x3xf32>
  %k = linalg.generic {indexing_maps = [#tcn, #cn, #tc], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%p, %w : tensor<?x3x4xf32>, tensor<3x4xf32>) outs(%f : tensor<?x3xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x3xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<?x3xf32>, tensor<2x?x3xf32>) -> tensor<2x?x3xf32>
  return %y : tensor<2x?x3xf32>
}

// -----

#tcn = affine_map<(t, c, n) -> (t, c, n)>
#cn = affine_map<(t, c, n) -> (c, n)>
#tc = affine_map<(t, c, n) -> (t, c)>

// Powers by pow, of constants: the tables are constants too.
// CHECK-LABEL: func @powers
// CHECK-DAG: %[[decay:.*]] = arith.constant dense<{{\[}}[5.000000e-01, 1.000000e+00], [2.500000e-01, 0.000000e+00]]>
// CHECK-DAG: %[[weight:.*]] = arith.constant dense<{{\[}}[1.000000e+00, 2.000000e+00], [3.000000e+00, 4.000000e+00]]>
// CHECK: attune.ema ins(%{{.*}}) coeffs(%[[decay]], %{{.*}}, %[[weight]]
// REMARK: [Passed] EmaRaised {{.*}}2 exponentials
func.func @powers(%x: tensor<1x9x2xf32>) -> tensor<1x9x2xf32> {
  %zero = arith.constant 0.0 : f32
  %a = arith.constant dense<[[0.5, 1.0], [0.25, 0.0]]> : tensor<2x2xf32>
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %e2 = tensor.empty() : tensor<9x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<9x2xf32>) -> tensor<9x2xf32>
  %k = linalg.generic {indexing_maps = [#cn, #cn, #tc], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %w : tensor<2x2xf32>, tensor<2x2xf32>) outs(%f : tensor<9x2xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i64
    %t = arith.sitofp %j : i64 to f32
    %m = math.powf %p, %t : f32
    %0 = arith.mulf %m, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<9x2xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<9x2xf32>, tensor<1x9x2xf32>) -> tensor<1x9x2xf32>
  return %y : tensor<1x9x2xf32>
}

// -----

#tcn = affine_map<(t, c, n) -> (t, c, n)>
#cn = affine_map<(t, c, n) -> (c, n)>
#tc = affine_map<(t, c, n) -> (t, c)>

// CHECK-LABEL: func @grows
// CHECK-NOT: attune.ema
// REMARK: [Missed] EmaNotRaised {{.*}}an exponential grows
func.func @grows(%x: tensor<1x9x2xf32>) -> tensor<1x9x2xf32> {
  %zero = arith.constant 0.0 : f32
  %a = arith.constant dense<[[0.5, 1.0], [0.25, 1.5]]> : tensor<2x2xf32>
  %e2 = tensor.empty() : tensor<9x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<9x2xf32>) -> tensor<9x2xf32>
  %k = linalg.generic {indexing_maps = [#cn, #tc], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a : tensor<2x2xf32>) outs(%f : tensor<9x2xf32>) {
  ^bb0(%p: f32, %o: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i64
    %t = arith.sitofp %j : i64 to f32
    %m = math.powf %p, %t : f32
    %1 = arith.addf %o, %m : f32
    linalg.yield %1 : f32
  } -> tensor<9x2xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<9x2xf32>, tensor<1x9x2xf32>) -> tensor<1x9x2xf32>
  return %y : tensor<1x9x2xf32>
}

// -----

#cn = affine_map<(t, c, n) -> (c, n)>
#tc = affine_map<(t, c, n) -> (t, c)>

// CHECK-LABEL: func @shorter
// CHECK-NOT: attune.ema
// REMARK: [Missed] EmaNotRaised {{.*}}a kernel this short costs less tap by tap
func.func @shorter(%x: tensor<1x9x2xf32>, %a: tensor<2x2xf32>) -> tensor<1x9x2xf32> {
  %zero = arith.constant 0.0 : f32
  %e2 = tensor.empty() : tensor<5x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<5x2xf32>) -> tensor<5x2xf32>
  %k = linalg.generic {indexing_maps = [#cn, #tc], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a : tensor<2x2xf32>) outs(%f : tensor<5x2xf32>) {
  ^bb0(%p: f32, %o: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i64
    %t = arith.sitofp %j : i64 to f32
    %m = math.powf %p, %t : f32
    %1 = arith.addf %o, %m : f32
    linalg.yield %1 : f32
  } -> tensor<5x2xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<5x2xf32>, tensor<1x9x2xf32>) -> tensor<1x9x2xf32>
  return %y : tensor<1x9x2xf32>
}

// -----

#cn = affine_map<(t, c, n) -> (c, n)>
#tc = affine_map<(t, c, n) -> (t, c)>

// Longer than the average takes in chunks.
// CHECK-LABEL: func @window
// CHECK: attune.ema {{.*}}truncation = 40 : i64
// CHECK-NOT: attune.toeplitz
// REMARK: [Passed] EmaRaised {{.*}}2 exponentials
func.func @window(%x: tensor<1x?x2xf32>, %a: tensor<2x2xf32>) -> tensor<1x?x2xf32> {
  %zero = arith.constant 0.0 : f32
  %e2 = tensor.empty() : tensor<40x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<40x2xf32>) -> tensor<40x2xf32>
  %k = linalg.generic {indexing_maps = [#cn, #tc], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a : tensor<2x2xf32>) outs(%f : tensor<40x2xf32>) {
  ^bb0(%p: f32, %o: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i64
    %t = arith.sitofp %j : i64 to f32
    %m = math.powf %p, %t : f32
    %1 = arith.addf %o, %m : f32
    linalg.yield %1 : f32
  } -> tensor<40x2xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<40x2xf32>, tensor<1x?x2xf32>) -> tensor<1x?x2xf32>
  return %y : tensor<1x?x2xf32>
}

// -----

#cn = affine_map<(t, c, n) -> (c, n)>
#tc = affine_map<(t, c, n) -> (t, c)>

// Nothing is left after the window but rounding.
// CHECK-LABEL: func @fades
// CHECK: attune.ema
// CHECK-NOT: truncation
// REMARK: [Passed] EmaRaised {{.*}}2 exponentials
func.func @fades(%x: tensor<1x?x2xf32>) -> tensor<1x?x2xf32> {
  %zero = arith.constant 0.0 : f32
  %a = arith.constant dense<[[0.5, 0.25], [0.25, 0.0]]> : tensor<2x2xf32>
  %e2 = tensor.empty() : tensor<40x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<40x2xf32>) -> tensor<40x2xf32>
  %k = linalg.generic {indexing_maps = [#cn, #tc], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a : tensor<2x2xf32>) outs(%f : tensor<40x2xf32>) {
  ^bb0(%p: f32, %o: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i64
    %t = arith.sitofp %j : i64 to f32
    %m = math.powf %p, %t : f32
    %1 = arith.addf %o, %m : f32
    linalg.yield %1 : f32
  } -> tensor<40x2xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<40x2xf32>, tensor<1x?x2xf32>) -> tensor<1x?x2xf32>
  return %y : tensor<1x?x2xf32>
}

// -----

#cn = affine_map<(t, c, n) -> (c, n)>
#tc = affine_map<(t, c, n) -> (t, c)>

// CHECK-LABEL: func @unknown_window
// CHECK-NOT: attune.ema
// REMARK: [Missed] EmaNotRaised {{.*}}neither constant nor the sequence
func.func @unknown_window(%x: tensor<1x9x2xf32>, %a: tensor<2x2xf32>, %n: index) -> tensor<1x9x2xf32> {
  %zero = arith.constant 0.0 : f32
  %e2 = tensor.empty(%n) : tensor<?x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<?x2xf32>) -> tensor<?x2xf32>
  %k = linalg.generic {indexing_maps = [#cn, #tc], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a : tensor<2x2xf32>) outs(%f : tensor<?x2xf32>) {
  ^bb0(%p: f32, %o: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i64
    %t = arith.sitofp %j : i64 to f32
    %m = math.powf %p, %t : f32
    %1 = arith.addf %o, %m : f32
    linalg.yield %1 : f32
  } -> tensor<?x2xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<?x2xf32>, tensor<1x9x2xf32>) -> tensor<1x9x2xf32>
  return %y : tensor<1x9x2xf32>
}

// -----

// Taps without their law; one exponential in the first channel.
// CHECK-LABEL: func @taps
// CHECK-NOT: attune.toeplitz
// CHECK: attune.ema {{.*}} tensor<2x2xf32>, tensor<2x2xf32>, tensor<2x2xf32>)
// REMARK: [Passed] EmaRaised {{.*}}2 exponentials
func.func @taps(%x: tensor<1x9x2xf32>) -> tensor<1x9x2xf32> {
  %k = arith.constant dense<[[3.0, -1.0], [1.5, 0.25], [0.75, 0.4375], [0.375, 0.390625], [0.1875, 0.30859375], [0.09375, 0.235351562], [0.046875, 0.177490234], [0.0234375, 0.133361816], [0.01171875, 0.100082397]]> : tensor<9x2xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<9x2xf32>, tensor<1x9x2xf32>) -> tensor<1x9x2xf32>
  return %y : tensor<1x9x2xf32>
}

// -----

// One tap is a little different.
// CHECK-LABEL: func @other_tap
// CHECK-NOT: attune.ema
// REMARK: [Missed] EmaNotRaised {{.*}}the taps are no sum of a few decaying exponentials
func.func @other_tap(%x: tensor<1x9x2xf32>) -> tensor<1x9x2xf32> {
  %k = arith.constant dense<[[3.0, -1.0], [1.5, 0.25], [0.75, 0.4375], [0.375, 0.390625], [0.1875, 0.30859375], [0.09375, 0.235451564], [0.046875, 0.177490234], [0.0234375, 0.133361816], [0.01171875, 0.100082397]]> : tensor<9x2xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<9x2xf32>, tensor<1x9x2xf32>) -> tensor<1x9x2xf32>
  return %y : tensor<1x9x2xf32>
}

// -----

// CHECK-LABEL: func @growing
// CHECK-NOT: attune.ema
// REMARK: [Missed] EmaNotRaised {{.*}}the taps are no sum of a few decaying exponentials
func.func @growing(%x: tensor<1x9x2xf32>) -> tensor<1x9x2xf32> {
  %k = arith.constant dense<[[1.0, 1.0], [1.25, 0.5], [1.5625, 0.25], [1.953125, 0.125], [2.44140625, 0.0625], [3.05175781, 0.03125], [3.81469727, 0.015625], [4.76837158, 0.0078125], [5.96046448, 0.00390625]]> : tensor<9x2xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<9x2xf32>, tensor<1x9x2xf32>) -> tensor<1x9x2xf32>
  return %y : tensor<1x9x2xf32>
}

// -----

// NaN is no 0.
// CHECK-LABEL: func @not_a_number
// CHECK-NOT: attune.ema
// REMARK: [Missed] EmaNotRaised {{.*}}the taps are no sum of a few decaying exponentials
func.func @not_a_number(%x: tensor<1x9x2xf32>) -> tensor<1x9x2xf32> {
  %k = arith.constant dense<0x7FC00000> : tensor<9x2xf32>
  %y = attune.toeplitz ins(%k, %x : tensor<9x2xf32>, tensor<1x9x2xf32>) -> tensor<1x9x2xf32>
  return %y : tensor<1x9x2xf32>
}
