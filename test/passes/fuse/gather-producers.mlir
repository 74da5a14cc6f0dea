// RUN: attune-opt %s -split-input-file --attune-fuse-gather-producers | FileCheck %s

#id1 = affine_map<(i, j) -> (i, j)>
#scale = affine_map<(i, j) -> (i, 0)>
#ids = affine_map<(b, j) -> (b)>

// The table is dequantised where it is gathered.
// CHECK-LABEL: func @embedding
// CHECK-COUNT-1: linalg.generic
// CHECK: tensor.extract %{{.*}} : tensor<4x2xi8>
// CHECK: tensor.extract %{{.*}} : tensor<4x1xf32>
// CHECK: arith.sitofp
// CHECK: arith.mulf
func.func @embedding(%tokens: tensor<?xi64>, %init: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %q = arith.constant dense<[[1, 2], [3, 4], [5, 6], [7, 8]]> : tensor<4x2xi8>
  %s = arith.constant dense<[[0.5], [0.25], [1.0], [2.0]]> : tensor<4x1xf32>
  %e = tensor.empty() : tensor<4x2xf32>
  %table = linalg.generic {indexing_maps = [#id1, #scale, #id1], iterator_types = ["parallel", "parallel"]}
      ins(%q, %s : tensor<4x2xi8>, tensor<4x1xf32>) outs(%e : tensor<4x2xf32>) {
  ^bb0(%qi: i8, %si: f32, %o: f32):
    %f = arith.sitofp %qi : i8 to f32
    %m = arith.mulf %f, %si : f32
    linalg.yield %m : f32
  } -> tensor<4x2xf32>
  %y = linalg.generic {indexing_maps = [#ids, #id1], iterator_types = ["parallel", "parallel"]}
      ins(%tokens : tensor<?xi64>) outs(%init : tensor<?x2xf32>) {
  ^bb0(%t: i64, %o: f32):
    %row = arith.index_cast %t : i64 to index
    %j = linalg.index 1 : index
    %v = tensor.extract %table[%row, %j] : tensor<4x2xf32>
    linalg.yield %v : f32
  } -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}

// -----

#id1 = affine_map<(i, j) -> (i, j)>
#ids = affine_map<(b, j) -> (b)>

// A computed table that has another user is computed anyway.
// CHECK-LABEL: func @shared
// CHECK: math.exp
// CHECK: linalg.generic
// CHECK: tensor.extract %{{.*}} : tensor<4x2xf32>
// CHECK-NOT: math.exp
func.func @shared(%x: tensor<4x2xf32>, %tokens: tensor<?xi64>, %init: tensor<?x2xf32>)
    -> (tensor<?x2xf32>, tensor<4x2xf32>) {
  %e = tensor.empty() : tensor<4x2xf32>
  %table = linalg.generic {indexing_maps = [#id1, #id1], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<4x2xf32>) outs(%e : tensor<4x2xf32>) {
  ^bb0(%v: f32, %o: f32):
    %f = math.exp %v : f32
    linalg.yield %f : f32
  } -> tensor<4x2xf32>
  %y = linalg.generic {indexing_maps = [#ids, #id1], iterator_types = ["parallel", "parallel"]}
      ins(%tokens : tensor<?xi64>) outs(%init : tensor<?x2xf32>) {
  ^bb0(%t: i64, %o: f32):
    %row = arith.index_cast %t : i64 to index
    %j = linalg.index 1 : index
    %v = tensor.extract %table[%row, %j] : tensor<4x2xf32>
    linalg.yield %v : f32
  } -> tensor<?x2xf32>
  return %y, %table : tensor<?x2xf32>, tensor<4x2xf32>
}
