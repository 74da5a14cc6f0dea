// RUN: attune-opt %s -split-input-file --attune-raise-relative-positions --canonicalize | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-relative-positions --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#re = affine_map<(h, f, e, k) -> (h, f, e, k, 0)>
#im = affine_map<(h, f, e, k) -> (h, f, e, k, 1)>
#kre = affine_map<(h, f, e, k) -> (h, 0, 0, k, 0)>
#kim = affine_map<(h, f, e, k) -> (h, 0, 0, k, 1)>
#id = affine_map<(h, f, e, k) -> (h, f, e, k)>

// CHECK-LABEL: func.func @circle
// CHECK-SAME: %[[q:[a-z0-9]*]]: tensor<2x6x4xf32>, %[[y:[a-z0-9]*]]: tensor<2x6x4xf32>, %[[v:[a-z0-9]*]]: tensor<2x6x5xf32>
// CHECK-NOT: attune.dft
// CHECK: attune.linear_attention ins({{.*}} : tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>, tensor<1x2x6x5xf32>)
// CHECK-SAME: toeplitz({{.*}} : tensor<2x11xf32>)
// CHECK-SAME: bidirectional
// REMARK: [Passed] RelativePositionsRaised
func.func @circle(%q: tensor<2x6x4xf32>, %y: tensor<2x6x4xf32>, %v: tensor<2x6x5xf32>,
                  %c: tensor<2x12xf32>) -> tensor<2x6x5xf32> {
  %n = arith.constant 12 : index
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<2x4x5x6xf32>
  %x = linalg.generic {indexing_maps = [affine_map<(h, f, e, m) -> (h, m, f)>,
      affine_map<(h, f, e, m) -> (h, m, e)>, #id],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%y, %v : tensor<2x6x4xf32>, tensor<2x6x5xf32>) outs(%e0 : tensor<2x4x5x6xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<2x4x5x6xf32>
  %x1 = tensor.expand_shape %x [[0], [1], [2], [3, 4]] output_shape [2, 4, 5, 6, 1]
      : tensor<2x4x5x6xf32> into tensor<2x4x5x6x1xf32>
  %c1 = tensor.expand_shape %c [[0, 1, 2], [3, 4]] output_shape [2, 1, 1, 12, 1]
      : tensor<2x12xf32> into tensor<2x1x1x12x1xf32>
  %fx = attune.dft %x1 length(%n) {axis = 3 : i64, onesided = true}
      : tensor<2x4x5x6x1xf32> -> tensor<2x4x5x7x2xf32>
  %fc = attune.dft %c1 length(%n) {axis = 3 : i64, onesided = true}
      : tensor<2x1x1x12x1xf32> -> tensor<2x1x1x7x2xf32>
  %e = tensor.empty() : tensor<2x4x5x7xf32>
  %re = linalg.generic {indexing_maps = [#re, #im, #kre, #kim, #id],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%fx, %fx, %fc, %fc : tensor<2x4x5x7x2xf32>, tensor<2x4x5x7x2xf32>, tensor<2x1x1x7x2xf32>,
          tensor<2x1x1x7x2xf32>) outs(%e : tensor<2x4x5x7xf32>) {
  ^bb0(%a: f32, %b: f32, %s: f32, %t: f32, %o: f32):
    %0 = arith.mulf %a, %s : f32
    %1 = arith.mulf %b, %t : f32
    %2 = arith.subf %0, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<2x4x5x7xf32>
  %im = linalg.generic {indexing_maps = [#re, #im, #kre, #kim, #id],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%fx, %fx, %fc, %fc : tensor<2x4x5x7x2xf32>, tensor<2x4x5x7x2xf32>, tensor<2x1x1x7x2xf32>,
          tensor<2x1x1x7x2xf32>) outs(%e : tensor<2x4x5x7xf32>) {
  ^bb0(%a: f32, %b: f32, %s: f32, %t: f32, %o: f32):
    %0 = arith.mulf %a, %t : f32
    %1 = arith.mulf %b, %s : f32
    %2 = arith.addf %0, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<2x4x5x7xf32>
  %re1 = tensor.expand_shape %re [[0], [1], [2], [3, 4]] output_shape [2, 4, 5, 7, 1]
      : tensor<2x4x5x7xf32> into tensor<2x4x5x7x1xf32>
  %im1 = tensor.expand_shape %im [[0], [1], [2], [3, 4]] output_shape [2, 4, 5, 7, 1]
      : tensor<2x4x5x7xf32> into tensor<2x4x5x7x1xf32>
  %p = tensor.concat dim(4) %re1, %im1
      : (tensor<2x4x5x7x1xf32>, tensor<2x4x5x7x1xf32>) -> tensor<2x4x5x7x2xf32>
  %s = attune.dft %p length(%n) {axis = 3 : i64, inverse = true, onesided = true}
      : tensor<2x4x5x7x2xf32> -> tensor<2x4x5x12x1xf32>
  %z = tensor.extract_slice %s[0, 0, 0, 0, 0] [2, 4, 5, 6, 1] [1, 1, 1, 1, 1]
      : tensor<2x4x5x12x1xf32> to tensor<2x4x5x6xf32>
  %e2 = tensor.empty() : tensor<2x6x5xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<2x6x5xf32>) -> tensor<2x6x5xf32>
  %r = linalg.contract indexing_maps = [affine_map<(h, n, e, f) -> (h, n, f)>,
      affine_map<(h, n, e, f) -> (h, f, e, n)>, affine_map<(h, n, e, f) -> (h, n, e)>]
      ins(%q, %z : tensor<2x6x4xf32>, tensor<2x4x5x6xf32>) outs(%f : tensor<2x6x5xf32>)
      -> tensor<2x6x5xf32>
  return %r : tensor<2x6x5xf32>
}
