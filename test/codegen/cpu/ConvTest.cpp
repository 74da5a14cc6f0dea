#include "KernelHarness.h"

#include <cmath>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

/// y = relu(conv(x, w) + bias) + residual, or a pooling of x.
struct Problem {
  int64_t batch = 1, groups = 1, channels = 1, maps = 1, height = 1, width = 1;
  int64_t tapRows = 1, tapColumns = 1, strideRows = 1, strideColumns = 1;
  int64_t dilationRows = 1, dilationColumns = 1;
  int64_t top = 0, bottom = 0, left = 0, right = 0;
  bool dynamic = false;
  int64_t panel = 0;             ///< output channels of a panel of packed filters
  const char *pooling = nullptr; ///< the operator that combines

  static int64_t out(int64_t in, int64_t before, int64_t after, int64_t taps, int64_t stride,
                     int64_t dilation) {
    return (in + before + after - (taps - 1) * dilation - 1) / stride + 1;
  }
  int64_t outRows() const { return out(height, top, bottom, tapRows, strideRows, dilationRows); }
  int64_t outColumns() const {
    return out(width, left, right, tapColumns, strideColumns, dilationColumns);
  }
  std::string text() const;
  std::vector<Array> inputs() const;
  Array expected(const std::vector<Array> &in) const;
  std::vector<int64_t> sizes() const { return {batch, height, width, outRows(), outColumns()}; }
};

