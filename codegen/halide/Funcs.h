//===- Funcs.h - A region as Halide Funcs -----------------------------------------------------===//
//
// Internal to the translation: the only header that includes Halide. Loops and axes are row-major
// on the MLIR side; a Func has its innermost axis first.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_FUNCS_H
#define ATTUNE_CODEGEN_HALIDE_FUNCS_H

#include "Halide.h"

#include "attune/codegen/halide/Plan.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <vector>

namespace attune::codegen::halide {

namespace hl = Halide;
using Exprs = std::vector<hl::Expr>;

/// The value of a tensor of the region.
struct Computed {
  hl::Func func;             ///< what others read
  std::vector<hl::Var> axes; ///< row-major
  /// Tile and serial reductions: the sums that `func` (or who inlines it) reads.
  hl::Func sums;
  /// Row reductions: lanes of partial results, `partial(lane, axes...)`, and what is left of them
  /// in one vector (where there were several), combined by `func`.
  hl::Func partial, folded;
  hl::Var lane;
  int64_t partialLanes = 0;
  hl::RDom domain;             ///< reduction loops, innermost last
  std::vector<bool> shortLoop; ///< of the domain: few static iterations
  /// Roots of which blocks are computed before they are stored, as their tiles may end beyond the
  /// result or their rows are sums: `func` copies from here.
  hl::Func inner;
  Exprs extents; ///< of roots on a device, row-major
};

struct Funcs {
  std::vector<hl::ImageParam> inputs;
  std::vector<hl::Param<int32_t>> dims;
  llvm::DenseMap<mlir::Value, Computed> computed;
  std::vector<hl::Func> results;
};

hl::Type halideType(mlir::Type element);
/// The element type in memory: booleans are bytes.
hl::Type storedType(mlir::Type element);

/// The result of a scalar operator (arith, math, affine on index). Throws nothing of ours: the
/// operators are those of Support.cpp.
hl::Expr translateScalar(mlir::Operation &op, const Exprs &operands);
hl::Expr translateConstant(mlir::Attribute value, mlir::Type type);
hl::Expr translateAffine(mlir::AffineExpr expr, const Exprs &dims, unsigned symbolsFrom);
/// `combiner` applied to an old and a new value, and the value that changes nothing.
hl::Expr combine(mlir::Operation &combiner, const hl::Expr &old, const hl::Expr &next);
hl::Expr neutralElement(mlir::Operation &combiner);

Funcs translate(const Region &region, const Plan &plan);
void schedule(Funcs &funcs, const Plan &plan);
void scheduleOnDevice(Funcs &funcs, const Plan &plan);

} // namespace attune::codegen::halide
#endif
