// RUN: attune-opt %s -split-input-file --attune-form-contractions --attune-clean-views | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-form-contractions --attune-form-contractions --attune-clean-views | FileCheck %s

// CHECK-DAG: #[[$X:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[$W:.*]] = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-DAG: #[[$Y:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: func.func @transposed
// CHECK-SAME: %[[A:.*]]: tensor<?x64xf32>, %[[B:.*]]: tensor<32x64xf32>
// CHECK-NOT: linalg.matmul
// CHECK: linalg.contract indexing_maps = [#[[$X]], #[[$W]], #[[$Y]]] ins(%[[A]], %[[B]]
func.func @transposed(%x: tensor<?x64xf32>, %w: tensor<32x64xf32>) -> tensor<?x32xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x64xf32>
  %e0 = tensor.empty() : tensor<64x32xf32>
  %wt = linalg.transpose ins(%w : tensor<32x64xf32>) outs(%e0 : tensor<64x32xf32>) permutation = [1, 0]
  %e1 = tensor.empty(%n) : tensor<?x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?x32xf32>) -> tensor<?x32xf32>
  %0 = linalg.matmul ins(%x, %wt : tensor<?x64xf32>, tensor<64x32xf32>) outs(%f : tensor<?x32xf32>) -> tensor<?x32xf32>
  return %0 : tensor<?x32xf32>
}

// -----

// Rows merged before and split after, with a bias between.
// CHECK-DAG: #[[$X:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
// CHECK-DAG: #[[$W:.*]] = affine_map<(d0, d1, d2, d3) -> (d3, d2)>
// CHECK-DAG: #[[$Y:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
// CHECK-LABEL: func.func @merged_rows
// CHECK-SAME: %[[A:.*]]: tensor<?x?x64xf32>
// CHECK-NOT: collapse_shape
// CHECK: %[[P:.*]] = linalg.contract indexing_maps = [#[[$X]], #[[$W]], #[[$Y]]] ins(%[[A]], %{{.*}} : tensor<?x?x64xf32>, tensor<64x32xf32>)
// CHECK: %[[R:.*]] = linalg.generic {{.*}} ins(%[[P]], %{{.*}} : tensor<?x?x32xf32>, tensor<32xf32>)
// CHECK-NOT: expand_shape
// CHECK: return %[[R]]
#id = affine_map<(i, j) -> (i, j)>
#col = affine_map<(i, j) -> (j)>
func.func @merged_rows(%x: tensor<?x?x64xf32>, %w: tensor<64x32xf32>, %bias: tensor<32xf32>) -> tensor<?x?x32xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %b = tensor.dim %x, %c0 : tensor<?x?x64xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x64xf32>
  %rows = arith.muli %b, %s : index
  %0 = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x?x64xf32> into tensor<?x64xf32>
  %e = tensor.empty(%rows) : tensor<?x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x32xf32>) -> tensor<?x32xf32>
  %1 = linalg.matmul ins(%0, %w : tensor<?x64xf32>, tensor<64x32xf32>) outs(%f : tensor<?x32xf32>) -> tensor<?x32xf32>
  %2 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%1, %bias : tensor<?x32xf32>, tensor<32xf32>) outs(%e : tensor<?x32xf32>) {
  ^bb0(%a: f32, %c: f32, %out: f32):
    %4 = arith.addf %a, %c : f32
    linalg.yield %4 : f32
  } -> tensor<?x32xf32>
  %3 = tensor.expand_shape %2 [[0, 1], [2]] output_shape [%b, %s, 32] : tensor<?x32xf32> into tensor<?x?x32xf32>
  return %3 : tensor<?x?x32xf32>
}

// -----

// Batches merged in one operand only stay merged.
// CHECK-LABEL: func.func @one_merged_batch
// CHECK: tensor.collapse_shape
// CHECK: linalg.contract {{.*}} ins(%{{.*}}, %{{.*}} : tensor<?x?x64xf32>, tensor<?x64x?xf32>)
func.func @one_merged_batch(%x: tensor<?x12x?x64xf32>, %y: tensor<?x64x?xf32>) -> tensor<?x?x?xf32> {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %zero = arith.constant 0.0 : f32
  %bh = tensor.dim %y, %c0 : tensor<?x64x?xf32>
  %m = tensor.dim %y, %c2 : tensor<?x64x?xf32>
  %n = tensor.dim %x, %c2 : tensor<?x12x?x64xf32>
  %0 = tensor.collapse_shape %x [[0, 1], [2], [3]] : tensor<?x12x?x64xf32> into tensor<?x?x64xf32>
  %e = tensor.empty(%bh, %n, %m) : tensor<?x?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  %1 = linalg.batch_matmul ins(%0, %y : tensor<?x?x64xf32>, tensor<?x64x?xf32>) outs(%f : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  return %1 : tensor<?x?x?xf32>
}

// -----

// Batch and head merged in front of a softmax over keys: the softmax runs on the wide shape.
// CHECK-LABEL: func.func @merged_softmax
// CHECK: %[[S:.*]] = linalg.generic
// CHECK: %[[P:.*]] = linalg.softmax dimension(3) ins(%[[S]] : tensor<2x3x4x5xf32>)
// CHECK: tensor.collapse_shape %[[P]] {{\[}}[0, 1], [2], [3]]
#id = affine_map<(a, b, c, d) -> (a, b, c, d)>
func.func @merged_softmax(%x: tensor<2x3x4x5xf32>) -> tensor<6x4x5xf32> {
  %e = tensor.empty() : tensor<2x3x4x5xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%x : tensor<2x3x4x5xf32>) outs(%e : tensor<2x3x4x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %y = arith.addf %in, %in : f32
    linalg.yield %y : f32
  } -> tensor<2x3x4x5xf32>
  %1 = tensor.collapse_shape %0 [[0, 1], [2], [3]] : tensor<2x3x4x5xf32> into tensor<6x4x5xf32>
  %e1 = tensor.empty() : tensor<6x4x5xf32>
  %2 = linalg.softmax dimension(2) ins(%1 : tensor<6x4x5xf32>) outs(%e1 : tensor<6x4x5xf32>) -> tensor<6x4x5xf32>
  return %2 : tensor<6x4x5xf32>
}