std::string replaceAll(std::string text, const std::string &from, const std::string &to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

std::string Problem::text() const {
  std::string text = R"(
func.func @main(%x: XT, %w: WT, %bias: tensor<OCxf32>, %res: YT,
                %nb: index, %nh: index, %nw: index, %no: index, %np: index) -> YT {
  %0 = attune.kernel ins(%x, %w, %bias, %res : XT, WT, tensor<OCxf32>, YT)
      dims(%nb, %nh, %nw, %no, %np) RESULTDIMS attributes {input_dims = array<i64: INDIMS>} -> YT {
  ^bb0(%a: XT, %f: WT, %c: tensor<OCxf32>, %r: YT,
       %b: index, %h: index, %v: index, %o: index, %p: index):
    %zero = arith.constant 0.0 : f32
    %start = arith.constant INIT : f32
    %above = arith.constant PADROWS : index
    %beside = arith.constant PADCOLUMNS : index
    %ph = arith.addi %h, %above : index
    %pw = arith.addi %v, %beside : index
    %pad = tensor.pad %a low[0, 0, TOP, PADL] high[0, 0, BOTTOM, RIGHT] {
    ^bb1(%i0: index, %i1: index, %i2: index, %i3: index):
      tensor.yield %start : f32
    } : XT to PT
    %xs = tensor.expand_shape %pad [[0], [1, 2], [3], [4]] output_shape [BB, GG, CC, HH, VV] : PT into ST
    UNPACK
    %e = tensor.empty(DYNOUT) : GT
    %s = linalg.fill ins(%start : f32) outs(%e : GT) -> GT
    %y = CONV
    %yc = tensor.collapse_shape %y [[0], [1, 2], [3], [4]] : GT into YT
    %ye = tensor.empty(DYNOUT) : YT
    %z = linalg.generic {indexing_maps = [affine_map<(n, m, h, w) -> (n, m, h, w)>,
        affine_map<(n, m, h, w) -> (m)>, affine_map<(n, m, h, w) -> (n, m, h, w)>,
        affine_map<(n, m, h, w) -> (n, m, h, w)>],
        iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
        ins(%yc, %c, %r : YT, tensor<OCxf32>, YT) outs(%ye : YT) {
    ^bb1(%i: f32, %j: f32, %k: f32, %l: f32):
      %t = arith.addf %i, %j : f32
      %u = arith.maximumf %t, %zero : f32
      %q = arith.addf %u, %k : f32
      linalg.yield %q : f32
    } -> YT
    attune.yield %z : YT
  }
  return %0 : YT
}
)";
  std::string conv = R"(linalg.generic {indexing_maps = [
        affine_map<(n, g, m, h, w, c, i, j) -> (n, g, c, h * SR + i * DR, w * SC + j * DC)>,
        affine_map<(n, g, m, h, w, c, i, j) -> (g, m, c, i, j)>,
        affine_map<(n, g, m, h, w, c, i, j) -> (n, g, m, h, w)>], iterator_types = ["parallel",
        "parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
        ins(%xs, %ff : ST, FT) outs(%s : GT) {
    ^bb1(%i: f32, %j: f32, %acc: f32):
      %t = arith.mulf %i, %j : f32
      %u = arith.addf %acc, %t : f32
      linalg.yield %u : f32
    } -> GT)";
  if (pooling)
    conv = R"(linalg.generic {indexing_maps = [
        affine_map<(n, g, m, h, w, i, j) -> (n, g, m, h * SR + i * DR, w * SC + j * DC)>,
        affine_map<(n, g, m, h, w, i, j) -> (i, j)>,
        affine_map<(n, g, m, h, w, i, j) -> (n, g, m, h, w)>], iterator_types = ["parallel",
        "parallel", "parallel", "parallel", "parallel", "reduction", "reduction"]}
        ins(%xs, %ff : ST, FT) outs(%s : GT) {
    ^bb1(%i: f32, %j: f32, %acc: f32):
      %u = arith.COMBINE %acc, %i : f32
      linalg.yield %u : f32
    } -> GT)";
  if (pooling) {
    // Without the split of the channels.
    conv = replaceAll(replaceAll(replaceAll(conv, "(n, g, m, h", "(n, g, h"), "(n, g, m", "(n, g"),
                      "\"parallel\",\n        \"parallel\", ", "\"parallel\",\n        ");
    text = replaceAll(text,
                      "    %xs = tensor.expand_shape %pad [[0], [1, 2], [3], [4]] output_shape "
                      "[BB, GG, CC, HH, VV] : PT into ST\n",
                      "");
    text = replaceAll(
        text, "    %yc = tensor.collapse_shape %y [[0], [1, 2], [3], [4]] : GT into YT\n", "");
    text = replaceAll(text, "%yc", "%y");
    conv = replaceAll(conv, "%xs", "%pad");
  }
  text = replaceAll(text, "CONV", conv);
  auto n = [](int64_t v) { return std::to_string(v); };
  auto d = [&](int64_t v) { return dynamic ? std::string("?") : n(v); };
  int64_t ph = height + top + bottom, pw = width + left + right,
          panels = panel ? (maps + panel - 1) / panel : 0;
  std::string b = d(batch), y = d(outRows()) + "x" + d(outColumns()) + "xf32>";
  std::string image = d(height) + "x" + d(width) + "xf32>", p = d(ph) + "x" + d(pw) + "xf32>";
  std::string taps = n(tapRows) + "x" + n(tapColumns);
  std::string filters =
      "tensor<" + n(groups) + "x" + n(maps) + "x" + n(channels) + "x" + taps + "xf32>";
  std::string unpack, stored = filters;
  if (panel) {
    stored = "tensor<" + n(groups) + "x" + n(panels) + "x" + n(channels) + "x" + taps + "x" +
             n(panel) + "xf32>";
    unpack = "%we = tensor.empty() : " + filters +
             "\n    %ff = linalg.unpack %f inner_dims_pos = [1] "
             "inner_tiles = [" +
             n(panel) + "] into %we : " + stored + " -> " + filters;
  } else {
    text = replaceAll(text, "%ff", "%f");
  }
  std::string split = "tensor<" + b + "x" + n(groups) + "x";
  if (pooling)
    filters = stored = "tensor<" + taps + "xf32>";
  std::pair<std::string, std::string> names[] = {
      {"XT", "tensor<" + b + "x" + n(groups * channels) + "x" + image},
      {"YT", "tensor<" + b + "x" + n(groups * maps) + "x" + y},
      {"GT", pooling ? split + y : split + n(maps) + "x" + y},
      {"ST", pooling ? split + p : split + n(channels) + "x" + p},
      {"PT", "tensor<" + b + "x" + n(groups * channels) + "x" + p},
      {"WT", stored},
      {"FT", filters},
      {"UNPACK", unpack},
      {"OCx", n(groups * maps) + "x"},
      {"RESULTDIMS", dynamic ? "result_dims(%nb, %no, %np)" : ""},
      {"INDIMS", dynamic ? "0, 1, 2, 0, 3, 4" : ""},
      {"INIT", pooling && pooling != std::string("addf") ? "0xFF800000" : "0.0"},
      {"PADROWS", n(top + bottom)},
      {"PADCOLUMNS", n(left + right)},
      {"TOP", n(top)},
      {"PADL", n(left)},
      {"BOTTOM", n(bottom)},
      {"RIGHT", n(right)},
      {"BB", dynamic ? "%b" : b},
      {"GG", n(groups)},
      {"CC", n(channels)},
      {"HH", dynamic ? "%ph" : n(ph)},
      {"VV", dynamic ? "%pw" : n(pw)},
      {"DYNOUT", dynamic ? "%b, %o, %p" : ""},
      {"SR", n(strideRows)},
      {"SC", n(strideColumns)},
      {"DR", n(dilationRows)},
      {"DC", n(dilationColumns)},
      {"COMBINE", pooling ? pooling : ""}};
  for (const auto &[from, to] : names)
    text = replaceAll(text, from, to);
  return replaceAll(text, "array<i64: >", "array<i64>");
}

