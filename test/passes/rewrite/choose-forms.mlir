// RUN: attune-opt %s --pass-pipeline='builtin.module(func.func(attune-choose-forms{form=chunked}))' \
// RUN:   --remarks-filter=attune-rewrite --remark-format=emitRemark 2>%t.remarks | FileCheck %s --check-prefixes=CHECK,FORCED
// RUN: FileCheck %s --check-prefix=REMARK <%t.remarks
// RUN: attune-opt %s --attune-choose-forms | FileCheck %s --check-prefixes=CHECK,FREE
// RUN: not attune-opt %s --pass-pipeline='builtin.module(func.func(attune-choose-forms{form=fast}))' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=UNKNOWN

// UNKNOWN: there is no form `fast`

// CHECK-LABEL: @causal
// FORCED: attune.linear_attention {{.*}}form = #attune.form<chunked>
// FREE-NOT: form =
func.func @causal(%q: tensor<1x2x?x8xf32>) -> tensor<1x2x?x8xf32> {
  %o = attune.linear_attention ins(%q, %q, %q : tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32>) -> tensor<1x2x?x8xf32>
  return %o : tensor<1x2x?x8xf32>
}

// A bidirectional sum has no chunks.
// REMARK: FormNotForced{{.*}}attune.linear_attention has no form `chunked`
// CHECK-LABEL: @bidirectional
// CHECK: attune.linear_attention
// CHECK-NOT: form =
// CHECK: return
func.func @bidirectional(%q: tensor<1x2x16x8xf32>) -> tensor<1x2x16x8xf32> {
  %o = attune.linear_attention ins(%q, %q, %q : tensor<1x2x16x8xf32>, tensor<1x2x16x8xf32>, tensor<1x2x16x8xf32>)
      {direction = #attune.direction<bidirectional>} -> tensor<1x2x16x8xf32>
  return %o : tensor<1x2x16x8xf32>
}
