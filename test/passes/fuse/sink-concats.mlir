// RUN: attune-opt %s -split-input-file --attune-sink-concats --canonicalize | FileCheck %s

#full = affine_map<(b, n, c) -> (b, n, c)>
#weight = affine_map<(b, n, c) -> (c)>
#sum = affine_map<(b, n, c) -> (b, c)>

// CHECK-LABEL: func @parts
// CHECK-SAME: %[[x:.*]]: tensor<2x?x3xf32>, %[[y:.*]]: tensor<2x?x5xf32>, %[[w:.*]]: tensor<8xf32>
// CHECK: %[[w0:.*]] = tensor.extract_slice %[[w]][0] [3] [1]
// CHECK: %[[s0:.*]] = linalg.generic {{.*}} ins(%[[x]], %[[w0]] : {{.*}}) outs(%{{.*}} : tensor<2x3xf32>)
// CHECK: %[[w1:.*]] = tensor.extract_slice %[[w]][3] [5] [1]
// CHECK: %[[s1:.*]] = linalg.generic {{.*}} ins(%[[y]], %[[w1]] : {{.*}}) outs(%{{.*}} : tensor<2x5xf32>)
// CHECK: tensor.concat dim(1) %[[s0]], %[[s1]]
func.func @parts(%x: tensor<2x?x3xf32>, %y: tensor<2x?x5xf32>, %w: tensor<8xf32>) -> tensor<2x8xf32> {
  %zero = arith.constant 0.0 : f32
  %k = tensor.concat dim(2) %x, %y : (tensor<2x?x3xf32>, tensor<2x?x5xf32>) -> tensor<2x?x8xf32>
  %e = tensor.empty() : tensor<2x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x8xf32>) -> tensor<2x8xf32>
  %s = linalg.generic {indexing_maps = [#full, #weight, #sum], iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%k, %w : tensor<2x?x8xf32>, tensor<8xf32>) outs(%f : tensor<2x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.mulf %a, %b : f32
    %r = arith.addf %o, %m : f32
    linalg.yield %r : f32
  } -> tensor<2x8xf32>
  return %s : tensor<2x8xf32>
}

// -----

#full = affine_map<(n, c) -> (n, c)>
#sum = affine_map<(n, c) -> (c)>

// What the sums start from has parts, too.
// CHECK-LABEL: func @init
// CHECK-SAME: %[[init:[^:]*]]: tensor<4xf32>)
// CHECK: tensor.extract_slice %[[init]][0] [1] [1]
// CHECK: tensor.extract_slice %[[init]][1] [3] [1]
// CHECK: tensor.concat dim(0)
func.func @init(%x: tensor<7x1xf32>, %y: tensor<7x3xf32>, %init: tensor<4xf32>) -> tensor<4xf32> {
  %k = tensor.concat dim(1) %x, %y : (tensor<7x1xf32>, tensor<7x3xf32>) -> tensor<7x4xf32>
  %s = linalg.generic {indexing_maps = [#full, #sum], iterator_types = ["reduction", "parallel"]}
      ins(%k : tensor<7x4xf32>) outs(%init : tensor<4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %o, %a : f32
    linalg.yield %r : f32
  } -> tensor<4xf32>
  return %s : tensor<4xf32>
}

// -----

#full = affine_map<(n, c) -> (n, c)>
#sum = affine_map<(n, c) -> (n)>

// The sum runs over both parts.
// CHECK-LABEL: func @along
// CHECK: %[[k:.*]] = tensor.concat
// CHECK: linalg.generic {{.*}} ins(%[[k]]
func.func @along(%x: tensor<7x1xf32>, %y: tensor<7x3xf32>, %init: tensor<7xf32>) -> tensor<7xf32> {
  %k = tensor.concat dim(1) %x, %y : (tensor<7x1xf32>, tensor<7x3xf32>) -> tensor<7x4xf32>
  %s = linalg.generic {indexing_maps = [#full, #sum], iterator_types = ["parallel", "reduction"]}
      ins(%k : tensor<7x4xf32>) outs(%init : tensor<7xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %o, %a : f32
    linalg.yield %r : f32
  } -> tensor<7xf32>
  return %s : tensor<7xf32>
}

// -----

#full = affine_map<(n, c) -> (n, c)>
#sum = affine_map<(n, c) -> (c)>

// CHECK-LABEL: func @position
// CHECK: %[[k:.*]] = tensor.concat
// CHECK: linalg.generic {{.*}} ins(%[[k]]
func.func @position(%x: tensor<7x1xindex>, %y: tensor<7x3xindex>, %init: tensor<4xindex>) -> tensor<4xindex> {
  %k = tensor.concat dim(1) %x, %y : (tensor<7x1xindex>, tensor<7x3xindex>) -> tensor<7x4xindex>
  %s = linalg.generic {indexing_maps = [#full, #sum], iterator_types = ["reduction", "parallel"]}
      ins(%k : tensor<7x4xindex>) outs(%init : tensor<4xindex>) {
  ^bb0(%a: index, %o: index):
    %c = linalg.index 1 : index
    %m = arith.muli %a, %c : index
    %r = arith.addi %o, %m : index
    linalg.yield %r : index
  } -> tensor<4xindex>
  return %s : tensor<4xindex>
}

// -----

#full = affine_map<(n, c) -> (n, c)>
#sum = affine_map<(n, c) -> (c)>

// CHECK-LABEL: func @shared
// CHECK: %[[k:.*]] = tensor.concat
// CHECK: linalg.generic {{.*}} ins(%[[k]]
func.func @shared(%x: tensor<7x1xf32>, %y: tensor<7x3xf32>, %init: tensor<4xf32>) -> (tensor<4xf32>, tensor<7x4xf32>) {
  %k = tensor.concat dim(1) %x, %y : (tensor<7x1xf32>, tensor<7x3xf32>) -> tensor<7x4xf32>
  %s = linalg.generic {indexing_maps = [#full, #sum], iterator_types = ["reduction", "parallel"]}
      ins(%k : tensor<7x4xf32>) outs(%init : tensor<4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %o, %a : f32
    linalg.yield %r : f32
  } -> tensor<4xf32>
  return %s, %k : tensor<4xf32>, tensor<7x4xf32>
}
