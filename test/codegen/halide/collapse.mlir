// RUN: attune check %s --backend=halide --dim a=3 --dim b=5 --dim c=7 --tolerance=1e-6

// The extent of an axis that was collapsed from axes of free sizes.
#id3 = affine_map<(a, b, c) -> (a, b, c)>
#id2 = affine_map<(a, c) -> (a, c)>
func.func @main(%x: tensor<?x?x?xf32> {attune.name = "x", attune.dims = ["a", "b", "c"]})
    -> (tensor<?x?xf32> {attune.name = "y"}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %a = tensor.dim %x, %c0 : tensor<?x?x?xf32>
  %b = tensor.dim %x, %c1 : tensor<?x?x?xf32>
  %c = tensor.dim %x, %c2 : tensor<?x?x?xf32>
  %e = tensor.empty(%a, %b, %c) : tensor<?x?x?xf32>
  %p = linalg.generic {indexing_maps = [#id3, #id3], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x : tensor<?x?x?xf32>) outs(%e : tensor<?x?x?xf32>) {
  ^bb0(%v: f32, %o: f32):
    %t = math.exp %v : f32
    linalg.yield %t : f32
  } -> tensor<?x?x?xf32>
  %k = tensor.collapse_shape %p [[0, 1], [2]] : tensor<?x?x?xf32> into tensor<?x?xf32>
  %n = arith.muli %a, %b : index
  %e2 = tensor.empty(%n, %c) : tensor<?x?xf32>
  %y = linalg.softmax dimension(1) ins(%k : tensor<?x?xf32>) outs(%e2 : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}
