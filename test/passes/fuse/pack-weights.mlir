// RUN: attune-opt %s -split-input-file --attune-pack-weights | FileCheck %s

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

// 3 columns fill a part of one panel; the rest is zero.
// CHECK-LABEL: func @columns
// CHECK: %[[P:.*]] = arith.constant dense_resource<packed{{.*}}> : tensor<1x2x16xf32>
// CHECK: %[[W:.*]] = linalg.unpack %[[P]] outer_dims_perm = [1, 0] inner_dims_pos = [1] inner_tiles = [16]
// CHECK-SAME: tensor<1x2x16xf32> -> tensor<2x3xf32>
// CHECK: linalg.contract {{.*}} ins(%arg0, %[[W]] : tensor<?x2xf32>, tensor<2x3xf32>)
func.func @columns(%x: tensor<?x2xf32>, %init: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %w = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = linalg.contract indexing_maps = [#a, #b, #c]
      ins(%x, %w : tensor<?x2xf32>, tensor<2x3xf32>) outs(%init : tensor<?x3xf32>) -> tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

// -----

#a = affine_map<(m, n, k) -> (m, k)>
#bt = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>

// A transposed weight is packed into the same panels.
// CHECK-LABEL: func @transposed
// CHECK: tensor<2x2x16xf32>
// CHECK: linalg.unpack {{.*}} -> tensor<2x17xf32>
// CHECK: linalg.contract indexing_maps = [#{{.*}}, #[[KN:.*]], #{{.*}}]
func.func @transposed(%x: tensor<?x2xf32>, %init: tensor<?x17xf32>) -> tensor<?x17xf32> {
  %w = arith.constant dense<1.0> : tensor<17x2xf32>
  %y = linalg.contract indexing_maps = [#a, #bt, #c]
      ins(%x, %w : tensor<?x2xf32>, tensor<17x2xf32>) outs(%init : tensor<?x17xf32>) -> tensor<?x17xf32>
  return %y : tensor<?x17xf32>
}

// -----

#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (0, j)>
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

// i8 weights with a scale per column stay i8.
// CHECK-LABEL: func @dequantised
// CHECK: dense_resource<packed{{.*}}> : tensor<1x2x16xi8>
// CHECK: %[[Q:.*]] = linalg.unpack {{.*}} tensor<1x2x16xi8> -> tensor<2x3xi8>
// CHECK: %[[S:.*]] = arith.constant dense<[5.000000e-01, 2.500000e-01, 1.250000e-01]> : tensor<3xf32>
// CHECK: %[[W:.*]] = linalg.generic {{.*}} ins(%[[Q]], %[[S]] : tensor<2x3xi8>, tensor<3xf32>)
// CHECK: arith.sitofp
// CHECK: arith.mulf
// CHECK: linalg.contract {{.*}} ins(%arg0, %[[W]]
func.func @dequantised(%x: tensor<?x2xf32>, %init: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %q = arith.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi8>
  %s = arith.constant dense<[[0.5, 0.25, 0.125]]> : tensor<1x3xf32>
  %e = tensor.empty() : tensor<2x3xf32>
  %w = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%q, %s : tensor<2x3xi8>, tensor<1x3xf32>) outs(%e : tensor<2x3xf32>) {
  ^bb0(%qi: i8, %si: f32, %o: f32):
    %f = arith.sitofp %qi : i8 to f32
    %m = arith.mulf %f, %si : f32
    linalg.yield %m : f32
  } -> tensor<2x3xf32>
  %y = linalg.contract indexing_maps = [#a, #b, #c]
      ins(%x, %w : tensor<?x2xf32>, tensor<2x3xf32>) outs(%init : tensor<?x3xf32>) -> tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

// -----

#id = affine_map<(i, j) -> (i, j)>
#col = affine_map<(i, j) -> (i, 0)>
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

// A scale per row (k) cannot be applied to columns: left as it is.
// CHECK-LABEL: func @scale_per_row
// CHECK-NOT: linalg.unpack
func.func @scale_per_row(%x: tensor<?x2xf32>, %init: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %q = arith.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi8>
  %s = arith.constant dense<[[0.5], [0.25]]> : tensor<2x1xf32>
  %e = tensor.empty() : tensor<2x3xf32>
  %w = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]}
      ins(%q, %s : tensor<2x3xi8>, tensor<2x1xf32>) outs(%e : tensor<2x3xf32>) {
  ^bb0(%qi: i8, %si: f32, %o: f32):
    %f = arith.sitofp %qi : i8 to f32
    %m = arith.mulf %f, %si : f32
    linalg.yield %m : f32
  } -> tensor<2x3xf32>
  %y = linalg.contract indexing_maps = [#a, #b, #c]
      ins(%x, %w : tensor<?x2xf32>, tensor<2x3xf32>) outs(%init : tensor<?x3xf32>) -> tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

// -----

// Bytes of an adder stay together in groups of eight along the depth, of sixteen columns.
// CHECK-LABEL: func @bytes
// CHECK: %[[P:.*]] = arith.constant dense_resource<packed{{.*}}> : tensor<1x2x16x8xi8>
// CHECK: %[[W:.*]] = linalg.unpack %[[P]] inner_dims_pos = [0, 1] inner_tiles = [16, 8]
// CHECK-SAME: tensor<1x2x16x8xi8> -> tensor<2x9xi8>
// CHECK: attune.contract ins(%arg0, %[[W]] : tensor<?x9xi8>, tensor<2x9xi8>)
// The first group of column 0 and of column 1; in the second, a byte of each.
// CHECK: packed: "0x4000000001020304050607081112131415161718{{(00)*}}09{{0+}}19{{(00)*}}"
func.func @bytes(%x: tensor<?x9xi8>, %init: tensor<?x2xi32>) -> tensor<?x2xi32> {
  %w = arith.constant dense<[[1, 17], [2, 18], [3, 19], [4, 20], [5, 21], [6, 22], [7, 23], [8, 24], [9, 25]]> : tensor<9x2xi8>
  %y = attune.contract ins(%x, %w : tensor<?x9xi8>, tensor<9x2xi8>) outs(%init : tensor<?x2xi32>)
      {kind = #attune.contract_kind<adder>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>,
       affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>]}
  return %y : tensor<?x2xi32>
}
