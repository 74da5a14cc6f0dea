// RUN: attune check %s --backend=mlir --dim n=3 --tolerance=1e-6

// Temporaries of a group norm whose batch alone is free.
func.func @main(%x: tensor<?x4x9xf32> {attune.name = "x", attune.dims = ["n", "", ""]})
    -> (tensor<?x4x9xf32> {attune.name = "y"}) {
  %scale = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %bias = arith.constant dense<[0.0, 1.0, 0.5, -1.0]> : tensor<4xf32>
  %y = attune.norm ins(%x : tensor<?x4x9xf32>) scale(%scale : tensor<4xf32>) bias(%bias : tensor<4xf32>)
      {axis = 1 : i64, eps = 1.0e-5 : f64, groups = 2 : i64, kind = #attune.norm_kind<group>} -> tensor<?x4x9xf32>
  return %y : tensor<?x4x9xf32>
}
