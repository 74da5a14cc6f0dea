#include "attune/passes/Passes.h"
#include "attune/passes/canonicalize/ChoiceFile.h"

#include "mlir/IR/PatternMatch.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_SELECTCHOICES
#include "attune/passes/Passes.h.inc"

namespace {
struct SelectChoices : impl::SelectChoicesBase<SelectChoices> {
  using SelectChoicesBase::SelectChoicesBase;

  void runOnOperation() override {
    for (StringRef selection : choose) {
      // Names of alternatives have no `=`, those of ONNX nodes may.
      auto [label, name] = selection.rsplit('=');
      if (failed(select("choose", label, name)))
        return signalPassFailure();
    }
    if (!file.empty() && failed(selectFromFile()))
      return signalPassFailure();
    // Outer choices first: what stands in an alternative that is not selected does not matter.
    SmallVector<ChoiceOp> work;
    collect(getOperation()->getRegions(), work);
    bool missing = false;
    while (!work.empty()) {
      ChoiceOp op = work.pop_back_val();
      if (op.getSelected()) {
        collect(op.getAlternatives()[*op.getSelected()], work);
        replace(op);
        continue;
      }
      collect(op.getAlternatives(), work);
      missing = true;
      if (require)
        op.emitUnselected();
    }
    if (missing && require)
      signalPassFailure();
  }

private:
  LogicalResult selectFromFile() {
    auto selections = readChoiceFile(file);
    if (!selections)
      return getOperation()->emitError("file: ") << llvm::toString(selections.takeError());
    for (const auto &[label, name] : *selections)
      if (failed(select(file, label, name)))
        return failure();
    bool complete = true;
    getOperation()->walk([&](ChoiceOp op) {
      if (op.getSelected())
        return;
      complete = false;
      op.emitOpError("choice `") << op.getLabel() << "` has no alternative in " << file;
    });
    return success(complete);
  }

  /// `from`: who asks, for messages.
  LogicalResult select(StringRef from, StringRef label, StringRef name) {
    bool found = false, valid = true;
    getOperation()->walk([&](ChoiceOp op) {
      if (op.getLabel() != label)
        return;
      found = true;
      if (std::optional<int64_t> number = op.find(name)) {
        op.setSelected(*number);
        return;
      }
      valid = false;
      auto error = op.emitOpError("choice `")
                   << label << "` has no alternative `" << name << "`, found ";
      llvm::interleaveComma(op.getNames().getAsValueRange<StringAttr>(), error);
    });
    if (!found)
      getOperation()->emitError(from) << ": no choice is labelled `" << label << "`";
    return success(found && valid);
  }

  /// Adds the choices in `regions` that are in no other choice there.
  static void collect(MutableArrayRef<Region> regions, SmallVector<ChoiceOp> &work) {
    for (Region &region : regions)
      region.walk<WalkOrder::PreOrder>([&](ChoiceOp op) {
        work.push_back(op);
        return WalkResult::skip();
      });
  }

  void replace(ChoiceOp op) {
    IRRewriter rewriter(op);
    Block &block = op.getAlternatives()[*op.getSelected()].front();
    Operation *yield = block.getTerminator();
    rewriter.inlineBlockBefore(&block, op, op.getInputs());
    rewriter.replaceOp(op, yield->getOperands());
    rewriter.eraseOp(yield);
    ++numReplaced;
  }
};
} // namespace
} // namespace attune
