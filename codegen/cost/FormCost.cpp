#include "attune/codegen/cost/FormCost.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/OwningOpRef.h"

using namespace mlir;

namespace attune::codegen {

/// What a size that is not static counts as.
static int64_t nominalExtent(RankedTensorType type, int64_t axis) {
  if (type.isDynamicDim(axis))
    return axis == 0 ? 1 : 512;
  return type.getDimSize(axis);
}

static double nominalBytes(TypeRange types) {
  double bytes = 0;
  for (Type type : types)
    if (auto tensor = dyn_cast<RankedTensorType>(type)) {
      double elements = 1;
      for (int64_t axis = 0; axis < tensor.getRank(); ++axis)
        elements *= nominalExtent(tensor, axis);
      bytes += elements * ((tensor.getElementTypeBitWidth() + 7) / 8);
    }
  return bytes;
}

double OracleFormPrices::seconds(FormOpInterface op, Form form) const {
  OwningOpRef<Operation *> copy(op->clone());
  cast<FormOpInterface>(*copy).setForm(form);
  WorkSum work;
  work.bytes = nominalBytes(op->getOperandTypes()) + nominalBytes(op->getResultTypes());
  if (auto counted = dyn_cast<WorkOpInterface>(*copy)) {
    auto extentOf = [](Value tensor, int64_t axis) -> OpFoldResult {
      auto type = cast<RankedTensorType>(tensor.getType());
      return Builder(tensor.getContext()).getIndexAttr(nominalExtent(type, axis));
    };
    for (const WorkTerm &term : counted.getWork(extentOf))
      work.add(term, [](OpFoldResult extent) {
        return static_cast<double>(getConstantIntValue(extent).value_or(1));
      });
  }
  return oracle.price(work, /*threads=*/1).seconds;
}

} // namespace attune::codegen
