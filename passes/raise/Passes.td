#ifndef ATTUNE_PASSES_RAISE_PASSES_TD
#define ATTUNE_PASSES_RAISE_PASSES_TD
include "mlir/Pass/PassBase.td"

include "attune/passes/raise/AttentionPasses.td"
include "attune/passes/raise/SumPasses.td"

def RaiseEma : Pass<"attune-raise-ema", "::mlir::func::FuncOp"> {
  let summary = "Raise long convolutions with decaying kernels to attune.ema.";
  let description = [{
    A causal `attune.toeplitz` whose coefficients are sums of exponentials, `k[t] = sum_n w_n a_n^t`,
    is a recurrence with n states per channel: 4 n flops an element instead of 2 L. The law is read
    from the operators that compute the kernel (`exp(t * log a)` or `pow(a, t)`, factors, one sum over
    n), at the level of scalars. Decays and weights become constants where they are; `a` is taken as it
    is where the graph has it, else it is exp(log a), computed in f64 and rounded once.

    Constant f32 and f64 taps are fitted (Prony's method in f64, one fit per channel): with at most 16
    decays per channel, a third as many as taps, within [-1, 1] and with weights that do not cancel,
    if the sum with rounded decays and weights is within 8 units of rounding (1e-6 in f32) of the
    channel's largest tap at every tap. Other constant kernels stay as they are.

    A kernel of constant length that is shorter than the sequence, and not 0 to rounding after the last
    tap, gives an average with a truncation, if that takes fewer multiply-adds than the taps. Not raised
    if a constant decay is beyond 1 in magnitude. With more decays than a third of the taps there would
    be nothing to win.

    A concatenation of steps `h_t = a h_{t-1} + b x_t`, each read as a sum over states `c h_t` and perhaps
    plus a table times x_t, as exporters unroll loops, is the same op: if all steps are the same but
    for their number and start from 0.

    Before, with `%k[t, c] = sum_n %w[c, n] * exp(t * %l[c, n])` and generics written as expressions:
    ```mlir
    %y = attune.toeplitz ins(%k, %x : tensor<?x8xf32>, tensor<2x?x8xf32>) -> tensor<2x?x8xf32>
    ```
    After, with `%a = exp(%l)`:
    ```mlir
    %y = attune.ema ins(%x : tensor<2x?x8xf32>) coeffs(%a, %one, %w : ...) -> tensor<2x?x8xf32>
    ```
    Remarks of category `attune-raise`: `EmaRaised`, and `EmaNotRaised` with the reason.
  }];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::affine::AffineDialect"];
  let statistics = [
    Statistic<"numRaised", "raised", "Moving averages raised">,
    Statistic<"numRefused", "refused", "Moving averages recognised but not raised">
  ];
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
    keys become regions. Factors that depend on the distance become Toeplitz coefficients, also where
    a table is shifted row by row (padded, reshaped and cut) or a constant matrix is so by its values;
    sums of products of functions of the query's and the key's position become position tables, as does
    a constant matrix of low rank, to 16 units of f32 rounding of each row's largest element: at most 16
    terms and a third of the positions.

    Terms for the keys of the query's own chunk and for the states of earlier chunks are joined where
    their weights add up, for every pair of places in chunks of constant length and any distance of
    chunks, to a constant or to momentum's `g (1 - mu^(i-j+1))` for `j <= i`, and to 0 otherwise. So are
    steps that an exporter unrolled, each adding to a state, up to 4,096 of them.

    Needs sums on zero-filled inits and `attune.scan`. Guarantees the same results up to rounding.
    Products of three data tensors without a norm are raised if all three share a batch axis, and
    none of them is the map of a softmax.

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

def RaiseRelativePositions : Pass<"attune-raise-relative-positions", "::mlir::func::FuncOp"> {
  let summary = "Raise kernel attention with relative positions by transforms to attune.linear_attention.";
  let description = [{
    Attention with weights `c[j - i] (u_i . y_j)` as a convolution for every pair of a feature and a
    value, followed by a contraction with the features of the queries: recognised by the inverse
    transform in front of that contraction, whose signal is a product of features and values. The sum
    over j is taken directly instead, in tiles, from tensors as small as the inputs.

    Not raised where the transforms are cheaper (thousands of positions with few features).

    Before, with a complex product of spectra as generics written as expressions:
    ```mlir
    %x[b, h, f, e, n] = %y[b, h, n, f] * %v[b, h, n, e]
    %p = complex product of dft(%x) and dft(%c)
    %s = attune.dft %p length(%n) {inverse = true, onesided = true}
    %o = linalg.contract ins(%u, %s)   // over f
    ```
    After:
    ```mlir
    %o = attune.linear_attention ins(%u, %y, %v) toeplitz(%c) {direction = bidirectional}
    ```
    Remarks of category `attune-raise`: `RelativePositionsRaised`, and `RelativePositionsNotRaised` with
    the reason.
  }];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::affine::AffineDialect"];
  let statistics = [
    Statistic<"numRaised", "raised", "Attentions raised">,
    Statistic<"numRefused", "refused", "Attentions recognised but not raised">
  ];
}

def RaiseScatterWindows : Pass<"attune-raise-scatter-windows", "::mlir::func::FuncOp"> {
  let summary = "Put windows of updates beside the rest of the tensor instead of one by one.";
  let description = [{
    A scatter whose index along each axis is a constant plus a leading axis of its own, as exporters
    write assignments to slices (`x[..., 8:24] = u`), is a concatenation of slices of the data with
    the updates. At most one axis may be covered in part; indices may be constants or ranges that
    the model computes.

    Before:
    ```mlir
    // %at[i, j] = (i, j + 8)
    %y = attune.scatter ins(%x, %at, %u : tensor<?x32xf32>, tensor<?x16x2xi64>, tensor<?x16xf32>) -> tensor<?x32xf32>
    ```
    After:
    ```mlir
    %l = tensor.extract_slice %x[0, 0] [%n, 8] [1, 1] : tensor<?x32xf32> to tensor<?x8xf32>
    %r = tensor.extract_slice %x[0, 24] [%n, 8] [1, 1] : tensor<?x32xf32> to tensor<?x8xf32>
    %y = tensor.concat dim(1) %l, %u, %r : (...) -> tensor<?x32xf32>
    ```
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numRaised", "raised", "Scatters replaced">];
}

def RaiseToeplitz : Pass<"attune-raise-toeplitz", "::mlir::func::FuncOp"> {
  let summary = "Raise convolutions by Fourier transforms to attune.toeplitz.";
  let description = [{
    Finds the inverse transform of a product of two spectra of real signals, written out as four
    products of real and imaginary parts, and the part of its result that is read. With N the length
    of the transforms, output t takes input m with coefficient `k[(t - m) mod N]`, whatever padding,
    slices, transposes and broadcasts stand around: causal where no difference wraps around onto a
    coefficient, else bidirectional with coefficients gathered once.

    Raised if the kernel is a sum of exponentials (see `attune-raise-ema`), if a size is dynamic, or
    if the direct product costs less than the transforms. The direct product is the more exact one:
    the error of a transform is relative to the largest value of a channel.

    A depthwise convolution along one axis, padded in front by all taps but one, is such a product
    too; raised from 16 taps on, with fewer where channels lie innermost already.

    Before, with complex products as generics written as expressions:
    ```mlir
    %fx = attune.dft %x length(%n) {axis = 1, onesided = true}
    %fk = attune.dft %k length(%n) {axis = 1, onesided = true}
    %p = complex product of %fx and %fk
    %y = attune.dft %p length(%n) {axis = 1, inverse = true, onesided = true}
    %z = tensor.extract_slice %y[0, 0, 0] [2, %l, 1] [1, 1, 1]
    ```
    After:
    ```mlir
    %z = attune.toeplitz ins(%k, %x) {direction = causal}
    ```
    Remarks of category `attune-raise`: `ToeplitzRaised`, and `ToeplitzNotRaised` with the reason.
  }];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::affine::AffineDialect"];
  let statistics = [
    Statistic<"numRaised", "raised", "Convolutions raised">,
    Statistic<"numRefused", "refused", "Convolutions recognised but not raised">
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

#endif
