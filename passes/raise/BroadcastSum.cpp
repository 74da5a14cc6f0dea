#include "attune/passes/raise/BroadcastSum.h"
#include "attune/passes/Passes.h"
#include "attune/passes/canonicalize/ConstantEval.h"
#include "attune/passes/raise/Match.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_RAISEBROADCASTSUMS
#include "attune/passes/Passes.h.inc"

/// A sum of parts times constants, or null.
AffineExpr SumMatcher::asAffine(Value index) {
  MLIRContext *context = op.getContext();
  if (auto part = llvm::find(parts, index); part != parts.end())
    return getAffineDimExpr(part - parts.begin(), context);
  if (std::optional<int64_t> constant = getConstantIntValue(index))
    return getAffineConstantExpr(*constant, context);
  Operation *parent = index.getDefiningOp();
  if (!parent || !isa<arith::AddIOp, arith::MulIOp>(parent))
    return {};
  AffineExpr left = asAffine(parent->getOperand(0)), right = asAffine(parent->getOperand(1));
  if (!left || !right)
    return {};
  if (isa<arith::AddIOp>(parent))
    return left + right;
  return isa<AffineConstantExpr>(left) || isa<AffineConstantExpr>(right) ? left * right
                                                                         : AffineExpr();
}

SmallVector<OpFoldResult> SumMatcher::extents(OpBuilder &builder, const SumLoop &loop) {
  return llvm::map_to_vector(loop.parts, [&](Value part) {
    return sizes.get(builder, op.getLoc(), elements.extentOf(part));
  });
}

static Value expand(OpBuilder &builder, Location loc, Value tensor,
                    ArrayRef<ReassociationIndices> groups, ArrayRef<OpFoldResult> shape) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (int64_t(shape.size()) == type.getRank())
    return tensor;
  auto [extents, dynamic] = decomposeMixedValues(SmallVector<OpFoldResult>(shape));
  return tensor::ExpandShapeOp::create(
      builder, loc, RankedTensorType::get(extents, type.getElementType()), tensor, groups, shape);
}

/// `map` of every element.
static Value mapped(OpBuilder &builder, Location loc, Value tensor, Type element,
                    llvm::function_ref<Value(OpBuilder &, Value)> map) {
  int64_t rank = cast<RankedTensorType>(tensor.getType()).getRank();
  Value empty =
      tensor::EmptyOp::create(builder, loc, tensor::getMixedSizes(builder, loc, tensor), element);
  AffineMap identity = builder.getMultiDimIdentityMap(rank);
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  return linalg::GenericOp::create(builder, loc, empty.getType(), tensor, empty,
                                   ArrayRef{identity, identity}, iterators,
                                   [&](OpBuilder &nested, Location at, ValueRange args) {
                                     linalg::YieldOp::create(nested, at, map(nested, args[0]));
                                   })
      .getResult(0);
}

/// The tensor of an operand: bytes where the sum is one of bytes, wide integers where shifts need
/// them.
Value SumMatcher::tensorOf(OpBuilder &builder, const ElementOf &element,
                           const std::optional<ByteElement> &code) {
  if (sum.kind == SumTerms::Shifts) {
    auto [width, isSigned] = sum.shifts->extension;
    Type wide = builder.getIntegerType(width);
    if (getElementTypeOrSelf(element.tensor) == wide)
      return element.tensor;
    return mapped(builder, op.getLoc(), element.tensor, wide, [&](OpBuilder &b, Value x) -> Value {
      return isSigned ? arith::ExtSIOp::create(b, op.getLoc(), wide, x).getResult()
                      : arith::ExtUIOp::create(b, op.getLoc(), wide, x);
    });
  }
  if (sum.kind != SumTerms::ByteDistances)
    return element.tensor;
  return code ? unsignedBytes(builder, op.getLoc(), *code)
              : constantBytes(builder, op.getLoc(), element.tensor, sum.code);
}

/// A constant without its axes of extent 1; other tensors as they are.
static Value withoutUnits(OpBuilder &builder, Location loc, Value tensor) {
  auto constant = tensor.getDefiningOp<arith::ConstantOp>();
  auto type = cast<RankedTensorType>(tensor.getType());
  SmallVector<int64_t> shape(type.getShape());
  llvm::erase(shape, 1);
  if (!constant || shape.size() == type.getShape().size())
    return tensor;
  auto smaller = RankedTensorType::get(shape, type.getElementType());
  TypedAttr value;
  if (auto dense = dyn_cast<DenseElementsAttr>(constant.getValue()))
    value = dense.reshape(smaller);
  else if (auto resource = dyn_cast<DenseResourceElementsAttr>(constant.getValue()))
    value = DenseResourceElementsAttr::get(smaller, resource.getRawHandle());
  return value ? arith::ConstantOp::create(builder, loc, value).getResult() : tensor;
}

