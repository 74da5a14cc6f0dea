//===- RowwisePlan.h - How elementwise operators and reductions are computed row by row -------===//
//
// Axes of values and loops that always run together form a class. A row fixes the index of every
// `rows` class; within a row, values that are used in several places are computed once, into a
// small buffer per worker, by stages: loop nests over the remaining classes, one of them in lanes.
// Everything else is computed where it is used.
//
//   x + residual, layer norm:  rows {batch, sequence}; stages over the hidden axis, in lanes:
//   1. x = a + b (kept), sum of x   2. sum of (x - mean)^2   3. the result
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ROWWISEPLAN_H
#define ATTUNE_CODEGEN_CPU_ROWWISEPLAN_H

#include "attune/codegen/cpu/Reduce.h"
#include "attune/codegen/cpu/Views.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/MapVector.h"

#include <set>

namespace attune::codegen {

/// Union-find over axes of values and loops of operators. Two axes of one value, or two loops of
/// one operator, are never of the same class.
class AxisClasses {
public:
  int of(mlir::Value value, int64_t axis) { return find(id(value.getAsOpaquePointer(), axis)); }
  int of(mlir::Operation *op, int64_t loop) { return find(id(op, loop)); }
  void unite(int x, int y);

private:
  int id(const void *owner, int64_t number);
  int find(int x) const;
  std::map<std::pair<const void *, int64_t>, int> ids;
  llvm::SmallVector<int> parents;
  llvm::SmallVector<llvm::SmallVector<const void *>> owners;
};

/// A value that a stage computes.
struct Root {
  enum Kind { Keep, Reduce, Store } kind;
  mlir::Value value;
  llvm::SmallVector<int> placements; ///< outputs it is stored to (Reduce, Store)
  bool kept = false;                 ///< a buffer holds it for later stages
};

struct Stage {
  llvm::SmallVector<int> parallel, reduction; ///< classes, outermost first, without the lane class
  int lane = -1;                              ///< class that runs in lanes, -1: no loops in lanes
  bool laneReduced = false;
  llvm::SmallVector<Root> roots;
  int64_t cost = 0; ///< of one element, in cycles of a vector

  bool scalar() const { return lane < 0; }
};

/// How memory is walked as the index of a class grows.
struct RowwiseAccess {
  std::map<int, Size> strides;
  std::set<int> scattered; ///< classes along which addresses follow no stride

  Size stride(int axisClass) const;
  /// Whether the class has a part in the address.
  bool moves(int axisClass) const {
    return scattered.contains(axisClass) || !stride(axisClass).is(0);
  }
  /// Whether neighbours along the class are neighbours in memory.
  bool isDense(int axisClass) const {
    return !scattered.contains(axisClass) && stride(axisClass).is(1);
  }
};

/// Whether `count` lines that lie so many bytes apart push each other out of the first level.
bool losesLines(int64_t bytesApart, double count);

class RowwisePlan {
public:
  /// Nothing if the kernel is not of this kind; the IR is unchanged.
  static std::unique_ptr<RowwisePlan> make(KernelOp kernel, const CpuTarget &target);

  mlir::OwningOpRef<mlir::ModuleOp> module; ///< a copy of the kernel, norms and softmax expanded
  KernelOp kernel;
  std::unique_ptr<Sizes> sizes;

  AxisClasses classes;
  std::map<int, Size> extents; ///< of every class
  llvm::SmallVector<int> rows;
  int lane = -1;
  int64_t laneBlock = 0; ///< elements of the lane class that a row covers, 0: all
  /// The last row class runs within a block of lanes, so that lines of an input that lanes touch
  /// are still in the cache when the next row reads their next elements.
  bool blocksOutside = false;
  int64_t lanes = 1;

  llvm::SmallVector<std::pair<int64_t, Placement>> placements; ///< with the output's number
  llvm::SmallVector<Stage> stages;
  llvm::MapVector<mlir::Value, llvm::SmallVector<int>> kept; ///< with the classes that span it

  bool isUnit(int axisClass) const { return extents.at(axisClass).is(1); }
  int classOf(mlir::Value value, int64_t axis) { return classes.of(value, axis); }
  /// How `extract`, in the body of `op`, walks the input that it reads.
  RowwiseAccess accessOf(mlir::linalg::LinalgOp op, mlir::tensor::ExtractOp extract);
  /// Classes of a value's axes that are loops within a row, outermost first.
  llvm::SmallVector<int> innerClasses(mlir::Value value);
  Size rowCount() const; ///< with lane blocks left out
  Size rowCost() const;  ///< of one row (or lane block), in 1/16 cycles
  /// Rows of a task: far more work than handing it to a worker is.
  static constexpr int64_t kTaskCycles = 32000;
  Size keptElements(mlir::Value value) const;

private:
  bool prepare(KernelOp original);
  bool collect();
  bool findClasses();
  void foldAxes();
  void chooseLane();
  void chooseRows();
  void chooseTiles();
  bool chooseRoots();
  bool addRoot(Root root);
  int64_t cost(mlir::Value value);
  unsigned uses(mlir::Value value);
  bool isBroadcast(mlir::Value value);
  bool dependsOnRows(mlir::Value value);
  /// Roots that computing `value` reads, and whether at its own point.
  void dependencies(mlir::Value value, bool samePoint,
                    llvm::function_ref<void(mlir::Value, bool)> found);

  llvm::SetVector<mlir::Operation *> live; ///< in program order
  llvm::DenseMap<mlir::Value, int> stageOf;
  llvm::DenseMap<mlir::Value, int64_t> costs;
  bool reshapesInside = false; ///< a view of a computed value that changes its axes
};

/// An operator whose result's elements are those of other tensors, in other places.
bool isView(mlir::Operation *op);
/// The tensors whose elements the result of a view consists of.
mlir::OperandRange viewSources(mlir::Operation *op);
/// A view that neither cuts nor joins axes.
bool isAxisPreserving(mlir::Operation *op);
/// An operator whose results are elementwise or reductions of its operands.
bool isComputed(mlir::Operation *op);
/// linalg.fill, tensor.splat or a splat constant: the scalar it repeats, as value or constant op.
bool isUniform(mlir::Value tensor);

} // namespace attune::codegen
#endif
