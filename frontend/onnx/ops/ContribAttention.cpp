// Attention of ONNX Runtime's domain `com.microsoft`, in terms of ONNX Attention and
// RotaryEmbedding. Their specification is ONNX Runtime's docs/ContribOperators.md.
#include "attune/frontend/onnx/Build.h"
#include "attune/frontend/onnx/Text.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {
namespace {

constexpr llvm::StringLiteral kDomain = "com.microsoft";

int64_t headCount(Node &node, llvm::StringRef name) {
  int64_t heads = node.intAttr(name);
  node.check(heads > 0,
             "attribute '" + name + "' is " + llvm::Twine(heads) + "; accepted: 1 or more");
  return heads;
}

/// ", scale = ..." unless the default applies.
std::string scaleText(Node &node) {
  double scale = node.floatAttr("scale", 0.0);
  return scale == 0 ? "" : ", scale = " + text(scale);
}

//===--------------------------------------------------------------------------------------------===//
// RotaryEmbedding
//===--------------------------------------------------------------------------------------------===//

void convertRotaryEmbedding(Node &node) {
  Tensor x = node.input(0), positions = node.input(1), cosines = node.input(2);
  node.check(x.rank() == 3 || x.rank() == 4,
             "the input has rank " + llvm::Twine(x.rank()) + "; accepted: 3, 4");
  if (node.flagAttr("is_packed_batching", 0))
    node.unsupported("attribute 'is_packed_batching'; accepted: 0");
  if (node.floatAttr("scale", 1.0) != 1)
    node.unsupported("attribute 'scale'; accepted: 1");
  int64_t part = node.intAttr("rotary_embedding_dim", 0), heads = node.intAttr("num_heads", 0);
  if (x.rank() == 3 && heads == 0) {
    std::optional<int64_t> width = x.dim(2).constant(), half = cosines.dim(1).constant();
    if (!width || !half || *half == 0)
      node.unsupported("heads of a dynamic size; accepted: attribute 'num_heads'");
    node.check(*width % (2 * *half) == 0, "the last axis is no multiple of the tables' width");
    heads = *width / (2 * *half);
  }
  const Extent &length = x.dim(x.rank() == 3 ? 1 : 2);
  if (positions.rank() == 1) {
    // The position of the first token; the others follow.
    node.requireEqual(positions.dim(0), 1, "position_ids is a vector of more than one element");
    Tensor size = node.contents({length}, kInt64, {}),
           batch = node.contents({x.dim(0), length}, kInt64, {2});
    positions = node.inlineFunction("(first, size, shape) => (y) {\n"
                                    "  zero = Constant <value_int = 0> ()\n"
                                    "  one = Constant <value_int = 1> ()\n"
                                    "  steps = Range (zero, size, one)\n"
                                    "  row = Add (first, steps)\n"
                                    "  y = Expand (row, shape)\n"
                                    "}",
                                    {positions, size, batch})[0];
  }
  std::string attributes = "interleaved = " + text(int64_t(node.flagAttr("interleaved", 0))) +
                           ", num_heads = " + text(heads) +
                           ", rotary_embedding_dim = " + text(part);
  node.setOutput(0, node.inlineFunction("(x, cos, sin, positions) => (y) { y = RotaryEmbedding <" +
                                            attributes + "> (x, cos, sin, positions) }",
                                        {x, cosines, node.input(3), positions})[0]);
}

//===--------------------------------------------------------------------------------------------===//
// MultiHeadAttention
//===--------------------------------------------------------------------------------------------===//

/// What the padding adds to the scores: [batch, 1, 1 or queries, keys].
Tensor paddingBias(Node &node, const Tensor &mask, const Tensor &query, const Extent &keys,
                   double filter) {
  std::string code = "(mask, like, size) => (y) {\n"
                     "  zero32 = Constant <value_float = 0.0> ()\n"
                     "  hidden32 = Constant <value_float = " +
                     text(filter) +
                     "> ()\n"
                     "  zero = CastLike (zero32, like)\n"
                     "  hidden = CastLike (hidden32, like)\n";
  if (mask.rank() == 1) {
    node.requireEqual(mask.dim(0), query.dim(0),
                      "key_padding_mask as a vector has other than one length per batch element");
    code += "  start = Constant <value_int = 0> ()\n"
            "  one = Constant <value_int = 1> ()\n"
            "  places = Range (start, size, one)\n"
            "  column = Constant <value_ints = [1]> ()\n"
            "  wide = Cast <to = 7> (mask)\n"
            "  lengths = Unsqueeze (wide, column)\n"
            "  seen = Less (places, lengths)\n";
  } else {
    code += "  seen = Cast <to = 9> (mask)\n";
  }
  code += std::string("  axes = Constant <value_ints = ") + (mask.rank() == 3 ? "[1]" : "[1, 2]") +
          "> ()\n"
          "  bias = Where (seen, zero, hidden)\n"
          "  y = Unsqueeze (bias, axes)\n"
          "}";
  return node.inlineFunction(code, {mask, query, node.contents({keys}, kInt64, {})})[0];
}

void convertMultiHeadAttention(Node &node) {
  int64_t heads = headCount(node, "num_heads");
  bool causal = node.flagAttr("unidirectional", 0);
  double filter = node.floatAttr("mask_filter_value", -10000.0);
  if (!node.has(1) || !node.has(2) || node.input(0).rank() != 3)
    node.unsupported(
        "packed projections; accepted: query, key and value apart, the query of rank 3");
  Tensor q = node.input(0), k = node.input(1), v = node.input(2);
  node.check(k.rank() == v.rank() && (k.rank() == 3 || k.rank() == 4),
             "key and value have ranks " + llvm::Twine(k.rank()) + ", " + llvm::Twine(v.rank()) +
                 "; accepted: both 3 or both 4");
  for (int i : {8, 9})
    if (node.has(i))
      node.unsupported("input " + llvm::Twine(i));
  if (node.wants(3))
    node.unsupported("output 3");
  if (node.has(3)) {
    // One vector for all three projections.
    Tensor bias = node.input(3);
    node.check(bias.rank() == 1, "the bias is not one-dimensional");
    auto add = [&](const Tensor &t, const Extent &from) {
      if (t.rank() == 4)
        node.unsupported("a bias with keys that are split into heads; accepted: none");
      Tensor own = slice(node, bias, {{from, t.dim(2), 1}});
      return elementwise(node, {t, own}, t.dtype(),
                         [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                           return arith::AddFOp::create(b, loc, a[0], a[1]);
                         });
    };
    node.requireEqual(bias.dim(0), q.dim(2) + k.dim(2) + v.dim(2),
                      "the bias has another size than query, key and value together");
    Extent second = q.dim(2), third = q.dim(2) + k.dim(2);
    q = add(q, 0);
    k = add(k, second);
    v = add(v, third);
  }
  Tensor pastKey = node.optionalInput(6), pastValue = node.optionalInput(7);
  Extent keys = k.dim(k.rank() - 2);
  if (pastKey)
    keys = keys + pastKey.dim(2);
  Tensor mask = node.optionalInput(5);
  if (node.has(4)) {
    Tensor padding = node.input(4);
    node.check(padding.rank() >= 1 && padding.rank() <= 3,
               "key_padding_mask has rank " + llvm::Twine(padding.rank()) + "; accepted: 1 to 3");
    Tensor bias = paddingBias(node, padding, q, keys, filter);
    if (mask)
      mask = node.inlineFunction("(a, b) => (y) { y = Add (a, b) }", {mask, bias})[0];
    else
      mask = bias;
  }
  std::string attributes = "is_causal = " + text(int64_t(causal)) + scaleText(node);
  if (k.rank() == 4) {
    std::optional<Extent> size = node.extents().divideExactly(q.dim(2), heads);
    node.check(size.has_value(), "the query's last axis is no multiple of its heads");
    q = transpose(node, reshape(node, q, {q.dim(0), q.dim(1), heads, *size}), {0, 2, 1, 3});
  } else {
    attributes += ", q_num_heads = " + text(heads) + ", kv_num_heads = " + text(heads);
  }
  auto results = node.inlineFunction("(q, k, v, mask, past_key, past_value) => (y, key, value) {\n"
                                     "  y, key, value = Attention <" +
                                         attributes +
                                         "> (q, k, v, mask, past_key, past_value)\n"
                                         "}",
                                     {q, k, v, mask, pastKey, pastValue});
  Tensor y = results[0];
  if (y.rank() == 4)
    y = reshape(node, transpose(node, y, {0, 2, 1, 3}), {y.dim(0), y.dim(2), y.dim(3) * heads});
  node.setOutput(0, y);
  node.setOutput(1, results[1]);
  node.setOutput(2, results[2]);
}

//===--------------------------------------------------------------------------------------------===//
// GroupQueryAttention
//===--------------------------------------------------------------------------------------------===//

class GroupQueryAttention {
public:
  explicit GroupQueryAttention(Node &node) : node(node) {}

