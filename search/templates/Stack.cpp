#include "attune/search/templates/Stack.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>

namespace attune::search {

using llvm::createStringError;

static constexpr int64_t kMost = 1 << 16;

int64_t FixedNumbers::read(llvm::StringRef name, std::optional<int64_t> otherwise) {
  auto text = space.fixed.find(name.str());
  std::string found;
  int64_t value = otherwise.value_or(1);
  if (text == space.fixed.end()) {
    if (!otherwise)
      found = "`fixed` needs `" + name.str() + "`";
  } else if (llvm::StringRef(text->second).getAsInteger(10, value) || value < 1 || value > kMost) {
    found = llvm::formatv("`{0}` is a whole number from 1 to {1}; found `{2}`", name, kMost,
                          text->second);
  }
  if (wrong.empty())
    wrong = found;
  return value;
}

llvm::Error FixedNumbers::takeError() {
  return wrong.empty() ? llvm::Error::success() : createStringError(wrong);
}

static std::optional<Mixing> mixingOf(llvm::StringRef label) {
  if (label == "softmax")
    return Mixing{Mixing::Kind::Softmax};
  if (label == "linear")
    return Mixing{Mixing::Kind::Linear};
  if (label == "cosformer")
    return Mixing{Mixing::Kind::Cosformer};
  int64_t reach = 3;
  if (label.consume_front("local")) {
    if (label.getAsInteger(10, reach) || reach < 1)
      return std::nullopt;
    return Mixing{Mixing::Kind::Local, reach};
  }
  if (label.consume_front("conv") &&
      (label.empty() ||
       (!label.getAsInteger(10, reach) && reach % 2 == 1 && reach > 0 && reach < 1024)))
    return Mixing{Mixing::Kind::Conv, reach};
  return std::nullopt;
}

static llvm::Expected<const Variable *> intVariable(const Space &space, const std::string &name,
                                                    const Variable &attn) {
  const Variable *variable = space.find(name);
  if (variable && (variable->kind != Variable::Kind::Integer ||
                   (variable->repeated && variable->elements < attn.elements) ||
                   llvm::any_of(variable->numbers, [](double x) { return x < 1 || x > kMost; })))
    return createStringError("`" + name + "` is an int of at least 1, once or for every layer");
  return variable;
}

llvm::Expected<Stack> Stack::read(const Space &space, const std::string &prefix, int64_t width,
                                  bool causal) {
  Stack stack;
  stack.attn = space.find(prefix + "attn");
  if (!stack.attn || stack.attn->kind != Variable::Kind::Categorical)
    return createStringError("needs a variable `" + prefix + "attn` of kind cat");
  for (const std::string &label : stack.attn->labels) {
    std::optional<Mixing> mixing = mixingOf(label);
    if (!mixing)
      return createStringError("`" + prefix +
                               "attn` is softmax, linear, cosformer, localN (N positions to both "
                               "sides), conv or convK (K odd); found `" +
                               label + "`");
    mixing->causal = causal;
    stack.mixings.push_back(*mixing);
  }
  for (auto [name, variable] : {std::pair("heads", &stack.heads), {"ffn", &stack.ffn}}) {
    auto found = intVariable(space, prefix + name, *stack.attn);
    if (!found)
      return found.takeError();
    *variable = *found;
  }
  FixedNumbers fixed(space);
  stack.fixedHeads = fixed.optional(prefix + "heads", 4);
  stack.fixedFfn = fixed.optional(prefix + "ffn", 4 * width);
  if (llvm::Error error = fixed.takeError())
    return error;
  std::vector<double> counts = stack.heads ? stack.heads->numbers : std::vector<double>();
  counts.push_back(stack.heads && !stack.heads->when ? counts[0] : stack.fixedHeads);
  for (double count : counts)
    if (width % static_cast<int64_t>(count) != 0)
      return createStringError("`d` is " + llvm::Twine(width) + ", which does not divide into " +
                               llvm::Twine(static_cast<int64_t>(count)) + " heads");
  return stack;
}

/// The value of a variable at a layer, or what is fixed.
static uint32_t number(const Variable *variable, unsigned layer, llvm::ArrayRef<double> values,
                       int64_t otherwise) {
  if (!variable)
    return otherwise;
  double value = values[variable->firstValue + (variable->repeated ? layer : 0)];
  return static_cast<uint32_t>(std::isnan(value) ? otherwise : value);
}

llvm::SmallVector<Stack::Layer, 16> Stack::layers(llvm::ArrayRef<int32_t> genes,
                                                  llvm::ArrayRef<double> values,
                                                  const llvm::BitVector &active) const {
  llvm::SmallVector<Layer, 16> result;
  for (unsigned layer = 0; layer < attn->elements; ++layer) {
    unsigned gene = attn->firstGene + layer;
    if (!active[gene])
      continue;
    result.push_back({static_cast<unsigned>(genes[gene]), number(heads, layer, values, fixedHeads),
                      number(ffn, layer, values, fixedFfn)});
  }
  return result;
}

} // namespace attune::search