/// An axis that a loop runs over as a whole gets the loop's parts as axes. `tensor` has the extents
/// of the element's tensor.
std::optional<SumOperand> SumMatcher::operand(OpBuilder &builder, const ElementOf &element,
                                              Value tensor) {
  SmallVector<AffineExpr> results;
  SmallVector<OpFoldResult> shape;
  SmallVector<ReassociationIndices> groups;
  auto type = cast<RankedTensorType>(tensor.getType());
  tensor = withoutUnits(builder, op.getLoc(), tensor);
  bool dropsUnits = tensor.getType() != type;
  for (auto [axis, index] : llvm::enumerate(element.indices)) {
    if (dropsUnits && type.getDimSize(axis) == 1)
      continue;
    AffineExpr expr = asAffine(index);
    if (!expr) {
      reason = "an operand is not read at sums of loops";
      return std::nullopt;
    }
    ReassociationIndices &group = groups.emplace_back();
    auto whole = llvm::find_if(loops, [&](const SumLoop &loop) {
      AffineExpr sum = getAffineConstantExpr(0, op.getContext());
      for (auto [part, unit] : llvm::zip(loop.parts, loop.units))
        sum = sum + asAffine(part) * unit;
      return loop.parts.size() > 1 && simplifyAffineExpr(sum - expr, parts.size(), 0) == 0 &&
             sizes.equal(elements.extentOf(loop.index), sizes.of(element.tensor, axis));
    });
    SmallVector<OpFoldResult> extent{
        sizes.get(builder, op.getLoc(), sizes.of(element.tensor, axis))};
    SmallVector<AffineExpr> exprs{expr};
    if (whole != loops.end()) {
      extent = extents(builder, *whole);
      exprs = llvm::map_to_vector(whole->parts, [&](Value part) { return asAffine(part); });
    }
    for (auto [one, size] : llvm::zip(exprs, extent)) {
      group.push_back(results.size());
      results.push_back(one);
      shape.push_back(size);
    }
  }
  return SumOperand{expand(builder, op.getLoc(), tensor, groups, shape),
                    AffineMap::get(parts.size(), 0, results, op.getContext())};
}

/// An axis for every part of the loops that the codes vary with.
SumOperand SumMatcher::shiftCodes(OpBuilder &builder) {
  SmallVector<AffineExpr> results;
  SmallVector<int64_t> shape;
  for (Value index : sum.shifts->loops) {
    const SumLoop &loop =
        *llvm::find_if(loops, [&](const SumLoop &one) { return one.index == index; });
    for (Value part : loop.parts) {
      results.push_back(asAffine(part));
      shape.push_back(*Sizes::asConstant(elements.extentOf(part)));
    }
  }
  std::vector<Cell> cells;
  for (int8_t code : sum.shifts->codes)
    cells.push_back(Cell{.i = code});
  TypedAttr value = makeConstant(RankedTensorType::get(shape, builder.getI8Type()), cells);
  return {arith::ConstantOp::create(builder, op.getLoc(), value),
          AffineMap::get(parts.size(), 0, results, op.getContext())};
}

/// The sums of an adder of bytes as those of the values: exact up to the one rounding of the scale.
Value SumMatcher::afterBytes(OpBuilder &builder, Value value, Type element) {
  Location loc = op.getLoc();
  if (element.isInteger(32) && sum.negated)
    return value;
  return mapped(builder, loc, value, element, [&](OpBuilder &b, Value x) -> Value {
    if (isa<FloatType>(element)) {
      float scale = std::fabs(sum.code.scale) * (sum.negated ? 1.0f : -1.0f);
      Value factor = arith::ConstantOp::create(b, loc, b.getFloatAttr(element, scale));
      return arith::MulFOp::create(b, loc, arith::SIToFPOp::create(b, loc, element, x), factor);
    }
    if (!element.isInteger(32))
      x = arith::ExtSIOp::create(b, loc, element, x);
    if (sum.negated)
      return x;
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(element));
    return arith::SubIOp::create(b, loc, zero, x);
  });
}

