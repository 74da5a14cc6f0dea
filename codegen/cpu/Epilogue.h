//===- Epilogue.h - What follows the product of a kernel --------------------------------------===//
//
// A kernel of one matrix product or convolution computes a grid of sums [batch][row][column]; what
// the region does with them (bias, activation, residual, another layout) is found by
// `matchEpilogue` and computed by `EpilogueCode` on one vector of neighbouring columns at a time.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_EPILOGUE_H
#define ATTUNE_CODEGEN_CPU_EPILOGUE_H

#include "attune/codegen/cpu/Gemm.h"
#include "attune/codegen/cpu/Lanes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace attune::codegen {

/// The coordinate of one tensor axis at a point of the product: `base / divisor % extent`, where
/// the remainder is not needed for the outermost part of the base.
struct GemmCoord {
  enum Base { Zero, Batch, Row, Column } base = Zero;
  Size divisor, extent;
  bool outermost = true;
  bool operator==(const GemmCoord &other) const {
    return base == other.base && divisor == other.divisor && extent == other.extent;
  }
};
using GemmCoords = llvm::SmallVector<GemmCoord>;

struct Epilogue {
  struct Step {
    mlir::linalg::GenericOp op;
    GemmCoords loops;
  };
  llvm::SmallVector<Step> steps;
  struct Output {
    Placement place;
    GemmCoords point;
  };
  llvm::SmallVector<Output> outputs;
};

/// The steps from `product`, whose axes are at `point` of the grid, to the results of the kernel;
/// nothing if an operator of the region is not elementwise on the grid.
std::optional<Epilogue> matchEpilogue(KernelOp op, const Sizes &sizes, mlir::Value product,
                                      const GemmCoords &point);

/// The coordinates of an operand of a generic whose loops are at `loops`, or nothing if its map has
/// anything but loops and constants 0.
std::optional<GemmCoords> mapCoords(mlir::AffineMap map, llvm::ArrayRef<GemmCoord> loops);

/// Code of an epilogue inside one function.
class EpilogueCode {
public:
  using Value = mlir::Value;
  EpilogueCode(const Epilogue &epilogue, Scope &scope, Lanes &lanes)
      : epilogue(epilogue), kb(scope.kb), scope(scope), lanes(lanes) {}

  /// Computes and stores everything that depends on `product`, which is `value()` at the point.
  void run(const GemmPoint &point, Value product, llvm::function_ref<Lane()> value);
  /// Asks for the memory of the results at a point, whose value is not known yet.
  void fetch(const GemmPoint &point);
  /// An element of an operand that only depends on kernel inputs.
  Lane load(Value tensor, mlir::AffineMap map, llvm::ArrayRef<GemmCoord> loops,
            const GemmPoint &point);

  /// Whether the first column of a vector is a multiple of its lanes.
  bool aligned = true;
  /// A body could not be cloned, although it was supported.
  bool broken = false;

private:
  void evaluate(const GemmPoint &point, Value product, const Lane &value);
  Lane offsetOf(GemmCoords point, const Size &offset, llvm::SmallVector<Size> strides,
                const GemmPoint &at);
  Lane coordinate(const GemmCoord &coord, const GemmPoint &point);

  const Epilogue &epilogue;
  KernelBuilder &kb;
  Scope &scope;
  Lanes &lanes;
};

} // namespace attune::codegen
#endif
