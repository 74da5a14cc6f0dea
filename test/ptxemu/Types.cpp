#include "attune/test/ptxemu/Types.h"

namespace attune::ptx {

namespace {
struct Row {
  const char *name;
  unsigned bits;
  bool floating;
};
// In the order of Type.
constexpr Row table[] = {
    {"", 0, false},     {"pred", 1, false},   {"b8", 8, false},     {"b16", 16, false},
    {"b32", 32, false}, {"b64", 64, false},   {"u8", 8, false},     {"u16", 16, false},
    {"u32", 32, false}, {"u64", 64, false},   {"s8", 8, false},     {"s16", 16, false},
    {"s32", 32, false}, {"s64", 64, false},   {"f16", 16, true},    {"f16x2", 32, true},
    {"bf16", 16, true}, {"bf16x2", 32, true}, {"tf32", 32, true},   {"f32", 32, true},
    {"f64", 64, true},  {"e4m3x2", 16, true}, {"e5m2x2", 16, true},
};
} // namespace

std::optional<Type> parseType(std::string_view name) {
  for (unsigned i = 1; i < std::size(table); ++i)
    if (name == table[i].name)
      return Type(i);
  return std::nullopt;
}

const char *name(Type type) { return table[unsigned(type)].name; }
unsigned bitsOf(Type type) { return table[unsigned(type)].bits; }
bool isFloat(Type type) { return table[unsigned(type)].floating; }

} // namespace attune::ptx
