// RUN: attune-opt %s -attune-decompose -split-input-file | FileCheck %s
// RUN: attune-opt %s -attune-decompose -attune-decompose -split-input-file | FileCheck %s

// Ops inside kernels too, and the softmax of linalg.

// CHECK-LABEL: func @kernel
// CHECK: attune.kernel
// CHECK-NOT: attune.norm
// CHECK-NOT: linalg.softmax
// CHECK: math.sqrt
// CHECK: math.exp
// CHECK: attune.yield %{{.*}} : tensor<4x8xf32>
func.func @kernel(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %y = attune.kernel ins(%x : tensor<4x8xf32>) -> tensor<4x8xf32> {
  ^bb0(%a: tensor<4x8xf32>):
    %n = attune.norm ins(%a : tensor<4x8xf32>) {axis = 1 : i64, eps = 1.0e-5 : f64, kind = #attune.norm_kind<layer>} -> tensor<4x8xf32>
    %e = tensor.empty() : tensor<4x8xf32>
    %s = linalg.softmax dimension(1) ins(%n : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
    attune.yield %s : tensor<4x8xf32>
  }
  return %y : tensor<4x8xf32>
}

// -----

// A grouped key head is a floordiv map; the empty row is found by its maximum, after the division.

// CHECK: #[[$KV:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1 floordiv 2, d3, d4)>
// CHECK-LABEL: func @attention
// CHECK-NOT: attune.
// CHECK: %[[DOT:.*]] = linalg.generic {indexing_maps = [#{{[a-z0-9]+}}, #[[$KV]], #{{[a-z0-9]+}}]
// CHECK-SAME: "parallel", "parallel", "parallel", "parallel", "reduction"
// CHECK: %[[X:.*]] = linalg.generic {{.*}} ins(%[[DOT]] :
// CHECK: arith.mulf
// CHECK: %[[MASKED:.*]] = linalg.generic {{.*}} ins(%[[X]] :
// CHECK: %[[P:.*]] = arith.cmpi sle
// CHECK: arith.select %[[P]], %{{.*}}, %{{.*}} : f32
// CHECK: %[[TOP:.*]] = linalg.generic {{.*}} ins(%[[MASKED]] :
// CHECK: arith.maximumf
// CHECK: math.exp
// CHECK: arith.divf
// CHECK: arith.cmpf oeq
// CHECK: arith.select
func.func @attention(%q: tensor<1x4x?x8xf32>, %k: tensor<1x2x?x8xf32>, %v: tensor<1x2x?x8xf32>, %c: f32) -> tensor<1x4x?x8xf32> {
  %o = attune.attention ins(%q, %k, %v : tensor<1x4x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>) scale(%c : f32)
    -> tensor<1x4x?x8xf32>
  mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    %p = arith.cmpi sle, %j, %i : index
    attune.yield %p : i1
  }
  return %o : tensor<1x4x?x8xf32>
}

// -----

// With a dynamic number of heads the group size is computed.

// CHECK-LABEL: func @dynamic_heads
// CHECK: arith.divui
// CHECK: linalg.generic
// CHECK: %[[H:.*]] = linalg.index 1
// CHECK: %[[HK:.*]] = arith.divui %[[H]], %{{.*}} : index
// CHECK: tensor.extract %{{.*}}[%{{.*}}, %[[HK]], %{{.*}}, %{{.*}}]
func.func @dynamic_heads(%q: tensor<?x?x?x?xf32>, %k: tensor<?x?x?x?xf32>) -> tensor<?x?x?x?xf32> {
  %o = attune.attention ins(%q, %k, %k : tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>) -> tensor<?x?x?x?xf32>
  return %o : tensor<?x?x?x?xf32>
}

// -----

// Static extents of the result reach the whole lowering; a cast joins the types where they differ.

// CHECK-LABEL: func @scan
// CHECK-SAME: %[[X:.*]]: tensor<?x3xf16>
// CHECK: scf.for {{.*}} iter_args(%[[S:.*]] = %{{.*}}, %[[R:.*]] = %{{.*}}) -> (tensor<3xf32>, tensor<?x3xf16>)
// CHECK: tensor.extract_slice %[[X]]
// CHECK: arith.extf
// CHECK: arith.addf
// CHECK: arith.truncf
// CHECK: tensor.insert_slice
func.func @scan(%x: tensor<?x3xf16>) -> tensor<?x3xf16> {
  %y = attune.scan %x {axis = 0 : i64, kind = #attune.scan_kind<sum>} : tensor<?x3xf16>
  return %y : tensor<?x3xf16>
}

// -----

// CHECK-LABEL: func @dft
// CHECK: math.cos
// CHECK: math.sin
// CHECK: linalg.generic {{.*}}"parallel", "parallel", "parallel", "reduction"
// CHECK: arith.remui
func.func @dft(%x: tensor<2x8x1xf32>) -> tensor<2x5x2xf32> {
  %n = arith.constant 8 : index
  %y = attune.dft %x length(%n) {axis = 1 : i64, onesided = true} : tensor<2x8x1xf32> -> tensor<2x5x2xf32>
  return %y : tensor<2x5x2xf32>
}
