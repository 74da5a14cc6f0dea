// RUN: attune compile %s --target=cuda --emit=ptx -o - | FileCheck %s
// RUN: attune compile %s --target=cuda --stop-after=fuse -o - | FileCheck %s --check-prefix=FUSED

// Distances of bytes with a scale behind them are one kernel: chunks come while others are summed,
// four bytes at a time, and nothing lies in local memory.

// FUSED: attune.kernel
// FUSED-SAME: emitter = "gpu-gemm"
// FUSED-NOT: attune.kernel

// CHECK-NOT: .local
// CHECK: .visible .entry
// CHECK: cp.async.cg.shared
// CHECK: vabsdiff4.u32.u32.u32.add
// CHECK-NOT: mma
// CHECK: cvt.rn.f32.s32
// CHECK: ret;
func.func @main(%x: tensor<?x64xi8> {attune.name = "x", attune.dims = ["n", ""]},
    %w: tensor<128x64xi8> {attune.name = "w"}) -> (tensor<?x128xf32> {attune.name = "y"}) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0 : i32
  %scale = arith.constant 0.5 : f32
  %n = tensor.dim %x, %c0 : tensor<?x64xi8>
  %space = tensor.empty(%n) : tensor<?x128xi32>
  %start = linalg.fill ins(%zero : i32) outs(%space : tensor<?x128xi32>) -> tensor<?x128xi32>
  %sums = attune.contract ins(%x, %w : tensor<?x64xi8>, tensor<128x64xi8>) outs(%start : tensor<?x128xi32>)
      {kind = #attune.contract_kind<adder>,
       indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                        affine_map<(m, n, k) -> (m, n)>]}
  %to = tensor.empty(%n) : tensor<?x128xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%sums : tensor<?x128xi32>) outs(%to : tensor<?x128xf32>) {
  ^bb0(%s: i32, %o: f32):
    %f = arith.sitofp %s : i32 to f32
    %r = arith.mulf %f, %scale : f32
    linalg.yield %r : f32
  } -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}
