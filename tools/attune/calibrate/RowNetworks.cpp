#include "attune/tools/attune/calibrate/Builders.h"

namespace attune::tools {

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
  return {name, g.serialise(), kMoreSizes};
}

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
  return {name, g.serialise(), kMoreSizes};
}

Network scores(const std::string &name, int64_t heads, int64_t depth, bool causal,
               int64_t queries) {
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

Network pieces(const std::string &name, int64_t heads, int64_t depth) {
  GraphBuilder g(name);
  const int64_t width = heads * depth, half = width / 2;
  constexpr int64_t kFew = 16;
  using Dims = std::vector<GraphBuilder::Dim>;
  const Dims shape{"batch", "seq", width};
  Name x = g.input("x", shape), more = g.input("more", shape);
  Name mask = g.input("mask", {"batch", "seq"}), ids = g.input("ids", {"batch", "seq"}, true);
  auto read = [&](const Name &y, Dims dims) {
    Name few = g.op("MatMul", {y, g.weight({std::get<int64_t>(dims.back()), kFew})});
    dims.back() = kFew;
    g.output(few, dims);
  };
  auto part = [&](const Name &y, int64_t first, int64_t last, int64_t axis) {
    return g.op("Slice", {y, g.integers({first}), g.integers({last}), g.integers({axis})});
  };
  auto norm = [&](const Name &y) {
    return g.op("LayerNormalization", {y, g.weight({width}), g.weight({width})},
                {{"axis", int64_t(-1)}});
  };
  // Masks: for scores, and for a mean.
  g.output(g.op("Mul", {g.op("Sub", {g.number(1), mask}), g.number(-1e4f)}), {"batch", "seq"});
  Name masked = g.op("Mul", {x, g.op("Unsqueeze", {mask, g.integers({2})})});
  Name sum = g.op("ReduceSum", {masked, g.integers({1})}, {{"keepdims", int64_t(0)}});
  Name count = g.op("ReduceSum", {mask, g.integers({1})}, {{"keepdims", int64_t(1)}});
  read(g.op("Div", {sum, count}), {"batch", width});
  // Parts of rows and of texts.
  read(g.op("Mul", {part(x, 0, half, 2), g.op("Sigmoid", {part(x, half, width, 2)})}),
       {"batch", "seq", half});
  read(norm(part(x, -1, Network::kRows, 1)), {"batch", int64_t(1), width});
  read(g.op("Concat", {more, g.op("Add", {x, g.weight({width})})}, {{"axis", int64_t(1)}}),
       {"batch", "twice", width});
  // Order of axes.
  Name split = g.op("Reshape", {x, g.integers({0, 0, heads, depth})});
  g.output(g.op("Transpose", {split}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}}),
           {"batch", heads, "seq", depth});
  g.output(g.op("Transpose", {split}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}}),
           {"batch", heads, depth, "seq"});
  // Elements, rows of a table, and what a whole row or text needs.
  read(g.op("Relu", {g.op("Add", {x, more})}), shape);
  read(g.op("Gather", {g.weight({Network::kRows, width}), ids}), shape);
  read(norm(g.op("Add", {x, more})), shape);
  read(g.op("Softmax", {g.op("Add", {g.op("Mul", {x, g.number(0.3f)}), g.weight({width})})},
            {{"axis", int64_t(-1)}}),
       shape);
  read(g.op("Sub", {g.op("Tanh", {x}), g.op("ReduceMean", {x, g.integers({1})})}), shape);
  return {name, g.serialise(), kMoreSizes};
}
} // namespace attune::tools
