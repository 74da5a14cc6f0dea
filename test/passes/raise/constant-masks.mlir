// RUN: attune-opt %s -split-input-file --attune-raise-attention --cse --canonicalize | FileCheck %s

// A window before the query, two heads with the same table.
// CHECK-LABEL: func.func @window
// CHECK: attune.attention
// CHECK-NOT: captures
// CHECK: ^bb0(%{{.*}}: index, %{{.*}}: index, %[[I:.*]]: index, %[[J:.*]]: index, %{{.*}}: index, %{{.*}}: index):
// CHECK-DAG: %[[LAST:.*]] = arith.cmpi sle, %[[J]], %[[I]] : index
// CHECK-DAG: %[[FIRST:.*]] = arith.addi %[[I]], %c-1
// CHECK-DAG: %[[AFTER:.*]] = arith.cmpi sge, %[[J]], %[[FIRST]] : index
// CHECK: %[[P:.*]] = arith.andi %[[LAST]], %[[AFTER]]
// CHECK: attune.yield %[[P]]
func.func @window(%q: tensor<2x2x4x8xf32>) -> tensor<2x2x4x8xf32> {
  %mask = arith.constant dense<[[[[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]],
                                 [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]]]> : tensor<1x2x4x4xi1>
  %c0 = arith.constant 0 : index
  %o = attune.attention ins(%q, %q, %q : tensor<2x2x4x8xf32>, tensor<2x2x4x8xf32>, tensor<2x2x4x8xf32>) captures(%mask : tensor<1x2x4x4xi1>) -> tensor<2x2x4x8xf32>
  mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<1x2x4x4xi1>):
    %zero = arith.constant 0 : index
    %p = tensor.extract %cap[%zero, %h, %n, %m] : tensor<1x2x4x4xi1>
    attune.yield %p : i1
  }
  return %o : tensor<2x2x4x8xf32>
}

// -----

// Heads that differ are left alone.
// CHECK-LABEL: func.func @heads_differ
// CHECK: captures
// CHECK: %[[P:.*]] = tensor.extract
// CHECK-NEXT: attune.yield %[[P]]
func.func @heads_differ(%q: tensor<2x2x2x8xf32>) -> tensor<2x2x2x8xf32> {
  %mask = arith.constant dense<[[[1, 0], [1, 1]], [[1, 1], [1, 1]]]> : tensor<2x2x2xi1>
  %o = attune.attention ins(%q, %q, %q : tensor<2x2x2x8xf32>, tensor<2x2x2x8xf32>, tensor<2x2x2x8xf32>) captures(%mask : tensor<2x2x2xi1>) -> tensor<2x2x2x8xf32>
  mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<2x2x2xi1>):
    %p = tensor.extract %cap[%h, %n, %m] : tensor<2x2x2xi1>
    attune.yield %p : i1
  }
  return %o : tensor<2x2x2x8xf32>
}

// -----

// One key within the bounds is off: they are required beside the read.
// CHECK-LABEL: func.func @one_hidden
// CHECK: captures
// CHECK: ^bb0(%{{.*}}: index, %{{.*}}: index, %[[I:.*]]: index, %[[J:.*]]: index, %{{.*}}: index, %{{.*}}: index, %[[CAP:.*]]: tensor<4x4xi1>):
// CHECK-DAG: %[[READ:.*]] = tensor.extract %[[CAP]]
// CHECK-DAG: %[[CAUSAL:.*]] = arith.cmpi sle, %[[J]], %[[I]] : index
// CHECK: %[[P:.*]] = arith.andi %[[READ]], %[[CAUSAL]]
// CHECK: attune.yield %[[P]]
func.func @one_hidden(%q: tensor<1x1x4x8xf32>) -> tensor<1x1x4x8xf32> {
  %mask = arith.constant dense<[[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]]> : tensor<4x4xi1>
  %o = attune.attention ins(%q, %q, %q : tensor<1x1x4x8xf32>, tensor<1x1x4x8xf32>, tensor<1x1x4x8xf32>) captures(%mask : tensor<4x4xi1>) -> tensor<1x1x4x8xf32>
  mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<4x4xi1>):
    %p = tensor.extract %cap[%n, %m] : tensor<4x4xi1>
    attune.yield %p : i1
  }
  return %o : tensor<1x1x4x8xf32>
}

// -----

