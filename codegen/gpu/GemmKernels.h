//===- GemmKernels.h - The device functions of a matrix product -------------------------------===//
//
// What Gemm.cpp launches: a function per tile (GemmShapes.h), which sums products and either runs
// the epilogue or leaves sums of a part of the depth, and the function that adds such parts.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_GEMMKERNELS_H
#define ATTUNE_CODEGEN_GPU_GEMMKERNELS_H

#include "attune/codegen/gpu/GemmShapes.h"
#include "attune/codegen/gpu/TileMaps.h"

namespace attune::codegen {

struct GemmKernel {
  KernelOp op;
  mlir::ModuleOp device;
  const Sizes &sizes;
  const GemmMatch &g;
  mlir::Type element;
  FloatMath math; ///< of f32
  TileSource a, b;
  std::optional<TileMap> aMap, bMap;
  llvm::SmallVector<GemmChoice> choices;

  int64_t elementBytes() const { return element.getIntOrFloatBitWidth() / 8; }
  /// f32, or i32 of bytes.
  mlir::Type sumType() const { return mlir::getElementTypeOrSelf(g.product.result.getType()); }
  /// Whether some tile leaves sums of parts, in scratch buffer 0: [part][batch][row][column].
  bool cutsDepth() const;
  GemmExtents extents(Scope &scope) const;
};

/// A block of the grid: tiles along the first axis, parts of the depth along the second, batches
/// along the third. Neighbouring blocks share rows and columns, which then come from the cache.
struct GemmBlock {
  mlir::Value row, column, batch, part; ///< the first two: of its tile
  mlir::Value firstTile, endTile;       ///< of the depth
  static GemmBlock of(DeviceBuilder &kb, Scope &scope, const GemmKernel &kernel,
                      const GemmChoice &choice);
};

/// Bytes of shared memory that a block asks for.
int64_t tileGemmBytes(const GemmKernel &kernel, const GemmShape &shape);
int64_t warpGroupGemmBytes(const GemmShape &shape);
/// Tensor maps of its operands.
llvm::SmallVector<TensorMapShape> warpGroupGemmMaps(const GemmKernel &kernel,
                                                    const GemmShape &shape);

/// False where the epilogue cannot be built, or something in it can fail.
bool buildTileGemm(DeviceBuilder &kb, const KernelArgs &args, const GemmKernel &kernel,
                   const GemmChoice &choice);
bool buildWarpGroupGemm(DeviceBuilder &kb, const KernelArgs &args, const GemmKernel &kernel,
                        const GemmChoice &choice);

/// Adds the parts; a thread has `reductionLanes` neighbouring columns.
int64_t reductionLanes(const GemmKernel &kernel);
bool buildGemmReduction(DeviceBuilder &kb, const KernelArgs &args, const GemmKernel &kernel,
                        int64_t threads);

} // namespace attune::codegen
#endif
