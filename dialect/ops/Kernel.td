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
    The region computes `results` from `inputs` and `dims` alone. Its block arguments are `inputs`
    then `dims`; `attune.yield` gives one tensor per result. `result_dims` lists the extent of every
    `?` of the results, in order. `input_dims` gives, for every `?` of every input in order, the
    number of the `dims` operand that is its extent, so that the region alone tells every extent.
    `kernel_name` becomes part of the symbol and of profiles, `backend` and `emitter` force a choice,
    `hash` identifies kernels that can share one function.

    Errors: block arguments that differ from the operands, yielded types that differ from the
    results, `result_dims` or `input_dims` of the wrong length.

    Source: a structure of this compiler. Example:

    ```mlir
    %y = attune.kernel ins(%x : tensor<?x8xf32>) dims(%n) result_dims(%n)
        attributes {input_dims = array<i64: 0>, kernel_name = "copy"} -> tensor<?x8xf32> {
    ^bb0(%a: tensor<?x8xf32>, %d: index):
      attune.yield %a : tensor<?x8xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$inputs, Variadic<Index>:$dims,
    Variadic<Index>:$result_dims, DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$input_dims,
    OptionalAttr<StrAttr>:$kernel_name, OptionalAttr<StrAttr>:$emitter,
    OptionalAttr<StrAttr>:$backend, OptionalAttr<StrAttr>:$hash);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let builders = [
    // With an empty block that has the right arguments; the caller fills it and ends it with a yield.
    OpBuilder<(ins "::mlir::TypeRange":$results, "::mlir::ValueRange":$inputs,
                   "::mlir::ValueRange":$dims, "::mlir::ValueRange":$result_dims,
                   "::llvm::ArrayRef<int64_t>":$input_dims)>
  ];
  let extraClassDeclaration = [{
    ::mlir::Block::BlockArgListType getInputArgs() {
      return getBody().front().getArguments().take_front(getInputs().size());
    }
    ::mlir::Block::BlockArgListType getDimArgs() {
      return getBody().front().getArguments().drop_front(getInputs().size());
    }
    YieldOp getYield();
  }];
  let assemblyFormat = [{
    (`ins` `(` $inputs^ `:` type($inputs) `)`)? (`dims` `(` $dims^ `)`)?
    (`result_dims` `(` $result_dims^ `)`)? attr-dict-with-keyword (`->` type($results)^)? $body
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

#endif
