// RUN: attune-opt %s -split-input-file --attune-raise-broadcast-sums --canonicalize | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-broadcast-sums --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

// The codes are signs times p + exponent_bias.
// CHECK-DAG: #[[$X:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[$W:.*]] = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-LABEL: func @floor
// CHECK: %[[codes:.*]] = arith.constant dense<{{\[}}[16, -13, 1], [0, -15, 14]]> : tensor<2x3xi8>
// CHECK: attune.contract ins(%{{.*}}, %[[codes]] : tensor<?x3xi32>, tensor<2x3xi8>)
// CHECK-SAME: {exponent_bias = 16 : i64, indexing_maps = [#[[$X]], #[[$W]], #{{.*}}], kind = #attune.contract_kind<shift>, rounding = #attune.contract_rounding<floor_terms>}
// REMARK: [Passed] SumRaised {{.*}}shift layer of integers
func.func @floor(%x: tensor<?x3xi32>) -> tensor<?x2xi32> {
  %zero = arith.constant 0 : i32
  %p = arith.constant dense<[[0, 3, 15], [7, 1, 2]]> : tensor<2x3xi32>
  %s = arith.constant dense<[[1, -1, 1], [0, -1, 1]]> : tensor<2x3xi32>
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x, %c0 : tensor<?x3xi32>
  %e = tensor.empty(%m) : tensor<?x2xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<?x2xi32>) -> tensor<?x2xi32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %p, %s : tensor<?x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>) outs(%f : tensor<?x2xi32>) {
  ^bb0(%a: i32, %n: i32, %c: i32, %o: i32):
    %h = arith.shrsi %a, %n : i32
    %t = arith.muli %h, %c : i32
    %r = arith.addi %o, %t : i32
    linalg.yield %r : i32
  } -> tensor<?x2xi32>
  return %y : tensor<?x2xi32>
}

// -----

// Division rounds towards 0; a minus sign by choice, the sum in more bits.
// CHECK-LABEL: func @truncate
// CHECK: arith.constant dense<{{\[}}[4, -1, 2], [3, -2, 4]]> : tensor<2x3xi8>
// CHECK: attune.contract ins({{.*}} : tensor<4x3xi32>, tensor<2x3xi8>) outs({{.*}} : tensor<4x2xi64>)
// CHECK-SAME: rounding = #attune.contract_rounding<truncate_terms>
// REMARK: [Passed] SumRaised
func.func @truncate(%x: tensor<4x3xi32>) -> tensor<4x2xi64> {
  %zero = arith.constant 0 : i64
  %none = arith.constant 0 : i32
  %p = arith.constant dense<[[1, 8, 4], [2, 4, 1]]> : tensor<2x3xi32>
  %s = arith.constant dense<[[1, -1, 1], [1, -1, 1]]> : tensor<2x3xi32>
  %e = tensor.empty() : tensor<4x2xi64>
  %f = linalg.fill ins(%zero : i64) outs(%e : tensor<4x2xi64>) -> tensor<4x2xi64>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %p, %s : tensor<4x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>) outs(%f : tensor<4x2xi64>) {
  ^bb0(%a: i32, %n: i32, %c: i32, %o: i64):
    %q = arith.divsi %a, %n : i32
    %w = arith.extsi %q : i32 to i64
    %i = arith.cmpi slt, %c, %none : i32
    %v = arith.subi %zero, %w : i64
    %t = arith.select %i, %v, %w : i64
    %r = arith.addi %o, %t : i64
    linalg.yield %r : i64
  } -> tensor<4x2xi64>
  return %y : tensor<4x2xi64>
}

// -----

// What is shifted in and where to are choices of the graph; left shifts are the same in all roundings.
// CHECK-LABEL: func @unsigned
// CHECK: arith.constant dense<{{\[}}[5, -2, -4], [3, 1, -6]]> : tensor<2x3xi8>
// CHECK: attune.contract {{.*}}exponent_bias = 4 : i64
// CHECK-SAME: rounding = #attune.contract_rounding<unsigned_terms>
// REMARK: [Passed] SumRaised
func.func @unsigned(%x: tensor<4x3xi32>) -> tensor<4x2xi32> {
  %zero = arith.constant 0 : i32
  %p = arith.constant dense<[[-1, 2, 0], [1, 3, -2]]> : tensor<2x3xi32>
  %s = arith.constant dense<[[1, -1, -1], [1, 1, -1]]> : tensor<2x3xi32>
  %e = tensor.empty() : tensor<4x2xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<4x2xi32>) -> tensor<4x2xi32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %p, %s : tensor<4x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>) outs(%f : tensor<4x2xi32>) {
  ^bb0(%a: i32, %n: i32, %c: i32, %o: i32):
    %down = arith.shrui %a, %n : i32
    %less = arith.subi %zero, %n : i32
    %up = arith.shli %a, %less : i32
    %i = arith.cmpi slt, %n, %zero : i32
    %h = arith.select %i, %up, %down : i32
    %t = arith.muli %h, %c : i32
    %r = arith.addi %o, %t : i32
    linalg.yield %r : i32
  } -> tensor<4x2xi32>
  return %y : tensor<4x2xi32>
}

