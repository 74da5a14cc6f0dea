#include "attune/codegen/cpu/Lanes.h"

#include "attune/runtime/kernel_abi.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;

namespace attune::codegen {

Type storageType(Type element) {
  if (element.isInteger(1))
    return IntegerType::get(element.getContext(), 8);
  // Without bf16 instructions, LLVM moves masked vectors of it through a library call.
  return element.isBF16() ? IntegerType::get(element.getContext(), 16) : element;
}

int64_t storageBytes(Type element) {
  return element.isIndex() ? 8 : storageType(element).getIntOrFloatBitWidth() / 8;
}

static bool isScalarType(Type type) {
  if (type.isIndex())
    return true;
  if (!type.isIntOrFloat())
    return false;
  unsigned bits = type.getIntOrFloatBitWidth();
  return bits == 8 || bits == 16 || bits == 32 || bits == 64 || type.isInteger(1);
}

static bool isDivision(Operation *op) {
  return isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp, arith::FloorDivSIOp,
             arith::CeilDivSIOp, arith::CeilDivUIOp>(op);
}

Lanes::Lanes(Scope &scope, int64_t count) : count(count), scope(scope), kb(scope.kb) {
  memory = [this](Value tensor) -> std::optional<Memory> {
    std::optional<View> view = readView(this->scope.sizes, tensor);
    std::optional<int64_t> number = view ? this->scope.sizes.inputNumber(view->root) : std::nullopt;
    if (!number)
      return std::nullopt;
    return Memory{this->scope.input(*number), *view, true};
  };
}

bool Lanes::supports(Block &block, const Sizes &sizes) {
  auto isKnown = [&](Value value) {
    if (value.getParentBlock() == &block || isa<ShapedType>(value.getType()))
      return true;
    if (Operation *op = value.getDefiningOp(); op && op->hasTrait<OpTrait::ConstantLike>())
      return isScalarType(value.getType());
    return sizes.of(value).has_value();
  };
  for (Operation &op : block) {
    if (!llvm::all_of(op.getOperands(), isKnown) || op.getNumRegions() != 0)
      return false;
    if (!llvm::all_of(op.getResultTypes(), isScalarType))
      return false;
    if (op.hasTrait<OpTrait::IsTerminator>() || op.hasTrait<OpTrait::ConstantLike>() ||
        isa<linalg::IndexOp, cf::AssertOp>(op))
      continue;
    if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
      if (!isInputView(sizes, extract.getTensor()))
        return false;
      continue;
    }
    if (auto dim = dyn_cast<tensor::DimOp>(op)) {
      if (!sizes.of(dim.getResult()))
        return false;
      continue;
    }
    if (isa<affine::AffineApplyOp>(op))
      continue;
    if (!isa<arith::ArithDialect, math::MathDialect>(op.getDialect()) ||
        !OpTrait::hasElementwiseMappableTraits(&op))
      return false;
  }
  return true;
}

//===--------------------------------------------------------------------------------------------===//
// Lane arithmetic
//===--------------------------------------------------------------------------------------------===//

Value Lanes::vector(const Lane &lane) {
  if (!lane.scalar || count == 1)
    return lane.scalar ? lane.scalar : lane.vector;
  Value splat = kb.splat(lane.scalar, count);
  if (lane.step == 0)
    return splat;
  auto type = cast<VectorType>(splat.getType());
  SmallVector<Attribute> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(kb.b.getIntegerAttr(type.getElementType(), i * lane.step));
  Value steps = arith::ConstantOp::create(kb.b, kb.loc, DenseElementsAttr::get(type, ids));
  return arith::AddIOp::create(kb.b, kb.loc, splat, steps);
}

Lane Lanes::add(const Lane &x, const Lane &y) {
  if (x.scalar && y.scalar)
    return Lane::linear(kb.b.createOrFold<arith::AddIOp>(kb.loc, x.scalar, y.scalar),
                        x.step + y.step);
  return kb.b.createOrFold<arith::AddIOp>(kb.loc, vector(x), vector(y));
}

