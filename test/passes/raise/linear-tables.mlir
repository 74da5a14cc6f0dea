// RUN: attune-opt %s -split-input-file --attune-raise-linear-attention | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-linear-attention --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#nm = affine_map<(h, n, m) -> (n, m)>

// Rows of distances, padded and cut so that every row starts one element earlier.
// REMARK: [Passed] LinearAttnRaised
// REMARK-SAME: relative positions
// CHECK-LABEL: func.func @skewed
// CHECK: attune.linear_attention
// CHECK-SAME: toeplitz(%{{.*}} : tensor<3x?xf32>)
func.func @skewed(%q: tensor<3x?x4xf32> {attune.dims = ["", "n", ""]}, %k: tensor<3x?x4xf32> {attune.dims = ["", "n", ""]}, %b: tensor<3x?xf32>) -> tensor<3x?x4xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<3x?x4xf32>
  %n2 = arith.addi %n, %n : index
  %wide = arith.subi %n2, %c1 : index
  %last = arith.subi %n, %c1 : index
  %cut = arith.muli %n, %wide : index
  %b1 = tensor.extract_slice %b[0, 0] [3, %wide] [1, 1] : tensor<3x?xf32> to tensor<3x?xf32>
  %be = tensor.empty(%n, %wide) : tensor<3x?x?xf32>
  %rows = linalg.broadcast ins(%b1 : tensor<3x?xf32>) outs(%be : tensor<3x?x?xf32>) dimensions = [1]
  %padded = tensor.pad %rows low[0, 0, 0] high[0, 0, 1] {
  ^bb0(%i0: index, %i1: index, %i2: index):
    tensor.yield %zero : f32
  } : tensor<3x?x?xf32> to tensor<3x?x?xf32>
  %flat = tensor.collapse_shape %padded [[0], [1, 2]] : tensor<3x?x?xf32> into tensor<3x?xf32>
  %part = tensor.extract_slice %flat[0, 0] [3, %cut] [1, 1] : tensor<3x?xf32> to tensor<3x?xf32>
  %again = tensor.expand_shape %part [[0], [1, 2]] output_shape [3, %n, %wide] : tensor<3x?xf32> into tensor<3x?x?xf32>
  %table = tensor.extract_slice %again[0, 0, %last] [3, %n, %n] [1, 1, 1] : tensor<3x?x?xf32> to tensor<3x?x?xf32>
  %e = tensor.empty(%n, %n) : tensor<3x?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x?x4xf32>, tensor<3x?x4xf32>) outs(%f : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %w = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%0, %table : tensor<3x?x?xf32>, tensor<3x?x?xf32>) outs(%e : tensor<3x?x?xf32>) {
  ^bb0(%x: f32, %t: f32, %out: f32):
    %r = arith.mulf %x, %t : f32
    linalg.yield %r : f32
  } -> tensor<3x?x?xf32>
  %e1 = tensor.empty(%n) : tensor<3x?x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  %1 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %k : tensor<3x?x?xf32>, tensor<3x?x4xf32>) outs(%f1 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  return %1 : tensor<3x?x4xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#nm = affine_map<(h, n, m) -> (n, m)>

// Padded in front: other elements, also of the padding.
// REMARK: [Missed] LinearAttnNotRaised
// REMARK-SAME: the weights depend on positions in another way than by their distance
// CHECK-LABEL: func.func @skewed_the_other_way
// CHECK-NOT: attune.linear_attention
func.func @skewed_the_other_way(%q: tensor<3x?x4xf32> {attune.dims = ["", "n", ""]}, %k: tensor<3x?x4xf32> {attune.dims = ["", "n", ""]}, %b: tensor<3x?xf32>) -> tensor<3x?x4xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<3x?x4xf32>
  %n2 = arith.addi %n, %n : index
  %wide = arith.subi %n2, %c1 : index
  %last = arith.subi %n, %c1 : index
  %cut = arith.muli %n, %wide : index
  %b1 = tensor.extract_slice %b[0, 0] [3, %wide] [1, 1] : tensor<3x?xf32> to tensor<3x?xf32>
  %be = tensor.empty(%n, %wide) : tensor<3x?x?xf32>
  %rows = linalg.broadcast ins(%b1 : tensor<3x?xf32>) outs(%be : tensor<3x?x?xf32>) dimensions = [1]
  %padded = tensor.pad %rows low[0, 0, 1] high[0, 0, 0] {
  ^bb0(%i0: index, %i1: index, %i2: index):
    tensor.yield %zero : f32
  } : tensor<3x?x?xf32> to tensor<3x?x?xf32>
  %flat = tensor.collapse_shape %padded [[0], [1, 2]] : tensor<3x?x?xf32> into tensor<3x?xf32>
  %part = tensor.extract_slice %flat[0, 0] [3, %cut] [1, 1] : tensor<3x?xf32> to tensor<3x?xf32>
  %again = tensor.expand_shape %part [[0], [1, 2]] output_shape [3, %n, %wide] : tensor<3x?xf32> into tensor<3x?x?xf32>
  %table = tensor.extract_slice %again[0, 0, %last] [3, %n, %n] [1, 1, 1] : tensor<3x?x?xf32> to tensor<3x?x?xf32>
  %e = tensor.empty(%n, %n) : tensor<3x?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x?x4xf32>, tensor<3x?x4xf32>) outs(%f : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %w = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%0, %table : tensor<3x?x?xf32>, tensor<3x?x?xf32>) outs(%e : tensor<3x?x?xf32>) {
  ^bb0(%x: f32, %t: f32, %out: f32):
    %r = arith.mulf %x, %t : f32
    linalg.yield %r : f32
  } -> tensor<3x?x?xf32>
  %e1 = tensor.empty(%n) : tensor<3x?x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  %1 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %k : tensor<3x?x?xf32>, tensor<3x?x4xf32>) outs(%f1 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  return %1 : tensor<3x?x4xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#nm = affine_map<(h, n, m) -> (n, m)>

// A constant with equal values at equal distances.
// REMARK: [Passed] LinearAttnRaised
// REMARK-SAME: relative positions
// CHECK-LABEL: func.func @by_distance
// CHECK: %[[T:.*]] = arith.constant dense<[1.250000e-01, 2.500000e-01, 3.750000e-01, {{.*}}1.375000e+00]> : tensor<11xf32>
// CHECK: attune.linear_attention
// CHECK-SAME: toeplitz(%[[T]] : tensor<11xf32>)
func.func @by_distance(%q: tensor<3x6x4xf32>, %k: tensor<3x6x4xf32>) -> tensor<3x6x4xf32> {
  %zero = arith.constant 0.0 : f32
  %table = arith.constant dense<[[7.500000000e-01, 8.750000000e-01, 1.000000000e+00, 1.125000000e+00, 1.250000000e+00, 1.375000000e+00], [6.250000000e-01, 7.500000000e-01, 8.750000000e-01, 1.000000000e+00, 1.125000000e+00, 1.250000000e+00], [5.000000000e-01, 6.250000000e-01, 7.500000000e-01, 8.750000000e-01, 1.000000000e+00, 1.125000000e+00], [3.750000000e-01, 5.000000000e-01, 6.250000000e-01, 7.500000000e-01, 8.750000000e-01, 1.000000000e+00], [2.500000000e-01, 3.750000000e-01, 5.000000000e-01, 6.250000000e-01, 7.500000000e-01, 8.750000000e-01], [1.250000000e-01, 2.500000000e-01, 3.750000000e-01, 5.000000000e-01, 6.250000000e-01, 7.500000000e-01]]> : tensor<6x6xf32>
  %e = tensor.empty() : tensor<3x6x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x6x6xf32>) -> tensor<3x6x6xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x6x4xf32>, tensor<3x6x4xf32>) outs(%f : tensor<3x6x6xf32>) -> tensor<3x6x6xf32>
  %w = linalg.generic {indexing_maps = [#id, #nm, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%0, %table : tensor<3x6x6xf32>, tensor<6x6xf32>) outs(%e : tensor<3x6x6xf32>) {
  ^bb0(%x: f32, %t: f32, %out: f32):
    %r = arith.mulf %x, %t : f32
    linalg.yield %r : f32
  } -> tensor<3x6x6xf32>
  %e1 = tensor.empty() : tensor<3x6x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x6x4xf32>) -> tensor<3x6x4xf32>
  %1 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %k : tensor<3x6x6xf32>, tensor<3x6x4xf32>) outs(%f1 : tensor<3x6x4xf32>) -> tensor<3x6x4xf32>
  return %1 : tensor<3x6x4xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#nm = affine_map<(h, n, m) -> (n, m)>

