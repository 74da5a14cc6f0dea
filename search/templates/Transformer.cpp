// `causal_lm`: a decoder over tokens, and what each of them says of the next one. `seq2seq`: an
// encoder before it, whose result every layer of the decoder reads.
//
//   m = E[source] + positions; m = m + mix(norm(m)), m + W2 gelu(W1 norm(m))   for every layer
//   K, V of every decoder layer = norm(m) W
//   x = T[target] + positions
//   x = x + mix(norm(x)), x + attention(norm(x), K, V), x + W2 gelu(W1 norm(x))  for every layer
//   y = norm(x) W_out
//
// One call takes all positions of the target at once, as in training; nothing in the decoder sees
// later ones.
//
// Variables of causal_lm: `attn`, `heads`, `ffn` (Stack.h); of seq2seq the same with `enc_` and
// `dec_` in front. `tie` (cat; none, all, and for seq2seq encoder, decoder): in such a stack layers
// that are alike have the same weights. Fixed: `d`, `vocab`, and `seq`, or `source`, `target`; also
// `target_vocab` (vocab).
#include "attune/search/templates/LayerPlan.h"
#include "attune/search/templates/Stack.h"
#include "attune/search/templates/Template.h"

namespace attune::search {
namespace {

enum Part : uint8_t {
  EncoderStem = 1,
  EncoderMix,
  EncoderFeedForward,
  Memory, ///< a: keys and values of how many layers
  DecoderStem,
  DecoderMix,
  Cross, ///< a: as Memory, b: heads
  DecoderFeedForward,
  Head
};

class Transformer final : public Template {
public:
  static llvm::Expected<std::unique_ptr<Template>> create(const Space &space) {
    std::unique_ptr<Transformer> made(new Transformer(space));
    if (llvm::Error error = made->read())
      return std::move(error);
    return std::move(made);
  }

  void blocks(llvm::ArrayRef<int32_t> genes, std::vector<uint64_t> &names) const override;
  llvm::Expected<BlockCost> cost(uint64_t key) override;
  std::optional<Model> block(uint64_t key) const override;
  Model whole(llvm::ArrayRef<int32_t> genes) const override;

private:
  explicit Transformer(const Space &space)
      : space(space), hasEncoder(space.templateName == "seq2seq") {}
  llvm::Error read();
  llvm::Error readTie();
  int64_t rowsOf(uint8_t part) const { return part <= Memory ? source : target; }
  const Mixing &mixingOf(const BlockName &name) const {
    return (name.part == EncoderMix ? encoder : decoder).mixings[name.a];
  }
  bool isPlanned(const BlockName &name) const;
  llvm::Expected<BlockCost> compiled(const BlockName &name) const;
  static BlockName withWeights(BlockName name) {
    name.again = false;
    return name;
  }

  /// A network that grows block by block.
  struct Graph : LayerGraph {
    using LayerGraph::LayerGraph;
    Name x;                   ///< what the next block reads
    std::vector<Name> memory; ///< keys and values, layer by layer
    unsigned layer = 0;       ///< of the decoder
  };
  void add(Graph &graph, const BlockName &name) const;
  void addLayer(Graph &graph, const BlockName &name) const;

