// RUN: attune-opt %s -split-input-file --attune-form-gelu | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-form-gelu --attune-form-gelu | FileCheck %s

#id = affine_map<(i, j) -> (i, j)>
// x * (0.5 * (1 + erf(x / sqrt 2))), one operator per node, after a bias.
// CHECK-LABEL: func.func @erf_form
// CHECK: %[[X:.*]] = linalg.generic
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.addf
// CHECK: linalg.generic {{.*}} ins(%[[X]] : tensor<?x64xf32>)
// CHECK-NOT: linalg.yield
// CHECK: math.erf
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @erf_form(%a: tensor<?x64xf32>, %b: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %d = tensor.dim %a, %c0 : tensor<?x64xf32>
  %e = tensor.empty(%d) : tensor<?x64xf32>
  %x = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%a, %b : tensor<?x64xf32>, tensor<?x64xf32>) outs(%e : tensor<?x64xf32>) {
  ^bb0(%in: f32, %in2: f32, %out: f32):
    %0 = arith.addf %in, %in2 : f32
    linalg.yield %0 : f32
  } -> tensor<?x64xf32>
  %root = arith.constant 1.41421354 : f32
  %one = arith.constant 1.0 : f32
  %half = arith.constant 0.5 : f32
  %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x64xf32>) outs(%e : tensor<?x64xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.divf %in, %root : f32
    linalg.yield %0 : f32
  } -> tensor<?x64xf32>
  %2 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%1 : tensor<?x64xf32>) outs(%e : tensor<?x64xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = math.erf %in : f32
    linalg.yield %0 : f32
  } -> tensor<?x64xf32>
  %3 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%2 : tensor<?x64xf32>) outs(%e : tensor<?x64xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %one, %in : f32
    %4 = arith.mulf %half, %0 : f32
    linalg.yield %4 : f32
  } -> tensor<?x64xf32>
  %5 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %3 : tensor<?x64xf32>, tensor<?x64xf32>) outs(%e : tensor<?x64xf32>) {
  ^bb0(%in: f32, %in2: f32, %out: f32):
    %0 = arith.mulf %in, %in2 : f32
    linalg.yield %0 : f32
  } -> tensor<?x64xf32>
  return %5 : tensor<?x64xf32>
}

// -----

#id = affine_map<(i) -> (i)>
// The tanh form with a power; the constant is the one of PyTorch.
// CHECK-LABEL: func.func @tanh_form
// CHECK: linalg.generic
// CHECK-NOT: math.powf
// CHECK: math.tanh
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @tanh_form(%x: tensor<64xf32>) -> tensor<64xf32> {
  %three = arith.constant 3.0 : f32
  %cubic = arith.constant 0.044715 : f32
  %slope = arith.constant 0.797884583 : f32
  %one = arith.constant 1.0 : f32
  %half = arith.constant 0.5 : f32
  %e = tensor.empty() : tensor<64xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = math.powf %in, %three : f32
    %2 = arith.mulf %0, %cubic : f32
    linalg.yield %2 : f32
  } -> tensor<64xf32>
  %2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]} ins(%x, %1 : tensor<64xf32>, tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%in: f32, %in2: f32, %out: f32):
    %0 = arith.addf %in, %in2 : f32
    %3 = arith.mulf %0, %slope : f32
    %4 = math.tanh %3 : f32
    %5 = arith.addf %4, %one : f32
    linalg.yield %5 : f32
  } -> tensor<64xf32>
  %3 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]} ins(%x, %2 : tensor<64xf32>, tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%in: f32, %in2: f32, %out: f32):
    %0 = arith.mulf %in, %half : f32
    %4 = arith.mulf %0, %in2 : f32
    linalg.yield %4 : f32
  } -> tensor<64xf32>
  return %3 : tensor<64xf32>
}

// -----

#id = affine_map<(i) -> (i)>
// Another constant is another function.
// CHECK-LABEL: func.func @not_gelu
// CHECK: arith.constant 1.5
// CHECK: linalg.generic
// CHECK: linalg.generic
func.func @not_gelu(%x: tensor<64xf32>) -> tensor<64xf32> {
  %root = arith.constant 1.5 : f32
  %one = arith.constant 1.0 : f32
  %half = arith.constant 0.5 : f32
  %e = tensor.empty() : tensor<64xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.divf %in, %root : f32
    %2 = math.erf %0 : f32
    %3 = arith.addf %2, %one : f32
    linalg.yield %3 : f32
  } -> tensor<64xf32>
  %2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]} ins(%x, %1 : tensor<64xf32>, tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%in: f32, %in2: f32, %out: f32):
    %0 = arith.mulf %in, %half : f32
    %4 = arith.mulf %0, %in2 : f32
    linalg.yield %4 : f32
  } -> tensor<64xf32>
  return %2 : tensor<64xf32>
}
