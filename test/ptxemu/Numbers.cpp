#include "attune/test/ptxemu/Numbers.h"
#include <algorithm>
#include <cmath>

namespace attune::ptx {

/// `value` >= 0, in units of the last place, to an integer.
static double roundUnits(double value, Rounding rounding, bool negative) {
  double floor = std::floor(value), rest = value - floor;
  switch (rounding) {
  case Rounding::Nearest:
    return floor + (rest > 0.5 || (rest == 0.5 && std::fmod(floor, 2) == 1));
  case Rounding::NearestAway:
    return floor + (rest >= 0.5);
  case Rounding::Zero:
    return floor;
  case Rounding::Down:
    return floor + (negative && rest > 0);
  case Rounding::Up:
    return floor + (!negative && rest > 0);
  }
  return floor;
}

uint32_t encode(double value, const Format &format, Rounding rounding, bool saturate) {
  bool wide = format.exponentBits == 8 && format.fractionBits == 10; // tf32 in a 32-bit word
  int shift = wide ? 13 : 0, width = format.exponentBits + format.fractionBits;
  uint32_t sign = uint32_t(std::signbit(value)) << (width + shift);
  if (std::isnan(value))
    return format.nan;
  int bias = (1 << (format.exponentBits - 1)) - 1, smallest = 1 - bias;
  uint32_t infinity = ((1u << format.exponentBits) - 1) << format.fractionBits;
  // e4m3 has numbers in the last binade, up to the pattern below its NaN.
  uint32_t largest = format.infinite ? infinity - 1 : infinity + (1u << format.fractionBits) - 2;
  uint32_t overflow = format.infinite ? infinity : largest + 1;
  if (std::isinf(value))
    return sign | (saturate ? largest : overflow) << shift;
  double magnitude = std::fabs(value);
  if (magnitude == 0)
    return sign;
  int exponent = std::max(std::ilogb(magnitude), smallest);
  bool negative = std::signbit(value);
  double units =
      roundUnits(std::ldexp(magnitude, format.fractionBits - exponent), rounding, negative);
  // Adding the hidden bit carries into the exponent, also where rounding reached the next binade.
  double pattern = units + std::ldexp(double(exponent - smallest), format.fractionBits);
  bool away = rounding == Rounding::Nearest || rounding == Rounding::NearestAway ||
              (rounding == Rounding::Down && negative) || (rounding == Rounding::Up && !negative);
  if (pattern > largest)
    return sign | (saturate || !away ? largest : overflow) << shift;
  return sign | uint32_t(pattern) << shift;
}

double decode(uint32_t bits, const Format &format) {
  int bias = (1 << (format.exponentBits - 1)) - 1;
  uint32_t fraction = bits & ((1u << format.fractionBits) - 1);
  uint32_t exponent = bits >> format.fractionBits & ((1u << format.exponentBits) - 1);
  bool negative = bits >> (format.exponentBits + format.fractionBits) & 1,
       last = exponent == (1u << format.exponentBits) - 1;
  double value;
  if (last && (format.infinite || fraction == (1u << format.fractionBits) - 1))
    value = fraction ? NAN : INFINITY;
  else if (exponent == 0)
    value = std::ldexp(double(fraction), 1 - bias - format.fractionBits);
  else
    value = std::ldexp(double(fraction | 1u << format.fractionBits),
                       int(exponent) - bias - format.fractionBits);
  return negative ? -value : value;
}

const std::array<float, 65536> halfValues = [] {
  std::array<float, 65536> values;
  for (uint32_t i = 0; i < values.size(); ++i)
    values[i] = float(decode(i, half));
  return values;
}();

double addSticky(double a, double b) {
  double sum = a + b;
  if (!std::isfinite(sum))
    return sum;
  double shadow = sum - a, error = (a - (sum - shadow)) + (b - shadow);
  uint64_t bits = std::bit_cast<uint64_t>(sum);
  if (error != 0 && !(bits & 1)) // towards the exact sum: the odd neighbour lies on that side
    bits += (error > 0) == (sum > 0) ? 1 : -1;
  return std::bit_cast<double>(bits);
}

float flush(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  return bits & 0x7f800000 ? value : std::bit_cast<float>(bits & 0x80000000);
}

} // namespace attune::ptx
