// ldmatrix, stmatrix and mma.sync. Fragments are laid out by the formulas of the PTX ISA, element
// by element, and products compared with plain sums in double.
#include "attune/test/ptxemu/tests/Harness.h"
#include <cmath>
#include <functional>

using namespace attune;
using namespace attune::ptx;

namespace {

using Place = std::pair<unsigned, unsigned>; // row, column

/// An element type: its width, and the bits of small integers.
struct Element {
  const char *name;
  unsigned bits;
  uint32_t (*encode)(int);
};
const Element f16{"f16", 16,
                  [](int v) -> uint32_t { return std::bit_cast<uint16_t>(_Float16(v)); }};
const Element bf16{"bf16", 16, [](int v) -> uint32_t { return f32(float(v)) >> 16; }};
const Element tf32{"tf32", 32, [](int v) -> uint32_t { return f32(float(v)); }};
const Element s8{"s8", 8, [](int v) -> uint32_t { return uint8_t(v); }};
// Signs and magnitudes up to 5.
uint32_t byteOf(int value, const uint8_t (&magnitudes)[6]) {
  return magnitudes[std::abs(value)] | (value < 0 ? 0x80 : 0);
}
const Element e4m3{"e4m3", 8, [](int v) { return byteOf(v, {0, 0x38, 0x40, 0x44, 0x48, 0x4a}); }};
const Element e5m2{"e5m2", 8, [](int v) { return byteOf(v, {0, 0x3c, 0x40, 0x42, 0x44, 0x45}); }};
const Element u8{"u8", 8, [](int v) -> uint32_t { return uint8_t(std::abs(v)); }};

struct Product {
  unsigned k;
  Element element;
  std::string sums; ///< f32, f16, s32
  std::function<Place(unsigned i, unsigned g, unsigned t)> a, b;
};

const std::vector<Product> &products() {
  using U = unsigned;
  static auto wide16a = [](U i, U g, U t) {
    return Place(i < 2 || (i >= 4 && i < 6) ? g : g + 8, t * 2 + (i & 1) + (i < 4 ? 0 : 8));
  };
  static auto wide16b = [](U i, U g, U t) { return Place(t * 2 + (i & 1) + (i < 2 ? 0 : 8), g); };
  static auto short16a = [](U i, U g, U t) { return Place(i < 2 ? g : g + 8, t * 2 + (i & 1)); };
  static auto short16b = [](U i, U g, U t) { return Place(t * 2 + i, g); };
  static auto wide32a = [](U i, U g, U t) { return Place(i % 2 ? g + 8 : g, i < 2 ? t : t + 4); };
  static auto wide32b = [](U i, U g, U t) { return Place(i ? t + 4 : t, g); };
  static auto short32a = [](U i, U g, U t) { return Place(i ? g + 8 : g, t); };
  static auto short32b = [](U, U g, U t) { return Place(t, g); };
  static auto wide8a = [](U i, U g, U t) {
    return Place(i < 4 || (i >= 8 && i < 12) ? g : g + 8, t * 4 + (i & 3) + (i < 8 ? 0 : 16));
  };
  static auto wide8b = [](U i, U g, U t) { return Place(t * 4 + (i & 3) + (i < 4 ? 0 : 16), g); };
  static auto short8a = [](U i, U g, U t) { return Place(i < 4 ? g : g + 8, t * 4 + (i & 3)); };
  static auto short8b = [](U i, U g, U t) { return Place(t * 4 + i, g); };
  static const std::vector<Product> all{
      {16, f16, "f32", wide16a, wide16b},   {16, f16, "f16", wide16a, wide16b},
      {16, bf16, "f32", wide16a, wide16b},  {8, f16, "f32", short16a, short16b},
      {8, bf16, "f32", short16a, short16b}, {8, tf32, "f32", wide32a, wide32b},
      {4, tf32, "f32", short32a, short32b}, {32, s8, "s32", wide8a, wide8b},
      {32, u8, "s32", wide8a, wide8b},      {16, s8, "s32", short8a, short8b},
      {32, e4m3, "f32", wide8a, wide8b},    {32, e5m2, "f32", wide8a, wide8b}};
  return all;
}

int valueOf(unsigned row, unsigned column, unsigned seed) {
  return int((row * 7 + column * 3 + seed) % 11) - 5;
}
int plain(const Element &element, int value) {
  return element.name == u8.name ? std::abs(value) : value;
}

/// Registers of a fragment: [register][lane].
std::vector<uint32_t> fragment(unsigned registers, const Element &element, unsigned seed,
                               const std::function<Place(unsigned, unsigned, unsigned)> &place) {
  std::vector<uint32_t> words(registers * 32);
  unsigned parts = 32 / element.bits;
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned i = 0; i < registers * parts; ++i) {
      auto [row, column] = place(i, lane / 4, lane % 4);
      uint32_t bits = element.encode(valueOf(row, column, seed));
      words[i / parts * 32 + lane] |= bits << (i % parts * element.bits);
    }
  return words;
}