  void run() {
    heads = headCount(node, "num_heads");
    kvHeads = headCount(node, "kv_num_heads");
    window = node.intAttr("local_window_size", -1);
    softcap = node.floatAttr("softcap", 0.0);
    if (node.flagAttr("smooth_softmax", 0))
      node.unsupported("attribute 'smooth_softmax'; accepted: 0");
    for (const char *name : {"k_quant_type", "v_quant_type"})
      if (node.stringAttr(name, "NONE") != "NONE")
        node.unsupported(llvm::Twine("attribute '") + name + "'; accepted: NONE");
    if (node.hasAttr("kv_cache_bit_width") && node.intAttr("kv_cache_bit_width") != 0)
      node.unsupported("attribute 'kv_cache_bit_width'; accepted: 0");
    if (node.hasAttr("qk_output") && node.intAttr("qk_output") != 0)
      node.unsupported("attribute 'qk_output'; accepted: 0");
    for (int i = 10; i < node.numInputs(); ++i)
      if (node.has(i))
        node.unsupported("input " + llvm::Twine(i));
    if (node.wants(3))
      node.unsupported("output 3");
    readProjections();
    readLengths();
    rotate();
    extendCaches();
    attend();
  }

private:
  Node &node;
  int64_t heads = 0, kvHeads = 0, window = -1;
  double softcap = 0;
  Tensor q, k, v;     ///< [batch, heads, queries, size]
  Tensor valid, past; ///< [batch]: keys that count, and those before the queries
  Extent total;       ///< length of the caches that result

