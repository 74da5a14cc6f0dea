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

Value DeviceBuilder::shuffleXor(Value x, int64_t mask) {
  auto i32 = [&](int64_t value) { return constI(value, b.getI32Type()); };
  return NVVM::ShflOp::create(b, loc, x.getType(), i32(-1), x, i32(mask), i32(kWarp - 1),
                              NVVM::ShflKind::bfly, UnitAttr());
}

void DeviceBuilder::entry(ModuleOp device, StringRef name, int64_t threads, int64_t buffers,
                          int64_t dims, Body body) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(device.getBody());
  SmallVector<std::pair<Type, int64_t>> arrays{{ptr(), buffers}};
  if (dims)
    arrays.push_back({b.getI64Type(), dims});
  SmallVector<Type> inputs(arrays.size(), ptr());
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), inputs);
  auto func = LLVM::LLVMFuncOp::create(b, loc, name, type);
  func->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
  func->setAttr(NVVM::NVVMDialect::getReqntidAttrName(),
                b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  for (auto [i, array] : llvm::enumerate(arrays)) {
    auto type = LLVM::LLVMArrayType::get(array.first, array.second);
    func.setArgAttr(i, LLVM::LLVMDialect::getByValAttrName(), TypeAttr::get(type));
    func.setArgAttr(i, NVVM::NVVMDialect::getGridConstantAttrName(), b.getUnitAttr());
    func.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(), b.getI64IntegerAttr(8));
  }
  b.setInsertionPointToStart(func.addEntryBlock(b));
  KernelArgs args;
  args.buffers = func.getArgument(0);
  if (dims)
    args.dims = func.getArgument(1);
  body(args);
  LLVM::ReturnOp::create(b, loc, ValueRange());
}

} // namespace attune::codegen
