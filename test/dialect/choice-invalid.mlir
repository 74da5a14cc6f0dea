// RUN: attune-opt %s -split-input-file -verify-diagnostics
// One case per rule of `attune.choice`.

func.func @none(%x: tensor<4xf32>) {
  // expected-error @below {{needs at least one alternative}}
  %y = "attune.choice"(%x) <{label = "c", names = []}> : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @names(%x: tensor<4xf32>) {
  // expected-error @below {{expects one name per alternative (1), found 2}}
  %y = "attune.choice"(%x) <{label = "c", names = ["a", "b"]}> ({
  ^bb0(%a: tensor<4xf32>):
    attune.yield %a : tensor<4xf32>
  }) : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @same_name(%x: tensor<4xf32>) {
  // expected-error @below {{has two alternatives named `keep`}}
  %y = attune.choice "c" ins(%x : tensor<4xf32>) -> tensor<4xf32> alternative keep {
  ^bb0(%a: tensor<4xf32>):
    attune.yield %a : tensor<4xf32>
  } alternative keep {
  ^bb0(%a: tensor<4xf32>):
    attune.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @selected(%x: tensor<4xf32>) {
  // expected-error @below {{selected must be in [0, 1), found 1}}
  %y = attune.choice "c" ins(%x : tensor<4xf32>) {selected = 1 : i64} -> tensor<4xf32> alternative keep {
  ^bb0(%a: tensor<4xf32>):
    attune.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @empty(%x: tensor<4xf32>) {
  // expected-error @below {{has an empty alternative}}
  %y = "attune.choice"(%x) <{label = "c", names = ["a"]}> ({}) : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @argument(%x: tensor<4xf32>) {
  // expected-error @below {{alternative `other` expects arguments ('tensor<4xf32>'), found ('tensor<5xf32>')}}
  %y = attune.choice "c" ins(%x : tensor<4xf32>) {selected = 0 : i64} -> tensor<4xf32> alternative keep {
  ^bb0(%a: tensor<4xf32>):
    attune.yield %a : tensor<4xf32>
  } alternative other {
  ^bb0(%a: tensor<5xf32>):
    %b = tensor.empty() : tensor<4xf32>
    attune.yield %b : tensor<4xf32>
  }
  return
}

// -----

func.func @yielded(%x: tensor<4xf32>) {
  // expected-error @below {{along control flow edge from Operation attune.yield to parent: successor operand type #0 'tensor<4xf32>' should match successor input type #0 'tensor<5xf32>'}}
  %y = attune.choice "c" ins(%x : tensor<4xf32>) -> tensor<5xf32> alternative keep {
  ^bb0(%a: tensor<4xf32>):
    // expected-note @below {{region branch point}}
    attune.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @count(%x: tensor<4xf32>) {
  // expected-error @below {{region branch point has 2 operands, but region successor needs 1 inputs}}
  %y = attune.choice "c" ins(%x : tensor<4xf32>) -> tensor<4xf32> alternative keep {
  ^bb0(%a: tensor<4xf32>):
    // expected-note @below {{region branch point}}
    attune.yield %a, %a : tensor<4xf32>, tensor<4xf32>
  }
  return
}

// -----

func.func @terminator(%x: tensor<4xf32>) {
  // expected-error @below {{alternative `keep` must yield values of types ('tensor<4xf32>')}}
  %y = attune.choice "c" ins(%x : tensor<4xf32>) -> tensor<4xf32> alternative keep {
  ^bb0(%a: tensor<4xf32>):
    llvm.unreachable
  }
  return
}
