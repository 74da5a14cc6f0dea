#include "attune/passes/raise/Sizes.h"

#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace attune {

AffineExpr Sizes::constant(int64_t value) { return getAffineConstantExpr(value, context); }

std::optional<int64_t> Sizes::asConstant(AffineExpr expr) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  return std::nullopt;
}

AffineExpr Sizes::symbol(Value value) {
  auto [entry, fresh] = ids.try_emplace(value, values.size());
  if (fresh)
    values.push_back(value);
  return getAffineSymbolExpr(entry->second, context);
}

Value Sizes::symbolValue(AffineExpr expr) const {
  auto symbol = dyn_cast<AffineSymbolExpr>(expr);
  return symbol ? values[symbol.getPosition()] : Value();
}

bool Sizes::equal(AffineExpr a, AffineExpr b) {
  if (a == b)
    return true;
  AffineExpr difference = simplifyAffineExpr(a - b, 0, numSymbols());
  return asConstant(difference) == 0;
}

void Sizes::collectChecks() {
  checks.emplace();
  for (auto check : func.getBody().front().getOps<cf::AssertOp>())
    if (auto compare = check.getArg().getDefiningOp<arith::CmpIOp>();
        compare && compare.getPredicate() == arith::CmpIPredicate::eq)
      checks->push_back({of(compare.getLhs()), of(compare.getRhs())});
}

/// The factors of a product that are no products, and the constant.
static int64_t flattenProduct(AffineExpr expr, SmallVectorImpl<AffineExpr> &factors) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  if (auto product = dyn_cast<AffineBinaryOpExpr>(expr);
      product && product.getKind() == AffineExprKind::Mul)
    return flattenProduct(product.getLHS(), factors) * flattenProduct(product.getRHS(), factors);
  factors.push_back(expr);
  return 1;
}

bool Sizes::equalWhereUsed(AffineExpr a, AffineExpr b) {
  if (equal(a, b))
    return true;
  if (!checks)
    collectChecks();
  // a * rest = b * rest is checked.
  auto restOf = [&](AffineExpr whole, AffineExpr part, SmallVectorImpl<AffineExpr> &rest) {
    SmallVector<AffineExpr> factors;
    int64_t constant = flattenProduct(whole, rest), divisor = flattenProduct(part, factors);
    for (AffineExpr factor : factors) {
      auto *found = llvm::find(rest, factor);
      if (found == rest.end())
        return int64_t(0);
      rest.erase(found);
    }
    return divisor > 0 && constant % divisor == 0 ? constant / divisor : 0;
  };
  return llvm::any_of(*checks, [&](auto check) {
    for (auto [x, y] : {std::pair(a, b), std::pair(b, a)}) {
      SmallVector<AffineExpr> left, right;
      int64_t factor = restOf(check.first, x, left);
      if (factor > 0 && factor == restOf(check.second, y, right) &&
          std::is_permutation(left.begin(), left.end(), right.begin(), right.end()))
        return true;
    }
    return false;
  });
}

AffineExpr Sizes::of(OpFoldResult size) {
  if (auto attr = dyn_cast<Attribute>(size))
    return constant(cast<IntegerAttr>(attr).getInt());
  return of(cast<Value>(size));
}

AffineExpr Sizes::of(Value tensor, int64_t axis) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(axis))
    return constant(type.getDimSize(axis));
  if (AffineExpr expr = known.lookup({tensor, axis}))
    return expr;
  AffineExpr expr = compute(tensor, axis);
  if (!expr) {
    OpBuilder builder(context);
    builder.setInsertionPointAfterValue(tensor);
    expr = symbol(tensor::DimOp::create(builder, tensor.getLoc(), tensor, axis));
  }
  return known[{tensor, axis}] = expr;
}