std::vector<Array> Problem::inputs() const {
  Array w = Array::random("f32", {groups, maps, channels, tapRows, tapColumns}, 2, -1, 1);
  if (pooling)
    w = Array::random("f32", {tapRows, tapColumns}, 2);
  if (panel) {
    int64_t panels = (maps + panel - 1) / panel, depth = channels * tapRows * tapColumns;
    Array all = Array::zeros("f32", {groups, panels, channels, tapRows, tapColumns, panel});
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t m = 0; m < maps; ++m)
        for (int64_t k = 0; k < depth; ++k)
          all.set(((g * panels + m / panel) * depth + k) * panel + m % panel,
                  w[(g * maps + m) * depth + k]);
    w = all;
  }
  return {Array::random("f32", {batch, groups * channels, height, width}, 1), w,
          Array::random("f32", {groups * maps}, 3),
          Array::random("f32", {batch, groups * maps, outRows(), outColumns()}, 4)};
}

Array Problem::expected(const std::vector<Array> &in) const {
  Array want = in[3];
  int64_t depth = channels * tapRows * tapColumns;
  int64_t panels = panel ? (maps + panel - 1) / panel : 0;
  for (int64_t at = 0; at < want.size(); ++at) {
    int64_t column = at % outColumns(), row = at / outColumns() % outRows();
    int64_t map = at / outColumns() / outRows() % (groups * maps);
    int64_t image = at / outColumns() / outRows() / (groups * maps), group = map / maps;
    bool max = pooling && pooling != std::string("addf");
    double sum = max ? -INFINITY : 0;
    for (int64_t k = 0; k < depth; ++k) {
      int64_t channel = k / (tapRows * tapColumns);
      int64_t y = row * strideRows + k / tapColumns % tapRows * dilationRows - top;
      int64_t x = column * strideColumns + k % tapColumns * dilationColumns - left;
      if (y < 0 || y >= height || x < 0 || x >= width)
        continue;
      double value = in[0].at({image, group * channels + channel, y, x});
      double w = pooling ? 1
                 : panel ? in[1][((group * panels + map % maps / panel) * depth + k) * panel +
                                 map % maps % panel]
                         : in[1][map * depth + k];
      sum = max ? std::max(sum, value) : sum + value * w;
    }
    want.set(at, std::max(sum + in[2][map], 0.0) + in[3][at]);
  }
  return want;
}

void check(const Problem &p) {
  std::vector<Array> inputs = p.inputs();
  Array want = p.expected(inputs);
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(p.text(), *createConvEmitter(), target);
    ASSERT_TRUE(kernel.matched()) << target.cpu << p.text();
    KernelRun one = kernel.run(inputs, p.sizes(), 1), two = kernel.run(inputs, p.sizes(), 2);
    EXPECT_EQ(one.code, 0);
    EXPECT_LE(error(one.outputs[0], want), 5e-5) << target.cpu;
    EXPECT_TRUE(one.outputs[0] == two.outputs[0]) << target.cpu;
  }
}

} // namespace

