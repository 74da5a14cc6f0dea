#include "attune/frontend/onnx/ReplaceAttention.h"
#include "attune/frontend/onnx/GraphEditor.h"

#include "llvm/ADT/StringRef.h"

#include <cmath>
#include <numbers>
#include <set>

namespace attune::onnx {
namespace {

using ::onnx::NodeProto;
using Name = std::string;

/// exp of this is 0: such a score hides a key.
constexpr double kHidden = -104;

/// The parts of one attention in the graph: softmax(queries keys + masks) values.
struct Parts {
  Name queries, keys, values; ///< [..., N, D], [..., D, M], [..., M, E]
  std::vector<Name> factors;  ///< of weights, that masks stand for
  bool keysOnly = true;       ///< whether all factors are the same for all queries
  double scale = 1;           ///< of weights
  bool causal = false;        ///< further, keys behind the query have weight 0
  int64_t type = 0;           ///< of elements
};

class Replacer {
public:
  Replacer(GraphEditor &graph, const Replacement &wanted) : g(graph), wanted(wanted) {}

  void run() {
    end = wanted.nodes.empty() ? nullptr : g.node(wanted.nodes.back());
    if (!end)
      refuse("it is not a node of the model's own graph");
    llvm::StringRef kind = wanted.alternative;
    if (kind.consume_front("local")) {
      int64_t reach = 0;
      if (kind.getAsInteger(10, reach))
        refuse("there is no alternative '" + wanted.alternative + "'");
      return end->op_type() == "Attention" ? narrowOperator(reach) : narrowSoftmax(reach);
    }
    if (wanted.alternative != "linear" && wanted.alternative != "cosformer")
      refuse("there is no alternative '" + wanted.alternative + "'");
    if (end->op_type() == "Attention")
      replaceOperator();
    else
      replaceProduct();
  }

private:
  [[noreturn]] void refuse(const std::string &reason) {
    std::string name = wanted.nodes.empty() ? "" : wanted.nodes.back();
    throw ImportError("unsupported: the attention of node '" + name + "' cannot be written as " +
                      wanted.alternative + " in ONNX: " + reason);
  }

  //===-- Two products around a Softmax -------------------------------------------------------===//

  /// Steps over operators that change nothing.
  NodeProto *producer(const Name &value) {
    NodeProto *node = g.producer(value);
    while (node &&
           (node->op_type() == "Identity" || node->op_type() == "Dropout" ||
            (node->op_type() == "Cast" && g.type(node->input(0)) == g.integer(*node, "to", 0))))
      node = g.producer(node->input(0));
    return node;
  }

  /// Whether `value` is computed from the scores.
  bool reachesScores(const Name &value) {
    std::set<NodeProto *> seen;
    std::vector<Name> work{value};
    while (!work.empty()) {
      NodeProto *node = g.producer(work.back());
      work.pop_back();
      if (node == scores)
        return true;
      if (node && seen.insert(node).second)
        work.insert(work.end(), node->input().begin(), node->input().end());
    }
    return false;
  }

  void findSoftmax() {
    if (end->op_type() != "MatMul")
      refuse("it ends in " + end->op_type() + "; accepted: MatMul, Attention");
    NodeProto *node = producer(end->input(0));
    // Rows without a key are 0: Where(IsNaN(p), 0, p).
    if (node && node->op_type() == "Where") {
      NodeProto *condition = producer(node->input(0));
      if (condition && condition->op_type() == "IsNaN" && g.constant(node->input(1)) == 0.0)
        node = producer(node->input(2));
    }
    if (!node || node->op_type() != "Softmax")
      refuse("its weights are not the result of a Softmax");
    softmax = node;
    int64_t axis = g.integer(*softmax, "axis", -1);
    if (axis != -1 && axis != g.rank(softmax->input(0)) - 1)
      refuse("its Softmax is not over the last axis");
    for (const Name &name : wanted.nodes) {
      scores = g.node(name);
      if (scores && scores != end && scores->op_type() == "MatMul" &&
          reachesScores(softmax->input(0)))
        return;
    }
    refuse("its scores are not the result of a MatMul");
  }

