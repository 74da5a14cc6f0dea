#include "KernelHarness.h"

#include <cmath>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

struct Stage {
  int64_t out, in, rows, columns, groups = 1, dilation = 1;
  const char *act = "none";
  double slope = 0;
};

struct Problem {
  int64_t batch = 1, channels = 1, rows = 1, columns = 1;
  std::vector<Stage> stages;
  double alpha = 1, beta = 0;
  bool previous = false, dynamic = false;

  std::string text() const;
  std::vector<Array> inputs() const;
  Array expected(const std::vector<Array> &in) const;
};

std::string Problem::text() const {
  auto n = [](int64_t v) { return std::to_string(v); };
  auto shape = [&](int64_t channels) {
    return dynamic ? "tensor<?x" + n(channels) + "x?x?xf32>"
                   : "tensor<" + n(batch) + "x" + n(channels) + "x" + n(rows) + "x" + n(columns) +
                         "xf32>";
  };
  std::vector<std::string> types{shape(channels)}, weights, biases;
  if (previous)
    types.push_back(shape(channels));
  std::string groups, dilations, acts, slopes;
  for (const Stage &s : stages) {
    std::string comma = groups.empty() ? "" : ", ";
    weights.push_back("tensor<" + n(s.out) + "x" + n(s.in) + "x" + n(s.rows) + "x" + n(s.columns) +
                      "xf32>");
    biases.push_back("tensor<" + n(s.out) + "xf32>");
    groups += comma + n(s.groups);
    dilations += comma + n(s.dilation);
    acts += comma + "#attune.map_act<" + s.act + ">";
    slopes += comma + std::to_string(s.slope);
  }
  size_t maps = types.size();
  types.insert(types.end(), weights.begin(), weights.end());
  types.insert(types.end(), biases.begin(), biases.end());
  auto list = [](const std::vector<std::string> &items, const char *name, size_t first,
                 size_t count, bool names, bool typed) {
    std::string out;
    for (size_t i = first; i < first + count; ++i)
      out += std::string(i == first ? "" : ", ") +
             (names ? "%" + std::string(name) + std::to_string(i) : std::string()) +
             (names && typed ? ": " : "") + (typed ? items[i] : std::string());
    return out;
  };
  auto group = [&](size_t first, size_t count) {
    return "(" + list(types, "a", first, count, true, false) + " : " +
           list(types, "a", first, count, false, true) + ")";
  };
  std::string result = shape(stages.back().out);
  std::string text = "func.func @main(" + list(types, "x", 0, types.size(), true, true) +
                     ", %nb: index, %nn: index, %nm: index) -> " + result + " {\n";
  text += "  %0 = attune.kernel ins(" + list(types, "x", 0, types.size(), true, false) + " : " +
          list(types, "x", 0, types.size(), false, true) + ") dims(%nb, %nn, %nm) ";
  if (dynamic)
    text += "result_dims(%nb, %nn, %nm) ";
  text += std::string("attributes {input_dims = array<i64") +
          (dynamic ? previous ? ": 0, 1, 2, 0, 1, 2" : ": 0, 1, 2" : "") + ">} -> " + result +
          " {\n  ^bb0(" + list(types, "a", 0, types.size(), true, true) +
          ", %b: index, %n: index, %m: index):\n";
  text += "    %y = attune.map_mix ins" + group(0, 1);
  if (previous)
    text += " previous" + group(1, 1);
  text += " weights" + group(maps, stages.size()) + " biases" +
          group(maps + stages.size(), stages.size());
  text += " {alpha = " + std::to_string(alpha) + " : f64, beta = " + std::to_string(beta) +
          " : f64, groups = array<i64: " + groups + ">, dilations = array<i64: " + dilations +
          ">, acts = [" + acts + "], slopes = array<f64: " + slopes + ">} -> " + result + "\n";
  return text + "    attune.yield %y : " + result + "\n  }\n  return %0 : " + result + "\n}\n";
}

std::vector<Array> Problem::inputs() const {
  unsigned seed = 1;
  std::vector<Array> in{Array::random("f32", {batch, channels, rows, columns}, seed++)};
  if (previous)
    in.push_back(Array::random("f32", {batch, channels, rows, columns}, seed++));
  for (const Stage &s : stages)
    in.push_back(Array::random("f32", {s.out, s.in, s.rows, s.columns}, seed++, -1, 1));
  for (const Stage &s : stages)
    in.push_back(Array::random("f32", {s.out}, seed++, -1, 1));
  return in;
}

