#include "attune/codegen/halide/Emitter.h"

#include "attune/codegen/cpu/KernelBuilder.h"
#include "attune/codegen/halide/Compile.h"
#include "attune/codegen/halide/Count.h"
#include "attune/codegen/halide/DevicePlan.h"
#include "attune/runtime/kernel_abi.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace attune::codegen {
namespace {

using halide::ScratchBuffer;
using halide::SizeStep;

/// Elements that Halide's 32-bit addresses reach.
constexpr int64_t kMostElements = std::numeric_limits<int32_t>::max();

template <typename Op> Value binary(OpBuilder &b, Location loc, Value x, Value y) {
  return Op::create(b, loc, x, y);
}

HostExpr hostExpr(const ScratchBuffer &buffer) {
  return [steps = buffer.bytes, perWorker = buffer.perWorker](
             OpBuilder &b, Location loc, ValueRange dims, Value threads) -> Value {
    Values stack;
    for (const SizeStep &step : steps) {
      if (step.op == SizeStep::Op::Constant) {
        stack.push_back(arith::ConstantIndexOp::create(b, loc, step.value));
        continue;
      }
      if (step.op == SizeStep::Op::Dim) {
        stack.push_back(dims[step.value]);
        continue;
      }
      Value y = stack.pop_back_val(), x = stack.pop_back_val();
      switch (step.op) {
      case SizeStep::Op::Add:
        stack.push_back(binary<arith::AddIOp>(b, loc, x, y));
        break;
      case SizeStep::Op::Sub:
        stack.push_back(binary<arith::SubIOp>(b, loc, x, y));
        break;
      case SizeStep::Op::Mul:
        stack.push_back(binary<arith::MulIOp>(b, loc, x, y));
        break;
      case SizeStep::Op::Div:
        stack.push_back(binary<arith::FloorDivSIOp>(b, loc, x, y));
        break;
      case SizeStep::Op::Min:
        stack.push_back(binary<arith::MinSIOp>(b, loc, x, y));
        break;
      default:
        stack.push_back(binary<arith::MaxSIOp>(b, loc, x, y));
        break;
      }
    }
    Value bytes = stack.back();
    return perWorker ? binary<arith::MulIOp>(b, loc, bytes, threads) : bytes;
  };
}

enum class Machine { Cpu, OpenCl };

constexpr StringLiteral kStatus = "attune_device_status";

/// The kernel function around Halide's: buffer descriptors on the stack, sizes as 32-bit integers.
class Wrapper {
public:
  /// `checked`: there is one more result, the kernel's return value.
  Wrapper(KernelOp op, ModuleOp module, StringRef symbol, const CpuTarget &target, Machine machine,
          bool checked)
      : op(op), module(module), symbol(symbol), machine(machine), checked(checked),
        kb(op.getLoc(), target) {
    llvm::append_range(types, op.getInputs().getTypes());
    llvm::append_range(types, op.getResultTypes());
    if (checked)
      types.push_back(RankedTensorType::get({}, kb.b.getI32Type()));
  }

  void build() {
    std::string inner = (symbol + "_halide").str();
    declare(inner);
    kb.kernel(module, symbol, [&](const KernelArgs &args) {
      findExtents(args);
      Values operands = makeOperands(args);
      Type i32 = kb.b.getI32Type();
      auto otherwise = [&]() -> Values {
        return {kb.select(anyEmpty(), kb.constI(ATTUNE_KERNEL_OK, i32),
                          kb.constI(ATTUNE_KERNEL_TOO_LARGE, i32))};
      };
      auto run = [&]() -> Values {
        Value code = LLVM::CallOp::create(kb.b, kb.loc, i32, inner, operands).getResult();
        if (!checked)
          return {code};
        Value status = kb.buffer(args, numBuffers() - 1);
        return {LLVM::CallOp::create(kb.b, kb.loc, i32, kStatus, ValueRange{operands[0], status})
                    .getResult()};
      };
      Value works = arith::AndIOp::create(kb.b, kb.loc, allFit(), isNot(anyEmpty()));
      return kb.ifElse(works, {i32}, run, otherwise)[0];
    });
  }

private:
  KernelOp op;
  ModuleOp module;
  StringRef symbol;
  Machine machine;
  bool checked;
  KernelBuilder kb;
  SmallVector<Type> types; ///< of the buffers: inputs, results, what else Halide's function gives
  SmallVector<Values> extents; ///< of inputs, then results

  unsigned numInputs() { return op.getInputs().size(); }
  unsigned numBuffers() { return types.size(); }

  void declare(StringRef name) {
    SmallVector<Type> parameters(1 + numInputs(), kb.ptr());
    parameters.append(op.getDims().size(), kb.b.getI32Type());
    parameters.append(numBuffers() - numInputs(), kb.ptr());
    OpBuilder b(module.getBodyRegion());
    LLVM::LLVMFuncOp::create(b, op.getLoc(), name,
                             LLVM::LLVMFunctionType::get(kb.b.getI32Type(), parameters));
    if (checked && !module.lookupSymbol(kStatus))
      LLVM::LLVMFuncOp::create(
          b, op.getLoc(), kStatus,
          LLVM::LLVMFunctionType::get(kb.b.getI32Type(), {kb.ptr(), kb.ptr()}));
  }

