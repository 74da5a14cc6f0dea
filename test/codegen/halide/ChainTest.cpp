#include "Agreement.h"

#include <cmath>

using namespace attune;
using namespace attune::test;

namespace {

std::string number(int64_t value) { return std::to_string(value); }
std::string extent(int64_t value) { return value < 0 ? "?" : number(value); }

/// Softmax of the last axis of [rows, columns]; -1 for `?`.
std::string softmax(int64_t rows, int64_t columns) {
  std::string type = "tensor<" + extent(rows) + "x" + extent(columns) + "xf32>";
  std::vector<int64_t> dims;
  std::string empties;
  for (int64_t axis : {0, 1})
    if ((axis ? columns : rows) < 0) {
      dims.push_back(axis);
      empties += (empties.empty() ? "%d" : ", %d") + number(axis);
    }
  return kernelText({{type, dims}}, {{type, dims}}, 2,
                    "    %e = tensor.empty(" + empties + ") : " + type +
                        "\n    %s = linalg.softmax dimension(1) ins(%a0 : " + type +
                        ") outs(%e : " + type + ") -> " + type + "\n    attune.yield %s : " + type +
                        "\n");
}

TEST(HalideChains, Softmax) {
  for (auto [rows, columns] :
       {std::pair{1, 1}, {3, 17}, {7, 31}, {16, 32}, {33, 33}, {5, 197}, {40, 256}}) {
    SCOPED_TRACE(number(rows) + "x" + number(columns));
    Agreement(softmax(rows, columns))
        .check({Array::random("f32", {rows, columns}, 1, -9, 9)}, {rows, columns});
  }
}

TEST(HalideChains, SoftmaxOfAnySize) {
  Agreement both(softmax(-1, -1));
  for (auto [rows, columns] :
       {std::pair{1, 1}, {0, 5}, {2, 7}, {9, 8}, {31, 33}, {64, 101}, {70, 512}}) {
    SCOPED_TRACE(number(rows) + "x" + number(columns));
    both.check({Array::random("f32", {rows, columns}, 1, -9, 9)}, {rows, columns});
  }
}

TEST(HalideChains, SoftmaxOfInfinities) {
  Agreement both(softmax(4, 37));
  Array x = Array::random("f32", {4, 37}, 3, -3, 3);
  for (int64_t j = 0; j < 37; ++j) {
    x.set(j, j % 3 ? -INFINITY : x[j]); // masked in part
    x.set(37 + j, -INFINITY);           // masked in full: NaN, as the operator says
  }
  x.set(2 * 37 + 5, NAN);
  both.check({x}, {4, 37});
}

/// gelu(layer_norm(x * s + residual) * g + b), with the pieces spelled out.
std::string normAndGelu(int64_t rows, int64_t columns) {
  std::string x = "tensor<" + extent(rows) + "x" + number(columns) + "xf32>";
  std::string c = "tensor<" + number(columns) + "xf32>";
  std::string r = "tensor<" + extent(rows) + "xf32>";
  std::string dim = rows < 0 ? "%d0" : "";
  std::vector<int64_t> dims = rows < 0 ? std::vector<int64_t>{0} : std::vector<int64_t>{};
  std::string maps = "indexing_maps = [affine_map<(i, j) -> (i, j)>, ";
  std::string body =
      "    %zero = arith.constant 0.0 : f32\n    %count = arith.constant " + number(columns) +
      ".0 : f32\n    %eps = arith.constant 1.0e-5 : f32\n"
      "    %half = arith.constant 0.5 : f32\n    %one = arith.constant 1.0 : f32\n"
      "    %root = arith.constant 0.70710678 : f32\n"
      "    %ex = tensor.empty(" +
      dim + ") : " + x + "\n    %er = tensor.empty(" + dim + ") : " + r +
      "\n    %fr = linalg.fill ins(%zero : f32) outs(%er : " + r + ") -> " + r +
      "\n"
      "    %y = linalg.generic {" +
      maps +
      "affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, "
      "affine_map<(i, j) -> (i, j)>], iterator_types = [\"parallel\", \"parallel\"]}\n"
      "      ins(%a0, %a1, %a2 : " +
      x + ", " + x + ", " + c + ") outs(%ex : " + x +
      ") {\n"
      "    ^bb0(%v: f32, %w: f32, %s: f32, %o: f32):\n"
      "      %p = arith.mulf %v, %s : f32\n      %q = arith.addf %p, %w : f32\n"
      "      linalg.yield %q : f32 } -> " +
      x +
      "\n"
      "    %sum = linalg.generic {" +
      maps +
      "affine_map<(i, j) -> (i)>], "
      "iterator_types = [\"parallel\", \"reduction\"]} ins(%y : " +
      x + ") outs(%fr : " + r +
      ") {\n"
      "    ^bb0(%v: f32, %o: f32):\n      %p = arith.addf %o, %v : f32\n"
      "      linalg.yield %p : f32 } -> " +
      r +
      "\n"
      "    %squares = linalg.generic {" +
      maps +
      "affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], "
      "iterator_types = [\"parallel\", \"reduction\"]} ins(%y, %sum : " +
      x + ", " + r + ") outs(%fr : " + r +
      ") {\n    ^bb0(%v: f32, %t: f32, %o: f32):\n      %m = arith.divf %t, %count : f32\n"
      "      %d = arith.subf %v, %m : f32\n      %dd = arith.mulf %d, %d : f32\n"
      "      %p = arith.addf %o, %dd : f32\n      linalg.yield %p : f32 } -> " +
      r +
      "\n"
      "    %z = linalg.generic {" +
      maps +
      "affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, "
      "affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>], iterator_types = [\"parallel\", "
      "\"parallel\"]} ins(%y, %sum, %squares, %a3 : " +
      x + ", " + r + ", " + r + ", " + c + ") outs(%ex : " + x +
      ") {\n    ^bb0(%v: f32, %t: f32, %u: f32, %g: f32, %o: f32):\n"
      "      %m = arith.divf %t, %count : f32\n      %n = arith.divf %u, %count : f32\n"
      "      %ne = arith.addf %n, %eps : f32\n      %rs = math.rsqrt %ne : f32\n"
      "      %d = arith.subf %v, %m : f32\n      %h = arith.mulf %d, %rs : f32\n"
      "      %hg = arith.mulf %h, %g : f32\n      %k = arith.mulf %hg, %root : f32\n"
      "      %e = math.erf %k : f32\n      %e1 = arith.addf %e, %one : f32\n"
      "      %l = arith.mulf %hg, %half : f32\n      %res = arith.mulf %l, %e1 : f32\n"
      "      linalg.yield %res : f32 } -> " +
      x + "\n    attune.yield %z : " + x + "\n";
  return kernelText({{x, dims}, {x, dims}, {c}, {c}}, {{x, dims}}, 1, body);
}

TEST(HalideChains, NormAndGelu) {
  for (int64_t columns : {1, 7, 64, 197})
    for (bool dynamic : {false, true}) {
      SCOPED_TRACE(number(columns) + (dynamic ? " dynamic" : ""));
      Agreement both(normAndGelu(dynamic ? -1 : 13, columns));
      both.check({Array::random("f32", {13, columns}, 1), Array::random("f32", {13, columns}, 2),
                  Array::random("f32", {columns}, 3), Array::random("f32", {columns}, 4)},
                 {13});
    }
}

/// Talking heads: softmax over keys of a mix of heads, then a mix of the weights.
std::string talkingHeads(int64_t heads, int64_t n) {
  std::string maps = "tensor<2x" + number(heads) + "x" + extent(n) + "x" + extent(n) + "xf32>";
  std::string w = "tensor<" + number(heads) + "x" + number(heads) + "x1x1xf32>";
  std::string b = "tensor<" + number(heads) + "xf32>";
  std::vector<int64_t> dims = n < 0 ? std::vector<int64_t>{0, 0} : std::vector<int64_t>{};
  auto mix = [&](std::string out, std::string in, std::string weight) {
    return "    %" + out + " = attune.map_mix ins(%" + in + " : " + maps + ") weights(%" + weight +
           " : " + w + ") biases(%a3 : " + b +
           ") {groups = array<i64: 1>, dilations = array<i64: 1>, acts = [#attune.map_act<none>], "
           "slopes = array<f64: 0.0>} -> " +
           maps + "\n";
  };
  return kernelText({{maps, dims}, {w}, {w}, {b}}, {{maps, dims}}, 1,
                    mix("m", "a0", "a1") + "    %e = tensor.empty(" + (n < 0 ? "%d0, %d0" : "") +
                        ") : " + maps + "\n    %s = linalg.softmax dimension(3) ins(%m : " + maps +
                        ") outs(%e : " + maps + ") -> " + maps + "\n" + mix("t", "s", "a2") +
                        "    attune.yield %t : " + maps + "\n");
}

TEST(HalideChains, TalkingHeads) {
  for (int64_t heads : {1, 6, 7})
    for (bool dynamic : {false, true}) {
      Agreement both(talkingHeads(heads, dynamic ? -1 : 37));
      for (int64_t n : dynamic ? std::vector<int64_t>{1, 16, 23, 64} : std::vector<int64_t>{37}) {
        SCOPED_TRACE(number(heads) + " heads, " + number(n) + (dynamic ? " dynamic" : ""));
        both.check({Array::random("f32", {2, heads, n, n}, 1),
                    Array::random("f32", {heads, heads, 1, 1}, 2),
                    Array::random("f32", {heads, heads, 1, 1}, 3),
                    Array::random("f32", {heads}, 4)},
                   {n});
      }
    }
}

} // namespace