// Cosines of distances from some place: two products, whatever the place.
// REMARK: [Passed] LinearAttnRaised
// REMARK-SAME: position tables
// CHECK-LABEL: func.func @low_rank
// CHECK: attune.linear_attention
// CHECK-SAME: pos(%{{.*}}, %{{.*}} : tensor<2x6xf32>, tensor<2x6xf32>)
func.func @low_rank(%q: tensor<3x6x4xf32>, %k: tensor<3x6x4xf32>) -> tensor<3x6x4xf32> {
  %zero = arith.constant 0.0 : f32
  %table = arith.constant dense<[[1.000000000e+00, 9.800665975e-01, 6.967067122e-01, -2.272020876e-01, -9.982947707e-01, 2.836622000e-01], [9.800665975e-01, 9.210609794e-01, 5.403022766e-01, -4.161468446e-01, -9.667981863e-01, 4.685166776e-01], [9.800665975e-01, 9.210609794e-01, 5.403022766e-01, -4.161468446e-01, -9.667981863e-01, 4.685166776e-01], [1.000000000e+00, 9.800665975e-01, 6.967067122e-01, -2.272020876e-01, -9.982947707e-01, 2.836622000e-01], [9.210609794e-01, 9.800665975e-01, 9.210609794e-01, 1.699671447e-01, -9.422223568e-01, -1.121525243e-01], [5.403022766e-01, 6.967067122e-01, 9.800665975e-01, 6.967067122e-01, -5.885010958e-01, -6.536436081e-01]]> : tensor<6x6xf32>
  %e = tensor.empty() : tensor<3x6x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x6x6xf32>) -> tensor<3x6x6xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x6x4xf32>, tensor<3x6x4xf32>) outs(%f : tensor<3x6x6xf32>) -> tensor<3x6x6xf32>
  %w = linalg.generic {indexing_maps = [#id, #nm, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%0, %table : tensor<3x6x6xf32>, tensor<6x6xf32>) outs(%e : tensor<3x6x6xf32>) {
  ^bb0(%x: f32, %t: f32, %out: f32):
    %r = arith.mulf %x, %t : f32
    linalg.yield %r : f32
  } -> tensor<3x6x6xf32>
  %e1 = tensor.empty() : tensor<3x6x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x6x4xf32>) -> tensor<3x6x4xf32>
  %1 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %k : tensor<3x6x6xf32>, tensor<3x6x4xf32>) outs(%f1 : tensor<3x6x4xf32>) -> tensor<3x6x4xf32>
  return %1 : tensor<3x6x4xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#nm = affine_map<(h, n, m) -> (n, m)>

