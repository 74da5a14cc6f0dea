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
#include "attune/frontend/onnx/GraphBuilder.h"
#include "attune/search/templates/PlannedBlock.h"
#include "attune/search/templates/Template.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace attune::search {
namespace {

using onnx::GraphBuilder;
using Name = std::string;

enum class Mix : uint8_t { Softmax, Linear, Cosformer, Local, Conv };
struct Mixing {
  Mix kind;
  int64_t reach = 0; ///< positions to a side, or taps
};

/// Blocks by name: what they are in the top byte, then numbers.
enum class Part : uint64_t { Stem = 1, Mix, FeedForward, Head };
uint64_t nameOf(Part part, uint64_t a = 0, uint64_t b = 0) {
  return static_cast<uint64_t>(part) << 56 | a << 24 | b;
}

struct Sizes {
  int64_t seq = 0, d = 0, features = 0, classes = 10, heads = 4, ffn = 0;
};

class Builder {
public:
  Builder(const char *name, const Sizes &sizes) : g(name), s(sizes) {}

  Name input(int64_t width) { return g.input("x", {int64_t(1), s.seq, width}); }
  Name stem(const Name &x) {
    return g.op("Add", {linear(x, s.features, s.d), g.weight({1, s.seq, s.d})});
  }
  Name head(const Name &x) {
    Name mean = g.op("ReduceMean", {norm(x), g.integers({1})}, {{"keepdims", int64_t(0)}});
    return linear(mean, s.d, s.classes);
  }
  Name feedForward(const Name &x, int64_t inner) {
    return g.op("Add", {x, linear(g.op("Gelu", {linear(norm(x), s.d, inner)}), inner, s.d)});
  }
  Name mix(const Name &x, const Mixing &mixing, int64_t heads) {
    Name y = norm(x);
    if (mixing.kind == Mix::Conv)
      return g.op("Add", {x, linear(conv(y, mixing.reach), s.d, s.d)});
    Name q = linear(y, s.d, s.d), k = linear(y, s.d, s.d), v = linear(y, s.d, s.d);
    if (mixing.kind == Mix::Linear || mixing.kind == Mix::Cosformer)
      y = linearAttention(q, k, v, heads, mixing.kind);
    else
      y = softmaxAttention(q, k, v, heads, mixing);
    return g.op("Add", {x, linear(y, s.d, s.d)});
  }
  Model finish(const Name &result, bool classes = false) {
    if (classes)
      g.output(result, {int64_t(1), s.classes});
    else
      g.output(result, {int64_t(1), s.seq, s.d});
    return {.onnx = g.serialise(), .params = g.weightElements()};
  }

private:
  Name linear(const Name &x, int64_t from, int64_t to) {
    return g.op("Add", {g.op("MatMul", {x, g.weight({from, to})}), g.weight({to})});
  }
  Name norm(const Name &x) {
    return g.op("LayerNormalization", {x, g.weight({s.d}), g.weight({s.d})},
                {{"axis", int64_t(-1)}});
  }
  Name headsOf(const Name &x, int64_t heads) {
    Name parts = g.op("Reshape", {x, g.integers({1, s.seq, heads, s.d / heads})});
    return transposed(parts, {0, 2, 1, 3});
  }
  /// Over a band, with the mask spelled out: then the compiler reads the band from its numbers and
  /// leaves out the keys beyond it.
  Name localAttention(const Name &q, const Name &k, const Name &v, int64_t heads, int64_t reach) {
    std::vector<float> mask;
    for (int64_t i = 0; i < s.seq; ++i)
      for (int64_t j = 0; j < s.seq; ++j)
        mask.push_back(std::abs(i - j) <= reach ? 0 : -std::numeric_limits<float>::infinity());
    Name scores = g.op("MatMul", {headsOf(q, heads), transposed(headsOf(k, heads), {0, 1, 3, 2})});
    scores = g.op("Mul", {scores, g.number(1 / std::sqrt(static_cast<float>(s.d / heads)))});
    scores = g.op("Add", {scores, g.tensor({s.seq, s.seq}, mask)});
    Name weights = g.op("Softmax", {scores}, {{"axis", int64_t(-1)}});
    Name mixed = transposed(g.op("MatMul", {weights, headsOf(v, heads)}), {0, 2, 1, 3});
    return g.op("Reshape", {mixed, g.integers({1, s.seq, s.d})});
  }
  Name softmaxAttention(const Name &q, const Name &k, const Name &v, int64_t heads,
                        const Mixing &mixing) {
    if (mixing.kind == Mix::Local)
      return localAttention(q, k, v, heads, mixing.reach);
    return g.op("Attention", {q, k, v}, {{"q_num_heads", heads}, {"kv_num_heads", heads}});
  }
  /// phi(q) (phi(k)^T v) over phi(q) sum(phi(k)). phi = relu; for cosFormer (ICLR 2022) also times
  /// cos and sin of the position, so that products fall off with distance.
  Name linearAttention(const Name &q, const Name &k, const Name &v, int64_t heads, Mix kind) {
    Name pq = g.op("Relu", {headsOf(q, heads)}), pk = g.op("Relu", {headsOf(k, heads)});
    if (kind == Mix::Cosformer) {
      auto [cosines, sines] = positions();
      for (Name *x : {&pq, &pk})
        *x = g.op("Concat", {g.op("Mul", {*x, cosines}), g.op("Mul", {*x, sines})},
                  {{"axis", int64_t(3)}});
    }
    pk = transposed(pk, {0, 1, 3, 2});
    Name sum = g.op("ReduceSum", {pk, g.integers({3})}, {{"keepdims", int64_t(1)}});
    Name above = g.op("MatMul", {pq, g.op("MatMul", {pk, headsOf(v, heads)})});
    Name below = g.op("Add", {g.op("MatMul", {pq, sum}), g.number(1e-6f)});
    Name y = transposed(g.op("Div", {above, below}), {0, 2, 1, 3});
    return g.op("Reshape", {y, g.integers({1, s.seq, s.d})});
  }
  /// Cosines and sines of a quarter turn over the sequence.
  std::pair<Name, Name> positions() {
    std::vector<float> cosines, sines;
    for (int64_t i = 0; i < s.seq; ++i) {
      double angle = std::numbers::pi / 2 * (i + 1) / s.seq;
      cosines.push_back(std::cos(angle));
      sines.push_back(std::sin(angle));
    }
    return {g.tensor({s.seq, 1}, cosines), g.tensor({s.seq, 1}, sines)};
  }
  Name transposed(const Name &x, std::vector<int64_t> perm) {
    return g.op("Transpose", {x}, {{"perm", std::move(perm)}});
  }
  Name conv(const Name &x, int64_t taps) {
    Name y = g.op("Conv", {transposed(x, {0, 2, 1}), g.weight({s.d, 1, taps})},
                  {{"kernel_shape", std::vector<int64_t>{taps}},
                   {"group", s.d},
                   {"pads", std::vector<int64_t>{taps / 2, taps / 2}}});
    return transposed(y, {0, 2, 1});
  }

