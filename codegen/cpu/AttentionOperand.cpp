#include "attune/codegen/cpu/AttentionOperand.h"

#include "attune/codegen/cpu/Views.h"

using namespace mlir;

namespace attune::codegen {

bool readOperand(const Sizes &sizes, Value tensor, std::optional<AttentionOperand> &operand) {
  if (!tensor)
    return true;
  std::optional<View> view = readView(sizes, tensor);
  std::optional<int64_t> number = view ? sizes.inputNumber(view->root) : std::nullopt;
  if (!number)
    return false;
  operand = AttentionOperand{false, *number, view->offset, view->strides,
                             cast<RankedTensorType>(tensor.getType()).getElementType()};
  return true;
}

bool readResults(const Sizes &sizes,
                 llvm::function_ref<std::optional<AttentionOperand> *(OpResult)> slotOf) {
  KernelOp kernel = sizes.kernel;
  for (auto [number, yielded] : llvm::enumerate(kernel.getYield().getOperands())) {
    std::optional<SmallVector<Placement>> places = writeViews(sizes, yielded);
    if (!places || places->size() != 1)
      return false;
    Placement &place = places->front();
    auto value = dyn_cast<OpResult>(place.value);
    std::optional<AttentionOperand> *slot = value ? slotOf(value) : nullptr;
    Type element = cast<RankedTensorType>(yielded.getType()).getElementType();
    if (!slot || *slot || !isStorage(element))
      return false;
    *slot =
        AttentionOperand{true, static_cast<int64_t>(number), place.offset, place.strides, element};
  }
  return true;
}

bool isStorage(Type type) { return type.isF32() || type.isF16() || type.isBF16(); }

AttentionTensor tensorOf(Scope &scope, const std::optional<AttentionOperand> &operand) {
  AttentionTensor result;
  if (!operand)
    return result;
  result.base = operand->output ? scope.output(operand->number) : scope.input(operand->number);
  result.offset = scope.get(operand->offset);
  result.element = operand->element;
  for (auto [axis, stride] : llvm::enumerate(operand->strides))
    result.strides[axis] = scope.get(stride);
  for (size_t axis = operand->strides.size(); axis < 4; ++axis)
    result.strides[axis] = scope.get(Size(0));
  return result;
}

} // namespace attune::codegen
