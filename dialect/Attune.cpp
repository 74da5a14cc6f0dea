#include "attune/dialect/ops/Support.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/OpImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

#include "attune/dialect/AttuneDialect.cpp.inc"
#include "attune/dialect/AttuneEnums.cpp.inc"
#include "attune/dialect/AttuneInterfaces.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "attune/dialect/AttuneAttrs.cpp.inc"
#define GET_OP_CLASSES
#include "attune/dialect/AttuneOps.cpp.inc"

llvm::LogicalResult
attune::FormPricesAttr::verify(llvm::function_ref<mlir::InFlightDiagnostic()> emitError,
                               llvm::ArrayRef<Form> forms, llvm::ArrayRef<int64_t> sizes,
                               mlir::AffineMap prices) {
  if (forms.empty() || prices.getNumResults() != forms.size() || prices.getNumDims() != 0 ||
      sizes.size() != 2 * prices.getNumSymbols())
    return emitError() << "form prices take one price per form and one symbol per size";
  if (llvm::any_of(sizes, [](int64_t number) { return number < 0; }))
    return emitError() << "sizes are pairs of an operand and an axis";
  return llvm::success();
}

void attune::AttuneDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "attune/dialect/AttuneAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "attune/dialect/AttuneOps.cpp.inc"
      >();
}