  GraphBuilder g;
  const Sizes &s;
};

class EncoderClassifier final : public Template {
public:
  EncoderClassifier(const Space &space, llvm::Error &error) : space(space) {
    llvm::ErrorAsOutParameter guard(&error);
    if (llvm::Error wrong = read())
      error = std::move(wrong);
  }

  void blocks(llvm::ArrayRef<int32_t> genes, std::vector<uint64_t> &names) const override {
    names.assign(1, nameOf(Part::Stem));
    llvm::SmallVector<double> values;
    llvm::BitVector active;
    space.decode(genes, values, active);
    for (unsigned layer = 0; layer < attn->elements; ++layer) {
      unsigned gene = attn->firstGene + layer;
      if (!active[gene])
        continue;
      bool conv = mixings[genes[gene]].kind == Mix::Conv;
      names.push_back(
          nameOf(Part::Mix, genes[gene], conv ? 0 : number(heads, layer, values, sizes.heads)));
      names.push_back(nameOf(Part::FeedForward, number(ffn, layer, values, sizes.ffn)));
    }
    names.push_back(nameOf(Part::Head));
  }

  std::optional<Model> block(uint64_t name) const override {
    Builder builder("block", sizes);
    Part part = partOf(name);
    Name x = builder.input(part == Part::Stem ? sizes.features : sizes.d);
    return builder.finish(add(builder, x, name), part == Part::Head);
  }

  Model whole(llvm::ArrayRef<int32_t> genes) const override {
    std::vector<uint64_t> names;
    blocks(genes, names);
    Builder builder("candidate", sizes);
    Name x = builder.input(sizes.features);
    for (uint64_t name : names)
      x = add(builder, x, name);
    return builder.finish(x, /*classes=*/true);
  }

