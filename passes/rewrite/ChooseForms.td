#ifndef ATTUNE_PASSES_REWRITE_CHOOSEFORMS_TD
#define ATTUNE_PASSES_REWRITE_CHOOSEFORMS_TD
include "mlir/Pass/PassBase.td"

def ChooseForms : Pass<"attune-choose-forms", "::mlir::func::FuncOp"> {
  let summary = "Choose how each operator with several forms is computed.";
  let description = [{
    Works on operators with `FormOpInterface`. `form` forces that form wherever it is legal; elsewhere
    the remark `FormNotForced` of category `attune-rewrite` says so. Otherwise, where all sizes are
    static and the cost model is at hand, the cheapest form is chosen; `auto` stays where sizes are
    dynamic, and kernels then decide at run time. The remark `FormChosen` lists the alternatives with
    their prices.

    Before, with `form=chunked`:
    ```mlir
    %o = attune.linear_attention ins(%q, %k, %v : ...) -> tensor<1x8x?x64xf32>
    ```
    After:
    ```mlir
    %o = attune.linear_attention ins(%q, %k, %v : ...) {form = #attune.form<chunked>} -> tensor<1x8x?x64xf32>
    ```
  }];
  let options = [
    Option<"form", "form", "std::string", "", "auto, quadratic, linear, chunked, recurrent or fft; empty: by cost">
  ];
  let statistics = [
    Statistic<"numChosen", "chosen", "Forms chosen by cost">,
    Statistic<"numForced", "forced", "Forms that the option chose">
  ];
}

#endif
