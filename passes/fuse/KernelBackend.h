//===- KernelBackend.h - What fusion asks of a code generator ---------------------------------===//
#ifndef ATTUNE_PASSES_FUSE_KERNELBACKEND_H
#define ATTUNE_PASSES_FUSE_KERNELBACKEND_H

#include "attune/dialect/Attune.h"

namespace attune {

/// How filters of a convolution are used: `maps` output channels, each a sum over so many channels
/// and the taps of two axes with so many positions.
struct FilterUse {
  struct Axis {
    int64_t taps = 1, stride = 1, dilation = 1, out = 1;
  };
  int64_t maps, channels;
  Axis rows, columns;
};

/// A code generator as the fuse and schedule stages see it: can it, and at what price class.
class KernelBackend {
public:
  virtual ~KernelBackend() = default;
  /// The dialects of the code that it tries kernels with: a pass that asks depends on them.
  virtual void getDependentDialects(mlir::DialectRegistry &registry) const {}
  /// The name of the code generator behind an emitter.
  virtual llvm::StringRef backendOf(llvm::StringRef emitter) const = 0;
  /// The name of the special emitter that takes this kernel, or "" when only the generic fall-back
  /// (reference lowering, scalar loops) would.
  virtual llvm::StringRef emitterFor(KernelOp kernel) const = 0;
  /// How special an emitter is: the smaller, the faster its kernels for what it takes. The generic
  /// fall-back ("") is the largest.
  virtual unsigned rank(llvm::StringRef emitter) const = 0;
  /// Whether constant operands are to be stored in the panels that its emitters read.
  virtual bool packsConstants() const { return true; }
  /// Output channels of a panel of constant filters.
  virtual int64_t filterPanel(const FilterUse &use) const { return 4; }
  /// Whether its kernels work on buffers of the caller that hold more than a tensor
  /// (ShareCaches.h).
  virtual bool sharesCaches() const { return true; }
  /// Whether one kernel is better than the two that it was merged from. By default if it gets at
  /// least as special an emitter as both: a matrix product that became part of a row-wise kernel
  /// would lose its tiles.
  virtual bool prefersMerged(KernelOp merged, KernelOp producer, KernelOp consumer) const {
    llvm::StringRef emitter = emitterFor(merged);
    return !emitter.empty() && rank(emitter) <= rank(emitterFor(producer)) &&
           rank(emitter) <= rank(emitterFor(consumer));
  }
};

} // namespace attune
#endif