  llvm::Expected<BlockCost> cost(uint64_t name) override {
    if (needsCompiler(name))
      return costOf(*block(name));
    if (!planner) {
      auto made = BlockPlanner::create();
      if (!made)
        return made.takeError();
      planner = std::move(*made);
    }
    return planner->isTuned ? costOf(*block(name)) : planned(name);
  }

private:
  static Part partOf(uint64_t name) { return static_cast<Part>(name >> 56); }
  static uint64_t firstOf(uint64_t name) { return name >> 24 & 0xffffffff; }
  static uint64_t secondOf(uint64_t name) { return name & 0xffffff; }

  /// Axes of one element: rows alone make other kernels, a constant of one value is no weight. For
  /// convolutions two code generators compete, with kernels that are cut in different ways; the
  /// tables of cosFormer are not built here.
  bool needsCompiler(uint64_t name) const {
    if (sizes.seq < 2 || sizes.d < 2)
      return true;
    switch (partOf(name)) {
    case Part::Mix: {
      const Mixing &mixing = mixings[firstOf(name)];
      return mixing.kind == Mix::Conv || mixing.kind == Mix::Cosformer ||
             sizes.d / secondOf(name) < 2 ||
             (mixing.kind == Mix::Local && mixing.reach >= sizes.seq - 1);
    }
    case Part::FeedForward:
      return firstOf(name) < 2;
    case Part::Head:
      return sizes.classes < 2;
    default:
      return false;
    }
  }

  /// Kernels of one block are told apart in bits 48 to 55 of their keys.
  BlockCost planned(uint64_t name) {
    const auto &[seq, d, features, classes, heads, ffn] = sizes;
    auto kernel = [&](unsigned number, bool varies, auto build) {
      uint64_t key = (varies ? name : name >> 56 << 56) | static_cast<uint64_t>(number) << 48;
      return &planner->kernel(key, build);
    };
    using Then = KernelRegions::Then;
    auto product = [&](unsigned number, bool varies, int64_t k, int64_t n, Then then) {
      return kernel(number, varies, [&, k, n, then](KernelRegions &regions) {
        return regions.product(seq, k, n, then);
      });
    };
    auto norm = [&](unsigned number, bool mean) {
      return kernel(number, false,
                    [&, mean](KernelRegions &regions) { return regions.norm(seq, d, mean); });
    };
    double input = 4.0 * seq * (partOf(name) == Part::Stem ? features : d);
    int64_t square = d * d + d, norms = 2 * d;
    switch (partOf(name)) {
    case Part::Stem:
      return planner->block({{product(0, false, features, d, Then::Table), {0}}}, input,
                            features * d + d + seq * d);
    case Part::FeedForward: {
      int64_t inner = firstOf(name);
      return planner->block({{norm(0, /*mean=*/false), {0}},
                             {product(1, true, d, inner, Then::Gelu), {1}},
                             {product(2, true, inner, d, Then::Residual), {0, 2}}},
                            input, norms + 2 * d * inner + inner + d);
    }
    case Part::Head: {
      const PlannedKernel *last = kernel(1, false, [&](KernelRegions &regions) {
        return regions.product(/*rows=*/0, d, classes, Then::Bias);
      });
      return planner->block({{norm(0, /*mean=*/true), {0}}, {last, {1}}}, input,
                            norms + d * classes + classes);
    }
    case Part::Mix:
      break;
    }
    const Mixing &mixing = mixings[firstOf(name)];
    int64_t parts = secondOf(name);
    const PlannedKernel *mix = kernel(2, true, [&](KernelRegions &regions) {
      return mixing.kind == Mix::Linear
                 ? regions.linearAttention(seq, d, parts)
                 : regions.attention(seq, d, parts, mixing.kind == Mix::Local ? mixing.reach : 0);
    });
    return planner->block({{norm(0, /*mean=*/false), {0}},
                           {product(1, false, d, 3 * d, Then::Bias), {1}},
                           {mix, {2}},
                           {product(3, false, d, d, Then::Residual), {0, 3}}},
                          input, norms + 4 * square);
  }

  Name add(Builder &builder, const Name &x, uint64_t name) const {
    uint64_t a = firstOf(name), b = secondOf(name);
    switch (partOf(name)) {
    case Part::Stem:
      return builder.stem(x);
    case Part::Mix:
      return builder.mix(x, mixings[a], std::max<uint64_t>(b, 1));
    case Part::FeedForward:
      return builder.feedForward(x, a);
    default:
      return builder.head(x);
    }
  }

