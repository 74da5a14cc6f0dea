//===- TensorMap.h - What cuTensorMapEncodeTiled writes, and bulk copies read -----------------===//
#ifndef ATTUNE_TEST_PTXEMU_TENSORMAP_H
#define ATTUNE_TEST_PTXEMU_TENSORMAP_H

#include <array>
#include <cstdint>

namespace attune::ptx {

struct TensorMap {
  static constexpr uint32_t valid = 0x746d6170;
  uint32_t magic;
  uint8_t rank, elementBytes;
  uint8_t swizzle;  ///< log2 of the rows of 128 bytes in a pattern: 0 (none), 1, 2, 3 (128 bytes)
  uint8_t fillsNan; ///< what elements outside the tensor read as, instead of 0
  uint64_t base;
  std::array<uint64_t, 5> extents;
  std::array<uint64_t, 4> strides; ///< in bytes, of all but the first axis
  std::array<uint32_t, 5> box;
};
static_assert(sizeof(TensorMap) <= 128);

/// The place of a byte in shared memory under a swizzle: 16-byte chunks of a row change places.
inline uint32_t swizzled(uint32_t offset, unsigned swizzle) {
  return offset ^ ((offset >> 7 & ((1u << swizzle) - 1)) << 4);
}

} // namespace attune::ptx
#endif
