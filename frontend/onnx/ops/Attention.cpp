#include "attune/dialect/Attune.h"
#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {
namespace {

/// ONNX Attention 23, 24 and 25 as one attune.attention (rules: the operator's specification).
class AttentionConverter {
public:
  explicit AttentionConverter(Node &node) : node(node) {}

  void run() {
    readOperands();
    readAttributes();
    Extent past = appendPast();
    buildOp(past);
    emitOutputs();
  }

private:
  Node &node;
  Tensor q, k, v, mask;
  bool flat = false; ///< inputs are [batch, length, heads * size]
  bool causal = false;
  double scale = 0, softcap = 0;
  int64_t left = -1, right = -1; ///< window, -1: unbounded
  bool externalCache = false;
  AttentionOp op;
  Shape outShape;
  SmallVector<Value> captures;
  std::optional<unsigned> maskCapture;
  Value pastLength; ///< index

  Tensor splitHeads(const Tensor &t, llvm::StringRef attribute) {
    int64_t heads = node.intAttr(attribute);
    node.check(heads > 0, "attribute '" + attribute + "' is " + llvm::Twine(heads) +
                              "; accepted: 1 or more, as the inputs have rank 3");
    std::optional<Extent> size = node.extents().divideExactly(t.dim(2), heads);
    node.check(size.has_value(), "the last axis is no multiple of '" + attribute + "'");
    return transpose(node, reshape(node, t, {t.dim(0), t.dim(1), heads, *size}), {0, 2, 1, 3});
  }

  void readOperands() {
    q = node.input(0), k = node.input(1), v = node.input(2);
    node.check(q.rank() == k.rank() && q.rank() == v.rank() && (q.rank() == 3 || q.rank() == 4),
               "Q, K and V have ranks " + llvm::Twine(q.rank()) + ", " + llvm::Twine(k.rank()) +
                   ", " + llvm::Twine(v.rank()) + "; accepted: all 3 or all 4");
    for (const Tensor &t : {q, k, v})
      if (!t.dtype().isFloat() || t.dtype().bits() == 8)
        node.unsupported("element type " + t.dtype().name() +
                         "; accepted: float16, bfloat16, float, double");
    flat = q.rank() == 3;
    if (flat) {
      q = splitHeads(q, "q_num_heads");
      k = splitHeads(k, "kv_num_heads");
      v = splitHeads(v, "kv_num_heads");
    } else {
      node.dropAttr("q_num_heads");
      node.dropAttr("kv_num_heads");
    }
    if (node.has(3))
      mask = node.input(3);
    externalCache = node.has(6);
    if (node.wants(3))
      node.useFunctionBody();
    node.dropAttr("qk_matmul_output_mode");
  }

  void readAttributes() {
    causal = node.flagAttr("is_causal", 0);
    softcap = node.floatAttr("softcap", 0.0);
    std::optional<int64_t> size = q.dim(3).constant();
    if (!node.hasAttr("scale")) {
      if (!size)
        node.useFunctionBody();
      scale = 1 / std::sqrt(static_cast<double>(*size));
    } else {
      scale = node.floatAttr("scale");
    }
    int64_t precision = node.hasAttr("softmax_precision") ? node.intAttr("softmax_precision") : 1;
    // The softmax is computed in f32 at least, whatever is asked for.
    node.check(precision == 1 || precision == 10 || precision == 11 || precision == 16,
               "attribute 'softmax_precision' is " + llvm::Twine(precision) +
                   "; accepted: a floating-point type");
    left = node.hasAttr("left_window_size") ? node.intAttr("left_window_size") : -1;
    right = node.hasAttr("right_window_size") ? node.intAttr("right_window_size") : -1;
  }

  /// Concatenates the caches; the length of the past.
  Extent appendPast() {
    node.check(node.has(4) == node.has(5), "past_key and past_value must come together");
    if (!node.has(4))
      return 0;
    node.check(!externalCache, "past_key and nonpad_kv_seqlen exclude each other");
    Extent past = node.input(4).dim(2);
    k = concat(node, {node.input(4), k}, 2);
    v = concat(node, {node.input(5), v}, 2);
    return past;
  }

  unsigned capture(Value value) {
    captures.push_back(value);
    return captures.size() - 1;
  }