Lane Lanes::mul(const Lane &x, Value uniform) {
  std::optional<int64_t> constant = getConstantIntValue(uniform);
  if (x.uniform() || (x.scalar && constant))
    return Lane::linear(kb.b.createOrFold<arith::MulIOp>(kb.loc, x.scalar, uniform),
                        x.uniform() ? 0 : x.step * *constant);
  return kb.b.createOrFold<arith::MulIOp>(kb.loc, vector(x), vector(uniform));
}

/// For linear operands base + step * lane < other, the scalar difference against constant lane
/// numbers: no vector of wide indices.
Lane Lanes::compare(arith::CmpIPredicate predicate, const Lane &x, const Lane &y) {
  auto create = [&](Value a, Value b) -> Lane {
    return kb.b.createOrFold<arith::CmpIOp>(kb.loc, predicate, a, b);
  };
  constexpr int64_t kFar = int64_t(1) << 30;
  int64_t step = x.step - y.step;
  if (!x.scalar || !y.scalar || std::abs(step) * count >= kFar)
    return create(vector(x), vector(y));
  if (step == 0 || count == 1)
    return create(x.scalar, y.scalar);
  Type type = x.scalar.getType(), i32 = kb.b.getI32Type();
  if (!type.isIndex() && !type.isInteger(64))
    return create(vector(x), vector(y));
  Value difference = kb.b.createOrFold<arith::SubIOp>(kb.loc, y.scalar, x.scalar);
  difference = arith::MaxSIOp::create(kb.b, kb.loc, difference, kb.constI(-kFar, type));
  difference = arith::MinSIOp::create(kb.b, kb.loc, difference, kb.constI(kFar, type));
  Value narrow = type.isIndex()
                     ? arith::IndexCastOp::create(kb.b, kb.loc, i32, difference).getResult()
                     : arith::TruncIOp::create(kb.b, kb.loc, i32, difference).getResult();
  return create(vector(Lane::linear(kb.constI(0, i32), step)), kb.splat(narrow, count));
}

Lane Lanes::offset(const View &view, ArrayRef<Lane> point) {
  Lane sum(scope.get(view.offset));
  for (auto [index, stride] : llvm::zip(point, view.strides))
    if (!stride.is(0))
      sum = add(sum, mul(index, scope.get(stride)));
  return sum;
}

//===--------------------------------------------------------------------------------------------===//
// Memory
//===--------------------------------------------------------------------------------------------===//

/// Addresses of per-lane element offsets.
static Value addresses(KernelBuilder &kb, Value base, Value offsets, Type element) {
  auto type = cast<VectorType>(offsets.getType());
  Value i64s = arith::IndexCastOp::create(
      kb.b, kb.loc, VectorType::get(type.getShape(), kb.b.getI64Type()), offsets);
  return LLVM::GEPOp::create(kb.b, kb.loc, VectorType::get(type.getShape(), kb.ptr()), element,
                             base, ValueRange{i64s});
}

static Value allLanes(KernelBuilder &kb, int64_t count) {
  return kb.constI(1, kb.vec(count, kb.b.getI1Type()));
}

