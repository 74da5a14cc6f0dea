#include "Agreement.h"

using namespace attune;
using namespace attune::test;

namespace {

std::string n(int64_t value) { return std::to_string(value); }
std::string shape(std::vector<int64_t> extents) {
  std::string text = "tensor<";
  for (int64_t extent : extents)
    text += (extent < 0 ? std::string("?") : n(extent)) + "x";
  return text + "f32>";
}

/// A convolution in groups with padding, stride and dilation, bias and ReLU behind it.
struct Conv {
  int64_t batch, groups, in, out, rows, columns, taps, stride = 1, dilation = 1;
  bool dynamic = false;

  int64_t pad() const { return taps / 2 * dilation; }
  int64_t after(int64_t extent) const {
    return (extent + 2 * pad() - (taps - 1) * dilation - 1) / stride + 1;
  }

  std::string text() const {
    int64_t r = dynamic ? -1 : rows, c = dynamic ? -1 : columns, b = dynamic ? -1 : batch;
    int64_t orows = dynamic ? -1 : after(rows), ocolumns = dynamic ? -1 : after(columns);
    std::vector<int64_t> dims = dynamic ? std::vector<int64_t>{0, 1, 2} : std::vector<int64_t>{};
    std::vector<int64_t> odims = dynamic ? std::vector<int64_t>{0, 3, 4} : std::vector<int64_t>{};
    std::string x = shape({b, groups, in, r, c}), w = shape({groups, out, in, taps, taps});
    std::string y = shape({b, groups, out, orows, ocolumns}), bias = shape({groups, out});
    std::string p =
        shape({b, groups, in, dynamic ? -1 : rows + 2 * pad(), dynamic ? -1 : columns + 2 * pad()});
    std::string halo = n(pad()), at = " * " + n(stride) + " + ";
    std::string body =
        "    %z = arith.constant 0.0 : f32\n    %p = tensor.pad %a0 low[0, 0, 0, " + halo + ", " +
        halo + "] high[0, 0, 0, " + halo + ", " + halo +
        "] {\n    ^bb0(%i: index, %j: index, %k: index, %l: index, %m: index):\n"
        "      tensor.yield %z : f32\n    } : " +
        x + " to " + p + "\n    %e = tensor.empty(" + (dynamic ? "%d0, %d3, %d4" : "") +
        ") : " + y + "\n    %f = linalg.fill ins(%z : f32) outs(%e : " + y + ") -> " + y +
        "\n    %s = linalg.generic {indexing_maps = ["
        "affine_map<(b, g, m, y, x, c, p, q) -> (b, g, c, y" +
        at + "p * " + n(dilation) + ", x" + at + "q * " + n(dilation) +
        ")>, affine_map<(b, g, m, y, x, c, p, q) -> (g, m, c, p, q)>, "
        "affine_map<(b, g, m, y, x, c, p, q) -> (b, g, m, y, x)>], iterator_types = [\"parallel\", "
        "\"parallel\", \"parallel\", \"parallel\", \"parallel\", \"reduction\", \"reduction\", "
        "\"reduction\"]}"
        " ins(%p, %a1 : " +
        p + ", " + w + ") outs(%f : " + y +
        ") {\n    ^bb0(%v: f32, %u: f32, %o: f32):\n      %k = arith.mulf %v, %u : f32\n"
        "      %l = arith.addf %o, %k : f32\n      linalg.yield %l : f32 } -> " +
        y +
        "\n    %r = linalg.generic {indexing_maps = [affine_map<(b, g, m, y, x) -> (b, g, m, y, "
        "x)>, "
        "affine_map<(b, g, m, y, x) -> (g, m)>, affine_map<(b, g, m, y, x) -> (b, g, m, y, x)>], "
        "iterator_types = [\"parallel\", \"parallel\", \"parallel\", \"parallel\", \"parallel\"]} "
        "ins(%s, %a2 : " +
        y + ", " + bias + ") outs(%e : " + y +
        ") {\n    ^bb0(%v: f32, %u: f32, %o: f32):\n      %k = arith.addf %v, %u : f32\n"
        "      %l = arith.maximumf %k, %z : f32\n      linalg.yield %l : f32 } -> " +
        y + "\n    attune.yield %r : " + y + "\n";
    return kernelText({{x, dims}, {w}, {bias}}, {{y, odims}}, 5, body);
  }