  Tensor split(const Tensor &t, int64_t count) {
    std::optional<Extent> size = node.extents().divideExactly(t.dim(2), count);
    node.check(size.has_value(),
               "the last axis is no multiple of its " + llvm::Twine(count) + " heads");
    return transpose(node, reshape(node, t, {t.dim(0), t.dim(1), count, *size}), {0, 2, 1, 3});
  }

  void readProjections() {
    q = node.input(0);
    node.check(q.rank() == 3, "the query has rank " + llvm::Twine(q.rank()) + "; accepted: 3");
    node.check(heads % kvHeads == 0, "the query heads are no multiple of the key heads");
    node.check(node.has(1) == node.has(2), "key and value must come together");
    if (node.has(1)) {
      q = split(q, heads);
      k = split(node.input(1), kvHeads);
      v = split(node.input(2), kvHeads);
      return;
    }
    // One tensor holds all three.
    Tensor all = split(q, heads + 2 * kvHeads);
    auto part = [&](int64_t from, int64_t count) {
      SmallVector<SliceRange> ranges;
      for (const Extent &e : all.shape())
        ranges.push_back({0, e, 1});
      ranges[1] = {from, count, 1};
      return slice(node, all, ranges);
    };
    q = part(0, heads);
    k = part(heads, kvHeads);
    v = part(heads + kvHeads, kvHeads);
  }

