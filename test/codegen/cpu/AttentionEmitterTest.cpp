#include "KernelHarness.h"

#include <cmath>
#include <functional>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;
using namespace mlir;

namespace {

using Number = std::function<double(int64_t, int64_t, int64_t, int64_t)>;

/// Softmax attention in double on [batch, heads, queries, depth] accessors.
struct Reference {
  int64_t batch, heads, group, queries, keys, headDim, valueDim;
  double scale = 1;
  Number query, key, value;
  std::function<double(double x, int64_t b, int64_t h, int64_t n, int64_t m)> score;
  std::function<bool(int64_t b, int64_t h, int64_t n, int64_t m)> mask;

  /// Largest difference of `got(b, h, n, e)`.
  double error(const Number &got) const {
    double worst = 0;
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t n = 0; n < queries; ++n) {
          std::vector<double> x(keys, -INFINITY);
          double max = -INFINITY, sum = 0;
          for (int64_t m = 0; m < keys; ++m) {
            double dot = 0;
            for (int64_t d = 0; d < headDim; ++d)
              dot += query(b, h, n, d) * key(b, h / group, m, d);
            dot *= scale;
            if (score)
              dot = score(dot, b, h, n, m);
            if (!mask || mask(b, h, n, m))
              x[m] = dot;
            max = std::fmax(max, x[m]);
          }
          for (double &v : x)
            sum += v = v == -INFINITY ? 0 : std::exp(v - max);
          for (int64_t e = 0; e < valueDim; ++e) {
            double expected = 0;
            for (int64_t m = 0; m < keys; ++m)
              expected += x[m] * value(b, h / group, m, e);
            expected = sum == 0 ? 0 : expected / sum;
            double difference = std::fabs(got(b, h, n, e) - expected);
            worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
          }
        }
    return worst;
  }
};

Number bhnd(const Array &array) {
  return [&](int64_t b, int64_t h, int64_t n, int64_t d) { return array.at({b, h, n, d}); };
}

constexpr double kTolerance = 1e-5;

/// Projections of an encoder: [B, N, H * D] in and out, a padding mask of i1 per key.
constexpr const char *kEncoder = R"(
func.func @main(%q: tensor<?x?x96xf32>, %k: tensor<?x?x96xf32>, %v: tensor<?x?x96xf32>,
    %m: tensor<?x?xi1>, %b: index, %n: index) -> tensor<?x?x96xf32> {
  %0 = attune.kernel ins(%q, %k, %v, %m : tensor<?x?x96xf32>, tensor<?x?x96xf32>,
      tensor<?x?x96xf32>, tensor<?x?xi1>) dims(%b, %n) result_dims(%b, %n)
      attributes {input_dims = array<i64: 0, 1, 0, 1, 0, 1, 0, 1>} -> tensor<?x?x96xf32> {
  ^bb0(%aq: tensor<?x?x96xf32>, %ak: tensor<?x?x96xf32>, %av: tensor<?x?x96xf32>,
      %am: tensor<?x?xi1>, %db: index, %dn: index):
    %eq = tensor.expand_shape %aq [[0], [1], [2, 3]] output_shape [%db, %dn, 3, 32]
        : tensor<?x?x96xf32> into tensor<?x?x3x32xf32>
    %ek = tensor.expand_shape %ak [[0], [1], [2, 3]] output_shape [%db, %dn, 3, 32]
        : tensor<?x?x96xf32> into tensor<?x?x3x32xf32>
    %ev = tensor.expand_shape %av [[0], [1], [2, 3]] output_shape [%db, %dn, 3, 32]
        : tensor<?x?x96xf32> into tensor<?x?x3x32xf32>
    %init = tensor.empty(%db, %dn) : tensor<?x3x?x32xf32>
    %tq = linalg.transpose ins(%eq : tensor<?x?x3x32xf32>) outs(%init : tensor<?x3x?x32xf32>)
        permutation = [0, 2, 1, 3]
    %tk = linalg.transpose ins(%ek : tensor<?x?x3x32xf32>) outs(%init : tensor<?x3x?x32xf32>)
        permutation = [0, 2, 1, 3]
    %tv = linalg.transpose ins(%ev : tensor<?x?x3x32xf32>) outs(%init : tensor<?x3x?x32xf32>)
        permutation = [0, 2, 1, 3]
    %scale = arith.constant 0.25 : f32
    %o = attune.attention ins(%tq, %tk, %tv : tensor<?x3x?x32xf32>, tensor<?x3x?x32xf32>,
        tensor<?x3x?x32xf32>) scale(%scale : f32) captures(%am : tensor<?x?xi1>)
        -> tensor<?x3x?x32xf32> mask {
    ^bb1(%ib: index, %h: index, %i: index, %j: index, %in: index, %im: index,
        %cap: tensor<?x?xi1>):
      %allowed = tensor.extract %cap[%ib, %j] : tensor<?x?xi1>
      attune.yield %allowed : i1
    }
    %back = tensor.empty(%db, %dn) : tensor<?x?x3x32xf32>
    %to = linalg.transpose ins(%o : tensor<?x3x?x32xf32>) outs(%back : tensor<?x?x3x32xf32>)
        permutation = [0, 2, 1, 3]
    %r = tensor.collapse_shape %to [[0], [1], [2, 3]] : tensor<?x?x3x32xf32> into tensor<?x?x96xf32>
    attune.yield %r : tensor<?x?x96xf32>
  }
  return %0 : tensor<?x?x96xf32>
})";