  void check(Agreement &both) const {
    both.check({Array::random("f32", {batch, groups, in, rows, columns}, 1),
                Array::random("f32", {groups, out, in, taps, taps}, 2),
                Array::random("f32", {groups, out}, 3)},
               {batch, rows, columns, after(rows), after(columns)});
  }
};

TEST(HalideStencils, Convolutions) {
  for (Conv conv :
       {Conv{1, 1, 3, 5, 1, 1, 3}, Conv{2, 1, 4, 6, 9, 16, 3}, Conv{1, 1, 5, 13, 7, 17, 3},
        Conv{1, 2, 3, 4, 11, 23, 3}, Conv{1, 7, 1, 1, 13, 31, 3}, Conv{1, 8, 1, 1, 9, 33, 5},
        Conv{1, 1, 3, 4, 19, 21, 3, 1, 2}, Conv{2, 1, 3, 8, 19, 33, 3, 2},
        Conv{1, 1, 8, 12, 8, 48, 1}}) {
    SCOPED_TRACE(conv.text());
    Agreement both(conv.text());
    conv.check(both);
  }
}

TEST(HalideStencils, ConvolutionsOfAnySize) {
  for (Conv conv : {Conv{1, 1, 3, 7, 1, 1, 3, 1, 1, true}, Conv{1, 5, 1, 1, 1, 1, 3, 1, 1, true}}) {
    Agreement both(conv.text());
    for (auto [rows, columns] : {std::pair{1, 1}, {2, 5}, {7, 16}, {13, 31}, {8, 33}}) {
      conv.rows = rows;
      conv.columns = columns;
      SCOPED_TRACE(n(rows) + "x" + n(columns));
      conv.check(both);
    }
  }
}

/// Evolving attention: blend with the previous maps, 3x3 over all heads, softmax, values.
std::string evolving(int64_t heads, int64_t size, int64_t depth) {
  std::string maps = shape({1, heads, size, size}), w = shape({heads, heads, 3, 3});
  std::string v = shape({1, heads, size, depth}), b = shape({heads});
  std::vector<int64_t> dims = size < 0 ? std::vector<int64_t>{0, 0} : std::vector<int64_t>{};
  std::vector<int64_t> vdims = size < 0 ? std::vector<int64_t>{0} : std::vector<int64_t>{};
  std::string two = size < 0 ? "%d0, %d0" : "", one = size < 0 ? "%d0" : "";
  return kernelText(
      {{maps, dims}, {maps, dims}, {w}, {b}, {v, vdims}}, {{v, vdims}}, 1,
      "    %m = attune.map_mix ins(%a0 : " + maps + ") previous(%a1 : " + maps +
          ") weights(%a2 : " + w + ") biases(%a3 : " + b +
          ") {alpha = 0.3 : f64, beta = 0.5 : f64, groups = array<i64: 1>, "
          "dilations = array<i64: 1>, acts = [#attune.map_act<leaky_relu>], slopes = array<f64: "
          "0.01>} -> " +
          maps + "\n    %e = tensor.empty(" + two + ") : " + maps +
          "\n    %s = linalg.softmax dimension(3) ins(%m : " + maps + ") outs(%e : " + maps +
          ") -> " + maps + "\n    %z = arith.constant 0.0 : f32\n    %ev = tensor.empty(" + one +
          ") : " + v + "\n    %fv = linalg.fill ins(%z : f32) outs(%ev : " + v + ") -> " + v +
          "\n    %o = linalg.contract indexing_maps = [affine_map<(b, h, i, d, j) -> (b, h, i, "
          "j)>, "
          "affine_map<(b, h, i, d, j) -> (b, h, j, d)>, affine_map<(b, h, i, d, j) -> (b, h, i, "
          "d)>] "
          "ins(%s, %a4 : " +
          maps + ", " + v + ") outs(%fv : " + v + ") -> " + v + "\n    attune.yield %o : " + v +
          "\n");
}

TEST(HalideStencils, EvolvingAttention) {
  for (auto [heads, depth] : {std::pair{4, 16}, {5, 7}})
    for (bool dynamic : {false, true}) {
      Agreement both(evolving(heads, dynamic ? -1 : 21, depth));
      for (int64_t size : dynamic ? std::vector<int64_t>{1, 2, 19, 40} : std::vector<int64_t>{21}) {
        SCOPED_TRACE(n(heads) + " heads, " + n(size) + (dynamic ? " dynamic" : ""));
        both.check({Array::random("f32", {1, heads, size, size}, 1),
                    Array::random("f32", {1, heads, size, size}, 2),
                    Array::random("f32", {heads, heads, 3, 3}, 3), Array::random("f32", {heads}, 4),
                    Array::random("f32", {1, heads, size, depth}, 5)},
                   {size});
      }
    }
}

} // namespace
