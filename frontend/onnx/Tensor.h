//===- Tensor.h - A tensor value during import ------------------------------------------------===//
//
// What a converter knows about a value of the graph: ONNX element type, symbolic shape, and one or
// more of: an SSA value, constant data, known contents (small integer tensors as extents). The SSA
// value is made on demand, so shape arithmetic that nothing computes with leaves no trace in the
// IR.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_TENSOR_H
#define ATTUNE_FRONTEND_ONNX_TENSOR_H

#include "attune/frontend/onnx/Extent.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include <memory>
#include <stdexcept>

namespace attune::onnx {

/// The user's model is wrong or unsupported. Thrown by converters, caught by the importer; must
/// never pass through an MLIR frame (so never throw from a callback that MLIR calls).
struct ImportError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An ONNX element type: the numbers of TensorProto.DataType.
class DType {
public:
  DType(int code = 0) : code(code) {}
  operator int() const { return code; }
  bool isFloat() const;
  bool isUnsigned() const;
  bool isFloat8() const { return isFloat() && bits() == 8; }
  bool isBool() const { return code == 9; }
  /// Signed, unsigned or bool.
  bool isInteger() const;
  /// Bits of one element; 0 if the type has no MLIR counterpart (strings, complex).
  unsigned bits() const;
  /// As in `tensor(float)`.
  std::string name() const;
  /// Signless integers; bool is i1, an 8-bit float i8 (its bits). Throws ImportError for strings
  /// and other types without one.
  mlir::Type type(mlir::MLIRContext *context) const;

private:
  int code;
};

inline const DType kFloat = 1, kUInt8 = 2, kInt8 = 3, kInt32 = 6, kInt64 = 7, kBool = 9;

/// Element (i0, i1, ...) is `start + step * i_axis`, or `start` if `axis` is -1.
struct Ramp {
  int64_t axis;
  Extent start;
  int64_t step;
};

/// A handle; copies share the value.
class Tensor {
public:
  /// Largest tensor whose contents are tracked element by element.
  static constexpr int64_t kMaxTracked = 64;

  Tensor() = default;
  explicit operator bool() const { return state != nullptr; }

  static Tensor ofValue(mlir::Value value, DType dtype, Shape shape);
  static Tensor ofConstant(mlir::ElementsAttr attr, DType dtype);
  /// Every element is `value`; made by a fill if it is needed as a tensor.
  static Tensor ofUniform(mlir::TypedAttr value, DType dtype, Shape shape);
  /// Integer or bool contents in row-major order; `shape` must be static.
  static Tensor ofContents(mlir::MLIRContext *context, llvm::ArrayRef<Extent> contents, DType dtype,
                           Shape shape);

  DType dtype() const { return state->dtype; }
  const Shape &shape() const { return state->shape; }
  int64_t rank() const { return state->shape.size(); }
  const Extent &dim(int64_t axis) const { return state->shape[axis]; }
  /// Product of the sizes.
  Extent size() const;
  std::optional<int64_t> staticSize() const { return size().constant(); }

  /// The value if it is a compile-time constant.
  mlir::ElementsAttr constant() const;
  /// The elements of a small integer or bool tensor, if known as extents.
  const std::optional<std::vector<Extent>> &contents() const;
  /// The one value that all elements have, as an attribute of the element type; null if unknown.
  mlir::TypedAttr splat() const;
  /// All elements as int64 or double, for constants of at most `limit` elements.
  std::optional<std::vector<int64_t>> constantInts(int64_t limit = 1 << 20) const;
  std::optional<std::vector<double>> constantFloats(int64_t limit = 1 << 20) const;

  /// How the elements follow from their position, if known: ranges, position tables, constants.
  std::optional<Ramp> ramp() const;
  void setRamp(std::optional<Ramp> ramp) { state->ramp = std::move(ramp); }
  /// The vectors that a stack along the last axis was made of; empty if unknown.
  llvm::ArrayRef<Tensor> columns() const;
  void setColumns(std::vector<Tensor> columns) { state->columns = std::move(columns); }

  /// The SSA value, made at `builder`'s place (constants: at the front) if there is none yet.
  mlir::Value value(mlir::OpBuilder &builder, mlir::Location loc, Extents &extents) const;
  mlir::RankedTensorType type(mlir::MLIRContext *context) const;

private:
  static Tensor make(mlir::MLIRContext *context, DType dtype, Shape shape);

  struct State {
    mlir::MLIRContext *context;
    DType dtype;
    Shape shape;
    mlir::Value value;
    mlir::ElementsAttr constant;
    std::optional<std::vector<Extent>> contents;
    bool contentsKnown = false;
    mlir::TypedAttr uniform;
    std::optional<Ramp> ramp;
    bool rampKnown = false;
    std::vector<Tensor> columns;
  };
  std::shared_ptr<State> state;
};

/// Static where an extent is constant.
llvm::SmallVector<int64_t> staticShape(llvm::ArrayRef<Extent> shape);

} // namespace attune::onnx
#endif
