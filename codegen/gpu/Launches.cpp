#include "attune/codegen/gpu/Launches.h"

#include "attune/runtime/kernel_abi.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace attune::codegen {

static constexpr StringLiteral kDeviceModule = "attune_device";
static constexpr StringLiteral kPtx = "attune_ptx", kPtxBytes = "attune_ptx_bytes";
/// What a grid has at most along x, y, z.
static constexpr int64_t kMostBlocks[] = {(int64_t(1) << 31) - 1, 65535, 65535};
/// Offsets in attune_ctx and attune_kernel_device, in pointers (runtime/kernel_abi.h).
static constexpr int64_t kDeviceField = 2, kLaunchField = 1, kFailureField = 5, kTensorMapField = 6;

HostExpr hostConstant(int64_t value) {
  return [value](OpBuilder &b, Location loc, ValueRange, Value) -> Value {
    return arith::ConstantIndexOp::create(b, loc, value);
  };
}

HostExpr hostCeilDiv(HostExpr value, int64_t divisor) {
  return [=](OpBuilder &b, Location loc, ValueRange dims, Value threads) -> Value {
    Value by = arith::ConstantIndexOp::create(b, loc, divisor);
    return b.createOrFold<arith::CeilDivUIOp>(loc, value(b, loc, dims, threads), by);
  };
}

Launches::Launches(KernelOp op, ModuleOp module, StringRef symbol, const CpuTarget &host,
                   int64_t scratch)
    : op(op), module(module), symbol(symbol.str()), host(host),
      buffers(int64_t(op.getInputs().size() + op.getNumResults()) + scratch) {}

bool Launches::fitParameters(KernelOp op, int64_t scratch) {
  constexpr int64_t kMostBytes = 4096, kFailure = 1;
  int64_t count = op.getInputs().size() + op.getNumResults() + op.getDims().size();
  return (count + scratch + kFailure) * 8 <= kMostBytes;
}

ModuleOp Launches::deviceModule(ModuleOp module) {
  if (auto device = module.lookupSymbol<ModuleOp>(kDeviceModule))
    return device;
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  return ModuleOp::create(b, module.getLoc(), kDeviceModule);
}

void Launches::add(const LaunchShape &shape, Body body) {
  std::string entry = symbol + "_" + std::to_string(launches.size());
  DeviceBuilder kb(op.getLoc());
  kb.entry(deviceModule(module), entry, shape.threads, buffers, op.getDims().size(), checked,
           shape.maps.size(), [&](const KernelArgs &args) { body(kb, args); });
  if (shape.blocksTogether) {
    auto function = deviceModule(module).lookupSymbol<LLVM::LLVMFuncOp>(entry);
    function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                      kb.b.getI32IntegerAttr(shape.blocksTogether));
  }
  launches.push_back({entry, shape});
}

static Value pointerField(KernelBuilder &kb, Value base, int64_t number) {
  return LLVM::LoadOp::create(kb.b, kb.loc, kb.ptr(), kb.gep(base, kb.idx(number), kb.ptr()), 8);
}

/// A function of the runtime's interface to the device.
static Value deviceFunction(KernelBuilder &kb, const KernelArgs &args, int64_t field) {
  return pointerField(kb, pointerField(kb, args.ctx, kDeviceField), field);
}

static Value callPointer(KernelBuilder &kb, Type result, Value function, ValueRange operands) {
  auto type = LLVM::LLVMFunctionType::get(result, llvm::to_vector(operands.getTypes()));
  Values all{function};
  llvm::append_range(all, operands);
  return LLVM::CallOp::create(kb.b, kb.loc, type, all).getResult();
}

/// An array on the host's stack.
static Value arrayOf(KernelBuilder &kb, Type element, ValueRange values) {
  Value count = kb.constI(std::max<int64_t>(1, values.size()), kb.b.getI64Type());
  Value array = LLVM::AllocaOp::create(kb.b, kb.loc, kb.ptr(), element, count);
  for (auto [i, value] : llvm::enumerate(values))
    LLVM::StoreOp::create(kb.b, kb.loc, value, kb.gep(array, kb.idx(i), element));
  return array;
}

static LLVM::GlobalOp declareData(ModuleOp module, StringRef name, Type type) {
  if (auto known = module.lookupSymbol<LLVM::GlobalOp>(name))
    return known;
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  return LLVM::GlobalOp::create(b, module.getLoc(), type, /*isConstant=*/true,
                                LLVM::Linkage::External, name, Attribute());
}

static LLVM::GlobalOp addText(ModuleOp module, StringRef name, StringRef text) {
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  auto type = LLVM::LLVMArrayType::get(b.getI8Type(), text.size());
  return LLVM::GlobalOp::create(b, module.getLoc(), type, /*isConstant=*/true,
                                LLVM::Linkage::Internal, name, b.getStringAttr(text));
}

Value Launches::encode(KernelBuilder &kb, const KernelArgs &args, ValueRange dims,
                       const TensorMapShape &map, Value to) {
  Type i32 = kb.b.getI32Type(), i64 = kb.b.getI64Type();
  auto value = [&](const HostExpr &expr) -> Value {
    return arith::IndexCastOp::create(kb.b, kb.loc, i64, expr(kb.b, kb.loc, dims, Value()));
  };
  Values extents, strides, box;
  for (const TensorMapShape::Axis &axis : map.axes) {
    extents.push_back(value(axis.extent));
    strides.push_back(value(axis.stride));
    box.push_back(kb.constI(axis.box, i64));
  }
  return callPointer(kb, i32, deviceFunction(kb, args, kTensorMapField),
                     {args.ctx, to, kb.buffer(args, map.buffer), value(map.offset),
                      kb.constI(map.elementBytes, i32), kb.constI(map.axes.size(), i32),
                      arrayOf(kb, i64, extents), arrayOf(kb, i64, strides), arrayOf(kb, i64, box)});
}

