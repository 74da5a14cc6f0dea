#ifndef ATTUNE_DIALECT_OPS_CHOICE_TD
#define ATTUNE_DIALECT_OPS_CHOICE_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

def Attune_ChoiceOp : Attune_Op<"choice", [
    IsolatedFromAbove, RecursiveMemoryEffects, SingleBlock,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_SearchInterface, ["getSearchKnobs"]>,
    DeclareOpInterfaceMethods<RegionBranchOpInterface, ["getEntrySuccessorOperands"]>]> {
  let summary = "alternatives of an architecture search, one of which will run";
  let description = [{
    The results are those of one alternative, a named region that takes `inputs` as block arguments
    and yields one value per result. `selected` is its number. `attune-select-choices` replaces the op
    by the selected region; code generation refuses a choice that is left. A search finds the op as a
    knob, whose value is the number of the alternative (-1: none yet).

    Errors: no alternative, an empty region, names that are not one per region or not distinct,
    `selected` out of range, block arguments that are not the inputs, yielded types that are not the
    results'; in code generation: no `selected`. Source: mFormer (arXiv 2207.13955), SPViT
    (arXiv 2111.11802), ShiftAddNAS (ICML 2022). Example:

    ```mlir
    %y = attune.choice "block3.attention" ins(%x : tensor<1x8x?x64xf32>) {selected = 1 : i64} -> tensor<1x8x?x64xf32>
      alternative softmax {
      ^bb0(%a: tensor<1x8x?x64xf32>):
        %o = attune.attention ins(%a, %a, %a : tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>) -> tensor<1x8x?x64xf32>
        attune.yield %o : tensor<1x8x?x64xf32>
      } alternative linear {
      ^bb0(%a: tensor<1x8x?x64xf32>):
        %o = attune.linear_attention ins(%a, %a, %a : tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>) -> tensor<1x8x?x64xf32>
        attune.yield %o : tensor<1x8x?x64xf32>
      }
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$inputs, StrAttr:$label, StrArrayAttr:$names,
    OptionalAttr<I64Attr>:$selected);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region VariadicRegion<AnyRegion>:$alternatives);
  let extraClassDeclaration = [{
    /// Number of the alternative called `name`, if there is one.
    std::optional<int64_t> find(::llvm::StringRef name);
    /// The error of a choice that nothing selected.
    ::mlir::InFlightDiagnostic emitUnselected();
  }];
  let assemblyFormat = [{
    $label (`ins` `(` $inputs^ `:` type($inputs) `)`)? attr-dict `->` type($results)
    custom<Alternatives>($names, $alternatives)
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

#endif
