#ifndef ATTUNE_DIALECT_DIALECT_TD
#define ATTUNE_DIALECT_DIALECT_TD
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"

def Attune_Dialect : Dialect {
  let name = "attune";
  let cppNamespace = "::attune";
  let summary = "Attention variants, normalisations, scans and fused kernels.";
  let description = [{
    What attention-aware passes must still see: attention in every variant, and the few helper
    operators that linalg cannot express. Everything else stays in linalg, tensor, arith and math.
    Every operator has a reference lowering (`--attune-decompose`).
  }];
  let dependentDialects = [
    "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::math::MathDialect", "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
  let useDefaultAttributePrinterParser = 1;
}

class Attune_Op<string mnemonic, list<Trait> traits = []> : Op<Attune_Dialect, mnemonic, traits>;

#endif
