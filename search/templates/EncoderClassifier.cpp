// `enc_classifier`: an encoder over a sequence, then the class of its mean. Every layer mixes
// positions in its own way:
//
//   x = x W_in + positions
//   x = x + mix(norm(x)),  x = x + W2 gelu(W1 norm(x))         for every layer
//   y = mean(norm(x)) W_out
//
// Variables: `attn` (cat; softmax, linear, cosformer, localN: N positions to both sides, convK: K
// taps per channel; `conv` is conv3) per layer; `heads`, `ffn` (int) per layer or once, or fixed.
// Fixed: `seq`, `d`; also `features` (d), `classes` (10), `heads` (4), `ffn` (4 d).
#include "attune/search/templates/LayerPlan.h"
#include "attune/search/templates/Stack.h"
#include "attune/search/templates/Template.h"

namespace attune::search {
namespace {

enum Part : uint8_t { Stem = 1, Mix, FeedForward, Head };

class EncoderClassifier final : public Template {
public:
  static llvm::Expected<std::unique_ptr<Template>> create(const Space &space) {
    std::unique_ptr<EncoderClassifier> made(new EncoderClassifier(space));
    if (llvm::Error error = made->read())
      return std::move(error);
    return std::move(made);
  }

  void blocks(llvm::ArrayRef<int32_t> genes, std::vector<uint64_t> &names) const override {
    names.assign(1, BlockName{Stem}.key());
    llvm::SmallVector<double> values;
    llvm::BitVector active;
    space.decode(genes, values, active);
    for (const Stack::Layer &layer : stack.layers(genes, values, active)) {
      bool hasHeads = stack.mixings[layer.mixing].hasHeads();
      names.push_back(BlockName{Mix, layer.mixing, hasHeads ? layer.heads : 0}.key());
      names.push_back(BlockName{FeedForward, layer.ffn}.key());
    }
    names.push_back(BlockName{Head}.key());
  }

  std::optional<Model> block(uint64_t key) const override {
    BlockName name = BlockName::of(key);
    LayerGraph graph("block", d, LayerGraph::kMostOfBlock);
    std::string x = graph.input("x", seq, name.part == Stem ? features : d);
    x = add(graph, x, name);
    if (name.part == Head)
      graph.output(x, {int64_t(1), classes});
    else
      graph.output(x, {int64_t(1), seq, d});
    return graph.finish();
  }

  Model whole(llvm::ArrayRef<int32_t> genes) const override {
    std::vector<uint64_t> names;
    blocks(genes, names);
    LayerGraph graph("candidate", d, LayerGraph::kMostOfModel);
    std::string x = graph.input("x", seq, features);
    for (uint64_t key : names)
      x = add(graph, x, BlockName::of(key));
    graph.output(x, {int64_t(1), classes});
    return graph.finish();
  }

  llvm::Expected<BlockCost> cost(uint64_t key) override {
    BlockName name = BlockName::of(key);
    if (!isPlanned(name))
      return compiled(name);
    auto made = planner.get();
    if (!made)
      return made.takeError();
    if ((*made)->isTuned)
      return compiled(name);
    LayerPlan plan(**made, name, seq, d);
    switch (name.part) {
    case Stem:
      return plan.stem(features);
    case Mix:
      return plan.mix(stack.mixings[name.a], name.b);
    case FeedForward:
      return plan.feedForward(name.a);
    default:
      return plan.head(classes, /*mean=*/true);
    }
  }

private:
  explicit EncoderClassifier(const Space &space) : space(space) {}

  llvm::Expected<BlockCost> compiled(const BlockName &name) const {
    auto cost = costOf(*block(name.key()));
    if (!cost)
      return cost.takeError();
    return amongOthers(std::move(*cost), /*first=*/name.part == Stem,
                       /*last=*/name.part == Head);
  }

  /// Rows alone make other kernels, a constant of one value is no weight.
  bool isPlanned(const BlockName &name) const {
    if (seq < 2 || d < 2)
      return false;
    switch (name.part) {
    case Mix:
      return LayerPlan::knows(stack.mixings[name.a], seq, d, name.b);
    case FeedForward:
      return name.a > 1;
    case Head:
      return classes > 1;
    default:
      return true;
    }
  }

  std::string add(LayerGraph &graph, const std::string &x, const BlockName &name) const {
    switch (name.part) {
    case Stem:
      return graph.positioned(graph.linear(x, features, d), seq);
    case Mix:
      return graph.mix(x, stack.mixings[name.a], seq, name.b);
    case FeedForward:
      return graph.feedForward(x, name.a);
    default:
      return graph.linear(graph.mean(graph.norm(x)), d, classes);
    }
  }

  llvm::Error read() {
    FixedNumbers fixed(space);
    seq = fixed.needed("seq");
    d = fixed.needed("d");
    features = fixed.optional("features", d);
    classes = fixed.optional("classes", 10);
    if (llvm::Error error = fixed.takeError())
      return error;
    auto found = Stack::read(space, "", d, /*causal=*/false);
    if (!found)
      return found.takeError();
    stack = std::move(*found);
    return llvm::Error::success();
  }

  const Space &space;
  Stack stack;
  int64_t seq = 0, d = 0, features = 0, classes = 0;
  LazyPlanner planner;
};

} // namespace

llvm::Expected<std::unique_ptr<Template>> createEncoderClassifier(const Space &space) {
  return EncoderClassifier::create(space);
}

} // namespace attune::search
