#include "attune/codegen/halide/Funcs.h"
#include "attune/codegen/halide/Support.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace attune::codegen::halide {

hl::Type halideType(Type element) {
  if (element.isIndex())
    return hl::Int(32);
  if (element.isBF16())
    return hl::BFloat(16);
  if (isa<FloatType>(element))
    return hl::Float(element.getIntOrFloatBitWidth());
  if (element.isInteger(1))
    return hl::Bool();
  return hl::Int(element.getIntOrFloatBitWidth());
}

hl::Type storedType(Type element) {
  return element.isInteger(1) ? hl::UInt(8) : halideType(element);
}

hl::Expr translateConstant(Attribute value, Type type) {
  hl::Type to = halideType(type);
  if (auto number = dyn_cast<FloatAttr>(value)) {
    uint64_t bits = number.getValue().bitcastToAPInt().getZExtValue();
    if (to.bits() == 64)
      return hl::Internal::FloatImm::make(to, number.getValueAsDouble());
    if (to.bits() == 32)
      return number.getValue().isFinite() || number.getValue().isInfinity()
                 ? hl::Internal::FloatImm::make(to, number.getValueAsDouble())
                 : hl::reinterpret(to, hl::Expr(static_cast<int32_t>(bits)));
    return hl::reinterpret(to, hl::cast(hl::UInt(16), hl::Expr(static_cast<int32_t>(bits))));
  }
  llvm::APInt bits = cast<IntegerAttr>(value).getValue();
  if (to.is_bool())
    return hl::Internal::make_bool(bits.getBoolValue());
  return hl::Internal::make_const(to, bits.getSExtValue());
}

hl::Expr translateAffine(AffineExpr expr, const Exprs &dims, unsigned symbolsFrom) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return hl::Expr(static_cast<int32_t>(constant.getValue()));
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return dims[dim.getPosition()];
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return dims[symbolsFrom + symbol.getPosition()];
  auto binary = cast<AffineBinaryOpExpr>(expr);
  hl::Expr lhs = translateAffine(binary.getLHS(), dims, symbolsFrom);
  hl::Expr rhs = translateAffine(binary.getRHS(), dims, symbolsFrom);
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return lhs + rhs;
  case AffineExprKind::Mul:
    return lhs * rhs;
  case AffineExprKind::Mod: // Halide's division and remainder are floor and mod of affine maps.
    return lhs % rhs;
  case AffineExprKind::FloorDiv:
    return lhs / rhs;
  default:
    return (lhs + rhs - 1) / rhs;
  }
}

