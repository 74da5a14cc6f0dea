#include "attune/codegen/gpu/DeviceBuilder.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace attune::codegen {

/// What KernelBuilder asks of a target.
static const CpuTarget &threadTarget() {
  static const CpuTarget target = [] {
    CpuTarget thread;
    thread.fma = true;
    return thread;
  }();
  return target;
}

DeviceBuilder::DeviceBuilder(Location loc) : KernelBuilder(loc, threadTarget()) {}

Value DeviceBuilder::thread() {
  Value id = NVVM::ThreadIdXOp::create(b, loc, b.getI32Type());
  return arith::IndexCastUIOp::create(b, loc, index(), id);
}

Value DeviceBuilder::block(int64_t axis) {
  Value id;
  if (axis == 0)
    id = NVVM::BlockIdXOp::create(b, loc, b.getI32Type());
  else if (axis == 1)
    id = NVVM::BlockIdYOp::create(b, loc, b.getI32Type());
  else
    id = NVVM::BlockIdZOp::create(b, loc, b.getI32Type());
  return arith::IndexCastUIOp::create(b, loc, index(), id);
}

Value DeviceBuilder::globalThread(int64_t threads) { return add(mul(block(), threads), thread()); }

void DeviceBuilder::barrier() { NVVM::Barrier0Op::create(b, loc); }

void DeviceBuilder::warpBarrier() { NVVM::SyncWarpOp::create(b, loc, constI(-1, b.getI32Type())); }

/// The bits of a scalar as 32-bit integers, and back.
static Values wordsOf(KernelBuilder &kb, Value x) {
  Type i32 = kb.b.getI32Type();
  if (x.getType().isIndex())
    x = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI64Type(), x);
  unsigned bits = x.getType().getIntOrFloatBitWidth();
  Type integer = kb.b.getIntegerType(bits);
  if (x.getType() != integer)
    x = arith::BitcastOp::create(kb.b, kb.loc, integer, x);
  if (bits < 32)
    return {arith::ExtUIOp::create(kb.b, kb.loc, i32, x)};
  if (bits == 32)
    return {x};
  Value high = arith::ShRUIOp::create(kb.b, kb.loc, x, kb.constI(32, integer));
  return {arith::TruncIOp::create(kb.b, kb.loc, i32, x),
          arith::TruncIOp::create(kb.b, kb.loc, i32, high)};
}

static Value fromWords(KernelBuilder &kb, ValueRange words, Type type) {
  unsigned bits = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  Type integer = kb.b.getIntegerType(bits);
  Value x = words[0];
  if (bits < 32)
    x = arith::TruncIOp::create(kb.b, kb.loc, integer, x);
  if (bits == 64) {
    Value low = arith::ExtUIOp::create(kb.b, kb.loc, integer, x);
    Value high = arith::ExtUIOp::create(kb.b, kb.loc, integer, words[1]);
    high = arith::ShLIOp::create(kb.b, kb.loc, high, kb.constI(32, integer));
    x = arith::OrIOp::create(kb.b, kb.loc, low, high);
  }
  if (type.isIndex())
    return arith::IndexCastOp::create(kb.b, kb.loc, type, x);
  return type == integer ? x : arith::BitcastOp::create(kb.b, kb.loc, type, x).getResult();
}

Value DeviceBuilder::shuffleXor(Value x, int64_t mask) {
  auto i32 = [&](int64_t value) { return constI(value, b.getI32Type()); };
  Values words = wordsOf(*this, x);
  for (Value &word : words)
    word = NVVM::ShflOp::create(b, loc, word.getType(), i32(-1), word, i32(mask), i32(kWarp - 1),
                                NVVM::ShflKind::bfly, UnitAttr());
  return fromWords(*this, words, x.getType());
}

Value DeviceBuilder::acrossWarp(Value x, llvm::function_ref<Value(Value, Value)> combine) {
  for (int64_t mask = kWarp / 2; mask; mask /= 2)
    x = combine(x, shuffleXor(x, mask));
  return x;
}

/// NVPTX's numbers of address spaces.
static constexpr unsigned kGlobal = 1, kShared = 3;

Value DeviceBuilder::shared(ModuleOp device, StringRef name, int64_t bytes) {
  return LLVM::AddrSpaceCastOp::create(b, loc, ptr(), sharedSpace(device, name, bytes));
}

