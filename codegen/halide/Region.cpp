#include "attune/codegen/halide/Region.h"

#include "attune/codegen/cpu/HalfFloats.h"
#include "attune/codegen/cpu/Math.h"
#include "attune/codegen/halide/Checks.h"
#include "attune/codegen/halide/MapMix.h"
#include "attune/codegen/halide/Scan.h"
#include "attune/passes/Passes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace attune::codegen::halide {

int64_t Region::dimOf(unsigned input, int64_t axis) const {
  auto type = cast<RankedTensorType>(arguments()[input].getType());
  return inputDims[input][type.getDynamicDimIndex(axis)];
}

namespace {

Region copyRegion(KernelOp kernel) {
  Region region;
  region.module = ModuleOp::create(kernel.getLoc());
  region.inputs = kernel.getInputs().size();
  OpBuilder b(region.module->getBodyRegion());
  Block &body = kernel.getBody().front();
  auto type = b.getFunctionType(body.getArgumentTypes(), kernel.getResultTypes());
  region.func = func::FuncOp::create(b, kernel.getLoc(), "region", type);
  Block *entry = region.func.addEntryBlock();
  b.setInsertionPointToStart(entry);
  IRMapping map;
  map.map(body.getArguments(), entry->getArguments());
  for (Operation &op : body.without_terminator())
    b.clone(op, map);
  SmallVector<Value> results;
  for (Value value : body.getTerminator()->getOperands())
    results.push_back(map.lookup(value));
  func::ReturnOp::create(b, kernel.getLoc(), results);

  ArrayRef<int64_t> dims = kernel.getInputDims();
  for (Type input : kernel.getInputs().getTypes()) {
    int64_t dynamic = cast<RankedTensorType>(input).getNumDynamicDims();
    region.inputDims.emplace_back(dims.take_front(dynamic));
    dims = dims.drop_front(dynamic);
  }
  return region;
}

/// Packed constants are read where they lie, not unpacked into a copy first.
struct UnpackToGeneric : OpRewritePattern<linalg::UnPackOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::UnPackOp op, PatternRewriter &rewriter) const override {
    RankedTensorType type = op.getDestType();
    if (!type.hasStaticShape() || op.getStaticInnerTiles().size() != op.getInnerDimsPos().size() ||
        llvm::any_of(op.getStaticInnerTiles(), ShapedType::isDynamic))
      return rewriter.notifyMatchFailure(op, "has dynamic extents");
    unsigned rank = type.getRank();
    SmallVector<AffineExpr> outer, inner;
    for (unsigned axis = 0; axis < rank; ++axis)
      outer.push_back(rewriter.getAffineDimExpr(axis));
    for (auto [axis, tile] : llvm::zip(op.getInnerDimsPos(), op.getStaticInnerTiles())) {
      inner.push_back(rewriter.getAffineDimExpr(axis) % tile);
      outer[axis] = outer[axis].floorDiv(tile);
    }
    SmallVector<AffineExpr> source(outer);
    for (auto [place, axis] : llvm::enumerate(op.getOuterDimsPerm()))
      source[place] = outer[axis];
    source.append(inner);
    AffineMap maps[] = {AffineMap::get(rank, 0, source, rewriter.getContext()),
                        rewriter.getMultiDimIdentityMap(rank)};
    SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
    rewriter.replaceOpWithNewOp<linalg::GenericOp>(op, op.getDestType(), op.getSource(),
                                                   op.getDest(), maps, loops,
                                                   [](OpBuilder &b, Location loc, ValueRange args) {
                                                     linalg::YieldOp::create(b, loc, args.front());
                                                   });
    return success();
  }
};

