//===- ModelCost.h - What a compiled model will take, without running it ----------------------===//
//
// The steps of a host program priced one by one at the sizes of one call, and the memory of its
// plan. `attune cost`, `attune profile` and calibration read it from the report of a compilation.
//
//   options.predict.push_back({.dims = {{"seq", 128}}, .threads = 2});
//   options.onlyPredict = true;
//   compileModel("model.onnx", "", options, &report);
//   report.predictions.front().seconds;
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_MODELCOST_H
#define ATTUNE_CODEGEN_MODELCOST_H

#include "attune/codegen/ExportProgram.h"
#include "attune/codegen/cost/Eyeriss.h"
#include "attune/codegen/cost/Oracle.h"

#include <map>

namespace attune {

/// Sizes of a call: shapes by input name, else dims by symbol; a symbol that neither gives is 1 for
/// the first axis of an input and 128 for others.
struct CostRequest {
  std::map<std::string, std::vector<int64_t>> shapes;
  std::map<std::string, int64_t> dims;
  unsigned threads = 1;
  bool layers = false; ///< also as layers of a row-stationary array
};

struct ModelCost {
  struct Call {
    int64_t kernel; ///< number among the distinct kernels
    codegen::KernelFeatures features;
    codegen::KernelCost cost;
    std::vector<codegen::RsLayer> layers; ///< if asked for
  };
  std::vector<Call> calls; ///< in the order of the program
  std::string inputs;      ///< as "ids 1x128"
  unsigned threads = 1;
  double seconds = 0, sigma = 0; ///< sigma is relative
  double flops = 0, bytes = 0;   ///< moved by all calls
  double storedBytes = 0;        ///< constants, each once
  double arenaBytes = 0, ioBytes = 0;
  double peakBytes() const { return storedBytes + arenaBytes + ioBytes; }
  double resident = 0; ///< bytes that a call touches
};

namespace codegen {

/// A kernel call of the program: its op and the emitter that makes it.
struct PricedKernel {
  KernelOp op;
  const KernelEmitter *emitter;
};

/// `calls`: those of the program's kernel steps, in order. An error if the sizes do not fit the
/// model's inputs.
llvm::Expected<ModelCost> predict(const Program &program, llvm::ArrayRef<PricedKernel> calls,
                                  const CpuTarget &target, const CostOracle &oracle,
                                  const CostRequest &request);

} // namespace codegen
} // namespace attune
#endif
