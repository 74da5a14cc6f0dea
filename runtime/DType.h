//===- DType.h - Names and sizes of element types ---------------------------------------------===//
#ifndef ATTUNE_RUNTIME_DTYPE_H
#define ATTUNE_RUNTIME_DTYPE_H

#include "attune/runtime/attune.h"
#include <string_view>

namespace attune::rt {

/// "f32", or null if unknown.
const char *dtypeName(attune_dtype dtype);
/// For messages: never null.
const char *dtypeText(attune_dtype dtype);
/// 0 if unknown.
attune_dtype dtypeParse(std::string_view name);
/// Bits of one element as stored.
inline uint64_t dtypeBits(attune_dtype dtype) { return dtype >> 8 & 0xff; }
/// Alignment in bytes that an element needs.
uint64_t dtypeAlign(attune_dtype dtype);
/// Bytes of `count` packed elements; UINT64_MAX if that overflows or the type is unknown.
uint64_t dtypeBytes(attune_dtype dtype, uint64_t count);
bool isIntegral(attune_dtype dtype);

} // namespace attune::rt
#endif
