#include "attune/passes/fuse/ConstantData.h"
#include "attune/passes/raise/Match.h"
#include "attune/passes/rewrite/Projections.h"
#include "attune/passes/rewrite/Rewrite.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <numeric>

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_MERGEPROJECTIONS
#include "attune/passes/Passes.h.inc"

namespace {

//===-- Prices --------------------------------------------------------------------------------===//

/// Prices of a group with `rows` rows of `depth` elements.
class Costs {
public:
  Costs(const FormPrices &prices, double rows, double depth)
      : prices(&prices), rows(rows), depth(depth) {}

  /// All as one product.
  double together(ArrayRef<Projection> group) const {
    double columns = 0, extra = 0;
    for (const Projection &part : group) {
      columns += part.columns;
      if (part.hasExtra())
        extra += prices->seconds(WorkSum{0, rows * part.columns, 0, 8 * rows * part.columns});
    }
    return product(columns, elementBytes(group)) + extra;
  }
  double apart(const Projection &part) const { return product(part.columns, elementBytes(part)); }
  double apart(ArrayRef<Projection> group) const {
    return std::accumulate(group.begin(), group.end(), 0.0,
                           [&](double sum, const Projection &p) { return sum + apart(p); });
  }

private:
  const FormPrices *prices;
  double rows, depth;

