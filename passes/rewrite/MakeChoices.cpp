#include "attune/dialect/Locations.h"
#include "attune/passes/Passes.h"
#include "attune/passes/rewrite/Alternatives.h"

#include "mlir/IR/Remarks.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_MAKECHOICES
#include "attune/passes/Passes.h.inc"

ArrayRef<const OperatorKind *> operatorKinds() {
  static const OperatorKind *const kinds[] = {&attentionKind()};
  return kinds;
}

namespace {
struct MakeChoices : impl::MakeChoicesBase<MakeChoices> {
  using MakeChoicesBase::MakeChoicesBase;

  void runOnOperation() override {
    SmallVector<const OperatorKind *> wanted;
    if (failed(readOptions(wanted)))
      return signalPassFailure();
    Sizes sizes(getOperation());
    llvm::StringSet<> labels;
    SmallVector<std::pair<Operation *, const OperatorKind *>> found;
    // What stands in a choice already is another search's.
    getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (auto choice = dyn_cast<ChoiceOp>(op)) {
        labels.insert(choice.getLabel());
        return WalkResult::skip();
      }
      for (const OperatorKind *kind : wanted)
        if (!kind->current(op).empty())
          found.emplace_back(op, kind);
      return WalkResult::advance();
    });
    for (auto [op, kind] : found)
      choose(op, *kind, sizes, labels);
  }

private:
  LogicalResult readOptions(SmallVectorImpl<const OperatorKind *> &wanted) {
    std::string known;
    for (const OperatorKind *kind : operatorKinds()) {
      known += (known.empty() ? "" : ", ") + kind->name().str();
      if (llvm::is_contained(kinds, kind->name()))
        wanted.push_back(kind);
    }
    for (const std::string &name : kinds)
      if (llvm::none_of(wanted, [&](const OperatorKind *kind) { return kind->name() == name; }))
        return getOperation().emitError("there is no kind of operators `")
               << name << "`; accepted: " << known;
    for (const std::string &name : alternatives) {
      if (llvm::any_of(wanted, [&](const OperatorKind *kind) { return kind->knows(name); }))
        continue;
      auto error = getOperation().emitError("there is no alternative `") << name << "`; accepted";
      for (const OperatorKind *kind : wanted)
        error << " for " << kind->name() << ": " << kind->accepted();
      return failure();
    }
    return success();
  }

  /// The last ONNX node that the operator stands for, made unique.
  static std::string labelOf(Operation *op, const OperatorKind &kind, llvm::StringSet<> &labels) {
    std::vector<std::string> names;
    collectNodeNames(op->getLoc(), names);
    std::string base = names.empty() ? kind.name().str() : names.back(), label = base;
    for (unsigned number = 2; !labels.insert(label).second; ++number)
      label = base + "." + std::to_string(number);
    return label;
  }

  void choose(Operation *op, const OperatorKind &kind, Sizes &sizes, llvm::StringSet<> &labels) {
    auto refuse = [&](StringRef alternative, const Twine &reason) {
      ++numRefused;
      std::vector<std::string> nodes;
      collectNodeNames(op->getLoc(), nodes);
      remark::missed(op->getLoc(), options("AlternativeRefused"))
          << remark::reason("no {0}: {1}", alternative, reason.str())
          << remark::add("nodes {0}", llvm::join(nodes, ", "));
    };
    SmallVector<StringRef> names{kind.current(op)};
    for (StringRef name : alternatives)
      if (kind.knows(name) && !llvm::is_contained(names, name))
        names.push_back(name);
    for (Value result : op->getResults().drop_front())
      if (!result.use_empty()) {
        for (StringRef name : ArrayRef(names).drop_front())
          refuse(name, "another result than the first is used");
        return;
      }

    llvm::SmallSetVector<Value, 8> inputs(op->operand_begin(), op->operand_end());
    SmallVector<Type> types =
        llvm::map_to_vector(inputs, [](Value input) { return input.getType(); });
    SmallVector<Location> locs(types.size(), op->getLoc());
    OpBuilder builder(op);
    std::vector<Region> bodies(names.size());
    SmallVector<Attribute> kept;
    for (StringRef name : names) {
      Region &body = bodies[kept.size()];
      Block *block = builder.createBlock(&body, {}, types, locs);
      IRMapping inside;
      inside.map(inputs.getArrayRef(), block->getArguments());
      std::string reason;
      Value result = kind.build(op, name, {builder, inside, sizes}, reason);
      if (!result) {
        block->erase();
        refuse(name, reason);
        continue;
      }
      builder.setInsertionPointToEnd(block);
      YieldOp::create(builder, op->getLoc(), result);
      kept.push_back(builder.getStringAttr(name));
    }
    builder.setInsertionPoint(op);
    IntegerAttr selected = kept.size() == 1 ? builder.getI64IntegerAttr(0) : IntegerAttr();
    auto whole = ChoiceOp::create(builder, op->getLoc(), op->getResult(0).getType(),
                                  inputs.getArrayRef(), labelOf(op, kind, labels),
                                  builder.getArrayAttr(kept), selected, kept.size());
    for (auto [alternative, body] : llvm::zip(whole.getAlternatives(), bodies))
      alternative.takeBody(body);
    op->getResult(0).replaceAllUsesWith(whole.getResult(0));
    op->erase();
    ++numMade;
    remark::passed(whole.getLoc(), options("ChoiceMade"))
        << remark::add("choice `{0}` of {1}", whole.getLabel(),
                       llvm::join(whole.getNames().getAsValueRange<StringAttr>(), ", "));
  }

  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-rewrite")
        .function(getOperation().getName());
  }
};
} // namespace
} // namespace attune