/// A kernel on [1, 4, n, 16] queries and [1, 2, m, 16] keys; `captures` and `regions` are filled
/// in.
std::string decoder(std::string inputs, std::string types, std::string names, std::string captures,
                    std::string regions) {
  std::string text = R"(
func.func @main(%q: tensor<1x4x?x16xf32>, %k: tensor<1x2x?x16xf32>, %v: tensor<1x2x?x16xf32>
    INPUTS, %n: index, %m: index) -> tensor<1x4x?x16xf32> {
  %0 = attune.kernel ins(%q, %k, %v NAMES : tensor<1x4x?x16xf32>, tensor<1x2x?x16xf32>,
      tensor<1x2x?x16xf32> TYPES) dims(%n, %m) result_dims(%n)
      attributes {input_dims = array<i64: 0, 1, 1 DIMS>} -> tensor<1x4x?x16xf32> {
  ^bb0(%aq: tensor<1x4x?x16xf32>, %ak: tensor<1x2x?x16xf32>, %av: tensor<1x2x?x16xf32>
      ARGUMENTS, %dn: index, %dm: index):
    %scale = arith.constant 0.25 : f32
    %o = attune.attention ins(%aq, %ak, %av : tensor<1x4x?x16xf32>, tensor<1x2x?x16xf32>,
        tensor<1x2x?x16xf32>) scale(%scale : f32) CAPTURES -> tensor<1x4x?x16xf32> REGIONS
    attune.yield %o : tensor<1x4x?x16xf32>
  }
  return %0 : tensor<1x4x?x16xf32>
})";
  auto replace = [&](const char *what, const std::string &with) {
    text.replace(text.find(what), std::strlen(what), with);
  };
  std::string dims, arguments = inputs;
  for (size_t i = 0; (i = types.find('?', i)) != std::string::npos; ++i)
    dims += types[i + 1] == 'x' && types[i + 2] == '?' ? ", 0" : ", 1";
  replace("INPUTS", inputs);
  replace("NAMES", names);
  replace("TYPES", types);
  replace("DIMS", dims);
  for (size_t i = 0; (i = arguments.find('%', i)) != std::string::npos; ++i)
    arguments.insert(i + 1, "a");
  replace("ARGUMENTS", arguments);
  replace("CAPTURES", captures);
  replace("REGIONS", regions);
  return text;
}

struct Decoder {
  int64_t queries, keys;
  Array query = Array::random("f32", {1, 4, queries, 16}, 1);
  Array key = Array::random("f32", {1, 2, keys, 16}, 2);
  Array value = Array::random("f32", {1, 2, keys, 16}, 3);
  Reference reference() const {
    return {1, 4, 2, queries, keys, 16, 16, 0.25, bhnd(query), bhnd(key), bhnd(value), {}, {}};
  }
  std::vector<Array> inputs(std::vector<Array> more = {}) const {
    more.insert(more.begin(), {query, key, value});
    return more;
  }
};

template <typename Body> void forTargets(const std::string &text, Body body) {
  auto emitter = createAttentionEmitter();
  for (const CpuTarget &target : runnableTargets()) {
    SCOPED_TRACE(target.cpu);
    Kernel kernel(text, *emitter, target);
    ASSERT_TRUE(kernel.matched());
    body(kernel);
  }
}

const std::pair<int64_t, int64_t> kSizes[] = {{1, 1}, {1, 300}, {3, 50}, {37, 37}, {70, 131}};

} // namespace

