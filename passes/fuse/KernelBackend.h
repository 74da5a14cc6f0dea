//===- KernelBackend.h - What fusion asks of a code generator -------------------------------------===//
#ifndef ATTUNE_PASSES_FUSE_KERNELBACKEND_H
#define ATTUNE_PASSES_FUSE_KERNELBACKEND_H

#include "attune/dialect/Attune.h"

namespace attune {

/// A code generator as the fuse and schedule stages see it: can it, and at what price class.
class KernelBackend {
public:
  virtual ~KernelBackend() = default;
  virtual llvm::StringRef name() const = 0;
  /// The name of the special emitter that takes this kernel, or "" when only the generic fall-back
  /// (reference lowering, scalar loops) would.
  virtual llvm::StringRef emitterFor(KernelOp kernel) const = 0;
  /// How special an emitter is: the smaller, the faster its kernels for what it takes. The generic
  /// fall-back ("") is the largest.
  virtual unsigned rank(llvm::StringRef emitter) const = 0;
};

} // namespace attune
#endif
