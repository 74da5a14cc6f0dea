// Passes of sequence operators: convolutions, moving averages, Toeplitz products.
#ifndef ATTUNE_PASSES_SEQUENCEPASSES_TD
#define ATTUNE_PASSES_SEQUENCEPASSES_TD
include "mlir/Pass/PassBase.td"

def RaiseEma : Pass<"attune-raise-ema", "::mlir::func::FuncOp"> {
  let summary = "Raise long convolutions with decaying kernels to attune.ema.";
  let description = [{
    A causal `attune.toeplitz` whose coefficients are sums of exponentials, `k[t] = sum_n w_n a_n^t`,
    is a recurrence with n states per channel: 4 n flops an element instead of 2 L. The law is read
    from the operators that compute the kernel (`exp(t * log a)` or `pow(a, t)`, factors, one sum over
    n), at the level of scalars. Decays and weights become constants where they are; `a` is taken as it
    is where the graph has it, else it is exp(log a), computed in f64 and rounded once.

    Needs kernels as long as the sequence. Not raised if a constant decay is beyond 1 in magnitude.

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
    too; raised from 16 taps on.

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

def SequenceForms : Pass<"attune-sequence-forms", "::mlir::func::FuncOp"> {
  let summary = "Compute moving averages and Toeplitz products in the form asked for.";
  let description = [{
    `form` of `attune.ema` and `attune.toeplitz` says how they are computed; what the kernels do not do
    themselves becomes other operators here. An average with a truncation, or with `form = quadratic`
    or `fft`, is the convolution with its own response to an impulse; a Toeplitz product with `form =
    fft` is a product of spectra, of the next even length without prime factors beyond 5 that holds
    both signals. A truncation that no sequence reaches is dropped.

    The transforms are less exact than the direct product (their error is relative to the largest value
    of a channel), so they are never chosen here without being asked for.

    Before:
    ```mlir
    %y = attune.ema ins(%x) coeffs(%a, %b, %c) {truncation = 4}
    ```
    After, with `%impulse` = 1, 0, 0, 0 in every channel:
    ```mlir
    %k = attune.ema ins(%impulse) coeffs(%a, %b, %c)
    %y = attune.toeplitz ins(%k, %x) {direction = causal}
    ```
    Remarks of category `attune-rewrite`: `FormUsed`, and `FormNotUsed` with the reason.
  }];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::affine::AffineDialect"];
  let statistics = [Statistic<"numRewritten", "rewritten", "Operators in another form">];
}

#endif
