#ifndef ATTUNE_DIALECT_ATTRS_TD
#define ATTUNE_DIALECT_ATTRS_TD
include "attune/dialect/Dialect.td"
include "mlir/IR/EnumAttr.td"

class Attune_EnumAttr<EnumInfo info, string mnemonic> : EnumAttr<Attune_Dialect, info, mnemonic> {
  let assemblyFormat = "`<` $value `>`";
}

// How attention weights become a row of coefficients.
def Attune_Weighting : I32Enum<"Weighting", "normalisation of attention weights", [
    I32EnumCase<"Softmax", 0, "softmax">, I32EnumCase<"None", 1, "none">,
    I32EnumCase<"Sum", 2, "sum">, I32EnumCase<"Count", 3, "count">]> {
  let cppNamespace = "::attune";
}
def Attune_WeightingAttr : Attune_EnumAttr<Attune_Weighting, "weighting">;

def Attune_EpsMode : I32Enum<"EpsMode", "how eps guards a denominator", [
    I32EnumCase<"Add", 0, "add">, I32EnumCase<"Clamp", 1, "clamp">]> {
  let cppNamespace = "::attune";
}
def Attune_EpsModeAttr : Attune_EnumAttr<Attune_EpsMode, "eps_mode">;

def Attune_EmptyRow : I32Enum<"EmptyRow", "value of a row without an allowed key", [
    I32EnumCase<"Zero", 0, "zero">, I32EnumCase<"NaN", 1, "nan">]> {
  let cppNamespace = "::attune";
}
def Attune_EmptyRowAttr : Attune_EnumAttr<Attune_EmptyRow, "empty_row">;

def Attune_NormKind : I32Enum<"NormKind", "what a normalisation subtracts and divides by", [
    I32EnumCase<"Layer", 0, "layer">, I32EnumCase<"RMS", 1, "rms">, I32EnumCase<"Group", 2, "group">]> {
  let cppNamespace = "::attune";
}
def Attune_NormKindAttr : Attune_EnumAttr<Attune_NormKind, "norm_kind">;

def Attune_ScanKind : I32Enum<"ScanKind", "associative operation of a scan", [
    I32EnumCase<"Sum", 0, "sum">, I32EnumCase<"Prod", 1, "prod">]> {
  let cppNamespace = "::attune";
}
def Attune_ScanKindAttr : Attune_EnumAttr<Attune_ScanKind, "scan_kind">;

// What a contraction does in place of a product.
def Attune_ContractKind : I32Enum<"ContractKind", "terms of a contraction", [
    I32EnumCase<"Shift", 0, "shift">, I32EnumCase<"Adder", 1, "adder">]> {
  let cppNamespace = "::attune";
}
def Attune_ContractKindAttr : Attune_EnumAttr<Attune_ContractKind, "contract_kind">;

// What a right shift of an integer leaves.
def Attune_ContractRounding : I32Enum<"ContractRounding", "rounding of the terms of a contraction", [
    I32EnumCase<"Exact", 0, "exact">, I32EnumCase<"FloorTerms", 1, "floor_terms">,
    I32EnumCase<"TruncateTerms", 2, "truncate_terms">,
    I32EnumCase<"UnsignedTerms", 3, "unsigned_terms">]> {
  let cppNamespace = "::attune";
}
def Attune_ContractRoundingAttr :
    Attune_EnumAttr<Attune_ContractRounding, "contract_rounding">;

// Which keys a query sees.
def Attune_Direction : I32Enum<"Direction", "positions that a query may see", [
    I32EnumCase<"Causal", 0, "causal">, I32EnumCase<"Bidirectional", 1, "bidirectional">]> {
  let cppNamespace = "::attune";
}
def Attune_DirectionAttr : Attune_EnumAttr<Attune_Direction, "direction">;

def Attune_Update : I32Enum<"Update", "recurrence of the state of linear attention", [
    I32EnumCase<"Sum", 0, "sum">, I32EnumCase<"Gated", 1, "gated">, I32EnumCase<"Delta", 2, "delta">,
    I32EnumCase<"GatedDelta", 3, "gated_delta">, I32EnumCase<"Momentum", 4, "momentum">,
    I32EnumCase<"AdaptiveMomentum", 5, "adaptive_momentum">]> {
  let cppNamespace = "::attune";
}
def Attune_UpdateAttr : Attune_EnumAttr<Attune_Update, "update">;

def Attune_Denominator : I32Enum<"Denominator", "which weights the denominator sums", [
    I32EnumCase<"Weighted", 0, "weighted">, I32EnumCase<"Plain", 1, "plain">]> {
  let cppNamespace = "::attune";
}
def Attune_DenominatorAttr : Attune_EnumAttr<Attune_Denominator, "denominator">;

// How an operator is computed: forms of one value that cost differently.
def Attune_Form : I32Enum<"Form", "way of computing an operator", [
    I32EnumCase<"Auto", 0, "auto">, I32EnumCase<"Quadratic", 1, "quadratic">,
    I32EnumCase<"Linear", 2, "linear">, I32EnumCase<"Chunked", 3, "chunked">,
    I32EnumCase<"Recurrent", 4, "recurrent">, I32EnumCase<"Fft", 5, "fft">]> {
  let cppNamespace = "::attune";
}
def Attune_FormAttr : Attune_EnumAttr<Attune_Form, "form">;

// Prices of forms as functions of sizes, for a choice at run time.
def Attune_FormPricesAttr : AttrDef<Attune_Dialect, "FormPrices"> {
  let mnemonic = "form_prices";
  let summary = "what each form costs, by the sizes of a call";
  let description = [{
    One price per form, in femtoseconds on one core, as a polynomial of sizes that are known only at
    run time. `sizes` gives pairs: the number of an operand (or, beyond the operands, of a result) and
    an axis of it. Kernels take the cheapest form, the first one of equals; prices that all forms have
    in common are left out.

    ```mlir
    // Quadratic below 128 positions, linear from there on.
    #attune.form_prices<[linear, quadratic] of [0, 2, 1, 2] : ()[s0, s1] -> (s0 * 64 + s1 * 64, s0 * s1)>
    ```
  }];
  let parameters = (ins ArrayRefParameter<"::attune::Form">:$forms, ArrayRefParameter<"int64_t">:$sizes,
    "::mlir::AffineMap":$prices);
  let assemblyFormat = "`<` `[` $forms `]` `of` `[` $sizes `]` `:` $prices `>`";
  let genVerifyDecl = 1;
}

def Attune_MapAct : I32Enum<"MapAct", "activation between stages of map mixing", [
    I32EnumCase<"None", 0, "none">, I32EnumCase<"Relu", 1, "relu">,
    I32EnumCase<"LeakyRelu", 2, "leaky_relu">]> {
  let cppNamespace = "::attune";
}
def Attune_MapActAttr : Attune_EnumAttr<Attune_MapAct, "map_act">;

#endif
