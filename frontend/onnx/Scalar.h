//===- Scalar.h - Elementwise operators as scalar code of one type ----------------------------===//
//
// What the converters of arithmetic, comparisons and functions are written in: a body gets
// `Scalar`, which builds the operation that fits floats, signed or unsigned integers. Nothing it
// builds is undefined: integer division by 0 gives 0. Stands on `elementwise` of Build.h.
//
//   setOutput(0, sameType(node, node.inputs(),
//                         [](const Scalar &s, ValueRange a) { return s.add(a[0], a[1]); }));
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_SCALAR_H
#define ATTUNE_FRONTEND_ONNX_SCALAR_H

#include "attune/frontend/onnx/Build.h"

namespace attune::onnx {

/// Builds scalar code for elements of one type; short names keep the bodies readable.
struct Scalar {
  using Value = mlir::Value;

  mlir::OpBuilder &b;
  mlir::Location loc;
  DType dtype;

  mlir::Type type() const { return dtype.type(b.getContext()); }
  bool isFloat() const { return dtype.isFloat(); }
  /// A constant.
  Value c(double v) const { return scalar(b, loc, type(), v); }
  template <typename Op, typename... Args> Value op(Args... args) const {
    return b.createOrFold<Op>(loc, args...);
  }
  Value add(Value x, Value y) const;
  Value sub(Value x, Value y) const;
  Value mul(Value x, Value y) const;
  /// Of integers: truncates; x / 0 = 0.
  Value div(Value x, Value y) const;
  /// The remainder with the sign of the dividend or the divisor; of integers by 0: 0.
  Value mod(Value x, Value y, bool signOfDividend) const;
  Value max(Value x, Value y) const;
  Value min(Value x, Value y) const;
  Value select(Value condition, Value x, Value y) const;
  Value eq(Value x, Value y) const;
  Value lt(Value x, Value y) const;
  Value le(Value x, Value y) const;
};

using ScalarFn = llvm::function_ref<mlir::Value(const Scalar &, mlir::ValueRange)>;

/// All inputs and the output have one type; 8-bit floats are refused. `symbolic` is for integers.
Tensor sameType(Node &node, llvm::ArrayRef<Tensor> inputs, ScalarFn fn,
                ExtentFn symbolic = nullptr);
/// Input 0 to output 0, floats only; 16-bit floats are computed in f32 and rounded once.
void unaryFloat(Node &node, ScalarFn fn);

} // namespace attune::onnx
#endif