  /// Lengths that data decides: `seqlens_k` holds the number of keys less one.
  void readLengths() {
    Tensor last = node.input(5);
    node.check(last.size() == q.dim(0) || last.rank() == 1,
               "seqlens_k has no entry for each batch element");
    Tensor lengths = node.inlineFunction("(last) => (y) {\n"
                                         "  flat_shape = Constant <value_ints = [-1]> ()\n"
                                         "  flat = Reshape (last, flat_shape)\n"
                                         "  wide = Cast <to = 7> (flat)\n"
                                         "  one = Constant <value_int = 1> ()\n"
                                         "  y = Add (wide, one)\n"
                                         "}",
                                         {last})[0];
    node.requireEqual(lengths.dim(0), q.dim(0), "seqlens_k has no entry for each batch element");
    valid = reshape(node, lengths, {q.dim(0)});
    Extent given = node.extentsOf(node.input(6), "input 'total_sequence_length'")[0];
    // The first call has as many queries as keys, padded at the end; later ones end at the last
    // key.
    Tensor queries = node.contents({q.dim(2)}, kInt64, {});
    past = node.inlineFunction("(valid, total, queries) => (y) {\n"
                               "  wide = Cast <to = 7> (total)\n"
                               "  empty_shape = Constant <value = int64[0] {}> ()\n"
                               "  number = Reshape (wide, empty_shape)\n"
                               "  first = Equal (number, queries)\n"
                               "  before = Sub (valid, queries)\n"
                               "  zero = Constant <value_int = 0> ()\n"
                               "  y = Where (first, zero, before)\n"
                               "}",
                               {valid, node.input(6), queries})[0];
    total = given;
    if (node.has(3))
      total = node.extents().max(node.input(3).dim(2), given);
    node.require(node.extents().less(-1, total), "total_sequence_length is negative");
  }

  void rotate() {
    if (!node.flagAttr("do_rotary", 0)) {
      node.dropAttr("rotary_interleaved");
      return;
    }
    std::string interleaved = text(int64_t(node.flagAttr("rotary_interleaved", 0)));
    Tensor positions = node.optionalInput(9);
    if (!positions) {
      Tensor size = node.contents({q.dim(2)}, kInt64, {});
      positions = node.inlineFunction("(past, size) => (y) {\n"
                                      "  zero = Constant <value_int = 0> ()\n"
                                      "  one = Constant <value_int = 1> ()\n"
                                      "  steps = Range (zero, size, one)\n"
                                      "  last = Constant <value_ints = [-1]> ()\n"
                                      "  start = Unsqueeze (past, last)\n"
                                      "  y = Add (start, steps)\n"
                                      "}",
                                      {past, size})[0];
    }
    // The tables may be narrower than half a head: then only the first part of it turns.
    std::optional<int64_t> half = node.input(7).dim(1).constant(), size = q.dim(3).constant();
    if (!half || !size)
      node.unsupported("rotary tables or heads of dynamic size; accepted: static ones");
    std::string part = text(2 * *half == *size ? int64_t(0) : 2 * *half);
    for (Tensor *t : {&q, &k})
      *t =
          node.inlineFunction("(x, cos, sin, positions) => (y) {\n"
                              "  y = RotaryEmbedding <interleaved = " +
                                  interleaved + ", num_heads = " + text(t == &q ? heads : kvHeads) +
                                  ", rotary_embedding_dim = " + part +
                                  "> (x, cos, sin, positions)\n"
                                  "}",
                              {*t, node.input(7), node.input(8), positions})[0];
  }

  /// The cache with zeros behind it, up to the length of the one that results.
  Value padded(const Tensor &cache) {
    OpBuilder &b = node.builder();
    SmallVector<OpFoldResult> low(4, b.getIndexAttr(0)), high = low;
    high[2] = getAsOpFoldResult(node.index(total - cache.dim(2)));
    Type element = cache.dtype().type(node.context());
    Shape shape = cache.shape();
    shape[2] = total;
    return tensor::PadOp::create(b, node.loc(), RankedTensorType::get(staticShape(shape), element),
                                 node.value(cache), low, high, scalar(b, node.loc(), element, 0));
  }

