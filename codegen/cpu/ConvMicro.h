//===- ConvMicro.h - The inner loops that every convolution of a module shares ----------------===//
//
// Private functions of the kernels' module, made on first use. Lanes are neighbouring output
// positions, so that images and results stay as they are; filters are broadcast.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_CONVMICRO_H
#define ATTUNE_CODEGEN_CPU_CONVMICRO_H

#include "attune/codegen/cpu/ConvMatch.h"

namespace attune::codegen {

/// The register tile of a CPU: `panels` * 4 channels times `vectors` vectors of positions.
struct ConvTile {
  int64_t panels, vectors, lanes;
  int64_t channels() const { return panels * kFilterPanel; }
  int64_t positions() const { return vectors * lanes; }
  static ConvTile of(const CpuTarget &target);
};

/// Operands of one call of the micro-kernel. Element (channel c, tap row p, tap column q, position
/// i) of the image lies at `c * channelStep + p * rowStep + q * columnStep + i`.
struct ConvMicroCall {
  mlir::Value filters;   ///< first panel, [channels][rows][columns][4]
  mlir::Value panelStep; ///< elements to the next panel
  mlir::Value image;
  mlir::Value channelStep, rowStep, columnStep;
  mlir::Value channels; ///< summed by this call
  mlir::Value tile;     ///< [4 * panels][positions] sums
  mlir::Value add;      ///< i1: to what the tile holds
};
/// A micro-kernel of that name, built by `body`.
mlir::func::FuncOp convFunction(KernelBuilder &kb, mlir::ModuleOp module, llvm::StringRef name,
                                llvm::function_ref<void(const ConvMicroCall &)> body);
void callConv(KernelBuilder &kb, mlir::func::FuncOp micro, const ConvMicroCall &call);
/// What the tile holds, if it is added to, else zeros; `at` gives offsets in the tile.
Values loadSums(KernelBuilder &kb, const ConvMicroCall &call, int64_t rows, int64_t vectors,
                llvm::function_ref<mlir::Value(int64_t row, int64_t vector)> at);
void storeSums(KernelBuilder &kb, const ConvMicroCall &call, mlir::ValueRange sums, int64_t rows,
               int64_t vectors, llvm::function_ref<mlir::Value(int64_t row, int64_t vector)> at);
/// `sums` after `tap` for every channel, tap row and tap column, given the offsets of their
/// filters, of which `panel` lie side by side, and image.
Values sumTaps(KernelBuilder &kb, int64_t tapRows, int64_t tapColumns, int64_t panel,
               const ConvMicroCall &call, Values sums,
               llvm::function_ref<Values(mlir::Value filter, mlir::Value image, Values sums)> tap);

/// tile (+)= filters * image for `vectors` (a value in [1, tile vectors]) vectors of positions;
/// lanes that lie beyond the image's line are computed from what follows it.
void callConvMicro(KernelBuilder &kb, mlir::ModuleOp module, int64_t tapRows, int64_t tapColumns,
                   mlir::Value vectors, const ConvMicroCall &call);

/// Which of the elements `first + i * stride`, i in [0, count), of a line of `extent` exist.
struct LineBounds {
  mlir::Value begin, end;
};
LineBounds lineBounds(KernelBuilder &kb, mlir::Value first, int64_t stride, mlir::Value extent,
                      mlir::Value count);

/// One line of an image, padded and strided: dst[i] is element `first + i * stride` of a line of
/// elements that are `step` apart, for i in [begin, end), else `fill`, for i in [0, count).
/// Writes up to one vector more than `count` elements.
void copyLine(KernelBuilder &kb, mlir::ModuleOp module, mlir::Value source, mlir::Value step,
              mlir::Value first, int64_t stride, const LineBounds &bounds, mlir::Value count,
              mlir::Value fill, mlir::Value dst);

/// The same for neighbouring elements and a stride of 2, for the lines that start at `first` and at
/// the element behind it, at once. What is written beyond the ends must not matter.
void copyLinePair(KernelBuilder &kb, mlir::ModuleOp module, mlir::Value source, mlir::Value first,
                  const LineBounds &even, const LineBounds &odd, mlir::Value count,
                  mlir::Value fill, mlir::Value evenDst, mlir::Value oddDst);

} // namespace attune::codegen
#endif