AffineExpr Sizes::argument(BlockArgument arg, int64_t axis) {
  StringRef name;
  if (auto names = func.getArgAttrOfType<ArrayAttr>(arg.getArgNumber(), kDimsAttr))
    if (axis < int64_t(names.size()))
      name = cast<StringAttr>(names[axis]).getValue();
  if (!name.empty())
    if (AffineExpr expr = named.lookup(name))
      return expr;
  Block &entry = func.getBody().front();
  Value extent;
  for (auto dim : entry.getOps<tensor::DimOp>()) {
    auto source = dyn_cast<BlockArgument>(dim.getSource());
    std::optional<int64_t> index = dim.getConstantIndex();
    if (!source || source.getOwner() != &entry || !index)
      continue;
    auto names = func.getArgAttrOfType<ArrayAttr>(source.getArgNumber(), kDimsAttr);
    bool sameName = !name.empty() && names && cast<StringAttr>(names[*index]).getValue() == name;
    if (sameName || (source == arg && *index == axis)) {
      extent = dim;
      break;
    }
  }
  if (!extent) {
    OpBuilder builder = OpBuilder::atBlockBegin(&entry);
    extent = tensor::DimOp::create(builder, func.getLoc(), arg, axis);
  }
  AffineExpr expr = symbol(extent);
  if (!name.empty())
    named[name] = expr;
  return expr;
}

/// Unknown if either is.
static AffineExpr times(AffineExpr a, AffineExpr b) { return a && b ? a * b : AffineExpr(); }
static AffineExpr plus(AffineExpr a, AffineExpr b) { return a && b ? a + b : AffineExpr(); }

AffineExpr Sizes::compute(Value tensor, int64_t axis) {
  if (auto arg = dyn_cast<BlockArgument>(tensor))
    return arg.getOwner() == &func.getBody().front() ? argument(arg, axis) : AffineExpr();
  Operation *op = tensor.getDefiningOp();
  return llvm::TypeSwitch<Operation *, AffineExpr>(op)
      .Case<tensor::EmptyOp>([&](auto empty) { return of(empty.getMixedSizes()[axis]); })
      .Case<tensor::CastOp>([&](auto cast) { return of(cast.getSource(), axis); })
      .Case<tensor::ExpandShapeOp>(
          [&](auto expand) { return of(expand.getMixedOutputShape()[axis]); })
      .Case<tensor::CollapseShapeOp>([&](auto collapse) {
        AffineExpr product = constant(1);
        SmallVector<ReassociationIndices> groups = collapse.getReassociationIndices();
        for (int64_t source : groups[axis])
          product = times(product, of(collapse.getSrc(), source));
        return product;
      })
      .Case<tensor::ExtractSliceOp>([&](auto slice) {
        llvm::SmallBitVector dropped = slice.getDroppedDims();
        int64_t source = 0;
        for (int64_t kept = -1;; ++source)
          if (!dropped[source] && ++kept == axis)
            break;
        return of(slice.getMixedSizes()[source]);
      })
      .Case<tensor::ConcatOp>([&](auto concat) {
        if (axis != int64_t(concat.getDim()))
          return of(concat.getInputs().front(), axis);
        AffineExpr sum = constant(0);
        for (Value input : concat.getInputs())
          sum = plus(sum, of(input, axis));
        return sum;
      })
      .Case<tensor::PadOp>([&](auto pad) {
        return plus(plus(of(pad.getSource(), axis), of(pad.getMixedLowPad()[axis])),
                    of(pad.getMixedHighPad()[axis]));
      })
      .Case<NormOp, ScanOp>([&](auto op) {
        return tensor == op->getResult(0) ? of(op.getInput(), axis) : AffineExpr();
      })
      .Case<DftOp>([&](auto dft) {
        if (axis != int64_t(dft.getAxis()))
          return of(dft.getInput(), axis);
        AffineExpr length = of(dft.getLength());
        return dft.getOnesided() && !dft.getInverse() ? length.floorDiv(2) + 1 : length;
      })
      .Case<ScatterOp>([&](auto scatter) { return of(scatter.getData(), axis); })
      .Case<EmaOp>([&](auto ema) {
        return tensor == ema.getResult() ? of(ema.getInput(), axis) : AffineExpr();
      })
      .Case<ToeplitzOp>([&](auto toeplitz) {
        if (axis != 1 || toeplitz.isCausal())
          return of(toeplitz.getInput(), axis);
        return of(toeplitz.getCoeffs(), 0) - of(toeplitz.getInput(), 1) + 1;
      })
      .Case<AttentionOp>([&](auto attention) {
        if (tensor != attention.getResult() || !attention.getQuery())
          return AffineExpr();
        return axis == 3 ? of(attention.getValue(), 3) : of(attention.getQuery(), axis);
      })
      .Case<MapMixOp>([&](auto mix) {
        return axis == 1 ? of(mix.getWeights().back(), 0) : of(mix.getMaps(), axis);
      })
      .Case<DestinationStyleOpInterface>(
          [&](auto op) { return of(op.getTiedOpOperand(cast<OpResult>(tensor))->get(), axis); })
      .Default([](Operation *) { return AffineExpr(); });
}

