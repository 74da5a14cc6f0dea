//===- Numbers.h - Floating-point formats narrower than 32 bits, and rounding -----------------===//
//
// One rounding function serves every format. Values are passed as double; where a double can not
// hold an exact sum or product, `addSticky` keeps enough of it that a second rounding is right.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_NUMBERS_H
#define ATTUNE_TEST_PTXEMU_NUMBERS_H

#include <array>
#include <bit>
#include <cstdint>

namespace attune::ptx {

enum class Rounding : uint8_t { Nearest, NearestAway, Zero, Down, Up };

struct Format {
  int exponentBits, fractionBits;
  bool infinite; ///< has infinities; otherwise overflow gives NaN or the largest number
  uint32_t nan;  ///< the NaN that conversions give
};
inline constexpr Format half{5, 10, true, 0x7fff}, brain{8, 7, true, 0x7fff},
    single{8, 23, true, 0x7fffffff}, tensor32{8, 10, true, 0x7fffffff}, e4m3{4, 3, false, 0x7f},
    e5m2{5, 2, true, 0x7f};

/// The bits of `value` in `format`. With `saturate`, finite numbers stay finite. The fraction of
/// tensor32 takes the upper bits of a 32-bit word.
uint32_t encode(double value, const Format &format, Rounding rounding = Rounding::Nearest,
                bool saturate = false);
double decode(uint32_t bits, const Format &format);

extern const std::array<float, 65536> halfValues;
inline float halfToFloat(uint16_t bits) { return halfValues[bits]; }
inline float brainToFloat(uint16_t bits) { return std::bit_cast<float>(uint32_t(bits) << 16); }
inline uint16_t floatToHalf(double value) { return uint16_t(encode(value, half)); }
inline uint16_t floatToBrain(double value) { return uint16_t(encode(value, brain)); }

/// a + b rounded to odd: rounding it again to half the precision gives what one rounding would.
double addSticky(double a, double b);

/// Flushes subnormal numbers to zero of the same sign.
float flush(float value);

} // namespace attune::ptx
#endif
