//===- AttentionOperand.h - Tensors of attention kernels as strides over buffers --------------===//
//
// What the analyses of attention and linear attention share: from a tensor of the kernel's region
// to a buffer of the kernel, and from there to values in code.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ATTENTIONOPERAND_H
#define ATTUNE_CODEGEN_CPU_ATTENTIONOPERAND_H

#include "attune/codegen/cpu/Attention.h"
#include "attune/codegen/cpu/Scope.h"

namespace attune::codegen {

/// A tensor of the kernel as strides over one of its buffers.
struct AttentionOperand {
  bool output = false;
  int64_t number = 0; ///< of the input or output
  Size offset;
  llvm::SmallVector<Size> strides;
  mlir::Type element;
};

/// The operand that `tensor` is, nothing for null; false if it is no view of an input.
bool readOperand(const Sizes &sizes, mlir::Value tensor, std::optional<AttentionOperand> &operand);

/// Every result of the kernel is one of an operator's: puts where it goes into the operand that
/// `slotOf` names for the operator's result, null if that is none. False if a result of the kernel
/// is anything else, not of floats, or the second for one slot.
bool readResults(const Sizes &sizes,
                 llvm::function_ref<std::optional<AttentionOperand> *(mlir::OpResult)> slotOf);

/// Element types of operands and results: f32, f16 and bf16.
bool isStorage(mlir::Type type);

/// Where `scope` has the operand; missing axes have a stride of 0.
AttentionTensor tensorOf(Scope &scope, const std::optional<AttentionOperand> &operand);

} // namespace attune::codegen
#endif
