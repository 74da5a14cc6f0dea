// RUN: attune-opt %s -attune-tile-state=tile=4 -split-input-file | FileCheck %s
// RUN: attune-opt %s -attune-tile-state=tile=4 -split-input-file -o /dev/null --remarks-filter=attune-tile-state \
// RUN:   --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: not attune-opt %s -attune-tile-state=tile=0 -split-input-file 2>&1 | FileCheck %s --check-prefix=TILE
// TILE: error: tile must be at least 1, found 0

// Online softmax: maximum, sum and weighted values go from tile to tile; the last tile is shorter.

// CHECK: #[[$LEFT:.*]] = affine_map<(d0)[s0] -> (-d0 + s0, 4)>
// CHECK-LABEL: func @dynamic
// CHECK-NOT: attune.attention
// CHECK: scf.for %[[T:.*]] = %{{.*}} to %{{.*}} step %{{.*}} iter_args(%[[TOP:.*]] = %{{.*}}, %[[SUM:.*]] = %{{.*}}, %[[ACC:.*]] = %{{.*}}) -> (tensor<1x4x?xf32>, tensor<1x4x?xf32>, tensor<1x4x?x8xf32>)
// CHECK: %[[SIZE:.*]] = affine.min #[[$LEFT]](%[[T]])[%{{.*}}]
// CHECK: tensor.extract_slice %{{.*}}[0, 0, %[[T]], 0] [1, 2, %[[SIZE]], 8]
// CHECK: tensor.extract_slice %{{.*}}[0, 0, %[[T]], 0] [1, 2, %[[SIZE]], 8]
// CHECK: %[[M:.*]] = linalg.index 3
// CHECK: %[[J:.*]] = arith.addi %[[T]], %[[M]]
// CHECK: arith.cmpi sle, %[[J]], %{{.*}} : index
// CHECK: arith.maximumf
// CHECK: outs(%[[SUM]] :
// CHECK: outs(%[[ACC]] :
// CHECK: outs(%[[TOP]] :
// CHECK: scf.yield
// CHECK: arith.divf
func.func @dynamic(%q: tensor<1x4x?x8xf32>, %k: tensor<1x2x?x8xf32>) -> tensor<1x4x?x8xf32> {
  %o = attune.attention ins(%q, %k, %k : tensor<1x4x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>)
    -> tensor<1x4x?x8xf32>
  mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    %p = arith.cmpi sle, %j, %i : index
    attune.yield %p : i1
  }
  return %o : tensor<1x4x?x8xf32>
}

// -----

// CHECK-LABEL: func @static
// CHECK: scf.for
// CHECK-NOT: affine.min
// CHECK: tensor.extract_slice %{{.*}}[0, 0, %{{.*}}, 0] [1, 2, 4, 8] [1, 1, 1, 1] : tensor<1x2x12x8xf32> to tensor<1x2x4x8xf32>
func.func @static(%q: tensor<1x2x3x8xf32>, %k: tensor<1x2x12x8xf32>) -> tensor<1x2x3x8xf32> {
  %o = attune.attention ins(%q, %k, %k : tensor<1x2x3x8xf32>, tensor<1x2x12x8xf32>, tensor<1x2x12x8xf32>)
    {weighting = #attune.weighting<none>} -> tensor<1x2x3x8xf32>
  return %o : tensor<1x2x3x8xf32>
}

// -----

// REMARK: remark: [Missed] StateNotTiled
// REMARK-SAME: its logits are a result
// REMARK-NOT: remark:
// CHECK-LABEL: func @refused
// CHECK: attune.attention
func.func @refused(%q: tensor<1x2x3x8xf32>) -> tensor<1x2x3x3xf32> {
  %o, %l = attune.attention ins(%q, %q, %q : tensor<1x2x3x8xf32>, tensor<1x2x3x8xf32>, tensor<1x2x3x8xf32>)
    -> tensor<1x2x3x8xf32> logits(tensor<1x2x3x3xf32>)
  return %l : tensor<1x2x3x3xf32>
}
