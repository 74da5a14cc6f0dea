//===- AttentionPlan.h - An attention kernel as its emitters see it ---------------------------===//
//
// `AttentionPlan` is what a kernel region says: operands as strides over the kernel's buffers,
// regions without captures, bounds that the mask puts on keys. It is found without changing
// anything, so `matches` asks it, too. `AttentionCode` gives its values and regions inside one
// function, of the CPU or of a device.
//
//   AttentionPlan plan(op);
//   if (!plan.read()) return false;
//   ...
//   AttentionCode code(plan, kb, args, kb.lanes());
//   AttentionValues v = code.values();
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ATTENTIONPLAN_H
#define ATTUNE_CODEGEN_CPU_ATTENTIONPLAN_H

#include "attune/codegen/cpu/AttentionMask.h"
#include "attune/codegen/cpu/AttentionOperand.h"
#include "attune/codegen/cpu/Lanes.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace attune::codegen {

struct AttentionPlan {
  explicit AttentionPlan(KernelOp kernel) : sizes(kernel) {}
  Sizes sizes;
  AttentionOp op;
  llvm::SmallVector<Size> extents; ///< batch, heads, kv heads, queries, keys
  int64_t headDim = 0, valueDim = 0;
  std::optional<AttentionOperand> query, key, value, scores, sink, queryOffset, keyLength;
  std::optional<AttentionOperand> result, lse, logits;
  std::optional<double> scale, constantSink;
  std::unique_ptr<AttentionRegion> score, mask;
  llvm::SmallVector<mlir::tensor::ExtractOp> tables; ///< of the regions, see AttentionTable
  MaskFacts facts;

  /// Whether the kernel is an attention whose operands are views of its buffers.
  bool read();

private:
  bool readOperands();
  bool readResults();
  bool readRegion(bool isScore, std::unique_ptr<AttentionRegion> &region);
  static bool isTable(AttentionRegion &region, mlir::tensor::ExtractOp extract, const View &view);
};

class AttentionCode {
public:
  using Value = mlir::Value;
  AttentionCode(AttentionPlan &plan, KernelBuilder &kb, const KernelArgs &args, int64_t lanes)
      : scope(plan.sizes, kb, args), lanes(scope, lanes), plan(plan), kb(kb) {}

  Scope scope;
  Lanes lanes;
  /// Set once a region could not be built, which `AttentionPlan::read` excludes.
  bool failed = false;

  AttentionValues values();
  /// What a region gives at a point, of `score` in the region of scores.
  Lane evaluate(AttentionRegion &region, const AttentionPoint &point, Value score);
  /// The address at a point of a table that is in the plan.
  AttentionTable::Place place(mlir::tensor::ExtractOp table, const AttentionPoint &point);
  /// The keys that the mask leaves to queries with positions [first, last].
  KeyRange range(Value b, Value h, Value first, Value last, Value keys);

private:
  AttentionPlan &plan;
  KernelBuilder &kb;
  std::function<Value(Value)> vectorOf(const std::optional<AttentionOperand> &operand,
                                       Value extent);
};

} // namespace attune::codegen
#endif