  void addFactor(Parts &parts, const Name &factor, const Name &like) {
    parts.factors.push_back(factor);
    parts.keysOnly &= g.rank(like) == 1 || g.size(like, -2) == 1;
  }

  /// From the softmax up to the scores: masks become factors.
  void readMasks(Parts &parts) {
    Name one = g.number(1, parts.type), zero = g.number(0, parts.type);
    bool scaled = false;
    for (NodeProto *node = producer(softmax->input(0)); node != scores;) {
      llvm::StringRef op = node->op_type();
      int side = node->input_size() > 1 && reachesScores(node->input(op == "Where" ? 2 : 1));
      Name next = op == "Where" ? node->input(1 + side) : node->input(side);
      if (op == "Mul" || op == "Div") {
        scaled = true;
        std::optional<double> factor = g.constant(node->input(1 - side));
        if (!factor || *factor <= 0 || (op == "Div" && side == 1))
          refuse("'" + node->name() + "' scales scores by something else than a positive number");
        parts.scale *= op == "Div" ? 1 / *factor : *factor;
      } else if (scaled) {
        refuse("'" + node->name() + "' masks scores that are scaled behind it");
      } else if (op == "Add") {
        const Name &mask = node->input(1 - side);
        addFactor(parts, g.op("Exp", {mask}), mask);
      } else if (op == "Where") {
        std::optional<double> other = g.constant(node->input(2 - side));
        if (!other || *other > kHidden)
          refuse("'" + node->name() + "' puts other scores in place of some");
        const Name &condition = node->input(0);
        addFactor(parts, g.op("Where", {condition, side ? zero : one, side ? one : zero}),
                  condition);
      } else {
        refuse("there is a " + op.str() + " between its scores and its Softmax");
      }
      node = producer(next);
      if (!node)
        refuse("its scores are not the result of a MatMul");
    }
  }

  void replaceProduct() {
    findSoftmax();
    Parts parts;
    parts.queries = scores->input(0);
    parts.keys = scores->input(1);
    parts.values = end->input(1);
    parts.type = g.type(end->output(0));
    g.startBefore(*end);
    readMasks(parts);
    g.finish(*end, buildLinear(parts));
  }

  //===-- One Attention node ------------------------------------------------------------------===//

  void checkOperator() {
    for (int input = 4; input < end->input_size(); ++input)
      if (!end->input(input).empty())
        refuse("it reads a cache");
    for (int output = 1; output < end->output_size(); ++output)
      if (!end->output(output).empty())
        refuse("more than its first result is used");
  }

  Name mask() { return end->input_size() > 3 ? end->input(3) : ""; }

  /// [batch, heads, length, size]
  Name splitHeads(const Name &x, const char *heads) {
    if (g.rank(x) != 3)
      return x;
    Name parts = g.op("Reshape", {x, g.integers({0, 0, g.integer(*end, heads, 0), -1})});
    return g.op("Transpose", {parts}, {{"perm", {0, 2, 1, 3}}});
  }

  /// Each key head once for every query head that reads it.
  Name repeatHeads(const Name &x, const Name &original) {
    bool flat = g.rank(original) == 3;
    int64_t heads = flat ? g.integer(*end, "q_num_heads", 0) : g.size(end->input(0), 1);
    int64_t own = flat ? g.integer(*end, "kv_num_heads", 0) : g.size(original, 1);
    if (heads == own && heads > 0)
      return x;
    int64_t size = flat && own > 0 && g.size(original, -1) > 0 ? g.size(original, -1) / own
                                                               : g.size(original, -1);
    if (heads <= 0 || own <= 0 || size <= 0)
      refuse("its heads are not known");
    Name grouped = g.op("Unsqueeze", {x, g.integers({2})});
    Name repeated = g.op("Expand", {grouped, g.integers({1, 1, heads / own, 1, 1})});
    return g.op("Reshape", {repeated, g.integers({0, heads, -1, size})});
  }

