#include "attune/codegen/cpu/Epilogue.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune::codegen {

std::optional<GemmCoords> mapCoords(AffineMap map, ArrayRef<GemmCoord> loops) {
  GemmCoords coords;
  for (AffineExpr expr : map.getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      coords.push_back(loops[dim.getPosition()]);
    else if (auto constant = dyn_cast<AffineConstantExpr>(expr); constant && !constant.getValue())
      coords.push_back({});
    else
      return std::nullopt;
  }
  return coords;
}

namespace {

class Matcher {
public:
  Matcher(KernelOp op, const Sizes &sizes, Value product, const GemmCoords &point)
      : op(op), sizes(sizes), product(product) {
    points[product] = point;
  }

  std::optional<Epilogue> run() {
    Block &body = op.getBody().front();
    for (Operation &inner : body.without_terminator())
      if (!follow(&inner))
        return std::nullopt;
    for (Value value : body.getTerminator()->getOperands())
      if (!matchOutput(value))
        return std::nullopt;
    return epilogue;
  }

private:
  bool follow(Operation *inner) {
    bool chained = llvm::any_of(inner->getOperands(), [&](Value v) { return points.contains(v); });
    if (inner == product.getDefiningOp())
      return !chained;
    if (!chained)
      return isMemoryEffectFree(inner);
    if (auto cast = dyn_cast<tensor::CastOp>(inner)) {
      points[cast.getResult()] = GemmCoords(points[cast.getSource()]);
      return true;
    }
    if (auto expand = dyn_cast<tensor::ExpandShapeOp>(inner))
      return followExpand(expand);
    if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(inner))
      return followCollapse(collapse);
    if (auto transpose = dyn_cast<linalg::TransposeOp>(inner)) {
      if (!points.contains(transpose.getInput()))
        return false;
      GemmCoords next;
      for (int64_t axis : transpose.getPermutation())
        next.push_back(points[transpose.getInput()][axis]);
      points[transpose->getResult(0)] = next;
      return true;
    }
    if (isa<tensor::DimOp>(inner))
      return true;
    auto generic = dyn_cast<linalg::GenericOp>(inner);
    return generic && followGeneric(generic);
  }

  bool followExpand(tensor::ExpandShapeOp expand) {
    std::optional<SmallVector<Size>> extents = sizes.extents(expand.getResult());
    if (!extents || !points.contains(expand.getSrc()))
      return false;
    GemmCoords next;
    for (auto [axis, group] : llvm::enumerate(expand.getReassociationIndices())) {
      GemmCoord whole = points[expand.getSrc()][axis];
      ArrayRef<Size> parts = ArrayRef<Size>(*extents).slice(group.front(), group.size());
      SmallVector<Size> divisors = rowMajorStrides(parts);
      bool outermost = whole.outermost;
      for (auto [part, divisor] : llvm::zip(parts, divisors)) {
        if (part.is(1) || whole.base == GemmCoord::Zero) {
          next.push_back({});
          continue;
        }
        next.push_back({whole.base, whole.divisor * divisor, part, outermost});
        outermost = false;
      }
    }
    points[expand.getResult()] = next;
    return true;
  }

  bool followCollapse(tensor::CollapseShapeOp collapse) {
    if (!points.contains(collapse.getSrc()))
      return false;
    GemmCoords next, source = points[collapse.getSrc()];
    for (const auto &group : collapse.getReassociationIndices()) {
      GemmCoord whole;
      for (int64_t axis : group) {
        const GemmCoord &part = source[axis];
        if (part.base == GemmCoord::Zero)
          continue;
        if (whole.base == GemmCoord::Zero) {
          whole = part;
          continue;
        }
        if (whole.base != part.base || whole.divisor != part.divisor * part.extent)
          return false;
        whole.divisor = part.divisor;
        whole.extent = whole.extent * part.extent;
      }
      next.push_back(whole);
    }
    points[collapse.getResult()] = next;
    return true;
  }

  bool followGeneric(linalg::GenericOp generic) {
    if (generic.getNumParallelLoops() != generic.getNumLoops() ||
        !Lanes::supports(*generic.getBody(), sizes))
      return false;
    std::optional<GemmCoords> loops;
    for (OpOperand *input : generic.getDpsInputOperands()) {
      auto it = points.find(input->get());
      if (it == points.end()) {
        std::optional<View> view = readView(sizes, input->get());
        if (!view || !sizes.inputNumber(view->root))
          return false;
        continue;
      }
      std::optional<GemmCoords> here = loopsAt(generic.getMatchingIndexingMap(input), it->second);
      if (!here || (loops && !(*loops == *here)))
        return false;
      loops = here;
    }
    // Values of the product that only the body captures are read at other points.
    for (Operation &inner : *generic.getBody())
      if (llvm::any_of(inner.getOperands(), [&](Value v) { return points.contains(v); }))
        return false;
    if (!loops)
      return false;
    for (OpOperand *input : generic.getDpsInputOperands())
      if (!mapCoords(generic.getMatchingIndexingMap(input), *loops))
        return false;
    for (OpOperand &init : generic.getDpsInitsMutable()) {
      AffineMap map = generic.getMatchingIndexingMap(&init);
      if (!map.isPermutation() || points.contains(init.get()) ||
          !generic.getMatchingBlockArgument(&init).use_empty())
        return false;
      points[generic.getTiedOpResult(&init)] = *mapCoords(map, *loops);
    }
    epilogue.steps.push_back({generic, *loops});
    return true;
  }

  /// Where the loops of a generic are when the operand of this map is at `point`. Every loop must
  /// be an axis of the operand: others would compute an element more than once.
  std::optional<GemmCoords> loopsAt(AffineMap map, ArrayRef<GemmCoord> point) {
    SmallVector<std::optional<GemmCoord>> loops(map.getNumDims());
    for (auto [axis, expr] : llvm::enumerate(map.getResults())) {
      if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
        if (loops[dim.getPosition()])
          return std::nullopt;
        loops[dim.getPosition()] = point[axis];
      } else if (!isa<AffineConstantExpr>(expr) || point[axis].base != GemmCoord::Zero) {
        return std::nullopt;
      }
    }
    GemmCoords result;
    for (const std::optional<GemmCoord> &loop : loops) {
      if (!loop)
        return std::nullopt;
      result.push_back(*loop);
    }
    return result;
  }

  bool matchOutput(Value yielded) {
    std::optional<SmallVector<Placement>> places = writeViews(sizes, yielded);
    if (!places || places->size() != 1)
      return false;
    auto it = points.find(places->front().value);
    if (it == points.end())
      return false;
    epilogue.outputs.push_back({places->front(), it->second});
    return true;
  }

  KernelOp op;
  const Sizes &sizes;
  Value product;
  Epilogue epilogue;
  llvm::DenseMap<Value, GemmCoords> points; ///< of the values computed from the product
};

} // namespace

std::optional<Epilogue> matchEpilogue(KernelOp op, const Sizes &sizes, Value product,
                                      const GemmCoords &point) {
  return Matcher(op, sizes, product, point).run();
}

} // namespace attune::codegen