  /// The mask as [B|1, H|1, N|1, M|1]; a last axis that is too short hides the keys behind it.
  void captureMask() {
    if (!mask)
      return;
    node.check(mask.rank() >= 1 && mask.rank() <= 4,
               "attn_mask has rank " + llvm::Twine(mask.rank()) + "; accepted: 1 to 4");
    if (!mask.dtype().isBool() && !mask.dtype().isFloat())
      node.unsupported("attn_mask of element type " + mask.dtype().name());
    Shape full(4 - mask.rank(), Extent(1));
    full.append(mask.shape().begin(), mask.shape().end());
    mask = reshape(node, mask, full);
    if (!mask.dim(3).is(1) && node.extents().knownEqual(mask.dim(3), k.dim(2)) != true)
      hideMissingKeys();
    // Sizes that only the run knows to be 1 or whole are spread out.
    Shape whole = broadcastShape(node, {mask.shape(), {q.dim(0), q.dim(1), q.dim(2), k.dim(2)}});
    for (int64_t axis = 0; axis < 4; ++axis)
      if (mask.dim(axis).is(1))
        whole[axis] = 1;
    mask = broadcastTo(node, mask, whole);
    maskCapture = capture(node.value(mask));
  }

  void hideMissingKeys() {
    Extent missing = k.dim(2) - mask.dim(3);
    node.require(node.extents().less(-1, missing), "attn_mask is longer than the keys");
    Shape shape = mask.shape(), none(4, Extent(0)), after = none;
    shape[3] = k.dim(2);
    after[3] = missing;
    Type element = mask.dtype().type(node.context());
    TypedAttr hidden = mask.dtype().isBool()
                           ? scalarAttr(node.context(), kBool, 0)
                           : FloatAttr::get(element, -std::numeric_limits<double>::infinity());
    OpBuilder &b = node.builder();
    Value fill = arith::ConstantOp::create(b, node.loc(), hidden);
    Value padded =
        tensor::PadOp::create(b, node.loc(), RankedTensorType::get(staticShape(shape), element),
                              node.value(mask), node.ofrs(none), node.ofrs(after), fill);
    mask = node.tensor(padded, mask.dtype(), shape);
  }

  void buildOp(const Extent &past) {
    node.requireEqual(q.dim(3), k.dim(3), "Q and K have different head sizes");
    node.requireEqual(k.dim(2), v.dim(2), "K and V have different lengths");
    node.requireEqual(k.dim(1), v.dim(1), "K and V have different head counts");
    std::optional<int64_t> heads = q.dim(1).constant(), kvHeads = k.dim(1).constant();
    if (!heads || !kvHeads)
      node.useFunctionBody();
    node.check(*kvHeads > 0 && *heads % *kvHeads == 0, "the query heads (" + llvm::Twine(*heads) +
                                                           ") are no multiple of the key heads (" +
                                                           llvm::Twine(*kvHeads) + ")");
    captureMask();
    OpBuilder &b = node.builder();
    Location loc = node.loc();
    outShape = {q.dim(0), q.dim(1), q.dim(2), v.dim(3)};
    auto type = RankedTensorType::get(staticShape(outShape), q.dtype().type(node.context()));
    Type scalarType = q.dtype().bits() == 64 ? Type(b.getF64Type()) : Type(b.getF32Type());
    Value factor = arith::ConstantOp::create(b, loc, b.getFloatAttr(scalarType, scale));
    Tensor value = castTo(node, v, q.dtype());
    Tensor key = castTo(node, k, q.dtype());
    if (!past.is(0)) {
      Tensor length = node.contents({past}, kInt64, {1});
      pastLength = node.value(broadcastTo(node, length, {q.dim(0)}));
    }
    Value offsets = externalCache ? externalOffsets() : pastLength;
    op = AttentionOp::create(b, loc, type, node.value(q), node.value(key), node.value(value),
                             factor, captures);
    if (offsets)
      op.getQOffsetMutable().assign(offsets);
    if (externalCache)
      op.getKvLenMutable().assign(node.value(node.input(6)));
    buildScore();
    buildMask();
  }