Lane Lanes::load(Type element, Value base, Lane offset, bool constant) {
  Type stored = storageType(element);
  Value value;
  if (offset.scalar && (offset.step == 0 || count == 1)) {
    value = kb.load(stored, base, offset.scalar);
    value.getDefiningOp<LLVM::LoadOp>().setInvariant(constant);
  } else if (offset.step == 1 || offset.step == -1) {
    // Backwards: the same elements from the last lane's on, then reversed.
    bool backwards = offset.step < 0;
    auto reversed = [&](Value x) -> Value {
      if (!backwards)
        return x;
      auto lanes = llvm::to_vector(llvm::reverse(llvm::seq<int64_t>(0, count)));
      return vector::ShuffleOp::create(kb.b, kb.loc, x, x, lanes);
    };
    VectorType type = kb.vec(count, stored);
    Value first = backwards ? kb.add(offset.scalar, 1 - count) : offset.scalar;
    if (active) {
      Value others = arith::ConstantOp::create(kb.b, kb.loc, kb.b.getZeroAttr(type));
      value = LLVM::MaskedLoadOp::create(kb.b, kb.loc, type, kb.gep(base, first, stored),
                                         reversed(active), others, storageBytes(element));
    } else {
      value = kb.load(type, base, first);
      value.getDefiningOp<LLVM::LoadOp>().setInvariant(constant);
    }
    value = reversed(value);
  } else {
    gathered = true;
    VectorType type = kb.vec(count, stored);
    Value mask = active ? active : allLanes(kb, count);
    Value zero = arith::ConstantOp::create(kb.b, kb.loc, kb.b.getZeroAttr(type));
    value =
        LLVM::masked_gather::create(kb.b, kb.loc, type, addresses(kb, base, vector(offset), stored),
                                    mask, ValueRange{zero}, storageBytes(element));
  }
  if (element.isBF16())
    value = arith::BitcastOp::create(
        kb.b, kb.loc, isa<VectorType>(value.getType()) ? Type(kb.vec(count, element)) : element,
        value);
  else if (stored != element)
    value = arith::CmpIOp::create(kb.b, kb.loc, arith::CmpIPredicate::ne, value,
                                  kb.constI(0, value.getType()));
  return value;
}

void Lanes::store(const Lane &lane, Value base, Lane offset) {
  bool scalar = offset.scalar && (offset.step == 0 || count == 1);
  Value value = scalar && lane.uniform() ? lane.scalar : vector(lane);
  Type element = getElementTypeOrSelf(value.getType()), stored = storageType(element);
  if (scalar && isa<VectorType>(value.getType()))
    value = vector::ExtractOp::create(kb.b, kb.loc, value, 0);
  if (stored != element) {
    auto vector = dyn_cast<VectorType>(value.getType());
    Type type = vector ? Type(VectorType::get(vector.getShape(), stored)) : stored;
    if (element.isBF16())
      value = arith::BitcastOp::create(kb.b, kb.loc, type, value);
    else
      value = arith::ExtUIOp::create(kb.b, kb.loc, type, value);
  }
  if (scalar)
    return kb.store(value, base, offset.scalar);
  if (offset.step == 1 && !active)
    return kb.store(value, base, offset.scalar);
  if (offset.step == 1) {
    LLVM::MaskedStoreOp::create(kb.b, kb.loc, value, kb.gep(base, offset.scalar, stored), active,
                                storageBytes(element));
    return;
  }
  gathered = true;
  Value mask = active ? active : allLanes(kb, count);
  LLVM::masked_scatter::create(kb.b, kb.loc, value, addresses(kb, base, vector(offset), stored),
                               mask, storageBytes(element));
}

void Lanes::where(Value mask, llvm::function_ref<void()> body) {
  llvm::SaveAndRestore keep(active);
  active = active ? arith::AndIOp::create(kb.b, kb.loc, active, mask).getResult() : mask;
  body();
}

void Lanes::below(Value limit, llvm::function_ref<void()> body) {
  if (count == 1)
    return body();
  Type i32 = kb.b.getI32Type();
  Value narrow = arith::IndexCastOp::create(kb.b, kb.loc, i32, limit);
  where(arith::CmpIOp::create(kb.b, kb.loc, arith::CmpIPredicate::slt,
                              kb.laneIds(kb.vec(count, i32)), kb.splat(narrow, count)),
        body);
}

//===--------------------------------------------------------------------------------------------===//
// Errors
//===--------------------------------------------------------------------------------------------===//

