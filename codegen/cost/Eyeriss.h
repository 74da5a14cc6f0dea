//===- Eyeriss.h - Energy and time of a layer on a row-stationary array -----------------------===//
//
// `eyeriss-rs`: the closed-form model of a row-stationary accelerator by which ShiftAddNAS compares
// layers of multiplications, shifts and additions. Every loop is split among register file, array,
// global buffer and DRAM; of the legal splits the one with the least normalised energy plus
// normalised time counts. Two assumptions of the published scripts drive much of the savings that
// were reported; they are switches here, and off:
// - assumeOnchipAdd: inputs and outputs of addition layers cost no DRAM and buffer energy;
// - shiftWordBits: words of shift layers have so many bits (10), with time in proportion.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_EYERISS_H
#define ATTUNE_CODEGEN_COST_EYERISS_H

#include "attune/codegen/cost/Features.h"

#include <optional>

namespace attune::codegen {

/// A convolution of N images: M maps of E x F outputs, C channels of H x W inputs, R x S taps.
struct RsLayer {
  WorkTerm::Class kind = WorkTerm::Class::Fma; ///< or Shift, Distance
  int64_t n = 1, m = 1, c = 1, e = 1, f = 1, r = 1, s = 1, h = 1, w = 1;
  double count = 1; ///< equal layers
  double macs() const { return 1.0 * n * m * c * e * f * r * s; }
};

struct RsOptions {
  unsigned bits = 32; ///< of words: 32 or 8
  bool assumeOnchipAdd = false;
  unsigned shiftWordBits = 0; ///< 0: as other words
};

struct RsCost {
  double joules = 0, seconds = 0;
  double compute = 0, dram = 0, buffer = 0, network = 0, registers = 0; ///< joules
  int64_t n0 = 1, m0 = 1, m1 = 1, m2 = 1, c0 = 1, c1 = 1, e1 = 1;       ///< the split
};

/// Nothing if no split is legal (a kernel of more rows than the array).
std::optional<RsCost> rsCost(const RsLayer &layer, const RsOptions &options);

/// The layers of a kernel at known sizes: contractions and convolutions by their loops; products
/// inside other operators as matrix products of their last three extents.
std::vector<RsLayer> rsLayers(KernelOp kernel, llvm::ArrayRef<int64_t> dims);

} // namespace attune::codegen
#endif
