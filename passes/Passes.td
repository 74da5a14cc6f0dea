#ifndef ATTUNE_PASSES_PASSES_TD
#define ATTUNE_PASSES_PASSES_TD
include "attune/passes/canonicalize/SelectChoices.td"
include "attune/passes/fuse/PackFilters.td"
include "attune/passes/raise/MapMix.td"
include "attune/passes/rewrite/ChooseForms.td"
include "attune/passes/rewrite/PushMapMix.td"
include "attune/passes/SequencePasses.td"
include "mlir/Pass/PassBase.td"

def CleanViews : Pass<"attune-clean-views", "::mlir::func::FuncOp"> {
  let summary = "Remove reshapes, transposes, slices and elementwise operators that change nothing.";
  let description = [{
    A view or elementwise operator whose every element is the element of another tensor at the same
    place is replaced by that tensor: inverse transposes and reshapes, slices of everything,
    broadcasts of equal shapes, casts there and back. A chain of views that only permutes axes
    becomes one transpose. Checks (`cf.assert`) in bodies that always hold go away.

    Before:
    ```mlir
    %0 = linalg.transpose ins(%x) outs(%a) permutation = [0, 2, 1]
    %1 = linalg.transpose ins(%0) outs(%b) permutation = [0, 2, 1]
    ```
    After: uses of `%1` use `%x`.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numRemoved", "removed", "Operators that change nothing">,
    Statistic<"numJoined", "joined", "Chains of views that became one transpose">,
    Statistic<"numChecks", "checks", "Checks that always hold">
  ];
}

def Decompose : Pass<"attune-decompose"> {
  let summary = "Replace every attune op by its reference lowering.";
  let description = [{
    Calls `DecomposeOpInterface::decompose` on every op that has it, inside `attune.kernel` too, and
    upstream's decomposition on `linalg.softmax`. What is left is linalg structured ops, tensor,
    arith, math and scf, which bufferisation and `convert-linalg-to-loops` accept: the
    always-correct path, the oracle of every numeric test and the fall-back of code generation.

    ```mlir
    %y = attune.norm ins(%x : tensor<4x8xf32>) {axis = 1, ...} -> tensor<4x8xf32>
    // becomes reductions for mean and variance, then one elementwise generic
    %s = linalg.generic {... "reduction"} ins(%x) outs(%zero) ...
    ```
  }];
  let dependentDialects = ["::attune::AttuneDialect"];
  let statistics = [Statistic<"numDecomposed", "num-decomposed", "Number of ops decomposed">];
}

def FoldAffine : Pass<"attune-fold-affine", "::mlir::func::FuncOp"> {
  let summary = "Fold factors and shifts per channel into constant weights.";
  let description = [{
    What follows a contraction or convolution with constant weights and is affine in its result, with
    constants that vary with the output channel only (batch normalisation in any spelling, a layer
    scale), becomes factors of the weights and one shift per channel. Every operator between must
    have one user. Factors are computed in f64 and rounded once.

    Before (generics written as expressions): `%y = %conv * %s + %b` with constants `%s`, `%b`.
    After: the weights of `%conv` times `%s`, `%y = %conv + %b`.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect"];
  let statistics = [Statistic<"numFolded", "folded", "Chains folded into weights">];
}

def FoldConstants : Pass<"attune-fold-constants", "::mlir::func::FuncOp"> {
  let summary = "Compute at compile time what depends on constants only.";
  let description = [{
    Linalg operators (elementwise, transposes, reductions, contractions), reshapes, slices and
    concatenations of constants become constants. Large results do not stand in the text. A result
    of more than 64 KiB must not be larger than the constants it comes from: weights stored as
    8-bit integers behind a cast and a scale stay that way.

    Before:
    ```mlir
    %w = arith.constant dense_resource<w> : tensor<32x64xf32>
    %t = linalg.transpose ins(%w) outs(%e) permutation = [1, 0]
    ```
    After:
    ```mlir
    %t = arith.constant dense_resource<folded> : tensor<64x32xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
  let statistics = [
    Statistic<"numFolded", "folded", "Operators replaced by constants">,
    Statistic<"numSkipped", "skipped", "Operators on constants that were too long or not understood">
  ];
}

def FormContractions : Pass<"attune-form-contractions", "::mlir::func::FuncOp"> {
  let summary = "Bring every contraction into one linalg.contract on unmerged axes.";
  let description = [{
    Named contractions and multiply-add generics become `linalg.contract`; transposes of operands
    become indexing maps; a contraction of operands whose rows or batches were merged by a reshape
    runs on the separate axes, and the reshape moves behind it and behind elementwise operators and
    softmax, where the exporter's second reshape cancels it.

    Before:
    ```mlir
    %0 = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x?x64xf32> into tensor<?x64xf32>
    %1 = linalg.matmul ins(%0, %w) outs(%zero) -> tensor<?x32xf32>
    %2 = tensor.expand_shape %1 [[0, 1], [2]] output_shape [%b, %s, 32] : ...
    ```
    After:
    ```mlir
    %2 = linalg.contract indexing_maps = [(b, s, n, k) -> (b, s, k), (b, s, n, k) -> (k, n),
                                          (b, s, n, k) -> (b, s, n)] ins(%x, %w) outs(%zero)
    ```
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def FormGelu : Pass<"attune-form-gelu", "::mlir::func::FuncOp"> {
  let summary = "Make one elementwise operator of a GELU in primitives.";
  let description = [{
    Looks for products with an erf or tanh whose value, as a function of one tensor, is GELU or its
    tanh form at a hundred points; the order of operators and the place of constants do not matter.

    Before (generics written as expressions): `%a = %x / 1.41421`, `%b = erf(%a)`, `%c = %b + 1`,
    `%d = %x * %c`, `%e = %d * 0.5`. After: one generic with `0.5 * x * (erf(x * 0.70711) + 1)`.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect"];
  let statistics = [Statistic<"numFormed", "formed", "GELUs formed">];
}

def FormNorms : Pass<"attune-form-norms", "::mlir::func::FuncOp"> {
  let summary = "Make attune.norm of layer and RMS normalisations in primitives.";
  let description = [{
    Recognises (x - mean) / sqrt(mean of squares + eps) over the last axes, without the mean for
    RMS, by division, reciprocal or rsqrt, squares by multiplication or power, and the scale and the
    bias behind it.

    Before (generics written as expressions): `%m = sum(%x) / 384`, `%d = %x - %m`,
    `%v = sum(%d * %d) / 384`, `%y = %d / sqrt(%v + 1e-5) * %g + %b`. After:
    ```mlir
    %y = attune.norm ins(%x : tensor<?x384xf32>) scale(%g : tensor<384xf32>) bias(%b : tensor<384xf32>)
        {axis = 1 : i64, eps = 1.0e-5 : f64, kind = #attune.norm_kind<layer>} -> tensor<?x384xf32>
    ```
  }];
  let dependentDialects = ["::attune::AttuneDialect"];
  let statistics = [Statistic<"numFormed", "formed", "Norms formed">];
}

def FormSoftmax : Pass<"attune-form-softmax", "::mlir::func::FuncOp"> {
  let summary = "Make linalg.softmax of a softmax in primitives.";
  let description = [{
    Recognises e / sum(e) with e = exp(x - max(x)). Without the maximum the forms differ where exp
    overflows, so that is formed only if x is bounded (clipped, or a multiple of tanh); otherwise
    the remark `SoftmaxNotFormed` of category `attune-canonicalize` says so.

    Before (generics written as expressions): `%m = max(%x)`, `%e = exp(%x - %m)`, `%s = sum(%e)`,
    `%p = %e / %s`. After:
    ```mlir
    %p = linalg.softmax dimension(3) ins(%x : tensor<?x12x?x?xf32>) outs(%init : tensor<?x12x?x?xf32>)
    ```
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
  let statistics = [
    Statistic<"numFormed", "formed", "Softmaxes formed">,
    Statistic<"numRefused", "refused", "Quotients of exponentials that may overflow">
  ];
}

def FuseElementwise : Pass<"attune-fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "Merge chains of elementwise generics.";
  let description = [{
    Upstream's fusion of elementwise operators, only where no element is computed twice: the producer
    has one user, and every iteration of that user reads another element.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::affine::AffineDialect"];
}

def FuseGatherProducers : Pass<"attune-fuse-gather-producers", "::mlir::func::FuncOp"> {
  let summary = "Compute the gathered elements of an elementwise result, not all of them.";
  let description = [{
    An embedding table that is stored as i8 is dequantised where it is gathered, not as a whole:

    ```mlir
    %w = linalg.generic ins(%q, %s) { sitofp, mulf }          // all rows
    %y = linalg.generic ins(%ids) { tensor.extract %w[%i, %j] }
    // becomes
    %y = linalg.generic ins(%ids) { extract %q[%i, %j]; sitofp; extract %s[%i, 0]; mulf }
    ```
    Only where all inputs of the producer are constants or the gather is its only user.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::tensor::TensorDialect"];
}

def PackWeights : Pass<"attune-pack-weights", "::mlir::func::FuncOp"> {
  let summary = "Store constant operands of contractions in column panels.";
  let description = [{
    A constant [K, N] (or transposed) right operand becomes `[ceil(N/16), K, 16]`, zero padded, behind
    a `linalg.unpack`; 16 columns on every ISA, so that one copy serves all. A weight that is stored
    as i8 and dequantised by a scale per column or per tensor stays i8:

    ```mlir
    %q = arith.constant dense_resource<packed> : tensor<24x384x16xi8>
    %m = linalg.unpack %q outer_dims_perm = [1, 0] inner_dims_pos = [1] inner_tiles = [16] into %e
    %w = linalg.generic ... ins(%m, %scale) { sitofp, mulf }
    %y = linalg.contract ... ins(%x, %w)
    ```
  }];
  let statistics = [Statistic<"numPacked", "packed", "weights packed">];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def RaiseAttention : Pass<"attune-raise-attention", "::mlir::func::FuncOp"> {
  let summary = "Raise attention to attune.attention.";
  let description = [{
    Finds a contraction of queries and keys, a softmax over the keys and a contraction with the
    values, whatever stands between them: scalar factors on scores, queries or keys, additive bias,
    masks as choices or as 0 / -inf terms, soft caps, a sink column, a guard against rows of NaN,
    transposes and reshapes, keys and values repeated for groups of heads. Matching is on the scalar
    that each tensor element is, never on names or on one exporter's sequence of operators.
    Where the scores come from elsewhere (a table, a mix of maps), they are the operand `scores`.

    Without a softmax, the weights may be any function of single scores and positions (relu squared,
    laplace, sigmoid; `weighting = none`), also divided by their sum, which something positive is
    added to or keeps from 0 (`sum`; before or after the contraction with the values). Weights that
    are a multiple of the scores are left to linear attention; keys or values that are learned
    matrices make it a layer, not attention. What makes a weight 0 whatever the score is becomes the
    mask: there, a result that would be NaN (infinity times 0) is 0.

    Needs contractions on zero-filled inits and `linalg.softmax`. Guarantees the same results up to
    rounding: -inf masks become the mask region with `empty_row = nan`, or `zero` behind the guard;
    finite masks stay in the score region unless every row keeps a key by position. With the guard,
    rows that are NaN because their inputs are become NaN instead of 0.

    Before, with `%bias` = select(%keep, 0, -inf) of shape [B,1,1,M] and element-wise generics
    written as expressions:
    ```mlir
    %s = linalg.contract indexing_maps = [q, k, s] ins(%q, %k) outs(%zero)
    %x = %s * 0.125 + %bias
    %p = linalg.softmax dimension(3) ins(%x) outs(%e)
    %o = linalg.contract indexing_maps = [p, v, o] ins(%p, %v) outs(%zero)
    ```
    After:
    ```mlir
    %o = attune.attention ins(%q, %k, %v) scale(%c) captures(%keep) {empty_row = nan} mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %keep: tensor<?x?xi1>):
      %p = tensor.extract %keep[%b, %j]
      attune.yield %p
    }
    ```
    Remarks of category `attune-raise`: `AttnRaised`, and `AttnNotRaised` with the reason.
  }];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::affine::AffineDialect"];
  let statistics = [
    Statistic<"numRaised", "raised", "Attentions raised">,
    Statistic<"numRefused", "refused", "Attentions recognised but not raised">
  ];
}

def SplitKronecker : Pass<"attune-split-kronecker", "::mlir::func::FuncOp"> {
  let summary = "Contract with the factors of a Kronecker product one after the other.";
  let description = [{
    A contraction with a product of two tensors that are summed over different axes (an image's map
    of rows times its map of columns, as in Couplformer) is two contractions, without the product:
    `h w (h + w)` instead of `(h w)^2` multiplications per channel. Sums over merged axes count,
    where both operands merged them. Rounding differs; infinite factors may give NaN elsewhere.

    Before, with `%ab[i, k, j, l] = %a[i, j] * %b[k, l]`:
    ```mlir
    %o = linalg.contract indexing_maps = [(i,k,c,j,l) -> (i,k,j,l), (i,k,c,j,l) -> (j,l,c),
                                          (i,k,c,j,l) -> (i,k,c)] ins(%ab, %v) outs(%zero)
    ```
    After:
    ```mlir
    %t = linalg.contract indexing_maps = [(j,c,k,l) -> (k,l), (j,c,k,l) -> (j,l,c),
                                          (j,c,k,l) -> (j,c,k)] ins(%b, %v) outs(%zero1)
    %o = linalg.contract indexing_maps = [(i,k,c,j) -> (i,j), (i,k,c,j) -> (j,c,k),
                                          (i,k,c,j) -> (i,k,c)] ins(%a, %t) outs(%zero)
    ```
    Remark of category `attune-rewrite`: `KroneckerSplit`.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numSplit", "split", "Contractions split">];
}

def RaiseLinearAttention : Pass<"attune-raise-linear-attention", "::mlir::func::FuncOp"> {
  let summary = "Raise attention with product weights to attune.linear_attention.";
  let description = [{
    Finds `sum_j sum_f u(i,f) y(j,f) v(j,e)` behind a sum, in any order of multiplication: through a
    state of keys and values, through a map of scores, through cumulative sums of outer products.
    The sums are expanded into one product of scalars, whose factors are told apart by the indices
    they depend on, so any arrangement of matrix products, einsums, transposes, feature maps and
    factors is the same. Divisors that are the same sum without `v` (plus eps, at least eps, or
    alone), or the number of visible keys, become the norm; `j <= i`, from masks or cumulative sums,
    makes it causal; a product with a mask of keys becomes `key_mask`; scalar maps of queries and
    keys become regions.

    Needs sums on zero-filled inits and `attune.scan`. Guarantees the same results up to rounding.
    Products of three data tensors without a norm are raised if all three share a batch axis.

    Before, with element-wise generics written as expressions:
    ```mlir
    %s = linalg.contract indexing_maps = [k, v, s] ins(%fk, %v) outs(%zero)
    %n = linalg.contract indexing_maps = [q, s, o] ins(%fq, %s) outs(%zero)
    %z = linalg.reduce { arith.addf } ins(%fk) outs(%zero) dimensions = [2]
    %d = linalg.contract indexing_maps = [q, z, d] ins(%fq, %z) outs(%zero)
    %o = %n / (%d + 1.0e-6)
    ```
    After:
    ```mlir
    %o = attune.linear_attention ins(%q, %k, %v) {direction = bidirectional, norm = sum, eps = 1.0e-6} phi_q {...} phi_k {...}
    ```
    Remarks of category `attune-raise`: `LinearAttnRaised`, and `LinearAttnNotRaised` with the reason.
  }];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::affine::AffineDialect",
                           "::mlir::cf::ControlFlowDialect"];
  let statistics = [
    Statistic<"numRaised", "raised", "Linear attentions raised">,
    Statistic<"numRefused", "refused", "Linear attentions recognised but not raised">
  ];
}

def TileState : Pass<"attune-tile-state"> {
  let summary = "Lower ops with carried state to a loop over tiles of their reduction axis.";
  let description = [{
    Every op with `StateOpInterface` becomes an `scf.for` that carries the op's state over tiles of
    `tile` elements: softmax attention becomes the online softmax, with intermediates of
    `[B,H,N,tile]` instead of `[B,H,N,M]`. Like the reference lowering it needs no further knowledge
    of the op; it is the fall-back where that one would take too much memory. Ops that cannot be
    tiled stay, with the remark `StateNotTiled`.

    ```mlir
    %o = attune.attention ins(%q, %k, %v : ...) -> tensor<1x8x?x64xf32>
    // becomes
    %s:3 = scf.for %t = %c0 to %m step %c128 iter_args(%top = ..., %sum = ..., %acc = ...) {...}
    %o = linalg.generic ins(%s#2, %s#1, %s#0) {... arith.divf ...}
    ```
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
  let options = [Option<"tile", "tile", "int64_t", "128", "Elements of the reduction axis per iteration">];
  let statistics = [
    Statistic<"numTiled", "tiled", "Ops lowered">,
    Statistic<"numRefused", "refused", "Ops that cannot be tiled">
  ];
}

def VerifyStage : Pass<"attune-verify-stage"> {
  let summary = "Check that a stage leaves only the dialects of its contract.";
  let description = [{
    A leak is reported where it happens, with the operator and the ONNX node's name, not as a failure
    to legalise many passes later. Regions of `attune.kernel` are not looked into.
  }];
  let options = [
    Option<"stage", "stage", "std::string", /*default=*/"", "name for the message">,
    ListOption<"allowed", "allowed", "std::string", "dialect namespaces or operator names">
  ];
}

#endif

