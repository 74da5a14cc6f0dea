// RUN: attune-opt %s -split-input-file --attune-fold-constants | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-fold-constants --attune-fold-constants | FileCheck %s

#id = affine_map<(i, j) -> (i, j)>
#col = affine_map<(i, j) -> (j)>
// CHECK-LABEL: func.func @elementwise_and_views
// CHECK-NEXT: %[[C:.*]] = arith.constant dense<{{\[}}[5.000000e+00], [8.000000e+00]]> : tensor<2x1xf32>
// CHECK-NEXT: return %[[C]]
func.func @elementwise_and_views() -> tensor<2x1xf32> {
  %a = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %b = arith.constant dense<[10.0, 2.0]> : tensor<2xf32>
  %e = tensor.empty() : tensor<2x2xf32>
  %0 = linalg.transpose ins(%a : tensor<2x2xf32>) outs(%e : tensor<2x2xf32>) permutation = [1, 0]
  %1 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%0, %b : tensor<2x2xf32>, tensor<2xf32>) outs(%e : tensor<2x2xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %3 = arith.addf %x, %y : f32
    linalg.yield %3 : f32
  } -> tensor<2x2xf32>
  // [[11, 5], [12, 6]] and its second column, plus what a slice takes.
  %2 = tensor.extract_slice %1[0, 1] [2, 1] [1, 1] : tensor<2x2xf32> to tensor<2x1xf32>
  %two = arith.constant dense<[[0.0], [2.0]]> : tensor<2x1xf32>
  %e1 = tensor.empty() : tensor<2x1xf32>
  %4 = linalg.add ins(%2, %two : tensor<2x1xf32>, tensor<2x1xf32>) outs(%e1 : tensor<2x1xf32>) -> tensor<2x1xf32>
  return %4 : tensor<2x1xf32>
}

// -----

// CHECK-LABEL: func.func @product
// CHECK-NEXT: arith.constant dense<{{\[}}[1.900000e+01, 2.200000e+01], [4.300000e+01, 5.000000e+01]]>
func.func @product() -> tensor<2x2xf32> {
  %a = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %b = arith.constant dense<[[5.0, 6.0], [7.0, 8.0]]> : tensor<2x2xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x2xf32>) -> tensor<2x2xf32>
  %0 = linalg.matmul ins(%a, %b : tensor<2x2xf32>, tensor<2x2xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

// -----

#id = affine_map<(i, j) -> (i, j)>
// Weights of 8 bits are not blown up.
// CHECK-LABEL: func.func @weight_only
// CHECK: arith.constant dense<3> : tensor<512x256xi8>
// CHECK: arith.sitofp
func.func @weight_only() -> tensor<512x256xf32> {
  %q = arith.constant dense<3> : tensor<512x256xi8>
  %e = tensor.empty() : tensor<512x256xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%q : tensor<512x256xi8>) outs(%e : tensor<512x256xf32>) {
  ^bb0(%in: i8, %out: f32):
    %1 = arith.sitofp %in : i8 to f32
    linalg.yield %1 : f32
  } -> tensor<512x256xf32>
  return %0 : tensor<512x256xf32>
}

// -----

// Only constants of static shape fold.
// CHECK-LABEL: func.func @dynamic
// CHECK: linalg.transpose
func.func @dynamic(%x: tensor<?x2xf32>) -> tensor<2x?xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x2xf32>
  %e = tensor.empty(%n) : tensor<2x?xf32>
  %0 = linalg.transpose ins(%x : tensor<?x2xf32>) outs(%e : tensor<2x?xf32>) permutation = [1, 0]
  return %0 : tensor<2x?xf32>
}

// -----

#id1 = affine_map<(i) -> (i)>
// CHECK-LABEL: func.func @integers
// CHECK-NEXT: arith.constant dense<[-1073741861, 145]> : tensor<2xi32>
func.func @integers() -> tensor<2xi32> {
  %a = arith.constant dense<[-7, 13]> : tensor<2xi32>
  %b = arith.constant dense<[2, 3]> : tensor<2xi32>
  %e = tensor.empty() : tensor<2xi32>
  %y = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%a, %b : tensor<2xi32>, tensor<2xi32>) outs(%e : tensor<2xi32>) {
  ^bb0(%x: i32, %n: i32, %out: i32):
    %1 = arith.shli %x, %n : i32
    %2 = arith.shrsi %x, %n : i32
    %3 = arith.shrui %x, %n : i32
    %4 = arith.divsi %x, %n : i32
    %5 = arith.remsi %x, %n : i32
    %6 = arith.divui %x, %n : i32
    %7 = arith.remui %x, %n : i32
    %8 = arith.maxui %x, %n : i32
    %9 = arith.minui %x, %n : i32
    %10 = math.absi %x : i32
    %s1 = arith.addi %1, %2 : i32
    %s2 = arith.addi %s1, %3 : i32
    %s3 = arith.addi %s2, %4 : i32
    %s4 = arith.addi %s3, %5 : i32
    %s5 = arith.addi %s4, %6 : i32
    %s6 = arith.addi %s5, %7 : i32
    %s7 = arith.addi %s6, %8 : i32
    %s8 = arith.addi %s7, %9 : i32
    %s9 = arith.addi %s8, %10 : i32
    linalg.yield %s9 : i32
  } -> tensor<2xi32>
  return %y : tensor<2xi32>
}

// -----

#id1 = affine_map<(i) -> (i)>
// What is undefined for some element is left to run time.
// CHECK-LABEL: func.func @undefined
// CHECK-COUNT-3: linalg.generic
func.func @undefined() -> (tensor<2xi32>, tensor<2xi32>, tensor<2xi32>) {
  %a = arith.constant dense<[-2147483648, 13]> : tensor<2xi32>
  %zero = arith.constant dense<[2, 0]> : tensor<2xi32>
  %minus = arith.constant dense<[-1, 3]> : tensor<2xi32>
  %wide = arith.constant dense<[1, 32]> : tensor<2xi32>
  %e = tensor.empty() : tensor<2xi32>
  %q = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%a, %zero : tensor<2xi32>, tensor<2xi32>) outs(%e : tensor<2xi32>) {
  ^bb0(%x: i32, %n: i32, %out: i32):
    %1 = arith.divsi %x, %n : i32
    linalg.yield %1 : i32
  } -> tensor<2xi32>
  %r = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%a, %minus : tensor<2xi32>, tensor<2xi32>) outs(%e : tensor<2xi32>) {
  ^bb0(%x: i32, %n: i32, %out: i32):
    %1 = arith.divsi %x, %n : i32
    linalg.yield %1 : i32
  } -> tensor<2xi32>
  %s = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%a, %wide : tensor<2xi32>, tensor<2xi32>) outs(%e : tensor<2xi32>) {
  ^bb0(%x: i32, %n: i32, %out: i32):
    %1 = arith.shrsi %x, %n : i32
    linalg.yield %1 : i32
  } -> tensor<2xi32>
  return %q, %r, %s : tensor<2xi32>, tensor<2xi32>, tensor<2xi32>
}
