// Operators of ONNX Runtime's domain `com.microsoft` that its optimiser and exporters write:
// activations, normalisations, matrix products. Their specification is ONNX Runtime's
// docs/ContribOperators.md.
#include "attune/frontend/onnx/Build.h"
#include "attune/frontend/onnx/Text.h"

using namespace mlir;

namespace attune::onnx {

static constexpr llvm::StringLiteral kDomain = "com.microsoft";

static void convertBiasGelu(Node &node) {
  node.setOutput(0, node.inlineFunction("(x, bias) => (y) { sum = Add (x, bias) y = Gelu (sum) }",
                                        {node.input(0), node.input(1)})[0]);
}

static void convertGelu(Node &node) {
  node.setOutput(0, node.inlineFunction("(x) => (y) { y = Gelu (x) }", {node.input(0)})[0]);
}

static void convertFastGelu(Node &node) {
  Tensor bias = node.optionalInput(1);
  std::string sum = bias ? "sum = Add (x, bias)" : "sum = Identity (x)";
  node.setOutput(0, node.inlineFunction("(x, bias) => (y) { " + sum +
                                            " y = Gelu <approximate = \"tanh\"> (sum) }",
                                        {node.input(0), bias})[0]);
}

static void convertQuickGelu(Node &node) {
  std::string alpha = text(node.floatAttr("alpha", 1.702));
  node.setOutput(0, node.inlineFunction("(x) => (y) { y = Swish <alpha = " + alpha + "> (x) }",
                                        {node.input(0)})[0]);
}

//===--------------------------------------------------------------------------------------------===//
// Normalisation
//===--------------------------------------------------------------------------------------------===//

static void refuseStatistics(Node &node, int first, int last) {
  for (int i = first; i <= last; ++i)
    if (node.wants(i))
      node.unsupported("output " + llvm::Twine(i) + " (a statistic for training)");
}

/// layer norm, or root mean square norm, of input + skip + bias.
template <bool layer> static void convertSkipNormalization(Node &node) {
  refuseStatistics(node, 1, 2);
  constexpr int biasInput = layer ? 4 : 3;
  Tensor beta = layer ? node.optionalInput(3) : Tensor(), bias = node.optionalInput(biasInput);
  std::string attributes =
      " <axis = -1, epsilon = " + text(node.floatAttr("epsilon", layer ? 1e-12 : 1e-5)) + "> ";
  std::string norm = layer ? "LayerNormalization" + attributes + "(sum, gamma, beta)"
                           : "RMSNormalization" + attributes + "(sum, gamma)";
  auto results =
      node.inlineFunction("(x, skip, gamma, beta, bias) => (y, sum) {\n"
                          "  plain = Add (x, skip)\n"
                          "  sum = " +
                              std::string(bias ? "Add (plain, bias)" : "Identity (plain)") +
                              "\n"
                              "  y = " +
                              norm +
                              "\n"
                              "}",
                          {node.input(0), node.input(1), node.input(2), beta, bias});
  node.setOutput(0, results[0]);
  node.setOutput(3, results[1]);
}

static void convertSimplifiedLayerNormalization(Node &node) {
  refuseStatistics(node, 1, 1);
  std::string axis = text(node.intAttr("axis", -1)),
              epsilon = text(node.floatAttr("epsilon", 1e-5));
  int64_t stash = node.intAttr("stash_type", 1);
  if (stash != 1)
    node.unsupported("attribute 'stash_type' is " + llvm::Twine(stash) + "; accepted: 1");
  node.setOutput(0, node.inlineFunction("(x, scale) => (y) { y = RMSNormalization <axis = " + axis +
                                            ", epsilon = " + epsilon + "> (x, scale) }",
                                        {node.input(0), node.input(1)})[0]);
}

static void convertEmbedLayerNormalization(Node &node) {
  Tensor ids = node.input(0), segments = node.optionalInput(1), positions = node.optionalInput(8);
  std::string code = "(ids, segments, words, places, kinds, gamma, beta, positions) => (y, sum) {\n"
                     "  word = Gather (words, ids)\n";
  if (positions)
    code += "  place = Gather (places, positions)\n";
  else
    code += "  start = Constant <value_ints = [0]> ()\n"
            "  end = Shape <start = 1, end = 2> (ids)\n"
            "  place = Slice (places, start, end, start)\n";
  code += "  placed = Add (word, place)\n";
  if (segments)
    code += "  kind = Gather (kinds, segments)\n"
            "  sum = Add (placed, kind)\n";
  else
    code += "  sum = Identity (placed)\n";
  code +=
      "  y = LayerNormalization <axis = -1, epsilon = " + text(node.floatAttr("epsilon", 1e-12)) +
      "> (sum, gamma, beta)\n}";
  auto results =
      node.inlineFunction(code, {ids, segments, node.input(2), node.input(3), node.optionalInput(4),
                                 node.input(5), node.input(6), positions});
  node.setOutput(0, results[0]);
  node.setOutput(2, results[1]);
  int64_t kind = node.intAttr("mask_index_type", 0);
  node.check(kind == 0 || kind == 1,
             "attribute 'mask_index_type' is " + llvm::Twine(kind) + "; accepted: 0, 1");
  if (!node.wants(1))
    return;
  // How many leading tokens count, per sequence.
  Tensor mask = node.optionalInput(7);
  if (mask)
    node.setOutput(1, node.inlineFunction("(mask) => (y) { axes = Constant <value_ints = [1]> ()"
                                          " wide = Cast <to = 6> (mask)"
                                          " y = ReduceSum <keepdims = 0> (wide, axes) }",
                                          {mask})[0]);
  else
    node.setOutput(1,
                   Tensor::ofUniform(scalarAttr(node.context(), kInt32, 0), kInt32, {ids.dim(0)}));
}

//===--------------------------------------------------------------------------------------------===//
// Matrix products
//===--------------------------------------------------------------------------------------------===//

/// alpha * A * B, each with its last two axes exchanged on demand.
static void convertFusedMatMul(Node &node) {
  Tensor a = node.input(0), b = node.input(1);
  if (node.flagAttr("transBatchA", 0) || node.flagAttr("transBatchB", 0))
    node.unsupported("attributes 'transBatchA' and 'transBatchB'; accepted: 0");
  auto transposed = [&](const Tensor &t, const char *name) {
    if (!node.flagAttr(name, 0) || t.rank() < 2)
      return t;
    SmallVector<int64_t> perm = llvm::to_vector(llvm::seq<int64_t>(0, t.rank()));
    std::swap(perm[t.rank() - 1], perm[t.rank() - 2]);
    return transpose(node, t, perm);
  };
  a = transposed(a, "transA");
  b = transposed(b, "transB");
  double alpha = node.floatAttr("alpha", 1.0);
  std::string scaled = alpha == 1 ? "y = Identity (product)"
                                  : "alpha32 = Constant <value_float = " + text(alpha) +
                                        "> () alpha = CastLike (alpha32, product)"
                                        " y = Mul (product, alpha)";
  node.setOutput(0, node.inlineFunction("(a, b) => (y) { product = MatMul (a, b) " + scaled + " }",
                                        {a, b})[0]);
}

/// A times the transpose of weights of 4 or 8 bits, in blocks along K with a scale each.
static void convertMatMulNBits(Node &node) {
  int64_t k = node.intAttr("K"), n = node.intAttr("N"), bits = node.intAttr("bits", 4);
  int64_t block = node.intAttr("block_size");
  node.dropAttr("accuracy_level"); // how much precision may be lost: none is
  if (node.hasAttr("weight_prepacked") && node.intAttr("weight_prepacked") != 0)
    node.unsupported("attribute 'weight_prepacked'; accepted: 0");
  if (bits != 4 && bits != 8)
    node.unsupported("attribute 'bits' is " + llvm::Twine(bits) + "; accepted: 4, 8");
  node.check(k > 0 && n > 0 && block > 0, "attributes 'K', 'N' and 'block_size' must be positive");
  if (node.has(4))
    node.unsupported("input 'g_idx'");
  int64_t blocks = (k + block - 1) / block;
  Tensor zero = node.optionalInput(3), bias = node.optionalInput(5);
  if (node.dtype(1) != kUInt8)
    node.unsupported("weights of element type " + node.dtype(1).name() + "; accepted: uint8");
  // Halves of a byte, the lower one first, as an axis behind `name`.
  auto unpack = [&](const std::string &name) {
    if (bits == 8)
      return "  " + name + "_wide = Identity (" + name + ")\n";
    return "  " + name + "_low = BitwiseAnd (" + name + ", mask)\n  " + name +
           "_high = BitShift <direction = \"RIGHT\"> (" + name + ", four)\n  " + name +
           "_a = Unsqueeze (" + name + "_low, last)\n  " + name + "_b = Unsqueeze (" + name +
           "_high, last)\n  " + name + "_wide = Concat <axis = -1> (" + name + "_a, " + name +
           "_b)\n";
  };
  auto shape = [](const std::string &name, ArrayRef<int64_t> sizes) {
    return "  " + name + " = Constant <value_ints = " + text(sizes) + "> ()\n";
  };
  std::string code = "(a, w, scales, zeros, bias) => (y) {\n"
                     "  mask = Constant <value = uint8 {15}> ()\n"
                     "  four = Constant <value = uint8 {4}> ()\n"
                     "  last = Constant <value_ints = [-1]> ()\n" +
                     unpack("w") + shape("in_blocks", {n, blocks, block}) +
                     "  w_blocks = Reshape (w_wide, in_blocks)\n"
                     "  w_float = Cast <to = 1> (w_blocks)\n";
  bool packedZero = zero && zero.dtype() == kUInt8;
  if (packedZero) {
    int64_t bytes = bits == 4 ? (blocks + 1) / 2 : blocks, whole = bits == 4 ? bytes * 2 : bytes;
    code += shape("zero_bytes", {n, bytes}) + "  z = Reshape (zeros, zero_bytes)\n" + unpack("z") +
            shape("zero_flat", {n, whole}) + "  z_flat = Reshape (z_wide, zero_flat)\n" +
            shape("from", {0}) + shape("to", {blocks}) + shape("one", {1}) +
            "  z_cut = Slice (z_flat, from, to, one)\n" + shape("per_block", {n, blocks, 1}) +
            "  z_each = Reshape (z_cut, per_block)\n"
            "  shift = Cast <to = 1> (z_each)\n";
  } else if (zero) {
    code += shape("per_block", {n, blocks, 1}) + "  z_each = Reshape (zeros, per_block)\n"
                                                 "  shift = Cast <to = 1> (z_each)\n";
  } else {
    code += shape("per_block", {n, blocks, 1}) +
            "  shift = Constant <value_float = " + text(bits == 4 ? 8.0 : 128.0) + "> ()\n";
  }
  code += "  centred = Sub (w_float, shift)\n"
          "  s_each = Reshape (scales, per_block)\n"
          "  s_float = Cast <to = 1> (s_each)\n"
          "  scaled = Mul (centred, s_float)\n" +
          shape("matrix", {n, blocks * block}) + "  padded = Reshape (scaled, matrix)\n" +
          shape("begin", {0}) + shape("end", {k}) + shape("columns", {1}) +
          "  cut = Slice (padded, begin, end, columns)\n"
          "  typed = CastLike (cut, a)\n"
          "  weights = Transpose <perm = [1, 0]> (typed)\n"
          "  product = MatMul (a, weights)\n" +
          (bias ? "  y = Add (product, bias)\n}" : "  y = Identity (product)\n}");
  node.setOutput(
      0, node.inlineFunction(code, {node.input(0), node.input(1), node.input(2), zero, bias})[0]);
}

void registerContrib(Registry &registry) {
  registry.add(kDomain, "BiasGelu", 1, convertBiasGelu);
  registry.add(kDomain, "EmbedLayerNormalization", 1, convertEmbedLayerNormalization);
  registry.add(kDomain, "FastGelu", 1, convertFastGelu);
  registry.add(kDomain, "FusedMatMul", 1, convertFusedMatMul);
  registry.add(kDomain, "Gelu", 1, convertGelu);
  registry.add(kDomain, "MatMulNBits", 1, convertMatMulNBits);
  registry.add(kDomain, "QuickGelu", 1, convertQuickGelu);
  registry.add(kDomain, "SimplifiedLayerNormalization", 1, convertSimplifiedLayerNormalization);
  registry.add(kDomain, "SkipLayerNormalization", 1, convertSkipNormalization<true>);
  registry.add(kDomain, "SkipSimplifiedLayerNormalization", 1, convertSkipNormalization<false>);
}

} // namespace attune::onnx
