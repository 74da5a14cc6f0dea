//===- Compiled.h - A network of calibration as an artifact -----------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_CALIBRATE_COMPILED_H
#define ATTUNE_TOOLS_ATTUNE_CALIBRATE_COMPILED_H

#include "attune/tools/attune/Commands.h"
#include "attune/tools/attune/calibrate/Networks.h"

namespace attune::tools {

/// A file that goes with its owner.
class Temporary {
public:
  static llvm::Expected<Temporary> make(llvm::StringRef ending);
  Temporary(Temporary &&other) : path(std::exchange(other.path, "")) {}
  ~Temporary();
  std::string path;

private:
  Temporary() = default;
};

struct Compiled {
  Temporary artifact;
  CompileReport report;
  /// For this machine, with predictions for these calls.
  static llvm::Expected<Compiled> make(const Network &network,
                                       std::vector<CostRequest> predict = {},
                                       const std::string &backend = "auto");
};

} // namespace attune::tools
#endif
