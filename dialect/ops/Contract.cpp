#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace attune;

//===-- Reading -------------------------------------------------------------------------------===//

static bool isFloat(Value value) { return isa<FloatType>(getElementTypeOrSelf(value)); }

bool ContractOp::hasCodes() { return isShift() && !isFloat(getWeight()); }

SmallVector<AffineMap> ContractOp::getMaps() {
  return llvm::to_vector(getIndexingMaps().getAsValueRange<AffineMapAttr>());
}

Type ContractOp::getAccumType() {
  return isFloat(getInit()) ? Type(getDefaultAccum(getInit())) : getElementTypeOrSelf(getInit());
}

//===-- Verification --------------------------------------------------------------------------===//

static bool isWideInteger(Type type) {
  return type.isSignlessInteger(32) || type.isSignlessInteger(64);
}

/// Whether the elements are those of a kind of terms, and what those are.
static std::pair<bool, StringRef> fitTypes(ContractOp op) {
  Type input = getElementTypeOrSelf(op.getInput()), weight = getElementTypeOrSelf(op.getWeight());
  Type result = getElementTypeOrSelf(op.getInit());
  bool floats = isa<FloatType>(input) && isa<FloatType>(result);
  bool codes = weight.isSignlessInteger(8);
  if (!op.isShift())
    return {(floats && isa<FloatType>(weight)) ||
                (input.isSignlessInteger(8) && weight == input && result.isSignlessInteger(32)),
            "floats, or i8 with an i32 result"};
  if (!op.shiftsIntegers())
    return {floats && (isa<FloatType>(weight) || codes), "floats, or i8 codes as the weight"};
  return {codes && isWideInteger(input) && isWideInteger(result) &&
              result.getIntOrFloatBitWidth() >= input.getIntOrFloatBitWidth(),
          "i32 or i64, summed in no fewer bits, and i8 codes"};
}

static LogicalResult checkTypes(ContractOp op) {
  if (!op.isShift() && op.shiftsIntegers())
    return op.emitOpError("rounding goes with shifts of integers");
  auto [fits, accepted] = fitTypes(op);
  if (!fits)
    return op.emitOpError("elements of ")
           << (op.shiftsIntegers() ? stringifyContractRounding(op.getRounding())
                                   : stringifyContractKind(op.getKind()))
           << " must be " << accepted << "; found " << getElementTypeOrSelf(op.getInput()) << ", "
           << getElementTypeOrSelf(op.getWeight()) << ", " << getElementTypeOrSelf(op.getInit());
  if (op.hasCodes() != bool(op.getExponentBias()))
    return op.emitOpError("exponent_bias goes with i8 codes of shifts");
  // 2^(128 - bias) and 2^(1 - bias) must be normal in f32.
  if (auto bias = op.getExponentBiasAttr(); bias && (bias.getInt() < 1 || bias.getInt() > 127))
    return op.emitOpError("exponent_bias must be in [1, 127], found ") << bias.getInt();
  return success();
}

static LogicalResult checkWeights(ContractOp op) {
  DenseFPElementsAttr values;
  if (!op.isShift() || !matchPattern(op.getWeight(), m_Constant(&values)))
    return success();
  for (const APFloat &value : values)
    if (!value.isZero() && value.getExactLog2Abs() == INT_MIN)
      return op.emitOpError("a shift weight must be 0 or a signed power of two, found ")
             << value.convertToDouble();
  return success();
}

/// Whether `expr` is a sum of loops times positive constants, and of constants from 0 on.
static bool isAscending(AffineExpr expr) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue() >= 0;
  if (isa<AffineDimExpr>(expr))
    return true;
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return false;
  if (binary.getKind() == AffineExprKind::Mul) {
    auto factor = dyn_cast<AffineConstantExpr>(binary.getRHS());
    return factor && factor.getValue() > 0 && isAscending(binary.getLHS());
  }
  return binary.getKind() == AffineExprKind::Add && isAscending(binary.getLHS()) &&
         isAscending(binary.getRHS());
}

static LogicalResult checkMaps(ContractOp op) {
  SmallVector<AffineMap> maps = op.getMaps();
  if (maps.size() != 3)
    return op.emitOpError("expects three indexing maps, found ") << maps.size();
  std::pair<StringRef, Value> values[] = {
      {"input", op.getInput()}, {"weight", op.getWeight()}, {"result", op.getResult()}};
  for (auto [map, named] : llvm::zip_equal(maps, values)) {
    int64_t rank = cast<RankedTensorType>(named.second.getType()).getRank();
    if (map.getNumDims() != maps[0].getNumDims() || map.getNumSymbols() != 0)
      return op.emitOpError("maps must have the same loops and no symbols");
    if (map.getNumResults() != rank)
      return op.emitOpError() << "the map of " << named.first << " has " << map.getNumResults()
                              << " results, its rank is " << rank;
    if (!llvm::all_of(map.getResults(), isAscending))
      return op.emitOpError()
             << "the map of " << named.first
             << " must have loops or sums of loops times positive constants, found "
             << AffineMapAttr::get(map);
  }
  if (!maps[2].isProjectedPermutation())
    return op.emitOpError("the map of the result must have distinct loops, found ")
           << AffineMapAttr::get(maps[2]);
  return success();
}