Value Lanes::errorSlot() {
  if (!slot)
    slot = scope.atEntry([&] {
      Value one = kb.constI(1, kb.b.getI64Type());
      Value address = LLVM::AllocaOp::create(kb.b, kb.loc, kb.ptr(), kb.b.getI32Type(), one);
      kb.store(kb.constI(0, kb.b.getI32Type()), address);
      return address;
    });
  return slot;
}

void Lanes::require(const Lane &ok, int32_t code) {
  Value address = errorSlot();
  Value value = ok.uniform() && !active ? ok.scalar : vector(ok);
  Value bad = arith::XOrIOp::create(kb.b, kb.loc, value, kb.constI(1, value.getType()));
  if (active && isa<VectorType>(bad.getType()))
    bad = arith::AndIOp::create(kb.b, kb.loc, bad, active);
  if (isa<VectorType>(bad.getType()))
    bad = vector::ReductionOp::create(kb.b, kb.loc, vector::CombiningKind::OR, bad);
  kb.ifThen(bad, [&] { kb.store(kb.constI(code, kb.b.getI32Type()), address); });
}

Value Lanes::error() {
  return slot ? kb.load(kb.b.getI32Type(), slot) : kb.constI(0, kb.b.getI32Type());
}

//===--------------------------------------------------------------------------------------------===//
// Bodies
//===--------------------------------------------------------------------------------------------===//

struct LaneCloner {
  Lanes &lanes;
  KernelBuilder &kb;
  Block &block;
  ArrayRef<Lane> indices;
  llvm::DenseMap<Value, Lane> values;

  FailureOr<SmallVector<Lane>> run(ArrayRef<Value> wanted) {
    llvm::SmallPtrSet<Operation *, 16> needed;
    auto need = [&](Value value) {
      if (Operation *op = value.getDefiningOp();
          op && op->getBlock() == &block && !lanes.known.contains(value))
        needed.insert(op);
    };
    llvm::for_each(wanted, need);
    for (Operation &op : llvm::reverse(block.without_terminator()))
      if (needed.contains(&op) || isa<cf::AssertOp>(op)) {
        needed.insert(&op);
        llvm::for_each(op.getOperands(), need);
      }
    for (Operation &op : block.without_terminator())
      if (needed.contains(&op) && failed(clone(&op)))
        return failure();
    return llvm::map_to_vector(wanted, [&](Value value) { return lookup(value); });
  }

  Lane lookup(Value value) {
    if (auto it = values.find(value); it != values.end())
      return it->second;
    if (auto it = lanes.known.find(value); it != lanes.known.end())
      return it->second;
    return values[value] = lanes.scope.get(value);
  }

  LogicalResult clone(Operation *op) {
    if (auto index = dyn_cast<linalg::IndexOp>(op)) {
      if (index.getDim() >= indices.size())
        return failure();
      values[index] = indices[index.getDim()];
      return success();
    }
    if (op->hasTrait<OpTrait::ConstantLike>()) {
      values[op->getResult(0)] = Lane(kb.b.clone(*op)->getResult(0));
      return success();
    }
    if (auto check = dyn_cast<cf::AssertOp>(op)) {
      lanes.require(lookup(check.getArg()), ATTUNE_KERNEL_INDEX_OUT_OF_RANGE);
      return success();
    }
    if (auto extract = dyn_cast<tensor::ExtractOp>(op))
      return cloneExtract(extract);
    if (isa<tensor::DimOp>(op)) {
      values[op->getResult(0)] = Lane(lanes.scope.get(op->getResult(0)));
      return success();
    }
    if (auto apply = dyn_cast<affine::AffineApplyOp>(op)) {
      SmallVector<Lane> operands;
      for (Value operand : apply.getMapOperands())
        operands.push_back(lookup(operand));
      AffineMap map = apply.getAffineMap();
      values[apply] = expand(map.getResult(0), operands, map.getNumDims());
      return success();
    }
    if (succeeded(cloneLinear(op)))
      return success();
    if (!OpTrait::hasElementwiseMappableTraits(op))
      return failure();
    SmallVector<Lane> operands;
    for (Value operand : op->getOperands())
      operands.push_back(lookup(operand));
    if (isDivision(op))
      guardDivision(op, operands);
    SmallVector<Lane> results = isNarrowFloat(op) ? applyWide(op, operands) : apply(op, operands);
    for (auto [result, lane] : llvm::zip(op->getResults(), results))
      values[result] = lane;
    return success();
  }