  /// Position of the first query when the cache is the caller's: valid length - new length.
  Value externalOffsets() {
    Tensor lengths = node.input(6);
    node.check(lengths.rank() == 1, "nonpad_kv_seqlen is not one-dimensional");
    Tensor fresh = node.contents({q.dim(2)}, kInt64, {});
    Tensor offset = elementwise(node, {castTo(node, lengths, kInt64), fresh}, kInt64,
                                [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                                  return arith::SubIOp::create(b, loc, a[0], a[1]);
                                });
    return node.value(offset);
  }

  /// The element of the mask for this score; axes of size 1 repeat.
  Value maskElement(OpBuilder &b, Location loc, const AttentionOp::RegionArgs &args) {
    SmallVector<Value> at{args.b, args.h, args.n, args.m};
    for (int64_t axis = 0; axis < 4; ++axis)
      if (mask.dim(axis).is(1))
        at[axis] = arith::ConstantIndexOp::create(b, loc, 0);
    return tensor::ExtractOp::create(b, loc, args.captures[*maskCapture], at);
  }

  void buildScore() {
    bool additive = mask && mask.dtype().isFloat();
    if (softcap == 0 && !additive)
      return;
    OpBuilder b(op);
    Location loc = node.loc();
    AttentionOp::RegionArgs args = op.addScore(b);
    b.setInsertionPointToEnd(&op.getScore().front());
    Value x = args.score;
    auto type = cast<FloatType>(x.getType());
    if (softcap != 0) {
      Value cap = arith::ConstantOp::create(b, loc, b.getFloatAttr(type, softcap));
      Value bounded = math::TanhOp::create(b, loc, arith::DivFOp::create(b, loc, x, cap));
      x = arith::MulFOp::create(b, loc, bounded, cap);
    }
    if (additive) {
      Value bias = maskElement(b, loc, args);
      unsigned from = bias.getType().getIntOrFloatBitWidth(), to = type.getWidth();
      if (from < to)
        bias = arith::ExtFOp::create(b, loc, type, bias);
      else if (from > to)
        bias = arith::TruncFOp::create(b, loc, type, bias);
      x = arith::AddFOp::create(b, loc, x, bias);
    }
    YieldOp::create(b, loc, x);
  }

  void buildMask() {
    if (!mask && !causal && left < 0 && right < 0)
      return;
    OpBuilder b(op);
    Location loc = node.loc();
    AttentionOp::RegionArgs args = op.addMask(b);
    b.setInsertionPointToEnd(&op.getMask().front());
    Value allowed;
    auto require = [&](Value condition) {
      allowed = allowed ? arith::AndIOp::create(b, loc, allowed, condition).getResult() : condition;
    };
    auto compare = [&](arith::CmpIPredicate predicate, Value x, Value y) -> Value {
      return arith::CmpIOp::create(b, loc, predicate, x, y);
    };
    auto offset = [&](Value x, int64_t by) -> Value {
      return arith::AddIOp::create(b, loc, x, arith::ConstantIndexOp::create(b, loc, by));
    };
    if (causal)
      require(compare(arith::CmpIPredicate::sle, args.j, args.i));
    if (left >= 0)
      require(compare(arith::CmpIPredicate::sle, args.i, offset(args.j, left)));
    if (right >= 0)
      require(compare(arith::CmpIPredicate::sle, args.j, offset(args.i, right)));
    if (mask) {
      Value element = maskElement(b, loc, args);
      if (mask.dtype().isBool()) {
        require(element);
      } else {
        // -inf hides a key: a row of nothing else is zero, not NaN.
        double inf = std::numeric_limits<double>::infinity();
        Value lowest = arith::ConstantOp::create(b, loc, b.getFloatAttr(element.getType(), -inf));
        require(arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNE, element, lowest));
      }
    }
    YieldOp::create(b, loc, allowed);
  }

  void emitOutputs() {
    Tensor result = node.tensor(op.getResult(), q.dtype(), outShape);
    if (flat)
      result = reshape(node, transpose(node, result, {0, 2, 1, 3}),
                       {outShape[0], outShape[2], outShape[1] * outShape[3]});
    node.setOutput(0, result);
    if (node.wants(1))
      node.setOutput(1, k);
    if (node.wants(2))
      node.setOutput(2, v);
  }
};

void convertAttention(Node &node) { AttentionConverter(node).run(); }

} // namespace

void registerAttention(Registry &registry) { registry.add("Attention", 23, convertAttention); }

} // namespace attune::onnx
