#include "attune/passes/raise/ConstantSpectrum.h"

#include "attune/passes/canonicalize/ConstantEval.h"
#include "attune/passes/raise/Exponentials.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>
#include <complex>

using namespace mlir;

namespace attune {

using Spectrum = std::vector<std::complex<double>>;

/// Samples below this fraction of a signal's largest one are what rounding a spectrum to f32 leaves
/// of 0.
static constexpr double kRounding = 0x1p-21;

namespace {
/// Unscaled inverse transforms of one length, by its prime factors.
class Inverse {
public:
  explicit Inverse(size_t length) : roots(length) {
    for (size_t k = 0; k < length; ++k)
      roots[k] = std::polar(1.0, 2 * M_PI * double(k) / double(length));
  }

  Spectrum operator()(const Spectrum &x) const {
    Spectrum result(x.size());
    transform(x.data(), 1, result.data(), x.size());
    return result;
  }

private:
  using Complex = std::complex<double>;

  /// Plain products: the standard operator looks for infinities.
  static Complex times(Complex a, Complex b) {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
  }

  void transform(const Complex *in, size_t stride, Complex *out, size_t size) const {
    if (size == 1) {
      *out = *in;
      return;
    }
    size_t factor = 2;
    while (size % factor && factor * factor < size)
      ++factor;
    if (size % factor)
      factor = size;
    size_t rest = size / factor;
    for (size_t j = 0; j < factor; ++j)
      transform(in + j * stride, stride * factor, out + j * rest, rest);
    // `stride` is also what a root of this size is a power of the whole length's.
    Spectrum terms(factor);
    for (size_t k = 0; k < rest; ++k) {
      for (size_t j = 0; j < factor; ++j)
        terms[j] = times(out[j * rest + k], roots[j * k * stride]);
      for (size_t q = 0; q < factor; ++q) {
        Complex sum = terms[0];
        for (size_t j = 1; j < factor; ++j)
          sum += factor == 2 ? (q ? -terms[1] : terms[1])
                             : times(terms[j], roots[j * q % factor * rest * stride]);
        out[q * rest + k] = sum;
      }
    }
  }

  Spectrum roots;
};
} // namespace

std::optional<Signal> signalOfConstant(OpBuilder &builder, Location loc, Elements &elements,
                                       Sizes &sizes, Value real, Value imaginary, Value frequency,
                                       int64_t length) {
  auto element = dyn_cast<FloatType>(real.getType());
  Value channel;
  for (Value part : {real, imaginary})
    for (Value index : elements.freeIndices(part)) {
      if (index == frequency || index == channel)
        continue;
      if (channel)
        return std::nullopt;
      channel = index;
    }
  auto table = [&](Value part) {
    return buildTable(builder, loc, elements, sizes, part, /*exponential=*/false, channel,
                      frequency, builder.getF64Type());
  };
  auto isConstant = [&](Value part) {
    return llvm::all_of(elements.loads(part), [&](Value load) {
      Value tensor = elements.load(load)->tensor;
      return tensor && ConstantData::get(tensor);
    });
  };
  if (!element || !isConstant(real) || !isConstant(imaginary))
    return std::nullopt;
  std::optional<ConstantData> parts[2] = {ConstantData::get(table(real)),
                                          ConstantData::get(table(imaginary))};
  if (!parts[0] || !parts[1])
    return std::nullopt;
  int64_t rows = parts[0]->getType().getDimSize(0), bins = parts[0]->getType().getDimSize(1);
  auto value = [&](unsigned part, int64_t position) {
    return parts[part]->getFloat(parts[part]->isSplat() ? 0 : position);
  };
  Inverse invert(length);
  std::vector<std::vector<double>> samples(rows);
  std::vector<double> largest(rows, 0);
  for (int64_t row = 0; row < rows; ++row) {
    Spectrum x(length);
    for (int64_t k = 0; k < length; ++k) {
      bool mirrored = k >= bins;
      int64_t at = row * bins + (mirrored ? length - k : k);
      x[k] = {value(0, at), mirrored ? -value(1, at) : value(1, at)};
    }
    for (const auto &sample : invert(x))
      samples[row].push_back(sample.real() / double(length));
    for (double sample : samples[row])
      largest[row] = std::max(largest[row], std::abs(sample));
  }
  int64_t used = length;
  auto isZero = [&](int64_t t) {
    return llvm::all_of(llvm::seq(rows), [&](int64_t row) {
      return std::abs(samples[row][t]) <= kRounding * largest[row];
    });
  };
  while (used > 1 && isZero(used - 1))
    --used;
  std::vector<Cell> cells;
  for (const auto &row : samples)
    for (int64_t t = 0; t < used; ++t)
      cells.push_back(Cell{.f = row[t]});
  Value tensor = arith::ConstantOp::create(
      builder, loc, makeConstant(RankedTensorType::get({rows, used}, element), cells));
  Signal signal;
  signal.extent = sizes.constant(used);
  signal.before = sizes.constant(0);
  signal.position = elements.addIndex(signal.extent);
  signal.scalar =
      elements.at(tensor, {channel ? channel : elements.constantIndex(0), signal.position});
  return signal;
}

} // namespace attune
