#include "attune/codegen/cpu/KernelBuilder.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

static constexpr auto kNoWrap = arith::IntegerOverflowFlags::nsw;

VectorType KernelBuilder::vec(int64_t lanes, Type element) {
  if (!element)
    element = b.getF32Type();
  return VectorType::get({lanes ? lanes : target.lanes(element.getIntOrFloatBitWidth())}, element);
}

Value KernelBuilder::idx(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }

Value KernelBuilder::add(Value x, Value y) {
  return b.createOrFold<arith::AddIOp>(loc, x, y, kNoWrap);
}
Value KernelBuilder::add(Value x, int64_t y) { return y == 0 ? x : add(x, idx(y)); }
Value KernelBuilder::sub(Value x, Value y) {
  return b.createOrFold<arith::SubIOp>(loc, x, y, kNoWrap);
}
Value KernelBuilder::mul(Value x, Value y) {
  return b.createOrFold<arith::MulIOp>(loc, x, y, kNoWrap);
}
Value KernelBuilder::mul(Value x, int64_t y) { return y == 1 ? x : mul(x, idx(y)); }
Value KernelBuilder::div(Value x, int64_t y) { return y == 1 ? x : div(x, idx(y)); }
Value KernelBuilder::div(Value x, Value y) { return b.createOrFold<arith::DivUIOp>(loc, x, y); }
Value KernelBuilder::rem(Value x, Value y) { return b.createOrFold<arith::RemUIOp>(loc, x, y); }
Value KernelBuilder::ceilDiv(Value x, int64_t y) { return div(add(x, y - 1), y); }
Value KernelBuilder::roundUp(Value x, int64_t y) { return mul(ceilDiv(x, y), y); }
Value KernelBuilder::min(Value x, Value y) { return b.createOrFold<arith::MinSIOp>(loc, x, y); }
Value KernelBuilder::max(Value x, Value y) { return b.createOrFold<arith::MaxSIOp>(loc, x, y); }
Value KernelBuilder::cmp(arith::CmpIPredicate predicate, Value x, Value y) {
  return b.createOrFold<arith::CmpIOp>(loc, predicate, x, y);
}
Value KernelBuilder::select(Value condition, Value x, Value y) {
  return b.createOrFold<arith::SelectOp>(loc, condition, x, y);
}

Value KernelBuilder::constF(double value, Type type) {
  if (!type)
    type = f32();
  if (auto vector = dyn_cast<VectorType>(type))
    return arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(vector, b.getFloatAttr(vector.getElementType(), value)));
  return arith::ConstantOp::create(b, loc, b.getFloatAttr(type, value));
}

Value KernelBuilder::constI(int64_t value, Type type) {
  if (auto vector = dyn_cast<VectorType>(type))
    return arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(vector, b.getIntegerAttr(vector.getElementType(), value)));
  return arith::ConstantOp::create(b, loc, b.getIntegerAttr(type, value));
}

Value KernelBuilder::laneIds(VectorType type) {
  SmallVector<Attribute> ids;
  for (int64_t lane = 0; lane < type.getNumElements(); ++lane)
    ids.push_back(b.getIntegerAttr(type.getElementType(), lane));
  return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, ids));
}

Value KernelBuilder::splat(Value scalar, int64_t lanes) {
  return vector::BroadcastOp::create(b, loc, vec(lanes, scalar.getType()), scalar);
}

Value KernelBuilder::fma(Value x, Value y, Value z) {
  return vector::FMAOp::create(b, loc, x, y, z);
}

Value KernelBuilder::gep(Value base, Value offset, Type element) {
  if (!offset)
    return base;
  Value bytes = arith::IndexCastOp::create(b, loc, b.getI64Type(), offset);
  return LLVM::GEPOp::create(b, loc, ptr(), element, base, ValueRange{bytes});
}

static Type scalarOf(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return vector ? vector.getElementType() : type;
}
static unsigned alignmentOf(Type type) {
  return scalarOf(type).isIndex() ? 8 : (scalarOf(type).getIntOrFloatBitWidth() + 7) / 8;
}

