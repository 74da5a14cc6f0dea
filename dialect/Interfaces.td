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

def Attune_StateInterface : OpInterface<"StateOpInterface"> {
  let cppNamespace = "::attune";
  let description = [{
    Tiling with carried state: the operator as a loop over tiles of one reduction axis, where each
    tile hands a state on to the next, so that no intermediate is larger than a tile:

        state = buildInitialState
        for each tile: state = buildTile(offset, size, state)
        results = buildResults(state)

    Tiles may have any sizes, 0 too, but come in order and cover the axis. All tiles agree on the
    types of the state. The generated IR is that of the reference lowering, on slices.
  }];
  let methods = [
    InterfaceMethod<"What the state is, or why this op cannot be tiled.",
      "::attune::StateInfo", "getStateInfo", (ins)>,
    InterfaceMethod<"Extent of the axis; may build IR.",
      "::mlir::OpFoldResult", "getCarriedExtent", (ins "::mlir::OpBuilder &":$builder)>,
    InterfaceMethod<"The state before the first tile.",
      "::llvm::SmallVector<::mlir::Value>", "buildInitialState", (ins "::mlir::OpBuilder &":$builder)>,
    InterfaceMethod<"The state after a tile.",
      "::llvm::SmallVector<::mlir::Value>", "buildTile", (ins "::mlir::OpBuilder &":$builder,
        "::mlir::OpFoldResult":$offset, "::mlir::OpFoldResult":$size, "::mlir::ValueRange":$state)>,
    InterfaceMethod<"The op's results from the last state.",
      "::llvm::SmallVector<::mlir::Value>", "buildResults", (ins "::mlir::OpBuilder &":$builder,
        "::mlir::ValueRange":$state)>
  ];
}

def Attune_WorkInterface : OpInterface<"WorkOpInterface"> {
  let cppNamespace = "::attune";
  let description = [{
    What the operator computes, for the cost model. Extents are symbolic, so that one count serves
    every size: `extent(tensor, axis)` gives them for operands and results, as a constant, an index
    value, or null if unknown (the caller leaves such terms out).
  }];
  let methods = [
    InterfaceMethod<"The arithmetic, as a sum of boxes of equal iterations.",
      "::llvm::SmallVector<::attune::WorkTerm>", "getWork", (ins "::attune::ExtentOf":$extent)>,
    InterfaceMethod<"The box of iterations that can run at the same time without any exchange.",
      "::llvm::SmallVector<::mlir::OpFoldResult>", "getParallelExtents", (ins "::attune::ExtentOf":$extent),
      /*methodBody=*/"", /*defaultImplementation=*/[{
        return ::attune::getExtents($_op->getResult(0), extent);
      }]>
  ];
}

def Attune_FormInterface : OpInterface<"FormOpInterface"> {
  let cppNamespace = "::attune";
  let description = [{
    An operator that can be computed in several ways, equal up to rounding, that cost differently with
    its sizes. `auto` leaves the way to code generation, which may decide by sizes at run time.
  }];
  let methods = [
    InterfaceMethod<"The forms that attributes and operands permit, without `auto`.",
      "::llvm::SmallVector<::attune::Form>", "getForms", (ins)>,
    InterfaceMethod<"The form that was chosen, or `auto`.", "::attune::Form", "getForm", (ins)>,
    InterfaceMethod<"Chooses a form.", "void", "setForm", (ins "::attune::Form":$form)>,
    InterfaceMethod<"Has the cheapest form taken at run time; false if code generation cannot.",
      "bool", "choosesAtRunTime", (ins "::attune::FormPricesAttr":$prices),
      /*methodBody=*/"", /*defaultImplementation=*/"return false;">,
    InterfaceMethod<"The prices by which the form is taken at run time, or null.",
      "::attune::FormPricesAttr", "getRunTimePrices", (ins),
      /*methodBody=*/"", /*defaultImplementation=*/"return {};">
  ];
}

def Attune_RowsInterface : OpInterface<"RowsOpInterface"> {
  let cppNamespace = "::attune";
  let description = [{
    An operator that computes positions of an axis independently of each other, so that where only
    some of its result is read, only these positions need be computed.
  }];
  let methods = [
    InterfaceMethod<[{Builds the op for `count` positions of `axis` of its first result from `offset` on
      and returns that part of the result; null, and nothing built, where positions depend on each other
      or another result is used.}],
      "::mlir::Value", "buildRows", (ins "::mlir::OpBuilder &":$builder, "int64_t":$axis,
        "::mlir::OpFoldResult":$offset, "::mlir::OpFoldResult":$count)>
  ];
}

def Attune_SearchInterface : OpInterface<"SearchOpInterface"> {
  let cppNamespace = "::attune";
  let description = [{
    Integers of the operator's architecture that a search may change, with the values that keep the
    rest of the model valid.
  }];
  let methods = [
    InterfaceMethod<"The knobs; none by default.",
      "::llvm::SmallVector<::attune::SearchKnob>", "getSearchKnobs", (ins),
      /*methodBody=*/"", /*defaultImplementation=*/"return {};">
  ];
}

#endif