// One weight is a little different.
// REMARK: [Missed] LinearAttnNotRaised
// REMARK-SAME: the constant weights are neither a function of the distance nor a sum of a few products
// CHECK-LABEL: func.func @one_more
// CHECK-NOT: attune.linear_attention
func.func @one_more(%q: tensor<3x6x4xf32>, %k: tensor<3x6x4xf32>) -> tensor<3x6x4xf32> {
  %zero = arith.constant 0.0 : f32
  %table = arith.constant dense<[[1.000000000e+00, 9.800665975e-01, 6.967067122e-01, -2.272020876e-01, -9.982947707e-01, 2.836622000e-01], [9.800665975e-01, 9.210609794e-01, 5.403022766e-01, -4.161468446e-01, -9.667981863e-01, 4.685166776e-01], [9.800665975e-01, 9.210609794e-01, 5.403022766e-01, -4.161468446e-01, -9.667981863e-01, 4.685166776e-01], [1.000000000e+00, 9.800665975e-01, 6.967067122e-01, -2.272020876e-01, -9.982947707e-01, 2.836622000e-01], [9.210609794e-01, 9.800665975e-01, 9.211609960e-01, 1.699671447e-01, -9.422223568e-01, -1.121525243e-01], [5.403022766e-01, 6.967067122e-01, 9.800665975e-01, 6.967067122e-01, -5.885010958e-01, -6.536436081e-01]]> : tensor<6x6xf32>
  %e = tensor.empty() : tensor<3x6x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x6x6xf32>) -> tensor<3x6x6xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x6x4xf32>, tensor<3x6x4xf32>) outs(%f : tensor<3x6x6xf32>) -> tensor<3x6x6xf32>
  %w = linalg.generic {indexing_maps = [#id, #nm, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%0, %table : tensor<3x6x6xf32>, tensor<6x6xf32>) outs(%e : tensor<3x6x6xf32>) {
  ^bb0(%x: f32, %t: f32, %out: f32):
    %r = arith.mulf %x, %t : f32
    linalg.yield %r : f32
  } -> tensor<3x6x6xf32>
  %e1 = tensor.empty() : tensor<3x6x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x6x4xf32>) -> tensor<3x6x4xf32>
  %1 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %k : tensor<3x6x6xf32>, tensor<3x6x4xf32>) outs(%f1 : tensor<3x6x4xf32>) -> tensor<3x6x4xf32>
  return %1 : tensor<3x6x4xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#nm = affine_map<(h, n, m) -> (n, m)>