Array Problem::expected(const std::vector<Array> &in) const {
  Array x = Array::zeros("f64", in[0].shape);
  for (int64_t i = 0; i < x.size(); ++i)
    x.set(i, previous ? (1 - beta) * in[0][i] + beta * in[1][i] : in[0][i]);
  Array t = x;
  for (size_t k = 0; k < stages.size(); ++k) {
    const Stage &s = stages[k];
    const Array &w = in[1 + previous + k], &bias = in[1 + previous + stages.size() + k];
    Array next = Array::zeros("f64", {batch, s.out, rows, columns});
    for (int64_t at = 0; at < next.size(); ++at) {
      int64_t m = at % columns, n = at / columns % rows, o = at / columns / rows % s.out;
      int64_t b = at / columns / rows / s.out, first = o / (s.out / s.groups) * s.in;
      double sum = bias[o];
      for (int64_t c = 0; c < s.in; ++c)
        for (int64_t p = 0; p < s.rows; ++p)
          for (int64_t q = 0; q < s.columns; ++q) {
            int64_t i = n + (p - s.rows / 2) * s.dilation, j = m + (q - s.columns / 2) * s.dilation;
            if (i >= 0 && i < rows && j >= 0 && j < columns)
              sum += w.at({o, c, p, q}) * t.at({b, first + c, i, j});
          }
      bool relu = s.act == std::string("relu"), leaky = s.act == std::string("leaky_relu");
      next.set(at, sum < 0 ? relu ? 0 : leaky ? s.slope * sum : sum : sum);
    }
    t = next;
  }
  Array result = Array::zeros("f32", t.shape);
  for (int64_t i = 0; i < t.size(); ++i)
    result.set(i, alpha == 1 ? t[i] : alpha * t[i] + (1 - alpha) * x[i]);
  return result;
}

void check(Problem p, std::vector<std::array<int64_t, 3>> sizes) {
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(p.text(), *createMapMixEmitter(), target);
    ASSERT_TRUE(kernel.matched()) << target.cpu << p.text();
    for (auto [batch, rows, columns] : sizes) {
      p.batch = batch, p.rows = rows, p.columns = columns;
      std::vector<Array> inputs = p.inputs();
      KernelRun one = kernel.run(inputs, {batch, rows, columns}, 1);
      KernelRun two = kernel.run(inputs, {batch, rows, columns}, 2);
      EXPECT_EQ(one.code, 0);
      EXPECT_LE(error(one.outputs[0], p.expected(inputs)), 2e-5)
          << target.cpu << " " << rows << "x" << columns;
      EXPECT_TRUE(one.outputs[0] == two.outputs[0]) << target.cpu;
    }
  }
}

} // namespace

TEST(MapMix, Evolving) {
  // Kernels larger than the map, tile edges, blocks of columns.
  check({.channels = 3,
         .stages = {{3, 3, 3, 3, 1, 1, "leaky_relu", 0.01}},
         .alpha = 0.3,
         .beta = 0.5,
         .previous = true,
         .dynamic = true},
        {{1, 1, 1}, {2, 2, 1}, {1, 7, 24}, {1, 37, 49}, {1, 5, 523}, {1, 0, 4}});
}

TEST(MapMix, HaloOfSeveralStages) {
  check({.channels = 2,
         .stages = {{5, 2, 3, 3, 1, 2, "relu"}, {4, 5, 1, 1}, {2, 2, 1, 3, 2, 1, "relu"}},
         .alpha = 0.75,
         .dynamic = true},
        {{1, 1, 1}, {1, 3, 5}, {2, 29, 31}, {1, 4, 515}});
}

TEST(MapMix, HeadsOnly) {
  check({.batch = 2,
         .channels = 9,
         .rows = 7,
         .columns = 13,
         .stages = {{6, 3, 1, 1, 3, 1, "relu"},
                    {3, 2, 1, 1, 3},
                    {7, 3, 1, 1, 1, 1, "leaky_relu", 0.2},
                    {2, 7, 1, 1}}},
        {{2, 7, 13}});
}

TEST(MapMix, Refuses) {
  Problem p{.channels = 3, .rows = 4, .columns = 4, .stages = {{3, 3, 3, 3}}};
  std::string text = p.text();
  auto matches = [](const std::string &text) {
    return Kernel(text, *createMapMixEmitter(), runnableTargets().front()).matched();
  };
  EXPECT_TRUE(matches(text));
  for (size_t at = 0; (at = text.find("f32", at)) != std::string::npos; at += 3)
    text.replace(at, 3, "f64");
  EXPECT_FALSE(matches(text));
}