  static double elementBytes(ArrayRef<Projection> group) {
    return getElementTypeOrSelf(group.front().product.weight.stored).getIntOrFloatBitWidth() / 8.0;
  }
  double product(double columns, double weightBytes) const {
    return prices->seconds(
        WorkSum{2 * rows * columns * depth, rows * columns, 0,
                4 * rows * depth + weightBytes * depth * columns + 4 * rows * columns});
  }
};

/// One row per dynamic axis, and nominal sizes: two entries, equal where all axes are static.
SmallVector<Costs> costsOf(const Projection &part, const FormPrices &prices) {
  auto type = cast<RankedTensorType>(part.left().getType());
  double few = 1, many = 1, depth = 1;
  for (auto [axis, expr] : llvm::enumerate(part.leftMap.getResults())) {
    double extent = nominalExtent(type, axis);
    if (cast<AffineDimExpr>(expr).getPosition() == part.product.k) {
      depth = extent;
      continue;
    }
    many *= extent;
    few *= type.isDynamicDim(axis) ? 1 : extent;
  }
  return {Costs(prices, few, depth), Costs(prices, many, depth)};
}

//===-- Merging -------------------------------------------------------------------------------===//

Value constantOf(OpBuilder &b, Location loc, RankedTensorType type, StringRef name,
                 AsmResourceBlob blob) {
  return arith::ConstantOp::create(b, loc, type,
                                   DenseResourceElementsAttr::get(type, name, std::move(blob)));
}

/// The stored matrices side by side: [k, n], or [n, k] where all are stored so.
template <typename T>
Value mergedMatrix(OpBuilder &b, Location loc, ArrayRef<Projection> group, bool transposed) {
  auto first = cast<RankedTensorType>(group[0].product.weight.stored.getType());
  int64_t depth = first.getDimSize(group[0].product.transposed ? 1 : 0), columns = 0;
  for (const Projection &part : group)
    columns += part.columns;
  auto type = RankedTensorType::get({transposed ? columns : depth, transposed ? depth : columns},
                                    first.getElementType());
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(columns * depth * sizeof(T), 64);
  auto *out = reinterpret_cast<T *>(const_cast<char *>(blob.getData().data()));
  int64_t start = 0;
  for (const Projection &part : group) {
    ConstantData data(part.product.weight.stored);
    ArrayRef<T> from = data.as<T>();
    for (int64_t column = 0; column < part.columns; ++column)
      for (int64_t row = 0; row < depth; ++row) {
        int64_t at = part.product.transposed ? column * depth + row : row * part.columns + column;
        int64_t to = transposed ? (start + column) * depth + row : row * columns + start + column;
        out[to] = from[data.isSplat() ? 0 : at];
      }
    start += part.columns;
  }
  return constantOf(b, loc, type, "merged", std::move(blob));
}

/// One float per column, `missing` where a part has none.
Value mergedVector(OpBuilder &b, Location loc, ArrayRef<Projection> group, float missing,
                   llvm::function_ref<ArrayRef<float>(const Projection &)> vectorOf) {
  SmallVector<float> values;
  for (const Projection &part : group) {
    ArrayRef<float> data = vectorOf(part);
    if (data.size() <= 1)
      values.append(part.columns, data.empty() ? missing : data[0]);
    else
      llvm::append_range(values, data);
  }
  int64_t size = values.size();
  AsmResourceBlob blob =
      HeapAsmResourceBlob::allocateAndCopyInferAlign<float>(ArrayRef<float>(values));
  return constantOf(b, loc, RankedTensorType::get({size}, b.getF32Type()), "merged",
                    std::move(blob));
}

Value elementwise(OpBuilder &b, Location loc, Value matrix, Value vector, int64_t axis, Value init,
                  llvm::function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  int64_t rank = cast<RankedTensorType>(matrix.getType()).getRank();
  AffineMap all = b.getMultiDimIdentityMap(rank);
  SmallVector<Value> inputs{matrix};
  SmallVector<AffineMap> maps{all};
  if (vector) {
    inputs.push_back(vector);
    maps.push_back(AffineMap::get(rank, 0, b.getAffineDimExpr(axis)));
  }
  maps.push_back(all);
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  return linalg::GenericOp::create(b, loc, init.getType(), inputs, init, maps, loops,
                                   [&](OpBuilder &nested, Location at, ValueRange args) {
                                     linalg::YieldOp::create(nested, at, body(nested, at, args));
                                   })
      .getResult(0);
}

/// The weights as one f32 matrix, made of 8-bit integers where they are stored so.
Value mergedWeight(OpBuilder &b, Location loc, ArrayRef<Projection> group, bool transposed) {
  const ConstantWeight &first = group[0].product.weight;
  if (getElementTypeOrSelf(first.stored).isF32())
    return mergedMatrix<float>(b, loc, group, transposed);
  Value stored = mergedMatrix<int8_t>(b, loc, group, transposed), scale;
  if (first.scale)
    scale = mergedVector(b, loc, group, 1, [](const Projection &part) {
      return ConstantData(part.product.weight.scale).as<float>();
    });
  auto shape = cast<RankedTensorType>(stored.getType()).getShape();
  Value init = tensor::EmptyOp::create(b, loc, shape, b.getF32Type());
  return elementwise(b, loc, stored, scale, transposed ? 0 : 1, init,
                     [](OpBuilder &nested, Location at, ValueRange args) -> Value {
                       Value x = arith::SIToFPOp::create(nested, at, nested.getF32Type(), args[0]);
                       if (args.size() == 3)
                         x = arith::MulFOp::create(nested, at, x, args[1]);
                       return x;
                     });
}

/// Replaces the parts by slices of one product in front of the first of them.
Location merge(ArrayRef<Projection> group) {
  Operation *first = group[0].product.op;
  SmallVector<Location> locations;
  for (const Projection &part : group) {
    if (part.product.op->isBeforeInBlock(first))
      first = part.product.op;
    locations.push_back(part.product.op->getLoc());
    if (part.bias)
      locations.push_back(part.bias->getLoc());
  }
  OpBuilder b(first);
  Location loc = FusedLoc::get(b.getContext(), locations);
  bool transposed = llvm::all_of(group, [](const Projection &p) { return p.product.transposed; });
  Value left = group[0].left(), weight = mergedWeight(b, loc, group, transposed);
  int64_t columns = 0;
  for (const Projection &part : group)
    columns += part.columns;

  AffineMap resultMap = group[0].resultMap;
  unsigned loops = resultMap.getNumDims(), n = loops - 1;
  int64_t columnAxis = *resultMap.getResultPosition(b.getAffineDimExpr(n));
  unsigned k = group[0].depthAxis();
  auto mapOf = [&](ArrayRef<unsigned> dims) {
    return AffineMap::getMultiDimMapWithTargets(loops, dims, b.getContext());
  };
  SmallVector<unsigned> rows(n);
  std::iota(rows.begin(), rows.end(), 0);
  SmallVector<AffineMap> maps{mapOf(rows), transposed ? mapOf({n, k}) : mapOf({k, n}), resultMap};

  SmallVector<OpFoldResult> shape;
  for (AffineExpr expr : resultMap.getResults()) {
    unsigned loop = cast<AffineDimExpr>(expr).getPosition();
    shape.push_back(loop == n ? OpFoldResult(b.getIndexAttr(columns))
                              : tensor::getMixedSize(b, loc, left, loop));
  }
  Value empty = tensor::EmptyOp::create(b, loc, shape, b.getF32Type());
  Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
  Value init = linalg::FillOp::create(b, loc, zero, empty).getResult(0);
  Value merged = linalg::ContractOp::create(b, loc, init.getType(), ValueRange{left, weight},
                                            ValueRange{init}, b.getAffineMapArrayAttr(maps))
                     ->getResult(0);
  if (llvm::any_of(group, [](const Projection &part) { return bool(part.bias); })) {
    Value shift = mergedVector(b, loc, group, 0,
                               [](const Projection &part) { return ArrayRef<float>(part.shift); });
    merged = elementwise(b, loc, merged, shift, columnAxis, empty,
                         [](OpBuilder &nested, Location at, ValueRange args) -> Value {
                           return arith::AddFOp::create(nested, at, args[0], args[1]);
                         });
  }
  SmallVector<OpFoldResult> offsets(shape.size(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(shape.size(), b.getIndexAttr(1));
  int64_t start = 0;
  for (const Projection &part : group) {
    offsets[columnAxis] = b.getIndexAttr(start);
    shape[columnAxis] = b.getIndexAttr(part.columns);
    Value slice =
        tensor::ExtractSliceOp::create(b, part.result().getLoc(), merged, offsets, shape, strides);
    if (slice.getType() != part.result().getType())
      slice = tensor::CastOp::create(b, loc, part.result().getType(), slice);
    part.result().replaceAllUsesWith(slice);
    start += part.columns;
  }
  for (const Projection &part : group) {
    if (part.bias)
      part.bias->erase();
    part.product.op->erase();
  }
  return loc;
}

class MergeProjections : public impl::MergeProjectionsBase<MergeProjections> {
public:
  using MergeProjectionsBase::MergeProjectionsBase;
  explicit MergeProjections(const FormPrices *prices) : prices(prices) {}

  void runOnOperation() override {
    SmallVector<SmallVector<Projection>> groups;
    for (linalg::ContractOp op : getOperation().getBody().front().getOps<linalg::ContractOp>()) {
      std::optional<Projection> projection = matchProjection(op);
      if (!projection)
        continue;
      auto group = llvm::find_if(groups, [&](ArrayRef<Projection> other) {
        return belongTogether(other.front(), *projection);
      });
      if (group == groups.end())
        groups.push_back({*projection});
      else
        group->push_back(*projection);
    }
    for (ArrayRef<Projection> group : groups)
      if (group.size() > 1)
        choose(group);
  }

private:
  const FormPrices *prices = nullptr;

  /// Merges those parts of a group that are cheaper so.
  void choose(ArrayRef<Projection> group) {
    SmallVector<Projection> chosen, others;
    for (const Projection &part : group)
      (part.hasExtra() ? others : chosen).push_back(part);
    SmallVector<Costs> costs;
    if (prices)
      costs = costsOf(group.front(), *prices);
    for (const Projection &part : others) {
      SmallVector<Projection> more(chosen);
      more.push_back(part);
      if (prices && llvm::all_of(costs, [&](const Costs &cost) {
            return cost.together(more) < cost.apart(chosen) + cost.apart(part);
          }))
        chosen.push_back(part);
      else
        refuse(part,
               part.returned ? "it is a result of the model and would be copied"
                             : "its elementwise user would become another kernel",
               costs, more);
    }
    if (chosen.size() < 2)
      return;
    double apart = prices ? costs[1].apart(chosen) : 0,
           one = prices ? costs[1].together(chosen) : 0;
    bool merges = llvm::none_of(
        costs, [&](const Costs &cost) { return cost.together(chosen) > cost.apart(chosen); });
    StringRef reason = "the products cost more together";
    if (prices) {
      FormPrices::Projections either{
          {}, getElementTypeOrSelf(chosen.front().product.weight.stored), one, apart};
      for (const Projection &part : chosen) {
        either.ops.push_back(part.product.op);
        if (part.bias)
          either.ops.push_back(part.bias);
      }
      if (std::optional<bool> measured = prices->measuredTogether(either)) {
        merges = *measured;
        reason = "the products took longer together when they were measured";
      }
      prices->chose(either, merges);
    }
    if (!merges) {
      for (const Projection &part : chosen)
        refuse(part, reason, costs, chosen);
      return;
    }
    Location loc = merge(chosen);
    numMerged += chosen.size();
    auto remark = remark::passed(loc, options("ProjectionsMerged"));
    remark << remark::add("{0} products of one operand are one", chosen.size());
    if (prices)
      remark << remark::metric("apart", milliseconds(apart))
             << remark::metric("together", milliseconds(one));
    remark << remark::add("nodes {0}", nodeNames(loc));
  }

  void refuse(const Projection &part, StringRef reason, ArrayRef<Costs> costs,
              ArrayRef<Projection> group) {
    ++numRefused;
    Location loc = part.product.op->getLoc();
    auto remark = remark::missed(loc, options("ProjectionNotMerged"));
    remark << remark::reason("{0}", reason);
    if (!costs.empty())
      remark << remark::metric("apart", milliseconds(costs[1].apart(group)))
             << remark::metric("together", milliseconds(costs[1].together(group)));
    remark << remark::add("nodes {0}", nodeNames(loc));
  }

  static std::string milliseconds(double seconds) {
    return llvm::formatv("{0:f6} ms", seconds * 1e3).str();
  }
  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-rewrite")
        .function(getOperation().getName());
  }
};

} // namespace

std::unique_ptr<Pass> createMergeProjections(const FormPrices *prices) {
  return std::make_unique<MergeProjections>(prices);
}

} // namespace attune
