#include "attune/dialect/Attune.h"
#include "attune/frontend/onnx/Build.h"

using namespace mlir;

namespace attune::onnx {
namespace {

/// ONNX LinearAttention 27 as one attune.linear_attention.
class LinearAttentionConverter {
public:
  explicit LinearAttentionConverter(Node &node) : node(node) {}

  void run() {
    readAttributes();
    query = heads(node.input(0), queryHeads, "query");
    key = heads(node.input(1), keyHeads, "key");
    value = heads(node.input(2), keyHeads, "value");
    checkShapes();
    buildOp();
    emitOutputs();
  }

private:
  Node &node;
  int64_t queryHeads = 0, keyHeads = 0;
  double scale = 0;
  Update update = Update::Sum;
  Tensor query, key, value;
  Shape outShape, stateShape;
  DType accum = kFloat; ///< of the state too
  LinearAttentionOp op;

  bool isGated() const { return update == Update::Gated || update == Update::GatedDelta; }
  bool isDelta() const { return update == Update::Delta || update == Update::GatedDelta; }

  void readAttributes() {
    queryHeads = node.intAttr("q_num_heads");
    keyHeads = node.intAttr("kv_num_heads");
    node.check(keyHeads > 0 && queryHeads > 0 && queryHeads % keyHeads == 0,
               "the query heads (" + llvm::Twine(queryHeads) +
                   ") are no multiple of the key heads (" + llvm::Twine(keyHeads) + ")");
    scale = node.floatAttr("scale", 0.0);
    std::string rule = node.stringAttr("update_rule", "gated_delta");
    std::pair<StringRef, Update> rules[] = {{"linear", Update::Sum},
                                            {"gated", Update::Gated},
                                            {"delta", Update::Delta},
                                            {"gated_delta", Update::GatedDelta}};
    auto *known = llvm::find_if(rules, [&](const auto &r) { return r.first == rule; });
    node.check(known != std::end(rules), "attribute 'update_rule' is '" + rule +
                                             "'; accepted: linear, gated, delta, gated_delta");
    update = known->second;
    // A hint about how to compute it.
    node.dropAttr("chunk_size");
  }

  /// [batch, length, heads * size] as [batch, heads, length, size].
  Tensor heads(const Tensor &t, int64_t count, const llvm::Twine &name) {
    node.check(t.rank() == 3,
               "input '" + name + "' has rank " + llvm::Twine(t.rank()) + "; accepted: 3");
    if (!t.dtype().isFloat() || t.dtype().bits() == 8)
      node.unsupported("element type " + t.dtype().name() +
                       "; accepted: float16, bfloat16, float, double");
    std::optional<Extent> size = node.extents().divideExactly(t.dim(2), count);
    node.check(size.has_value(), "the last axis of input '" + name + "' is no multiple of its " +
                                     llvm::Twine(count) + " heads");
    return transpose(node, reshape(node, t, {t.dim(0), t.dim(1), count, *size}), {0, 2, 1, 3});
  }

  void checkShapes() {
    for (int axis : {0, 2})
      for (const Tensor &t : {key, value})
        node.requireEqual(query.dim(axis), t.dim(axis),
                          "query, key and value differ in batch or length");
    node.requireEqual(query.dim(3), key.dim(3), "query and key have different head sizes");
    if (scale == 0) {
      std::optional<int64_t> size = query.dim(3).constant();
      if (!size)
        node.unsupported("a dynamic head size; accepted: a static one, or attribute 'scale'");
      scale = 1 / std::sqrt(static_cast<double>(*size));
    }
    outShape = {query.dim(0), queryHeads, query.dim(2), value.dim(3)};
    stateShape = {query.dim(0), keyHeads, key.dim(3), value.dim(3)};
    accum = query.dtype().bits() == 64 ? query.dtype() : kFloat;
  }

