//===- Emitter.h - From an attune.kernel to a function of the kernel ABI ----------------------===//
//
// A kernel region is emitted by the first emitter that matches it, from the most to the least
// special (see Kernels.cpp). The last one, `loops`, takes everything (reference lowering, then
// scalar loops). Emitters read the region, never the host function.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_EMITTER_H
#define ATTUNE_CODEGEN_CPU_EMITTER_H

#include "attune/codegen/cpu/Target.h"
#include "attune/dialect/Attune.h"
#include "mlir/IR/BuiltinOps.h"

#include <functional>
#include <memory>

namespace attune::codegen {

/// Builds an index value (bytes, flops) in the host function from the kernel's `dims` operands and
/// the number of threads.
using HostExpr = std::function<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange dims,
                                           mlir::Value threads)>;

/// An input and a result that may be one buffer: the kernel has read an element of the input for
/// the last time when it writes that of the result. Their layouts agree if their extents along
/// `axis` do.
struct InPlace {
  int64_t input, result, axis;
};

/// How a kernel is cut at known sizes, for the cost model.
struct KernelPlan {
  double tasks = 1;   ///< pieces that threads share
  double padding = 1; ///< multiply-adds done for each one asked for, by remainders of tiles
  double visited = 1; ///< part of all work that is done: a mask rules out the rest
  double copied = 0;  ///< bytes that go to scratch and are read back, as packed panels do
  double rows = 0, columns = 0; ///< of the register tile; 0: none
  double instructions = 0;      ///< of vectors, as the emitter counts them itself; 0: it does not
  double starts = 0;            ///< loops begun and functions called, with the addresses for them
  double strided = 0;           ///< elements read or written one by one
  /// Bytes of each scratch buffer: so many, and so many for every thread.
  struct Scratch {
    double shared = 0, perThread = 0;
  };
  llvm::SmallVector<Scratch, 2> scratch;
};

/// The value of an index of the kernel's region.
using IndexValues = llvm::function_ref<int64_t(mlir::Value)>;

struct EmittedKernel {
  /// Scratch buffers in bytes, passed after inputs and outputs in this order; uninitialised.
  llvm::SmallVector<HostExpr> scratch;
  llvm::SmallVector<InPlace> inPlace;
  /// Functions that the added code calls and another code generator made, see Bitcode.h. May be
  /// empty.
  std::string bitcode;
};

class KernelEmitter {
public:
  virtual ~KernelEmitter() = default;
  virtual llvm::StringRef name() const = 0;
  /// The code generator behind it, as `--backend` names it.
  virtual llvm::StringRef backend() const { return "mlir"; }
  /// Whether this emitter can generate `op` for `target`. Must not change the IR.
  virtual bool matches(KernelOp op, const CpuTarget &target) const = 0;
  /// How it cuts a kernel that it matches, and the scratch that `emit` asks for, without generating
  /// code. By default rows of results in tasks of their own, and no scratch.
  virtual KernelPlan plan(KernelOp op, const CpuTarget &target, IndexValues valueOf) const;
  /// Adds to `module` a function `symbol` of the kernel ABI. Buffers: one per input, one per
  /// result, then scratch. Called only if it matches; a failure has emitted a diagnostic.
  virtual llvm::FailureOr<EmittedKernel> emit(KernelOp op, mlir::ModuleOp module,
                                              llvm::StringRef symbol,
                                              const CpuTarget &target) const = 0;
};

std::unique_ptr<KernelEmitter> createDftEmitter();
std::unique_ptr<KernelEmitter> createEmaEmitter();
std::unique_ptr<KernelEmitter> createTruncatedEmaEmitter();
std::unique_ptr<KernelEmitter> createGemmEmitter();
std::unique_ptr<KernelEmitter> createConvEmitter();
std::unique_ptr<KernelEmitter> createAttentionEmitter();
std::unique_ptr<KernelEmitter> createLinearAttentionEmitter();
std::unique_ptr<KernelEmitter> createMapMixEmitter();
std::unique_ptr<KernelEmitter> createRowwiseEmitter();
std::unique_ptr<KernelEmitter> createToeplitzEmitter();
std::unique_ptr<KernelEmitter> createLoopsEmitter();

} // namespace attune::codegen
#endif