namespace {

hl::Expr asUnsigned(const hl::Expr &x) {
  return x.type().is_bool() ? x : hl::cast(x.type().with_code(hl::Type::UInt), x);
}
hl::Expr asSigned(const hl::Expr &x) { return hl::cast(x.type().with_code(hl::Type::Int), x); }

bool isIndex(Operation &op) {
  return op.getNumOperands() != 0 && op.getOperand(0).getType().isIndex();
}

/// Integers wrap; Halide takes the overflow of wide signed ones for impossible. Index arithmetic
/// stays signed, so that Halide sees the bounds of what it addresses.
template <typename Function> hl::Expr wrapping(Operation &op, const Exprs &x, Function function) {
  if (isIndex(op))
    return function(x[0], x[1]);
  if (x[0].type().is_bool())
    return function(hl::cast<uint8_t>(x[0]), hl::cast<uint8_t>(x[1])) % 2 != 0;
  return asSigned(function(asUnsigned(x[0]), asUnsigned(x[1])));
}

/// `a` where it wins the comparison, else `b`; a NaN on either side wins or loses.
hl::Expr extremum(const hl::Expr &a, const hl::Expr &b, bool greatest, bool propagatesNaN) {
  // An ordered compare that fails takes the second value: x86's max and min do just that.
  hl::Expr first = propagatesNaN ? b : a, second = propagatesNaN ? a : b;
  hl::Expr best = hl::select(greatest ? first > second : first < second, first, second);
  return hl::select(hl::is_nan(b), propagatesNaN ? b : a, best);
}

hl::Expr compareFloats(arith::CmpFPredicate predicate, const hl::Expr &a, const hl::Expr &b) {
  using P = arith::CmpFPredicate;
  auto unordered = [&] { return hl::is_nan(a) || hl::is_nan(b); };
  switch (predicate) {
  case P::AlwaysFalse:
    return hl::Internal::make_bool(false);
  case P::OEQ:
    return a == b;
  case P::OGT:
    return a > b;
  case P::OGE:
    return a >= b;
  case P::OLT:
    return a < b;
  case P::OLE:
    return a <= b;
  case P::ONE:
    return a < b || a > b;
  case P::ORD:
    return !unordered();
  case P::UEQ:
    return a == b || unordered();
  // Halide takes the negation of an ordered comparison for the opposite one.
  case P::UGT:
    return a > b || unordered();
  case P::UGE:
    return a >= b || unordered();
  case P::ULT:
    return a < b || unordered();
  case P::ULE:
    return a <= b || unordered();
  case P::UNE:
    return !(a == b);
  case P::UNO:
    return unordered();
  case P::AlwaysTrue:
    break;
  }
  return hl::Internal::make_bool(true);
}

hl::Expr compareIntegers(arith::CmpIPredicate predicate, hl::Expr a, hl::Expr b) {
  using P = arith::CmpIPredicate;
  switch (predicate) {
  case P::eq:
    return a == b;
  case P::ne:
    return a != b;
  case P::slt:
    return a < b;
  case P::sle:
    return a <= b;
  case P::sgt:
    return a > b;
  case P::sge:
    return a >= b;
  case P::ult:
    return asUnsigned(a) < asUnsigned(b);
  case P::ule:
    return asUnsigned(a) <= asUnsigned(b);
  case P::ugt:
    return asUnsigned(a) > asUnsigned(b);
  case P::uge:
    break;
  }
  return asUnsigned(a) >= asUnsigned(b);
}

hl::Expr signedOf(const hl::Expr &x) { return x.type().is_bool() ? hl::cast<int8_t>(x) : x; }

hl::Expr translateFloat(Operation &op, const Exprs &x) {
  return llvm::TypeSwitch<Operation *, hl::Expr>(&op)
      .Case<arith::AddFOp>([&](auto) { return x[0] + x[1]; })
      .Case<arith::SubFOp>([&](auto) { return x[0] - x[1]; })
      .Case<arith::MulFOp>([&](auto) { return x[0] * x[1]; })
      .Case<arith::DivFOp>([&](auto) { return x[0] / x[1]; })
      .Case<arith::NegFOp>([&](auto) { return -x[0]; })
      .Case<arith::MaximumFOp>([&](auto) { return extremum(x[0], x[1], true, true); })
      .Case<arith::MinimumFOp>([&](auto) { return extremum(x[0], x[1], false, true); })
      .Case<arith::MaxNumFOp>([&](auto) { return extremum(x[0], x[1], true, false); })
      .Case<arith::MinNumFOp>([&](auto) { return extremum(x[0], x[1], false, false); })
      .Case<arith::CmpFOp>([&](auto cmp) { return compareFloats(cmp.getPredicate(), x[0], x[1]); })
      .Case<math::ExpOp>([&](auto) { return hl::exp(x[0]); })
      .Case<math::LogOp>([&](auto) { return hl::log(x[0]); })
      .Case<math::SqrtOp>([&](auto) { return hl::sqrt(x[0]); })
      .Case<math::RsqrtOp>(
          [&](auto) { return hl::Internal::make_one(x[0].type()) / hl::sqrt(x[0]); })
      .Case<math::TanhOp>([&](auto) { return hl::tanh(x[0]); })
      .Case<math::ErfOp>([&](auto) { return hl::erf(x[0]); })
      .Case<math::SinOp>([&](auto) { return hl::sin(x[0]); })
      .Case<math::CosOp>([&](auto) { return hl::cos(x[0]); })
      .Case<math::PowFOp>([&](auto) { return hl::pow(x[0], x[1]); })
      .Case<math::AbsFOp, math::AbsIOp>([&](auto) { return hl::cast(x[0].type(), hl::abs(x[0])); })
      .Case<math::FloorOp>([&](auto) { return hl::floor(x[0]); })
      .Case<math::CeilOp>([&](auto) { return hl::ceil(x[0]); })
      .Case<math::RoundEvenOp>([&](auto) { return hl::round(x[0]); })
      .Case<math::TruncOp>([&](auto) { return hl::trunc(x[0]); })
      .Case<math::FmaOp>([&](auto) { return x[0] * x[1] + x[2]; })
      .Case<math::CopySignOp>([&](auto) {
        hl::Type bits = x[0].type().with_code(hl::Type::UInt);
        hl::Expr sign = hl::Internal::make_const(bits, 1) << (bits.bits() - 1);
        return hl::reinterpret(x[0].type(), (hl::reinterpret(bits, x[0]) & ~sign) |
                                                (hl::reinterpret(bits, x[1]) & sign));
      })
      .Default([](Operation *) { return hl::Expr(); });
}

hl::Expr translateInteger(Operation &op, const Exprs &x) {
  auto logical = [&](auto onBools, auto onBits) {
    return x[0].type().is_bool() ? onBools(x[0], x[1]) : onBits(x[0], x[1]);
  };
  return llvm::TypeSwitch<Operation *, hl::Expr>(&op)
      .Case<arith::AddIOp>([&](auto) {
        return wrapping(op, x, [](const hl::Expr &a, const hl::Expr &b) { return a + b; });
      })
      .Case<arith::SubIOp>([&](auto) {
        return wrapping(op, x, [](const hl::Expr &a, const hl::Expr &b) { return a - b; });
      })
      .Case<arith::MulIOp>([&](auto) {
        return wrapping(op, x, [](const hl::Expr &a, const hl::Expr &b) { return a * b; });
      })
      .Case<arith::DivSIOp>([&](auto) { return hl::div_round_to_zero(x[0], x[1]); })
      .Case<arith::RemSIOp>([&](auto) { return hl::mod_round_to_zero(x[0], x[1]); })
      .Case<arith::FloorDivSIOp>([&](auto) { return x[0] / x[1]; })
      .Case<arith::DivUIOp>([&](auto) {
        return isIndex(op) ? x[0] / x[1] : asSigned(asUnsigned(x[0]) / asUnsigned(x[1]));
      })
      .Case<arith::RemUIOp>([&](auto) {
        return isIndex(op) ? x[0] % x[1] : asSigned(asUnsigned(x[0]) % asUnsigned(x[1]));
      })
      .Case<arith::AndIOp>([&](auto) {
        return logical([](auto a, auto b) { return a && b; }, [](auto a, auto b) { return a & b; });
      })
      .Case<arith::OrIOp>([&](auto) {
        return logical([](auto a, auto b) { return a || b; }, [](auto a, auto b) { return a | b; });
      })
      .Case<arith::XOrIOp>([&](auto) {
        return logical([](auto a, auto b) { return a != b; }, [](auto a, auto b) { return a ^ b; });
      })
      .Case<arith::ShLIOp>([&](auto) { return asSigned(asUnsigned(x[0]) << asUnsigned(x[1])); })
      .Case<arith::ShRSIOp>([&](auto) { return x[0] >> asUnsigned(x[1]); })
      .Case<arith::ShRUIOp>([&](auto) { return asSigned(asUnsigned(x[0]) >> asUnsigned(x[1])); })
      .Case<arith::MaxSIOp>([&](auto) { return hl::max(x[0], x[1]); })
      .Case<arith::MinSIOp>([&](auto) { return hl::min(x[0], x[1]); })
      .Case<arith::MaxUIOp>([&](auto) {
        return isIndex(op) ? hl::max(x[0], x[1])
                           : asSigned(hl::max(asUnsigned(x[0]), asUnsigned(x[1])));
      })
      .Case<arith::MinUIOp>([&](auto) {
        return isIndex(op) ? hl::min(x[0], x[1])
                           : asSigned(hl::min(asUnsigned(x[0]), asUnsigned(x[1])));
      })
      .Case<arith::CmpIOp>(
          [&](auto cmp) { return compareIntegers(cmp.getPredicate(), x[0], x[1]); })
      .Default([](Operation *) { return hl::Expr(); });
}

hl::Expr translateCast(Operation &op, const Exprs &x) {
  hl::Type to = halideType(op.getResult(0).getType());
  return llvm::TypeSwitch<Operation *, hl::Expr>(&op)
      .Case<arith::ExtSIOp, arith::SIToFPOp>([&](auto) {
        hl::Expr value = x[0].type().is_bool() ? -hl::cast<int8_t>(x[0]) : x[0];
        return hl::cast(to, value);
      })
      .Case<arith::ExtUIOp, arith::UIToFPOp, arith::IndexCastUIOp>([&](auto) {
        hl::Type wide = to.is_int() ? to.with_code(hl::Type::UInt) : to;
        return hl::cast(to, hl::cast(wide, asUnsigned(x[0])));
      })
      .Case<arith::TruncIOp>([&](auto) {
        if (to.is_bool())
          return (x[0] & hl::Internal::make_one(x[0].type())) !=
                 hl::Internal::make_zero(x[0].type());
        return hl::cast(to, x[0]);
      })
      .Case<arith::FPToUIOp>(
          [&](auto) { return hl::cast(to, hl::cast(to.with_code(hl::Type::UInt), x[0])); })
      .Case<arith::FPToSIOp, arith::ExtFOp, arith::TruncFOp>(
          [&](auto) { return hl::cast(to, x[0]); })
      .Case<arith::IndexCastOp>([&](auto) {
        hl::Expr value = signedOf(x[0]);
        // An index that does not fit stays out of range.
        if (to.bits() == 32 && value.type().bits() == 64)
          value = hl::clamp(value, hl::Internal::make_const(value.type(), -kMostIndex),
                            hl::Internal::make_const(value.type(), kMostIndex));
        return hl::cast(to, value);
      })
      .Case<arith::BitcastOp>([&](auto) { return hl::reinterpret(to, x[0]); })
      .Default([](Operation *) { return hl::Expr(); });
}

template <typename Op> hl::Expr translateMap(Op op, const Exprs &x, bool least) {
  hl::Expr result;
  for (AffineExpr part : op.getMap().getResults()) {
    hl::Expr next = translateAffine(part, x, op.getMap().getNumDims());
    result = !result.defined() ? next : least ? hl::min(result, next) : hl::max(result, next);
  }
  return result;
}

} // namespace

