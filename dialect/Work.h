//===- Work.h - Work, state and search knobs of an operator -----------------------------------===//
//
// The vocabulary of the op interfaces: what an op computes as a function of its extents, what state
// its tiles carry, and which integers of it an architecture search may change.
//
//   for (const WorkTerm &term : op.getWork(extentOf))
//     flops += term.perIteration * product(term.extents);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_DIALECT_WORK_H
#define ATTUNE_DIALECT_WORK_H

#include "mlir/IR/Block.h"
#include "mlir/IR/OpDefinition.h"

#include <string>

namespace attune {

/// `perIteration` operations, once per point of the box of `extents`.
struct WorkTerm {
  enum class Class {
    Fma,            ///< multiply-adds, each counts two
    Arithmetic,     ///< sums, comparisons and what a class of operator does besides
    Transcendental, ///< functions like exp and square roots
    Multiply,       ///< products and quotients on their own
    Shift,          ///< products with signed powers of two and their sum, each counts two
    Distance        ///< magnitudes of differences and their sum, each counts three
  };
  static constexpr unsigned kClasses = 6;
  Class kind;
  double perIteration;
  llvm::SmallVector<mlir::OpFoldResult> extents; ///< constants or index values
  unsigned bits = 32;                            ///< width of the elements
};

/// The extent of one axis of a tensor; null if unknown.
using ExtentOf = llvm::function_ref<mlir::OpFoldResult(mlir::Value tensor, int64_t axis)>;

/// All extents of `tensor`.
llvm::SmallVector<mlir::OpFoldResult> getExtents(mlir::Value tensor, ExtentOf extent);

/// Adds a term, unless an extent is unknown or there is nothing to do.
void addWork(llvm::SmallVector<WorkTerm> &terms, WorkTerm::Class kind, double perIteration,
             llvm::ArrayRef<mlir::OpFoldResult> extents, unsigned bits = 32);

/// Adds the float arithmetic of a scalar body that runs once per point of `extents`.
void addBodyWork(llvm::SmallVector<WorkTerm> &terms, mlir::Block &body,
                 llvm::ArrayRef<mlir::OpFoldResult> extents);

/// What a tile over a reduction axis hands on to the next.
struct StateInfo {
  enum class Kind {
    None,      ///< cannot be tiled, for `reason`
    Sum,       ///< running sums
    MaxAndSum, ///< sums relative to a running maximum
  };
  Kind kind;
  std::string reason;
};

/// An integer of the architecture, its value now and the values it may take.
struct SearchKnob {
  std::string name;
  int64_t current;
  llvm::SmallVector<int64_t> values;
};

} // namespace attune
#endif