  /// The value of a variable at a layer, or what is fixed.
  static uint64_t number(const Variable *variable, unsigned layer, llvm::ArrayRef<double> values,
                         int64_t otherwise) {
    if (!variable)
      return otherwise;
    double value = values[variable->firstValue + (variable->repeated ? layer : 0)];
    return std::isnan(value) ? otherwise : value;
  }

  llvm::Error fixedNumber(const char *name, bool needed, int64_t &value) {
    auto text = space.fixed.find(name);
    if (text == space.fixed.end())
      return needed ? llvm::createStringError("`fixed` needs `" + llvm::Twine(name) + "`")
                    : llvm::Error::success();
    constexpr int64_t kMost = 1 << 16;
    if (llvm::StringRef(text->second).getAsInteger(10, value) || value < 1 || value > kMost)
      return llvm::createStringError("`" + llvm::Twine(name) + "` is a whole number from 1 to " +
                                     llvm::Twine(kMost) + "; found `" + text->second + "`");
    return llvm::Error::success();
  }

  llvm::Error intVariable(const char *name, const Variable *&variable) const {
    variable = space.find(name);
    constexpr double kMost = 1 << 16;
    if (variable && (variable->kind != Variable::Kind::Integer ||
                     (variable->repeated && variable->elements < attn->elements) ||
                     llvm::any_of(variable->numbers, [](double x) { return x < 1 || x > kMost; })))
      return llvm::createStringError("`" + llvm::Twine(name) +
                                     "` is an int of at least 1, once or for every layer");
    return llvm::Error::success();
  }

  llvm::Error read() {
    attn = space.find("attn");
    if (!attn || attn->kind != Variable::Kind::Categorical)
      return llvm::createStringError("needs a variable `attn` of kind cat");
    for (const std::string &label : attn->labels) {
      Mixing mixing{Mix::Softmax};
      llvm::StringRef rest = label;
      bool known = true;
      if (rest == "linear")
        mixing.kind = Mix::Linear;
      else if (rest == "cosformer")
        mixing.kind = Mix::Cosformer;
      else if (rest.consume_front("local"))
        known = !rest.getAsInteger(10, mixing.reach) && mixing.reach >= 1, mixing.kind = Mix::Local;
      else if (rest.consume_front("conv")) {
        mixing = {Mix::Conv, 3};
        known = rest.empty() || (!rest.getAsInteger(10, mixing.reach) && mixing.reach % 2 == 1 &&
                                 mixing.reach > 0 && mixing.reach < 1024);
      } else
        known = rest == "softmax";
      if (!known)
        return llvm::createStringError(
            "`attn` is softmax, linear, cosformer, localN (N positions to both sides), conv or "
            "convK (K odd); found `" +
            label + "`");
      mixings.push_back(mixing);
    }
    for (auto [name, variable] : {std::pair("heads", &heads), {"ffn", &ffn}})
      if (llvm::Error error = intVariable(name, *variable))
        return error;
    for (auto [name, value] : {std::pair("seq", &sizes.seq), {"d", &sizes.d}})
      if (llvm::Error error = fixedNumber(name, /*needed=*/true, *value))
        return error;
    sizes.features = sizes.d;
    sizes.ffn = 4 * sizes.d;
    for (auto [name, value] : {std::pair("features", &sizes.features),
                               {"classes", &sizes.classes},
                               {"heads", &sizes.heads},
                               {"ffn", &sizes.ffn}})
      if (llvm::Error error = fixedNumber(name, /*needed=*/false, *value))
        return error;
    std::vector<double> counts = heads ? heads->numbers : std::vector<double>();
    counts.push_back(heads && !heads->when ? counts[0] : sizes.heads);
    for (double count : counts)
      if (sizes.d % static_cast<int64_t>(count) != 0)
        return llvm::createStringError("`d` is " + llvm::Twine(sizes.d) +
                                       ", which does not divide into " +
                                       llvm::Twine(static_cast<int64_t>(count)) + " heads");
    return llvm::Error::success();
  }

  const Space &space;
  const Variable *attn = nullptr, *heads = nullptr, *ffn = nullptr;
  std::vector<Mixing> mixings; ///< by choice of `attn`
  Sizes sizes;
  std::unique_ptr<BlockPlanner> planner; ///< made when a cost is asked for
};

} // namespace

std::unique_ptr<Template> createEncoderClassifier(const Space &space, llvm::Error &error) {
  return std::make_unique<EncoderClassifier>(space, error);
}

} // namespace attune::search
