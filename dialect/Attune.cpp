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
