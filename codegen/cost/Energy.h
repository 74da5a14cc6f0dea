//===- Energy.h - The modelled energy of kernels ----------------------------------------------===//
//
// Energy = operations by class and width, times their energy, plus bytes moved per level of memory,
// times theirs, plus static power times predicted time. Nothing is measured: the numbers come from
// a table (codegen/cost/energy/*.json, or the user's file of the same form).
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_ENERGY_H
#define ATTUNE_CODEGEN_COST_ENERGY_H

#include "attune/codegen/cost/Oracle.h"

namespace attune::codegen {

/// Joules.
struct Energy {
  double compute = 0;
  Traffic memory{}; ///< L1, L2, L3, DRAM
  double fixed = 0; ///< static power

  double total() const;
  Energy &operator+=(const Energy &other);
};

class EnergyTable {
public:
  /// A table by name, or a JSON file.
  static llvm::Expected<EnergyTable> load(llvm::StringRef nameOrFile);
  static llvm::Expected<EnergyTable> parse(llvm::StringRef text);
  static std::vector<std::string> names();

  Energy of(const KernelFeatures &kernel, const KernelCost &cost) const;
  /// Joules of a multiply-add, a sum of products with powers of two or of distances (for one term),
  /// or of one other operation.
  double operation(WorkTerm::Class kind, unsigned bits) const;

  std::string name, about;

private:
  struct Row {
    double multiply = 0, add = 0, shift = 0; ///< picojoules
  };
  std::map<unsigned, Row> rows; ///< by width
  double functionAdditions = 0, staticWatts = 0;
  Traffic perByte{};
};

} // namespace attune::codegen
#endif
