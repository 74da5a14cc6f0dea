// RUN: attune-opt %s -split-input-file --attune-clean-views | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-clean-views --attune-clean-views | FileCheck %s

// CHECK-LABEL: func.func @inverse_transposes
// CHECK-SAME: %[[X:.*]]: tensor<?x4x8xf32>
// CHECK-NEXT: return %[[X]]
func.func @inverse_transposes(%x: tensor<?x4x8xf32>) -> tensor<?x4x8xf32> {
  %c0 = arith.constant 0 : index
  %d = tensor.dim %x, %c0 : tensor<?x4x8xf32>
  %e0 = tensor.empty(%d) : tensor<4x?x8xf32>
  %0 = linalg.transpose ins(%x : tensor<?x4x8xf32>) outs(%e0 : tensor<4x?x8xf32>) permutation = [1, 0, 2]
  %e1 = tensor.empty(%d) : tensor<?x4x8xf32>
  %1 = linalg.transpose ins(%0 : tensor<4x?x8xf32>) outs(%e1 : tensor<?x4x8xf32>) permutation = [1, 0, 2]
  return %1 : tensor<?x4x8xf32>
}

// -----

// [B,S,H,D] -> [B,H,S,D] -> [B*H,S,D] -> [B*H,D,S] -> [B,H,D,S] is one transpose.
// CHECK-LABEL: func.func @through_reshapes
// CHECK-SAME: %[[X:.*]]: tensor<?x?x12x32xf32>
// CHECK: %[[T:.*]] = linalg.transpose ins(%[[X]] : tensor<?x?x12x32xf32>) {{.*}} permutation = [0, 2, 3, 1]
// CHECK-NEXT: return %[[T]]
func.func @through_reshapes(%x: tensor<?x?x12x32xf32>) -> tensor<?x12x32x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c12 = arith.constant 12 : index
  %b = tensor.dim %x, %c0 : tensor<?x?x12x32xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x12x32xf32>
  %bh = arith.muli %b, %c12 : index
  %e0 = tensor.empty(%b, %s) : tensor<?x12x?x32xf32>
  %0 = linalg.transpose ins(%x : tensor<?x?x12x32xf32>) outs(%e0 : tensor<?x12x?x32xf32>) permutation = [0, 2, 1, 3]
  %1 = tensor.collapse_shape %0 [[0, 1], [2], [3]] : tensor<?x12x?x32xf32> into tensor<?x?x32xf32>
  %e1 = tensor.empty(%bh, %s) : tensor<?x32x?xf32>
  %2 = linalg.transpose ins(%1 : tensor<?x?x32xf32>) outs(%e1 : tensor<?x32x?xf32>) permutation = [0, 2, 1]
  %3 = tensor.expand_shape %2 [[0, 1], [2], [3]] output_shape [%b, 12, 32, %s] : tensor<?x32x?xf32> into tensor<?x12x32x?xf32>
  return %3 : tensor<?x12x32x?xf32>
}

// -----

#id = affine_map<(i, j) -> (i, j)>
// A cast to a wider type and back.
// CHECK-LABEL: func.func @cast_pair
// CHECK-SAME: %[[X:.*]]: tensor<3x?xf16>
// CHECK-NEXT: return %[[X]]
func.func @cast_pair(%x: tensor<3x?xf16>) -> tensor<3x?xf16> {
  %c1 = arith.constant 1 : index
  %d = tensor.dim %x, %c1 : tensor<3x?xf16>
  %e0 = tensor.empty(%d) : tensor<3x?xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<3x?xf16>) outs(%e0 : tensor<3x?xf32>) {
  ^bb0(%in: f16, %out: f32):
    %1 = arith.extf %in : f16 to f32
    linalg.yield %1 : f32
  } -> tensor<3x?xf32>
  %e1 = tensor.empty(%d) : tensor<3x?xf16>
  %2 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<3x?xf32>) outs(%e1 : tensor<3x?xf16>) {
  ^bb0(%in: f32, %out: f16):
    %1 = arith.truncf %in : f32 to f16
    linalg.yield %1 : f16
  } -> tensor<3x?xf16>
  return %2 : tensor<3x?xf16>
}

// -----

