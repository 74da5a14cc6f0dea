#include "attune/passes/Passes.h"
#include "attune/passes/raise/Match.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_SPLITKRONECKER
#include "attune/passes/Passes.h.inc"

namespace {

using Loops = SmallVector<unsigned>;

/// A tensor with the loop of a contraction that each of its axes runs along.
struct Operand {
  Value tensor;
  Loops loops;
};

class KroneckerMatch {
public:
  KroneckerMatch(Sizes &sizes, Contraction contraction, unsigned side)
      : sizes(sizes), elements(sizes), contraction(contraction), product(operand(side)),
        value(operand(1 - side)) {
    for (AffineExpr expr : contraction.resultMap.getResults())
      result.push_back(cast<AffineDimExpr>(expr).getPosition());
    numLoops = contraction.resultMap.getNumDims();
  }

  bool match() {
    splitMerged();
    for (unsigned loop = 0; loop < numLoops; ++loop)
      indices.push_back({});
    for (auto [axis, loop] : llvm::enumerate(product.loops))
      indices[loop] = elements.addIndex(sizes.of(product.tensor, axis));
    int64_t place = 0;
    for (auto [axis, group] : llvm::enumerate(groupsOfValue()))
      for (size_t part = 0; part < group.size(); ++part)
        if (Value &index = indices[value.loops[place++]]; !index)
          index = elements.addIndex(sizes.of(value.tensor, axis));
    SmallVector<Value> at;
    for (unsigned loop : product.loops)
      at.push_back(indices[loop]);
    auto root = elements.at(product.tensor, at).getDefiningOp<arith::MulFOp>();
    if (!root)
      return false;
    Loops sums;
    for (unsigned loop = 0; loop < numLoops; ++loop)
      if (!llvm::is_contained(result, loop))
        sums.push_back(loop);
    Loops split[2];
    for (unsigned n : {0, 1}) {
      Value factor = root->getOperand(n);
      IndexGroups groups;
      for (unsigned loop : product.loops)
        if (elements.depends(factor, indices[loop])) {
          factors[n].loops.push_back(loop);
          groups.push_back({indices[loop]});
          if (llvm::is_contained(sums, loop))
            split[n].push_back(loop);
        }
      layouts[n] = findLayout(elements, sizes, factor, groups,
                              [&](Value index) { return elements.extentOf(index); });
      if (!layouts[n] || split[n].empty())
        return false;
    }
    return split[0].size() + split[1].size() == sums.size() &&
           llvm::none_of(split[0],
                         [&](unsigned loop) { return llvm::is_contained(split[1], loop); });
  }

  void build(OpBuilder &builder) {
    builder.setInsertionPoint(contraction.op);
    Location loc = contraction.op.getLoc();
    for (unsigned n : {0, 1}) {
      IndexGroups groups;
      for (unsigned loop : factors[n].loops)
        groups.push_back({indices[loop]});
      factors[n].tensor = buildLayout(builder, loc, sizes, *layouts[n], groups,
                                      [&](Value index) { return elements.extentOf(index); });
    }
    if (!expanded.empty()) {
      SmallVector<OpFoldResult> shape;
      for (unsigned loop : value.loops)
        shape.push_back(sizes.get(builder, loc, elements.extentOf(indices[loop])));
      SmallVector<int64_t> staticShape;
      SmallVector<Value> dynamic;
      dispatchIndexOpFoldResults(shape, dynamic, staticShape);
      auto type = RankedTensorType::get(staticShape, getElementTypeOrSelf(value.tensor));
      value.tensor =
          tensor::ExpandShapeOp::create(builder, loc, type, value.tensor, expanded, shape);
    }
    // First over the sums of the second factor.
    Loops between;
    for (Operand *operand : {&value, &factors[1]})
      for (unsigned loop : operand->loops) {
        bool summed =
            !llvm::is_contained(result, loop) && !llvm::is_contained(factors[0].loops, loop);
        if (!summed && !llvm::is_contained(between, loop))
          between.push_back(loop);
      }
    Value inner = contract(builder, loc, factors[1], value, between);
    Value outer = contract(builder, loc, factors[0], {inner, between}, result);
    if (merged.size() < result.size() && !merged.empty())
      outer = tensor::CollapseShapeOp::create(builder, loc, outer, merged);
    if (outer.getType() != contraction.result().getType())
      outer = tensor::CastOp::create(builder, loc, contraction.result().getType(), outer);
    contraction.result().replaceAllUsesWith(outer);
  }

private:
  Operand operand(unsigned n) {
    Operand operand{contraction.operands[n], {}};
    for (AffineExpr expr : contraction.maps[n].getResults())
      operand.loops.push_back(cast<AffineDimExpr>(expr).getPosition());
    return operand;
  }

