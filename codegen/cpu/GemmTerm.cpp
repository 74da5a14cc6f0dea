#include "attune/codegen/cpu/GemmTerm.h"

#include "llvm/ADT/StringRef.h"

#include <algorithm>

namespace attune::codegen {

int64_t codeBits(GemmTerm term) {
  switch (term) {
  case GemmTerm::Product4:
  case GemmTerm::Shift4:
    return 4;
  case GemmTerm::Product5:
  case GemmTerm::Shift5:
    return 5;
  case GemmTerm::Shift6:
    return 6;
  case GemmTerm::Product8:
    return 8;
  case GemmTerm::Product:
  case GemmTerm::ProductI8:
  case GemmTerm::Distance:
    return 0;
  }
  return 0;
}

bool isShift(GemmTerm term) {
  return term == GemmTerm::Shift4 || term == GemmTerm::Shift5 || term == GemmTerm::Shift6;
}

GemmTerm productWithCodes(int64_t bits) {
  return bits == 4 ? GemmTerm::Product4 : bits == 5 ? GemmTerm::Product5 : GemmTerm::Product8;
}

GemmTerm shiftWithCodes(int64_t bits) {
  return bits == 4 ? GemmTerm::Shift4 : bits == 5 ? GemmTerm::Shift5 : GemmTerm::Shift6;
}

/// Zen takes 512 bits in two halves: for distances, whose operations go to units of both kinds, it
/// is better at scheduling the halves itself.
int64_t GemmTile::lanes(const CpuTarget &target, GemmTerm term) {
  bool halves = term == GemmTerm::Distance && llvm::StringRef(target.cpu).starts_with("znver");
  return halves ? std::min<int64_t>(8, target.lanes()) : target.lanes();
}

GemmTile GemmTile::of(const CpuTarget &target, GemmTerm term) {
  bool distance = term == GemmTerm::Distance;
  int64_t bits = 32 * lanes(target, term);
  if (isShift(term))
    return bits >= 512 ? GemmTile{4, 4} : GemmTile{3, 1};
  GemmTile tile{target.registers >= 32 ? 4 : 2, 1};
  if (bits >= 512)
    tile = distance ? GemmTile{8, 2} : GemmTile{14, 2};
  else if (bits >= 256)
    tile = {distance ? 5 : 6, 1};
  if (codeBits(term))
    tile.rows = target.registers >= 32 ? 4 : 2;
  return tile;
}

} // namespace attune::codegen