  static bool isNarrow(Type type) { return type.isF16() || type.isBF16(); }
  static bool isNarrowFloat(Operation *op) {
    return !isa<arith::ExtFOp, arith::TruncFOp, arith::BitcastOp, arith::SelectOp>(op) &&
           (llvm::any_of(op->getOperandTypes(), isNarrow) ||
            llvm::any_of(op->getResultTypes(), isNarrow));
  }

  /// f16 and bf16 in f32, rounded once: most targets have no instruction and would call a library.
  SmallVector<Lane> applyWide(Operation *op, ArrayRef<Lane> operands) {
    Type f32 = kb.f32();
    bool uniform =
        lanes.count == 1 || llvm::all_of(operands, [](const Lane &x) { return x.uniform(); });
    OperationState state(kb.loc, op->getName());
    for (auto [operand, type] : llvm::zip(operands, op->getOperandTypes())) {
      Lane wide = isNarrow(type) ? make("arith.extf", f32, {operand}) : operand;
      state.operands.push_back(uniform ? wide.scalar : lanes.vector(wide));
    }
    for (Type type : op->getResultTypes()) {
      Type wide = isNarrow(type) ? f32 : type;
      state.types.push_back(uniform ? wide : Type(kb.vec(lanes.count, wide)));
    }
    state.addAttributes(op->getAttrs());
    Operation *made = kb.b.create(state);
    SmallVector<Lane> results;
    for (auto [value, type] : llvm::zip(made->getResults(), op->getResultTypes()))
      results.push_back(isNarrow(type) ? make("arith.truncf", type, {Lane(value)}) : Lane(value));
    return results;
  }

  /// The op on scalars if all operands are uniform, on vectors otherwise.
  SmallVector<Lane> apply(Operation *op, ArrayRef<Lane> operands) {
    bool uniform =
        lanes.count == 1 || llvm::all_of(operands, [](const Lane &x) { return x.uniform(); });
    OperationState state(kb.loc, op->getName());
    for (const Lane &operand : operands)
      state.operands.push_back(uniform ? operand.scalar : lanes.vector(operand));
    for (Type type : op->getResultTypes())
      state.types.push_back(uniform ? type : Type(kb.vec(lanes.count, type)));
    state.addAttributes(op->getAttrs());
    Operation *made = kb.b.create(state);
    return llvm::map_to_vector(made->getResults(), [](Value v) { return Lane(v); });
  }

  Lane make(StringRef name, Type type, ArrayRef<Lane> operands) {
    bool uniform =
        lanes.count == 1 || llvm::all_of(operands, [](const Lane &x) { return x.uniform(); });
    OperationState state(kb.loc, name);
    for (const Lane &operand : operands)
      state.operands.push_back(uniform ? operand.scalar : lanes.vector(operand));
    state.types.push_back(uniform ? type : Type(kb.vec(lanes.count, type)));
    return kb.b.create(state)->getResult(0);
  }

