#include "attune/codegen/gpu/Prepare.h"

#include "attune/codegen/gpu/Attention.h"
#include "attune/codegen/gpu/LinearAttention.h"
#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::codegen {
namespace {

bool isHalf(Value tensor) {
  Type type = getElementTypeOrSelf(tensor.getType());
  return type.isF16() || type.isBF16();
}

/// A tensor of f32 in narrower floats.
Value narrowed(OpBuilder &b, Location loc, Value tensor, Type element) {
  auto type = cast<RankedTensorType>(tensor.getType());
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, tensor);
  Value empty = tensor::EmptyOp::create(b, loc, sizes, element);
  AffineMap map = b.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> parallel(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(b, loc, empty.getType(), tensor, empty,
                                   ArrayRef<AffineMap>{map, map}, parallel,
                                   [&](OpBuilder &b, Location loc, ValueRange args) {
                                     Value x = arith::TruncFOp::create(b, loc, element, args[0]);
                                     linalg::YieldOp::create(b, loc, x);
                                   })
      .getResult(0);
}

/// The product of f32 weights in [0, 1] with values of 16 bits, on tensor cores: weights are
/// rounded as the values are, sums stay f32.
void narrowWeights(linalg::GenericOp product) {
  if (product.getNumDpsInputs() != 2 || product->getNumResults() != 1 ||
      !linalg::isaContractionOpInterface(product) ||
      !getElementTypeOrSelf(product.getDpsInputs()[0].getType()).isF32() ||
      !isHalf(product.getDpsInputs()[1]))
    return;
  SmallVector<AffineMap> maps = product.getIndexingMapsArray();
  if (!llvm::all_of(maps, [](AffineMap map) { return map.isProjectedPermutation(); }))
    return;
  OpBuilder b(product);
  Value values = product.getDpsInputs()[1];
  Value weights = narrowed(b, product.getLoc(), product.getDpsInputs()[0],
                           getElementTypeOrSelf(values.getType()));
  auto contract = linalg::ContractOp::create(b, product.getLoc(), product->getResultTypes(),
                                             ValueRange{weights, values}, product.getDpsInits(),
                                             b.getAffineMapArrayAttr(maps));
  product->replaceAllUsesWith(contract);
  product.erase();
}

struct PrepareForGpuPass : PassWrapper<PrepareForGpuPass, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(PrepareForGpuPass)
  StringRef getArgument() const override { return "attune-prepare-for-gpu"; }
  StringRef getDescription() const override { return "Attention as products and a softmax"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, linalg::LinalgDialect, tensor::TensorDialect>();
  }
  void runOnOperation() override {
    SmallVector<DecomposeOpInterface> ops;
    getOperation().walk([&](DecomposeOpInterface op) {
      auto attention = dyn_cast<AttentionOp>(op.getOperation());
      auto linear = dyn_cast<LinearAttentionOp>(op.getOperation());
      if ((attention && !fusesOnGpu(attention)) || (linear && !hasLinearBlocks(linear)))
        ops.push_back(op);
    });
    for (DecomposeOpInterface op : ops) {
      OpBuilder b(op);
      Operation *before = op->getPrevNode();
      FailureOr<SmallVector<Value>> values = op.decompose(b);
      if (failed(values))
        return signalPassFailure();
      SmallVector<linalg::GenericOp> made;
      if (isa<AttentionOp>(op.getOperation()))
        for (Operation *next = before ? before->getNextNode() : &op->getBlock()->front();
             next != op; next = next->getNextNode())
          if (auto generic = dyn_cast<linalg::GenericOp>(next);
              generic && !llvm::is_contained(*values, generic->getResult(0)))
            made.push_back(generic);
      llvm::for_each(made, narrowWeights);
      op->replaceAllUsesWith(*values);
      op->erase();
    }
  }
};

} // namespace

std::unique_ptr<Pass> createPrepareForGpuPass() { return std::make_unique<PrepareForGpuPass>(); }

} // namespace attune::codegen
