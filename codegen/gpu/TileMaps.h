//===- TileMaps.h - Operands whose tiles an engine of the GPU copies --------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_TILEMAPS_H
#define ATTUNE_CODEGEN_GPU_TILEMAPS_H

#include "attune/codegen/gpu/Launches.h"
#include "attune/codegen/gpu/Tiles.h"

namespace attune::codegen {

/// An operand as a tensor map: the dense axis, the other one, then batches. Copies are rows of 128
/// bytes in CUDA's order of chunks; what lies outside of the operand is zero.
class TileMap {
public:
  using Value = mlir::Value;
  /// Nothing where an axis is not evenly spaced, none is dense, or rows do not start at multiples
  /// of 16 bytes.
  static std::optional<TileMap> of(const TileSource &source, int64_t elementBytes);

  bool depthInside; ///< the dense axis is the depth

  /// Boxes of `outer` x `depth` elements; the dense side is 128 bytes.
  TensorMapShape shape(KernelOp op, int64_t outer, int64_t depth) const;
  /// Of a box that starts there, in the order of the map's axes.
  Values coordinates(DeviceBuilder &kb, Scope &scope, Value batch, Value outer, Value depth) const;

private:
  struct BatchAxis {
    Size extent, stride, divisor;
  };
  int64_t input, elementBytes;
  Size offset, outerExtent, depthExtent, stride; ///< the last one: of the axis that is not dense
  llvm::SmallVector<BatchAxis> batch;            ///< outermost first
};

} // namespace attune::codegen
#endif
