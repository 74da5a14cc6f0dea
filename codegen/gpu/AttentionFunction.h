//===- AttentionFunction.h - What the device functions of attention share ---------------------===//
//
// Internal to codegen/gpu/Attention*.cpp.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_ATTENTIONFUNCTION_H
#define ATTUNE_CODEGEN_GPU_ATTENTIONFUNCTION_H

#include "attune/codegen/cpu/AttentionForms.h"
#include "attune/codegen/gpu/AttentionKernel.h"

namespace attune::codegen {

class AttentionFunction {
public:
  using Value = mlir::Value;
  AttentionFunction(DeviceBuilder &kb, AttentionPlan &plan, const KernelArgs &args);
  AttentionFunction(const AttentionFunction &) = delete;

protected:
  DeviceBuilder &kb;
  AttentionPlan &plan;
  AttentionCode code;
  AttentionSpec spec;
  AttentionValues values;
  AttentionContext context;

  /// Scores stay unscaled: the scale is part of the exponent's.
  bool foldsScale() const;
  /// Weights are 2^(c * (x - greatest x)).
  double exponentScale() const;
  AttentionExtents extents() const;

  Value multiply(Value x, Value y);
  Value add(Value x, Value y);
  Value greater(Value x, Value y); ///< drops NaN
  /// -c * greatest, 0 where no key is allowed.
  Value shiftOf(Value greatest);
  /// 2^(c * x + shift)
  Value weight(Value x, Value shift);
  Value logSumExp(Value greatest, Value sum);
  void storeLse(Value b, Value h, Value n, Value greatest, Value sum);
  /// Floats of the partial result of a row and a chunk.
  Value partial(Value base, const AttentionSplit &split, Value b, Value h, Value n, Value chunk);
};

} // namespace attune::codegen
#endif