/// Operands that are read at a constant place of a unit axis lose the axis, so that reshapes can
/// move past their reader.
struct DropUnitReads : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const override {
    for (OpOperand *input : op.getDpsInputOperands()) {
      auto type = dyn_cast<RankedTensorType>(input->get().getType());
      AffineMap map = op.getMatchingIndexingMap(input);
      if (!type)
        continue;
      SmallVector<AffineExpr> kept;
      SmallVector<ReassociationIndices> groups(1);
      for (auto [axis, expr] : llvm::enumerate(map.getResults())) {
        bool constant = isa<AffineConstantExpr>(expr) && type.getDimSize(axis) == 1;
        if (!constant) {
          if (!kept.empty())
            groups.emplace_back();
          kept.push_back(expr);
        }
        groups.back().push_back(axis);
      }
      if (kept.size() == map.getNumResults())
        continue;
      if (kept.empty())
        groups.clear();
      Value collapsed =
          tensor::CollapseShapeOp::create(rewriter, op.getLoc(), input->get(), groups);
      SmallVector<AffineMap> maps = op.getIndexingMapsArray();
      maps[input->getOperandNumber()] =
          AffineMap::get(map.getNumDims(), 0, kept, rewriter.getContext());
      rewriter.modifyOpInPlace(op, [&] {
        input->set(collapsed);
        op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
      });
      return success();
    }
    return rewriter.notifyMatchFailure(op, "reads no unit axis at a constant place");
  }
};

/// Reshapes move past an operator by giving it more loops. Between two operators whose unit axes do
/// not match, they would go to and fro without end.
bool mayExpand(OpOperand *reshaped) {
  constexpr unsigned kMostLoops = 12;
  auto hasRoom = [](Operation *op) {
    auto loops = dyn_cast_or_null<linalg::LinalgOp>(op);
    return !loops || loops.getNumLoops() < kMostLoops;
  };
  return hasRoom(reshaped->getOwner()) && hasRoom(reshaped->get().getDefiningOp());
}

LogicalResult lower(Region &region, const CpuTarget *target) {
  MLIRContext *context = region.module->getContext();
  // Steps one after the other are no work for a device.
  if (!target)
    region.module->walk([](LinearAttentionOp op) {
      if (op.isCausal())
        op.setForm(Form::Quadratic);
    });
  RewritePatternSet own(context);
  populateMapMixPatterns(own);
  if (!target)
    populateScanPatterns(own);
  own.add<UnpackToGeneric>(context);
  if (failed(applyPatternsGreedily(*region.module, std::move(own))))
    return failure();

  PassManager pm(context);
  pm.addPass(createDecompose());
  pm.addPass(createLinalgGeneralizeNamedOpsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  if (failed(pm.run(*region.module)))
    return failure();

  RewritePatternSet patterns(context);
  tensor::populateDecomposeTensorConcatPatterns(patterns);
  patterns.add<DropUnitReads>(context);
  linalg::populateFoldReshapeOpsByExpansionPatterns(patterns, mayExpand);
  if (target) {
    populateMathPolynomialPatterns(patterns, *target);
    populateExpandHalfFloatPatterns(patterns, *target);
  }
  if (failed(applyPatternsGreedily(*region.module, std::move(patterns))))
    return failure();

  region.checked = !target && moveChecksToResult(region.func);
  PassManager last(context);
  last.addPass(memref::createResolveShapedTypeResultDimsPass());
  last.addPass(createCanonicalizerPass());
  last.addPass(createCSEPass());
  return last.run(*region.module);
}

} // namespace

llvm::Expected<Region> makeRegion(KernelOp kernel, const CpuTarget *target) {
  std::string messages;
  ScopedDiagnosticHandler handler(kernel.getContext(), [&](Diagnostic &diagnostic) {
    messages += (messages.empty() ? "" : "; ") + diagnostic.str();
    return success();
  });
  Region region = copyRegion(kernel);
  region.onDevice = !target;
  if (failed(lower(region, target)))
    return llvm::createStringError(messages.empty() ? "an operator has no structured form"
                                                    : messages);
  return region;
}

} // namespace attune::codegen::halide