  void findExtents(const KernelArgs &args) {
    auto inputDim = op.getInputDims().begin();
    auto resultDim = op.getResultDims().begin();
    for (unsigned buffer = 0; buffer < numBuffers(); ++buffer) {
      Values &list = extents.emplace_back();
      for (int64_t extent : cast<RankedTensorType>(types[buffer]).getShape()) {
        if (!ShapedType::isDynamic(extent))
          list.push_back(kb.idx(extent));
        else if (buffer < numInputs())
          list.push_back(kb.dim(args, *inputDim++));
        else
          list.push_back(
              kb.dim(args, llvm::find(op.getDims(), *resultDim++) - op.getDims().begin()));
      }
    }
  }

  Value elements(unsigned buffer) {
    Value product = kb.idx(1);
    for (Value extent : extents[buffer])
      product = kb.mul(product, extent);
    return product;
  }

  /// Without results there is nothing to do, and Halide's loops expect something.
  Value anyEmpty() {
    Value empty = kb.constI(0, kb.b.getI1Type());
    for (unsigned buffer = numInputs(); buffer < numInputs() + op.getNumResults(); ++buffer)
      empty = arith::OrIOp::create(kb.b, kb.loc, empty, kb.eq(elements(buffer), kb.idx(0)));
    return empty;
  }

  Value allFit() {
    Value fits = kb.constI(1, kb.b.getI1Type());
    int64_t most = checked ? halide::kMostIndex : kMostElements;
    for (unsigned buffer = 0; buffer < numBuffers(); ++buffer)
      fits = arith::AndIOp::create(kb.b, kb.loc, fits, kb.lt(elements(buffer), kb.idx(most)));
    return fits;
  }

  Value isNot(Value condition) {
    return arith::XOrIOp::create(kb.b, kb.loc, condition, kb.constI(1, kb.b.getI1Type()));
  }

  Value int32(Value index) {
    return arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI32Type(), index);
  }

  Value local(Type type, int64_t count = 1) {
    return LLVM::AllocaOp::create(kb.b, kb.loc, kb.ptr(), type,
                                  kb.constI(count, kb.b.getI64Type()));
  }

  void storeAt(Value value, Value base, int64_t byte) {
    LLVM::StoreOp::create(kb.b, kb.loc, value, kb.gep(base, kb.idx(byte), kb.b.getI8Type()));
  }

  /// A `halide_buffer_t` (HalideRuntime.h): device, interface, host, flags, type, dimensions, dims.
  Value descriptor(const KernelArgs &args, unsigned buffer) {
    auto type = cast<RankedTensorType>(types[buffer]);
    Type i64 = kb.b.getI64Type();
    Value result = local(i64, 7),
          axes = local(kb.b.getI32Type(), std::max<int64_t>(1, 4 * type.getRank()));
    Value zero = kb.constI(0, i64);
    bool host = machine == Machine::Cpu;
    for (int64_t byte : {host ? 0 : 16, 8, 24, 48})
      storeAt(zero, result, byte);
    storeAt(kb.buffer(args, buffer), result, host ? 16 : 0);
    storeAt(kb.constI(typeCode(type.getElementType()), kb.b.getI32Type()), result, 32);
    storeAt(kb.constI(type.getRank(), kb.b.getI32Type()), result, 36);
    storeAt(axes, result, 40);
    Value stride = kb.idx(1), none = kb.constI(0, kb.b.getI32Type());
    for (int64_t i = 0; i < type.getRank(); ++i) {
      Value extent = extents[buffer][type.getRank() - 1 - i];
      Value fields[] = {none, int32(extent), int32(stride), none};
      for (auto [field, value] : llvm::enumerate(fields))
        storeAt(value, axes, 16 * i + 4 * static_cast<int64_t>(field));
      stride = kb.mul(stride, extent);
    }
    return result;
  }

  /// `halide_type_t`: code (0 int, 1 uint, 2 float, 4 bfloat), bits, lanes.
  static int64_t typeCode(Type element) {
    int64_t bits = element.isIndex() ? 32 : std::max(8u, element.getIntOrFloatBitWidth());
    int64_t code = element.isBF16()          ? 4
                   : isa<FloatType>(element) ? 2
                   : element.isInteger(1)    ? 1
                                             : 0;
    return code | bits << 8 | 1 << 16;
  }

