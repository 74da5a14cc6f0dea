// ldmatrix and stmatrix: 8x8 matrices of 16 bits, one row of 16 bytes per lane's address.
#include "attune/test/ptxemu/Lanes.h"
#include <cstring>

namespace attune::ptx {

static constexpr uint32_t transposed = 1;

/// The rows of all matrices, by the lanes that name them.
static std::array<Place, 32> rowsOf(Warp &warp, const Instruction &i, bool isLoad) {
  if (warp.mask != ~0u)
    warp.fault(Fault::Misuse, "all 32 lanes must take part");
  std::array<Place, 32> rows;
  std::array<uint32_t, 32> offsets;
  const unsigned used = i.count * 8u;
  for (unsigned lane = 0; lane < used; ++lane) {
    rows[lane] = warp.place(i.space, warp.address(i.addresses[0], lane), 16, 16, lane);
    if (rows[lane].space != Space::Shared)
      warp.fault(Fault::BadAccess, "the matrix is not in shared memory");
    if (isLoad)
      warp.noteRead(rows[lane], 16);
    else
      warp.noteWrite(rows[lane], 16);
    offsets[lane] = rows[lane].offset;
  }
  warp.countShared(offsets.data(), used, 16);
  return rows;
}

/// The place of element `part` of a lane's register: row lane/4 and column 2*(lane%4) + part, or
/// transposed.
static uint8_t *element(std::array<Place, 32> &rows, unsigned matrix, unsigned lane, unsigned part,
                        bool transpose) {
  unsigned row = lane / 4, column = 2 * (lane % 4) + part;
  if (transpose)
    std::swap(row, column);
  return rows[matrix * 8 + row].data + column * 2;
}

static void loadMatrices(Warp &warp, const Instruction &i) {
  auto rows = rowsOf(warp, i, true);
  for (unsigned matrix = 0; matrix < i.count; ++matrix) {
    uint32_t *d = warp.row<uint32_t>(warp.program.lists[i.list + matrix]);
    for (unsigned lane = 0; lane < 32; ++lane) {
      uint16_t parts[2];
      for (unsigned part = 0; part < 2; ++part)
        std::memcpy(&parts[part], element(rows, matrix, lane, part, i.flags & transposed), 2);
      d[lane] = parts[0] | uint32_t(parts[1]) << 16;
    }
  }
}

static void storeMatrices(Warp &warp, const Instruction &i) {
  auto rows = rowsOf(warp, i, false);
  for (unsigned matrix = 0; matrix < i.count; ++matrix) {
    const uint32_t *a = warp.row<uint32_t>(warp.program.lists[i.list + matrix]);
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned part = 0; part < 2; ++part) {
        auto value = uint16_t(a[lane] >> (16 * part));
        std::memcpy(element(rows, matrix, lane, part, i.flags & transposed), &value, 2);
      }
  }
}

template <bool Load> static Run decodeMatrices(Decoder &d) {
  d.requireOneOf({"sync"});
  d.requireOneOf({"aligned"});
  d.requireOneOf({"m8n8"});
  d.out.count = uint16_t(1 << d.requireOneOf({"x1", "x2", "x4"}));
  d.out.flags = d.take("trans") ? transposed : 0;
  if (d.oneOf({"shared", "shared::cta"}) >= 0)
    d.out.space = Space::Shared;
  d.requireOneOf({"b16"});
  d.out.list = uint32_t(d.program.lists.size());
  if (!Load)
    d.address(0);
  if (d.vector(Type::B32, Load) != d.out.count)
    d.unsupported("the number of registers");
  if (Load)
    d.address(0);
  return Load ? loadMatrices : storeMatrices;
}

void addMatrices(InstructionSet &set) {
  set.emplace("ldmatrix", decodeMatrices<true>);
  set.emplace("stmatrix", decodeMatrices<false>);
}

} // namespace attune::ptx
