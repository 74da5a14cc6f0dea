//===- artifact.h - Constants of the artifact format ------------------------------------------===//
//
// What docs/artifact.md fixes in numbers, shared by the compiler, which writes artifacts, and the
// runtime, which reads them. The compiler emits an ElfNote with zeros into section `.note.attune`,
// links, appends metadata and weights, and fills the note in the file.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_ARTIFACT_H
#define ATTUNE_RUNTIME_ARTIFACT_H

#include <cstddef>
#include <cstdint>

namespace attune::artifact {

inline constexpr uint32_t kMagic = 0x314e5441; // "ATN1"
inline constexpr uint32_t kFormat = 1;
inline constexpr uint32_t kAbi = 2;
inline constexpr uint32_t kNoteType = 1;
inline constexpr uint64_t kWeightsAlign = 4096; ///< of the section in the file
inline constexpr uint64_t kWeightAlign = 64;    ///< of one weight in the section

/// The note's descriptor, little endian.
struct Note {
  uint32_t magic = kMagic, format = kFormat, abi = kAbi, reserved = 0;
  uint64_t cpuFeatures = 0;
  uint64_t metaOffset = 0, metaSize = 0, weightsOffset = 0, weightsSize = 0, fileSize = 0;
  uint64_t metaHash = 0;
};
static_assert(sizeof(Note) == 72);

/// The whole content of section `.note.attune`, aligned to 4.
struct ElfNote {
  uint32_t nameSize = 7, descSize = sizeof(Note), type = kNoteType;
  char name[8] = {'A', 't', 't', 'u', 'n', 'e', 0, 0};
  unsigned char note[sizeof(Note)] = {};
};
static_assert(sizeof(ElfNote) == 92);

/// Bits of Note::cpuFeatures, by position in this list.
inline constexpr const char *kCpuFeatures[] = {
    "sse4.2",   "avx",      "avx2",     "fma",        "f16c",       "bmi2",    "avx512f",
    "avx512bw", "avx512vl", "avx512dq", "avx512vnni", "avx512bf16", "amx-tile"};

/// FNV-1a, 64 bits: guards against damage, not against malice.
inline uint64_t hash(const void *data, size_t size) {
  uint64_t value = 0xcbf29ce484222325u;
  for (const auto *byte = static_cast<const unsigned char *>(data); size; --size, ++byte)
    value = (value ^ *byte) * 0x100000001b3u;
  return value;
}

} // namespace attune::artifact
#endif
