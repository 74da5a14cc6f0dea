#include "attune/search/templates/LayerGraph.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace attune::search {

using onnx::GraphBuilder;
using Name = LayerGraph::Name;

Model LayerGraph::finish() {
  int64_t elements = g.weightElements() + maskElements;
  if (elements <= most)
    return {.onnx = g.serialise(), .params = g.weightElements()};
  return {.onnx = "",
          .refused =
              llvm::formatv("{0} of a template would have {1:N} weights and other constants; "
                            "accepted: up to {2:N}, so fewer channels, positions or tokens",
                            most == kMostOfModel ? "a network" : "a block", elements, most)};
}

Name LayerGraph::weight(std::vector<int64_t> shape) {
  if (!current)
    return g.weight(shape);
  if (next == current->size())
    current->push_back(g.weight(shape));
  return (*current)[next++];
}

Name LayerGraph::linear(const Name &x, int64_t from, int64_t to) {
  Name product = g.op("MatMul", {x, weight({from, to})});
  return g.op("Add", {product, weight({to})});
}

Name LayerGraph::norm(const Name &x) {
  Name scale = weight({d}), bias = weight({d});
  return g.op("LayerNormalization", {x, scale, bias}, {{"axis", int64_t(-1)}});
}

Name LayerGraph::mean(const Name &x) {
  return g.op("ReduceMean", {x, g.integers({1})}, {{"keepdims", int64_t(0)}});
}

Name LayerGraph::positioned(const Name &x, int64_t rows) {
  return g.op("Add", {x, weight({1, rows, d})});
}

Name LayerGraph::embedding(const Name &tokens, int64_t vocabulary) {
  return g.op("Gather", {weight({vocabulary, d}), tokens}, {{"axis", int64_t(0)}});
}

Name LayerGraph::feedForward(const Name &x, int64_t inner) {
  Name hidden = g.op("Gelu", {linear(norm(x), d, inner)});
  return g.op("Add", {x, linear(hidden, inner, d)});
}

Name LayerGraph::mix(const Name &x, const Mixing &mixing, int64_t rows, int64_t heads) {
  Name y = norm(x);
  if (mixing.kind == Mixing::Kind::Conv)
    return g.op("Add", {x, linear(conv(y, mixing), d, d)});
  Name q = linear(y, d, d), k = linear(y, d, d), v = linear(y, d, d);
  switch (mixing.kind) {
  case Mixing::Kind::Linear:
  case Mixing::Kind::Cosformer:
    y = linearAttention(q, k, v, mixing, rows, heads);
    break;
  case Mixing::Kind::Local:
    y = local(q, k, v, mixing, rows, heads);
    break;
  default: {
    GraphBuilder::Attributes attributes{{"q_num_heads", heads}, {"kv_num_heads", heads}};
    if (mixing.causal)
      attributes.push_back({"is_causal", int64_t(1)});
    y = g.op("Attention", {q, k, v}, attributes);
  }
  }
  return g.op("Add", {x, linear(y, d, d)});
}

Name LayerGraph::cross(const Name &x, const Name &keys, const Name &values, int64_t heads) {
  Name q = linear(norm(x), d, d);
  Name y = g.op("Attention", {q, keys, values}, {{"q_num_heads", heads}, {"kv_num_heads", heads}});
  return g.op("Add", {x, linear(y, d, d)});
}

std::vector<Name> LayerGraph::split(const Name &x, unsigned parts) {
  if (parts == 1)
    return {x};
  std::vector<Name> names{
      g.op("Split", {x}, {{"axis", int64_t(2)}, {"num_outputs", int64_t(parts)}}, parts)};
  for (unsigned i = 1; i < parts; ++i)
    names.push_back(names[0] + "." + std::to_string(i));
  return names;
}

Name LayerGraph::transposed(const Name &x, std::vector<int64_t> permutation) {
  return g.op("Transpose", {x}, {{"perm", std::move(permutation)}});
}

Name LayerGraph::headsOf(const Name &x, int64_t rows, int64_t heads) {
  return transposed(g.op("Reshape", {x, g.integers({1, rows, heads, d / heads})}), {0, 2, 1, 3});
}

