#include "attune/passes/Passes.h"
#include "attune/passes/raise/Match.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_PUSHMAPMIX
#include "attune/passes/Passes.h.inc"

namespace {

/// maps[b, g * H + h, n, m] = sum_d queries[b, g, n, d] keys[b, h, m, d]
struct Pairs {
  Contraction scores;
  unsigned keys; ///< operand
  unsigned b, g, h, n, m, d;
  int64_t heads; ///< of the keys
};

std::optional<Pairs> matchPairs(Value maps) {
  auto collapse = maps.getDefiningOp<tensor::CollapseShapeOp>();
  if (!collapse || collapse.getSrcType().getRank() != 5 ||
      collapse.getReassociationIndices()[1].size() != 2 || !collapse->hasOneUse())
    return std::nullopt;
  std::optional<Contraction> scores = matchContraction(collapse.getSrc().getDefiningOp());
  if (!scores || !scores->op->hasOneUse() || scores->resultMap.getNumDims() != 6 ||
      scores->resultMap.getNumResults() != 5)
    return std::nullopt;
  Pairs p{*scores, 0, 0, 0, 0, 0, 0, 0, collapse.getSrcType().getDimSize(2)};
  unsigned *loops[] = {&p.b, &p.g, &p.h, &p.n, &p.m};
  unsigned left = 15; // The sum of all loops, less those of the result.
  for (auto [axis, loop] : llvm::enumerate(loops))
    left -= *loop = scores->resultMap.getDimPosition(axis);
  p.d = left;
  p.keys = scores->maps[0].isFunctionOfDim(p.h) ? 0 : 1;
  AffineMap q = scores->maps[1 - p.keys], k = scores->maps[p.keys];
  auto has = [](AffineMap map, std::initializer_list<unsigned> wanted) {
    return map.getNumResults() == wanted.size() &&
           llvm::all_of(wanted, [&](unsigned loop) { return map.isFunctionOfDim(loop); });
  };
  if (!has(q, {p.b, p.g, p.n, p.d}) || !has(k, {p.b, p.h, p.m, p.d}) ||
      ShapedType::isDynamic(p.heads))
    return std::nullopt;
  return p;
}

/// Why the first stage of a mix does not move, or nothing.
StringRef refusal(MapMixOp op, const Pairs &pairs) {
  auto weight = cast<RankedTensorType>(op.getWeights()[0].getType());
  int64_t groups = op.getGroups()[0];
  if (op.getPrevious() || op.getAlpha().convertToDouble() != 1)
    return "the maps are read elsewhere than by the first stage";
  if (!weight.hasStaticShape() || weight.getDimSize(2) != 1 || weight.getDimSize(3) != 1)
    return "the first stage mixes neighbouring positions";
  if (weight.getDimSize(1) != pairs.heads)
    return "a group of the first stage is not all key heads of one query head";
  if (weight.getDimSize(0) / groups > pairs.heads)
    return "there are more mixed keys than key heads";
  if (op.getAccumType() != getElementTypeOrSelf(op.getMaps()))
    return "scores of mixed keys would be rounded otherwise";
  return "";
}

struct PushMapMix : impl::PushMapMixBase<PushMapMix> {
  using PushMapMixBase::PushMapMixBase;

  void runOnOperation() override {
    SmallVector<MapMixOp> ops;
    getOperation().walk([&](MapMixOp op) { ops.push_back(op); });
    for (MapMixOp op : ops) {
      std::optional<Pairs> pairs = matchPairs(op.getMaps());
      if (!pairs)
        continue;
      auto options = [&](StringRef name) {
        return remark::RemarkOpts::name(name)
            .category("attune-rewrite")
            .function(getOperation().getName());
      };
      if (StringRef reason = refusal(op, *pairs); !reason.empty()) {
        remark::missed(op.getLoc(), options("MapMixNotPushed"))
            << remark::reason("{0}", reason) << remark::add("nodes {0}", nodeNames(op.getLoc()));
        continue;
      }
      push(op, *pairs);
      ++numPushed;
      remark::passed(op.getLoc(), options("MapMixPushed"))
          << remark::add("the first mix moves into the keys")
          << remark::add("nodes {0}", nodeNames(op.getLoc()));
    }
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  /// A sum of products from zero with these extents of the result.
  static Value contract(OpBuilder &b, Location loc, Value lhs, Value rhs,
                        ArrayRef<OpFoldResult> shape, ArrayRef<AffineMap> maps) {
    Type element = getElementTypeOrSelf(lhs);
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(element));
    Value empty = tensor::EmptyOp::create(b, loc, shape, element);
    Value init = linalg::FillOp::create(b, loc, zero, empty)->getResult(0);
    return linalg::ContractOp::create(b, loc, init.getType(), ValueRange{lhs, rhs},
                                      ValueRange{init}, b.getAffineMapArrayAttr(maps))
        ->getResult(0);
  }

  static void push(MapMixOp op, const Pairs &p) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    Value weight = op.getWeights()[0];
    auto type = cast<RankedTensorType>(weight.getType());
    Type element = type.getElementType();
    int64_t groups = op.getGroups()[0], mixed = type.getDimSize(0) / groups;
    // [groups * mixed, H, 1, 1] as [groups, mixed, H]
    Value matrix = tensor::CollapseShapeOp::create(b, loc, weight,
                                                   ArrayRef<ReassociationIndices>{{0}, {1, 2, 3}});
    matrix = tensor::ExpandShapeOp::create(b, loc,
                                           RankedTensorType::get({groups, mixed, p.heads}, element),
                                           matrix, ArrayRef<ReassociationIndices>{{0, 1}, {2}});

