// RUN: attune-opt %s --attune-verify-stage="stage=fuse allowed=func,arith,attune.kernel" -verify-diagnostics -split-input-file

func.func @clean(%x: f32) -> f32 {
  %y = arith.addf %x, %x : f32
  return %y : f32
}

// -----

func.func @leak(%x: f32) -> f32 {
  // expected-error @below {{internal: `math.exp` is left after the fuse stage}}
  %y = math.exp %x : f32
  return %y : f32
}