Value SumMatcher::convolution(OpBuilder &builder, const SumOperand &a, const SumOperand &b,
                              Value init, AffineMap result) {
  SmallVector<utils::IteratorType> iterators(parts.size(), utils::IteratorType::reduction);
  std::fill_n(iterators.begin(), result.getNumResults(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, op.getLoc(), init.getType(), ValueRange{a.tensor, b.tensor}, init,
             ArrayRef{a.map, b.map, result}, iterators,
             [](OpBuilder &nested, Location at, ValueRange args) {
               Value term = arith::MulFOp::create(nested, at, args[0], args[1]);
               Value total = arith::AddFOp::create(nested, at, args[2], term);
               linalg::YieldOp::create(nested, at, total);
             })
      .getResult(0);
}

Value SumMatcher::contract(OpBuilder &builder, const SumOperand &a, const SumOperand &b,
                           AffineMap result, ArrayRef<OpFoldResult> shape) {
  Location loc = op.getLoc();
  Type wanted = getElementTypeOrSelf(op->getResult(0));
  bool bytes = sum.kind == SumTerms::ByteDistances;
  bool floatsOfShifts = sum.kind == SumTerms::Shifts && isa<FloatType>(wanted);
  Type element = bytes            ? Type(builder.getI32Type())
                 : floatsOfShifts ? Type(builder.getI64Type())
                                  : wanted;
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(element));
  Value empty = tensor::EmptyOp::create(builder, loc, shape, element);
  Value init = linalg::FillOp::create(builder, loc, zero, empty).getResult(0);
  ArrayAttr maps = builder.getAffineMapArrayAttr({a.map, b.map, result});
  if (sum.kind == SumTerms::Products && a.map.isProjectedPermutation() &&
      b.map.isProjectedPermutation())
    return linalg::ContractOp::create(builder, loc, init.getType(), ValueRange{a.tensor, b.tensor},
                                      init, maps)
        ->getResult(0);
  if (sum.kind == SumTerms::Products)
    return convolution(builder, a, b, init, result);
  if (sum.kind == SumTerms::Shifts) {
    Value value = ContractOp::create(builder, loc, a.tensor, b.tensor, init, ContractKind::Shift,
                                     maps, builder.getI64IntegerAttr(sum.shifts->exponentBias),
                                     sum.shifts->rounding);
    if (!floatsOfShifts)
      return value;
    return mapped(builder, loc, value, wanted, [&](OpBuilder &b, Value x) -> Value {
      Value factor = arith::ConstantOp::create(b, loc, b.getFloatAttr(wanted, sum.shifts->scale));
      return arith::MulFOp::create(b, loc, arith::SIToFPOp::create(b, loc, wanted, x), factor);
    });
  }
  Value value = ContractOp::create(builder, loc, a.tensor, b.tensor, init, ContractKind::Adder,
                                   maps, IntegerAttr());
  if (bytes)
    return afterBytes(builder, value, wanted);
  if (sum.negated)
    return value;
  return mapped(builder, loc, value, element, [&](OpBuilder &nested, Value x) -> Value {
    return arith::NegFOp::create(nested, loc, x);
  });
}