    // The loops of the scores, with mixed keys in place of key heads; key heads are the last.
    MLIRContext *context = op.getContext();
    auto d = [&](unsigned loop) { return getAffineDimExpr(loop, context); };
    Value keys = p.scores.operands[p.keys], queries = p.scores.operands[1 - p.keys];
    AffineMap keyMap = p.scores.maps[p.keys], queryMap = p.scores.maps[1 - p.keys];
    auto extent = [&](Value tensor, AffineMap map, unsigned loop) {
      return tensor::getMixedSize(b, loc, tensor, *map.getResultPosition(d(loop)));
    };
    OpFoldResult batch = extent(keys, keyMap, p.b), positions = extent(keys, keyMap, p.m);
    OpFoldResult depth = extent(keys, keyMap, p.d), rows = extent(queries, queryMap, p.n);
    OpFoldResult group = b.getIndexAttr(groups), count = b.getIndexAttr(mixed);
    // Loops b, g, u, m, d, h.
    SmallVector<AffineExpr> read;
    for (AffineExpr expr : keyMap.getResults()) {
      unsigned loop = cast<AffineDimExpr>(expr).getPosition();
      read.push_back(d(loop == p.b ? 0 : loop == p.m ? 3 : loop == p.d ? 4 : 5));
    }
    Value mixedKeys = contract(b, loc, matrix, keys, {batch, group, count, positions, depth},
                               {AffineMap::get(6, 0, {d(1), d(2), d(5)}, context),
                                AffineMap::get(6, 0, read, context),
                                AffineMap::get(6, 0, {d(0), d(1), d(2), d(3), d(4)}, context)});
    // Queries repeat for every mixed key of their head, so that these are a batch of products.
    int64_t rank = queryMap.getNumResults();
    SmallVector<OpFoldResult> repeated = tensor::getMixedSizes(b, loc, queries);
    repeated.push_back(count);
    Value empty = tensor::EmptyOp::create(b, loc, repeated, element);
    queries =
        linalg::BroadcastOp::create(b, loc, queries, empty, ArrayRef<int64_t>{rank})->getResult(0);
    queryMap = queryMap.insertResult(d(p.h), rank);
    Value scores =
        contract(b, loc, queries, mixedKeys, {batch, group, count, rows, positions},
                 {queryMap, AffineMap::get(6, 0, {d(p.b), d(p.g), d(p.h), d(p.m), d(p.d)}, context),
                  p.scores.resultMap});
    Value maps = tensor::CollapseShapeOp::create(
        b, loc, scores, ArrayRef<ReassociationIndices>{{0}, {1, 2}, {3}, {4}});
    maps = activate(b, loc, op, maps);
    if (op.getNumStages() == 1) {
      op.replaceAllUsesWith(maps);
      op.erase();
      return;
    }
    auto rest = MapMixOp::create(b, loc, op.getResult().getType(), maps, Value(),
                                 op.getWeights().drop_front(), op.getBiases().drop_front(),
                                 op.getAlphaAttr(), op.getBetaAttr(),
                                 b.getDenseI64ArrayAttr(op.getGroups().drop_front()),
                                 b.getDenseI64ArrayAttr(op.getDilations().drop_front()),
                                 b.getArrayAttr(op.getActs().getValue().drop_front()),
                                 b.getDenseF64ArrayAttr(op.getSlopes().drop_front()));
    op.replaceAllUsesWith(rest.getResult());
    op.erase();
  }

  /// The first stage without its product: act(maps + bias).
  static Value activate(OpBuilder &b, Location loc, MapMixOp op, Value maps) {
    AffineMap full = b.getMultiDimIdentityMap(4);
    Value empty = tensor::EmptyOp::create(b, loc, tensor::getMixedSizes(b, loc, maps),
                                          getElementTypeOrSelf(maps));
    SmallVector<utils::IteratorType> parallel(4, utils::IteratorType::parallel);
    return linalg::GenericOp::create(
               b, loc, empty.getType(), ValueRange{maps, op.getBiases()[0]}, ValueRange{empty},
               ArrayRef<AffineMap>{full, AffineMap::get(4, 0, b.getAffineDimExpr(1)), full},
               parallel,
               [&](OpBuilder &nested, Location at, ValueRange args) {
                 Type type = args[0].getType();
                 auto constant = [&](double value) -> Value {
                   return arith::ConstantOp::create(nested, at, nested.getFloatAttr(type, value));
                 };
                 Value x = arith::AddFOp::create(nested, at, args[0], args[1]);
                 if (op.getAct(0) == MapAct::Relu) {
                   x = arith::MaximumFOp::create(nested, at, x, constant(0));
                 } else if (op.getAct(0) == MapAct::LeakyRelu) {
                   Value below =
                       arith::CmpFOp::create(nested, at, arith::CmpFPredicate::OLT, x, constant(0));
                   Value scaled = arith::MulFOp::create(nested, at, constant(op.getSlopes()[0]), x);
                   x = arith::SelectOp::create(nested, at, below, scaled, x);
                 }
                 linalg::YieldOp::create(nested, at, x);
               })
        .getResult(0);
  }
};

} // namespace
} // namespace attune