std::string list(const char *prefix, unsigned first, unsigned count) {
  std::string text = "{";
  for (unsigned i = 0; i < count; ++i)
    text += rt::text(i ? ", " : "", prefix, first + i);
  return text + "}";
}

TEST(Products, AreThoseOfMatrices) {
  for (const Product &product : products()) {
    const unsigned aCount = product.k * product.element.bits / 64, bCount = aCount / 2,
                   cCount = product.sums == "f16" ? 2 : 4;
    std::vector<uint32_t> words = fragment(aCount, product.element, 1, product.a);
    for (uint32_t word : fragment(bCount, product.element, 5, product.b))
      words.push_back(word);
    auto placeC = [](unsigned i, unsigned g, unsigned t) {
      return Place(i < 2 ? g : g + 8, t * 2 + (i & 1));
    };
    const Element integer{"s32", 32, [](int v) { return uint32_t(v); }};
    const Element &sum = product.sums == "f16" ? f16 : product.sums == "f32" ? tf32 : integer;
    for (uint32_t word : fragment(cCount, sum, 9, placeC))
      words.push_back(word);
    words.resize(words.size() + cCount * 32);

    const unsigned inputs = aCount + bCount + cCount;
    std::string body = "mul.wide.u32 %d1, %r0, 4;\nadd.u64 %d0, %d0, %d1;\n";
    for (unsigned r = 0; r < inputs; ++r)
      body += rt::text("ld.global.b32 %r", r + 10, ", [%d0+", r * 128, "];\n");
    body += rt::text("mma.sync.aligned.m16n8k", product.k, ".row.col.", product.sums, ".",
                     product.element.name, ".", product.element.name, ".", product.sums, " ",
                     list("%r", 40, cCount), ", ", list("%r", 10, aCount), ", ",
                     list("%r", 10 + aCount, bCount), ", ",
                     list("%r", 10 + aCount + bCount, cCount), ";\n");
    for (unsigned r = 0; r < cCount; ++r)
      body += rt::text("st.global.b32 [%d0+", (inputs + r) * 128, "], %r", 40 + r, ";\n");
    Buffer<uint32_t> memory(words);
    Code code(head("sm_90", "8.4") + kernel(1, body));
    ASSERT_EQ(launch(code, "k", {}, memory.address), rt::cuda::Success) << body;

    std::vector<uint32_t> result = memory.values();
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned i = 0; i < 4; ++i) {
        auto [row, column] = placeC(i, lane / 4, lane % 4);
        int expected = valueOf(row, column, 9);
        for (unsigned k = 0; k < product.k; ++k)
          expected += plain(product.element, valueOf(row, k, 1)) *
                      plain(product.element, valueOf(k, column, 5));
        unsigned parts = 32 / sum.bits;
        uint32_t word = result[(inputs + i / parts) * 32 + lane] >> (i % parts * sum.bits);
        EXPECT_EQ(sum.bits == 16 ? word & 0xffff : word, sum.encode(expected))
            << body << " row " << row << " column " << column;
      }
  }
}

