#ifndef ATTUNE_DIALECT_OPS_KERNEL_TD
#define ATTUNE_DIALECT_OPS_KERNEL_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_KernelOp : Attune_Op<"kernel", [
    AttrSizedOperandSegments, IsolatedFromAbove, Pure, SingleBlock,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "a fused region: one unit of scheduling, code generation, cost and profiling";
  let description = [{
    Block arguments are `inputs` then `dims`; `attune.yield` gives one tensor per result.
    `result_dims` lists the extent of every `?` of the results, in order.
    `input_dims` gives, for every `?` of every input in order, the number of the `dims` operand that
    is its extent, so that the region alone tells every extent.
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$inputs, Variadic<Index>:$dims,
    Variadic<Index>:$result_dims, DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$input_dims,
    OptionalAttr<StrAttr>:$kernel_name, OptionalAttr<StrAttr>:$emitter,
    OptionalAttr<StrAttr>:$backend, OptionalAttr<StrAttr>:$hash);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasVerifier = 1;
}

#endif