TEST(Conv, Windows) {
  check({.channels = 1, .maps = 5});
  check({.batch = 2,
         .channels = 3,
         .maps = 7,
         .height = 5,
         .width = 11,
         .tapRows = 3,
         .tapColumns = 3,
         .top = 1,
         .bottom = 1,
         .left = 1,
         .right = 1,
         .panel = 4});
  // Rows long enough for tiles of their own; several passes over the channels.
  check({.channels = 37,
         .maps = 9,
         .height = 6,
         .width = 97,
         .tapRows = 3,
         .tapColumns = 3,
         .top = 1,
         .bottom = 1,
         .left = 1,
         .right = 1,
         .panel = 4});
}

TEST(Conv, StridesDilationsPadding) {
  check({.channels = 3,
         .maps = 6,
         .height = 17,
         .width = 23,
         .tapRows = 3,
         .tapColumns = 5,
         .strideRows = 2,
         .strideColumns = 2,
         .top = 0,
         .bottom = 1,
         .left = 2,
         .right = 3});
  check({.channels = 2,
         .maps = 4,
         .height = 13,
         .width = 9,
         .tapRows = 2,
         .tapColumns = 3,
         .strideRows = 3,
         .strideColumns = 1,
         .dilationRows = 2,
         .dilationColumns = 3,
         .top = 4,
         .bottom = 0,
         .left = 5,
         .right = 1,
         .panel = 4});
  check({.channels = 5, .maps = 3, .height = 8, .width = 50, .strideRows = 2, .strideColumns = 3});
  check({.channels = 2,
         .maps = 4,
         .height = 9,
         .width = 9,
         .tapRows = 7,
         .tapColumns = 7,
         .strideRows = 2,
         .strideColumns = 2,
         .top = 3,
         .bottom = 3,
         .left = 3,
         .right = 3});
}

TEST(Conv, Groups) {
  check({.batch = 2,
         .groups = 3,
         .channels = 4,
         .maps = 5,
         .height = 7,
         .width = 7,
         .tapRows = 3,
         .tapColumns = 1,
         .top = 1,
         .bottom = 1,
         .panel = 4});
  // One input channel each; two maps of one channel.
  check({.groups = 5,
         .height = 9,
         .width = 31,
         .tapRows = 3,
         .tapColumns = 3,
         .top = 1,
         .bottom = 1,
         .left = 1,
         .right = 1});
  check({.batch = 2,
         .groups = 3,
         .maps = 2,
         .height = 6,
         .width = 6,
         .tapRows = 3,
         .tapColumns = 3,
         .strideRows = 2,
         .strideColumns = 2,
         .left = 1});
  check({.groups = 2, .height = 8, .width = 20, .tapRows = 6, .tapColumns = 5});
}

// Lanes are output channels: images that are read where they are.
TEST(Conv, ChannelsInPlace) {
  // One position; tile - 1, tile and tile + 1 of AVX-512 and more than a group; one panel, several,
  // an odd one; channels in several passes.
  for (auto [height, width, maps, channels] : {std::array<int64_t, 4>{1, 1, 40, 7},
                                               {1, 13, 5, 3},
                                               {2, 7, 16, 161},
                                               {3, 5, 33, 2},
                                               {7, 8, 17, 5},
                                               {3, 19, 48, 1},
                                               {14, 14, 95, 340}})
    check({.batch = height == 7 ? 2 : 1,
           .channels = channels,
           .maps = maps,
           .height = height,
           .width = width,
           .panel = 16});
  check({.batch = 2, .groups = 3, .channels = 4, .maps = 18, .height = 5, .width = 7, .panel = 16});
}

TEST(Conv, ChannelsOfCopiedLines) {
  for (int64_t maps : {5, 33})
    check({.batch = 2,
           .groups = 2,
           .channels = 19,
           .maps = maps,
           .height = 9,
           .width = 7,
           .tapRows = 3,
           .tapColumns = 3,
           .strideRows = maps == 5 ? 1 : 2,
           .strideColumns = 2,
           .dilationRows = maps == 5 ? 2 : 1,
           .top = 1,
           .bottom = 2,
           .left = 0,
           .right = 1,
           .panel = 16});
  // Without borders: windows side by side, then overlapping and with holes; rows in several groups.
  check({.batch = 2,
         .groups = 2,
         .channels = 3,
         .maps = 18,
         .height = 9,
         .width = 12,
         .tapRows = 2,
         .tapColumns = 4,
         .strideRows = 2,
         .strideColumns = 4,
         .panel = 16});
  check({.channels = 2,
         .maps = 20,
         .height = 11,
         .width = 131,
         .tapRows = 3,
         .tapColumns = 3,
         .strideRows = 2,
         .strideColumns = 2,
         .dilationRows = 2,
         .dilationColumns = 1,
         .panel = 16});
  // A window of one element with a stride; whole rows.
  check({.channels = 5,
         .maps = 20,
         .height = 11,
         .width = 13,
         .strideRows = 2,
         .strideColumns = 2,
         .panel = 16});
  check({.channels = 3,
         .maps = 17,
         .height = 5,
         .width = 101,
         .tapRows = 2,
         .tapColumns = 7,
         .left = 3,
         .right = 3,
         .panel = 16});
}

