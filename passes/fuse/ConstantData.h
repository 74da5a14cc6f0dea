//===- ConstantData.h - The bytes of a constant tensor ----------------------------------------===//
#ifndef ATTUNE_PASSES_FUSE_CONSTANTDATA_H
#define ATTUNE_PASSES_FUSE_CONSTANTDATA_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"

namespace attune {

/// A constant's elements in place, row-major; one element if it is a splat. Not for i1.
class ConstantData {
public:
  explicit ConstantData(mlir::Value value) {
    mlir::ElementsAttr elements;
    if (mlir::matchPattern(value, mlir::m_Constant(&elements)))
      read(elements);
  }
  explicit ConstantData(mlir::ElementsAttr elements) { read(elements); }

  explicit operator bool() const { return known; }
  bool isSplat() const { return splat; }
  llvm::ArrayRef<char> bytes() const { return data; }
  template <typename T> llvm::ArrayRef<T> as() const {
    return {reinterpret_cast<const T *>(data.data()), data.size() / sizeof(T)};
  }

private:
  void read(mlir::ElementsAttr elements) {
    if (auto resource = mlir::dyn_cast<mlir::DenseResourceElementsAttr>(elements)) {
      if (mlir::AsmResourceBlob *blob = resource.getRawHandle().getBlob()) {
        data = blob->getData();
        known = true;
      }
    } else if (auto dense = mlir::dyn_cast<mlir::DenseElementsAttr>(elements)) {
      data = dense.getRawData();
      splat = dense.isSplat();
      known = true;
    }
  }

  llvm::ArrayRef<char> data;
  bool splat = false, known = false;
};

} // namespace attune
#endif