  const Space &space;
  const bool hasEncoder;
  Stack encoder, decoder;
  const Variable *tie = nullptr;
  int64_t source = 0, target = 0, d = 0, vocabulary = 0, targetVocabulary = 0;
  LazyPlanner planner;
};

void Transformer::blocks(llvm::ArrayRef<int32_t> genes, std::vector<uint64_t> &names) const {
  llvm::SmallVector<double> values;
  llvm::BitVector active;
  space.decode(genes, values, active);
  std::string tied = tie && active[tie->firstGene] ? tie->labels[genes[tie->firstGene]] : "none";
  names.clear();
  auto push = [&](bool shares, BlockName name) {
    name.again = shares && llvm::is_contained(names, name.key());
    names.push_back(name.key());
  };
  auto layers = decoder.layers(genes, values, active);
  bool shares = tied == "decoder" || tied == "all";
  // Layers with the same weights have the same keys and values.
  uint32_t memories = !hasEncoder || layers.empty() ? 0 : shares ? 1 : layers.size();
  if (memories) {
    bool sharesToo = tied == "encoder" || tied == "all";
    push(false, {EncoderStem});
    for (const Stack::Layer &layer : encoder.layers(genes, values, active)) {
      bool hasHeads = encoder.mixings[layer.mixing].hasHeads();
      push(sharesToo, {EncoderMix, layer.mixing, hasHeads ? layer.heads : 0});
      push(sharesToo, {EncoderFeedForward, layer.ffn});
    }
    push(false, {Memory, memories});
  }
  push(false, {DecoderStem});
  for (const Stack::Layer &layer : layers) {
    bool hasHeads = decoder.mixings[layer.mixing].hasHeads();
    push(shares, {DecoderMix, layer.mixing, hasHeads ? layer.heads : 0});
    if (memories)
      push(shares, {Cross, memories, layer.heads});
    push(shares, {DecoderFeedForward, layer.ffn});
  }
  push(false, {Head});
}

void Transformer::addLayer(Graph &graph, const BlockName &name) const {
  switch (name.part) {
  case EncoderMix:
  case DecoderMix:
    graph.x = graph.mix(graph.x, mixingOf(name), rowsOf(name.part), name.b);
    break;
  case Cross: {
    unsigned at = name.a == 1 ? 0 : 2 * graph.layer;
    graph.x = graph.cross(graph.x, graph.memory[at], graph.memory[at + 1], name.b);
    break;
  }
  default:
    graph.x = graph.feedForward(graph.x, name.a);
    graph.layer += name.part == DecoderFeedForward;
  }
}

void Transformer::add(Graph &graph, const BlockName &name) const {
  switch (name.part) {
  case EncoderStem:
  case DecoderStem: {
    bool first = name.part == EncoderStem;
    graph.x = graph.embedding(graph.x, first ? vocabulary : targetVocabulary);
    graph.x = graph.positioned(graph.x, rowsOf(name.part));
    break;
  }
  case Memory:
    graph.x = graph.linear(graph.norm(graph.x), d, 2 * d * name.a);
    break;
  case Head:
    graph.x = graph.linear(graph.norm(graph.x), d, targetVocabulary);
    break;
  default:
    graph.useWeights(withWeights(name).key(), /*again=*/name.again);
    addLayer(graph, name);
    graph.useNewWeights();
  }
}

std::optional<Model> Transformer::block(uint64_t key) const {
  BlockName name = withWeights(BlockName::of(key));
  bool isStem = name.part == EncoderStem || name.part == DecoderStem;
  int64_t rows = rowsOf(name.part);
  Graph graph("block", d, LayerGraph::kMostOfBlock);
  graph.x = isStem ? graph.tokens("tokens", rows) : graph.input("x", rows, d);
  if (name.part == Cross)
    graph.memory = graph.split(graph.input("memory", source, 2 * d * name.a), 2 * name.a);
  add(graph, name);
  int64_t columns = name.part == Memory ? 2 * d * name.a : name.part == Head ? targetVocabulary : d;
  graph.output(graph.x, {int64_t(1), rows, columns});
  return graph.finish();
}

Model Transformer::whole(llvm::ArrayRef<int32_t> genes) const {
  std::vector<uint64_t> names;
  blocks(genes, names);
  Graph graph("candidate", d, LayerGraph::kMostOfModel);
  // The encoder comes first, if the candidate has one.
  if (BlockName::of(names[0]).part == EncoderStem)
    graph.x = graph.tokens("source", source);
  for (uint64_t key : names) {
    BlockName name = BlockName::of(key);
    if (name.part == DecoderStem)
      graph.x = graph.tokens(hasEncoder ? "target" : "tokens", target);
    add(graph, name);
    if (name.part == Memory)
      graph.memory = graph.split(graph.x, 2 * name.a);
  }
  graph.output(graph.x, {int64_t(1), target, targetVocabulary});
  return graph.finish();
}

bool Transformer::isPlanned(const BlockName &name) const {
  if (rowsOf(name.part) < 2 || d < 2)
    return false;
  switch (name.part) {
  case EncoderStem:
  case DecoderStem:
    return false; // reads of a table
  case EncoderMix:
  case DecoderMix:
    return LayerPlan::knows(mixingOf(name), rowsOf(name.part), d, name.b);
  case Cross:
    return source > 1 && d / name.b > 1;
  case EncoderFeedForward:
  case DecoderFeedForward:
    return name.a > 1;
  case Head:
    return targetVocabulary > 1;
  default:
    return true;
  }
}

llvm::Expected<BlockCost> Transformer::compiled(const BlockName &name) const {
  auto cost = costOf(*block(name.key()));
  if (!cost)
    return cost.takeError();
  return amongOthers(std::move(*cost),
                     /*first=*/name.part == EncoderStem || name.part == DecoderStem,
                     /*last=*/name.part == Head);
}

llvm::Expected<BlockCost> Transformer::cost(uint64_t key) {
  BlockName name = BlockName::of(key);
  if (name.again) {
    auto first = cost(withWeights(name).key());
    if (first) {
      first->params = 0;
      first->storedBytes = 0;
    }
    return first;
  }
  if (!isPlanned(name))
    return compiled(name);
  auto made = planner.get();
  if (!made)
    return made.takeError();
  if ((*made)->isTuned)
    return compiled(name);
  LayerPlan plan(**made, name, rowsOf(name.part), d);
  switch (name.part) {
  case EncoderMix:
  case DecoderMix:
    return plan.mix(mixingOf(name), name.b);
  case Memory:
    return plan.head(2 * d * name.a, /*mean=*/false);
  case Cross:
    return plan.cross(name.b, source, 2 * d * name.a);
  case Head:
    return plan.head(targetVocabulary, /*mean=*/false);
  default:
    return plan.feedForward(name.a);
  }
}

llvm::Error Transformer::readTie() {
  tie = space.find("tie");
  if (!tie)
    return llvm::Error::success();
  auto isKnown = [&](llvm::StringRef label) {
    return label == "none" || label == "all" ||
           (hasEncoder && (label == "encoder" || label == "decoder"));
  };
  if (tie->kind == Variable::Kind::Categorical && !tie->repeated &&
      llvm::all_of(tie->labels, isKnown))
    return llvm::Error::success();
  return llvm::createStringError(hasEncoder ? "`tie` is a cat of none, encoder, decoder, all"
                                            : "`tie` is a cat of none, all");
}

llvm::Error Transformer::read() {
  FixedNumbers fixed(space);
  d = fixed.needed("d");
  vocabulary = fixed.needed("vocab");
  target = fixed.needed(hasEncoder ? "target" : "seq");
  source = hasEncoder ? fixed.needed("source") : 0;
  targetVocabulary = hasEncoder ? fixed.optional("target_vocab", vocabulary) : vocabulary;
  if (llvm::Error error = fixed.takeError())
    return error;
  if (std::min(vocabulary, targetVocabulary) < 2)
    return llvm::createStringError("a vocabulary has at least 2 tokens");
  if (hasEncoder) {
    auto found = Stack::read(space, "enc_", d, /*causal=*/false);
    if (!found)
      return found.takeError();
    encoder = std::move(*found);
  }
  auto found = Stack::read(space, hasEncoder ? "dec_" : "", d, /*causal=*/true);
  if (!found)
    return found.takeError();
  decoder = std::move(*found);
  return readTie();
}

} // namespace

llvm::Expected<std::unique_ptr<Template>> createTransformer(const Space &space) {
  return Transformer::create(space);
}

} // namespace attune::search
