//===- ConvPlanes.h - Convolutions of single channels, and poolings ---------------------------===//
//
// A task takes some channels of an image. It copies the lines behind a block of output rows into
// scratch once, padded and sorted by what remains of their number modulo the stride, so that every
// tap reads contiguous lanes; then it keeps a tile of output rows times vectors of positions in
// registers, whose rows share what they load.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_CONVPLANES_H
#define ATTUNE_CODEGEN_CPU_CONVPLANES_H

#include "attune/codegen/cpu/ConvMatch.h"
#include "attune/codegen/cpu/Emitter.h"

namespace attune::codegen {

/// Where the taps of an axis find their elements: tap t of position p is element `p + shift(t)` of
/// the elements whose number leaves phases[slot(t)] modulo the stride.
struct PlaneAxis {
  explicit PlaneAxis(const ConvAxis &axis);
  /// What remains comes back after all phases.
  int64_t slot(int64_t tap) const { return tap % phases.size(); }
  int64_t shift(int64_t tap) const { return tap * dilation / stride; }

  int64_t taps, stride, dilation;
  llvm::SmallVector<int64_t> phases; ///< those that a tap reads
  int64_t reach;                     ///< the largest shift
  /// Whether lines of neighbouring elements give two phases at once.
  bool hasPairs() const { return stride == 2 && phases.size() == 2; }
};

/// Output rows times vectors of positions whose sums are in registers.
struct PlaneTile {
  static PlaneTile of(const ConvMatch &conv, int64_t lanes);
  int64_t rows, vectors;
};

/// Elements of the first level cache that the lines of a block should take.
inline constexpr int64_t kConvPlaneElements = 1 << 12;
/// Positions of small planes that are taken together.
inline constexpr int64_t kConvPlanePositions = 1 << 14;
/// Windows of more taps are loops.
inline constexpr int64_t kPlaneUnrolledTaps = 25;

class PlaneCode {
public:
  using Value = mlir::Value;
  using Get = std::function<Value(const Size &)>;
  PlaneCode(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb, mlir::ModuleOp module);

  void build(llvm::StringRef symbol);
  /// Elements of scratch per worker; `get` gives sizes where `kb` stands.
  Value scratchElements(const Get &get);
  /// An epilogue could not be built although it was supported.
  bool broken = false;

private:
  struct Task;
  struct Blocks {
    Value length, rows, count; ///< of a line; output rows of a block; blocks of a plane
  };
  Blocks blocks(const Get &get);
  Value lines(Value rows);
  Value chunk(const Get &get);
  Value task(const KernelArgs &args);
  void block(Task &task, Value firstRow, Value rows);
  void copy(Task &task, Value firstRow, Value rows);
  void tile(Task &task, Value row, Value column);
  mlir::SmallVector<Value> column(Task &task, Value at, Value tap, mlir::SmallVector<Value> sums);
  void fetch(Task &task, Value row, Value rows, Value column);
  void finish(Task &task, Value row, Value rows, Value column);

  const ConvMatch &conv;
  const Sizes &sizes;
  KernelBuilder &kb;
  mlir::ModuleOp module;
  PlaneAxis rowAxis, columnAxis;
  PlaneTile shape;
  int64_t lanes;
};

} // namespace attune::codegen
#endif
