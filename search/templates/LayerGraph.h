//===- LayerGraph.h - Layers of transformers as ONNX nodes ------------------------------------===//
//
// What templates write their models with (EncoderClassifier.cpp, Transformer.cpp). LayerPlan.h says
// what the same layers cost.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_LAYERGRAPH_H
#define ATTUNE_SEARCH_TEMPLATES_LAYERGRAPH_H

#include "attune/frontend/onnx/GraphBuilder.h"
#include "attune/search/templates/Model.h"

#include <map>

namespace attune::search {

/// How a layer lets positions see each other.
struct Mixing {
  enum class Kind : uint8_t { Softmax, Linear, Cosformer, Local, Conv } kind = Kind::Softmax;
  int64_t reach = 0;   ///< positions to a side, or taps
  bool causal = false; ///< only to earlier positions and the own one
  bool hasHeads() const { return kind != Kind::Conv; }
};

class LayerGraph {
public:
  using Name = std::string;
  /// A block that has to be compiled for its price: seconds to draw its numbers and to read them.
  static constexpr int64_t kMostOfBlock = int64_t(1) << 27;
  /// A file of ONNX ends at 2 GiB.
  static constexpr int64_t kMostOfModel = ((int64_t(1) << 31) - (1 << 20)) / sizeof(float);

  /// Of a model whose layers have `width` channels and that is refused if its weights and other
  /// constants have more than `most` elements.
  LayerGraph(const std::string &name, int64_t width, int64_t most)
      : g(name), d(width), most(most) {}

  Name input(const std::string &name, int64_t rows, int64_t channels) {
    return g.input(name, {int64_t(1), rows, channels});
  }
  Name tokens(const std::string &name, int64_t count) {
    return g.input(name, {int64_t(1), count}, /*integers=*/true);
  }
  void output(const Name &value, const std::vector<onnx::GraphBuilder::Dim> &shape) {
    g.output(value, shape);
  }
  Model finish();

  /// What follows is a layer of this name, with the weights of the last one or its own.
  void useWeights(uint64_t layer, bool again) {
    current = &layers[layer];
    next = 0;
    if (!again)
      current->clear();
  }
  void useNewWeights() { current = nullptr; }

  Name linear(const Name &x, int64_t from, int64_t to);
  Name norm(const Name &x);
  /// The mean over positions.
  Name mean(const Name &x);
  /// Plus a learned vector per position.
  Name positioned(const Name &x, int64_t rows);
  Name embedding(const Name &tokens, int64_t vocabulary);
  /// x + W2 gelu(W1 norm(x))
  Name feedForward(const Name &x, int64_t inner);
  /// x + mix(norm(x))
  Name mix(const Name &x, const Mixing &mixing, int64_t rows, int64_t heads);
  /// x + attention of norm(x) to keys and values
  Name cross(const Name &x, const Name &keys, const Name &values, int64_t heads);
  /// Equal parts of the last of three axes.
  std::vector<Name> split(const Name &x, unsigned parts);

private:
  Name weight(std::vector<int64_t> shape);
  Name transposed(const Name &x, std::vector<int64_t> permutation);
  Name headsOf(const Name &x, int64_t rows, int64_t heads);
  Name joined(const Name &x, int64_t rows);
  Name local(const Name &q, const Name &k, const Name &v, const Mixing &mixing, int64_t rows,
             int64_t heads);
  Name linearAttention(const Name &q, const Name &k, const Name &v, const Mixing &mixing,
                       int64_t rows, int64_t heads);
  Name conv(const Name &x, const Mixing &mixing);
  std::pair<Name, Name> positions(int64_t rows);

  onnx::GraphBuilder g;
  int64_t d, most;
  int64_t maskElements = 0;                     ///< of constants beside the weights
  std::map<uint64_t, std::vector<Name>> layers; ///< weights by layer
  std::vector<Name> *current = nullptr;
  size_t next = 0; ///< weight of the current layer
};

} // namespace attune::search
#endif