/// Static extents of the loops must agree and keep every operand's positions inside.
static LogicalResult checkExtents(ContractOp op) {
  SmallVector<AffineMap> maps = op.getMaps();
  Value values[] = {op.getInput(), op.getWeight(), op.getResult()};
  SmallVector<std::optional<int64_t>> loops(maps[0].getNumDims());
  auto forEachAxis = [&](auto check) {
    for (auto [map, value] : llvm::zip_equal(maps, values))
      for (auto [expr, extent] :
           llvm::zip_equal(map.getResults(), cast<RankedTensorType>(value.getType()).getShape()))
        if (failed(check(expr, extent)))
          return failure();
    return success();
  };
  llvm::SmallBitVector ranged(loops.size());
  LogicalResult agree = forEachAxis([&](AffineExpr expr, int64_t extent) -> LogicalResult {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    if (!loop)
      return success();
    ranged.set(loop.getPosition());
    std::optional<int64_t> &known = loops[loop.getPosition()];
    if (ShapedType::isDynamic(extent))
      return success();
    if (known && *known != extent)
      return op.emitOpError("loop ")
             << loop.getPosition() << " has extents " << *known << " and " << extent;
    known = extent;
    return success();
  });
  if (failed(agree))
    return failure();
  if (!ranged.all())
    return op.emitOpError("loop ") << ranged.find_first_unset() << " is no axis of any operand";
  if (!llvm::all_of(loops, [](auto extent) { return extent && *extent > 0; }))
    return success();
  SmallVector<AffineExpr> last;
  for (auto extent : loops)
    last.push_back(getAffineConstantExpr(*extent - 1, op.getContext()));
  return forEachAxis([&](AffineExpr expr, int64_t extent) -> LogicalResult {
    int64_t end = cast<AffineConstantExpr>(expr.replaceDims(last)).getValue() + 1;
    if (ShapedType::isStatic(extent) && end > extent)
      return op.emitOpError("the maps read up to position ")
             << end - 1 << " of an axis of extent " << extent;
    return success();
  });
}

LogicalResult ContractOp::verify() {
  if (failed(checkTypes(*this)) || failed(checkWeights(*this)) || failed(checkMaps(*this)))
    return failure();
  return checkExtents(*this);
}

//===-- Reference lowering --------------------------------------------------------------------===//

namespace {

class ContractLowering : Lowering {
public:
  ContractLowering(ContractOp op, OpBuilder &builder)
      : Lowering(builder, op.getLoc()), contract(op), accum(op.getAccumType()) {}
  Value run();

private:
  Value distance(Value sum, Value x, Value w);
  Value shifted(Value sum, Value x, Value code);
  Value shiftedRight(Value x, Value count);
  Value floatTerm(Value sum, Value x, Value w);
  Value decode(Value code);

  ContractOp contract;
  Type accum;
};

} // namespace

Value ContractLowering::distance(Value sum, Value x, Value w) {
  Value difference = op<arith::SubIOp>(op<arith::ExtUIOp>(accum, x), op<arith::ExtUIOp>(accum, w));
  return op<arith::SubIOp>(sum, op<math::AbsIOp>(difference));
}

/// `count` >= 0; a shift by the width or more is undefined in arith.
Value ContractLowering::shiftedRight(Value x, Value count) {
  Type type = x.getType();
  Value last = constant(type, type.getIntOrFloatBitWidth() - 1), zero = constant(type, 0);
  Value within = op<arith::MinSIOp>(count, last);
  if (contract.getRounding() == ContractRounding::FloorTerms)
    return op<arith::ShRSIOp>(x, within);
  // The magnitude of the smallest integer is right as an unsigned one.
  bool truncates = contract.getRounding() == ContractRounding::TruncateTerms;
  Value rest = op<arith::ShRUIOp>(truncates ? op<math::AbsIOp>(x) : x, within);
  rest = select(compare(arith::CmpIPredicate::sgt, count, last), zero, rest);
  if (!truncates)
    return rest;
  Value negative = compare(arith::CmpIPredicate::slt, x, zero);
  return select(negative, op<arith::SubIOp>(zero, rest), rest);
}

