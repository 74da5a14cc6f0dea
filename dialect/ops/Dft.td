#ifndef ATTUNE_DIALECT_OPS_DFT_TD
#define ATTUNE_DIALECT_OPS_DFT_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_DftOp : Attune_Op<"dft", [Pure,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_WorkInterface>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "discrete Fourier transform along one axis";
  let description = [{
    With L = `length`, along `axis`: forward `y[k] = sum_{t<L} x[t] exp(-2 pi i k t / L)`, inverse
    `x[t] = 1/L sum_{k<L} y[k] exp(2 pi i k t / L)`. The last axis holds real and imaginary part
    (extent 2), or the real part alone (extent 1). An input longer than needed is cut, a shorter one
    continues with zeros.

    | form | input | result along `axis` | result's last axis |
    | --- | --- | --- | --- |
    | default, `inverse` | real or complex | L | 2 |
    | `onesided` | real | L / 2 + 1 | 2 |
    | `onesided, inverse` | complex, k in `[0, L / 2]`, continued by conjugates | L | 1 |

    Floats only. f16 and bf16 accumulate in f32; twiddle factors are computed in f64.

    Errors: an axis that is not in `[0, rank - 1)`, a last extent other than 1 or 2 or dynamic,
    `onesided` of a complex input, `onesided, inverse` of a real one.

    Source: ONNX DFT-20. Example:

    ```mlir
    %y = attune.dft %x length(%n) {axis = 1 : i64, onesided = true} : tensor<4x?x1xf32> -> tensor<4x?x2xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$input, Index:$length, I64Attr:$axis,
    DefaultValuedAttr<BoolAttr, "false">:$inverse, DefaultValuedAttr<BoolAttr, "false">:$onesided);
  let results = (outs AnyRankedTensor:$result);
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getInputType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getInput().getType());
    }
  }];
  let assemblyFormat = "$input `length` `(` $length `)` attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

#endif