Value SumMatcher::raise(OpBuilder &builder) {
  if (!match())
    return {};
  std::optional<SumOperand> a = operand(builder, sum.a, tensorOf(builder, sum.a, sum.codes[0]));
  std::optional<SumOperand> b;
  if (sum.kind == SumTerms::Shifts)
    b = shiftCodes(builder);
  else if (a)
    b = operand(builder, sum.b, tensorOf(builder, sum.b, sum.codes[1]));
  if (!a || !b)
    return {};
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  SmallVector<OpFoldResult> shape;
  SmallVector<ReassociationIndices> groups;
  for (const SumLoop &loop : ArrayRef(loops).take_front(type.getRank())) {
    ReassociationIndices &group = groups.emplace_back();
    for (OpFoldResult extent : extents(builder, loop)) {
      group.push_back(shape.size());
      shape.push_back(extent);
    }
  }
  AffineMap result =
      AffineMap::getMultiDimIdentityMap(parts.size(), op.getContext()).getMajorSubMap(shape.size());
  auto stepOf = [&](AffineExpr expr, unsigned loop) {
    SmallVector<AffineExpr> zeros(parts.size(), getAffineConstantExpr(0, op.getContext()));
    SmallVector<AffineExpr> ones = zeros;
    ones[loop] = getAffineConstantExpr(1, op.getContext());
    return cast<AffineConstantExpr>(expr.replaceDims(ones)).getValue() -
           cast<AffineConstantExpr>(expr.replaceDims(zeros)).getValue();
  };
  // An axis of which neighbouring results read the same elements.
  auto isWindow = [&](AffineMap map) {
    return llvm::any_of(map.getResults(), [&](AffineExpr expr) {
      for (unsigned own = 0; own < shape.size(); ++own)
        for (unsigned summed = shape.size(); summed < parts.size(); ++summed) {
          std::optional<int64_t> extent = Sizes::asConstant(elements.extentOf(parts[summed]));
          if (extent && expr.isFunctionOfDim(own) && expr.isFunctionOfDim(summed) &&
              stepOf(expr, own) < stepOf(expr, summed) * *extent)
            return true;
        }
      return false;
    });
  };
  bool windows = isWindow(a->map) || isWindow(b->map);
  auto isOfAll = [&](AffineMap map) {
    return llvm::all_of(llvm::seq<unsigned>(0, shape.size()), [&](unsigned loop) {
      return map.isFunctionOfDim(loop) || Sizes::asConstant(elements.extentOf(parts[loop])) == 1;
    });
  };
  auto isReadOnce = [&](AffineMap map) { return !isWindow(map) && isOfAll(map); };
  if (isReadOnce(a->map) || isReadOnce(b->map)) {
    reason = "every element of an operand is read for one result only";
    return {};
  }
  // Products in windows have kernels where filters do not mix channels; matrix products of windows
  // stay what they are.
  bool perChannel = windows && (isOfAll(a->map) || isOfAll(b->map));
  bool plain = a->map.isProjectedPermutation() && b->map.isProjectedPermutation();
  if (sum.kind == SumTerms::Products && !perChannel && (isa<linalg::ContractOp>(op) || !plain))
    return {};
  if (sum.kind == SumTerms::Products && !plain &&
      !inversePermutation(concatAffineMaps({a->map, b->map, result}, op.getContext())))
    return {};
  if (llvm::any_of(llvm::seq<unsigned>(shape.size(), parts.size()), [&](unsigned loop) {
        return !a->map.isFunctionOfDim(loop) && !b->map.isFunctionOfDim(loop);
      })) {
    reason = "the terms are the same along an axis of the sum";
    return {};
  }
  // Weights are on the right.
  if (a->tensor.getDefiningOp<arith::ConstantOp>())
    std::swap(a, b);
  Value value = contract(builder, *a, *b, result, shape);
  if (shape.size() != groups.size())
    value = tensor::CollapseShapeOp::create(builder, op.getLoc(), value, groups);
  return value.getType() == type
             ? value
             : tensor::CastOp::create(builder, op.getLoc(), type, value).getResult();
}

namespace {
struct RaiseBroadcastSums : impl::RaiseBroadcastSumsBase<RaiseBroadcastSums> {
  using RaiseBroadcastSumsBase::RaiseBroadcastSumsBase;

  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> ops(getOperation().getOps<linalg::LinalgOp>());
    for (linalg::LinalgOp op : ops)
      if (!isOpTriviallyDead(op))
        raise(op);
  }

private:
  void raise(linalg::LinalgOp op) {
    // Others have no kernel as a contraction, but one as a sum; and theirs would round differently.
    if (op->getNumResults() != 1 || isConvolution(op))
      return;
    Type element = getElementTypeOrSelf(op->getResult(0));
    if (!element.isF32() && !element.isInteger(32) && !element.isInteger(64))
      return;
    Sizes sizes(getOperation());
    SumMatcher matcher(sizes, op);
    OpBuilder builder(op);
    Value sum = matcher.raise(builder);
    if (!sum) {
      if (matcher.reason.empty() || matcher.kind() == SumTerms::Products)
        return;
      ++numRefused;
      remark::missed(op.getLoc(), options("SumNotRaised"))
          << remark::reason("{0}", matcher.reason)
          << remark::add("nodes {0}", nodeNames(op.getLoc()));
      return;
    }
    op->getResult(0).replaceAllUsesWith(sum);
    ++numRaised;
    remark::passed(sum.getLoc(), options("SumRaised"))
        << remark::add("{0}", describe(matcher.kind()))
        << remark::add("nodes {0}", nodeNames(sum.getLoc()));
    if (!matcher.notInBytes.empty())
      remark::missed(sum.getLoc(), options("SumNotInBytes"))
          << remark::reason("{0}", matcher.notInBytes)
          << remark::add("nodes {0}", nodeNames(sum.getLoc()));
  }

  /// Operands that are read at sums of loops already.
  static bool isConvolution(linalg::LinalgOp op) {
    return llvm::any_of(op.getIndexingMapsArray(), [](AffineMap map) {
      return !map.isProjectedPermutation(/*allowZeroInResults=*/true);
    });
  }

  static StringRef describe(SumTerms::Kind kind) {
    switch (kind) {
    case SumTerms::Products:
      return "product";
    case SumTerms::Distances:
      return "adder layer";
    case SumTerms::ByteDistances:
      return "adder layer of bytes";
    case SumTerms::Shifts:
      return "shift layer of integers";
    }
    llvm_unreachable("all kinds are listed");
  }

  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-raise")
        .function(getOperation().getName());
  }
};
} // namespace
} // namespace attune