void checkDynamic(Problem p) {
  for (CpuTarget target : runnableTargets()) {
    Kernel kernel(p.text(), *createConvEmitter(), target);
    ASSERT_TRUE(kernel.matched());
    for (auto [n, h, w] : {std::array<int64_t, 3>{1, 1, 1}, {2, 3, 24}, {1, 40, 13}, {0, 4, 4}}) {
      p.batch = n, p.height = h, p.width = w;
      std::vector<Array> inputs = p.inputs();
      KernelRun one = kernel.run(inputs, p.sizes(), 1), two = kernel.run(inputs, p.sizes(), 2);
      EXPECT_LE(error(one.outputs[0], p.expected(inputs)), 5e-5) << target.cpu;
      EXPECT_TRUE(one.outputs[0] == two.outputs[0]) << target.cpu;
    }
  }
}

TEST(Conv, DynamicSizes) {
  for (int64_t panel : {4, 16})
    checkDynamic({.groups = 1,
                  .channels = 5,
                  .maps = 6,
                  .tapRows = 3,
                  .tapColumns = 3,
                  .top = 1,
                  .bottom = 1,
                  .left = 1,
                  .right = 1,
                  .dynamic = true,
                  .panel = panel});
  checkDynamic({.groups = 1, .channels = 5, .maps = 6, .dynamic = true, .panel = 16});
}

TEST(Conv, Planes) {
  // Several blocks of rows; a tile of rows times vectors, with remainders of both.
  check({.groups = 2,
         .height = 61,
         .width = 131,
         .tapRows = 3,
         .tapColumns = 3,
         .top = 1,
         .bottom = 1,
         .left = 1,
         .right = 1});
  // Phases come in another order than taps; fewer taps than the stride; one row.
  check({.groups = 3,
         .height = 17,
         .width = 40,
         .tapRows = 3,
         .tapColumns = 4,
         .strideRows = 3,
         .strideColumns = 3,
         .dilationRows = 2,
         .dilationColumns = 2,
         .top = 2,
         .left = 3});
  check(
      {.groups = 3, .height = 19, .width = 23, .tapRows = 2, .strideRows = 5, .strideColumns = 4});
  check({.groups = 2, .width = 150, .tapColumns = 7, .left = 6});
  // Even and odd elements at once; either may have one more, at either end.
  for (int64_t left : {0, 1, 2})
    for (int64_t width : {129, 130})
      check({.groups = 2,
             .height = 23,
             .width = width,
             .tapRows = 2,
             .tapColumns = 3,
             .strideRows = 2,
             .strideColumns = 2,
             .top = 1,
             .left = left,
             .right = 2 - left});
  check({.groups = 2,
         .height = 9,
         .width = 141,
         .tapRows = 5,
         .tapColumns = 4,
         .strideColumns = 2,
         .dilationColumns = 3,
         .left = 5,
         .right = 40});
  // Loops over taps: columns, then rows as well.
  check({.groups = 2,
         .height = 19,
         .width = 21,
         .tapRows = 7,
         .tapColumns = 7,
         .strideRows = 2,
         .strideColumns = 2,
         .top = 3,
         .bottom = 3,
         .left = 3,
         .right = 3});
  check({.groups = 1,
         .height = 60,
         .width = 9,
         .tapRows = 27,
         .tapColumns = 2,
         .strideRows = 2,
         .dilationColumns = 3,
         .top = 26});
}

