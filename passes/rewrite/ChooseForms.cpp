#include "attune/passes/Passes.h"
#include "attune/passes/rewrite/Rewrite.h"

#include "mlir/IR/Remarks.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_CHOOSEFORMS
#include "attune/passes/Passes.h.inc"

namespace {

using Alternative = FormPrices::Alternative;

class ChooseForms : public impl::ChooseFormsBase<ChooseForms> {
public:
  using ChooseFormsBase::ChooseFormsBase;
  ChooseForms(ChooseFormsOptions options, const FormPrices *prices)
      : ChooseFormsBase(std::move(options)), prices(prices) {}

  void runOnOperation() override {
    std::optional<Form> wanted;
    if (!form.empty() && !(wanted = symbolizeForm(form))) {
      getOperation().emitError("there is no form `") << form << "`";
      return signalPassFailure();
    }
    getOperation().walk([&](FormOpInterface op) { choose(op, wanted); });
  }

private:
  void choose(FormOpInterface op, std::optional<Form> wanted) {
    SmallVector<Form> forms = op.getForms();
    if (wanted && *wanted != Form::Auto) {
      if (!llvm::is_contained(forms, *wanted)) {
        remark::missed(op.getLoc(), options("FormNotForced"))
            << remark::reason("{0} has no form `{1}`", op->getName(), stringifyForm(*wanted));
        return;
      }
      op.setForm(*wanted);
      ++numForced;
    }
    SmallVector<Alternative> alternatives;
    for (Form candidate : forms)
      alternatives.push_back({candidate, prices ? prices->seconds(op, candidate) : 0});
    FormPricesAttr atRunTime;
    if (op.getForm() == Form::Auto && !wanted && prices)
      atRunTime = decide(op, alternatives);
    report(op, alternatives, atRunTime);
  }

  /// Chooses now, or returns the prices by which the kernel will.
  FormPricesAttr decide(FormOpInterface op, ArrayRef<Alternative> alternatives) {
    SmallVector<Alternative> candidates;
    llvm::copy_if(alternatives, std::back_inserter(candidates),
                  [](const Alternative &a) { return a.form != Form::Fft; });
    if (candidates.size() < 2)
      return {};
    ++numChosen;
    if (std::optional<Form> fastest = isStatic(op) ? prices->measured(op) : std::nullopt;
        fastest && llvm::any_of(candidates, [&](auto &a) { return a.form == *fastest; })) {
      op.setForm(*fastest);
      prices->chose(op, candidates);
      return {};
    }
    if (!isStatic(op)) {
      SmallVector<Form> forms = llvm::map_to_vector(candidates, [](auto &a) { return a.form; });
      FormPricesAttr all = prices->atRunTime(op, forms), some = withoutDominated(all);
      if (some.getForms().size() == 1) {
        op.setForm(some.getForms().front());
        return {};
      }
      if (op.choosesAtRunTime(some))
        return some;
    }
    op.setForm(llvm::min_element(candidates, [](const Alternative &a, const Alternative &b) {
                 return a.seconds < b.seconds;
               })->form);
    if (isStatic(op))
      prices->chose(op, candidates);
    return {};
  }

  static bool isStatic(Operation *op) {
    auto hasStaticShape = [](Type type) {
      auto shaped = dyn_cast<ShapedType>(type);
      return !shaped || shaped.hasStaticShape();
    };
    return llvm::all_of(op->getOperandTypes(), hasStaticShape) &&
           llvm::all_of(op->getResultTypes(), hasStaticShape);
  }

  void report(FormOpInterface op, ArrayRef<Alternative> alternatives, FormPricesAttr atRunTime) {
    auto remark = remark::analysis(op.getLoc(), options("FormChosen"));
    remark << remark::add("{0}", op->getName())
           << remark::metric("form", stringifyForm(op.getForm()));
    if (prices)
      for (const Alternative &alternative : alternatives)
        remark << remark::metric(stringifyForm(alternative.form),
                                 llvm::formatv("{0:f6} ms", alternative.seconds * 1e3).str());
    if (atRunTime)
      remark << remark::metric("at run time", describeChoice(atRunTime));
  }

  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-rewrite")
        .function(getOperation().getName());
  }

  const FormPrices *prices = nullptr;
};

} // namespace

std::unique_ptr<Pass> createChooseForms(ChooseFormsOptions options, const FormPrices *prices) {
  return std::make_unique<ChooseForms>(std::move(options), prices);
}

} // namespace attune
