#ifndef ATTUNE_DIALECT_INTERFACES_TD
#define ATTUNE_DIALECT_INTERFACES_TD
include "mlir/IR/OpBase.td"

def Attune_DecomposeInterface : OpInterface<"DecomposeOpInterface"> {
  let cppNamespace = "::attune";
  let description = [{
    Reference lowering: the operator as plain linalg, tensor, arith, math and scf. Always correct,
    never fast; the oracle of every numeric test and the fall-back of code generation.
  }];
  let methods = [
    InterfaceMethod<"Builds the lowering in front of the op and returns one value per result, of the same type.",
      "::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>", "decompose", (ins "::mlir::OpBuilder &":$builder)>
  ];
}

#endif