  /// x86 traps on a zero divisor and on INT_MIN / -1: the first is an error of the call, the second
  /// wraps to INT_MIN (remainder 0), which a divisor of 1 gives too.
  void guardDivision(Operation *op, SmallVectorImpl<Lane> &operands) {
    if (getConstantIntValue(op->getOperand(1)).value_or(0) > 0)
      return;
    Type type = op->getResultTypes()[0];
    Lane one = constant(1, type);
    auto cmp = [&](arith::CmpIPredicate predicate, Lane x, Lane y) -> Lane {
      bool uniform = lanes.count == 1 || (x.uniform() && y.uniform());
      return arith::CmpIOp::create(kb.b, kb.loc, predicate, uniform ? x.scalar : lanes.vector(x),
                                   uniform ? y.scalar : lanes.vector(y))
          .getResult();
    };
    Lane divisor = operands[1];
    Lane isZero = cmp(arith::CmpIPredicate::eq, divisor, constant(0, type));
    Lane notZero = make("arith.xori", kb.b.getI1Type(), {isZero, constant(1, kb.b.getI1Type())});
    lanes.require(notZero, ATTUNE_KERNEL_DIVISION_BY_ZERO);
    Lane replace = isZero;
    if (!isa<arith::DivUIOp, arith::RemUIOp, arith::CeilDivUIOp>(op)) {
      unsigned bits = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
      Lane least = constant(APInt::getSignedMinValue(bits).getSExtValue(), type);
      Lane overflow = make("arith.andi", kb.b.getI1Type(),
                           {cmp(arith::CmpIPredicate::eq, divisor, constant(-1, type)),
                            cmp(arith::CmpIPredicate::eq, operands[0], least)});
      replace = make("arith.ori", kb.b.getI1Type(), {isZero, overflow});
    }
    operands[1] = make("arith.select", type, {replace, one, divisor});
  }

  Lane constant(int64_t value, Type type) { return Lane(kb.constI(value, type)); }

  /// Index arithmetic on linear values stays scalar.
  LogicalResult cloneLinear(Operation *op) {
    if (op->getNumResults() != 1 || op->getNumOperands() == 0 || lanes.count == 1 ||
        !op->getOperand(0).getType().isIntOrIndex())
      return failure();
    Lane x = lookup(op->getOperand(0));
    Lane y = op->getNumOperands() == 2 ? lookup(op->getOperand(1)) : Lane();
    Value result = op->getResult(0);
    if (!x.scalar || (op->getNumOperands() == 2 && !y.scalar) || op->getNumOperands() > 2 ||
        (x.uniform() && (!y.scalar || y.uniform())))
      return failure();
    if (isa<arith::AddIOp>(op)) {
      values[result] = lanes.add(x, y);
      return success();
    }
    if (isa<arith::SubIOp>(op)) {
      values[result] = Lane::linear(kb.b.createOrFold<arith::SubIOp>(kb.loc, x.scalar, y.scalar),
                                    x.step - y.step);
      return success();
    }
    if (isa<arith::MulIOp>(op)) {
      if (!x.uniform())
        std::swap(x, y);
      if (!x.uniform() || !getConstantIntValue(x.scalar))
        return failure();
      values[result] = lanes.mul(y, x.scalar);
      return success();
    }
    if (isa<arith::IndexCastOp, arith::ExtSIOp>(op)) {
      Type type = result.getType();
      if (!type.isIndex() && type.getIntOrFloatBitWidth() < 32)
        return failure();
      Value cast = kb.b.createOrFold<arith::IndexCastOp>(kb.loc, type, x.scalar);
      if (isa<arith::ExtSIOp>(op))
        cast = arith::ExtSIOp::create(kb.b, kb.loc, type, x.scalar);
      values[result] = Lane::linear(cast, x.step);
      return success();
    }
    auto cmp = dyn_cast<arith::CmpIOp>(op);
    using P = arith::CmpIPredicate;
    if (!cmp ||
        !llvm::is_contained({P::eq, P::ne, P::slt, P::sle, P::sgt, P::sge}, cmp.getPredicate()))
      return failure();
    values[result] = lanes.compare(cmp.getPredicate(), x, y);
    return success();
  }

