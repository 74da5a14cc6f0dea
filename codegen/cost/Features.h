//===- Features.h - What the cost model knows of one kernel call ------------------------------===//
//
// The numbers that the time, the traffic and the energy of a kernel at known sizes follow from.
// They depend on the region, the target and the emitter, not on a machine: one description serves
// every calibration.
//
//   KernelFeatures features = describe(kernel, emitter, target, dims);
//   KernelCost cost = oracle.price(features, threads);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_FEATURES_H
#define ATTUNE_CODEGEN_COST_FEATURES_H

#include "attune/codegen/cpu/Emitter.h"
#include "attune/passes/rewrite/FormPrices.h"

namespace attune::codegen {

/// Operations of one class on elements of one width.
struct OpCount {
  WorkTerm::Class kind;
  unsigned bits;
  double count;
};

/// What a kernel does with one of its buffers.
struct BufferUse {
  enum class Kind {
    Exchanged, ///< with other kernels
    Weight,    ///< a constant of the model
    Distant    ///< an input or output of the model
  };
  Kind kind;
  bool written;
  double bytes;
  /// Bytes that were touched since this memory was, with those of the kernel itself (Reuse.h).
  double distance;
};

struct KernelFeatures {
  std::string emitter;         ///< who makes the kernel, or "" for nobody in particular
  std::string form;            ///< of an operator that has several, else ""
  WorkSum work;                ///< `bytes`: moved between the kernel and the rest of the model
  std::vector<OpCount> counts; ///< the same work by width
  double weightBytes = 0;      ///< of `work.bytes`, constants
  double distantBytes = 0;     ///< of `work.bytes`, inputs and outputs of the model
  double stridedBytes = 0;     ///< read across lines, as transposes do
  double gatheredBytes = 0;    ///< read at places that are computed, as rows of a table are
  double buffers = 0;          ///< inputs and results
  llvm::SmallVector<BufferUse, 4> uses; ///< inputs, then results; empty for nobody in particular
  KernelPlan plan;
};

/// The work of a region at known sizes. The kernel is not changed.
WorkSum workOf(KernelOp kernel, llvm::ArrayRef<int64_t> dims);

/// `isWeight` says which inputs are constants of the model, `isDistant` which buffers (inputs, then
/// results) are inputs or outputs of it. The kernel is not changed.
KernelFeatures describe(
    KernelOp kernel, const KernelEmitter &emitter, const CpuTarget &target,
    llvm::ArrayRef<int64_t> dims, llvm::function_ref<bool(unsigned input)> isWeight,
    llvm::function_ref<bool(unsigned buffer)> isDistant = [](unsigned) { return false; });

} // namespace attune::codegen
#endif
