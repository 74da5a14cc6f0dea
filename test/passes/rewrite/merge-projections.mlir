// RUN: attune-opt %s -split-input-file --attune-merge-projections | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-merge-projections --remarks-filter=attune-rewrite --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

// Different widths, a transposed weight, a missing bias: one product, one bias with zeros, slices.
// CHECK-LABEL: func.func @mixed
// CHECK: %[[w:.*]] = arith.constant dense_resource<merged> : tensor<2x6xf32>
// CHECK: %[[p:.*]] = linalg.contract {{.*}} ins(%arg0, %[[w]] : tensor<?x2xf32>, tensor<2x6xf32>)
// CHECK: %[[b:.*]] = arith.constant dense_resource<merged_1> : tensor<6xf32>
// CHECK: %[[s:.*]] = linalg.generic {{.*}} ins(%[[p]], %[[b]] : tensor<?x6xf32>, tensor<6xf32>)
// CHECK: %[[q:.*]] = tensor.extract_slice %[[s]][0, 0] [%{{.*}}, 3] [1, 1]
// CHECK: %[[k:.*]] = tensor.extract_slice %[[s]][0, 3] [%{{.*}}, 1] [1, 1]
// CHECK: %[[v:.*]] = tensor.extract_slice %[[s]][0, 4] [%{{.*}}, 2] [1, 1]
// CHECK-NOT: linalg.contract {{.*}} ins(%arg0
// CHECK: merged: "0x400000000000803F00000040000040400000A0400000E0400000C040000080400000A0400000C040000000410000104100002041"
// CHECK: merged_1: "0x040000000000003F0000003F0000003F000000000000803F00000040"
// REMARK: [Passed] ProjectionsMerged
// REMARK-SAME: 3 products of one operand are one
#x = affine_map<(n, c, k) -> (n, k)>
#kn = affine_map<(n, c, k) -> (k, c)>
#nk = affine_map<(n, c, k) -> (c, k)>
#y = affine_map<(n, c, k) -> (n, c)>
#id = affine_map<(n, c) -> (n, c)>
#col = affine_map<(n, c) -> (c)>
func.func @mixed(%x: tensor<?x2xf32>, %m: index) -> tensor<?x?xf32> {
  %wq = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %wk = arith.constant dense<[[5.0, 8.0]]> : tensor<1x2xf32>
  %wv = arith.constant dense<[[7.0, 6.0], [9.0, 10.0]]> : tensor<2x2xf32>
  %half = arith.constant 0.5 : f32
  %bv = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %zero = arith.constant 0.0 : f32
  %e3 = tensor.empty(%m) : tensor<?x3xf32>
  %e1 = tensor.empty(%m) : tensor<?x1xf32>
  %e2 = tensor.empty(%m) : tensor<?x2xf32>
  %f3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<?x3xf32>) -> tensor<?x3xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?x1xf32>) -> tensor<?x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<?x2xf32>) -> tensor<?x2xf32>
  %q = linalg.contract indexing_maps = [#x, #kn, #y] ins(%x, %wq : tensor<?x2xf32>, tensor<2x3xf32>) outs(%f3 : tensor<?x3xf32>) -> tensor<?x3xf32>
  %qb = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%q : tensor<?x3xf32>) outs(%e3 : tensor<?x3xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %a, %half : f32
    linalg.yield %r : f32
  } -> tensor<?x3xf32>
  %k = linalg.contract indexing_maps = [#x, #nk, #y] ins(%x, %wk : tensor<?x2xf32>, tensor<1x2xf32>) outs(%f1 : tensor<?x1xf32>) -> tensor<?x1xf32>
  %v = linalg.contract indexing_maps = [#x, #kn, #y] ins(%x, %wv : tensor<?x2xf32>, tensor<2x2xf32>) outs(%f2 : tensor<?x2xf32>) -> tensor<?x2xf32>
  %vb = linalg.generic {indexing_maps = [#col, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%bv, %v : tensor<2xf32>, tensor<?x2xf32>) outs(%e2 : tensor<?x2xf32>) {
  ^bb0(%b: f32, %a: f32, %o: f32):
    %r = arith.addf %b, %a : f32
    linalg.yield %r : f32
  } -> tensor<?x2xf32>
  %e = tensor.empty(%m, %m) : tensor<?x?xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
  %qq = linalg.contract indexing_maps = [affine_map<(i, j, c) -> (i, c)>, affine_map<(i, j, c) -> (j, c)>, affine_map<(i, j, c) -> (i, j)>] ins(%qb, %qb : tensor<?x3xf32>, tensor<?x3xf32>) outs(%z : tensor<?x?xf32>) -> tensor<?x?xf32>
  %kk = linalg.contract indexing_maps = [affine_map<(i, j, c) -> (i, c)>, affine_map<(i, j, c) -> (j, c)>, affine_map<(i, j, c) -> (i, j)>] ins(%k, %k : tensor<?x1xf32>, tensor<?x1xf32>) outs(%qq : tensor<?x?xf32>) -> tensor<?x?xf32>
  %vv = linalg.contract indexing_maps = [affine_map<(i, j, c) -> (i, c)>, affine_map<(i, j, c) -> (j, c)>, affine_map<(i, j, c) -> (i, j)>] ins(%vb, %vb : tensor<?x2xf32>, tensor<?x2xf32>) outs(%kk : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %vv : tensor<?x?xf32>
}

// -----

// Columns come first in the result, weights on the left, stored as 8-bit integers with their scales.
// CHECK-LABEL: func.func @columns_first
// CHECK-DAG: %[[i8:.*]] = arith.constant dense_resource<merged> : tensor<3x2xi8>
// CHECK-DAG: %[[s:.*]] = arith.constant dense_resource<merged_1> : tensor<3xf32>
// CHECK: %[[w:.*]] = linalg.generic {{.*}} ins(%[[i8]], %[[s]] : tensor<3x2xi8>, tensor<3xf32>)
// CHECK: linalg.contract {{.*}} ins(%arg0, %[[w]] : tensor<4x2xf32>, tensor<3x2xf32>) outs({{.*}}) -> tensor<3x4xf32>
// CHECK: tensor.extract_slice %{{.*}}[0, 0] [2, 4] [1, 1]
// CHECK: tensor.extract_slice %{{.*}}[2, 0] [1, 4] [1, 1]
// CHECK: merged: "0x40000000010203040506"
// CHECK: merged_1: "0x040000000000003F0000003F0000803E"
// REMARK: [Passed] ProjectionsMerged
#w = affine_map<(c, n, k) -> (c, k)>
#x = affine_map<(c, n, k) -> (n, k)>
#y = affine_map<(c, n, k) -> (c, n)>
#id = affine_map<(a, b) -> (a, b)>
func.func @columns_first(%x: tensor<4x2xf32>) -> tensor<2x1xf32> {
  %qa = arith.constant dense<[[1, 2], [3, 4]]> : tensor<2x2xi8>
  %qb = arith.constant dense<[[5, 6]]> : tensor<1x2xi8>
  %sa = arith.constant dense<0.5> : tensor<1xf32>
  %sb = arith.constant dense<0.25> : tensor<1xf32>
  %zero = arith.constant 0.0 : f32
  %ea = tensor.empty() : tensor<2x2xf32>
  %wa = linalg.generic {indexing_maps = [#id, affine_map<(a, b) -> (0)>, #id], iterator_types = ["parallel", "parallel"]} ins(%qa, %sa : tensor<2x2xi8>, tensor<1xf32>) outs(%ea : tensor<2x2xf32>) {
  ^bb0(%q: i8, %s: f32, %o: f32):
    %f = arith.sitofp %q : i8 to f32
    %r = arith.mulf %f, %s : f32
    linalg.yield %r : f32
  } -> tensor<2x2xf32>
  %eb = tensor.empty() : tensor<1x2xf32>
  %wb = linalg.generic {indexing_maps = [#id, affine_map<(a, b) -> (0)>, #id], iterator_types = ["parallel", "parallel"]} ins(%qb, %sb : tensor<1x2xi8>, tensor<1xf32>) outs(%eb : tensor<1x2xf32>) {
  ^bb0(%q: i8, %s: f32, %o: f32):
    %f = arith.sitofp %q : i8 to f32
    %r = arith.mulf %f, %s : f32
    linalg.yield %r : f32
  } -> tensor<1x2xf32>
  %e0 = tensor.empty() : tensor<2x4xf32>
  %e1 = tensor.empty() : tensor<1x4xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<2x4xf32>) -> tensor<2x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %a = linalg.contract indexing_maps = [#w, #x, #y] ins(%wa, %x : tensor<2x2xf32>, tensor<4x2xf32>) outs(%f0 : tensor<2x4xf32>) -> tensor<2x4xf32>
  %b = linalg.contract indexing_maps = [#w, #x, #y] ins(%wb, %x : tensor<1x2xf32>, tensor<4x2xf32>) outs(%f1 : tensor<1x4xf32>) -> tensor<1x4xf32>
  %e2 = tensor.empty() : tensor<2x1xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<2x1xf32>) -> tensor<2x1xf32>
  %r = linalg.contract indexing_maps = [affine_map<(i, j, c) -> (i, c)>, affine_map<(i, j, c) -> (j, c)>, affine_map<(i, j, c) -> (i, j)>] ins(%a, %b : tensor<2x4xf32>, tensor<1x4xf32>) outs(%f2 : tensor<2x1xf32>) -> tensor<2x1xf32>
  return %r : tensor<2x1xf32>
}

// -----

// A gate is computed with its product, and a result of the model would be copied.
// CHECK-LABEL: func.func @own_kernels
// CHECK-COUNT-3: linalg.contract
// REMARK: [Missed] ProjectionNotMerged
// REMARK-SAME: its elementwise user would become another kernel
// REMARK: [Missed] ProjectionNotMerged
// REMARK-SAME: it is a result of the model and would be copied
#x = affine_map<(n, c, k) -> (n, k)>
#kn = affine_map<(n, c, k) -> (k, c)>
#y = affine_map<(n, c, k) -> (n, c)>
#id = affine_map<(n, c) -> (n, c)>
func.func @own_kernels(%x: tensor<4x2xf32>) -> (tensor<4x3xf32>, tensor<4x3xf32>, tensor<3x3xf32>) {
  %wa = arith.constant dense<1.0> : tensor<2x3xf32>
  %wb = arith.constant dense<2.0> : tensor<2x3xf32>
  %wc = arith.constant dense<3.0> : tensor<2x3xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x3xf32>) -> tensor<4x3xf32>
  %a = linalg.contract indexing_maps = [#x, #kn, #y] ins(%x, %wa : tensor<4x2xf32>, tensor<2x3xf32>) outs(%f : tensor<4x3xf32>) -> tensor<4x3xf32>
  %ga = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%a : tensor<4x3xf32>) outs(%e : tensor<4x3xf32>) {
  ^bb0(%in: f32, %o: f32):
    %r = math.exp %in : f32
    linalg.yield %r : f32
  } -> tensor<4x3xf32>
  %b = linalg.contract indexing_maps = [#x, #kn, #y] ins(%x, %wb : tensor<4x2xf32>, tensor<2x3xf32>) outs(%f : tensor<4x3xf32>) -> tensor<4x3xf32>
  %c = linalg.contract indexing_maps = [#x, #kn, #y] ins(%x, %wc : tensor<4x2xf32>, tensor<2x3xf32>) outs(%f : tensor<4x3xf32>) -> tensor<4x3xf32>
  %e2 = tensor.empty() : tensor<3x3xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x3xf32>) -> tensor<3x3xf32>
  %cc = linalg.contract indexing_maps = [affine_map<(i, j, n) -> (n, i)>, affine_map<(i, j, n) -> (n, j)>, affine_map<(i, j, n) -> (i, j)>] ins(%c, %c : tensor<4x3xf32>, tensor<4x3xf32>) outs(%f2 : tensor<3x3xf32>) -> tensor<3x3xf32>
  return %ga, %b, %cc : tensor<4x3xf32>, tensor<4x3xf32>, tensor<3x3xf32>
}

// -----

// Other rows, an accumulator that is not zero, weights that are not known: nothing to merge.
// CHECK-LABEL: func.func @different
// CHECK-COUNT-4: linalg.contract
// REMARK-NOT: Projection
#x = affine_map<(n, c, k) -> (n, k)>
#kn = affine_map<(n, c, k) -> (k, c)>
#y = affine_map<(n, c, k) -> (n, c)>
func.func @different(%x: tensor<3x3xf32>, %z: tensor<3x3xf32>, %u: tensor<3x3xf32>) -> tensor<3x3xf32> {
  %w = arith.constant dense<1.0> : tensor<3x3xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x3xf32>) -> tensor<3x3xf32>
  %a = linalg.contract indexing_maps = [#x, #kn, #y] ins(%x, %w : tensor<3x3xf32>, tensor<3x3xf32>) outs(%f : tensor<3x3xf32>) -> tensor<3x3xf32>
  %b = linalg.contract indexing_maps = [#x, #kn, #y] ins(%x, %w : tensor<3x3xf32>, tensor<3x3xf32>) outs(%a : tensor<3x3xf32>) -> tensor<3x3xf32>
  %c = linalg.contract indexing_maps = [#x, #kn, #y] ins(%z, %w : tensor<3x3xf32>, tensor<3x3xf32>) outs(%f : tensor<3x3xf32>) -> tensor<3x3xf32>
  %d = linalg.contract indexing_maps = [#x, #kn, #y] ins(%x, %u : tensor<3x3xf32>, tensor<3x3xf32>) outs(%c : tensor<3x3xf32>) -> tensor<3x3xf32>
  %r = linalg.add ins(%b, %d : tensor<3x3xf32>, tensor<3x3xf32>) outs(%e : tensor<3x3xf32>) -> tensor<3x3xf32>
  return %r : tensor<3x3xf32>
}
