// RUN: attune-opt %s -split-input-file --attune-raise-broadcast-sums --canonicalize | FileCheck %s
// RUN: attune-opt %s -split-input-file --attune-raise-broadcast-sums --remarks-filter=attune-raise --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

#xk = affine_map<(m, n, k) -> (m, k)>
#wk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>

// Both operands have scale 0.5 and zero point 3: the sum of the bytes, scaled once.
// CHECK-LABEL: func @dequantised
// CHECK-SAME: %[[x:.*]]: tensor<?x3xi8>, %[[w:.*]]: tensor<2x3xi8>
// CHECK: %[[y:.*]] = attune.contract ins(%[[x]], %[[w]] : {{.*}}) outs(%{{.*}} : tensor<?x2xi32>)
// CHECK: linalg.generic {{.*}} ins(%[[y]]
// CHECK: arith.sitofp
// CHECK-NEXT: arith.mulf %{{.*}}, %cst
// REMARK: [Passed] SumRaised {{.*}}adder layer of bytes
func.func @dequantised(%x: tensor<?x3xi8>, %w: tensor<2x3xi8>) -> tensor<?x2xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %point = arith.constant 3 : i32
  %scale = arith.constant 0.5 : f32
  %m = tensor.dim %x, %c0 : tensor<?x3xi8>
  %e = tensor.empty(%m) : tensor<?x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x2xf32>) -> tensor<?x2xf32>
  %y = linalg.generic {indexing_maps = [#xk, #wk, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x3xi8>, tensor<2x3xi8>) outs(%f : tensor<?x2xf32>) {
  ^bb0(%a: i8, %b: i8, %o: f32):
    %ai = arith.extui %a : i8 to i32
    %bi = arith.extui %b : i8 to i32
    %az = arith.subi %ai, %point : i32
    %bz = arith.subi %bi, %point : i32
    %af = arith.sitofp %az : i32 to f32
    %bf = arith.sitofp %bz : i32 to f32
    %as = arith.mulf %af, %scale : f32
    %bs = arith.mulf %bf, %scale : f32
    %d = arith.subf %as, %bs : f32
    %t = math.absf %d : f32
    %n = arith.negf %t : f32
    %s = arith.addf %o, %n : f32
    linalg.yield %s : f32
  } -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}

// -----

// Signed bytes: the first bit is flipped, in constants at once.
// CHECK-LABEL: func @signed
// CHECK-DAG: %[[w:.*]] = arith.constant dense_resource<codes> : tensor<2x3xi8>
// CHECK-DAG: %[[bit:.*]] = arith.constant -128 : i8
// CHECK: arith.xori %{{.*}}, %[[bit]] : i8
// CHECK: %[[y:.*]] = attune.contract ins(%{{.*}}, %[[w]] :
// CHECK: arith.subi %{{.*}}, %{{.*}} : i32
// CHECK: {-#
// CHECK: codes: "0x400000007F807E82FF00"
func.func @signed(%x: tensor<4x3xi8>) -> tensor<4x2xi32> {
  %zero = arith.constant 0 : i32
  %w = arith.constant dense<[[-1, 0, -2], [2, 127, -128]]> : tensor<2x3xi8>
  %e = tensor.empty() : tensor<4x2xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<4x2xi32>) -> tensor<4x2xi32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                                        affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<4x3xi8>, tensor<2x3xi8>) outs(%f : tensor<4x2xi32>) {
  ^bb0(%a: i8, %b: i8, %o: i32):
    %ai = arith.extsi %a : i8 to i32
    %bi = arith.extsi %b : i8 to i32
    %d = arith.subi %ai, %bi : i32
    %t = math.absi %d : i32
    %s = arith.addi %o, %t : i32
    linalg.yield %s : i32
  } -> tensor<4x2xi32>
  return %y : tensor<4x2xi32>
}

// -----

// The padding of floats is 0, that of the bytes is the zero point; the weights were computed from
// codes: 1.0 is (5 - 3) * 0.5, 0.0 is the zero point.
// CHECK-LABEL: func @padded
// CHECK-DAG: %[[w:.*]] = arith.constant dense_resource<codes> : tensor<2x3xi8>
// CHECK-DAG: %[[point:.*]] = arith.constant 3 : i8
// CHECK: %[[x:.*]] = tensor.pad %{{.*}} low[0, 1] high[0, 1]
// CHECK: tensor.yield %[[point]] : i8
// CHECK: attune.contract ins(%[[x]], %[[w]] : tensor<4x3xi8>, tensor<2x3xi8>)
// CHECK: codes: "0x40000000050303030503"
// REMARK: [Passed] SumRaised {{.*}}adder layer of bytes
func.func @padded(%q: tensor<4x1xi8>) -> tensor<4x2xf32> {
  %zero = arith.constant 0.0 : f32
  %point = arith.constant 3.0 : f32
  %scale = arith.constant 0.5 : f32
  %w = arith.constant dense<[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]> : tensor<2x3xf32>
  %ve = tensor.empty() : tensor<4x1xf32>
  %v = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m, k)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%q : tensor<4x1xi8>) outs(%ve : tensor<4x1xf32>) {
  ^bb0(%a: i8, %o: f32):
    %af = arith.uitofp %a : i8 to f32
    %az = arith.subf %af, %point : f32
    %as = arith.mulf %az, %scale : f32
    linalg.yield %as : f32
  } -> tensor<4x1xf32>
  %x = tensor.pad %v low[0, 1] high[0, 1] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<4x1xf32> to tensor<4x3xf32>
  %e = tensor.empty() : tensor<4x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x2xf32>) -> tensor<4x2xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                                        affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<4x3xf32>, tensor<2x3xf32>) outs(%f : tensor<4x2xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %t = math.absf %d : f32
    %s = arith.addf %o, %t : f32
    linalg.yield %s : f32
  } -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}

// -----

// Two zero points: a distance of floats.
// CHECK-LABEL: func @two_zero_points
// CHECK: attune.contract ins(%{{.*}} : tensor<4x3xf32>, tensor<2x3xf32>)
// REMARK: [Missed] SumNotInBytes {{.*}}the operands have different scales, zero points or signs
func.func @two_zero_points(%p: tensor<4x3xi8>, %q: tensor<2x3xi8>) -> tensor<4x2xf32> {
  %zero = arith.constant 0.0 : f32
  %point = arith.constant 3.0 : f32
  %xe = tensor.empty() : tensor<4x3xf32>
  %x = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m, k)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%p : tensor<4x3xi8>) outs(%xe : tensor<4x3xf32>) {
  ^bb0(%a: i8, %o: f32):
    %af = arith.uitofp %a : i8 to f32
    %az = arith.subf %af, %point : f32
    linalg.yield %az : f32
  } -> tensor<4x3xf32>
  %we = tensor.empty() : tensor<2x3xf32>
  %w = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m, k)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%q : tensor<2x3xi8>) outs(%we : tensor<2x3xf32>) {
  ^bb0(%a: i8, %o: f32):
    %af = arith.uitofp %a : i8 to f32
    linalg.yield %af : f32
  } -> tensor<2x3xf32>
  %e = tensor.empty() : tensor<4x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x2xf32>) -> tensor<4x2xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                                        affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<4x3xf32>, tensor<2x3xf32>) outs(%f : tensor<4x2xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %t = math.absf %d : f32
    %s = arith.addf %o, %t : f32
    linalg.yield %s : f32
  } -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}
