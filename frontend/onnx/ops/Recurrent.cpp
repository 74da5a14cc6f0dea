// RNN, GRU and LSTM as straight-line code: one step after the other, all of the inputs' products
// first.
#include "attune/frontend/onnx/Build.h"

using namespace mlir;

namespace attune::onnx {
namespace {

enum class Cell { RNN, GRU, LSTM };

class RecurrentConverter {
public:
  RecurrentConverter(Node &node, Cell cell) : node(node), cell(cell) {}

  void run() {
    readAttributes();
    readInputs();
    for (int64_t d = 0; d < directions; ++d)
      runDirection(d);
    emitOutputs();
  }

private:
  Node &node;
  Cell cell;
  int64_t directions = 1, steps = 0;
  bool reverse = false, batchFirst = false, linearBeforeReset = false, inputForget = false;
  std::vector<std::string> activations;
  Tensor x, lengths; ///< [time, batch, size]; [batch] or none
  Extent hidden;
  std::vector<std::vector<Tensor>> sequence; ///< [direction][time]: [batch, hidden]
  std::vector<Tensor> lastHidden, lastCell;  ///< [batch, hidden]

  int64_t gates() const { return cell == Cell::RNN ? 1 : cell == Cell::GRU ? 3 : 4; }
  int64_t functions() const { return cell == Cell::RNN ? 1 : cell == Cell::GRU ? 2 : 3; }

  void readAttributes() {
    std::string direction = node.stringAttr("direction", "forward");
    node.check(direction == "forward" || direction == "reverse" || direction == "bidirectional",
               "attribute 'direction' is '" + direction +
                   "'; accepted: forward, reverse, bidirectional");
    reverse = direction == "reverse";
    directions = direction == "bidirectional" ? 2 : 1;
    batchFirst = node.hasAttr("layout") && node.flagAttr("layout", 0);
    if (cell == Cell::GRU)
      linearBeforeReset = node.flagAttr("linear_before_reset", 0);
    if (cell == Cell::LSTM)
      inputForget = node.flagAttr("input_forget", 0);
    for (const char *name : {"clip", "activation_alpha", "activation_beta"})
      if (node.hasAttr(name))
        node.unsupported(llvm::Twine("attribute '") + name + "'");
    std::vector<std::string> defaults = {"Sigmoid", "Tanh", "Tanh"};
    if (cell == Cell::RNN)
      defaults = {"Tanh"};
    defaults.resize(functions());
    std::vector<std::string> all = defaults;
    if (directions == 2)
      all.insert(all.end(), defaults.begin(), defaults.end());
    // The schema's own default for RNN has an entry too many.
    activations = node.hasAttr("activations") ? node.stringsAttr("activations") : all;
    node.check(activations.size() == all.size(),
               "attribute 'activations' has " + llvm::Twine(activations.size()) +
                   " entries; accepted: " + llvm::Twine(all.size()));
    for (const std::string &name : activations)
      if (!llvm::is_contained({"Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"}, StringRef(name)))
        node.unsupported("activation '" + name +
                         "'; accepted: Relu, Sigmoid, Softplus, Softsign, Tanh");
  }

  void readInputs() {
    x = node.input(0);
    node.check(x.rank() == 3, "the input has rank " + llvm::Twine(x.rank()) + "; accepted: 3");
    if (batchFirst)
      x = transpose(node, x, {1, 0, 2});
    Tensor w = node.input(1), r = node.input(2);
    node.check(w.rank() == 3 && r.rank() == 3, "the weights have no rank of 3");
    node.requireEqual(w.dim(0), directions, "the weights differ from the directions");
    hidden = r.dim(2);
    node.requireEqual(w.dim(1), hidden * gates(), "the weights have another number of gates");
    node.requireEqual(r.dim(1), hidden * gates(), "the weights have another number of gates");
    if (node.hasAttr("hidden_size"))
      node.requireEqual(hidden, node.intAttr("hidden_size"),
                        "attribute 'hidden_size' differs from the weights");
    std::optional<int64_t> known = x.dim(0).constant();
    if (!known || *known > 1024)
      node.unsupported("a sequence of " + node.extents().str(x.dim(0)) +
                       " steps; accepted: a static number of at most 1024");
    steps = *known;
    node.check(steps > 0, "the sequence is empty");
    if (node.has(4)) {
      lengths = node.input(4);
      node.check(lengths.rank() == 1, "sequence_lens is not one-dimensional");
      node.requireEqual(lengths.dim(0), x.dim(1), "sequence_lens differ from the batch");
    }
  }