// One key far from the diagonal leaves no bounds.
// CHECK-LABEL: func.func @one_far
// CHECK: %[[P:.*]] = tensor.extract
// CHECK-NEXT: attune.yield %[[P]]
func.func @one_far(%q: tensor<1x1x4x8xf32>) -> tensor<1x1x4x8xf32> {
  %mask = arith.constant dense<[[1, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]> : tensor<4x4xi1>
  %o = attune.attention ins(%q, %q, %q : tensor<1x1x4x8xf32>, tensor<1x1x4x8xf32>, tensor<1x1x4x8xf32>) captures(%mask : tensor<4x4xi1>) -> tensor<1x1x4x8xf32>
  mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<4x4xi1>):
    %p = tensor.extract %cap[%n, %m] : tensor<4x4xi1>
    attune.yield %p : i1
  }
  return %o : tensor<1x1x4x8xf32>
}

// -----

// Blocks along the diagonal as -inf, in score and mask as ONNX Attention has them.
// CHECK-LABEL: func.func @blocks
// CHECK: attune.attention
// CHECK-NOT: captures
// CHECK-NOT: score {
// CHECK: ^bb0(%{{.*}}: index, %{{.*}}: index, %[[I:.*]]: index, %[[J:.*]]: index, %{{.*}}: index, %{{.*}}: index):
// CHECK-DAG: %[[ROW:.*]] = arith.divui %[[I]], %c2
// CHECK-DAG: %[[COLUMN:.*]] = arith.divui %[[J]], %c2
// CHECK: arith.cmpi eq, %[[ROW]], %[[COLUMN]] : index
func.func @blocks(%q: tensor<1x1x4x8xf16>) -> tensor<1x1x4x8xf16> {
  %bias = arith.constant dense<[[0.0, 0.0, 0xFC00, 0xFC00], [0.0, 0.0, 0xFC00, 0xFC00], [0xFC00, 0xFC00, 0.0, 0.0], [0xFC00, 0xFC00, 0.0, 0.0]]> : tensor<4x4xf16>
  %o = attune.attention ins(%q, %q, %q : tensor<1x1x4x8xf16>, tensor<1x1x4x8xf16>, tensor<1x1x4x8xf16>) captures(%bias : tensor<4x4xf16>) -> tensor<1x1x4x8xf16>
  score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<4x4xf16>):
    %t = tensor.extract %cap[%n, %m] : tensor<4x4xf16>
    %w = arith.extf %t : f16 to f32
    %y = arith.addf %x, %w : f32
    attune.yield %y : f32
  }
  mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<4x4xf16>):
    %lowest = arith.constant 0xFC00 : f16
    %t = tensor.extract %cap[%n, %m] : tensor<4x4xf16>
    %p = arith.cmpf une, %t, %lowest : f16
    attune.yield %p : i1
  }
  return %o : tensor<1x1x4x8xf16>
}

// -----

// A bias within a causal mask stays, but for the mask; with an offset, rows are those of the call.
// CHECK-LABEL: func.func @biased
// CHECK: score {
// CHECK: %[[T:.*]] = tensor.extract
// CHECK: arith.addf %{{.*}}, %[[T]]
// CHECK: mask {
// CHECK: ^bb0(%{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %[[J:.*]]: index, %[[N:.*]]: index, %{{.*}}: index, %{{.*}}: tensor<2x2xf32>):
// CHECK-NEXT: %[[P:.*]] = arith.cmpi sle, %[[J]], %[[N]] : index
// CHECK-NEXT: attune.yield %[[P]]
func.func @biased(%q: tensor<1x1x2x8xf32>, %offset: tensor<1xi64>) -> tensor<1x1x2x8xf32> {
  %bias = arith.constant dense<[[0.5, 0xFF800000], [0.25, 0.5]]> : tensor<2x2xf32>
  %o = attune.attention ins(%q, %q, %q : tensor<1x1x2x8xf32>, tensor<1x1x2x8xf32>, tensor<1x1x2x8xf32>) q_offset(%offset : tensor<1xi64>) captures(%bias : tensor<2x2xf32>) -> tensor<1x1x2x8xf32>
  score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<2x2xf32>):
    %t = tensor.extract %cap[%n, %m] : tensor<2x2xf32>
    %y = arith.addf %x, %t : f32
    attune.yield %y : f32
  }
  return %o : tensor<1x1x2x8xf32>
}

