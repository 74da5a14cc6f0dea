//===- Scope.h - Sizes of a kernel region, and their values in emitted functions --------------===//
//
// A `Size` is an extent, offset or stride of an `attune.kernel` region: a polynomial with integer
// coefficients over the region's index values, so that equal sizes compare equal and constant ones
// are known. `Sizes` finds them without touching the IR (use it in `matches`); a `Scope` gives
// their values inside a kernel or task function, and `hostExpr` in the host function.
//
// The region alone tells every extent: `input_dims` of the kernel names, for every `?` of every
// input in order, the `dims` operand that is its extent; all other tensors are computed from them.
//
//   Sizes sizes(op);                                     // matches
//   if (!sizes.extent(result, 0)) return false;
//   kb.task(module, name, [&](const KernelArgs &args) {  // emit
//     Scope scope(sizes, kb, args);
//     Value rows = scope.get(*sizes.extent(result, 0)), x = scope.input(0);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_SCOPE_H
#define ATTUNE_CODEGEN_CPU_SCOPE_H

#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/KernelBuilder.h"
#include "llvm/ADT/DenseMap.h"

#include <map>
#include <optional>

namespace attune::codegen {

class Size {
public:
  Size(int64_t constant = 0);
  /// A value of the region that is not decomposed further.
  static Size atom(mlir::Value value);

  Size operator+(const Size &other) const;
  Size operator-(const Size &other) const;
  Size operator*(const Size &other) const;
  bool operator==(const Size &other) const { return terms == other.terms; }
  bool operator!=(const Size &other) const { return !(*this == other); }

  std::optional<int64_t> constant() const;
  bool is(int64_t value) const { return constant() == value; }
  /// The quotient if every coefficient is a multiple of `divisor` (or the size is one of its own
  /// products, as in s*384 / s); otherwise nothing.
  std::optional<Size> dividedBy(const Size &divisor) const;
  /// Whether the value is a multiple of `factor` whatever the dims are.
  bool multipleOf(int64_t factor) const;
  /// The value where the values of the region have these.
  int64_t at(llvm::function_ref<int64_t(mlir::Value)> valueOf) const;

private:
  friend class SizeEmitter;
  struct Order {
    bool operator()(const mlir::Value &x, const mlir::Value &y) const;
    bool operator()(const llvm::SmallVector<mlir::Value, 2> &x,
                    const llvm::SmallVector<mlir::Value, 2> &y) const;
  };
  using Product = llvm::SmallVector<mlir::Value, 2>; ///< sorted; empty for the constant term
  std::map<Product, int64_t, Order> terms;           ///< without zero coefficients
};

using MaybeSize = std::optional<Size>;

class Sizes {
public:
  explicit Sizes(KernelOp kernel) : kernel(kernel) {}

  /// An index or integer scalar of the region as a size; nothing if it depends on tensor elements.
  MaybeSize of(mlir::Value index) const;
  MaybeSize of(mlir::OpFoldResult index) const;
  /// The extent of any tensor of the region.
  MaybeSize extent(mlir::Value tensor, int64_t axis) const;
  std::optional<llvm::SmallVector<Size>> extents(mlir::Value tensor) const;
  /// Strides of a dense row-major tensor, in elements.
  std::optional<llvm::SmallVector<Size>> rowMajor(mlir::Value tensor) const;

  /// The number of the kernel input that a block argument is, or nothing.
  std::optional<int64_t> inputNumber(mlir::Value value) const;

  KernelOp kernel;

private:
  MaybeSize compute(mlir::Value index) const;
  MaybeSize yieldedExtent(mlir::OpResult result, int64_t axis) const;
  /// Whether an index or scalar can be recomputed from `dims` and constants alone.
  bool isScalarCode(mlir::Value value) const;
  mutable llvm::DenseMap<mlir::Value, MaybeSize> memo;
};

/// Strides of a dense row-major array of these extents.
llvm::SmallVector<Size> rowMajorStrides(llvm::ArrayRef<Size> extents);
Size product(llvm::ArrayRef<Size> sizes);

/// Builds sizes and scalar values of a region; `dim(k)` gives the k-th `dims` operand.
class SizeEmitter {
public:
  SizeEmitter(const Sizes &sizes, std::function<mlir::Value(int64_t)> dim)
      : sizes(sizes), dim(std::move(dim)) {}
  mlir::Value get(mlir::OpBuilder &b, mlir::Location loc, mlir::Value value);
  mlir::Value get(mlir::OpBuilder &b, mlir::Location loc, const Size &size);

private:
  const Sizes &sizes;
  std::function<mlir::Value(int64_t)> dim;
  llvm::DenseMap<mlir::Value, mlir::Value> values;
};

/// Values of the region inside one kernel or task function. Everything is built once, at the start
/// of the function, so that it may be asked for anywhere in the body.
class Scope {
public:
  using Value = mlir::Value;
  /// To be made first thing in the function: later insertions go to this point.
  Scope(const Sizes &sizes, KernelBuilder &kb, const KernelArgs &args);

  Value get(Value indexOrScalar); ///< of the region; must be known to `sizes` or a scalar constant
  Value get(const Size &size);
  Value extent(Value tensor, int64_t axis);
  Value input(int64_t number) { return buffer(number); }
  Value output(int64_t number);
  Value scratch(int64_t number);
  /// Runs `build` with the builder at the start of the function, after everything built before.
  Value atEntry(llvm::function_ref<Value()> build);

  const Sizes &sizes;
  KernelBuilder &kb;
  KernelArgs args;

private:
  Value buffer(int64_t number);
  SizeEmitter emitter;
  mlir::Operation *anchor;
  llvm::DenseMap<int64_t, Value> buffers, dims;
};

/// A host expression of a size (for scratch sizes), times `threads` if `perWorker`. The kernel's
/// region must be alive when the expression is built.
HostExpr hostExpr(KernelOp kernel, const Size &bytes, bool perWorker = false);

} // namespace attune::codegen
#endif
