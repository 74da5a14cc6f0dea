//===- Scratch.h - Allocations of a Halide kernel as buffers of the memory plan ---------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_SCRATCH_H
#define ATTUNE_CODEGEN_HALIDE_SCRATCH_H

#include "attune/codegen/halide/Compile.h"

#include "Halide.h"

namespace attune::codegen::halide {

/// A lowering pass that lets every allocation on the heap take its memory from a scratch buffer.
/// Its size is bounded by an expression over the parameters `dim<N>`; throws if there is none.
class UseScratch : public Halide::Internal::IRMutator {
public:
  explicit UseScratch(std::vector<ScratchBuffer> &scratch) : scratch(scratch) {}

protected:
  using IRMutator::visit;
  Halide::Internal::Stmt visit(const Halide::Internal::Allocate *op) override;
  Halide::Internal::Stmt visit(const Halide::Internal::LetStmt *op) override;
  Halide::Internal::Stmt visit(const Halide::Internal::For *op) override;

private:
  std::vector<ScratchBuffer> &scratch;
  Halide::Internal::Scope<Halide::Internal::Interval> scope;
  bool parallel = false;
};

} // namespace attune::codegen::halide
#endif