  /// t[index] without its first axis.
  Tensor at(const Tensor &t, int64_t index) {
    SmallVector<SliceRange> ranges;
    for (const Extent &e : t.shape())
      ranges.push_back({0, e, 1});
    ranges[0] = {index, 1, 1};
    Shape shape(t.shape().begin() + 1, t.shape().end());
    return reshape(node, slice(node, t, ranges), shape);
  }

  Tensor part(const Tensor &t, const Extent &from, const Extent &size) {
    return slice(node, t, {{from, size, 1}});
  }

  /// [batch, hidden], zero where not given.
  Tensor initial(int input, int64_t d) {
    Shape shape = {x.dim(1), hidden};
    if (!node.has(input))
      return Tensor::ofUniform(scalarAttr(node.context(), x.dtype(), 0), x.dtype(), shape);
    Tensor given = node.input(input);
    node.check(given.rank() == 3,
               "an initial state has rank " + llvm::Twine(given.rank()) + "; accepted: 3");
    if (batchFirst)
      given = transpose(node, given, {1, 0, 2});
    Tensor own = at(given, d);
    node.requireEqual(own.dim(0), x.dim(1), "an initial state differs in batch");
    node.requireEqual(own.dim(1), hidden, "an initial state differs in size");
    return reshape(node, own, shape);
  }

  void runDirection(int64_t d) {
    Extent width = hidden * gates();
    Tensor bias = node.has(3) ? at(node.input(3), d)
                              : Tensor::ofUniform(scalarAttr(node.context(), x.dtype(), 0),
                                                  x.dtype(), {width * 2});
    node.requireEqual(bias.dim(0), width * 2, "the bias has another size");
    Tensor ofInput = part(bias, 0, width), ofState = part(bias, width, width);
    // GRU multiplies the state's candidate before or after its bias: that one stays apart.
    Tensor weights = at(node.input(2), d);
    Tensor products = node.inlineFunction("(x, w, bias) => (y) {\n"
                                          "  columns = Transpose <perm = [1, 0]> (w)\n"
                                          "  product = MatMul (x, columns)\n"
                                          "  y = Add (product, bias)\n"
                                          "}",
                                          {x, at(node.input(1), d), ofInput})[0];
    Tensor columns = transpose(node, weights, {1, 0}), h = initial(5, d), c;
    Tensor peepholes;
    if (cell == Cell::LSTM) {
      c = initial(6, d);
      if (node.has(7))
        peepholes = at(node.input(7), d);
    }
    std::vector<Tensor> all(steps);
    bool backwards = reverse || d == 1;
    for (int64_t k = 0; k < steps; ++k) {
      int64_t t = backwards ? steps - 1 - k : k;
      std::vector<Tensor> next = node.inlineFunction(
          stepText(d, bool(peepholes)), {at(products, t), h, c, columns, ofState, peepholes});
      all[t] = next[0];
      if (lengths) {
        Tensor none =
            Tensor::ofUniform(scalarAttr(node.context(), x.dtype(), 0), x.dtype(), next[0].shape());
        all[t] = whereValid(t, next[0], none);
        next[0] = whereValid(t, next[0], h);
        if (c)
          next[1] = whereValid(t, next[1], c);
      }
      h = next[0];
      if (c)
        c = next[1];
    }
    sequence.push_back(all);
    lastHidden.push_back(h);
    lastCell.push_back(c);
  }

  /// `fresh` in sequences that have a step t, `old` in the others.
  Tensor whereValid(int64_t t, const Tensor &fresh, const Tensor &old) {
    return node.inlineFunction("(fresh, old, lengths) => (y) {\n"
                               "  t64 = Constant <value_int = " +
                                   std::to_string(t) +
                                   "> ()\n"
                                   "  t = CastLike (t64, lengths)\n"
                                   "  last = Constant <value_ints = [-1]> ()\n"
                                   "  valid = Greater (lengths, t)\n"
                                   "  rows = Unsqueeze (valid, last)\n"
                                   "  y = Where (rows, fresh, old)\n"
                                   "}",
                               {fresh, old, lengths})[0];
  }

