#include "attune/runtime/DType.h"
#include <algorithm>

namespace attune::rt {

static constexpr struct {
  attune_dtype dtype;
  const char *name;
} kTypes[] = {
    {ATTUNE_BF16, "bf16"},
    {ATTUNE_BOOL, "bool"},
    {ATTUNE_C128, "c128"},
    {ATTUNE_C64, "c64"},
    {ATTUNE_F16, "f16"},
    {ATTUNE_F32, "f32"},
    {ATTUNE_F4E2M1, "f4e2m1"},
    {ATTUNE_F64, "f64"},
    {ATTUNE_F8E4M3FN, "f8e4m3fn"},
    {ATTUNE_F8E4M3FNUZ, "f8e4m3fnuz"},
    {ATTUNE_F8E5M2, "f8e5m2"},
    {ATTUNE_F8E5M2FNUZ, "f8e5m2fnuz"},
    {ATTUNE_F8E8M0FNU, "f8e8m0fnu"},
    {ATTUNE_I16, "i16"},
    {ATTUNE_I2, "i2"},
    {ATTUNE_I32, "i32"},
    {ATTUNE_I4, "i4"},
    {ATTUNE_I64, "i64"},
    {ATTUNE_I8, "i8"},
    {ATTUNE_STRING, "string"},
    {ATTUNE_U16, "u16"},
    {ATTUNE_U2, "u2"},
    {ATTUNE_U32, "u32"},
    {ATTUNE_U4, "u4"},
    {ATTUNE_U64, "u64"},
    {ATTUNE_U8, "u8"},
};

const char *dtypeName(attune_dtype dtype) {
  for (const auto &type : kTypes)
    if (type.dtype == dtype)
      return type.name;
  return nullptr;
}

const char *dtypeText(attune_dtype dtype) {
  const char *name = dtypeName(dtype);
  return name ? name : "an unknown dtype";
}

attune_dtype dtypeParse(std::string_view name) {
  for (const auto &type : kTypes)
    if (name == type.name)
      return type.dtype;
  return 0;
}

uint64_t dtypeAlign(attune_dtype dtype) {
  if (dtype == ATTUNE_STRING || dtype == ATTUNE_C128)
    return 8;
  if (dtype == ATTUNE_C64)
    return 4;
  return std::max<uint64_t>(1, dtypeBits(dtype) / 8);
}

uint64_t dtypeBytes(attune_dtype dtype, uint64_t count) {
  uint64_t bits;
  if (!dtypeName(dtype) || __builtin_mul_overflow(count, dtypeBits(dtype), &bits) ||
      bits > UINT64_MAX - 7)
    return UINT64_MAX;
  return (bits + 7) / 8;
}

bool isIntegral(attune_dtype dtype) {
  uint32_t code = dtype & 0xff;
  return dtypeBits(dtype) >= 8 && (code <= 1 || dtype == ATTUNE_BOOL);
}

} // namespace attune::rt