  Lane expand(AffineExpr expr, ArrayRef<Lane> operands, unsigned dims) {
    if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      return Lane(kb.idx(constant.getValue()));
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      return operands[dim.getPosition()];
    if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
      return operands[dims + symbol.getPosition()];
    auto binary = cast<AffineBinaryOpExpr>(expr);
    Lane x = expand(binary.getLHS(), operands, dims), y = expand(binary.getRHS(), operands, dims);
    Type index = kb.index();
    switch (expr.getKind()) {
    case AffineExprKind::Add:
      return lanes.add(x, y);
    case AffineExprKind::Mul:
      return y.uniform()   ? lanes.mul(x, y.scalar)
             : x.uniform() ? lanes.mul(y, x.scalar)
                           : make("arith.muli", index, {x, y});
    case AffineExprKind::FloorDiv:
      return make("arith.floordivsi", index, {x, y});
    case AffineExprKind::CeilDiv:
      return make("arith.ceildivsi", index, {x, y});
    default: { // mod: never negative
      Lane quotient = make("arith.floordivsi", index, {x, y});
      return make("arith.subi", index, {x, make("arith.muli", index, {quotient, y})});
    }
    }
  }

  LogicalResult cloneExtract(tensor::ExtractOp extract) {
    std::optional<Memory> memory = lanes.memory(extract.getTensor());
    std::optional<SmallVector<Size>> extents = lanes.scope.sizes.extents(extract.getTensor());
    if (!memory || !extents)
      return failure();
    SmallVector<Lane> point;
    for (Value index : extract.getIndices())
      point.push_back(lookup(index));
    Lane offset = lanes.offset(memory->view, point);
    Value base = memory->base;
    Size total = product(*extents);
    if (total.constant().value_or(0) == 0 && lanes.count == 1) {
      Type type = extract.getType();
      Value some = kb.lt(kb.idx(0), lanes.scope.get(total));
      auto element = [&]() -> Values {
        return {lanes.vector(lanes.load(type, base, offset, memory->constant))};
      };
      auto none = [&]() -> Values {
        return {arith::ConstantOp::create(kb.b, kb.loc, kb.b.getZeroAttr(type))};
      };
      values[extract] = Lane(kb.ifElse(some, type, element, none)[0]);
      return success();
    }
    if (total.constant().value_or(0) == 0) {
      // An empty table: the indices are out of range and reported as such; read something harmless.
      Value none = lanes.scope.atEntry([&] {
        Value bytes = kb.constI(lanes.count * 8, kb.b.getI64Type());
        return LLVM::AllocaOp::create(kb.b, kb.loc, kb.ptr(), kb.b.getI8Type(), bytes, 8)
            .getResult();
      });
      Value filled = lanes.scope.get(total);
      Value some = kb.lt(kb.idx(0), filled);
      base = arith::SelectOp::create(kb.b, kb.loc, some, base, none);
      if (offset.scalar)
        offset.scalar = kb.select(some, offset.scalar, kb.idx(0));
      else
        offset.vector = arith::SelectOp::create(kb.b, kb.loc, some, offset.vector,
                                                kb.constI(0, offset.vector.getType()));
    }
    values[extract] = lanes.load(extract.getType(), base, offset, memory->constant);
    return success();
  }
};

FailureOr<SmallVector<Lane>> Lanes::clone(Block &block, ArrayRef<Lane> args, ArrayRef<Lane> indices,
                                          ArrayRef<Value> wanted) {
  LaneCloner cloner{*this, kb, block, indices, llvm::DenseMap<Value, Lane>()};
  for (auto [arg, value] : llvm::zip(block.getArguments(), args))
    cloner.values[arg] = value;
  SmallVector<Value> results(wanted.begin(), wanted.end());
  if (wanted.empty())
    results.append(block.getTerminator()->operand_begin(), block.getTerminator()->operand_end());
  return cloner.run(results);
}

} // namespace attune::codegen