TEST(Products, AreRefusedInOtherForms) {
  if (!onInterpreter())
    GTEST_SKIP();
  for (const char *instruction :
       {"mma.sync.aligned.m16n8k16.row.row.f32.f16.f16.f32 {%r1, %r2, %r3, %r4}, {%r1, %r2, %r3, "
        "%r4}, {%r1, %r2}, {%r1, %r2, %r3, %r4};",
        "mma.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 {%r1, %r2, %r3, %r4}, {%r1, %r2, %r3, "
        "%r4}, {%r1, %r2}, {%r1, %r2, %r3, %r4};",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%r1, %r2, %r3}, {%r1, %r2, %r3, %r4}, "
        "{%r1, %r2}, {%r1, %r2, %r3, %r4};",
        "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%d1, %d2}, {%d1}, {%d1}, {%d1, %d2};"}) {
    Code code(head() + kernel(1, instruction));
    EXPECT_NE(code.error.find("is not interpreted"), std::string::npos)
        << instruction << code.error;
  }
}

/// Threads write a word each: tile[row][column] = row * 256 + column, rows of `pitch` 16-bit
/// elements.
const std::string fillTile =
    "mov.u32 %r10, tile;\nshl.b32 %r11, %r0, 4;\nadd.u32 %r12, %r10, %r11;\n"
    "shl.b32 %r13, %r0, 8;\nmad.lo.u32 %r13, %r13, 65536, %r13;\nadd.u32 %r13, %r13, 0x00010000;\n"
    "add.u32 %r14, %r13, 0x00020002;\nadd.u32 %r15, %r14, 0x00020002;\nadd.u32 %r16, %r15, "
    "0x00020002;\n"
    "st.shared.v4.b32 [%r12], {%r13, %r14, %r15, %r16};\nbar.sync 0;\n";
const std::string tile = ".shared .align 16 .b8 tile[1024];\n";

// Rows of all four matrices lie one after the other; lane l names row l.
TEST(Matrices, LoadAndTranspose) {
  for (bool transpose : {false, true}) {
    Buffer<uint32_t> memory(128);
    Code code(
        head() +
        kernel(1,
               fillTile + "ldmatrix.sync.aligned.m8n8.x4" + (transpose ? ".trans" : "") +
                   ".shared.b16 {%r20, %r21, %r22, %r23}, [%r12];\nmul.wide.u32 %d1, %r0, 16;\n"
                   "add.u64 %d0, %d0, %d1;\nst.global.v4.b32 [%d0], {%r20, %r21, %r22, %r23};",
               tile));
    ASSERT_EQ(launch(code, "k", {}, memory.address), rt::cuda::Success);
    std::vector<uint32_t> words = memory.values();
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned matrix = 0; matrix < 4; ++matrix)
        for (unsigned part = 0; part < 2; ++part) {
          unsigned row = lane / 4, column = lane % 4 * 2 + part;
          if (transpose)
            std::swap(row, column);
          EXPECT_EQ(words[lane * 4 + matrix] >> (16 * part) & 0xffff,
                    (matrix * 8 + row) * 256 + column)
              << lane;
        }
    if (onInterpreter()) {
      EXPECT_EQ(count("shared_wavefronts"), count("shared_ideal_wavefronts"));
    }
  }
}

TEST(Matrices, StoreWhatTheyLoad) {
  Buffer<uint32_t> memory(128);
  Code code(
      head("sm_90") +
      kernel(1,
             fillTile +
                 "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r20, %r21}, [%r12];\n"
                 "stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%r12+512], {%r20, "
                 "%r21};\nbar.sync 0;\n"
                 "mul.wide.u32 %d1, %r0, 16;\nadd.u64 %d0, %d0, %d1;\nsetp.lt.u32 %p1, %r0, 16;\n"
                 "@%p1 ld.shared.v4.b32 {%r1, %r2, %r3, %r4}, [%r12+512];\n"
                 "@%p1 st.global.v4.b32 [%d0], {%r1, %r2, %r3, %r4};",
             tile));
  ASSERT_EQ(launch(code, "k", {}, memory.address), rt::cuda::Success);
  std::vector<uint32_t> words = memory.values();
  for (unsigned row = 0; row < 16; ++row)
    for (unsigned column = 0; column < 8; ++column)
      EXPECT_EQ(words[row * 4 + column / 2] >> (16 * (column % 2)) & 0xffff,
                (row / 8 * 8 + column) * 256 + row % 8);
}

} // namespace