// Small planes are turned around: lanes are channels, the last vector of which may be partial.
TEST(Conv, PlanesTurned) {
  for (int64_t groups : {1, 15, 16, 17, 35})
    check({.batch = 2,
           .groups = groups,
           .height = 7,
           .width = 7,
           .tapRows = 5,
           .tapColumns = 5,
           .top = 2,
           .bottom = 2,
           .left = 2,
           .right = 2});
  // Strides, dilations, rows and columns that nothing reads, two maps of a channel.
  check({.groups = 19,
         .height = 14,
         .width = 13,
         .tapRows = 3,
         .tapColumns = 3,
         .strideRows = 2,
         .strideColumns = 2,
         .top = 1,
         .left = 1});
  check({.groups = 33,
         .height = 11,
         .width = 9,
         .tapRows = 2,
         .tapColumns = 3,
         .strideRows = 3,
         .strideColumns = 4,
         .dilationRows = 4,
         .dilationColumns = 2,
         .top = 4,
         .bottom = 1,
         .left = 3,
         .right = 2});
  check({.batch = 2,
         .groups = 20,
         .maps = 2,
         .height = 6,
         .width = 5,
         .tapRows = 3,
         .tapColumns = 3,
         .strideRows = 2,
         .strideColumns = 2,
         .left = 1});
  // Loops over rows of taps; one position, one row.
  check({.groups = 18,
         .height = 14,
         .width = 14,
         .tapRows = 7,
         .tapColumns = 7,
         .strideRows = 2,
         .strideColumns = 2,
         .top = 3,
         .bottom = 3,
         .left = 3,
         .right = 3});
  check({.groups = 40, .height = 4, .width = 4, .tapRows = 4, .tapColumns = 4});
  check({.groups = 40, .width = 30, .tapColumns = 4, .strideColumns = 3, .left = 3});
  for (const char *combine : {"maximumf", "addf"})
    check({.batch = 2,
           .groups = 21,
           .height = 9,
           .width = 9,
           .tapRows = 3,
           .tapColumns = 3,
           .strideRows = 2,
           .strideColumns = 2,
           .top = 1,
           .left = 1,
           .pooling = combine});
}

TEST(Conv, DynamicPlanes) {
  Problem p{.groups = 1,
            .tapRows = 3,
            .tapColumns = 3,
            .strideRows = 2,
            .strideColumns = 2,
            .top = 1,
            .bottom = 1,
            .left = 1,
            .right = 1,
            .dynamic = true,
            .pooling = "maximumf"};
  for (CpuTarget target : runnableTargets()) {
    Kernel kernel(p.text(), *createConvEmitter(), target);
    ASSERT_TRUE(kernel.matched());
    for (auto [n, h, w] : {std::array<int64_t, 3>{1, 1, 1}, {2, 3, 24}, {1, 90, 113}, {0, 4, 4}}) {
      p.batch = n, p.height = h, p.width = w;
      std::vector<Array> inputs = p.inputs();
      KernelRun run = kernel.run(inputs, p.sizes(), 2);
      EXPECT_LE(error(run.outputs[0], p.expected(inputs)), 5e-5) << target.cpu;
    }
  }
}

TEST(Conv, Pooling) {
  for (const char *combine : {"maximumf", "addf"}) {
    check({.batch = 2,
           .groups = 3,
           .height = 9,
           .width = 14,
           .tapRows = 3,
           .tapColumns = 3,
           .strideRows = 2,
           .strideColumns = 2,
           .top = 1,
           .left = 1,
           .pooling = combine});
    check({.groups = 3,
           .height = 5,
           .width = 33,
           .tapRows = 1,
           .tapColumns = 4,
           .right = 2,
           .pooling = combine});
  }
}

TEST(Conv, RefusesOtherReductions) {
  Problem p{
      .groups = 3, .height = 9, .width = 14, .tapRows = 3, .tapColumns = 3, .pooling = "mulf"};
  EXPECT_FALSE(Kernel(p.text(), *createConvEmitter(), runnableTargets().front()).matched());
  // A maximum that does not start from -inf.
  p.pooling = "maximumf";
  std::string text = replaceAll(p.text(), "0xFF800000", "0.0");
  EXPECT_FALSE(Kernel(text, *createConvEmitter(), runnableTargets().front()).matched());
}
