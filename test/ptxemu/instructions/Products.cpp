// mma.sync: D = A * B + C on fragments of a warp; f16, bf16, tf32, e4m3, e5m2 with f32 (f16 also
// with f16) sums, s8 and u8 with s32. Products are exact, sums in f32 in the order of k.
#include "attune/test/ptxemu/Lanes.h"
#include <algorithm>

namespace attune::ptx {

namespace {
enum Element : uint8_t { F16, BF16, TF32, E4M3, E5M2, S8, U8 };

/// What Program::lists holds before the registers D, A, B, C.
struct Shape {
  uint32_t k, a, b;    ///< Element of A and B
  uint32_t narrowSums; ///< f16 C and D
  uint32_t saturates;
};

constexpr unsigned widths[] = {16, 16, 32, 8, 8, 8, 8};
} // namespace

/// The value of part `part` of a register.
template <class T> static T value(uint32_t word, unsigned part, uint32_t element) {
  uint32_t bits = word >> (part * widths[element] % 32);
  switch (element) {
  case F16:
    return T(halfToFloat(uint16_t(bits)));
  case BF16:
    return T(brainToFloat(uint16_t(bits)));
  case TF32: // the lower bits are not read
    return T(std::bit_cast<float>(word & ~0x1fffu));
  case E4M3:
    return T(decode(bits & 255, e4m3));
  case E5M2:
    return T(decode(bits & 255, e5m2));
  case S8:
    return T(int8_t(bits));
  default:
    return T(uint8_t(bits));
  }
}

template <class T> static T clampSum(T sum, bool) { return sum; }
template <> int64_t clampSum(int64_t sum, bool saturates) {
  return saturates ? std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX) : sum;
}

/// Lane l holds rows l/4 and l/4 + 8 of A and C, column l/4 of B, and neighbouring k or columns by
/// l%4.
template <class T> static void multiply(Warp &warp, const Instruction &i) {
  if (warp.mask != ~0u)
    warp.fault(Fault::Misuse, "all 32 lanes must take part");
  const uint32_t *words = &warp.program.lists[i.list];
  const Shape shape{words[0], words[1], words[2], words[3], words[4]};
  const unsigned parts = 32 / widths[shape.a], aCount = shape.k / parts / 2, bCount = aCount / 2;
  const unsigned sums = shape.narrowSums ? 2 : 4;
  const uint32_t *dRows = words + 5, *aRows = dRows + sums, *bRows = aRows + aCount,
                 *cRows = bRows + bCount;
  T a[16][32], b[32][8], c[16][8];
  auto read = [&](uint32_t row, unsigned lane) { return warp.row<uint32_t>(row)[lane]; };
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned group = lane / 4, within = lane % 4;
    for (unsigned r = 0; r < aCount; ++r)
      for (unsigned p = 0; p < parts; ++p)
        a[group + 8 * (r & 1)][within * parts + p + 4 * parts * (r >> 1)] =
            value<T>(read(aRows[r], lane), p, shape.a);
    for (unsigned r = 0; r < bCount; ++r)
      for (unsigned p = 0; p < parts; ++p)
        b[within * parts + p + 4 * parts * r][group] = value<T>(read(bRows[r], lane), p, shape.b);
    for (unsigned r = 0; r < 4; ++r) {
      uint32_t word = read(cRows[shape.narrowSums ? r / 2 : r], lane);
      T &sum = c[group + 8 * (r / 2)][within * 2 + r % 2];
      if (shape.narrowSums)
        sum = T(halfToFloat(uint16_t(word >> (16 * (r % 2)))));
      else if constexpr (std::is_same_v<T, float>)
        sum = std::bit_cast<float>(word);
      else
        sum = int32_t(word);
    }
  }
  for (unsigned row = 0; row < 16; ++row)
    for (unsigned k = 0; k < shape.k; ++k)
      for (unsigned column = 0; column < 8; ++column)
        c[row][column] += a[row][k] * b[k][column];
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned r = 0; r < 4; ++r) {
      T sum = clampSum(c[lane / 4 + 8 * (r / 2)][lane % 4 * 2 + r % 2], shape.saturates);
      if (shape.narrowSums) {
        uint32_t &word = warp.row<uint32_t>(dRows[r / 2])[lane];
        uint32_t bits = floatToHalf(double(sum));
        word = r % 2 ? (word & 0xffff) | bits << 16 : bits;
      } else if constexpr (std::is_same_v<T, float>) {
        warp.row<uint32_t>(dRows[r])[lane] = std::bit_cast<uint32_t>(sum);
      } else {
        warp.row<uint32_t>(dRows[r])[lane] = uint32_t(sum);
      }
    }
}

static uint32_t elementOf(Decoder &d, const std::string &type) {
  static constexpr const char *names[] = {"f16", "bf16", "tf32", "e4m3", "e5m2", "s8", "u8"};
  for (uint32_t element = 0; element < std::size(names); ++element)
    if (type == names[element])
      return element;
  d.unsupported("type .", type);
}

static Run decodeProduct(Decoder &d) {
  d.requireOneOf({"sync"});
  d.requireOneOf({"aligned"});
  const std::string shapeName = d.takePrefix("m16n8k");
  if (shapeName.empty())
    d.unsupported("the shape");
  d.requireOneOf({"row"});
  d.requireOneOf({"col"});
  Shape shape{};
  shape.k = uint32_t(std::stoul(shapeName.substr(6)));
  shape.saturates = d.take("satfinite");
  d.take("kind::f8f6f4");
  const std::string result = d.next(), a = d.next(), b = d.next(), sum = d.next();
  shape.a = elementOf(d, a);
  shape.b = elementOf(d, b);
  const unsigned width = widths[shape.a];
  const bool integer = shape.a >= S8;
  shape.narrowSums = result == "f16";
  bool sumsFit = result == sum &&
                 (integer ? result == "s32" : result == "f32" || (result == "f16" && a == "f16"));
  bool elementsFit =
      widths[shape.b] == width && (shape.b >= S8) == integer && (width == 8 || a == b);
  bool kFits = shape.k * width == 256 || shape.k * width == 128;
  if (!sumsFit || !elementsFit || !kFits || (shape.saturates && !integer))
    d.unsupported("the combination of types");
  d.out.list = uint32_t(d.program.lists.size());
  for (uint32_t word : {shape.k, shape.a, shape.b, shape.narrowSums, shape.saturates})
    d.program.lists.push_back(word);
  const unsigned sums = shape.narrowSums ? 2 : 4, aCount = shape.k * width / 64;
  bool fits = d.vector(Type::B32, true) == sums;
  fits &= d.vector(Type::B32, false) == aCount;
  fits &= d.vector(Type::B32, false) == aCount / 2;
  fits &= d.vector(Type::B32, false) == sums;
  if (!fits)
    d.unsupported("the number of registers");
  return integer ? multiply<int64_t> : multiply<float>;
}

void addProducts(InstructionSet &set) { set.emplace("mma", decodeProduct); }

} // namespace attune::ptx
