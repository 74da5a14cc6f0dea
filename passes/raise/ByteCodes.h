//===- ByteCodes.h - Operands that hold codes of one byte -------------------------------------===//
//
// Quantised values as scalars: `scale * (byte + offset)`, however a graph spells it
// (DequantizeLinear, casts and arithmetic), behind zero padding, or as floats that were computed
// from codes when the graph was made. Where both operands of a distance are codes of one scale and
// offset, it is the distance of the bytes times the scale.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_BYTECODES_H
#define ATTUNE_PASSES_RAISE_BYTECODES_H

#include "attune/passes/raise/Elements.h"

namespace attune {

struct ByteCode {
  bool isSigned = false;
  float scale = 1;
  int64_t offset = 0;
  bool operator==(const ByteCode &other) const {
    return isSigned == other.isSigned && scale == other.scale && offset == other.offset;
  }
};

/// A scalar that is a code, and where its byte is: an element of a tensor of bytes, or of one that
/// `padding` makes by filling up a tensor of bytes as it fills up that of the floats.
struct ByteElement {
  ByteCode code;
  ElementOf element;
  mlir::tensor::PadOp padding;
  mlir::Value padded;
};
std::optional<ByteElement> matchByteElement(Elements &elements, mlir::Value scalar);

/// The tensor of `element` as unsigned bytes: signed ones have their first bit flipped.
mlir::Value unsignedBytes(mlir::OpBuilder &builder, mlir::Location loc, const ByteElement &element);

/// Whether the tensor is a constant of values that are all codes of this kind; then, as unsigned
/// bytes (else null).
bool holdsBytes(mlir::Value values, const ByteCode &code);
mlir::Value constantBytes(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value values,
                          const ByteCode &code);

} // namespace attune
#endif
