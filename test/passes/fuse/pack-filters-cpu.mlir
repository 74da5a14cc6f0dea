// RUN: attune-opt --attune-stage-fuse-cpu="cpu=x86-64-v4" %s | FileCheck %s

#x = affine_map<(n, m, h, w, c, i, j) -> (n, c, h + i, w + j)>
#f = affine_map<(n, m, h, w, c, i, j) -> (m, c, i, j)>
#y = affine_map<(n, m, h, w, c, i, j) -> (n, m, h, w)>

// Nine positions leave lanes of 16 empty, 256 do not.
// CHECK-LABEL: @small
// CHECK-DAG: dense_resource<filters{{.*}}> : tensor<4x8x1x1x16xf32>
// CHECK-DAG: dense_resource<filters{{.*}}> : tensor<16x8x1x1x4xf32>
func.func @small(%x: tensor<1x8x3x3xf32>, %y: tensor<1x8x16x16xf32>)
    -> (tensor<1x64x3x3xf32>, tensor<1x64x16x16xf32>) {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<2.0> : tensor<64x8x1x1xf32>
  %e = tensor.empty() : tensor<1x64x3x3xf32>
  %s = linalg.fill ins(%zero : f32) outs(%e : tensor<1x64x3x3xf32>) -> tensor<1x64x3x3xf32>
  %0 = linalg.generic {indexing_maps = [#x, #f, #y],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<1x8x3x3xf32>, tensor<64x8x1x1xf32>) outs(%s : tensor<1x64x3x3xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %c, %p : f32
    linalg.yield %t : f32
  } -> tensor<1x64x3x3xf32>
  %v = arith.constant dense<3.0> : tensor<64x8x1x1xf32>
  %f = tensor.empty() : tensor<1x64x16x16xf32>
  %r = linalg.fill ins(%zero : f32) outs(%f : tensor<1x64x16x16xf32>) -> tensor<1x64x16x16xf32>
  %1 = linalg.generic {indexing_maps = [#x, #f, #y],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%y, %v : tensor<1x8x16x16xf32>, tensor<64x8x1x1xf32>) outs(%r : tensor<1x64x16x16xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %c, %p : f32
    linalg.yield %t : f32
  } -> tensor<1x64x16x16xf32>
  return %0, %1 : tensor<1x64x3x3xf32>, tensor<1x64x16x16xf32>
}