  /// In the entry block, so that the memory becomes registers.
  Values makeOperands(const KernelArgs &args) {
    Type i64 = kb.b.getI64Type();
    // What the hooks know of a call (codegen/cpu/Hooks.h): on a CPU ctx, scratch buffers, worker.
    Value context = local(i64, 3);
    storeAt(args.ctx, context, 0);
    storeAt(kb.gep(args.buffers, kb.idx(numBuffers()), kb.ptr()), context, 8);
    storeAt(kb.constI(0, i64), context, 16);
    Values operands{context};
    for (unsigned buffer = 0; buffer < numInputs(); ++buffer)
      operands.push_back(descriptor(args, buffer));
    for (unsigned dim = 0; dim < op.getDims().size(); ++dim)
      operands.push_back(int32(kb.dim(args, dim)));
    for (unsigned buffer = numInputs(); buffer < numBuffers(); ++buffer)
      operands.push_back(descriptor(args, buffer));
    return operands;
  }
};

InFlightDiagnostic refuse(KernelOp op, llvm::Error reason) {
  return op.emitError("unsupported: the Halide back end does not take this kernel: ")
         << llvm::toString(std::move(reason));
}

class HalideEmitter final : public KernelEmitter {
public:
  StringRef name() const override { return "halide"; }
  StringRef backend() const override { return "halide"; }

  bool matches(KernelOp op, const CpuTarget &target) const override {
    return fitHalide(op, target).has_value();
  }

  KernelPlan plan(KernelOp op, const CpuTarget &target, IndexValues valueOf) const override {
    auto region = halide::makeRegion(op, &target);
    auto made = region ? halide::makePlan(*region, target) : region.takeError();
    std::optional<halide::Counted> counted;
    if (made)
      counted = halide::countInstructions(*region, *made);
    else
      llvm::consumeError(made.takeError());
    if (!counted)
      return KernelEmitter::plan(op, target, valueOf);
    KernelPlan plan;
    plan.tasks = counted->tasks;
    plan.instructions = counted->instructions;
    return plan;
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    auto bitcode = compile(op, (symbol + "_halide").str(), target);
    if (!bitcode)
      return refuse(op, bitcode.takeError());
    Wrapper(op, module, symbol, target, Machine::Cpu, /*checked=*/false).build();
    EmittedKernel kernel;
    for (const ScratchBuffer &buffer : bitcode->scratch)
      kernel.scratch.push_back(hostExpr(buffer));
    kernel.bitcode = std::move(bitcode->bytes);
    return kernel;
  }

private:
  static llvm::Expected<halide::Bitcode> compile(KernelOp op, StringRef symbol,
                                                 const CpuTarget &target) {
    auto region = halide::makeRegion(op, &target);
    if (!region)
      return region.takeError();
    auto plan = halide::makePlan(*region, target);
    if (!plan)
      return plan.takeError();
    return halide::compile(*region, *plan, symbol, target);
  }
};

class OpenClEmitter final : public KernelEmitter {
public:
  StringRef name() const override { return "opencl"; }
  StringRef backend() const override { return "halide"; }

  bool matches(KernelOp op, const CpuTarget &) const override {
    return countLaunches(op).has_value();
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    auto region = halide::makeRegion(op, nullptr);
    if (!region)
      return refuse(op, region.takeError());
    auto bitcode = compile(*region, (symbol + "_halide").str());
    if (!bitcode)
      return refuse(op, bitcode.takeError());
    Wrapper(op, module, symbol, target, Machine::OpenCl, region->checked).build();
    EmittedKernel kernel;
    if (region->checked)
      kernel.scratch.push_back([](OpBuilder &b, Location loc, ValueRange, Value) -> Value {
        return arith::ConstantIndexOp::create(b, loc, sizeof(int32_t));
      });
    kernel.bitcode = std::move(*bitcode);
    return kernel;
  }

private:
  static llvm::Expected<std::string> compile(const halide::Region &region, StringRef symbol) {
    auto plan = halide::makeDevicePlan(region);
    if (!plan)
      return plan.takeError();
    return halide::compileForDevice(region, *plan, symbol);
  }
};

} // namespace

std::optional<HalideFit> fitHalide(KernelOp op, const CpuTarget &target) {
  auto region = halide::makeRegion(op, &target);
  if (!region) {
    llvm::consumeError(region.takeError());
    return std::nullopt;
  }
  auto plan = halide::makePlan(*region, target);
  if (!plan) {
    llvm::consumeError(plan.takeError());
    return std::nullopt;
  }
  return HalideFit{plan->isFused()};
}

std::optional<size_t> countLaunches(KernelOp op) {
  auto region = halide::makeRegion(op, nullptr);
  if (!region) {
    llvm::consumeError(region.takeError());
    return std::nullopt;
  }
  auto plan = halide::makeDevicePlan(*region);
  if (!plan) {
    llvm::consumeError(plan.takeError());
    return std::nullopt;
  }
  return plan->roots.size();
}

std::unique_ptr<KernelEmitter> createHalideEmitter() { return std::make_unique<HalideEmitter>(); }

std::unique_ptr<KernelEmitter> createOpenClEmitter() { return std::make_unique<OpenClEmitter>(); }

} // namespace attune::codegen
