// RUN: attune-opt %s -split-input-file --attune-raise-broadcast-sums --canonicalize | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-broadcast-sums --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

// Loops of the result, then those of the sum; the constant is the weight.
// CHECK-DAG: #[[$X:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[$W:.*]] = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-LABEL: func @rows
// CHECK: attune.contract ins(%{{.*}}, %{{cst.*}} : tensor<?x3xf32>, tensor<2x3xf32>)
// CHECK-SAME: indexing_maps = [#[[$X]], #[[$W]],
// CHECK: arith.negf
// REMARK: [Passed] SumRaised
func.func @rows(%x: tensor<?x3xf32>) -> tensor<?x2xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %m = tensor.dim %x, %c0 : tensor<?x3xf32>
  %e = tensor.empty(%m) : tensor<?x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x2xf32>) -> tensor<?x2xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%w, %x : tensor<2x3xf32>, tensor<?x3xf32>) outs(%f : tensor<?x2xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %t = math.absf %d : f32
    %s = arith.addf %o, %t : f32
    linalg.yield %s : f32
  } -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}

// -----

// The columns of an unfolded image are two loops, its depth three.
// CHECK-DAG: #[[$IMAGE:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d3, d1 + d4, d2 + d5)>
// CHECK-DAG: #[[$FILTER:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d3, d4, d5)>
// CHECK-LABEL: func @unfolded
// CHECK-SAME: %[[x:.*]]: tensor<4x7x9xf32>, %[[w:.*]]: tensor<5x36xf32>
// CHECK: %[[filters:.*]] = tensor.expand_shape %[[w]] {{.*}} into tensor<5x4x3x3xf32>
// CHECK: %[[y:.*]] = attune.contract ins(%[[x]], %[[filters]] :
// CHECK-SAME: indexing_maps = [#[[$IMAGE]], #[[$FILTER]],
// CHECK-NOT: arith.negf
// CHECK: tensor.collapse_shape %[[y]] {{\[}}[0], [1, 2]]
// REMARK: [Passed] SumRaised
func.func @unfolded(%x: tensor<4x7x9xf32>, %w: tensor<5x36xf32>) -> tensor<5x35xf32> {
  %zero = arith.constant 0.0 : f32
  %c3 = arith.constant 3 : index
  %c7 = arith.constant 7 : index
  %c9 = arith.constant 9 : index
  %e = tensor.empty() : tensor<36x35xf32>
  %u = linalg.generic {indexing_maps = [affine_map<(k, l) -> (k, l)>], iterator_types = ["parallel", "parallel"]}
      outs(%e : tensor<36x35xf32>) {
  ^bb0(%o: f32):
    %k = linalg.index 0 : index
    %l = linalg.index 1 : index
    %c = arith.divui %k, %c9 : index
    %kr = arith.remui %k, %c9 : index
    %i = arith.divui %kr, %c3 : index
    %j = arith.remui %k, %c3 : index
    %h = arith.divui %l, %c7 : index
    %v = arith.remui %l, %c7 : index
    %hi = arith.addi %h, %i : index
    %vj = arith.addi %v, %j : index
    %r = tensor.extract %x[%c, %hi, %vj] : tensor<4x7x9xf32>
    linalg.yield %r : f32
  } -> tensor<36x35xf32>
  %e2 = tensor.empty() : tensor<5x35xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<5x35xf32>) -> tensor<5x35xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(o, l, k) -> (k, l)>, affine_map<(o, l, k) -> (o, k)>, affine_map<(o, l, k) -> (o, l)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%u, %w : tensor<36x35xf32>, tensor<5x36xf32>) outs(%f : tensor<5x35xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %t = math.absf %d : f32
    %n = arith.negf %t : f32
    %s = arith.addf %o, %n : f32
    linalg.yield %s : f32
  } -> tensor<5x35xf32>
  return %y : tensor<5x35xf32>
}

// -----

// CHECK-LABEL: func @one_result
// CHECK-NOT: attune.contract
// REMARK: [Missed] SumNotRaised {{.*}}every element of an operand is read for one result only
func.func @one_result(%x: tensor<4x3xf32>, %w: tensor<3xf32>) -> tensor<4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (k)>, affine_map<(m, k) -> (m)>],
                       iterator_types = ["parallel", "reduction"]}
      ins(%x, %w : tensor<4x3xf32>, tensor<3xf32>) outs(%f : tensor<4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %t = math.absf %d : f32
    %s = arith.addf %o, %t : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// CHECK-LABEL: func @products
// CHECK: linalg.contract
// REMARK: [Passed] SumRaised {{.*}}product
func.func @products(%x: tensor<4x3xf32>, %w: tensor<2x3xf32>) -> tensor<4x2xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x2xf32>) -> tensor<4x2xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<4x3xf32>, tensor<2x3xf32>) outs(%f : tensor<4x2xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %t = arith.mulf %a, %b : f32
    %s = arith.addf %o, %t : f32
    linalg.yield %s : f32
  } -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}

// -----

// Only f32 has a kernel, and half floats are rounded after every term.
// CHECK-LABEL: func @halves
// CHECK-NOT: linalg.contract
func.func @halves(%x: tensor<4x3xf16>, %w: tensor<2x3xf16>) -> tensor<4x2xf16> {
  %zero = arith.constant 0.0 : f16
  %e = tensor.empty() : tensor<4x2xf16>
  %f = linalg.fill ins(%zero : f16) outs(%e : tensor<4x2xf16>) -> tensor<4x2xf16>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<4x3xf16>, tensor<2x3xf16>) outs(%f : tensor<4x2xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %t = arith.mulf %a, %b : f16
    %s = arith.addf %o, %t : f16
    linalg.yield %s : f16
  } -> tensor<4x2xf16>
  return %y : tensor<4x2xf16>
}