AffineExpr Sizes::of(Value index) {
  if (AffineExpr expr = indices.lookup(index))
    return expr;
  APInt value;
  AffineExpr expr;
  Operation *op = index.getDefiningOp();
  auto binary = [&](auto combine) { return combine(of(op->getOperand(0)), of(op->getOperand(1))); };
  auto byConstant = [&](auto combine) {
    AffineExpr divisor = of(op->getOperand(1));
    return asConstant(divisor).value_or(0) > 0 ? combine(of(op->getOperand(0)), divisor)
                                               : AffineExpr();
  };
  if (matchPattern(index, m_ConstantInt(&value)))
    expr = constant(value.getSExtValue());
  else if (op)
    expr = llvm::TypeSwitch<Operation *, AffineExpr>(op)
               .Case<arith::AddIOp>(
                   [&](auto) { return binary([](AffineExpr a, AffineExpr b) { return a + b; }); })
               .Case<arith::SubIOp>(
                   [&](auto) { return binary([](AffineExpr a, AffineExpr b) { return a - b; }); })
               .Case<arith::MulIOp>(
                   [&](auto) { return binary([](AffineExpr a, AffineExpr b) { return a * b; }); })
               .Case<arith::DivUIOp, arith::FloorDivSIOp>([&](auto) {
                 return byConstant([](AffineExpr a, AffineExpr b) { return a.floorDiv(b); });
               })
               .Case<arith::CeilDivUIOp, arith::CeilDivSIOp>([&](auto) {
                 return byConstant([](AffineExpr a, AffineExpr b) { return a.ceilDiv(b); });
               })
               .Case<arith::RemUIOp>([&](auto) {
                 return byConstant([](AffineExpr a, AffineExpr b) { return a % b; });
               })
               .Case<arith::IndexCastOp>([&](auto cast) { return of(cast.getIn()); })
               .Case<affine::AffineApplyOp>([&](auto apply) {
                 SmallVector<AffineExpr> operands;
                 for (Value operand : apply.getMapOperands())
                   operands.push_back(of(operand));
                 AffineMap map = apply.getAffineMap();
                 ArrayRef<AffineExpr> all(operands);
                 return map.getResult(0).replaceDimsAndSymbols(all.take_front(map.getNumDims()),
                                                               all.drop_front(map.getNumDims()));
               })
               .Case<tensor::DimOp>([&](auto dim) {
                 std::optional<int64_t> axis = dim.getConstantIndex();
                 auto arg = dyn_cast<BlockArgument>(dim.getSource());
                 if (!axis || (arg && arg.getOwner() != &func.getBody().front()))
                   return AffineExpr();
                 return of(dim.getSource(), *axis);
               })
               .Default([](Operation *) { return AffineExpr(); });
  if (!expr)
    expr = symbol(index);
  expr = simplifyAffineExpr(expr, 0, numSymbols());
  return indices[index] = expr;
}

OpFoldResult Sizes::get(OpBuilder &builder, Location loc, AffineExpr expr) {
  expr = simplifyAffineExpr(expr, 0, numSymbols());
  if (std::optional<int64_t> value = asConstant(expr))
    return builder.getIndexAttr(*value);
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    if (Value value = values[symbol.getPosition()]; value.getType().isIndex())
      return value;
  SmallVector<OpFoldResult> operands;
  for (Value value : values) {
    if (!value.getType().isIndex() && expr.isFunctionOfSymbol(operands.size()))
      value = arith::IndexCastOp::create(builder, loc, builder.getIndexType(), value);
    operands.push_back(value.getType().isIndex() ? OpFoldResult(value)
                                                 : OpFoldResult(builder.getIndexAttr(0)));
  }
  return affine::makeComposedFoldedAffineApply(builder, loc, AffineMap::get(0, numSymbols(), expr),
                                               operands);
}

} // namespace attune
