#include "attune/search/templates/ModelTemplate.h"
#include "attune/frontend/onnx/ReplaceAttention.h"
#include "attune/search/Document.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/xxhash.h"

#include <set>

namespace attune::search {

using llvm::createStringError;

std::vector<std::string> variableNames(llvm::ArrayRef<ModelChoice> choices) {
  std::set<std::string> used{"and", "or", "not"};
  std::vector<std::string> names;
  for (const ModelChoice &choice : choices) {
    std::string name;
    for (char c : choice.label)
      if (llvm::isAlnum(c))
        name += c;
      else if (!name.empty() && name.back() != '_')
        name += '_';
    if (name.empty() || llvm::isDigit(name[0]))
      name = "n" + name;
    std::string base = name;
    for (unsigned number = 2; !used.insert(name).second; ++number)
      name = base + "_" + std::to_string(number);
    names.push_back(name);
  }
  return names;
}

/// 0 is the model as it is; a change is the number of its slot, from 1, and of its alternative.
static uint64_t nameOf(uint64_t slot, uint64_t alternative) {
  return (slot + 1) << 16 | alternative;
}

llvm::Expected<std::unique_ptr<Template>> ModelTemplate::create(const Space &space) {
  std::unique_ptr<ModelTemplate> made(new ModelTemplate(space));
  if (llvm::Error error = made->read())
    return createStringError("template of " + space.model.file + ": " +
                             llvm::toString(std::move(error)));
  return std::move(made);
}

llvm::Expected<std::unique_ptr<Template>> createModelTemplate(const Space &space) {
  return ModelTemplate::create(space);
}

llvm::Error ModelTemplate::read() {
  file = space.pathOf(space.model.file);
  auto content = llvm::MemoryBuffer::getFile(file, /*IsText=*/false,
                                             /*RequiresNullTerminator=*/false);
  if (!content)
    return createStringError("cannot read " + file + ": " + content.getError().message());
  fingerprint = llvm::utohexstr(llvm::xxh3_64bits((*content)->getBuffer()));
  for (const auto &[symbol, size] : space.model.dims)
    options.fixedDims[symbol] = size;
  auto counted = onnx::countParameters(file);
  if (!counted)
    return counted.takeError();
  params = *counted;
  auto choices = findChoices(file, space.model.alternatives, options);
  if (!choices)
    return choices.takeError();
  std::vector<std::string> names = variableNames(*choices);
  std::vector<std::string> offered;
  for (size_t i = 0; i < choices->size(); ++i) {
    if ((*choices)[i].alternatives.size() < 2)
      continue;
    Slot &slot = slots.emplace_back();
    slot.choice = std::move((*choices)[i]);
    slot.variable = space.find(names[i]);
    offered.push_back(names[i]);
    if (!slot.variable)
      continue;
    if (llvm::Error error = bind(slot))
      return error;
  }
  if (slots.empty())
    return createStringError("the model has no softmax attention that " +
                             listed(space.model.alternatives) + " could stand for");
  for (const Variable &variable : space.variables)
    if (!llvm::is_contained(offered, variable.name))
      return createStringError("`" + variable.name + "` is no choice of the model; it has " +
                               listed(offered));
  return llvm::Error::success();
}

llvm::Error ModelTemplate::bind(Slot &slot) {
  const Variable &variable = *slot.variable;
  if (variable.kind != Variable::Kind::Categorical || variable.repeated)
    return createStringError("`" + variable.name + "` is a cat without `repeat`");
  for (const std::string &label : variable.labels) {
    auto found = llvm::find(slot.choice.alternatives, label);
    if (found == slot.choice.alternatives.end())
      return createStringError("`" + variable.name + "` cannot be `" + label + "`; it can be " +
                               listed(slot.choice.alternatives));
    slot.alternatives.push_back(found - slot.choice.alternatives.begin());
  }
  return llvm::Error::success();
}

std::vector<unsigned> ModelTemplate::decode(llvm::ArrayRef<int32_t> genes) const {
  llvm::SmallVector<double> values;
  llvm::BitVector active;
  space.decode(genes, values, active);
  std::vector<unsigned> alternatives;
  for (const Slot &slot : slots) {
    bool chosen = slot.variable && active[slot.variable->firstGene];
    alternatives.push_back(chosen ? slot.alternatives[genes[slot.variable->firstGene]] : 0);
  }
  return alternatives;
}

void ModelTemplate::blocks(llvm::ArrayRef<int32_t> genes, std::vector<uint64_t> &names) const {
  names.assign(1, 0);
  for (auto [slot, alternative] : llvm::enumerate(decode(genes)))
    names.push_back(nameOf(slot, alternative));
}

Model ModelTemplate::build(llvm::ArrayRef<unsigned> alternatives) const {
  Model model{.onnx = "", .file = file, .options = options, .params = params};
  for (auto [slot, alternative] : llvm::zip_equal(slots, alternatives))
    model.options.choices.emplace_back(slot.choice.label, slot.choice.alternatives[alternative]);
  return model;
}

Model ModelTemplate::whole(llvm::ArrayRef<int32_t> genes) const { return build(decode(genes)); }

llvm::Expected<std::string> ModelTemplate::onnx(llvm::ArrayRef<int32_t> genes) const {
  std::vector<onnx::Replacement> replacements;
  for (auto [slot, alternative] : llvm::zip_equal(slots, decode(genes)))
    if (alternative != 0)
      replacements.push_back({slot.choice.nodes, slot.choice.alternatives[alternative]});
  return onnx::replaceAttention(file, replacements);
}

llvm::Expected<const BlockCost *> ModelTemplate::original() { return uniform(""); }

llvm::Expected<const BlockCost *> ModelTemplate::uniform(const std::string &alternative) {
  auto found = known.find(alternative);
  if (found == known.end()) {
    std::vector<unsigned> alternatives;
    for (const Slot &slot : slots) {
      auto place = llvm::find(slot.choice.alternatives, alternative);
      bool legal = place != slot.choice.alternatives.end();
      alternatives.push_back(legal ? place - slot.choice.alternatives.begin() : 0);
    }
    auto cost = costOf(build(alternatives));
    if (!cost)
      return cost.takeError();
    found = known.emplace(alternative, std::move(*cost)).first;
  }
  return &found->second;
}

llvm::Expected<BlockCost> ModelTemplate::cost(uint64_t name) {
  auto whole = original();
  if (!whole)
    return whole.takeError();
  if (name == 0) {
    BlockCost model = **whole;
    model.arenaBytes = model.ioBytes = 0; // what is in use at one time is a matter of its slots
    return model;
  }
  unsigned alternative = name & 0xffff, changed = (name >> 16) - 1;
  if (alternative == 0)
    return **whole - **whole;
  std::vector<unsigned> alternatives(slots.size(), 0);
  alternatives[changed] = alternative;
  auto alone = costOf(build(alternatives));
  if (!alone)
    return alone.takeError();
  auto all = uniform(slots[changed].choice.alternatives[alternative]);
  if (!all)
    return all.takeError();
  BlockCost cost = std::move(*alone) - **whole;
  cost.arenaBytes = std::min(cost.arenaBytes, (*all)->arenaBytes);
  return cost;
}

} // namespace attune::search
