//===- Lanes.h - Scalar bodies on vectors -----------------------------------------------------===//
//
// Clones the scalar code of linalg.generic bodies and attention score or mask regions so that one
// copy computes `lanes` neighbouring elements. A mapped value is uniform (a scalar), per lane (a
// vector), or linear (an index `base + step * lane`, kept apart so that index arithmetic stays
// scalar and neighbouring elements are found).
//
//   Lanes lanes(scope, 16);
//   FailureOr<SmallVector<Lane>> out = lanes.clone(*generic.getBody(), {x, y}, {row, column});
//   kb.store(lanes.vector(out->front()), dst, offset);
//   ...
//   return lanes.error();        // i32, the task's result
//
// With one lane everything is uniform. Integer divisions never trap, a false `cf.assert` and a zero
// divisor raise the function's error code.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_LANES_H
#define ATTUNE_CODEGEN_CPU_LANES_H

#include "attune/codegen/cpu/Views.h"

namespace attune::codegen {

struct Lane {
  mlir::Value scalar; ///< uniform value, or base of a linear one
  mlir::Value vector; ///< per-lane value
  int64_t step = 0;   ///< linear if not 0 (integer or index scalars)

  Lane() = default;
  Lane(mlir::Value value)
      : scalar(value && !llvm::isa<mlir::VectorType>(value.getType()) ? value : mlir::Value()),
        vector(scalar ? mlir::Value() : value) {}
  static Lane linear(mlir::Value base, int64_t step = 1) {
    Lane lane(base);
    lane.step = step;
    return lane;
  }
  bool uniform() const { return scalar && step == 0; }
};

/// Where a tensor that a body reads by `tensor.extract` lies.
struct Memory {
  mlir::Value base; ///< pointer
  View view;
  bool constant = false; ///< nothing writes it while the kernel runs
};

class Lanes {
public:
  using Value = mlir::Value;
  Lanes(Scope &scope, int64_t count);

  int64_t count;
  /// Lanes that count (vector of i1, null: all). Others never raise an error.
  Value active;
  /// Set once something was built that touches memory lane by lane.
  bool gathered = false;
  /// Resolves a captured tensor; the default takes views of kernel inputs.
  std::function<std::optional<Memory>(Value tensor)> memory;
  /// Values that are already known: captured scalars of enclosing regions, for instance.
  llvm::DenseMap<Value, Lane> known;

  /// Whether `clone` handles every operator of the block.
  static bool supports(mlir::Block &block, const Sizes &sizes);
  /// Clones `block` at the builder's position with its arguments bound to `args` and `linalg.index
  /// k` to `indices[k]`; gives the terminator's operands. Failure if an operator is not supported.
  /// With `wanted`, only what these values of the block need is cloned, and they are the result.
  llvm::FailureOr<llvm::SmallVector<Lane>> clone(mlir::Block &block, llvm::ArrayRef<Lane> args,
                                                 llvm::ArrayRef<Lane> indices = {},
                                                 llvm::ArrayRef<Value> wanted = {});

  /// As a vector of `count` lanes (a scalar when count is 1).
  Value vector(const Lane &lane);
  /// Element at `offset + sum(index * stride)` elements of `type` (i1 is stored as a byte) for
  /// every lane: a scalar load, a vector load or a gather, as the strides ask. `constant`: nothing
  /// writes this memory while the kernel runs.
  Lane load(mlir::Type element, Value base, Lane offset, bool constant = false);
  /// The reverse; lanes whose addresses coincide must hold the same value.
  void store(const Lane &value, Value base, Lane offset);

  /// Lets `body` work on the lanes of `mask` (vector of i1), or below `limit` (an index), only:
  /// sets `active`; loads and stores leave memory of the other lanes alone.
  void where(Value mask, llvm::function_ref<void()> body);
  void below(Value limit, llvm::function_ref<void()> body);

  /// Element offset of a point of a view.
  Lane offset(const View &view, llvm::ArrayRef<Lane> point);
  Lane add(const Lane &x, const Lane &y);
  Lane mul(const Lane &x, Value uniform);
  /// Signed comparison or (in)equality of integers; scalar arithmetic where both are linear.
  Lane compare(mlir::arith::CmpIPredicate predicate, const Lane &x, const Lane &y);

  /// Raises `code` in the function if `ok` (i1 or vector of i1) is false in an active lane.
  void require(const Lane &ok, int32_t code);
  /// The function's error code so far (i32).
  Value error();

private:
  friend struct LaneCloner;
  Scope &scope;
  KernelBuilder &kb;
  Value slot; ///< i32 in the frame, made on first use
  Value errorSlot();
};

/// The type that an element is loaded and stored as: i8 for i1, i16 for bf16, or the type itself.
mlir::Type storageType(mlir::Type element);
int64_t storageBytes(mlir::Type element);

} // namespace attune::codegen
#endif