// -----

// (-x) >> p is not -(x >> p).
// CHECK-LABEL: func @signs_first
// CHECK-NOT: attune.contract
// REMARK: [Missed] SumNotRaised {{.*}}a term is no shift of its element for every sign of it
func.func @signs_first(%x: tensor<4x3xi32>) -> tensor<4x2xi32> {
  %zero = arith.constant 0 : i32
  %p = arith.constant dense<[[0, 3, 15], [7, 1, 2]]> : tensor<2x3xi32>
  %s = arith.constant dense<[[1, -1, 1], [0, -1, 1]]> : tensor<2x3xi32>
  %e = tensor.empty() : tensor<4x2xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<4x2xi32>) -> tensor<4x2xi32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %p, %s : tensor<4x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>) outs(%f : tensor<4x2xi32>) {
  ^bb0(%a: i32, %n: i32, %c: i32, %o: i32):
    %h = arith.muli %a, %c : i32
    %t = arith.shrsi %h, %n : i32
    %r = arith.addi %o, %t : i32
    linalg.yield %r : i32
  } -> tensor<4x2xi32>
  return %y : tensor<4x2xi32>
}

// -----

// Negated in 64 bits, the smallest 32-bit integer gets another value than in 32: it must be wide
// before.
// CHECK-LABEL: func @negated_wide
// CHECK: %[[wide:.*]] = linalg.generic
// CHECK: arith.extsi
// CHECK: attune.contract ins(%[[wide]], %{{.*}} : tensor<4x3xi64>, tensor<2x3xi8>) outs({{.*}} : tensor<4x2xi64>)
// REMARK: [Passed] SumRaised
func.func @negated_wide(%x: tensor<4x3xi32>) -> tensor<4x2xi64> {
  %zero = arith.constant 0 : i64
  %p = arith.constant dense<[[0, 0, 1], [2, 0, 3]]> : tensor<2x3xi32>
  %s = arith.constant dense<[[1, -1, 1], [0, -1, 1]]> : tensor<2x3xi32>
  %e = tensor.empty() : tensor<4x2xi64>
  %f = linalg.fill ins(%zero : i64) outs(%e : tensor<4x2xi64>) -> tensor<4x2xi64>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %p, %s : tensor<4x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>) outs(%f : tensor<4x2xi64>) {
  ^bb0(%a: i32, %n: i32, %c: i32, %o: i64):
    %h = arith.shrsi %a, %n : i32
    %w = arith.extsi %h : i32 to i64
    %cw = arith.extsi %c : i32 to i64
    %t = arith.muli %w, %cw : i64
    %r = arith.addi %o, %t : i64
    linalg.yield %r : i64
  } -> tensor<4x2xi64>
  return %y : tensor<4x2xi64>
}

// -----

// CHECK-LABEL: func @mixed
// CHECK-NOT: attune.contract
// REMARK: [Missed] SumNotRaised {{.*}}the terms are rounded in different ways
func.func @mixed(%x: tensor<4x3xi32>) -> tensor<4x2xi32> {
  %zero = arith.constant 0 : i32
  %p = arith.constant dense<[[0, 3, 15], [7, 1, 2]]> : tensor<2x3xi32>
  %s = arith.constant dense<[[1, -1, 1], [0, -1, 1]]> : tensor<2x3xi32>
  %e = tensor.empty() : tensor<4x2xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<4x2xi32>) -> tensor<4x2xi32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %p, %s : tensor<4x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>) outs(%f : tensor<4x2xi32>) {
  ^bb0(%a: i32, %n: i32, %c: i32, %o: i32):
    %h = arith.shrsi %a, %n : i32
    %l = arith.shrui %a, %n : i32
    %i = arith.cmpi slt, %c, %zero : i32
    %t = arith.select %i, %l, %h : i32
    %r = arith.addi %o, %t : i32
    linalg.yield %r : i32
  } -> tensor<4x2xi32>
  return %y : tensor<4x2xi32>
}

// -----

// The amounts vary with the result only.
// CHECK-LABEL: func @repeated
// CHECK: attune.contract
// REMARK: [Passed] SumRaised
func.func @repeated(%x: tensor<4x3xi32>) -> tensor<4x2xi32> {
  %zero = arith.constant 0 : i32
  %p = arith.constant dense<0> : tensor<2x3xi32>
  %s = arith.constant dense<[[1, 1, 1], [2, 2, 2]]> : tensor<2x3xi32>
  %e = tensor.empty() : tensor<4x2xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<4x2xi32>) -> tensor<4x2xi32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %p, %s : tensor<4x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>) outs(%f : tensor<4x2xi32>) {
  ^bb0(%a: i32, %n: i32, %c: i32, %o: i32):
    %h = arith.shrsi %a, %c : i32
    %r = arith.addi %o, %h : i32
    linalg.yield %r : i32
  } -> tensor<4x2xi32>
  return %y : tensor<4x2xi32>
}
