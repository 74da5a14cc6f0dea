#ifndef ATTUNE_DIALECT_OPS_YIELD_TD
#define ATTUNE_DIALECT_OPS_YIELD_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

def Attune_YieldOp : Attune_Op<"yield", [Pure, Terminator, ReturnLike,
    ParentOneOf<["AttentionOp", "ChoiceOp", "KernelOp", "LinearAttentionOp", "ScatterOp"]>]> {
  let summary = "terminator of every attune region";
  let description = [{
    Gives the values of the enclosing region to its op, which says how many and of which types.

    Errors: a parent that is not an attune op with regions. Source: a structure of this compiler.
    Example: `attune.yield %y : f32`.
  }];
  let arguments = (ins Variadic<AnyType>:$values);
  let builders = [OpBuilder<(ins), [{ build($_builder, $_state, ::mlir::ValueRange()); }]>];
  let assemblyFormat = "attr-dict ($values^ `:` type($values))?";
}

#endif
