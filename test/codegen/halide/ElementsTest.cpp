#include "Agreement.h"

#include <cmath>

using namespace attune;
using namespace attune::test;

namespace {

/// An elementwise kernel of two [9, 19] tensors of `type`; `body` computes `%r` of type `result`.
std::string elementwise(const std::string &type, const std::string &result,
                        const std::string &body) {
  std::string in = "tensor<9x19x" + type + ">", out = "tensor<9x19x" + result + ">";
  return kernelText({{in}, {in}}, {{out}}, 0,
                    "    %empty = tensor.empty() : " + out +
                        "\n    %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, "
                        "affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], "
                        "iterator_types = [\"parallel\", \"parallel\"]} ins(%a0, %a1 : " +
                        in + ", " + in + ") outs(%empty : " + out + ") {\n    ^bb0(%a: " + type +
                        ", %b: " + type + ", %o: " + result + "):\n" + body +
                        "      linalg.yield %r : " + result + " } -> " + out +
                        "\n    attune.yield %y : " + out + "\n");
}

struct ElementCase {
  std::string type, result, body;
  double tolerance = 0;
};

TEST(HalideElements, EveryTypeAndOperator) {
  std::vector<ElementCase> cases;
  for (std::string type : {"i8", "i16", "i32", "i64"}) {
    std::string t = " : " + type + "\n";
    cases.push_back({type, type,
                     "      %s = arith.addi %a, %b" + t + "      %m = arith.muli %s, %a" + t +
                         "      %u = arith.maxui %m, %b" + t + "      %v = arith.minsi %u, %s" + t +
                         "      %x = arith.xori %v, %a" + t + "      %c3 = arith.constant 3" + t +
                         "      %h = arith.shrsi %x, %c3" + t + "      %q = arith.shrui %m, %c3" +
                         t + "      %d = arith.divsi %h, %c3" + t +
                         "      %g = arith.remui %q, %c3" + t + "      %r = arith.subi %d, %g" +
                         t});
    cases.push_back({type, "i1", "      %r = arith.cmpi ult, %a, %b" + t});
    cases.push_back({type, "f32",
                     "      %s = arith.subi %a, %b" + t + "      %r = arith.uitofp %s : " + type +
                         " to f32\n"});
  }
  for (std::string type : {"f32", "f64"}) {
    std::string t = " : " + type + "\n";
    cases.push_back({type, type,
                     "      %m = arith.maximumf %a, %b" + t + "      %n = arith.minnumf %m, %b" +
                         t + "      %f = math.floor %a" + t + "      %g = math.absf %n" + t +
                         "      %s = math.sqrt %g" + t + "      %x = math.exp %f" + t +
                         "      %y = arith.mulf %s, %x" + t + "      %r = math.copysign %y, %a" + t,
                     1e-6});
    cases.push_back({type, type,
                     "      %e = math.roundeven %a" + t + "      %t = math.tanh %e" + t +
                         "      %r = arith.divf %t, %b" + t,
                     1e-6});
    for (std::string predicate : {"oeq", "ueq", "ult", "uge", "uno", "ord", "une", "one"})
      cases.push_back({type, "i1", "      %r = arith.cmpf " + predicate + ", %a, %b" + t});
  }
  cases.push_back(
      {"i1", "i1", "      %p = arith.andi %a, %b : i1\n      %r = arith.xori %p, %a : i1\n"});
  cases.push_back({"i1", "f32", "      %r = arith.uitofp %a : i1 to f32\n"});
  cases.push_back({"f16", "f32",
                   "      %x = arith.extf %a : f16 to f32\n      %y = arith.extf %b : f16 "
                   "to f32\n      %r = arith.mulf %x, %y : f32\n"});
  cases.push_back({"f32", "bf16",
                   "      %s = arith.addf %a, %b : f32\n      %r = arith.truncf %s : "
                   "f32 to bf16\n"});
  cases.push_back({"f32", "i8", "      %r = arith.fptosi %a : f32 to i8\n"});
  cases.push_back({"i64", "i16", "      %r = arith.trunci %a : i64 to i16\n"});
  cases.push_back({"i8", "i64", "      %r = arith.extsi %b : i8 to i64\n"});
  for (const ElementCase &c : cases) {
    SCOPED_TRACE(c.type + " to " + c.result + ":\n" + c.body);
    Array a = Array::random(c.type, {9, 19}, 1, -9, 9),
          b = Array::random(c.type, {9, 19}, 2, -9, 9);
    if (c.type == "i1")
      a = Array::random("i1", {9, 19}, 1, 0, 2), b = Array::random("i1", {9, 19}, 2, 0, 2);
    if (c.type[0] == 'f' && c.result == "i1") {
      for (int64_t i : {3, 20, 45})
        a.set(i, NAN), b.set(i + 1, NAN), b.set(i + 2, a[i + 2]);
    }
    Agreement(elementwise(c.type, c.result, c.body)).check({a, b}, {}, c.tolerance);
  }
}

TEST(HalideElements, ViewsAndSeveralResults) {
  // Transposed, sliced with strides, padded, inserted, reshaped; the transpose is a result too.
  std::string text = kernelText(
      {{"tensor<6x?xf32>", {0}}, {"tensor<2x3xf32>"}},
      {{"tensor<?x6xf32>", {0}}, {"tensor<3x4xf32>"}}, 1,
      "    %z = arith.constant 2.0 : f32\n    %e = tensor.empty(%d0) : tensor<?x6xf32>\n"
      "    %t = linalg.transpose ins(%a0 : tensor<6x?xf32>) outs(%e : tensor<?x6xf32>) permutation "
      "= [1, "
      "0]\n    %s = tensor.extract_slice %a0[1, 0] [3, 2] [2, 1] : tensor<6x?xf32> to "
      "tensor<3x2xf32>\n"
      "    %p = tensor.pad %s low[0, 1] high[0, 1] {\n    ^bb0(%i: index, %j: index):\n"
      "      tensor.yield %z : f32\n    } : tensor<3x2xf32> to tensor<3x4xf32>\n"
      "    %q = tensor.insert_slice %a1 into %p[1, 1] [2, 3] [1, 1] : tensor<2x3xf32> into "
      "tensor<3x4xf32>\n    attune.yield %t, %q : tensor<?x6xf32>, tensor<3x4xf32>\n");
  Agreement both(text);
  for (int64_t n : {2, 5, 16, 33})
    both.check({Array::random("f32", {6, n}, 1), Array::random("f32", {2, 3}, 2)}, {n}, 0);
}

TEST(HalideElements, ReductionsOfEveryKind) {
  for (std::string type : {"i32", "i64", "f64", "f32"})
    for (std::string combiner : {"add", "max", "mul"}) {
      bool isFloat = type[0] == 'f';
      std::string op = combiner == "max" ? isFloat ? "arith.maximumf" : "arith.maxsi"
                                         : "arith." + combiner + (isFloat ? "f" : "i");
      for (std::string keep : {"i", "j"}) {
        std::string out = "tensor<?x" + type + ">";
        std::string text = kernelText(
            {{"tensor<?x?x" + type + ">", {0, 1}}, {out, {keep == "i" ? 0 : 1}}},
            {{out, {keep == "i" ? 0 : 1}}}, 2,
            "    %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, "
            "affine_map<(i, j) -> (" +
                keep + ")>], iterator_types = [\"" + (keep == "i" ? "parallel" : "reduction") +
                "\", \"" + (keep == "i" ? "reduction" : "parallel") + "\"]} ins(%a0 : tensor<?x?x" +
                type + ">) outs(%a1 : " + out + ") {\n    ^bb0(%v: " + type + ", %o: " + type +
                "):\n      %r = " + op + " %o, %v : " + type + "\n      linalg.yield %r : " + type +
                " } -> " + out + "\n    attune.yield %y : " + out + "\n");
        SCOPED_TRACE(op + " over all but " + keep);
        Agreement both(text);
        for (auto [rows, columns] : {std::pair{1, 1}, {3, 5}, {17, 16}, {9, 67}})
          both.check({Array::random(type, {rows, columns}, 1, -2, 2),
                      Array::random(type, {keep == "i" ? rows : columns}, 2, -2, 2)},
                     {rows, columns}, 1e-5);
      }
    }
}

TEST(HalideElements, RefusesWhatHasNoCounterpart) {
  // An index that is checked at run time.
  std::string text = kernelText(
      {{"tensor<4xf32>"}, {"tensor<3xi64>"}}, {{"tensor<3xf32>"}}, 0,
      "    %e = tensor.empty() : tensor<3xf32>\n    %y = linalg.generic {indexing_maps = "
      "[affine_map<(i) -> "
      "(i)>, affine_map<(i) -> (i)>], iterator_types = [\"parallel\"]} ins(%a1 : tensor<3xi64>) "
      "outs(%e : "
      "tensor<3xf32>) {\n    ^bb0(%k: i64, %o: f32):\n      %at = arith.index_cast %k : i64 to "
      "index\n"
      "      %c4 = arith.constant 4 : index\n      %in = arith.cmpi ult, %at, %c4 : index\n"
      "      cf.assert %in, \"outside\"\n      %v = tensor.extract %a0[%at] : tensor<4xf32>\n"
      "      linalg.yield %v : f32 } -> tensor<3xf32>\n    attune.yield %y : tensor<3xf32>\n");
  Agreement both(text);
  EXPECT_FALSE(both.halide.matched());
}

} // namespace