Value Launches::emit(KernelBuilder &kb, const KernelArgs &args, const Launch &launch) {
  OpBuilder &b = kb.b;
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  Values dims;
  for (unsigned i = 0; i < op.getDims().size(); ++i)
    dims.push_back(kb.dim(args, i));
  Values range;
  Value fits = kb.constI(1, b.getI1Type()), some = fits;
  for (int64_t axis = 0; axis < 3; ++axis) {
    Value blocks = axis < int64_t(launch.shape.grid.size())
                       ? launch.shape.grid[axis](b, kb.loc, dims, Value())
                       : kb.idx(1);
    Value few = kb.cmp(arith::CmpIPredicate::ule, blocks, kb.idx(kMostBlocks[axis]));
    fits = b.createOrFold<arith::AndIOp>(kb.loc, fits, few);
    some = b.createOrFold<arith::AndIOp>(kb.loc, some, kb.lt(kb.idx(0), blocks));
    range.push_back(arith::IndexCastOp::create(b, kb.loc, i32, blocks));
  }
  for (int64_t number : {launch.shape.threads, int64_t(1), int64_t(1), launch.shape.sharedBytes})
    range.push_back(kb.constI(number, i32));

  Values arrays{args.buffers}, sizes{kb.constI(buffers * 8, i64)};
  if (!dims.empty()) {
    arrays.push_back(args.dims);
    sizes.push_back(kb.constI(dims.size() * 8, i64));
  }
  if (checked) {
    Value failure = callPointer(kb, kb.ptr(), deviceFunction(kb, args, kFailureField), {args.ctx});
    arrays.push_back(arrayOf(kb, kb.ptr(), failure));
    sizes.push_back(kb.constI(8, i64));
  }
  Values maps;
  constexpr int64_t kMapBytes = 128, kMapAlignment = 64;
  for (size_t i = 0; i < launch.shape.maps.size(); ++i) {
    maps.push_back(LLVM::AllocaOp::create(b, kb.loc, kb.ptr(), b.getI8Type(),
                                          kb.constI(kMapBytes, i64), kMapAlignment));
    arrays.push_back(maps.back());
    sizes.push_back(kb.constI(kMapBytes, i64));
  }
  Values values(arrays.size(), kb.constI(0, b.getI8Type()));
  sizes.push_back(kb.constI(0, i64));
  LLVM::GlobalOp entry = addText(module, launch.entry + "_name",
                                 StringRef(launch.entry.c_str(), launch.entry.size() + 1));
  Value length = LLVM::LoadOp::create(
      b, kb.loc, i64, LLVM::AddressOfOp::create(b, kb.loc, declareData(module, kPtxBytes, i64)), 8);
  Type byte = b.getI8Type();
  Value ptx = LLVM::AddressOfOp::create(
      b, kb.loc, declareData(module, kPtx, LLVM::LLVMArrayType::get(byte, 0)));
  Value name = LLVM::AddressOfOp::create(b, kb.loc, entry);
  Value function = deviceFunction(kb, args, kLaunchField);
  Values operands{args.ctx,
                  ptx,
                  length,
                  name,
                  arrayOf(kb, i32, range),
                  arrayOf(kb, i64, sizes),
                  arrayOf(kb, kb.ptr(), arrays),
                  arrayOf(kb, byte, values)};
  auto start = [&]() -> Values {
    for (auto [map, at] : llvm::zip(launch.shape.maps, maps))
      encode(kb, args, dims, map, at); // what fails is remembered: the launch does nothing
    return {callPointer(kb, i32, function, operands)};
  };
  auto nothing = [&]() -> Values { return {kb.constI(ATTUNE_KERNEL_OK, i32)}; };
  auto refuse = [&]() -> Values { return {kb.constI(ATTUNE_KERNEL_TOO_LARGE, i32)}; };
  auto launchSome = [&] { return kb.ifElse(some, {i32}, start, nothing); };
  return kb.ifElse(fits, {i32}, launchSome, refuse)[0];
}

void Launches::finish() {
  KernelBuilder kb(op.getLoc(), host);
  kb.kernel(module, symbol, [&](const KernelArgs &args) -> Value {
    Type i32 = kb.b.getI32Type();
    Value code = kb.constI(ATTUNE_KERNEL_OK, i32), zero = code;
    // A launch that fails is remembered by the stream; later ones do nothing.
    for (const Launch &launch : launches) {
      Value next = emit(kb, args, launch);
      code = kb.select(kb.eq(code, zero), next, code);
    }
    return code;
  });
}

llvm::Expected<std::string>
embedDeviceCode(ModuleOp module,
                llvm::function_ref<llvm::Expected<std::string>(ModuleOp)> compile) {
  auto device = module.lookupSymbol<ModuleOp>(kDeviceModule);
  if (!device)
    return std::string();
  device->remove();
  OwningOpRef<ModuleOp> owned(device);
  llvm::Expected<std::string> ptx = compile(device);
  if (!ptx)
    return ptx;
  for (StringRef name : {kPtx, kPtxBytes})
    if (Operation *declared = module.lookupSymbol(name))
      declared->erase();
  addText(module, kPtx, *ptx);
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  LLVM::GlobalOp::create(b, module.getLoc(), b.getI64Type(), /*isConstant=*/true,
                         LLVM::Linkage::Internal, kPtxBytes, b.getI64IntegerAttr(ptx->size()));
  return ptx;
}

} // namespace attune::codegen