  std::string stepText(int64_t d, bool peepholes) const {
    auto function = [&](int64_t i) { return activations[d * functions() + i]; };
    std::string head = "(x, h, c, r, bias, p) => (h_next, c_next) {\n";
    if (cell == Cell::RNN)
      return head +
             "  hr = MatMul (h, r)\n  hb = Add (hr, bias)\n  sum = Add (x, hb)\n"
             "  h_next = " +
             function(0) + " (sum)\n  c_next = Identity (h_next)\n}";
    if (cell == Cell::GRU) {
      // Columns of the state's weights: update, reset, candidate.
      std::string code = head + "  xz, xr, xh = Split <axis = -1, num_outputs = 3> (x)\n"
                                "  rz, rr, rh = Split <axis = 1, num_outputs = 3> (r)\n"
                                "  bz, br, bh = Split <axis = 0, num_outputs = 3> (bias)\n";
      for (std::string gate : {"z", "r"})
        code += "  h" + gate + " = MatMul (h, r" + gate + ")\n  s" + gate + " = Add (x" + gate +
                ", h" + gate + ")\n  t" + gate + " = Add (s" + gate + ", b" + gate + ")\n  " +
                gate + "_gate = " + function(0) + " (t" + gate + ")\n";
      if (linearBeforeReset)
        code += "  hh = MatMul (h, rh)\n  hb = Add (hh, bh)\n  reset = Mul (r_gate, hb)\n";
      else
        code += "  kept = Mul (r_gate, h)\n  hh = MatMul (kept, rh)\n  reset = Add (hh, bh)\n";
      code += "  sum = Add (xh, reset)\n  candidate = " + function(1) +
              " (sum)\n"
              "  difference = Sub (h, candidate)\n  share = Mul (z_gate, difference)\n"
              "  h_next = Add (candidate, share)\n  c_next = Identity (h_next)\n}";
      return code;
    }
    std::string code = head + "  hr = MatMul (h, r)\n  hb = Add (hr, bias)\n  sum = Add (x, hb)\n"
                              "  si, so, sf, sc = Split <axis = -1, num_outputs = 4> (sum)\n";
    if (peepholes)
      code += "  pi, po, pf = Split <axis = 0, num_outputs = 3> (p)\n"
              "  ci = Mul (pi, c)\n  cf = Mul (pf, c)\n"
              "  ti = Add (si, ci)\n  tf = Add (sf, cf)\n";
    else
      code += "  ti = Identity (si)\n  tf = Identity (sf)\n";
    code += "  i = " + function(0) + " (ti)\n";
    code += inputForget ? "  one32 = Constant <value_float = 1.0> ()\n  one = CastLike (one32, i)\n"
                          "  f = Sub (one, i)\n"
                        : "  f = " + function(0) + " (tf)\n";
    code += "  g = " + function(1) +
            " (sc)\n"
            "  old = Mul (f, c)\n  new = Mul (i, g)\n  c_next = Add (old, new)\n";
    code += peepholes ? "  co = Mul (po, c_next)\n  to = Add (so, co)\n" : "  to = Identity (so)\n";
    return code + "  o = " + function(0) + " (to)\n  shown = " + function(2) +
           " (c_next)\n  h_next = Mul (o, shown)\n}";
  }

  /// [directions, batch, hidden], or the batch first.
  Tensor ofDirections(ArrayRef<Tensor> parts) {
    SmallVector<Tensor> all;
    for (const Tensor &t : parts)
      all.push_back(keepDims(node, t, {0}));
    Tensor stacked = concat(node, all, 0);
    return batchFirst ? transpose(node, stacked, {1, 0, 2}) : stacked;
  }

  void emitOutputs() {
    if (node.wants(0)) {
      SmallVector<Tensor> times;
      for (int64_t t = 0; t < steps; ++t) {
        SmallVector<Tensor> parts;
        for (int64_t d = 0; d < directions; ++d)
          parts.push_back(keepDims(node, sequence[d][t], {0}));
        times.push_back(keepDims(node, concat(node, parts, 0), {0}));
      }
      // [time, directions, batch, hidden]
      Tensor y = concat(node, times, 0);
      node.setOutput(0, batchFirst ? transpose(node, y, {2, 0, 1, 3}) : y);
    }
    if (node.wants(1))
      node.setOutput(1, ofDirections(lastHidden));
    if (node.wants(2))
      node.setOutput(2, ofDirections(lastCell));
  }
};

template <Cell cell> void convertRecurrent(Node &node) { RecurrentConverter(node, cell).run(); }

} // namespace

void registerRecurrent(Registry &registry) {
  registry.add("GRU", 7, convertRecurrent<Cell::GRU>);
  registry.add("LSTM", 7, convertRecurrent<Cell::LSTM>);
  registry.add("RNN", 7, convertRecurrent<Cell::RNN>);
}

} // namespace attune::onnx