Value KernelBuilder::load(Type type, Value base, Value offset) {
  return LLVM::LoadOp::create(b, loc, type, gep(base, offset, scalarOf(type)), alignmentOf(type));
}

void KernelBuilder::store(Value value, Value base, Value offset) {
  Type type = value.getType();
  LLVM::StoreOp::create(b, loc, value, gep(base, offset, scalarOf(type)), alignmentOf(type));
}

/// Mask of the lanes below `count`.
static Value partialMask(KernelBuilder &kb, VectorType type, Value count) {
  auto ids = VectorType::get(type.getShape(), kb.b.getI32Type());
  Value limit = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI32Type(), count);
  return arith::CmpIOp::create(kb.b, kb.loc, arith::CmpIPredicate::slt, kb.laneIds(ids),
                               kb.splat(limit, type.getNumElements()));
}

/// Without bf16 instructions, LLVM moves masked vectors of it through a library call.
static VectorType maskedType(VectorType type) {
  if (!type.getElementType().isBF16())
    return type;
  return VectorType::get(type.getShape(), IntegerType::get(type.getContext(), 16));
}

Value KernelBuilder::loadPartial(VectorType wanted, Value base, Value offset, Value count) {
  VectorType type = maskedType(wanted);
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
  Value address = gep(base, offset, type.getElementType());
  Value x = LLVM::MaskedLoadOp::create(b, loc, type, address, partialMask(*this, type, count), zero,
                                       alignmentOf(type));
  return type == wanted ? x : arith::BitcastOp::create(b, loc, wanted, x).getResult();
}

void KernelBuilder::storePartial(Value value, Value base, Value offset, Value count) {
  VectorType type = maskedType(cast<VectorType>(value.getType()));
  if (type != value.getType())
    value = arith::BitcastOp::create(b, loc, type, value);
  Value address = gep(base, offset, type.getElementType());
  LLVM::MaskedStoreOp::create(b, loc, value, address, partialMask(*this, type, count),
                              alignmentOf(type));
}

void KernelBuilder::prefetch(Value base, Value offset, Type element, int locality) {
  LLVM::Prefetch::create(b, loc, gep(base, offset, element), 0, locality, 1);
}

void KernelBuilder::prefetchWrite(Value base, Value offset, Type element) {
  LLVM::Prefetch::create(b, loc, gep(base, offset, element), 1, 3, 1);
}

void KernelBuilder::forLoop(Value lower, Value upper, int64_t step,
                            llvm::function_ref<void(Value)> body) {
  forLoop(lower, upper, step, {}, [&](Value iv, ValueRange) {
    body(iv);
    return Values();
  });
}

