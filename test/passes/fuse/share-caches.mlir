// RUN: attune compile %s --cpu=x86-64-v3 --stop-after=fuse -o - | FileCheck %s

// Each pair gets two buffers as arguments; kernels work on these, and the caller sees their front.
// The past of %v has a fixed length: its buffer may be longer.
// CHECK-LABEL: @main
// CHECK-SAME: tensor<2x4x?x8xf32> {attune.input_buffer = array<i64: 1, 1, 2>}
// CHECK-SAME: tensor<2x4x?x8xf32> {attune.output_buffer = array<i64: 1, 1, 2>}
// CHECK-SAME: %[[IN:[a-z0-9]+]]: tensor<2x4x?x8xf32> {attune.input_buffer = array<i64: 3, 2, 2>}
// CHECK-SAME: %[[OUT:[a-z0-9]+]]: tensor<2x4x?x8xf32> {attune.output_buffer = array<i64: 3, 2, 2>}
// CHECK-DAG: %[[ROOM:.*]] = tensor.dim %[[IN]]
// CHECK-DAG: %[[MORE:.*]] = tensor.dim %[[OUT]]
// CHECK: %[[ALL:.*]] = attune.kernel ins(%[[IN]], %{{.*}} : tensor<2x4x?x8xf32>, tensor<2x4x?x8xf32>)
// CHECK-SAME: %[[ROOM]]
// CHECK-SAME: result_dims(%[[MORE]])
// CHECK-SAME: emitter = "rowwise"
// CHECK: ^bb0(%[[BUFFER:[a-z0-9]+]]: tensor<2x4x?x8xf32>
// CHECK: %[[PAST:.*]] = tensor.extract_slice %[[BUFFER]][0, 0, 0, 0] [2, 4, 5, 8] [1, 1, 1, 1] : tensor<2x4x?x8xf32> to tensor<2x4x5x8xf32>
// CHECK: %[[PRESENT:.*]] = tensor.concat dim(2) %[[PAST]]
// CHECK: tensor.insert_slice %[[PRESENT]] into
// CHECK: emitter = "attention"
// CHECK-COUNT-2: tensor.extract_slice %{{.*}}[0, 0, 0, 0] [2, 4, %{{.*}}, 8]
// CHECK: tensor.extract_slice %[[ALL]][0, 0, 0, 0] [2, 4, %{{.*}}, 8]
func.func @main(%q: tensor<2x4x?x8xf32> {attune.dims = ["", "", "n", ""]},
                %kp: tensor<2x4x?x8xf32> {attune.dims = ["", "", "p", ""]},
                %k: tensor<2x4x?x8xf32> {attune.dims = ["", "", "n", ""]},
                %vp: tensor<2x4x5x8xf32>,
                %v: tensor<2x4x?x8xf32> {attune.dims = ["", "", "n", ""]})
    -> (tensor<2x4x?x8xf32>, tensor<2x4x?x8xf32>, tensor<2x4x?x8xf32>) {
  %keys = tensor.concat dim(2) %kp, %k : (tensor<2x4x?x8xf32>, tensor<2x4x?x8xf32>) -> tensor<2x4x?x8xf32>
  %values = tensor.concat dim(2) %vp, %v : (tensor<2x4x5x8xf32>, tensor<2x4x?x8xf32>) -> tensor<2x4x?x8xf32>
  %y = attune.attention ins(%q, %keys, %values : tensor<2x4x?x8xf32>, tensor<2x4x?x8xf32>, tensor<2x4x?x8xf32>) -> tensor<2x4x?x8xf32>
  return %y, %keys, %values : tensor<2x4x?x8xf32>, tensor<2x4x?x8xf32>, tensor<2x4x?x8xf32>
}
