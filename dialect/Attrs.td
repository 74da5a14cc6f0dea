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

#endif