Value DeviceBuilder::sharedSpace(ModuleOp device, StringRef name, int64_t bytes) {
  auto global = device.lookupSymbol<LLVM::GlobalOp>(name);
  if (!global) {
    OpBuilder outer = OpBuilder::atBlockBegin(device.getBody());
    global = LLVM::GlobalOp::create(outer, loc, LLVM::LLVMArrayType::get(b.getI8Type(), bytes),
                                    /*isConstant=*/false, LLVM::Linkage::Internal, name,
                                    Attribute(), /*alignment=*/16, kShared);
  }
  return LLVM::AddressOfOp::create(b, loc, global);
}

Value DeviceBuilder::dynamicShared(ModuleOp device) {
  constexpr StringLiteral kName = "attune_shared";
  auto global = device.lookupSymbol<LLVM::GlobalOp>(kName);
  if (!global) {
    OpBuilder outer = OpBuilder::atBlockBegin(device.getBody());
    global = LLVM::GlobalOp::create(outer, loc, LLVM::LLVMArrayType::get(b.getI8Type(), 0),
                                    /*isConstant=*/false, LLVM::Linkage::External, kName,
                                    Attribute(), /*alignment=*/1024, kShared);
  }
  return LLVM::AddressOfOp::create(b, loc, global);
}

Value DeviceBuilder::sharedAt(Value base, Value bytes) {
  Value offset = arith::IndexCastOp::create(b, loc, b.getI64Type(), bytes);
  return LLVM::GEPOp::create(b, loc, base.getType(), b.getI8Type(), base, ValueRange{offset});
}

void DeviceBuilder::copyAsync(Value to, Value from, Value bytes) {
  auto global = LLVM::LLVMPointerType::get(b.getContext(), kGlobal);
  from = LLVM::AddrSpaceCastOp::create(b, loc, global, from);
  LLVM::CallIntrinsicOp::create(b, loc, b.getStringAttr("llvm.nvvm.cp.async.cg.shared.global.16.s"),
                                ValueRange{to, from, bytes});
}

void DeviceBuilder::commitCopies() { NVVM::CpAsyncCommitGroupOp::create(b, loc); }

void DeviceBuilder::waitForCopies(int64_t groups) {
  NVVM::CpAsyncWaitGroupOp::create(b, loc, groups);
}

static void byValue(LLVM::LLVMFuncOp func, unsigned number, Type type, int64_t alignment) {
  Builder b(func.getContext());
  func.setArgAttr(number, LLVM::LLVMDialect::getByValAttrName(), TypeAttr::get(type));
  func.setArgAttr(number, NVVM::NVVMDialect::getGridConstantAttrName(), b.getUnitAttr());
  func.setArgAttr(number, LLVM::LLVMDialect::getAlignAttrName(), b.getI64IntegerAttr(alignment));
}

void DeviceBuilder::entry(ModuleOp device, StringRef name, int64_t threads, int64_t buffers,
                          int64_t dims, bool checked, int64_t maps, Body body) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(device.getBody());
  SmallVector<std::pair<Type, int64_t>> arrays{{ptr(), buffers}};
  if (dims)
    arrays.push_back({b.getI64Type(), dims});
  if (checked)
    arrays.push_back({ptr(), 1});
  SmallVector<Type> inputs(arrays.size() + maps, ptr());
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), inputs);
  auto func = LLVM::LLVMFuncOp::create(b, loc, name, type);
  func->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
  func->setAttr(NVVM::NVVMDialect::getReqntidAttrName(),
                b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  for (auto [i, array] : llvm::enumerate(arrays))
    byValue(func, i, LLVM::LLVMArrayType::get(array.first, array.second), 8);
  for (size_t i = arrays.size(); i < inputs.size(); ++i)
    byValue(func, i, LLVM::LLVMArrayType::get(b.getI8Type(), 128), 64);
  b.setInsertionPointToStart(func.addEntryBlock(b));
  KernelArgs args;
  args.buffers = func.getArgument(0);
  if (dims)
    args.dims = func.getArgument(1);
  failureParameter = checked ? func.getArgument(arrays.size() - 1) : Value();
  for (size_t i = arrays.size(); i < inputs.size(); ++i)
    tensorMaps.push_back(func.getArgument(i));
  body(args);
  LLVM::ReturnOp::create(b, loc, ValueRange());
}

Value DeviceBuilder::failure() { return LLVM::LoadOp::create(b, loc, ptr(), failureParameter, 8); }

} // namespace attune::codegen
