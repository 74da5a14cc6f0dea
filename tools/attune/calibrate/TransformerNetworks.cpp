#include "attune/tools/attune/calibrate/Builders.h"

namespace attune::tools {

namespace {

class Transformer {
public:
  Transformer(const std::string &name, const Block &block)
      : g(name, block.attention == "softmax" || block.attention == "relu" ? 23 : 27), b(block) {}

  Network build(const std::string &name) {
    GraphBuilder::Dim positions = "seq";
    if (b.cached)
      positions = int64_t(1);
    Name x = b.tokens ? embedded() : g.input("x", {"batch", positions, b.width});
    if (b.patches) {
      x = placed(linear(x, b.width, b.width));
      positions = "longer";
    }
    if (b.rotary) {
      cos = g.input("cos", {positions, b.width / b.heads});
      sin = g.input("sin", {positions, b.width / b.heads});
    }
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
      g.output(x, {"batch", positions, b.width});
    return {name, g.serialise(), b.cached ? kCacheSizes : b.width < 200 ? kMoreSizes : kSizes};
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
  Name placed(const Name &x) {
    Name batch = g.op("Shape", {x}, {{"end", int64_t(1)}});
    Name shape = g.op("Concat", {batch, g.integers({1, b.width})}, {{"axis", int64_t(0)}});
    Name first = g.op("Expand", {g.weight({1, 1, b.width}), shape});
    Name longer = g.op("Concat", {first, x}, {{"axis", int64_t(1)}});
    Name length = g.op("Shape", {longer}, {{"start", int64_t(1)}, {"end", int64_t(2)}});
    Name places = g.op("Slice", {g.weight({Network::kRows, b.width}), g.integers({0}), length});
    return g.op("Add", {longer, places});
  }
  /// Halves of every head turned against each other.
  Name turned(const Name &x) {
    const int64_t depth = b.width / b.heads;
    auto part = [&](int64_t first, int64_t last) {
      return g.op("Slice", {x, g.integers({first}), g.integers({last}), g.integers({-1})});
    };
    Name other = g.op("Concat", {g.op("Neg", {part(depth / 2, depth)}), part(0, depth / 2)},
                      {{"axis", int64_t(-1)}});
    return g.op("Add", {g.op("Mul", {x, cos}), g.op("Mul", {other, sin})});
  }
  /// With what a cache holds before.
  Name kept(const Name &x, int64_t count) {
    const int64_t depth = b.width / b.heads;
    Name past = g.input("past" + std::to_string(caches++), {"batch", count, "seq", depth});
    Name all = g.op("Concat", {past, x}, {{"axis", int64_t(2)}});
    g.output(all, {"batch", count, "longer", depth});
    return all;
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
    if (b.rotary)
      q = turned(q), k = turned(k);
    if (b.cached)
      k = kept(k, keyHeads), v = kept(v, keyHeads);
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
  Name cos, sin;
  unsigned caches = 0;
};

} // namespace

Network transformer(const std::string &name, const Block &block) {
  return Transformer(name, block).build(name);
}

Network shiftedWindows(const std::string &name, int64_t heads, int64_t depth, int64_t size,
                       int64_t window) {
  const int64_t width = heads * depth, count = size / window, shift = window / 2;
  GraphBuilder g(name);
  auto linear = [&](const Name &x, int64_t from, int64_t to) {
    return g.op("Add", {g.op("MatMul", {x, g.weight({from, to})}), g.weight({to})});
  };
  auto norm = [&](const Name &x) {
    return g.op("LayerNormalization", {x, g.weight({width}), g.weight({width})},
                {{"axis", int64_t(-1)}});
  };
  auto reshape = [&](const Name &x, const std::vector<int64_t> &shape) {
    return g.op("Reshape", {x, g.integers(shape)});
  };
  auto transpose = [&](const Name &x, const std::vector<int64_t> &perm) {
    return g.op("Transpose", {x}, {{"perm", perm}});
  };
  auto rolled = [&](Name x, int64_t by) {
    for (int64_t axis : {1, 2}) {
      auto part = [&](int64_t from, int64_t to) {
        return g.op("Slice", {x, g.integers({from}), g.integers({to}), g.integers({axis})});
      };
      x = g.op("Concat", {part(by, size), part(0, by)}, {{"axis", axis}});
    }
    return x;
  };
  auto headsOf = [&](const Name &x) {
    return transpose(reshape(x, {0, 0, heads, depth}), {0, 2, 1, 3});
  };
  const std::vector<GraphBuilder::Dim> shape{"batch", size * size, width};
  Name x = g.input("x", shape);
  for (bool shifted : {false, true}) {
    Name y = reshape(norm(x), {-1, size, size, width});
    if (shifted)
      y = rolled(y, shift);
    y = transpose(reshape(y, {-1, count, window, count, window, width}), {0, 1, 3, 2, 4, 5});
    y = reshape(y, {-1, window * window, width});
    y = g.op("Attention", {headsOf(linear(y, width, width)), headsOf(linear(y, width, width)),
                           headsOf(linear(y, width, width))});
    y = linear(reshape(transpose(y, {0, 2, 1, 3}), {0, 0, width}), width, width);
    y = transpose(reshape(y, {-1, count, count, window, window, width}), {0, 1, 3, 2, 4, 5});
    y = reshape(y, {-1, size, size, width});
    if (shifted)
      y = rolled(y, size - shift);
    x = g.op("Add", {x, reshape(y, {-1, size * size, width})});
    x = g.op("Add",
             {x, linear(g.op("Gelu", {linear(norm(x), width, 2 * width)}), 2 * width, width)});
  }
  g.output(x, shape);
  return {name, g.serialise(), {{1, 1}, {3, 1}}};
}
} // namespace attune::tools