  /// [batch, heads, length] or, per feature, [batch, heads, length, size].
  Value decay() {
    node.check(isGated() == node.has(4), isGated() ? "input 'decay' is missing"
                                                   : "input 'decay' has no meaning for this rule");
    if (!isGated())
      return {};
    Tensor t = node.input(4);
    node.check(t.rank() == 3, "input 'decay' has rank " + llvm::Twine(t.rank()) + "; accepted: 3");
    checkTime(t, "decay");
    if (t.dim(2).is(keyHeads))
      return node.value(transpose(node, t, {0, 2, 1}));
    node.requireEqual(t.dim(2), key.dim(3) * keyHeads,
                      "input 'decay' has neither one value per head nor one per feature");
    Shape split = {t.dim(0), t.dim(1), keyHeads, key.dim(3)};
    return node.value(transpose(node, reshape(node, t, split), {0, 2, 1, 3}));
  }

  Value beta() {
    node.check(isDelta() == node.has(5),
               isDelta() ? "input 'beta' is missing" : "input 'beta' has no meaning for this rule");
    if (!isDelta())
      return {};
    Tensor t = node.input(5);
    node.check(t.rank() == 3, "input 'beta' has rank " + llvm::Twine(t.rank()) + "; accepted: 3");
    checkTime(t, "beta");
    if (!t.dim(2).is(1))
      node.requireEqual(t.dim(2), keyHeads, "input 'beta' has neither one value nor one per head");
    Tensor spread = broadcastTo(node, t, {t.dim(0), t.dim(1), keyHeads});
    return node.value(transpose(node, spread, {0, 2, 1}));
  }

  void checkTime(const Tensor &t, const llvm::Twine &name) {
    node.requireEqual(t.dim(0), query.dim(0), "input '" + name + "' differs in batch");
    node.requireEqual(t.dim(1), query.dim(2), "input '" + name + "' differs in length");
  }

  Value pastState() {
    if (!node.has(3))
      return {};
    Tensor state = node.input(3);
    node.check(state.rank() == 4,
               "input 'past_state' has rank " + llvm::Twine(state.rank()) + "; accepted: 4");
    for (auto [size, expected] : llvm::zip(state.shape(), stateShape))
      node.requireEqual(size, expected, "input 'past_state' has another shape than the state");
    return node.value(reshape(node, castTo(node, state, accum), stateShape));
  }

  RankedTensorType typeOf(const Shape &shape, DType dtype) {
    return RankedTensorType::get(staticShape(shape), dtype.type(node.context()));
  }

  void buildOp() {
    OpBuilder &b = node.builder();
    Type state = node.wants(1) ? typeOf(stateShape, accum) : RankedTensorType();
    Value none, gates = decay(), rates = beta(), past = pastState();
    op = LinearAttentionOp::create(
        b, node.loc(), typeOf(outShape, query.dtype()), state, Type(), node.value(query),
        node.value(key), node.value(value), none, none, none, gates, rates, none, none, none, past,
        none, Direction::Causal, update, Weighting::None, FloatAttr(), EpsMode::Add,
        Denominator::Weighted, Form::Auto, FormPricesAttr(), TypeAttr());
    if (scale == 1)
      return;
    Value x = op.addMap(b, op.getPhiQ());
    OpBuilder body(node.context());
    body.setInsertionPointToEnd(&op.getPhiQ().front());
    Value factor = scalar(body, node.loc(), x.getType(), scale);
    YieldOp::create(body, node.loc(),
                    arith::MulFOp::create(body, node.loc(), x, factor).getResult());
  }

  void emitOutputs() {
    Tensor result = node.tensor(op.getResult(), query.dtype(), outShape);
    node.setOutput(0, reshape(node, transpose(node, result, {0, 2, 1, 3}),
                              {outShape[0], outShape[2], outShape[3] * queryHeads}));
    if (!node.wants(1))
      return;
    DType type = node.has(3) ? node.input(3).dtype() : query.dtype();
    node.setOutput(1, castTo(node, node.tensor(op.getFinalState(), accum, stateShape), type));
  }
};

void convertLinearAttention(Node &node) { LinearAttentionConverter(node).run(); }

} // namespace

void registerLinearAttention(Registry &registry) {
  registry.add("LinearAttention", 27, convertLinearAttention);
}

} // namespace attune::onnx