// -----

// Finite: every row keeps a key, so those far below have no weight.
// CHECK-LABEL: func.func @finite
// CHECK-NOT: score {
// CHECK: arith.cmpi sle
func.func @finite(%q: tensor<1x1x2x8xf32>) -> tensor<1x1x2x8xf32> {
  %bias = arith.constant dense<[[0.0, -1.0e+09], [0.0, 0.0]]> : tensor<2x2xf32>
  %o = attune.attention ins(%q, %q, %q : tensor<1x1x2x8xf32>, tensor<1x1x2x8xf32>, tensor<1x1x2x8xf32>) captures(%bias : tensor<2x2xf32>) -> tensor<1x1x2x8xf32>
  score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<2x2xf32>):
    %t = tensor.extract %cap[%n, %m] : tensor<2x2xf32>
    %y = arith.addf %x, %t : f32
    attune.yield %y : f32
  }
  return %o : tensor<1x1x2x8xf32>
}

// -----

// A row without keys is the softmax of its scores.
// CHECK-LABEL: func.func @finite_empty
// CHECK: score {
// CHECK-NOT: mask {
func.func @finite_empty(%q: tensor<1x1x2x8xf32>) -> tensor<1x1x2x8xf32> {
  %bias = arith.constant dense<[[-1.0e+09, -1.0e+09], [0.0, -1.0e+09]]> : tensor<2x2xf32>
  %o = attune.attention ins(%q, %q, %q : tensor<1x1x2x8xf32>, tensor<1x1x2x8xf32>, tensor<1x1x2x8xf32>) captures(%bias : tensor<2x2xf32>) -> tensor<1x1x2x8xf32>
  score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<2x2xf32>):
    %t = tensor.extract %cap[%n, %m] : tensor<2x2xf32>
    %y = arith.addf %x, %t : f32
    attune.yield %y : f32
  }
  return %o : tensor<1x1x2x8xf32>
}

// -----

// Keys of padding, rows of padding, everything, nothing.
// CHECK-LABEL: func.func @padding
// CHECK: arith.cmpi sle, %{{.*}}, %c1
// CHECK: arith.cmpi sle, %{{.*}}, %c0
// CHECK: attune.attention
// CHECK-NOT: mask {
// CHECK: attune.attention
// CHECK: mask {
// CHECK: attune.yield %false
func.func @padding(%q: tensor<1x1x2x8xf32>, %k: tensor<1x1x3x8xf32>) -> (tensor<1x1x2x8xf32>, tensor<1x1x2x8xf32>, tensor<1x1x2x8xf32>) {
  %some = arith.constant dense<[[1, 1, 0], [0, 0, 0]]> : tensor<2x3xi1>
  %all = arith.constant dense<1> : tensor<2x3xi1>
  %none = arith.constant dense<0> : tensor<2x3xi1>
  %0 = attune.attention ins(%q, %k, %k : tensor<1x1x2x8xf32>, tensor<1x1x3x8xf32>, tensor<1x1x3x8xf32>) captures(%some : tensor<2x3xi1>) -> tensor<1x1x2x8xf32>
  mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<2x3xi1>):
    %p = tensor.extract %cap[%n, %m] : tensor<2x3xi1>
    attune.yield %p : i1
  }
  %1 = attune.attention ins(%q, %k, %k : tensor<1x1x2x8xf32>, tensor<1x1x3x8xf32>, tensor<1x1x3x8xf32>) captures(%all : tensor<2x3xi1>) -> tensor<1x1x2x8xf32>
  mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<2x3xi1>):
    %p = tensor.extract %cap[%n, %m] : tensor<2x3xi1>
    attune.yield %p : i1
  }
  %2 = attune.attention ins(%q, %k, %k : tensor<1x1x2x8xf32>, tensor<1x1x3x8xf32>, tensor<1x1x3x8xf32>) captures(%none : tensor<2x3xi1>) -> tensor<1x1x2x8xf32>
  mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %cap: tensor<2x3xi1>):
    %p = tensor.extract %cap[%n, %m] : tensor<2x3xi1>
    attune.yield %p : i1
  }
  return %0, %1, %2 : tensor<1x1x2x8xf32>, tensor<1x1x2x8xf32>, tensor<1x1x2x8xf32>
}