Value ContractLowering::shifted(Value sum, Value x, Value code) {
  Type type = x.getType();
  Value wide = op<arith::ExtSIOp>(type, code), zero = constant(type, 0);
  Value last = constant(type, type.getIntOrFloatBitWidth() - 1);
  Value bias = constant(type, static_cast<int64_t>(*contract.getExponentBias()));
  Value left = op<arith::SubIOp>(op<math::AbsIOp>(wide), bias);
  Value up = op<arith::ShLIOp>(x, op<arith::MaxSIOp>(op<arith::MinSIOp>(left, last), zero));
  up = select(compare(arith::CmpIPredicate::sgt, left, last), zero, up);
  Value down = shiftedRight(x, op<arith::MaxSIOp>(op<arith::SubIOp>(zero, left), zero));
  Value term = select(compare(arith::CmpIPredicate::slt, left, zero), down, up);
  Value negative = compare(arith::CmpIPredicate::slt, wide, zero);
  term = select(negative, op<arith::SubIOp>(zero, term), term);
  term = select(compare(arith::CmpIPredicate::eq, wide, zero), zero, term);
  return op<arith::AddIOp>(sum, type == accum ? term : op<arith::ExtSIOp>(accum, term));
}

/// The f32 with the code's sign and exponent, by its bits: exact where a function may not be.
Value ContractLowering::decode(Value code) {
  Type i32 = builder.getI32Type(), f32 = builder.getF32Type();
  Value wide = op<arith::ExtSIOp>(i32, code), zero = constant(i32, 0);
  Value shift = constant(i32, 127 - static_cast<int64_t>(*contract.getExponentBias()));
  Value exponent = op<arith::AddIOp>(op<math::AbsIOp>(wide), shift);
  Value bits = op<arith::ShLIOp>(exponent, constant(i32, 23));
  Value magnitude = op<arith::BitcastOp>(f32, bits);
  Value negative = compare(arith::CmpIPredicate::slt, wide, zero);
  Value weight = select(negative, op<arith::NegFOp>(magnitude), magnitude);
  return select(compare(arith::CmpIPredicate::eq, wide, zero), constant(f32, 0), weight);
}

Value ContractLowering::floatTerm(Value sum, Value x, Value w) {
  auto type = llvm::cast<FloatType>(accum);
  x = cast(x, type);
  w = cast(contract.hasCodes() ? decode(w) : w, type);
  if (contract.isShift())
    return op<arith::AddFOp>(sum, op<arith::MulFOp>(x, w));
  return op<arith::SubFOp>(sum, op<math::AbsFOp>(op<arith::SubFOp>(x, w)));
}

Value ContractLowering::run() {
  bool floats = isa<FloatType>(accum);
  Value init = contract.getInit();
  int64_t rank = llvm::cast<RankedTensorType>(init.getType()).getRank();
  if (getElementTypeOrSelf(init) != accum)
    init = elementwise(init, prefix(rank, rank), sizes(init), accum, [&](ValueRange args) {
      return cast(args[0], llvm::cast<FloatType>(accum));
    });
  SmallVector<AffineMap> maps = contract.getMaps();
  Value sum = accumulate({contract.getInput(), contract.getWeight()}, {maps[0], maps[1]}, init,
                         maps[2], [&](ValueRange args) {
                           if (floats)
                             return floatTerm(args[2], args[0], args[1]);
                           return contract.isShift() ? shifted(args[2], args[0], args[1])
                                                     : distance(args[2], args[0], args[1]);
                         });
  return sum.getType() == contract.getType() ? sum : castElements(sum, contract.getResult());
}

FailureOr<SmallVector<Value>> ContractOp::decompose(OpBuilder &builder) {
  return SmallVector<Value>{ContractLowering(*this, builder).run()};
}

//===-- Shapes and work -----------------------------------------------------------------------===//

LogicalResult ContractOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  dims.push_back(tensor::getMixedSizes(builder, getLoc(), getInit()));
  return success();
}

/// A term per point of the loops; of integers, two more operations give it its sign.
SmallVector<WorkTerm> ContractOp::getWork(ExtentOf extent) {
  SmallVector<WorkTerm> terms;
  SmallVector<AffineMap> maps = getMaps();
  SmallVector<OpFoldResult> loops(maps[0].getNumDims());
  Value values[] = {getInput(), getWeight(), getResult()};
  for (auto [map, value] : llvm::zip_equal(maps, values))
    for (auto [axis, expr] : llvm::enumerate(map.getResults()))
      if (auto loop = dyn_cast<AffineDimExpr>(expr); loop && !loops[loop.getPosition()])
        loops[loop.getPosition()] = extent(value, axis);
  unsigned bits = getElementTypeOrSelf(getInput()).getIntOrFloatBitWidth();
  if (isShift())
    addWork(terms, WorkTerm::Class::Shift, 2, loops, bits);
  if (shiftsIntegers())
    addWork(terms, WorkTerm::Class::Arithmetic, 2, loops, bits);
  if (!isShift())
    addWork(terms, WorkTerm::Class::Distance, 3, loops, bits);
  return terms;
}
