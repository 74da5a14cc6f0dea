#include "attune/dialect/ops/Support.h"

#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace attune;

//===-- Syntax: `alternative name {...} alternative name {...}` -------------------------------===//

ParseResult attune::parseAlternatives(OpAsmParser &parser, ArrayAttr &names,
                                      SmallVectorImpl<std::unique_ptr<Region>> &alternatives) {
  SmallVector<Attribute> found;
  while (succeeded(parser.parseOptionalKeyword("alternative"))) {
    std::string name;
    alternatives.push_back(std::make_unique<Region>());
    if (parser.parseKeywordOrString(&name) || parser.parseRegion(*alternatives.back()))
      return failure();
    found.push_back(parser.getBuilder().getStringAttr(name));
  }
  names = parser.getBuilder().getArrayAttr(found);
  return success();
}

void attune::printAlternatives(OpAsmPrinter &printer, Operation *, ArrayAttr names,
                               RegionRange alternatives) {
  llvm::interleave(
      llvm::zip(names.getAsValueRange<StringAttr>(), alternatives),
      [&](auto alternative) {
        printer << "alternative ";
        printer.printKeywordOrString(std::get<0>(alternative));
        printer << ' ';
        printer.printRegion(*std::get<1>(alternative));
      },
      [&] { printer << ' '; });
}

//===-- Verification --------------------------------------------------------------------------===//

LogicalResult ChoiceOp::verify() {
  int64_t count = getAlternatives().size();
  if (count == 0)
    return emitOpError("needs at least one alternative");
  if (static_cast<int64_t>(getNames().size()) != count)
    return emitOpError("expects one name per alternative (")
           << count << "), found " << getNames().size();
  llvm::StringSet<> seen;
  for (StringRef name : getNames().getAsValueRange<StringAttr>())
    if (!seen.insert(name).second)
      return emitOpError("has two alternatives named `") << name << "`";
  if (auto selected = getSelectedAttr())
    if (selected.getInt() < 0 || selected.getInt() >= count)
      return emitOpError("selected must be in [0, ") << count << "), found " << selected.getInt();
  for (Region &alternative : getAlternatives())
    if (alternative.empty())
      return emitOpError("has an empty alternative");
  return success();
}

LogicalResult ChoiceOp::verifyRegions() {
  for (const auto &[name, alternative] :
       llvm::zip_equal(getNames().getAsValueRange<StringAttr>(), getAlternatives())) {
    if (alternative.getArgumentTypes() != getInputs().getTypes())
      return emitOpError("alternative `")
             << name << "` expects arguments (" << getInputs().getTypes() << "), found ("
             << alternative.getArgumentTypes() << ")";
    auto yield = dyn_cast<YieldOp>(alternative.front().getTerminator());
    if (!yield || yield->getOperandTypes() != getResultTypes())
      return emitOpError("alternative `")
             << name << "` must yield values of types (" << getResultTypes() << ")";
  }
  return success();
}

//===-- Interfaces ----------------------------------------------------------------------------===//

std::optional<int64_t> ChoiceOp::find(StringRef name) {
  for (auto [number, candidate] : llvm::enumerate(getNames().getAsValueRange<StringAttr>()))
    if (candidate == name)
      return number;
  return std::nullopt;
}

void ChoiceOp::getSuccessorRegions(RegionBranchPoint point,
                                   SmallVectorImpl<RegionSuccessor> &successors) {
  if (!point.isParent()) {
    successors.emplace_back(getOperation(), getOperation()->getResults());
    return;
  }
  for (auto [number, alternative] : llvm::enumerate(getAlternatives()))
    if (!getSelected() || *getSelected() == number)
      successors.emplace_back(&alternative, alternative.getArguments());
}

OperandRange ChoiceOp::getEntrySuccessorOperands(RegionSuccessor) { return getInputs(); }

SmallVector<SearchKnob> ChoiceOp::getSearchKnobs() {
  int64_t selected = getSelected() ? static_cast<int64_t>(*getSelected()) : -1;
  return {{getLabel().str(), selected,
           llvm::to_vector(llvm::seq<int64_t>(0, getAlternatives().size()))}};
}

InFlightDiagnostic ChoiceOp::emitUnselected() {
  InFlightDiagnostic error = emitOpError("unsupported: choice `")
                             << getLabel() << "` has no selected alternative, found ";
  llvm::interleaveComma(getNames().getAsValueRange<StringAttr>(), error);
  return error;
}

/// `attune-select-choices` replaces what is selected.
FailureOr<SmallVector<Value>> ChoiceOp::decompose(OpBuilder &) { return emitUnselected(); }
