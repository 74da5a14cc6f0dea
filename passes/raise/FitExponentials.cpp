#include "attune/passes/raise/FitExponentials.h"

#include "attune/passes/raise/ConstantLaws.h"
#include "attune/passes/raise/Exponentials.h"

#include <cmath>
#include <complex>

using namespace mlir;

namespace attune {

static constexpr int64_t kMaxStates = 16;
/// Two unknowns per state: with this many taps for each, a third of them is predicted.
static constexpr int64_t kTapsPerState = 3;
/// Fits of larger kernels would take seconds.
static constexpr int64_t kMaxElements = 1 << 22;
/// Allowed error, in units of rounding of the largest tap.
static constexpr double kRoundings = 8;
/// Terms that cancel would lose digits in the recurrence.
static constexpr double kMaxGrowth = 8;

namespace {
using Vector = std::vector<double>;

/// Columns of equal length.
using Matrix = std::vector<Vector>;

struct Rounding {
  bool isSingle;
  double operator()(double value) const { return isSingle ? double(float(value)) : value; }
  double unit() const { return isSingle ? 0x1p-23 : 0x1p-52; }
};
} // namespace

static double dot(const Vector &a, const Vector &b) {
  double sum = 0;
  for (auto [x, y] : llvm::zip(a, b))
    sum += x * y;
  return sum;
}

/// Least squares by Gram-Schmidt, each column twice; null if the columns are dependent.
static std::optional<Vector> solve(Matrix columns, Vector right) {
  size_t count = columns.size();
  Matrix upper(count, Vector(count, 0));
  Vector result(count);
  for (size_t j = 0; j < count; ++j) {
    double before = std::sqrt(dot(columns[j], columns[j]));
    for (unsigned pass = 0; pass < 2; ++pass)
      for (size_t i = 0; i < j; ++i) {
        double along = dot(columns[i], columns[j]);
        upper[i][j] += along;
        for (auto [x, y] : llvm::zip(columns[j], columns[i]))
          x -= along * y;
      }
    double norm = std::sqrt(dot(columns[j], columns[j]));
    if (!(norm > 1e-13 * before))
      return std::nullopt;
    upper[j][j] = norm;
    for (double &x : columns[j])
      x /= norm;
    result[j] = dot(columns[j], right);
    for (auto [x, y] : llvm::zip(right, columns[j]))
      x -= result[j] * y;
  }
  for (size_t j = count; j-- > 0;) {
    for (size_t i = j + 1; i < count; ++i)
      result[j] -= upper[j][i] * result[i];
    result[j] /= upper[j][j];
  }
  return result;
}

/// Roots of `x^n + c[n-1] x^(n-1) + ... + c[0]`, all at once (Durand-Kerner); null unless they are
/// real and within [-1, 1].
static std::optional<Vector> decaysOf(const Vector &coefficients) {
  using Complex = std::complex<double>;
  size_t count = coefficients.size();
  std::vector<Complex> roots(count);
  for (size_t n = 0; n < count; ++n)
    roots[n] = std::polar(0.9, 0.4 + 2 * M_PI * double(n) / double(count));
  for (unsigned round = 0; round < 1000; ++round) {
    double moved = 0;
    for (size_t n = 0; n < count; ++n) {
      Complex value = 1, others = 1;
      for (size_t i = count; i-- > 0;)
        value = value * roots[n] + coefficients[i];
      for (size_t i = 0; i < count; ++i)
        if (i != n)
          others *= roots[n] - roots[i];
      if (others == Complex(0))
        return std::nullopt;
      Complex step = value / others;
      roots[n] -= step;
      moved = std::max(moved, std::abs(step));
    }
    if (!(moved > 1e-15))
      break;
  }
  Vector result;
  for (Complex root : roots) {
    // The taps decide whether that was close enough.
    if (!(std::abs(root.imag()) < 1e-6 && std::abs(root.real()) <= 1))
      return std::nullopt;
    result.push_back(root.real());
  }
  return result;
}

namespace {
struct Channel {
  Vector decay, weight;
  bool vanishes = true;
};
} // namespace

/// The fit with `count` exponentials, if it gives back all taps.
static std::optional<Channel> fitChannel(const Vector &taps, size_t count, Rounding round) {
  Channel result;
  double largest = 0;
  for (double tap : taps) {
    if (!std::isfinite(tap))
      return std::nullopt;
    largest = std::max(largest, std::abs(tap));
  }
  if (largest == 0)
    return result;
  if (count == 0)
    return std::nullopt;
  // Every tap is the same combination of those before it.
  Matrix shifted;
  size_t equations = taps.size() - count;
  for (size_t n = 0; n < count; ++n)
    shifted.emplace_back(taps.begin() + n, taps.begin() + n + equations);
  Vector next;
  for (size_t n = count; n < taps.size(); ++n)
    next.push_back(-taps[n]);
  std::optional<Vector> polynomial = solve(std::move(shifted), next);
  std::optional<Vector> decays = polynomial ? decaysOf(*polynomial) : std::nullopt;
  if (!decays)
    return std::nullopt;
  Matrix powers;
  for (double &decay : *decays) {
    decay = round(decay);
    Vector &column = powers.emplace_back(taps.size(), 1.0);
    for (size_t t = 1; t < taps.size(); ++t)
      column[t] = column[t - 1] * decay;
  }
  std::optional<Vector> weights = solve(powers, taps);
  if (!weights)
    return std::nullopt;
  Vector sum(taps.size(), 0);
  double growth = 0, rest = 0;
  for (auto [decay, weight, power] : llvm::zip(*decays, *weights, powers)) {
    weight = round(weight);
    for (auto [x, y] : llvm::zip(sum, power))
      x += weight * y;
    growth += std::abs(weight);
    rest += std::abs(weight * power.back() * decay) / (1 - std::abs(decay));
  }
  double allowed = kRoundings * round.unit() * largest;
  if (!(growth <= kMaxGrowth * largest) || llvm::any_of(llvm::zip(sum, taps), [&](auto pair) {
        return !(std::abs(std::get<0>(pair) - std::get<1>(pair)) <= allowed);
      }))
    return std::nullopt;
  return Channel{*decays, *weights, rest <= allowed};
}

std::optional<ConstantTaps> constantTaps(OpBuilder &builder, Location loc, Elements &elements,
                                         Sizes &sizes, Value kernel, Value channel,
                                         Value position) {
  auto channels = Sizes::asConstant(elements.extentOf(channel));
  auto count = Sizes::asConstant(elements.extentOf(position));
  auto type = dyn_cast<FloatType>(kernel.getType());
  if (!channels || !count || !type || *channels < 1 || *count < kTapsPerState ||
      *channels > kMaxElements / *count || (!type.isF32() && !type.isF64()))
    return std::nullopt;
  for (Value load : elements.loads(kernel)) {
    Value tensor = elements.load(load)->tensor;
    if (!tensor || !ConstantData::get(tensor))
      return std::nullopt;
  }
  std::optional<ConstantData> data =
      ConstantData::get(buildTable(builder, loc, elements, sizes, kernel, /*exponential=*/false,
                                   channel, position, builder.getF64Type()));
  if (!data)
    return std::nullopt;
  ConstantTaps taps{*channels, *count, type.isF32(), {}};
  for (int64_t n = 0; n < *channels * *count; ++n)
    taps.values.push_back(data->getFloat(data->isSplat() ? 0 : n));
  return taps;
}

std::optional<ExponentialFit> fitExponentials(const ConstantTaps &taps) {
  std::vector<Channel> fits;
  size_t most = std::min(kMaxStates, taps.count / kTapsPerState), states = 1;
  for (int64_t row = 0; row < taps.channels; ++row) {
    auto first = taps.values.begin() + row * taps.count;
    Vector own(first, first + taps.count);
    // The count of the channels before it first; fewer are enough where terms coincide.
    std::optional<Channel> fit = fitChannel(own, states, Rounding{taps.isSingle});
    for (size_t count = 0; !fit && count <= most; ++count)
      fit = fitChannel(own, count, Rounding{taps.isSingle});
    if (!fit)
      return std::nullopt;
    states = std::max(states, fit->decay.size());
    fits.push_back(std::move(*fit));
  }
  ExponentialFit result{int64_t(states), {}, {}, true};
  for (Channel &fit : fits) {
    fit.decay.resize(states, 0);
    fit.weight.resize(states, 0);
    llvm::append_range(result.decay, fit.decay);
    llvm::append_range(result.weight, fit.weight);
    result.vanishes &= fit.vanishes;
  }
  return result;
}

} // namespace attune
