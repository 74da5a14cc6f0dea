//===- RowwiseCode.h - The loops of a row-wise kernel -----------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ROWWISECODE_H
#define ATTUNE_CODEGEN_CPU_ROWWISECODE_H

#include "attune/codegen/cpu/Lanes.h"
#include "attune/codegen/cpu/RowwisePlan.h"
#include "attune/codegen/cpu/RowwiseUpdate.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace attune::codegen {

/// Threads that share a row: each runs the same code, lanes of a stage are dealt out to them.
struct RowGroup {
  int64_t threads;
  mlir::Value thread; ///< in [0, threads)
  /// A value that every thread has a part of, combined in a fixed order; all threads get it.
  std::function<mlir::Value(const Reduction &, mlir::Value)> across;
  /// What threads have stored is there for all of them.
  std::function<void()> meet;
  std::function<mlir::Value(mlir::Value kept)> buffer; ///< where a kept value lies
};

/// Builds one task function of a plan. Values are computed at a point: one index per axis, of which
/// the lane class's runs over lanes. What was computed at a point is not computed there again.
class RowwiseCode {
public:
  using Value = mlir::Value;
  RowwiseCode(RowwisePlan &plan, KernelBuilder &kb) : plan(plan), kb(kb) {}

  /// The kernel function: splits rows into tasks.
  void buildKernel(mlir::ModuleOp module, llvm::StringRef name, mlir::func::FuncOp task);
  mlir::func::FuncOp buildTask(mlir::ModuleOp module, llvm::StringRef name);
  /// Bytes of scratch per worker.
  Size scratchBytes() const;
  /// One row (or block of the lane class), by its number, computed by a group of threads inside a
  /// function that is being built; the plan has one lane. The error code (i32).
  Value buildShared(Scope &rowScope, const RowGroup &rowGroup, Value number);
  /// Whether something turned out not to be expressible; what was built is then unusable.
  bool failed = false;

private:
  using Point = llvm::SmallVector<Lane>;
  struct Limits {
    Value rows, rowsPerTask;
  };
  Limits limits(Scope &scope);

  Values radices();
  Value takeBlock(Values &digits);
  Values digitsOf(Value number, mlir::ValueRange radix);
  void buildRow(llvm::ArrayRef<Value> index, Value block);
  /// `body` by one thread of a group: what it stores is the same for all.
  void once(llvm::function_ref<void()> body);
  Lane laneAt(Value index) const { return plan.lanes == 1 ? Lane(index) : Lane::linear(index); }
  void buildStage(Stage &stage);
  bool buildInPlace(Stage &stage);
  /// Whether elements of the input at `view` lie where `place` puts them (i1).
  Value isSameMemory(int64_t input, const View &view, int64_t output, const Placement &place);
  void storeNew(Root &root, RowwiseUpdate &update);
  void buildOuter(Stage &stage, size_t depth);
  void buildLaneParallel(Stage &stage);
  void buildLaneReduced(Stage &stage);
  void runRoots(Stage &stage, llvm::ArrayRef<Root *> roots);
  void finish(Root &root, const Lane &value);
  /// The loop over lanes in [lower, upper): `unroll` vectors at a time, single vectors, the rest.
  Values laneLoop(Value lower, Value upper, int64_t unroll, Values init,
                  llvm::function_ref<Values(Value, int64_t, Values)> body);
  Values reductionLoops(Stage &stage, size_t depth, Values init,
                        llvm::function_ref<Values(Values)> body);
  std::pair<Value, Value> laneRange(Stage &stage);
  int64_t unrollOf(Stage &stage) const;

  Lane eval(Value tensor, const Point &point);
  Lane evalComputed(mlir::OpResult value, const Point &point);
  Lane evalView(mlir::Operation *op, const Point &point);
  // The point of a view's source that an element of the view is; nothing if that has no form.
  std::optional<Point> sourceOf(mlir::tensor::ExtractSliceOp slice, const Point &point);
  std::optional<Point> sourceOf(mlir::tensor::ExpandShapeOp expand, const Point &point);
  std::optional<Point> sourceOf(mlir::tensor::CollapseShapeOp collapse, const Point &point);
  static std::optional<Point> sourceOf(mlir::linalg::TransposeOp transpose, const Point &point);
  static std::optional<Point> sourceOf(mlir::linalg::BroadcastOp broadcast, const Point &point);
  Lane evalPad(mlir::tensor::PadOp pad, const Point &point);
  Lane evalConcat(mlir::tensor::ConcatOp concat, const Point &point, unsigned input,
                  const Size &start);
  Lane evalWhere(const Lane &inside, bool perLane, mlir::Type element,
                 llvm::function_ref<Lane()> value, llvm::function_ref<Lane()> otherwise);
  Lane loadKept(Value tensor, const Point &point);
  void storeKept(Value tensor, const Lane &value);
  std::optional<Lane> keptOffset(Value tensor, const Point &point);
  Lane evalElement(Root &root);
  llvm::SmallVector<Lane> evalOperands(mlir::linalg::LinalgOp op, llvm::ArrayRef<Lane> loops);
  Lane evalAffine(mlir::AffineExpr expr, llvm::ArrayRef<Lane> loops);
  Point pointOf(Value tensor);
  Lane initialOf(Root &root);
  Lane fail(mlir::Type type);

  // What is known inside the innermost region that is being built.
  using PointKey = std::vector<std::tuple<void *, void *, int64_t>>;
  static PointKey keyOf(llvm::ArrayRef<Lane> point);
  std::vector<std::map<std::pair<void *, PointKey>, Lane>> memo;
  void remember(Value tensor, const Point &point, const Lane &value);
  const Lane *recall(Value tensor, const Point &point);
  void scoped(llvm::function_ref<void()> body);

  RowwisePlan &plan;
  KernelBuilder &kb;
  Scope *scope = nullptr;
  Lanes *lanes = nullptr;
  const RowGroup *group = nullptr; ///< null: one thread has the whole row
  Value zero;
  std::map<int, Lane> at; ///< the index of every class that is fixed here
  Value blockStart, blockEnd;
  llvm::MapVector<Value, Value> buffers; ///< of kept values
  llvm::DenseSet<Value> ready;           ///< kept values whose stage is complete
  RowwiseUpdate *updating = nullptr;     ///< only what is new is stored
};

} // namespace attune::codegen
#endif