  /// The past, with the new entries of each batch element behind its own past.
  Tensor extended(const Tensor &fresh, int pastInput) {
    Tensor cache = node.optionalInput(pastInput);
    bool hasPast = cache && !cache.dim(2).is(0);
    Shape shape = fresh.shape();
    shape[2] = total;
    Type element = fresh.dtype().type(node.context());
    Value source = node.value(fresh), offsets = node.value(past), length = node.index(fresh.dim(2));
    SmallVector<Value> old;
    SmallVector<AffineMap> maps;
    if (hasPast) {
      node.check(cache.rank() == 4 && cache.dtype() == fresh.dtype(),
                 "a cache has another rank or element type than the keys");
      for (int axis : {0, 1, 3})
        node.requireEqual(cache.dim(axis), fresh.dim(axis), "a cache differs from the keys");
      old = {padded(cache)};
      maps = {AffineMap::getMultiDimIdentityMap(4, node.context())};
    }
    Value result =
        generic(node, old, maps, shape, element, [&](OpBuilder &b, Location loc, ValueRange args) {
          SmallVector<Value> at;
          for (int64_t i = 0; i < 4; ++i)
            at.push_back(linalg::IndexOp::create(b, loc, i));
          Value raw = tensor::ExtractOp::create(b, loc, offsets, ValueRange{at[0]});
          Value start = arith::IndexCastOp::create(b, loc, b.getIndexType(), raw);
          Value place = arith::SubIOp::create(b, loc, at[2], start);
          Value zero = arith::ConstantIndexOp::create(b, loc, 0);
          Value isNew = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, place, length);
          // What is not selected is read all the same.
          at[2] = arith::SelectOp::create(b, loc, isNew, place, zero);
          Value added = tensor::ExtractOp::create(b, loc, source, at);
          Value otherwise = hasPast ? args[0] : scalar(b, loc, element, 0);
          return arith::SelectOp::create(b, loc, isNew, added, otherwise).getResult();
        });
    return node.tensor(result, fresh.dtype(), shape);
  }

  void extendCaches() {
    node.check(node.has(3) == node.has(4), "past_key and past_value must come together");
    k = extended(k, 3);
    v = extended(v, 4);
    node.setOutput(1, k);
    node.setOutput(2, v);
  }

  /// With one query the queries end at the last key in every call, which Attention can say itself;
  /// else the mask is written out.
  void attend() {
    std::string attributes = scaleText(node) + ", softcap = " + text(softcap);
    Tensor y;
    bool single = q.dim(2).is(1);
    if (single) {
      if (window >= 0)
        attributes += ", left_window_size = " + text(std::max<int64_t>(window - 1, 0));
      y = node.inlineFunction("(q, k, v, valid, none) => (y) {\n"
                              "  y = Attention <is_causal = 1" +
                                  attributes +
                                  "> (q, k, v, none, none, none, valid)\n"
                                  "}",
                              {q, k, v, valid, Tensor()})[0];
    } else {
      Tensor keys = node.contents({total}, kInt64, {}),
             queries = node.contents({q.dim(2)}, kInt64, {});
      std::string code = "(q, k, v, valid, past, keys, queries) => (y) {\n"
                         "  zero = Constant <value_int = 0> ()\n"
                         "  one = Constant <value_int = 1> ()\n"
                         "  columns = Range (zero, keys, one)\n"
                         "  steps = Range (zero, queries, one)\n"
                         "  last = Constant <value_ints = [-1]> ()\n"
                         "  outer = Constant <value_ints = [1, 2]> ()\n"
                         "  start = Unsqueeze (past, last)\n"
                         "  rows = Add (start, steps)\n"
                         "  i = Unsqueeze (rows, last)\n"
                         "  causal = LessOrEqual (columns, i)\n"
                         "  length2 = Unsqueeze (valid, last)\n"
                         "  length = Unsqueeze (length2, last)\n"
                         "  real = Less (columns, length)\n"
                         "  seen = And (causal, real)\n";
      if (window >= 0)
        code += "  reach = Constant <value_int = " + text(window) +
                "> ()\n"
                "  nearest = Sub (i, reach)\n"
                "  near = Greater (columns, nearest)\n"
                "  visible = And (seen, near)\n";
      else
        code += "  visible = Identity (seen)\n";
      code += "  heads = Constant <value_ints = [1]> ()\n"
              "  mask = Unsqueeze (visible, heads)\n"
              "  y = Attention <is_causal = 0" +
              attributes +
              "> (q, k, v, mask)\n"
              "}";
      y = node.inlineFunction(code, {q, k, v, valid, past, keys, queries})[0];
    }
    node.setOutput(
        0, reshape(node, transpose(node, y, {0, 2, 1, 3}), {y.dim(0), y.dim(2), y.dim(3) * heads}));
  }
};

void convertGroupQueryAttention(Node &node) { GroupQueryAttention(node).run(); }

} // namespace

void registerContribAttention(Registry &registry) {
  registry.add(kDomain, "GroupQueryAttention", 1, convertGroupQueryAttention);
  registry.add(kDomain, "MultiHeadAttention", 1, convertMultiHeadAttention);
  registry.add(kDomain, "RotaryEmbedding", 1, convertRotaryEmbedding);
}

} // namespace attune::onnx
