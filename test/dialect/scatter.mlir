// RUN: attune-opt %s -split-input-file -verify-diagnostics | attune-opt -split-input-file | FileCheck %s

// CHECK-LABEL: func @rows
// CHECK: attune.scatter ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<?x8xf32>, tensor<3x1xi64>, tensor<3x8xf32>) -> tensor<?x8xf32>{{$}}
func.func @rows(%x: tensor<?x8xf32>, %at: tensor<3x1xi64>, %u: tensor<3x8xf32>) -> tensor<?x8xf32> {
  %y = attune.scatter ins(%x, %at, %u : tensor<?x8xf32>, tensor<3x1xi64>, tensor<3x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

// CHECK-LABEL: func @sums
// CHECK: -> tensor<4x8xi32> combine {
// CHECK: ^bb0(%{{.*}}: i32, %{{.*}}: i32):
func.func @sums(%x: tensor<4x8xi32>, %at: tensor<5x6x2xi64>, %u: tensor<5x6xi32>) -> tensor<4x8xi32> {
  %y = attune.scatter ins(%x, %at, %u : tensor<4x8xi32>, tensor<5x6x2xi64>, tensor<5x6xi32>) -> tensor<4x8xi32> combine {
  ^bb0(%old: i32, %new: i32):
    %s = arith.addi %old, %new : i32
    attune.yield %s : i32
  }
  return %y : tensor<4x8xi32>
}

// -----

func.func @depth(%x: tensor<4xf32>, %at: tensor<3x2xi64>, %u: tensor<3xf32>) -> tensor<4xf32> {
  // expected-error @below {{the last extent of the indices must be in [1, 1], found 'tensor<3x2xi64>'}}
  %y = attune.scatter ins(%x, %at, %u : tensor<4xf32>, tensor<3x2xi64>, tensor<3xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @dynamic_depth(%x: tensor<4xf32>, %at: tensor<3x?xi64>, %u: tensor<3xf32>) -> tensor<4xf32> {
  // expected-error @below {{the last extent of the indices must be in [1, 1], found 'tensor<3x?xi64>'}}
  %y = attune.scatter ins(%x, %at, %u : tensor<4xf32>, tensor<3x?xi64>, tensor<3xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @scalar(%x: tensor<4xf32>, %at: tensor<i64>, %u: tensor<f32>) -> tensor<4xf32> {
  // expected-error @below {{the indices must have at least one axis, found 'tensor<i64>'}}
  %y = attune.scatter ins(%x, %at, %u : tensor<4xf32>, tensor<i64>, tensor<f32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @updates(%x: tensor<4x8xf32>, %at: tensor<3x1xi64>, %u: tensor<3x7xf32>) -> tensor<4x8xf32> {
  // expected-error @below {{the updates of 'tensor<4x8xf32>' at 'tensor<3x1xi64>' must be 'tensor<3x8xf32>', found 'tensor<3x7xf32>'}}
  %y = attune.scatter ins(%x, %at, %u : tensor<4x8xf32>, tensor<3x1xi64>, tensor<3x7xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// -----

func.func @region(%x: tensor<4xf32>, %at: tensor<3x1xi64>, %u: tensor<3xf32>) -> tensor<4xf32> {
  // expected-error @below {{combine}}
  %y = attune.scatter ins(%x, %at, %u : tensor<4xf32>, tensor<3x1xi64>, tensor<3xf32>) -> tensor<4xf32> combine {
  ^bb0(%old: f32):
    attune.yield %old : f32
  }
  return %y : tensor<4xf32>
}