  double operatorScale() {
    for (const auto &attribute : end->attribute())
      if (attribute.name() == "scale")
        return attribute.f();
    bool flat = g.rank(end->input(0)) == 3;
    int64_t width = g.size(end->input(0), -1), heads = g.integer(*end, "q_num_heads", 0);
    if (width <= 0 || (flat && heads <= 0))
      refuse("the size of its heads is not known");
    return 1 / std::sqrt(static_cast<double>(flat ? width / heads : width));
  }

  void replaceOperator() {
    checkOperator();
    g.startBefore(*end);
    Parts parts;
    parts.type = g.type(end->input(0));
    parts.causal = g.integer(*end, "is_causal", 0) != 0;
    parts.scale = operatorScale();
    parts.queries = splitHeads(end->input(0), "q_num_heads");
    Name keys = repeatHeads(splitHeads(end->input(1), "kv_num_heads"), end->input(1));
    parts.keys = g.op("Transpose", {keys}, {{"perm", {0, 1, 3, 2}}});
    parts.values = repeatHeads(splitHeads(end->input(2), "kv_num_heads"), end->input(2));
    if (Name seen = mask(); !seen.empty())
      addFactor(parts,
                g.type(seen) == ::onnx::TensorProto::BOOL
                    ? g.op("Where", {seen, g.number(1, parts.type), g.number(0, parts.type)})
                    : g.op("Exp", {seen}),
                seen);
    bool flat = g.rank(end->input(0)) == 3;
    Name result = buildLinear(parts);
    if (flat) {
      result = g.op("Transpose", {result}, {{"perm", {0, 2, 1, 3}}});
      result = g.op("Reshape", {result, g.integers({0, 0, -1})});
    }
    g.finish(*end, result);
  }

  //===-- Linear attention --------------------------------------------------------------------===//

  /// Sines or cosines of the positions as a column (of queries) or a row (of keys); the lengths are
  /// scalars.
  Name positions(bool cosine, const Name &length, const Name &longest, bool column, int64_t type) {
    Name one = g.scalar(1), last = g.op("Add", {length, one});
    auto real = [&](const Name &x) { return g.op("Cast", {x}, {{"to", {type}}}, /*scalar=*/true); };
    Name share = g.op("Div", {real(g.op("Range", {one, last, one})), real(longest)});
    Name angle = g.op("Mul", {share, g.number(std::numbers::pi / 2, type)});
    return g.op("Unsqueeze", {g.op(cosine ? "Cos" : "Sin", {angle}), g.integers({column})});
  }

  /// Times sines and times cosines, side by side.
  Name turned(const Name &x, const Name &length, const Name &longest, bool queries, int64_t type) {
    std::vector<Name> parts;
    for (bool cosine : {false, true})
      parts.push_back(g.op("Mul", {x, positions(cosine, length, longest, queries, type)}));
    return g.op("Concat", parts, {{"axis", {queries ? -1 : -2}}}, /*scalar=*/true);
  }

  Name buildLinear(const Parts &parts) {
    bool cosine = wanted.alternative == "cosformer";
    Name q = g.op("Relu", {parts.queries}), k = g.op("Relu", {parts.keys});
    if (cosine) {
      Name queries = extent(parts.queries, -2), keys = extent(parts.keys, -1);
      Name longest = g.op("Max", {queries, keys});
      q = turned(q, queries, longest, /*queries=*/true, parts.type);
      k = turned(k, keys, longest, /*queries=*/false, parts.type);
    }
    if (parts.scale != 1)
      q = g.op("Mul", {q, g.number(parts.scale, parts.type)});
    Name eps = g.number(1e-6, parts.type), above, below;
    if (parts.keysOnly && !parts.causal) {
      for (const Name &factor : parts.factors)
        k = g.op("Mul", {k, factor});
      above = g.op("MatMul", {q, g.op("MatMul", {k, parts.values})});
      below = g.op("MatMul", {q, g.sum(k)});
    } else {
      Name weights = g.op("MatMul", {q, k});
      for (const Name &factor : parts.factors)
        weights = g.op("Mul", {weights, factor});
      if (parts.causal)
        weights = g.op("Trilu", {weights}, {{"upper", {0}}}, /*scalar=*/true);
      above = g.op("MatMul", {weights, parts.values});
      below = g.sum(weights);
    }
    below = g.op(cosine ? "Max" : "Add", {below, eps});
    return g.op("Div", {above, below});
  }

