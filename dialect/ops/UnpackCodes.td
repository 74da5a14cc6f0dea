#ifndef ATTUNE_DIALECT_OPS_UNPACKCODES_TD
#define ATTUNE_DIALECT_OPS_UNPACKCODES_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_UnpackCodesOp : Attune_Op<"unpack_codes", [Pure,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_WorkInterface>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "codes of shift weights from words of several codes each";
  let description = [{
    `words [ceil(N/16), ceil(K/P), 16]` hold `P = 32 div bits` codes each; `result [k..., N]` has the
    codes as `attune.contract` takes them, where the leading axes count to K in row-major order:

        field = (words[n div 16, k div P, n mod 16] >> (bits * (k mod P))) mod 2^bits
        result[k, n] = s m, where m = field mod 2^(bits - 1) and s = -1 if field > m, else 1

    The 16 columns of a panel lie in one
    vector, so that the codes of P neighbours in K are decoded from one load; 16 columns on every ISA.

    `words` is i32, `result` i8, both of static shape; `bits` is in [2, 8].

    Errors: types or extents that contradict this.

    Example:

    ```mlir
    %c = attune.unpack_codes %w {bits = 4 : i64} : tensor<2x8x16xi32> -> tensor<60x30xi8>
    ```
  }];
  let arguments = (ins AnyStaticShapeTensor:$words, I64Attr:$bits);
  let results = (outs AnyStaticShapeTensor:$result);
  let extraClassDeclaration = [{
    /// Columns of a panel.
    static constexpr int64_t kPanel = 16;
    static int64_t codesPerWord(int64_t bits) { return 32 / bits; }
    ::mlir::RankedTensorType getCodesType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getResult().getType());
    }
    /// Codes of a column.
    int64_t getDepth();
    /// The words of so many codes in so many columns.
    static ::mlir::RankedTensorType wordsType(::mlir::MLIRContext *context, int64_t depth,
                                              int64_t columns, int64_t bits);
  }];
  let assemblyFormat = "$words attr-dict `:` type($words) `->` type($result)";
  let hasVerifier = 1;
}

#endif
