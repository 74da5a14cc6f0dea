#include "attune/tools/attune/calibrate/Builders.h"

namespace attune::tools {

static Name conv(GraphBuilder &g, const Name &x, int64_t from, int64_t to, int64_t taps,
                 int64_t stride, int64_t groups) {
  int64_t pad = taps / 2;
  return g.op("Relu", {g.op("Conv", {x, g.weight({to, from / groups, taps, taps}), g.weight({to})},
                            {{"kernel_shape", std::vector<int64_t>{taps, taps}},
                             {"strides", std::vector<int64_t>{stride, stride}},
                             {"group", groups},
                             {"pads", std::vector<int64_t>{pad, pad, pad, pad}}})});
}

Network convolutions(const std::string &name, int64_t channels, int64_t size) {
  GraphBuilder g(name);
  Name x = g.input("x", {int64_t(1), channels, size, size});
  x = conv(g, x, channels, channels, 3, 1, 1);
  x = g.op("Add", {x, conv(g, conv(g, x, channels, channels, 3, 1, channels), channels, channels, 1,
                           1, 1)});
  x = g.op("MaxPool", {x},
           {{"kernel_shape", std::vector<int64_t>{3, 3}},
            {"strides", std::vector<int64_t>{1, 1}},
            {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  x = conv(g, x, channels, 2 * channels, 3, 2, 1);
  x = conv(g, x, 2 * channels, 2 * channels, 5, 1, 2 * channels);
  x = g.op("GlobalAveragePool", {x});
  g.output(x, {int64_t(1), 2 * channels, int64_t(1), int64_t(1)});
  return {name, g.serialise(), {}};
}

Network windows(const std::string &name, int64_t channels, int64_t size) {
  GraphBuilder g(name);
  Name x = g.input("x", {int64_t(1), channels, size, size});
  auto output = [&](const Name &y, int64_t stride) {
    g.output(y, {int64_t(1), channels, size / stride, size / stride});
  };
  output(conv(g, x, channels, channels, 3, 1, 1), 1);
  output(conv(g, x, channels, channels, 3, 1, 4), 1);
  for (int64_t taps : {3, 7})
    output(conv(g, x, channels, channels, taps, 1, channels), 1);
  output(conv(g, x, channels, channels, 5, 2, channels), 2);
  for (int64_t stride : {1, 2})
    output(g.op("MaxPool", {x},
                {{"kernel_shape", std::vector<int64_t>{3, 3}},
                 {"strides", std::vector<int64_t>{stride, stride}},
                 {"pads", std::vector<int64_t>{1, 1, 1, 1}}}),
           stride);
  return {name, g.serialise(), {}, {"mlir", "halide"}};
}

Network maps(const std::string &name, int64_t heads, int64_t length, int64_t depth) {
  GraphBuilder g(name);
  Name s = g.input("s", {int64_t(1), heads, length, length}),
       v = g.input("v", {int64_t(1), heads, length, depth});
  auto mixed = [&](const Name &x, int64_t taps) {
    return g.op("Conv", {x, g.weight({heads, heads, taps, taps}), g.weight({heads})},
                {{"pads", std::vector<int64_t>(4, taps / 2)}});
  };
  auto attended = [&](const Name &x) {
    Name weights = g.op("Softmax", {x}, {{"axis", int64_t(-1)}});
    g.output(g.op("MatMul", {weights, v}), {int64_t(1), heads, length, depth});
    return weights;
  };
  attended(g.op("Add", {s, mixed(s, 3)}));
  Name weights = attended(mixed(s, 1));
  g.output(g.op("MatMul", {mixed(weights, 1), v}), {int64_t(1), heads, length, depth});
  return {name, g.serialise(), {}, {"mlir", "halide"}};
}

Network images(const std::string &name, int64_t channels) {
  GraphBuilder g(name);
  Name x = g.input("x", {"batch", int64_t(3), "seq", "seq"});
  x = conv(g, x, 3, channels, 3, 2, 1);
  x = g.op("MaxPool", {x},
           {{"kernel_shape", std::vector<int64_t>{3, 3}},
            {"strides", std::vector<int64_t>{2, 2}},
            {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  x = conv(g, x, channels, channels, 3, 1, channels);
  x = conv(g, x, channels, 2 * channels, 1, 1, 1);
  Name gate = g.op("GlobalAveragePool", {x});
  gate = g.op("Sigmoid", {conv(g, gate, 2 * channels, 2 * channels, 1, 1, 1)});
  x = g.op("Mul", {x, gate});
  x = g.op("Add", {x, conv(g, x, 2 * channels, 2 * channels, 3, 1, 1)});
  x = g.op("GlobalAveragePool", {x});
  g.output(x, {"batch", 2 * channels, int64_t(1), int64_t(1)});
  return {name, g.serialise(), {{1, 40}, {1, 96}, {2, 60}, {1, 190}}};
}

} // namespace attune::tools