Name LayerGraph::joined(const Name &x, int64_t rows) {
  return g.op("Reshape", {transposed(x, {0, 2, 1, 3}), g.integers({1, rows, d})});
}

/// Over a band, with the mask spelled out: then the compiler reads the band from its numbers and
/// leaves out the keys beyond it.
Name LayerGraph::local(const Name &q, const Name &k, const Name &v, const Mixing &mixing,
                       int64_t rows, int64_t heads) {
  std::vector<float> mask;
  maskElements += rows * rows;
  int64_t shown = maskElements <= most ? rows : 0;
  mask.reserve(shown * shown);
  for (int64_t i = 0; i < shown; ++i)
    for (int64_t j = 0; j < shown; ++j) {
      bool seen = std::abs(i - j) <= mixing.reach && (j <= i || !mixing.causal);
      mask.push_back(seen ? 0 : -std::numeric_limits<float>::infinity());
    }
  Name columns = transposed(headsOf(k, rows, heads), {0, 1, 3, 2});
  Name scores = g.op("MatMul", {headsOf(q, rows, heads), columns});
  scores = g.op("Mul", {scores, g.number(1 / std::sqrt(static_cast<float>(d / heads)))});
  scores = g.op("Add", {scores, g.tensor({shown, shown}, mask)});
  Name weights = g.op("Softmax", {scores}, {{"axis", int64_t(-1)}});
  return joined(g.op("MatMul", {weights, headsOf(v, rows, heads)}), rows);
}

/// phi(q) (phi(k)^T v) over phi(q) sum(phi(k)), where a causal layer takes the weights of every
/// pair and leaves out those of later keys. phi = relu; for cosFormer (ICLR 2022) also times cos
/// and sin of the position, so that products fall off with distance.
Name LayerGraph::linearAttention(const Name &q, const Name &k, const Name &v, const Mixing &mixing,
                                 int64_t rows, int64_t heads) {
  Name pq = g.op("Relu", {headsOf(q, rows, heads)}), pk = g.op("Relu", {headsOf(k, rows, heads)});
  if (mixing.kind == Mixing::Kind::Cosformer) {
    auto [cosines, sines] = positions(rows);
    for (Name *x : {&pq, &pk})
      *x = g.op("Concat", {g.op("Mul", {*x, cosines}), g.op("Mul", {*x, sines})},
                {{"axis", int64_t(3)}});
  }
  pk = transposed(pk, {0, 1, 3, 2});
  Name above, below;
  if (mixing.causal) {
    Name weights = g.op("Trilu", {g.op("MatMul", {pq, pk})}, {{"upper", int64_t(0)}});
    above = g.op("MatMul", {weights, headsOf(v, rows, heads)});
    below = g.op("ReduceSum", {weights, g.integers({3})}, {{"keepdims", int64_t(1)}});
  } else {
    Name sum = g.op("ReduceSum", {pk, g.integers({3})}, {{"keepdims", int64_t(1)}});
    above = g.op("MatMul", {pq, g.op("MatMul", {pk, headsOf(v, rows, heads)})});
    below = g.op("MatMul", {pq, sum});
  }
  return joined(g.op("Div", {above, g.op("Add", {below, g.number(1e-6f)})}), rows);
}

/// Cosines and sines of a quarter turn over the sequence.
std::pair<Name, Name> LayerGraph::positions(int64_t rows) {
  std::vector<float> cosines, sines;
  for (int64_t i = 0; i < rows; ++i) {
    double angle = std::numbers::pi / 2 * (i + 1) / rows;
    cosines.push_back(std::cos(angle));
    sines.push_back(std::sin(angle));
  }
  return {g.tensor({rows, 1}, cosines), g.tensor({rows, 1}, sines)};
}

Name LayerGraph::conv(const Name &x, const Mixing &mixing) {
  int64_t taps = mixing.reach;
  std::vector<int64_t> pads{taps / 2, taps / 2};
  if (mixing.causal)
    pads = {taps - 1, 0};
  Name y = g.op("Conv", {transposed(x, {0, 2, 1}), weight({d, 1, taps})},
                {{"kernel_shape", std::vector<int64_t>{taps}}, {"group", d}, {"pads", pads}});
  return transposed(y, {0, 2, 1});
}

} // namespace attune::search
