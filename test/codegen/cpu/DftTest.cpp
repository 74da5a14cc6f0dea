#include "KernelHarness.h"

#include <cmath>
#include <complex>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

struct Problem {
  std::vector<int64_t> batch; ///< extents around the axis
  int64_t axis, extent, length, parts;
  bool inverse, onesided, dynamic = false;

  std::vector<int64_t> shape(int64_t along, int64_t last) const {
    std::vector<int64_t> result(batch);
    result.insert(result.begin() + axis, along);
    result.push_back(last);
    return result;
  }
  std::vector<int64_t> input() const { return shape(extent, parts); }
  std::vector<int64_t> output() const {
    return shape(onesided && !inverse ? length / 2 + 1 : length, onesided && inverse ? 1 : 2);
  }
};

std::string typeOf(std::vector<int64_t> shape, bool dynamic) {
  std::string text = "tensor<";
  for (size_t axis = 0; axis < shape.size(); ++axis)
    text += (dynamic && axis + 1 < shape.size() ? "?" : std::to_string(shape[axis])) + "x";
  return text + "f32>";
}

/// Sizes: those of the input, of the output (without the last axis), then the length.
std::string module(const Problem &p) {
  std::string x = typeOf(p.input(), p.dynamic), y = typeOf(p.output(), p.dynamic);
  int64_t rank = p.batch.size() + 1;
  std::string indices, arguments, block, inputDims, resultDims;
  for (int64_t i = 0; i < 2 * rank + 1; ++i) {
    std::string name = "%i" + std::to_string(i), comma = i ? ", " : "";
    indices += comma + name;
    arguments += ", " + name + ": index";
    block += ", " + name + "b: index";
    if (i < rank)
      inputDims += comma + std::to_string(i);
    else if (i < 2 * rank)
      resultDims += (i > rank ? ", " : "") + name;
  }
  std::string length = p.dynamic ? "%i" + std::to_string(2 * rank) + "b" : "%n";
  std::string attributes = "{axis = " + std::to_string(p.axis) + " : i64" +
                           (p.inverse ? ", inverse = true" : "") +
                           (p.onesided ? ", onesided = true" : "") + "}";
  return "func.func @main(%x: " + x + arguments + ") -> " + y +
         " {\n  %0 = attune.kernel ins(%x : " + x + ") dims(" + indices + ")" +
         (p.dynamic ? " result_dims(" + resultDims + ")" : "") +
         " attributes {input_dims = array<i64" + (p.dynamic ? ": " + inputDims : "") + ">} -> " +
         y + " {\n  ^bb0(%xb: " + x + block + "):\n    %n = arith.constant " +
         std::to_string(p.length) + " : index\n    %y = attune.dft %xb length(" + length + ") " +
         attributes + " : " + x + " -> " + y + "\n    attune.yield %y : " + y +
         "\n  }\n  return %0 : " + y + "\n}\n";
}

std::vector<std::complex<double>> transform(std::vector<std::complex<double>> x, bool inverse) {
  int64_t n = x.size();
  std::vector<std::complex<double>> y(n);
  for (int64_t k = 0; k < n; ++k) {
    for (int64_t t = 0; t < n; ++t)
      y[k] += x[t] * std::polar(1.0, (inverse ? 2 : -2) * M_PI * double(k * t % n) / double(n));
    if (inverse)
      y[k] /= double(n);
  }
  return y;
}

void check(const Problem &p) {
  Array x = Array::random("f32", p.input(), 3), want = Array::zeros("f32", p.output());
  int64_t before = 1, after = 1;
  for (size_t i = 0; i < p.batch.size(); ++i)
    (int64_t(i) < p.axis ? before : after) *= p.batch[i];
  int64_t results = p.output()[p.axis], last = p.output().back();
  for (int64_t i = 0; i < before; ++i)
    for (int64_t j = 0; j < after; ++j) {
      std::vector<std::complex<double>> signal(p.length);
      int64_t used = p.onesided && p.inverse ? p.length / 2 + 1 : p.length;
      for (int64_t t = 0; t < std::min(p.extent, used); ++t) {
        int64_t at = ((i * p.extent + t) * after + j) * p.parts;
        signal[t] = {x[at], p.parts == 2 ? x[at + 1] : 0};
      }
      if (p.onesided && p.inverse) {
        for (int64_t k = 0; k < used; ++k) {
          if (k * 2 % p.length == 0)
            signal[k] = signal[k].real();
          else
            signal[p.length - k] = std::conj(signal[k]);
        }
      }
      signal = transform(signal, p.inverse);
      for (int64_t k = 0; k < results; ++k) {
        int64_t at = ((i * results + k) * after + j) * last;
        want.set(at, signal[k].real());
        if (last == 2)
          want.set(at + 1, signal[k].imag());
      }
    }
  std::vector<int64_t> sizes;
  for (auto shape : {p.input(), p.output()})
    sizes.insert(sizes.end(), shape.begin(), shape.end() - 1);
  sizes.push_back(p.length);
  std::string text = module(p);
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(text, *createDftEmitter(), target);
    ASSERT_TRUE(kernel.matched()) << target.cpu << text;
    KernelRun one = kernel.run({x}, sizes, 1), two = kernel.run({x}, sizes, 2);
    EXPECT_EQ(one.code, 0);
    EXPECT_LE(error(one.outputs[0], want), 2e-5) << target.cpu << text;
    EXPECT_TRUE(one.outputs[0] == two.outputs[0]) << target.cpu;
  }
}

} // namespace

TEST(DftEmitter, ComplexLengths) {
  for (int64_t n : {1, 2, 5, 12, 35, 63, 64})
    check({{2, 3}, 1, n, n, 2, n % 2 == 1, false});
}

TEST(DftEmitter, RealLengths) {
  for (int64_t n : {1, 2, 9, 17, 128})
    check({{19}, 1, n, n, 1, false, true});
}

TEST(DftEmitter, ToReal) {
  for (int64_t n : {1, 2, 15, 31, 90})
    check({{17}, 1, n / 2 + 1, n, 2, true, true});
}

TEST(DftEmitter, TwoSidedOfReal) {
  check({{5, 7}, 0, 8, 8, 1, false, false});
  check({{5}, 1, 15, 15, 1, true, false});
  check({{5}, 1, 16, 16, 1, true, false});
}

TEST(DftEmitter, CutAndContinued) {
  check({{3}, 1, 10, 6, 2, false, false});
  check({{3}, 1, 5, 12, 1, false, true});
  check({{18}, 0, 9, 12, 2, true, true});
}

TEST(DftEmitter, Dynamic) {
  for (int64_t n : {1, 8, 45, 77})
    check({{2, 5}, 1, n, n, 2, false, false, /*dynamic=*/true});
  check({{20}, 1, 12, 24, 1, false, true, true});
  check({{20}, 1, 13, 25, 2, true, true, true});
}
