//===- EnergyChoice.h - Which energy model `attune cost` prints -------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_ENERGYCHOICE_H
#define ATTUNE_TOOLS_ATTUNE_ENERGYCHOICE_H

#include "attune/codegen/ModelCost.h"
#include "attune/codegen/cost/Energy.h"

namespace attune::tools {

class Options;

/// A table of energies per operation and byte on this CPU, or `eyeriss-rs`: the layers of the model
/// on a row-stationary array, whose register files, network and buffer stand as L1, L2 and L3.
class EnergyChoice {
public:
  void addOptions(Options &options);
  /// To be called once options are parsed.
  llvm::Error load();

  bool isArray() const { return table == "eyeriss-rs"; }
  codegen::Energy of(const ModelCost::Call &call);
  /// Seconds on the array.
  double arraySeconds() const { return seconds; }
  std::string name() const { return isArray() ? table : chosen->name; }

  codegen::RsOptions array;

private:
  std::string table = "horowitz45";
  int64_t shiftWordBits = 0, wordBits = 32;
  std::optional<codegen::EnergyTable> chosen;
  double seconds = 0;
  std::map<std::array<int64_t, 10>, codegen::RsCost> known; ///< of one layer
};

} // namespace attune::tools
#endif