  //===-- Windows -----------------------------------------------------------------------------===//

  /// Which of the keys lie near each of the queries, [N, M]; both are scalars.
  Name window(const Name &queries, const Name &keys, int64_t reach) {
    Name zero = g.scalar(0), one = g.scalar(1);
    Name rows = g.op("Unsqueeze", {g.op("Range", {zero, queries, one}), g.integers({1})});
    Name columns = g.op("Range", {zero, keys, one});
    return g.op("LessOrEqual", {g.op("Abs", {g.op("Sub", {rows, columns})}), g.scalar(reach)});
  }

  Name extent(const Name &x, int64_t axis) {
    return g.op("Gather", {g.op("Shape", {x}), g.scalar(axis)});
  }

  void narrowSoftmax(int64_t reach) {
    findSoftmax();
    g.startBefore(*softmax);
    Name x = softmax->input(0);
    Name near = window(extent(x, -2), extent(x, -1), reach);
    double infinity = std::numeric_limits<double>::infinity();
    int64_t type = g.type(x);
    bool masked = producer(x) != scores;
    Name score = g.op("Where", {near, x, g.number(-infinity, type)});
    if (!masked)
      return g.rewire(*softmax, 0, score);
    // Masked for a window need not be masked for all: rows without a key are 0.
    Name weights = g.op("Softmax", {score}, {{"axis", {-1}}}, /*scalar=*/true);
    g.finish(*softmax, g.op("Where", {g.op("IsNaN", {weights}), g.number(0, type), weights}));
  }

  void narrowOperator(int64_t reach) {
    checkOperator();
    g.startBefore(*end);
    Name near = window(extent(end->input(0), -2), extent(end->input(1), -2), reach);
    if (Name seen = mask(); !seen.empty()) {
      bool condition = g.type(seen) == ::onnx::TensorProto::BOOL;
      double infinity = std::numeric_limits<double>::infinity();
      near = condition ? g.op("And", {near, seen})
                       : g.op("Where", {near, seen, g.number(-infinity, g.type(seen))});
    }
    g.rewire(*end, 3, near);
  }

  GraphEditor &g;
  const Replacement &wanted;
  NodeProto *end = nullptr, *softmax = nullptr, *scores = nullptr;
};

template <typename Body> auto guarded(const std::string &path, Body body) -> decltype(body()) {
  std::string message;
  try {
    return body();
  } catch (const ImportError &error) {
    message = error.what();
  } catch (const std::exception &error) {
    message = "cannot read " + path + ": " + error.what();
  }
  return llvm::createStringError(std::make_error_code(std::errc::invalid_argument), message);
}

} // namespace

llvm::Expected<std::string> replaceAttention(const std::string &path,
                                             llvm::ArrayRef<Replacement> replacements) {
  return guarded(path, [&]() -> llvm::Expected<std::string> {
    GraphEditor graph(path);
    for (const Replacement &replacement : replacements)
      Replacer(graph, replacement).run();
    return graph.serialise();
  });
}

llvm::Expected<int64_t> countParameters(const std::string &path) {
  return guarded(path, [&]() -> llvm::Expected<int64_t> {
    ::onnx::ModelProto model = parseModel(path);
    int64_t count = 0;
    auto add = [&](const ::onnx::TensorProto &tensor) {
      if (!DType(tensor.data_type()).isFloat())
        return;
      int64_t elements = 1;
      for (int64_t size : tensor.dims())
        if (size < 0 || llvm::MulOverflow(elements, size, elements))
          throw ImportError("tensor '" + tensor.name() + "' has sizes that are no sizes");
      count += elements;
    };
    for (const ::onnx::TensorProto &tensor : model.graph().initializer())
      add(tensor);
    for (const NodeProto &node : model.graph().node())
      for (const ::onnx::AttributeProto &attribute : node.attribute())
        if (node.op_type() == "Constant" && attribute.has_t())
          add(attribute.t());
    return count;
  });
}

} // namespace attune::onnx
