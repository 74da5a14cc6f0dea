//===- Float8.h - Floats of 8 bits ------------------------------------------------------------===//
//
// No code generator here knows them, so that their tensors hold the bits as i8; casts compute with
// the bits, and everything else is refused or moves elements only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_FLOAT8_H
#define ATTUNE_FRONTEND_ONNX_FLOAT8_H

#include "attune/frontend/onnx/Tensor.h"

namespace attune::onnx {

/// The f32 that the bits stand for.
mlir::Value decodeFloat8(mlir::OpBuilder &b, mlir::Location loc, mlir::Value bits, DType dtype);
/// An f32 rounded to nearest even. What is too large becomes the largest value with `saturate`,
/// else infinity where the type has one and NaN where it has not.
mlir::Value encodeFloat8(mlir::OpBuilder &b, mlir::Location loc, mlir::Value f32, DType dtype,
                         bool saturate);
/// The same at compile time.
uint8_t encodeFloat8(double value, DType dtype);
double decodeFloat8(uint8_t bits, DType dtype);

} // namespace attune::onnx
#endif