Values KernelBuilder::forLoop(Value lower, Value upper, int64_t step, ValueRange init,
                              llvm::function_ref<Values(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(b, loc, lower, upper, idx(step), init);
  OpBuilder::InsertionGuard guard(b);
  if (init.empty())
    b.setInsertionPoint(loop.getBody()->getTerminator());
  else
    b.setInsertionPointToStart(loop.getBody());
  Values next = body(loop.getInductionVar(), loop.getRegionIterArgs());
  if (!init.empty())
    scf::YieldOp::create(b, loc, next);
  return Values(loop.getResults());
}

void KernelBuilder::ifThen(Value condition, llvm::function_ref<void()> then) {
  auto op = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(op.thenBlock()->getTerminator());
  then();
}

Values KernelBuilder::ifElse(Value condition, TypeRange types, llvm::function_ref<Values()> then,
                             llvm::function_ref<Values()> otherwise) {
  auto op = scf::IfOp::create(b, loc, types, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  auto fill = [&](Block *block, llvm::function_ref<Values()> body) {
    if (!block->empty())
      block->back().erase();
    b.setInsertionPointToEnd(block);
    Values values = body();
    scf::YieldOp::create(b, loc, values);
  };
  fill(op.thenBlock(), then);
  fill(op.elseBlock(), otherwise);
  return Values(op.getResults());
}

void KernelBuilder::switchOn(Value value, int64_t most, llvm::function_ref<void(int64_t)> body) {
  if (std::optional<int64_t> known = getConstantIntValue(value))
    return body(*known);
  SmallVector<int64_t> cases;
  for (int64_t n = 1; n < most; ++n)
    cases.push_back(n);
  auto op = scf::IndexSwitchOp::create(b, loc, TypeRange(), value, cases, cases.size());
  OpBuilder::InsertionGuard guard(b);
  auto fill = [&](Region &region, int64_t n) {
    b.setInsertionPointToStart(&region.emplaceBlock());
    body(n);
    scf::YieldOp::create(b, loc);
  };
  for (auto [region, n] : llvm::zip(op.getCaseRegions(), cases))
    fill(region, n);
  fill(op.getDefaultRegion(), most);
}

func::FuncOp KernelBuilder::function(ModuleOp module, StringRef name, bool task,
                                     llvm::function_ref<Value(const KernelArgs &)> body) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(module.getBody());
  SmallVector<Type> inputs(3, ptr());
  if (task)
    inputs.append(2, b.getI64Type());
  auto func = func::FuncOp::create(b, loc, name, b.getFunctionType(inputs, b.getI32Type()));
  if (task)
    func.setPrivate();
  b.setInsertionPointToStart(func.addEntryBlock());
  KernelArgs args{func.getArgument(0), func.getArgument(1), func.getArgument(2), {}, {}};
  if (task) {
    args.task = arith::IndexCastOp::create(b, loc, index(), func.getArgument(3));
    args.worker = arith::IndexCastOp::create(b, loc, index(), func.getArgument(4));
  }
  Value result = body(args);
  if (!result)
    result = constI(0, b.getI32Type());
  func::ReturnOp::create(b, loc, result);
  return func;
}

func::FuncOp KernelBuilder::kernel(ModuleOp module, StringRef name,
                                   llvm::function_ref<Value(const KernelArgs &)> body) {
  return function(module, name, /*task=*/false, body);
}

func::FuncOp KernelBuilder::task(ModuleOp module, StringRef name,
                                 llvm::function_ref<Value(const KernelArgs &)> body) {
  return function(module, name, /*task=*/true, body);
}

Value KernelBuilder::buffer(const KernelArgs &args, int64_t number) {
  Value address = gep(args.buffers, idx(number), ptr());
  return LLVM::LoadOp::create(b, loc, ptr(), address, 8, /*isVolatile=*/false,
                              /*isNonTemporal=*/false, /*isInvariant=*/true);
}

Value KernelBuilder::dim(const KernelArgs &args, int64_t number) {
  Value address = gep(args.dims, idx(number), b.getI64Type());
  Value value = LLVM::LoadOp::create(b, loc, b.getI64Type(), address, 8, /*isVolatile=*/false,
                                     /*isNonTemporal=*/false, /*isInvariant=*/true);
  return arith::IndexCastOp::create(b, loc, index(), value);
}

Value KernelBuilder::threads(const KernelArgs &args) {
  Value field = LLVM::GEPOp::create(b, loc, ptr(), b.getI32Type(), args.ctx,
                                    ArrayRef<LLVM::GEPArg>{1});
  Value value = LLVM::LoadOp::create(b, loc, b.getI32Type(), field, 4);
  return arith::IndexCastUIOp::create(b, loc, index(), value);
}

Value KernelBuilder::parallelFor(const KernelArgs &args, Value count, func::FuncOp task) {
  Value field =
      LLVM::GEPOp::create(b, loc, ptr(), ptr(), args.ctx, ArrayRef<LLVM::GEPArg>{1});
  Value callee = LLVM::LoadOp::create(b, loc, ptr(), field, 8);
  Value fn = func::ConstantOp::create(b, loc, task.getFunctionType(), task.getName());
  Value address = UnrealizedConversionCastOp::create(b, loc, ptr(), fn).getResult(0);
  Value n = arith::IndexCastOp::create(b, loc, b.getI64Type(), count);
  auto type = LLVM::LLVMFunctionType::get(
      b.getI32Type(), {ptr(), b.getI64Type(), ptr(), ptr(), ptr()});
  return LLVM::CallOp::create(b, loc, type,
                              ValueRange{callee, args.ctx, n, address, args.buffers, args.dims})
      .getResult();
}

} // namespace attune::codegen
