// RUN: attune compile %s --cpu=x86-64-v4 --backend=mlir --emit=asm -o - | FileCheck %s --implicit-check-not=vgather

// Sums of rows of tables: more operands lie along the rows' numbers than along a row, yet lanes must
// lie along a row, or every vector is gathered.
// CHECK: vaddps
func.func @main(%x: tensor<?xi64> {attune.name = "x", attune.dims = ["n"]},
                %y: tensor<?xi64> {attune.name = "y", attune.dims = ["n"]},
                %z: tensor<?xi64> {attune.name = "z", attune.dims = ["n"]},
                %s: tensor<10x768xf32> {attune.name = "s", attune.dims = ["", ""]},
                %t: tensor<10x768xf32> {attune.name = "t", attune.dims = ["", ""]},
                %u: tensor<10x768xf32> {attune.name = "u", attune.dims = ["", ""]})
    -> (tensor<?x768xf32> {attune.name = "sum"}) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xi64>
  %e = tensor.empty(%n) : tensor<?x768xf32>
  %sum = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>,
        affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
        iterator_types = ["parallel", "parallel"]}
      ins(%x, %y, %z : tensor<?xi64>, tensor<?xi64>, tensor<?xi64>) outs(%e : tensor<?x768xf32>) {
  ^bb1(%a: i64, %b: i64, %c: i64, %o: f32):
    %zero = arith.constant 0 : index
    %last = arith.constant 9 : index
    %j = linalg.index 1 : index
    %ai = arith.index_cast %a : i64 to index
    %bi = arith.index_cast %b : i64 to index
    %ci = arith.index_cast %c : i64 to index
    %al = arith.maxsi %ai, %zero : index
    %bl = arith.maxsi %bi, %zero : index
    %cl = arith.maxsi %ci, %zero : index
    %as = arith.minsi %al, %last : index
    %bs = arith.minsi %bl, %last : index
    %cs = arith.minsi %cl, %last : index
    %av = tensor.extract %s[%as, %j] : tensor<10x768xf32>
    %bv = tensor.extract %t[%bs, %j] : tensor<10x768xf32>
    %cv = tensor.extract %u[%cs, %j] : tensor<10x768xf32>
    %ab = arith.addf %av, %bv : f32
    %r = arith.addf %ab, %cv : f32
    linalg.yield %r : f32
  } -> tensor<?x768xf32>
  return %sum : tensor<?x768xf32>
}