  /// Axes that a reshape of the product merged become loops of their own. The value is taken before
  /// its own such reshape, or reshaped; a result whose axes were merged is merged afterwards.
  void splitMerged() {
    auto collapse = product.tensor.getDefiningOp<tensor::CollapseShapeOp>();
    auto other = value.tensor.getDefiningOp<tensor::CollapseShapeOp>();
    if (!collapse)
      return;
    auto groups = collapse.getReassociationIndices();
    SmallVector<ReassociationIndices> otherGroups;
    if (other)
      otherGroups = other.getReassociationIndices();
    llvm::SmallDenseMap<unsigned, Loops> parts;
    bool undone = bool(other);
    unsigned next = numLoops;
    for (auto [axis, loop] : llvm::enumerate(product.loops)) {
      if (groups[axis].size() < 2)
        continue;
      size_t own = llvm::find(value.loops, loop) - value.loops.begin();
      if (own < value.loops.size())
        undone = undone && sameParts(collapse, groups[axis], other, otherGroups[own]);
      parts[loop] = {loop};
      for (size_t part = 1; part < groups[axis].size(); ++part)
        parts[loop].push_back(next++);
    }
    for (auto [axis, loop] : llvm::enumerate(value.loops))
      undone = undone && (otherGroups[axis].size() == 1 || parts.contains(loop));
    auto split = [&](Loops &loops) {
      Loops all;
      SmallVector<ReassociationIndices> joined;
      for (unsigned loop : loops) {
        auto own = parts.find(loop);
        ArrayRef<unsigned> pieces = own == parts.end() ? ArrayRef(loop) : ArrayRef(own->second);
        auto &group = joined.emplace_back();
        for (unsigned piece : pieces) {
          group.push_back(all.size());
          all.push_back(piece);
        }
      }
      loops = all;
      return joined;
    };
    product.tensor = collapse.getSrc();
    split(product.loops);
    merged = split(result);
    expanded = split(value.loops);
    if (undone)
      value.tensor = other.getSrc();
    if (undone || expanded.size() == value.loops.size())
      expanded.clear();
    numLoops = next;
  }

  /// The loops of each axis of the value's tensor, as positions.
  SmallVector<ReassociationIndices> groupsOfValue() {
    if (!expanded.empty())
      return expanded;
    SmallVector<ReassociationIndices> groups;
    for (int64_t axis = 0; axis < int64_t(value.loops.size()); ++axis)
      groups.push_back({axis});
    return groups;
  }

  bool sameParts(tensor::CollapseShapeOp a, const ReassociationIndices &x,
                 tensor::CollapseShapeOp b, const ReassociationIndices &y) {
    return x.size() == y.size() && llvm::all_of(llvm::zip(x, y), [&](auto pair) {
             return sizes.equal(sizes.of(a.getSrc(), std::get<0>(pair)),
                                sizes.of(b.getSrc(), std::get<1>(pair)));
           });
  }

  Value contract(OpBuilder &builder, Location loc, const Operand &a, const Operand &b,
                 ArrayRef<unsigned> into) {
    // Loops of this contraction alone, numbered anew.
    llvm::SetVector<unsigned> loops(into.begin(), into.end());
    loops.insert(a.loops.begin(), a.loops.end());
    loops.insert(b.loops.begin(), b.loops.end());
    auto mapOf = [&](ArrayRef<unsigned> own) {
      SmallVector<AffineExpr> exprs;
      for (unsigned loop : own)
        exprs.push_back(builder.getAffineDimExpr(llvm::find(loops, loop) - loops.begin()));
      return AffineMap::get(loops.size(), 0, exprs, builder.getContext());
    };
    SmallVector<OpFoldResult> shape;
    for (unsigned loop : into)
      shape.push_back(sizes.get(builder, loc, elements.extentOf(indices[loop])));
    Type element = getElementTypeOrSelf(contraction.result());
    Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(element));
    Value init = tensor::EmptyOp::create(builder, loc, shape, element);
    init = linalg::FillOp::create(builder, loc, zero, init)->getResult(0);
    return linalg::ContractOp::create(
               builder, loc, TypeRange{init.getType()}, ValueRange{a.tensor, b.tensor}, init,
               builder.getAffineMapArrayAttr({mapOf(a.loops), mapOf(b.loops), mapOf(into)}))
        ->getResult(0);
  }

  Sizes &sizes;
  Elements elements;
  Contraction contraction;
  Operand product, value;
  Loops result;
  SmallVector<ReassociationIndices> merged;   ///< of `result`, where it was merged
  SmallVector<ReassociationIndices> expanded; ///< of the value, where it has to be reshaped
  unsigned numLoops = 0;
  SmallVector<Value> indices; ///< by loop
  Operand factors[2];
  std::optional<Layout> layouts[2];
};

struct SplitKronecker : impl::SplitKroneckerBase<SplitKronecker> {
  using SplitKroneckerBase::SplitKroneckerBase;

  void runOnOperation() override {
    SmallVector<Operation *> contractions;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (matchContraction(op))
        contractions.push_back(op);
    });
    Sizes sizes(getOperation());
    for (Operation *op : contractions)
      for (unsigned side : {0, 1}) {
        KroneckerMatch match(sizes, *matchContraction(op), side);
        if (!match.match())
          continue;
        OpBuilder builder(op);
        match.build(builder);
        ++numSplit;
        remark::passed(op->getLoc(), remark::RemarkOpts::name("KroneckerSplit")
                                         .category("attune-rewrite")
                                         .function(getOperation().getName()))
            << remark::add("one sum after the other; nodes {0}", nodeNames(op->getLoc()));
        break;
      }
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }
};
} // namespace
} // namespace attune