// Two products in a contraction and one beside it.
// REMARK: [Passed] LinearAttnRaised
// REMARK-SAME: position tables
// CHECK-LABEL: func.func @sum_of_products
// CHECK: attune.linear_attention
// CHECK-SAME: pos(%{{.*}}, %{{.*}} : tensor<3x?xf32>, tensor<3x?xf32>)
func.func @sum_of_products(%q: tensor<3x?x4xf32> {attune.dims = ["", "n", ""]}, %k: tensor<3x?x4xf32> {attune.dims = ["", "n", ""]}, %a: tensor<2x?xf32> {attune.dims = ["", "n"]}, %b: tensor<?xf32> {attune.dims = ["n"]}) -> tensor<3x?x4xf32> {
  %zero = arith.constant 0.0 : f32
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<3x?x4xf32>
  %te = tensor.empty(%n, %n) : tensor<?x?xf32>
  %tf = linalg.fill ins(%zero : f32) outs(%te : tensor<?x?xf32>) -> tensor<?x?xf32>
  %near = linalg.contract indexing_maps = [affine_map<(n, m, r) -> (r, n)>, affine_map<(n, m, r) -> (r, m)>, affine_map<(n, m, r) -> (n, m)>] ins(%a, %a : tensor<2x?xf32>, tensor<2x?xf32>) outs(%tf : tensor<?x?xf32>) -> tensor<?x?xf32>
  %table = linalg.generic {indexing_maps = [affine_map<(n, m) -> (n, m)>, affine_map<(n, m) -> (n)>, affine_map<(n, m) -> (m)>, affine_map<(n, m) -> (n, m)>], iterator_types = ["parallel", "parallel"]} ins(%near, %b, %b : tensor<?x?xf32>, tensor<?xf32>, tensor<?xf32>) outs(%te : tensor<?x?xf32>) {
  ^bb0(%x: f32, %y: f32, %z: f32, %out: f32):
    %t0 = arith.mulf %y, %z : f32
    %t1 = arith.addf %x, %t0 : f32
    linalg.yield %t1 : f32
  } -> tensor<?x?xf32>
  %e = tensor.empty(%n, %n) : tensor<3x?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x?x4xf32>, tensor<3x?x4xf32>) outs(%f : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %w = linalg.generic {indexing_maps = [#id, #nm, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%0, %table : tensor<3x?x?xf32>, tensor<?x?xf32>) outs(%e : tensor<3x?x?xf32>) {
  ^bb0(%x: f32, %t: f32, %out: f32):
    %r = arith.mulf %x, %t : f32
    linalg.yield %r : f32
  } -> tensor<3x?x?xf32>
  %e1 = tensor.empty(%n) : tensor<3x?x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  %1 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %k : tensor<3x?x?xf32>, tensor<3x?x4xf32>) outs(%f1 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  return %1 : tensor<3x?x4xf32>
}

// -----

#q = affine_map<(h, n, m, d) -> (h, n, d)>
#k = affine_map<(h, n, m, d) -> (h, m, d)>
#s = affine_map<(h, n, m, d) -> (h, n, m)>
#p = affine_map<(h, n, e, m) -> (h, n, m)>
#v = affine_map<(h, n, e, m) -> (h, m, e)>
#o = affine_map<(h, n, e, m) -> (h, n, e)>
#id = affine_map<(h, n, m) -> (h, n, m)>
#nm = affine_map<(h, n, m) -> (n, m)>

// Differences of positions are exact, sums of products with them are not.
// REMARK: [Passed] LinearAttnRaised
// REMARK-SAME: relative positions
// CHECK-LABEL: func.func @difference
// CHECK: attune.linear_attention
// CHECK-SAME: toeplitz(
func.func @difference(%q: tensor<3x?x4xf32> {attune.dims = ["", "n", ""]}, %k: tensor<3x?x4xf32> {attune.dims = ["", "n", ""]}) -> tensor<3x?x4xf32> {
  %zero = arith.constant 0.0 : f32
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<3x?x4xf32>
  %te = tensor.empty(%n, %n) : tensor<?x?xf32>
  %table = linalg.generic {indexing_maps = [affine_map<(n, m) -> (n, m)>], iterator_types = ["parallel", "parallel"]} outs(%te : tensor<?x?xf32>) {
  ^bb0(%out: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %i1 = arith.index_cast %i : index to i64
    %j1 = arith.index_cast %j : index to i64
    %x = arith.sitofp %i1 : i64 to f32
    %y = arith.sitofp %j1 : i64 to f32
    %t = arith.subf %x, %y : f32
    linalg.yield %t : f32
  } -> tensor<?x?xf32>
  %e = tensor.empty(%n, %n) : tensor<3x?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %0 = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : tensor<3x?x4xf32>, tensor<3x?x4xf32>) outs(%f : tensor<3x?x?xf32>) -> tensor<3x?x?xf32>
  %w = linalg.generic {indexing_maps = [#id, #nm, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%0, %table : tensor<3x?x?xf32>, tensor<?x?xf32>) outs(%e : tensor<3x?x?xf32>) {
  ^bb0(%x: f32, %t: f32, %out: f32):
    %r = arith.mulf %x, %t : f32
    linalg.yield %r : f32
  } -> tensor<3x?x?xf32>
  %e1 = tensor.empty(%n) : tensor<3x?x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  %1 = linalg.contract indexing_maps = [#p, #v, #o] ins(%w, %k : tensor<3x?x?xf32>, tensor<3x?x4xf32>) outs(%f1 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  return %1 : tensor<3x?x4xf32>
}
