#ifndef ATTUNE_PASSES_CANONICALIZE_SELECTCHOICES_TD
#define ATTUNE_PASSES_CANONICALIZE_SELECTCHOICES_TD
include "mlir/Pass/PassBase.td"

def SelectChoices : Pass<"attune-select-choices"> {
  let summary = "Replace choices by their selected alternatives.";
  let description = [{
    Every `attune.choice` with `selected` becomes the body of that alternative; nested ones too.
    `choose=label=alternative` selects by name first. Choices without a selection stay, or are errors
    with `require`, as code generation needs.

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
    Option<"require", "require", "bool", "false", "Whether a choice without a selection is an error">
  ];
  let statistics = [Statistic<"numReplaced", "replaced", "Choices replaced">];
}

#endif
