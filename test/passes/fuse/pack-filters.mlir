// RUN: attune-opt --attune-pack-filters %s | FileCheck %s

#x = affine_map<(n, m, h, w, c, i, j) -> (n, c, h + i, w + j)>
#f = affine_map<(n, m, h, w, c, i, j) -> (m, c, i, j)>
#y = affine_map<(n, m, h, w, c, i, j) -> (n, m, h, w)>

// Five output channels are two panels.
// CHECK-LABEL: @dense
// CHECK: %[[P:.*]] = arith.constant dense_resource<filters> : tensor<2x2x1x3x4xf32>
// CHECK: %[[W:.*]] = linalg.unpack %[[P]] inner_dims_pos = [0] inner_tiles = [4]
// CHECK: linalg.generic {{.*}} ins(%arg0, %[[W]] :
func.func @dense(%x: tensor<1x2x?x9xf32>, %init: tensor<1x5x?x7xf32>) -> tensor<1x5x?x7xf32> {
  %w = arith.constant dense<2.0> : tensor<5x2x1x3xf32>
  %0 = linalg.generic {indexing_maps = [#x, #f, #y],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<1x2x?x9xf32>, tensor<5x2x1x3xf32>) outs(%init : tensor<1x5x?x7xf32>) {
  ^bb0(%a: f32, %b: f32, %s: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %s, %p : f32
    linalg.yield %t : f32
  } -> tensor<1x5x?x7xf32>
  return %0 : tensor<1x5x?x7xf32>
}

#gx = affine_map<(n, g, m, h, w, c, i, j) -> (n, g, c, h * 2 + i, w + j)>
#gf = affine_map<(n, g, m, h, w, c, i, j) -> (g, m, c, i, j)>
#gy = affine_map<(n, g, m, h, w, c, i, j) -> (n, g, m, h, w)>

// CHECK-LABEL: @groups
// CHECK: dense_resource<filters{{.*}}> : tensor<3x2x2x1x1x4xf32>
// CHECK: linalg.unpack {{.*}} inner_dims_pos = [1] inner_tiles = [4]
func.func @groups(%x: tensor<1x3x2x9x9xf32>, %init: tensor<1x3x5x5x9xf32>) -> tensor<1x3x5x5x9xf32> {
  %w = arith.constant dense<2.0> : tensor<3x5x2x1x1xf32>
  %0 = linalg.generic {indexing_maps = [#gx, #gf, #gy],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<1x3x2x9x9xf32>, tensor<3x5x2x1x1xf32>) outs(%init : tensor<1x3x5x5x9xf32>) {
  ^bb0(%a: f32, %b: f32, %s: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %s, %p : f32
    linalg.yield %t : f32
  } -> tensor<1x3x5x5x9xf32>
  return %0 : tensor<1x3x5x5x9xf32>
}

// One input channel, one output channel: computed plane by plane, filters stay as they are.
// CHECK-LABEL: @depthwise
// CHECK-NOT: linalg.unpack
func.func @depthwise(%x: tensor<1x3x1x9x9xf32>, %init: tensor<1x3x1x5x9xf32>) -> tensor<1x3x1x5x9xf32> {
  %w = arith.constant dense<2.0> : tensor<3x1x1x1x1xf32>
  %0 = linalg.generic {indexing_maps = [#gx, #gf, #gy],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<1x3x1x9x9xf32>, tensor<3x1x1x1x1xf32>) outs(%init : tensor<1x3x1x5x9xf32>) {
  ^bb0(%a: f32, %b: f32, %s: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %s, %p : f32
    linalg.yield %t : f32
  } -> tensor<1x3x1x5x9xf32>
  return %0 : tensor<1x3x1x5x9xf32>
}
