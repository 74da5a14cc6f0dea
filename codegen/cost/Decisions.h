//===- Decisions.h - What one compilation chose between ---------------------------------------===//
//
// Whoever prices alternatives (forms, code generators, merged kernels) looks up here what was
// measured and records what was chosen, for `attune explain` and for `attune compile --tune`.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_DECISIONS_H
#define ATTUNE_CODEGEN_COST_DECISIONS_H

#include "attune/codegen/cost/Tuning.h"
#include "mlir/IR/Operation.h"

namespace attune::codegen {

/// Alternatives where parts may become one.
inline constexpr char kTogether[] = "together", kApart[] = "apart";

struct Decision {
  struct Alternative {
    std::string name;
    double seconds; ///< predicted, or measured where it was
  };
  std::string kind; ///< form, projections, emitter or merge
  std::string what; ///< the operator or kernel
  std::string key;  ///< of the structure that is decided; "" where nothing can be measured
  std::vector<std::string> nodes;
  std::vector<Alternative> alternatives;
  std::string chosen;
  bool measured = false;
  unsigned times = 1; ///< equal ones
};

class Decisions {
public:
  /// `tuning` may be null and outlives this.
  explicit Decisions(const Tuning *tuning = nullptr) : tuning(tuning) {}

  /// What was measured for a structure, or null.
  const Tuning::Entry *measured(llvm::StringRef key) const {
    return tuning && !key.empty() ? tuning->find(key) : nullptr;
  }
  bool hasMeasurements() const { return tuning && !tuning->isEmpty(); }
  /// Equal structures become one entry. Alternatives that were measured get what they took.
  void record(Decision decision);

  const std::vector<Decision> &list() const { return decisions; }

private:
  const Tuning *tuning;
  std::vector<Decision> decisions;
};

/// A key of operators: their names, attributes, types and regions, not their operands. `without`:
/// attributes that do not count.
std::string structureKey(llvm::StringRef kind, llvm::ArrayRef<mlir::Operation *> ops,
                         llvm::ArrayRef<llvm::StringRef> without = {});

} // namespace attune::codegen
#endif
