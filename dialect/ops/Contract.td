#ifndef ATTUNE_DIALECT_OPS_CONTRACT_TD
#define ATTUNE_DIALECT_OPS_CONTRACT_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_ContractOp : Attune_Op<"contract", [Pure, AllTypesMatch<["init", "result"]>,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_WorkInterface>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "contraction or convolution without multiplications";
  let description = [{
    Every point of the loops adds a term to the element of the result at the third map, from those of
    `input` and `weight` at the first two. Loops that the third map does not use are summed over.

    | kind | term |
    | --- | --- |
    | `shift` | `x s 2^p`, with s in {-1, 0, 1} |
    | `adder` | `-\|x - w\|` |

    A shift weight is a float `s 2^p`, or an 8-bit code c with `s = sign(c)`, `p = \|c\| - exponent_bias`
    (c = 0: the weight 0). Integer operands of an adder are unsigned codes of one scale and zero point.
    Padding is the producer's: a position that is padded with 0 adds `-\|w\|` to an adder.

    Integers are shifted, and `rounding` says how. With p >= 0 the term is `s (x << p)`; below 0 it is

    | rounding | term |
    | --- | --- |
    | `floor_terms` | `s (x >> -p)`, arithmetic: every term is rounded down, then negated |
    | `truncate_terms` | `s x / 2^-p`, rounded towards 0 |
    | `unsigned_terms` | `s (x >> -p)` of the unsigned x |

    A shift by the width or more leaves 0, or -1 of a negative x in `floor_terms`. Terms have the
    input's type, are sign-extended to the result's and summed there; all of it wraps.

    | value | elements |
    | --- | --- |
    | `input` | float; shift also i32, i64; adder also i8 |
    | `weight` | float; shift also i8 codes, which integers need; as the input for an integer adder |
    | `init`, `result` | float; i32 for an integer adder; i32 or i64, no narrower than the input, for shifted integers |

    Floats are summed in f32 (f64 for an f64 result), starting from `init`, and cast once; their terms
    are `exact`. Any extent may be dynamic or 0. Maps have one result per axis: a loop, or a sum of loops times positive
    constants (`d0 * stride + d1 * dilation`); those of the result are distinct loops, and every loop is
    an axis of some operand.

    Errors: element types or maps that contradict this, extents that the maps leave, a constant float
    shift weight that is neither 0 nor a power of two, `exponent_bias` without codes, missing for
    them, or outside [1, 127], integers whose terms are `exact`, other terms that are not.

    Source: DeepShift (CVPR-W 2021), AdderNet (CVPR 2020), ShiftAddNAS (ICML 2022). Example:

    ```mlir
    %y = attune.contract ins(%x, %w : tensor<?x64xf32>, tensor<32x64xf32>) outs(%zero : tensor<?x32xf32>)
        {kind = #attune.contract_kind<adder>,
         indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                          affine_map<(m, n, k) -> (m, n)>]}
    ```
  }];
  let arguments = (ins AnyRankedTensor:$input, AnyRankedTensor:$weight, AnyRankedTensor:$init,
    Attune_ContractKindAttr:$kind, AffineMapArrayAttr:$indexing_maps,
    OptionalAttr<I64Attr>:$exponent_bias,
    DefaultValuedAttr<Attune_ContractRoundingAttr, "::attune::ContractRounding::Exact">:$rounding);
  let results = (outs AnyRankedTensor:$result);
  let extraClassDeclaration = [{
    bool isShift() { return getKind() == ::attune::ContractKind::Shift; }
    /// Whether the weights are codes of shifts.
    bool hasCodes();
    /// Whether terms are integers that are shifted.
    bool shiftsIntegers() { return getRounding() != ::attune::ContractRounding::Exact; }
    /// Of `input`, `weight` and `result`.
    ::llvm::SmallVector<::mlir::AffineMap> getMaps();
    /// The type in which terms are summed.
    ::mlir::Type getAccumType();
  }];
  let assemblyFormat = [{
    `ins` `(` $input `,` $weight `:` type($input) `,` type($weight) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict
  }];
  let hasVerifier = 1;
}

#endif
