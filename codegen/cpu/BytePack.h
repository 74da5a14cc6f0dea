//===- BytePack.h - Run-time packing of bytes into groups of a depth --------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_BYTEPACK_H
#define ATTUNE_CODEGEN_CPU_BYTEPACK_H

#include "attune/codegen/cpu/Gemm.h"

namespace attune::codegen {

/// Packs lines of a matrix of bytes: dst[(k / 8 * width + i) * 8 + k % 8] is element k of line
/// first + i, for i below `width`; zeros fill up the last group, lines past `limit` repeat the
/// last.
class BytePacker {
public:
  using Value = mlir::Value;
  /// To be made at the start of the function: it takes a place in the frame. Widths up to `most`.
  BytePacker(KernelBuilder &kb, int64_t most);
  void pack(Value source, llvm::ArrayRef<GemmAxis> lines, llvm::ArrayRef<GemmAxis> depth,
            Value depthExtent, Value first, Value limit, Value dst, Value width);
  /// The same with `kPanelColumns` lines, which may lie side by side in memory.
  void packPanel(Value source, llvm::ArrayRef<GemmAxis> lines, llvm::ArrayRef<GemmAxis> depth,
                 Value depthExtent, Value first, Value limit, Value dst);

private:
  void packGroups(llvm::ArrayRef<GemmAxis> depth, Value depthExtent, Value dst, Value width);
  void packBytes(llvm::ArrayRef<GemmAxis> depth, Value from, Value to, Value dst, Value width);
  void packAcross(Value source, llvm::ArrayRef<GemmAxis> depth, Value groups, Value dst);
  Value pointer(Value line);

  KernelBuilder &kb;
  Value pointers; ///< one address per line
};

} // namespace attune::codegen
#endif
