// RUN: attune-opt %s -attune-select-choices | FileCheck %s --check-prefixes=CHECK,KEEP
// RUN: attune-opt %s -attune-select-choices="choose=inner=double" | FileCheck %s --check-prefixes=CHECK,DOUBLE
// RUN: not attune-opt %s -attune-select-choices="require" 2>&1 | FileCheck %s --check-prefix=REQUIRE
// RUN: not attune-opt %s -attune-select-choices="choose=inner=triple" 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not attune-opt %s -attune-select-choices="choose=other=double" 2>&1 | FileCheck %s --check-prefix=LABEL
// RUN: echo '{"inner": "double", "outer": "exponential", "never": "only", "open": "only", "closed": "keep"}' >%t.json
// RUN: attune-opt %s -attune-select-choices="file=%t.json" | FileCheck %s --check-prefix=FILE
// RUN: echo '{"inner": "double", "other": "double"}' >%t.json
// RUN: not attune-opt %s -attune-select-choices="file=%t.json" 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: echo '{"inner": "triple"}' >%t.json
// RUN: not attune-opt %s -attune-select-choices="file=%t.json" 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: echo '{"inner": "double", "outer": "sine", "never": "only", "closed": "keep"}' >%t.json
// RUN: not attune-opt %s -attune-select-choices="file=%t.json" 2>&1 | FileCheck %s --check-prefix=MISSING
// RUN: echo '{"inner": 1}' >%t.json
// RUN: not attune-opt %s -attune-select-choices="file=%t.json" 2>&1 | FileCheck %s --check-prefix=TYPE
// RUN: echo '["inner"]' >%t.json
// RUN: not attune-opt %s -attune-select-choices="file=%t.json" 2>&1 | FileCheck %s --check-prefix=OBJECT
// RUN: not attune-opt %s -attune-select-choices="file=%t.none" 2>&1 | FileCheck %s --check-prefix=READ
// RUN: not attune-opt %s -attune-decompose 2>&1 | FileCheck %s --check-prefix=DECOMPOSE

// REQUIRE: error: 'attune.choice' op unsupported: choice `inner` has no selected alternative, found negate, double
// NAME: error: 'attune.choice' op choice `inner` has no alternative `triple`, found negate, double
// LABEL: error: choose: no choice is labelled `other`
// UNKNOWN: error: {{.*}}.json: no choice is labelled `other`
// MISSING: error: 'attune.choice' op choice `open` has no alternative in {{.*}}.json
// TYPE: error: file: {{.*}}.json: the alternative of choice `inner` is not a string
// OBJECT: error: file: {{.*}}.json is not a JSON object of choices and alternatives
// READ: error: file: cannot read {{.*}}: No such file or directory
// DECOMPOSE: unsupported: choice `{{.*}}` has no selected alternative

// FILE-NOT: attune.choice
// FILE: arith.addf
// FILE-NOT: attune.choice

// CHECK-LABEL: func @nested
// CHECK-SAME: %[[X:[a-z0-9]+]]: f32
// CHECK-NOT: "outer"
// CHECK: %[[E:.*]] = math.exp %[[X]]
// KEEP-NEXT: %[[R:.*]] = attune.choice "inner" ins(%[[E]] : f32)
// DOUBLE-NEXT: %[[R:.*]] = arith.addf %[[E]], %[[E]]
// CHECK: return %[[R]]
func.func @nested(%x: f32) -> f32 {
  %y = attune.choice "outer" ins(%x : f32) {selected = 1 : i64} -> f32 alternative sine {
  ^bb0(%a: f32):
    %s = math.sin %a : f32
    %t = attune.choice "never" ins(%s : f32) -> f32 alternative only {
    ^bb0(%b: f32):
      attune.yield %b : f32
    }
    attune.yield %t : f32
  } alternative exponential {
  ^bb0(%a: f32):
    %e = math.exp %a : f32
    %t = attune.choice "inner" ins(%e : f32) -> f32 alternative negate {
    ^bb0(%b: f32):
      %n = arith.negf %b : f32
      attune.yield %n : f32
    } alternative double {
    ^bb0(%b: f32):
      %d = arith.addf %b, %b : f32
      attune.yield %d : f32
    }
    attune.yield %t : f32
  }
  return %y : f32
}

// What is selected in an alternative of a choice that is not.
// CHECK-LABEL: func @inside
// CHECK: attune.choice "open"
// CHECK-NEXT: ^bb0(%[[A:.*]]: f32):
// CHECK-NEXT: attune.yield %[[A]] : f32
func.func @inside(%x: f32) -> f32 {
  %y = attune.choice "open" ins(%x : f32) -> f32 alternative only {
  ^bb0(%a: f32):
    %t = attune.choice "closed" ins(%a : f32) {selected = 0 : i64} -> f32 alternative keep {
    ^bb0(%b: f32):
      attune.yield %b : f32
    }
    attune.yield %t : f32
  }
  return %y : f32
}