// Slices of everything go, others stay.
// CHECK-LABEL: func.func @slices
// CHECK-SAME: %[[X:.*]]: tensor<4x?xf32>
// CHECK-NOT: extract_slice %[[X]][0, 0] [4,
// CHECK: %[[PART:.*]] = tensor.extract_slice %[[X]][0, 0] [2, %{{.*}}] [1, 1]
// CHECK-NEXT: return %[[X]], %[[PART]]
func.func @slices(%x: tensor<4x?xf32> {attune.dims = ["", "s"]}, %y: tensor<?xf32> {attune.dims = ["s"]}) -> (tensor<4x?xf32>, tensor<2x?xf32>) {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %y, %c0 : tensor<?xf32>
  %0 = tensor.extract_slice %x[0, 0] [4, %s] [1, 1] : tensor<4x?xf32> to tensor<4x?xf32>
  %1 = tensor.extract_slice %x[0, 0] [2, %s] [1, 1] : tensor<4x?xf32> to tensor<2x?xf32>
  return %0, %1 : tensor<4x?xf32>, tensor<2x?xf32>
}

// -----

#cube = affine_map<(i, j, k) -> (i, j, k)>
#vec = affine_map<(i) -> (i)>
// The check of an index that counts positions always holds; the one of data does not.
// CHECK-LABEL: func.func @checks
// CHECK: linalg.generic
// CHECK-NOT: cf.assert
// CHECK: linalg.generic
// CHECK: cf.assert
func.func @checks(%table: tensor<?xf32>, %ids: tensor<?xi64>) -> (tensor<?xf32>, tensor<?xf32>) {
  %c0 = arith.constant 0 : index
  %d = tensor.dim %table, %c0 : tensor<?xf32>
  %n = tensor.dim %ids, %c0 : tensor<?xi64>
  %e0 = tensor.empty(%d) : tensor<?xf32>
  %0 = linalg.generic {indexing_maps = [#vec], iterator_types = ["parallel"]} outs(%e0 : tensor<?xf32>) {
  ^bb0(%out: f32):
    %i = linalg.index 0 : index
    %ok = arith.cmpi ult, %i, %d : index
    cf.assert %ok, "index out of range"
    %x = tensor.extract %table[%i] : tensor<?xf32>
    %y = arith.negf %x : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  %e1 = tensor.empty(%n) : tensor<?xf32>
  %1 = linalg.generic {indexing_maps = [#vec, #vec], iterator_types = ["parallel"]} ins(%ids : tensor<?xi64>) outs(%e1 : tensor<?xf32>) {
  ^bb0(%id: i64, %out: f32):
    %i = arith.index_cast %id : i64 to index
    %ok = arith.cmpi ult, %i, %d : index
    cf.assert %ok, "index out of range"
    %x = tensor.extract %table[%i] : tensor<?xf32>
    linalg.yield %x : f32
  } -> tensor<?xf32>
  return %0, %1 : tensor<?xf32>, tensor<?xf32>
}

// An extent that is constant, but not to the type.
// CHECK-LABEL: func.func @constant_extent
// CHECK: %[[G:.*]] = linalg.generic
// CHECK: linalg.transpose ins(%[[G]] : tensor<?x?x?xf32>) outs(%{{.*}} : tensor<?x?x?xf32>) permutation = [1, 2, 0]
func.func @constant_extent(%x: tensor<4x?x?xf32>) -> tensor<?x?x?xf32> {
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c4 = arith.constant 4 : index
  %n = tensor.dim %x, %c1 : tensor<4x?x?xf32>
  %m = tensor.dim %x, %c2 : tensor<4x?x?xf32>
  %e = tensor.empty(%c4, %n, %m) : tensor<?x?x?xf32>
  %g = linalg.generic {indexing_maps = [#cube, #cube], iterator_types = ["parallel", "parallel", "parallel"]} ins(%x : tensor<4x?x?xf32>) outs(%e : tensor<?x?x?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %y = math.exp %a : f32
    linalg.yield %y : f32
  } -> tensor<?x?x?xf32>
  %e1 = tensor.empty(%n, %c4, %m) : tensor<?x?x?xf32>
  %t1 = linalg.transpose ins(%g : tensor<?x?x?xf32>) outs(%e1 : tensor<?x?x?xf32>) permutation = [1, 0, 2]
  %e2 = tensor.empty(%n, %m, %c4) : tensor<?x?x?xf32>
  %t2 = linalg.transpose ins(%t1 : tensor<?x?x?xf32>) outs(%e2 : tensor<?x?x?xf32>) permutation = [0, 2, 1]
  return %t2 : tensor<?x?x?xf32>
}