TEST(AttentionEmitter, EncoderWithPaddingMask) {
  forTargets(kEncoder, [](Kernel &kernel) {
    for (auto [batch, n] : {std::pair<int64_t, int64_t>{1, 1}, {4, 37}, {2, 130}}) {
      Array q = Array::random("f32", {batch, n, 96}, 1),
            k = Array::random("f32", {batch, n, 96}, 2);
      Array v = Array::random("f32", {batch, n, 96}, 3), mask = Array::zeros("i1", {batch, n});
      for (int64_t b = 0; b < batch; ++b)
        for (int64_t m = 0; m < n - 2 * b; ++m)
          mask.set(b * n + m, 1);
      KernelRun run = kernel.run({q, k, v, mask}, {batch, n}, 2);
      ASSERT_EQ(run.code, 0);
      auto heads = [](const Array &x) -> Number {
        return [&x](int64_t b, int64_t h, int64_t n, int64_t d) {
          return x.at({b, n, h * 32 + d});
        };
      };
      Reference reference{batch, 3, 1, n, n, 32, 32, 0.25, heads(q), heads(k), heads(v), {}, {}};
      reference.mask = [&](int64_t b, int64_t, int64_t, int64_t m) { return mask.at({b, m}) != 0; };
      EXPECT_LE(reference.error(heads(run.outputs[0])), kTolerance) << batch << " " << n;
    }
  });
}

TEST(AttentionEmitter, CausalWithOffset) {
  std::string text = decoder(", %past: tensor<1xi64>", ", tensor<1xi64>", ", %past",
                             "q_offset(%apast : tensor<1xi64>)", R"(mask {
    ^bb1(%b: index, %h: index, %i: index, %j: index, %in: index, %im: index):
      %p = arith.cmpi sle, %j, %i : index
      attune.yield %p : i1
    })");
  forTargets(text, [](Kernel &kernel) {
    for (auto [n, m] : kSizes)
      for (int64_t past : {m - n, int64_t(0), int64_t(-1)}) {
        Decoder problem{n, m};
        KernelRun run = kernel.run(
            problem.inputs({Array::of("i64", {1}, {static_cast<double>(past)})}), {n, m}, 2);
        Reference reference = problem.reference();
        reference.mask = [&](int64_t, int64_t, int64_t n, int64_t m) { return m <= n + past; };
        EXPECT_LE(reference.error(bhnd(run.outputs[0])), kTolerance)
            << n << " " << m << " " << past;
      }
  });
}

TEST(AttentionEmitter, AlibiAndWindow) {
  std::string text = decoder(", %slopes: tensor<4xf32>", ", tensor<4xf32>", ", %slopes",
                             "captures(%aslopes : tensor<4xf32>)", R"(score {
    ^bb1(%x: f32, %b: index, %h: index, %i: index, %j: index, %in: index, %im: index,
        %s: tensor<4xf32>):
      %slope = tensor.extract %s[%h] : tensor<4xf32>
      %d = arith.subi %j, %i : index
      %d64 = arith.index_cast %d : index to i64
      %df = arith.sitofp %d64 : i64 to f32
      %bias = arith.mulf %slope, %df : f32
      %y = arith.addf %x, %bias : f32
      attune.yield %y : f32
    } mask {
    ^bb1(%b: index, %h: index, %i: index, %j: index, %in: index, %im: index, %s: tensor<4xf32>):
      %w = arith.constant 9 : index
      %start = arith.subi %i, %w : index
      %after = arith.cmpi sgt, %j, %start : index
      %before = arith.cmpi sle, %j, %i : index
      %p = arith.andi %after, %before : i1
      attune.yield %p : i1
    })");
  forTargets(text, [](Kernel &kernel) {
    for (auto [n, m] : kSizes) {
      Decoder problem{n, m};
      Array slopes = Array::of("f32", {4}, {0.5, 0.25, 0.125, 0});
      KernelRun run = kernel.run(problem.inputs({slopes}), {n, m}, 1);
      Reference reference = problem.reference();
      reference.score = [&](double x, int64_t, int64_t h, int64_t n, int64_t m) {
        return x + slopes[h] * (m - n);
      };
      reference.mask = [&](int64_t, int64_t, int64_t n, int64_t m) { return m > n - 9 && m <= n; };
      EXPECT_LE(reference.error(bhnd(run.outputs[0])), kTolerance) << n << " " << m;
    }
  });
}