hl::Expr translateScalar(Operation &op, const Exprs &x) {
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    return translateConstant(constant.getValue(), constant.getType());
  if (isa<arith::SelectOp>(op))
    return hl::select(x[0], x[1], x[2]);
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op))
    return translateMap(apply, x, true);
  if (auto least = dyn_cast<affine::AffineMinOp>(op))
    return translateMap(least, x, true);
  if (auto most = dyn_cast<affine::AffineMaxOp>(op))
    return translateMap(most, x, false);
  for (auto translate : {translateFloat, translateInteger, translateCast})
    if (hl::Expr result = translate(op, x); result.defined())
      return result;
  if (llvm::StringRef name = getDeviceFunction(op); !name.empty())
    return hl::Internal::Call::make(x[0].type(), name.str(), x, hl::Internal::Call::PureExtern);
  throw hl::CompileError(op.getName().getStringRef().str() + " is not translated");
}

hl::Expr combine(Operation &combiner, const hl::Expr &old, const hl::Expr &next) {
  return translateScalar(combiner, {old, next});
}

hl::Expr neutralElement(Operation &combiner) {
  hl::Type type = halideType(combiner.getResult(0).getType());
  auto infinity = [&](double sign) {
    return hl::cast(type,
                    hl::Internal::FloatImm::make(type.bits() == 64 ? hl::Float(64) : hl::Float(32),
                                                 sign * std::numeric_limits<double>::infinity()));
  };
  hl::Expr zero = hl::Internal::make_zero(type);
  return llvm::TypeSwitch<Operation *, hl::Expr>(&combiner)
      .Case<arith::MulFOp, arith::MulIOp>([&](auto) { return hl::Internal::make_one(type); })
      .Case<arith::MaximumFOp, arith::MaxNumFOp>([&](auto) { return infinity(-1); })
      .Case<arith::MinimumFOp, arith::MinNumFOp>([&](auto) { return infinity(1); })
      .Case<arith::MaxSIOp>([&](auto) { return type.is_bool() ? zero : type.min(); })
      .Case<arith::MinSIOp>([&](auto) { return type.is_bool() ? !zero : type.max(); })
      .Case<arith::MinUIOp, arith::AndIOp>([&](auto) {
        return type.is_bool() ? hl::Internal::make_bool(true) : hl::Internal::make_const(type, -1);
      })
      .Default([&](Operation *) { return zero; });
}

} // namespace attune::codegen::halide
