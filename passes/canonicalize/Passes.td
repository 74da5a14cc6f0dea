#ifndef ATTUNE_PASSES_CANONICALIZE_PASSES_TD
#define ATTUNE_PASSES_CANONICALIZE_PASSES_TD
include "mlir/Pass/PassBase.td"

def CleanViews : Pass<"attune-clean-views", "::mlir::func::FuncOp"> {
  let summary = "Remove reshapes, transposes, slices and elementwise operators that change nothing.";
  let description = [{
    A view or elementwise operator whose every element is the element of another tensor at the same
    place is replaced by that tensor: inverse transposes and reshapes, slices of everything,
    broadcasts of equal shapes, casts there and back. A chain of views that only permutes axes
    becomes one transpose. Checks (`cf.assert`) in bodies that always hold go away. Concatenations of
    slices of concatenations along one axis become one, and a slice of one of its inputs is taken from
    that input ([FlattenConcats.h](FlattenConcats.h)).

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

def SelectChoices : Pass<"attune-select-choices"> {
  let summary = "Replace choices by their selected alternatives.";
  let description = [{
    Every `attune.choice` with `selected` becomes the body of that alternative; nested ones too.
    `choose=label=alternative` selects by name first, and so does `file`, a JSON object of labels and
    alternatives, which must leave no choice open. Choices without a selection stay, or are errors with
    `require`, as code generation needs. Errors: labels and alternatives that do not exist, choices that
    the file leaves open.

    Before:
    ```mlir
    %y = attune.choice "act" ins(%x : tensor<4xf32>) {selected = 1 : i64} -> tensor<4xf32> alternative keep {
    ^bb0(%a: tensor<4xf32>):
      attune.yield %a : tensor<4xf32>
    } alternative sum {
    ^bb0(%a: tensor<4xf32>):
      %s = attune.scan %a {axis = 0 : i64, kind = #attune.scan_kind<sum>} : tensor<4xf32>
      attune.yield %s : tensor<4xf32>
    }
    ```
    After: `%y = attune.scan %x {axis = 0 : i64, kind = #attune.scan_kind<sum>} : tensor<4xf32>`.
  }];
  let options = [
    ListOption<"choose", "choose", "std::string", "Selections, label=alternative">,
    Option<"file", "file", "std::string", "", "JSON file with a selection for every choice that has none">,
    Option<"require", "require", "bool", "false", "Whether a choice without a selection is an error">
  ];
  let statistics = [Statistic<"numReplaced", "replaced", "Choices replaced">];
}

#endif
