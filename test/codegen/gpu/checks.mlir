// RUN: attune compile %s --target=cuda --emit=ptx -o - | FileCheck %s
// RUN: attune compile %s --target=cuda --gpu=sm_90a --emit=ptx -o - | FileCheck %s

// An index may be outside its axis: the kernel has one more parameter, the address of the call's flag,
// and stores 1 (ATTUNE_KERNEL_INDEX_OUT_OF_RANGE) there. The look-up itself stays inside.

// CHECK: .visible .entry [[K:[a-z0-9_]+]](
// CHECK: .param .align 8 .b8 [[K]]_param_2[8]
// CHECK-NEXT: )
// CHECK: {{ld.param|mov}}.b64 {{.*}}[[K]]_param_2
// CHECK: st.global.b32 [%rd{{[0-9]+}}], 1;
func.func @main(%table: tensor<10x12xf32> {attune.name = "t"},
    %at: tensor<?xi64> {attune.name = "i", attune.dims = ["n"]}) -> (tensor<?x12xf32> {attune.name = "y"}) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %at, %c0 : tensor<?xi64>
  %empty = tensor.empty(%n) : tensor<?x12xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%at : tensor<?xi64>) outs(%empty : tensor<?x12xf32>) {
  ^bb0(%index: i64, %out: f32):
    %row = arith.index_cast %index : i64 to index
    %ten = arith.constant 10 : index
    %inside = arith.cmpi ult, %row, %ten : index
    cf.assert %inside, "an index is outside its axis"
    %column = linalg.index 1 : index
    %safe = arith.select %inside, %row, %c0 : index
    %v = tensor.extract %table[%safe, %column] : tensor<10x12xf32>
    linalg.yield %v : f32
  } -> tensor<?x12xf32>
  return %y : tensor<?x12xf32>
}