TEST(AttentionEmitter, MaskTensorsPerQueryAndKey) {
  std::string text = decoder(", %bias: tensor<?x?xf32>, %keep: tensor<?x?xi1>",
                             ", tensor<?x?xf32>, tensor<?x?xi1>", ", %bias, %keep",
                             "captures(%abias, %akeep : tensor<?x?xf32>, tensor<?x?xi1>)",
                             R"(score {
    ^bb1(%x: f32, %b: index, %h: index, %i: index, %j: index, %in: index, %im: index,
        %c: tensor<?x?xf32>, %keeps: tensor<?x?xi1>):
      %e = tensor.extract %c[%i, %j] : tensor<?x?xf32>
      %y = arith.addf %x, %e : f32
      attune.yield %y : f32
    } mask {
    ^bb1(%b: index, %h: index, %i: index, %j: index, %in: index, %im: index,
        %c: tensor<?x?xf32>, %keeps: tensor<?x?xi1>):
      %p = tensor.extract %keeps[%i, %j] : tensor<?x?xi1>
      attune.yield %p : i1
    })");
  forTargets(text, [](Kernel &kernel) {
    for (auto [n, m] : kSizes) {
      Decoder problem{n, m};
      Array bias = Array::random("f32", {n, m}, 7), keep = Array::random("i1", {n, m}, 8, 0, 2);
      for (int64_t i = 0; i < m; ++i)
        keep.set(n / 2 * m + i, 0); // a row without a key
      KernelRun run = kernel.run(problem.inputs({bias, keep}), {n, m}, 2);
      Reference reference = problem.reference();
      reference.score = [&](double x, int64_t, int64_t, int64_t n, int64_t m) {
        return x + bias.at({n, m});
      };
      reference.mask = [&](int64_t, int64_t, int64_t n, int64_t m) { return keep.at({n, m}) != 0; };
      EXPECT_LE(reference.error(bhnd(run.outputs[0])), kTolerance) << n << " " << m;
    }
  });
}

TEST(AttentionEmitter, TableOfDistances) {
  // Lanes of queries read it backwards, lanes of keys forwards.
  std::string text = decoder(", %table: tensor<4x600xf16>, %past: tensor<1xi64>",
                             ", tensor<4x600xf16>, tensor<1xi64>", ", %table, %past",
                             "q_offset(%apast : tensor<1xi64>) "
                             "captures(%atable : tensor<4x600xf16>)",
                             R"(score {
    ^bb1(%x: f32, %b: index, %h: index, %i: index, %j: index, %in: index, %im: index,
        %c: tensor<4x600xf16>):
      %zero = arith.constant 256 : index
      %distance = arith.subi %j, %i : index
      %at = arith.addi %distance, %zero : index
      %e = tensor.extract %c[%h, %at] : tensor<4x600xf16>
      %w = arith.extf %e : f16 to f32
      %y = arith.addf %x, %w : f32
      attune.yield %y : f32
    })");
  forTargets(text, [](Kernel &kernel) {
    Array table = Array::random("f16", {4, 600}, 7);
    for (auto [n, m] : kSizes) {
      Decoder problem{n, m};
      int64_t past = 3;
      Array offset = Array::of("i64", {1}, {double(past)});
      KernelRun run = kernel.run(problem.inputs({table, offset}), {n, m}, 2);
      Reference reference = problem.reference();
      reference.score = [&](double x, int64_t, int64_t h, int64_t n, int64_t m) {
        return x + table.at({h, m - n - past + 256});
      };
      EXPECT_LE(reference.error(bhnd(run.outputs[0])), kTolerance) << n << " " << m;
    }
  });
}

TEST(AttentionEmitter, RefusesWhatIsNotAlone) {
  std::string text = kEncoder;
  std::string from = "attune.yield %r : tensor<?x?x96xf32>";
  text.replace(text.find(from), from.size(), R"(
    %e = tensor.empty(%db, %dn) : tensor<?x?x96xf32>
    %s = linalg.add ins(%r, %aq : tensor<?x?x96xf32>, tensor<?x?x96xf32>)
        outs(%e : tensor<?x?x96xf32>) -> tensor<?x?x96xf32>
    attune.yield %s : tensor<?x?x96xf32>)");
  CpuTarget target = llvm::cantFail(CpuTarget::parse("x86-64"));
  EXPECT_FALSE(Kernel(text, *createAttentionEmitter(), target).matched());
}
