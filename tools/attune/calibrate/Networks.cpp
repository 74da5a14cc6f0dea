#include "attune/tools/attune/calibrate/Networks.h"
#include "attune/frontend/onnx/GraphBuilder.h"

namespace attune::tools {
namespace {

using onnx::GraphBuilder;

using Name = std::string;
using Sizes = std::vector<Network::Size>;
const Sizes kSizes{{1, 1}, {1, 14}, {1, 50}, {1, 128}, {1, 400}, {6, 40}};

/// What blocks of a transformer differ by.
struct Block {
  int64_t width, heads, inner, layers;
  int64_t keyHeads = 0; ///< 0: as many as heads
  bool causal = false, normFirst = false, rms = false, gated = false;
  bool tokens = false; ///< the input are words, the output is a few numbers for each text
  std::string activation = "Gelu";
  std::string attention =
      "softmax"; ///< or relu (linear, both directions), or a rule of LinearAttention
};

class Transformer {
public:
  Transformer(const std::string &name, const Block &block)
      : g(name, block.attention == "softmax" || block.attention == "relu" ? 23 : 27), b(block) {}

  Network build(const std::string &name) {
    Name x = b.tokens ? embedded() : g.input("x", {"batch", "seq", b.width});
    for (int64_t layer = 0; layer < b.layers; ++layer) {
      if (b.normFirst) {
        x = g.op("Add", {x, attend(norm(x))});
        x = g.op("Add", {x, feedForward(norm(x))});
      } else {
        x = norm(g.op("Add", {attend(x), x}));
        x = norm(g.op("Add", {feedForward(x), x}));
      }
    }
    if (b.tokens)
      g.output(linear(g.op("Gather", {x, g.integers({0})}, {{"axis", int64_t(1)}}), b.width, 10),
               {"batch", int64_t(1), int64_t(10)});
    else
      g.output(x, {"batch", "seq", b.width});
    return {name, g.serialise(), kSizes};
  }

private:
  Name linear(const Name &x, int64_t from, int64_t to) {
    return g.op("Add", {g.op("MatMul", {x, g.weight({from, to})}), g.weight({to})});
  }
  Name embedded() {
    Name ids = g.input("ids", {"batch", "seq"}, /*integers=*/true);
    Name places = g.input("places", {"batch", "seq"}, /*integers=*/true);
    Name word = g.op("Gather", {g.weight({Network::kRows, b.width}), ids});
    Name x = g.op("Add", {word, g.op("Gather", {g.weight({Network::kRows, b.width}), places})});
    return b.normFirst ? x : norm(x);
  }
  Name norm(const Name &x) {
    Name scale = g.weight({b.width});
    if (b.rms)
      return g.op("RMSNormalization", {x, scale}, {{"axis", int64_t(-1)}});
    return g.op("LayerNormalization", {x, scale, g.weight({b.width})}, {{"axis", int64_t(-1)}});
  }
  Name activate(const Name &x) {
    return b.activation == "Silu" ? g.op("Mul", {x, g.op("Sigmoid", {x})})
                                  : g.op(b.activation, {x});
  }
  Name feedForward(const Name &x) {
    Name y = activate(linear(x, b.width, b.inner));
    if (b.gated)
      y = g.op("Mul", {y, linear(x, b.width, b.inner)});
    return linear(y, b.inner, b.width);
  }
  Name heads(const Name &x, int64_t count) {
    Name split = g.op("Reshape", {x, g.integers({0, 0, count, b.width / b.heads})});
    return g.op("Transpose", {split}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  }
  Name attend(const Name &x) {
    int64_t keyHeads = b.keyHeads ? b.keyHeads : b.heads, depth = b.width / b.heads;
    Name q = linear(x, b.width, b.width), k = linear(x, b.width, keyHeads * depth),
         v = linear(x, b.width, keyHeads * depth);
    if (b.attention != "softmax" && b.attention != "relu")
      return linear(linearNode(x, q, k, v), b.width, b.width);
    q = heads(q, b.heads), k = heads(k, keyHeads), v = heads(v, keyHeads);
    Name y = b.attention == "relu"
                 ? reluAttention(q, k, v)
                 : g.op("Attention", {q, k, v}, {{"is_causal", int64_t(b.causal)}});
    y = g.op("Transpose", {y}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
    return linear(g.op("Reshape", {y, g.integers({0, 0, b.width})}), b.width, b.width);
  }
  /// phi(q) (phi(k)^T v) over phi(q) sum(phi(k)), phi = relu.
  Name reluAttention(const Name &q, const Name &k, const Name &v) {
    Name pq = g.op("Relu", {q}), pk = g.op("Relu", {k});
    Name kt = g.op("Transpose", {pk}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
    Name sum = g.op("ReduceSum", {kt, g.integers({3})}, {{"keepdims", int64_t(1)}});
    Name above = g.op("MatMul", {pq, g.op("MatMul", {kt, v})});
    Name below = g.op("Add", {g.op("MatMul", {pq, sum}), g.number(1e-6f)});
    return g.op("Div", {above, below});
  }
  Name linearNode(const Name &x, const Name &q, const Name &k, const Name &v) {
    std::vector<Name> inputs{q, k, v};
    if (b.attention.starts_with("gated"))
      inputs.insert(inputs.end(), {"", g.op("Neg", {g.op("Abs", {linear(x, b.width, b.heads)})})});
    if (b.attention.ends_with("delta")) {
      inputs.resize(5);
      inputs.push_back(g.op("Sigmoid", {linear(x, b.width, b.heads)}));
    }
    return g.op("LinearAttention", inputs,
                {{"q_num_heads", b.heads}, {"kv_num_heads", b.heads}, {"update_rule", b.attention}},
                2);
  }

  GraphBuilder g;
  const Block b;
};

Network transformer(const std::string &name, const Block &block) {
  return Transformer(name, block).build(name);
}

Name conv(GraphBuilder &g, const Name &x, int64_t from, int64_t to, int64_t taps, int64_t stride,
          int64_t groups) {
  int64_t pad = taps / 2;
  return g.op("Relu", {g.op("Conv", {x, g.weight({to, from / groups, taps, taps}), g.weight({to})},
                            {{"kernel_shape", std::vector<int64_t>{taps, taps}},
                             {"strides", std::vector<int64_t>{stride, stride}},
                             {"group", groups},
                             {"pads", std::vector<int64_t>{pad, pad, pad, pad}}})});
}

/// Dense, pointwise and channelwise convolutions, a pooling, and half the size.
Network convolutions(const std::string &name, int64_t channels, int64_t size) {
  GraphBuilder g(name);
  Name x = g.input("x", {int64_t(1), channels, size, size});
  x = conv(g, x, channels, channels, 3, 1, 1);
  x = g.op("Add", {x, conv(g, conv(g, x, channels, channels, 3, 1, channels), channels, channels, 1,
                           1, 1)});
  x = g.op("MaxPool", {x},
           {{"kernel_shape", std::vector<int64_t>{3, 3}},
            {"strides", std::vector<int64_t>{1, 1}},
            {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  x = conv(g, x, channels, 2 * channels, 3, 2, 1);
  x = conv(g, x, 2 * channels, 2 * channels, 5, 1, 2 * channels);
  x = g.op("GlobalAveragePool", {x});
  g.output(x, {int64_t(1), 2 * channels, int64_t(1), int64_t(1)});
  return {name, g.serialise(), {}};
}

/// Windows of one image, each a kernel of its own.
Network windows(const std::string &name, int64_t channels, int64_t size) {
  GraphBuilder g(name);
  Name x = g.input("x", {int64_t(1), channels, size, size});
  auto output = [&](const Name &y, int64_t stride) {
    g.output(y, {int64_t(1), channels, size / stride, size / stride});
  };
  output(conv(g, x, channels, channels, 3, 1, 1), 1);
  output(conv(g, x, channels, channels, 3, 1, 4), 1);
  for (int64_t taps : {3, 7})
    output(conv(g, x, channels, channels, taps, 1, channels), 1);
  output(conv(g, x, channels, channels, 5, 2, channels), 2);
  for (int64_t stride : {1, 2})
    output(g.op("MaxPool", {x},
                {{"kernel_shape", std::vector<int64_t>{3, 3}},
                 {"strides", std::vector<int64_t>{stride, stride}},
                 {"pads", std::vector<int64_t>{1, 1, 1, 1}}}),
           stride);
  return {name, g.serialise(), {}, {"mlir", "halide"}};
}

/// Attention maps whose heads mix, with windows and without.
Network maps(const std::string &name, int64_t heads, int64_t length, int64_t depth) {
  GraphBuilder g(name);
  Name s = g.input("s", {int64_t(1), heads, length, length}),
       v = g.input("v", {int64_t(1), heads, length, depth});
  auto mixed = [&](const Name &x, int64_t taps) {
    return g.op("Conv", {x, g.weight({heads, heads, taps, taps}), g.weight({heads})},
                {{"pads", std::vector<int64_t>(4, taps / 2)}});
  };
  auto attended = [&](const Name &x) {
    Name weights = g.op("Softmax", {x}, {{"axis", int64_t(-1)}});
    g.output(g.op("MatMul", {weights, v}), {int64_t(1), heads, length, depth});
    return weights;
  };
  attended(g.op("Add", {s, mixed(s, 3)}));
  Name weights = attended(mixed(s, 1));
  g.output(g.op("MatMul", {mixed(weights, 1), v}), {int64_t(1), heads, length, depth});
  return {name, g.serialise(), {}, {"mlir", "halide"}};
}

/// Rows of a table, then operators that stay within a row.
Network rows(const std::string &name, int64_t width) {
  GraphBuilder g(name);
  const std::vector<GraphBuilder::Dim> shape{"batch", "seq", width};
  Name ids = g.input("ids", {"batch", "seq"}, /*integers=*/true), x = g.input("x", shape);
  Name embedded = g.op("Gather", {g.weight({Network::kRows, width}), ids});
  g.output(g.op("LayerNormalization", {embedded, g.weight({width}), g.weight({width})},
                {{"axis", int64_t(-1)}}),
           shape);
  g.output(g.op("Softmax", {x}, {{"axis", int64_t(-1)}}), shape);
  g.output(g.op("Mul", {g.op("Gelu", {x}), g.op("Tanh", {x})}), shape);
  g.output(
      g.op("Transpose", {g.op("Add", {x, embedded})}, {{"perm", std::vector<int64_t>{0, 2, 1}}}),
      {"batch", width, "seq"});
  // Norms along the last axis and means along the middle one.
  Name scaled = g.op("Mul", {x, g.weight({width})});
  g.output(g.op("RMSNormalization", {scaled, g.weight({width})}, {{"axis", int64_t(-1)}}), shape);
  g.output(g.op("ReduceMean", {x, g.integers({1})}, {{"keepdims", int64_t(0)}}), {"batch", width});
  return {name, g.serialise(), kSizes};
}

/// Attention without projections, as caches and cross attention have it: of all positions to each
/// other, or of a few new ones.
Network scores(const std::string &name, int64_t heads, int64_t depth, bool causal,
               int64_t queries = 0) {
  GraphBuilder g(name);
  const std::vector<GraphBuilder::Dim> shape{"batch", heads, "seq", depth};
  std::vector<GraphBuilder::Dim> asked = shape;
  if (queries)
    asked[2] = queries;
  Name q = g.input("q", asked), k = g.input("k", shape), v = g.input("v", shape);
  g.output(g.op("Attention", {q, k, v}, {{"is_causal", int64_t(causal)}}), asked);
  if (queries)
    return {name, g.serialise(), {{1, 20}, {1, 60}, {1, 200}, {1, 700}, {4, 90}, {8, 300}}};
  // Products of two results, as unusual attention has.
  Name kt = g.op("Transpose", {k}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
  g.output(g.op("MatMul", {q, kt}), {"batch", heads, "seq", "seq"});
  return {name, g.serialise(), kSizes};
}

/// Heads turned by angles that follow from their positions (rotary embedding), and text with a
/// first token of its own.
Network rotations(const std::string &name, int64_t heads, int64_t depth) {
  GraphBuilder g(name);
  const int64_t half = depth / 2;
  Name x = g.input("x", {"batch", "seq", heads * depth});
  Name places = g.input("places", {"seq", int64_t(1)});
  Name angles = g.op("MatMul", {places, g.weight({1, half})});
  angles = g.op("Concat", {angles, angles}, {{"axis", int64_t(-1)}});
  Name split = g.op("Reshape", {x, g.integers({0, 0, heads, depth})});
  Name q = g.op("Transpose", {split}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  auto part = [&](int64_t first, int64_t last) {
    return g.op("Slice", {q, g.integers({first}), g.integers({last}), g.integers({-1})});
  };
  Name turned =
      g.op("Concat", {g.op("Neg", {part(half, depth)}), part(0, half)}, {{"axis", int64_t(-1)}});
  g.output(g.op("Add", {g.op("Mul", {q, g.op("Cos", {angles})}),
                        g.op("Mul", {turned, g.op("Sin", {angles})})}),
           {"batch", heads, "seq", depth});
  Name width = g.weight({heads * depth});
  Name first =
      g.op("Mul", {g.op("ReduceMean", {x, g.integers({1})}, {{"keepdims", int64_t(1)}}), width});
  Name longer = g.op("Concat", {first, x}, {{"axis", int64_t(1)}});
  g.output(g.op("Add", {longer, width}), {"batch", "longer", heads * depth});
  return {name, g.serialise(), kSizes};
}

/// Convolutions of images of any size.
Network images(const std::string &name, int64_t channels) {
  GraphBuilder g(name);
  Name x = g.input("x", {"batch", int64_t(3), "seq", "seq"});
  x = conv(g, x, 3, channels, 3, 2, 1);
  x = g.op("MaxPool", {x},
           {{"kernel_shape", std::vector<int64_t>{3, 3}},
            {"strides", std::vector<int64_t>{2, 2}},
            {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  x = conv(g, x, channels, channels, 3, 1, channels);
  x = conv(g, x, channels, 2 * channels, 1, 1, 1);
  Name gate = g.op("GlobalAveragePool", {x});
  gate = g.op("Sigmoid", {conv(g, gate, 2 * channels, 2 * channels, 1, 1, 1)});
  x = g.op("Mul", {x, gate});
  x = g.op("Add", {x, conv(g, x, 2 * channels, 2 * channels, 3, 1, 1)});
  x = g.op("GlobalAveragePool", {x});
  g.output(x, {"batch", 2 * channels, int64_t(1), int64_t(1)});
  return {name, g.serialise(), {{1, 40}, {1, 96}, {2, 60}, {1, 190}}};
}

} // namespace

std::vector<Network> calibrationNetworks() {
  return {
      transformer("block 256", {.width = 256, .heads = 4, .inner = 1024, .layers = 3}),
      transformer("causal block 128", {.width = 128,
                                       .heads = 4,
                                       .inner = 512,
                                       .layers = 4,
                                       .causal = true,
                                       .normFirst = true,
                                       .activation = "Relu"}),
      convolutions("convolutions 64", 64, 28),
      transformer("words 160",
                  {.width = 160, .heads = 5, .inner = 480, .layers = 3, .tokens = true}),
      images("images 24", 24),
      transformer("gated block 512", {.width = 512,
                                      .heads = 8,
                                      .inner = 1024,
                                      .layers = 2,
                                      .keyHeads = 2,
                                      .causal = true,
                                      .normFirst = true,
                                      .rms = true,
                                      .gated = true,
                                      .activation = "Silu"}),
      transformer("linear block 256",
                  {.width = 256, .heads = 8, .inner = 512, .layers = 2, .attention = "relu"}),
      rows("rows 512", 512),
      scores("new scores 8x64", 8, 64, false, 1),
      rotations("rotations 6x64", 6, 64),
      transformer("recurrent block 128", {.width = 128,
                                          .heads = 2,
                                          .inner = 256,
                                          .layers = 2,
                                          .normFirst = true,
                                          .attention = "linear"}),
      convolutions("convolutions 24", 24, 48),
      windows("windows 64", 64, 28),
      maps("maps 8x128", 8, 128, 64),
      scores("scores 8x64", 8, 64, false),
      transformer("block 64", {.width = 64, .heads = 2, .inner = 256, .layers = 4}),
      transformer("gated recurrent block 256",
                  {.width = 256, .heads = 4, .inner = 512, .layers = 2, .attention = "gated"}),
      transformer("wide words 768", {.width = 768,
                                     .heads = 12,
                                     .inner = 3072,
                                     .layers = 2,
                                     .normFirst = true,
                                     .tokens = true}),
      rows("rows 100", 100),
      transformer("linear block 64", {.width = 64,
                                      .heads = 4,
                                      .inner = 128,
                                      .layers = 2,
                                      .normFirst = true,
                                      .attention = "relu"}),
      convolutions("convolutions 160", 160, 14),
      maps("maps 12x256", 12, 256, 32),
      windows("windows 32", 32, 56),
      convolutions("convolutions 16", 16, 96),
      scores("causal scores 4x32", 4, 32, true),
      images("images 8", 8),
      scores("some scores 3x48", 3, 48, false, 4),
      transformer("delta block 256",
                  {.width = 256, .heads = 4, .inner = 256, .layers = 2, .attention = "delta"}),
      rows("rows 2000", 2000),
      windows("windows 128", 128, 14),
      convolutions("convolutions 96", 96, 20),
      rotations("rotations 4x20", 4, 20),
  };
}

Network chain(ChainOp kind, int64_t times, int64_t m, int64_t d) {
  GraphBuilder g("chain");
  // Masks are ones: no number becomes denormal.
  Name x = g.input("mask", {m, d}), y = x;
  for (int64_t i = 0; i < times; ++i)
    y = kind == ChainOp::Exp   ? g.op("Exp", {y})
        : kind == ChainOp::Add ? g.op("Add", {y, x})
                               : g.op("Mul", {y, x});
  g.output(y, {m, d});
  return {"chain", g.serialise(), {}};
}

Network products(int64_t times, int64_t rows, int64_t size) {
  GraphBuilder g("products");
  Name x = g.input("x", {rows, size});
  for (int64_t i = 0; i < times; ++i)
    x = g.op("MatMul", {x, g.weight({size, size})});
  g.output(x, {rows, size});
  return {"products", g.serialise(), {}};
}

Network distances(int64_t m, int64_t n, int64_t k) {
  GraphBuilder g("distances");
  Name x = g.input("x", {m, int64_t(1), k});
  Name difference = g.op("Sub", {x, g.weight({1, n, k})});
  g.output(
      g.op("ReduceSum", {g.op("Abs", {difference}), g.integers({2})}, {{"keepdims", int64_t(0)}}),
      {m, n});
  return {"distances", g.serialise(), {}};
}

} // namespace attune::tools
