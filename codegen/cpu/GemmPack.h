//===- GemmPack.h - Run-time packing of matrix operands into panels ---------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_GEMMPACK_H
#define ATTUNE_CODEGEN_CPU_GEMMPACK_H

#include "attune/codegen/cpu/Gemm.h"

namespace attune::codegen {

/// Packs lines [first, first + rows) of a matrix into one panel: dst[k * stride + i] is element k
/// of line first + i. `lines` and `depth` say where elements lie; lines past `limit` repeat the
/// last. `rows` is at most the stride; writes up to one vector beyond the panel.
class PanelPacker {
public:
  using Value = mlir::Value;
  /// To be made at the start of the function: it takes a place in the frame.
  PanelPacker(KernelBuilder &kb, mlir::ModuleOp module);
  void pack(Value source, llvm::ArrayRef<GemmAxis> lines, llvm::ArrayRef<GemmAxis> depth,
            Value depthExtent, Value first, Value limit, Value dst, Value stride, int64_t width);

private:
  void packAcross(Value source, llvm::ArrayRef<GemmAxis> depth, Value depthExtent, Value dst,
                  Value stride);
  KernelBuilder &kb;
  mlir::ModuleOp module;
  Value pointers; ///< one address per line of a vector
};

/// Element offset of a linear index over axes.
mlir::Value axisOffset(KernelBuilder &kb, mlir::Value index, llvm::ArrayRef<GemmAxis> axes);

} // namespace attune::codegen
#endif
