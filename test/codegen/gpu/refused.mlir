// RUN: not attune compile %s --target=cuda -o %t.so 2>&1 | FileCheck %s

// There is no instruction and no polynomial for it, and no library to call.
// CHECK: unsupported: the CUDA back end does not take this kernel: `math.exp` of f64
func.func @main(%x: tensor<4xf64> {attune.name = "x"}) -> (tensor<4xf64> {attune.name = "y"}) {
  %empty = tensor.empty() : tensor<4xf64>
  %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<4xf64>) outs(%empty : tensor<4xf64>) {
  ^bb0(%a: f64, %out: f64):
    %e = math.exp %a : f64
    linalg.yield %e : f64
  } -> tensor<4xf64>
  return %y : tensor<4xf64>
}
