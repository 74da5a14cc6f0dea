//===- DftEmitter.cpp - Fourier transforms of batches -----------------------------------------===//
//
// Lanes are independent signals: a task gathers a few of them into a buffer, transforms them
// together (Fourier.h) and scatters the result. A real signal of even length takes a complex
// transform of half the length. Scratch holds two buffers for each worker, whatever the batch.
//
//===--------------------------------------------------------------------------------------------===//
#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/Fourier.h"
#include "attune/codegen/cpu/Views.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {
namespace {

/// Buffers of one worker stay below this where fewer lanes can help.
constexpr int64_t kBufferBytes = int64_t(1) << 22;
/// Entries of a table that is computed at run time, per task.
constexpr int64_t kTableBlock = 512;

struct Plan {
  explicit Plan(KernelOp kernel) : sizes(kernel) {}
  bool read(const CpuTarget &target);

  Sizes sizes;
  DftOp op;
  View input;
  Size length;
  std::optional<int64_t> known; ///< length
  int64_t axis = 0, width = 1;
  bool realInput = false, realResult = false;
  bool halved = false; ///< real on one side, of constant even length
  SmallVector<int64_t> batchAxes;

  Size transform() const { return halved ? Size(*known / 2) : length; }
};

bool Plan::read(const CpuTarget &target) {
  KernelOp kernel = sizes.kernel;
  Block &body = kernel.getBody().front();
  for (auto found : body.getOps<DftOp>()) {
    if (op)
      return false;
    op = found;
  }
  if (!op || body.getTerminator()->getNumOperands() != 1 ||
      body.getTerminator()->getOperand(0) != op.getResult())
    return false;
  auto type = cast<RankedTensorType>(op.getResult().getType());
  if (!type.getElementType().isF32() || !op.getInputType().getElementType().isF32())
    return false;
  std::optional<View> view = readView(sizes, op.getInput());
  MaybeSize size = sizes.of(op.getLength());
  if (!view || !sizes.inputNumber(view->root) || !size || !sizes.extents(op.getInput()) ||
      !sizes.extents(op.getResult()))
    return false;
  input = *view;
  length = *size;
  known = length.constant();
  axis = op.getAxis();
  realInput = op.getInputType().getShape().back() == 1;
  realResult = op.getOnesided() && op.getInverse();
  halved = known && *known % 2 == 0 && *known > 0 && (realInput || realResult) &&
           !(op.getInverse() && realInput);
  for (int64_t other = 0; other < type.getRank() - 1; ++other)
    if (other != axis)
      batchAxes.push_back(other);
  width = target.lanes(32);
  while (known && width > 1 && *transform().constant() * width * 16 > kBufferBytes)
    width /= 2;
  return true;
}

/// One task: `width` signals.
class Signals {
public:
  Signals(const Plan &plan, KernelBuilder &kb, const KernelArgs &args, Value table)
      : plan(plan), kb(kb), scope(plan.sizes, kb, args), op(plan.op),
        fourier(kb, plan.width, table), width(plan.width) {}

  void run();
  static Value batch(const Plan &plan, Scope &scope) {
    DftOp op = plan.op;
    Size count(1);
    for (int64_t axis : plan.batchAxes)
      count = count * *plan.sizes.extent(op.getInput(), axis);
    return scope.get(count);
  }

private:
  void locate(Value signal, Value &source, Value &target);
  void eachElement(Value count,
                   llvm::function_ref<void(Value lane, Value element, Value offset)> body,
                   bool target);
  void gather(Value buffer);
  void mirror(Value buffer);
  void pack(Value from, Value to);
  Value unpack(Value from, Value to);
  void scatter(Value buffer);
  Value slot(Value lane, Value element, int64_t part) {
    return kb.add(kb.add(kb.mul(element, 2 * width), lane), part * width);
  }

  const Plan &plan;
  KernelBuilder &kb;
  Scope scope;
  DftOp op;
  Fourier fourier;
  int64_t width;
  Value first, valid, length, half;
};

/// Element offsets of a signal's first value in input and output.
void Signals::locate(Value signal, Value &source, Value &target) {
  source = scope.get(plan.input.offset);
  target = kb.idx(0);
  SmallVector<Size> strides = *plan.sizes.rowMajor(op.getResult());
  for (int64_t axis : llvm::reverse(plan.batchAxes)) {
    Value extent = scope.extent(op.getInput(), axis);
    Value at = kb.rem(signal, extent);
    signal = kb.div(signal, extent);
    source = kb.add(source, kb.mul(at, scope.get(plan.input.strides[axis])));
    target = kb.add(target, kb.mul(at, scope.get(strides[axis])));
  }
}

/// Memory order: elements are innermost if they are in the tensor.
void Signals::eachElement(Value count, llvm::function_ref<void(Value, Value, Value)> body,
                          bool target) {
  Value stride = target ? scope.get((*plan.sizes.rowMajor(op.getResult()))[plan.axis])
                        : scope.get(plan.input.strides[plan.axis]);
  auto visit = [&](Value lane, Value element) {
    Value source, destination;
    locate(kb.add(first, lane), source, destination);
    body(lane, element, kb.add(target ? destination : source, kb.mul(element, stride)));
  };
  Value zero = kb.idx(0);
  if (plan.axis == op.getInputType().getRank() - 2)
    kb.forLoop(zero, valid, 1, [&](Value lane) {
      kb.forLoop(zero, count, 1, [&](Value element) { visit(lane, element); });
    });
  else
    kb.forLoop(zero, count, 1, [&](Value element) {
      kb.forLoop(zero, valid, 1, [&](Value lane) { visit(lane, element); });
    });
}

/// The signals, cut or continued by zeros. Inverse transforms swap real and imaginary parts, which
/// makes them forward ones. Halved real signals put even samples into real parts.
void Signals::gather(Value buffer) {
  Value base = scope.input(*plan.sizes.inputNumber(plan.input.root));
  Value wanted = length, zero = kb.constF(0);
  if (plan.realResult)
    wanted = kb.add(half, 1);
  Value present = kb.min(scope.extent(op.getInput(), plan.axis), wanted);
  Value partStride = scope.get(plan.input.strides.back());
  bool evenOdd = plan.halved && plan.realInput;
  Value elements = evenOdd ? kb.div(wanted, 2) : wanted;
  kb.forLoop(kb.idx(0), elements, 1, [&](Value element) {
    fourier.store({kb.constF(0, kb.vec(width)), kb.constF(0, kb.vec(width))}, buffer, element);
  });
  int64_t swap = op.getInverse() && !plan.halved;
  eachElement(
      present,
      [&](Value lane, Value element, Value offset) {
        if (evenOdd) {
          Value at = kb.add(kb.mul(kb.div(element, 2), 2 * width),
                            kb.add(lane, kb.mul(kb.rem(element, kb.idx(2)), width)));
          return kb.store(kb.load(kb.f32(), base, offset), buffer, at);
        }
        kb.store(kb.load(kb.f32(), base, offset), buffer, slot(lane, element, swap));
        if (plan.realInput)
          return;
        Value imaginary = kb.load(kb.f32(), base, kb.add(offset, partStride));
        if (plan.realResult) {
          // The conjugates of these are themselves.
          Value twice = kb.rem(kb.mul(element, 2), length);
          imaginary = kb.select(kb.eq(twice, kb.idx(0)), zero, imaginary);
        }
        kb.store(imaginary, buffer, slot(lane, element, 1 - swap));
      },
      /*target=*/false);
}

/// The other half of a spectrum whose signal is real; parts are swapped already.
void Signals::mirror(Value buffer) {
  kb.forLoop(kb.add(half, 1), length, 1, [&](Value k) {
    ComplexLanes other = fourier.load(buffer, kb.sub(length, k));
    fourier.store({arith::NegFOp::create(kb.b, kb.loc, other.re), other.im}, buffer, k);
  });
}

/// From the spectrum X of a real signal to that of z[t] = x[2t] + i x[2t+1], parts swapped.
void Signals::pack(Value from, Value to) {
  kb.forLoop(kb.idx(0), half, 1, [&](Value k) {
    ComplexLanes a = fourier.load(from, k);
    ComplexLanes b = fourier.conj(fourier.load(from, kb.sub(half, k)));
    ComplexLanes even = fourier.add(a, b), difference = fourier.sub(a, b);
    ComplexLanes odd = fourier.mul(difference, fourier.conj(fourier.twiddle(k)));
    // even + i odd
    ComplexLanes z = fourier.sub(even, fourier.turn(odd));
    fourier.store(fourier.scale({z.im, z.re}, 0.5), to, k);
  });
}

/// The reverse, without the swap: bins 0 to L / 2 of a real signal.
Value Signals::unpack(Value from, Value to) {
  kb.forLoop(kb.idx(0), kb.add(half, 1), 1, [&](Value k) {
    Value zero = kb.idx(0), opposite = kb.sub(half, k);
    Value at = kb.select(kb.eq(k, half), zero, k);
    opposite = kb.select(kb.eq(opposite, half), zero, opposite);
    ComplexLanes a = fourier.load(from, at), b = fourier.conj(fourier.load(from, opposite));
    ComplexLanes even = fourier.add(a, b), difference = fourier.turn(fourier.sub(a, b));
    ComplexLanes odd = fourier.mul(difference, fourier.twiddle(k));
    fourier.store(fourier.scale(fourier.add(even, odd), 0.5), to, k);
  });
  return to;
}

void Signals::scatter(Value buffer) {
  Value base = scope.output(0), one = kb.idx(1);
  Value factor = kb.constF(1);
  if (op.getInverse()) {
    Value count = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI64Type(),
                                             plan.halved && plan.realResult ? half : length);
    Value wide = arith::SIToFPOp::create(kb.b, kb.loc, kb.b.getF64Type(), count);
    Value exact = arith::DivFOp::create(kb.b, kb.loc, kb.constF(1, kb.b.getF64Type()), wide);
    factor = arith::TruncFOp::create(kb.b, kb.loc, kb.f32(), exact);
  }
  auto value = [&](Value lane, Value element, int64_t part) -> Value {
    Value loaded = kb.load(kb.f32(), buffer, slot(lane, element, part));
    return op.getInverse() ? arith::MulFOp::create(kb.b, kb.loc, loaded, factor).getResult()
                           : loaded;
  };
  int64_t swap = op.getInverse();
  Value elements = scope.extent(op.getResult(), plan.axis);
  eachElement(
      elements,
      [&](Value lane, Value element, Value offset) {
        if (plan.realResult && plan.halved) {
          // Even and odd samples, swapped.
          Value part = kb.sub(one, kb.rem(element, kb.idx(2)));
          Value at =
              kb.add(kb.mul(kb.div(element, 2), 2 * width), kb.add(lane, kb.mul(part, width)));
          Value loaded = kb.load(kb.f32(), buffer, at);
          return kb.store(arith::MulFOp::create(kb.b, kb.loc, loaded, factor), base, offset);
        }
        if (plan.realResult)
          return kb.store(value(lane, element, swap), base, offset);
        if (!plan.halved) {
          kb.store(value(lane, element, swap), base, offset);
          return kb.store(value(lane, element, 1 - swap), base, kb.add(offset, 1));
        }
        // The second half of a two-sided result is the conjugate of the first.
        Value beyond = kb.lt(half, element);
        Value at = kb.select(beyond, kb.sub(length, element), element);
        Value imaginary = value(lane, at, 1);
        Value negative = arith::NegFOp::create(kb.b, kb.loc, imaginary);
        kb.store(value(lane, at, 0), base, offset);
        kb.store(kb.select(beyond, negative, imaginary), base, kb.add(offset, 1));
      },
      /*target=*/true);
}

void Signals::run() {
  length = scope.get(plan.length);
  half = kb.div(length, 2);
  first = kb.mul(scope.args.task, width);
  valid = kb.min(kb.sub(batch(plan, scope), first), kb.idx(width));
  // One more element than a transform has: bins 0 to L / 2.
  Value floats = kb.mul(kb.add(scope.get(plan.transform()), 1), 2 * width);
  Value buffer = kb.gep(scope.scratch(0), kb.mul(scope.args.worker, kb.mul(floats, 2)), kb.f32());
  Value other = kb.gep(buffer, floats, kb.f32());
  gather(buffer);
  Value one = kb.idx(1);
  std::optional<int64_t> known = plan.transform().constant();
  if (!plan.halved) {
    if (plan.realResult)
      mirror(buffer);
    return scatter(fourier.run(length, known, buffer, other, one));
  }
  if (plan.realResult) {
    pack(buffer, other);
    return scatter(fourier.run(half, known, other, buffer, kb.idx(2)));
  }
  Value spectrum = fourier.run(half, known, buffer, other, kb.idx(2));
  // Which buffer is free is known at compile time.
  scatter(unpack(spectrum, spectrum == buffer ? other : buffer));
}

struct DftEmitter final : KernelEmitter {
  StringRef name() const override { return "dft"; }
  bool matches(KernelOp op, const CpuTarget &target) const override {
    return Plan(op).read(target);
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Plan plan(op);
    if (!plan.read(target))
      return op.emitError("internal: not a kernel of the dft emitter");
    KernelBuilder kb(op.getLoc(), target);
    LLVM::GlobalOp constants;
    func::FuncOp tabulate;
    if (plan.known)
      constants = table(kb, module, symbol, *plan.known);
    else
      tabulate = tableTask(kb, module, symbol, plan);
    func::FuncOp task = kb.task(module, (symbol + "_signals").str(), [&](const KernelArgs &args) {
      Value table = constants ? LLVM::AddressOfOp::create(kb.b, kb.loc, constants).getResult()
                              : kb.buffer(args, op.getInputs().size() + 2);
      Signals(plan, kb, args, table).run();
      return Value();
    });
    kb.kernel(module, symbol, [&](const KernelArgs &args) {
      Scope scope(plan.sizes, kb, args);
      Value status = kb.constI(0, kb.b.getI32Type());
      if (tabulate)
        status = kb.parallelFor(args, kb.ceilDiv(scope.get(plan.length), kTableBlock), tabulate);
      Value tasks = kb.ceilDiv(Signals::batch(plan, scope), plan.width);
      Value rest = kb.parallelFor(args, tasks, task);
      return arith::OrIOp::create(kb.b, kb.loc, status, rest).getResult();
    });
    EmittedKernel emitted;
    emitted.scratch.push_back(hostExpr(op, Size(16 * plan.width) * (plan.transform() + Size(1)),
                                       /*perWorker=*/true));
    if (!plan.known)
      emitted.scratch.push_back(hostExpr(op, Size(8) * plan.length));
    return emitted;
  }

private:
  /// cos and -sin of 2 pi t / length.
  static LLVM::GlobalOp table(KernelBuilder &kb, ModuleOp module, StringRef symbol,
                              int64_t length) {
    std::vector<float> values;
    for (int64_t t = 0; t < length; ++t) {
      double angle = 2 * M_PI * double(t) / double(length);
      values.push_back(float(std::cos(angle)));
      values.push_back(float(-std::sin(angle)));
    }
    OpBuilder::InsertionGuard guard(kb.b);
    kb.b.setInsertionPointToStart(module.getBody());
    auto type = LLVM::LLVMArrayType::get(kb.f32(), values.size());
    auto data = DenseElementsAttr::get(RankedTensorType::get({int64_t(values.size())}, kb.f32()),
                                       ArrayRef<float>(values));
    return LLVM::GlobalOp::create(kb.b, kb.loc, type, /*isConstant=*/true, LLVM::Linkage::Internal,
                                  (symbol + "_turn").str(), data);
  }

  /// The same at run time, into the second scratch buffer.
  static func::FuncOp tableTask(KernelBuilder &kb, ModuleOp module, StringRef symbol,
                                const Plan &plan) {
    return kb.task(module, (symbol + "_turn").str(), [&](const KernelArgs &args) {
      Scope scope(plan.sizes, kb, args);
      Type f64 = kb.b.getF64Type(), i64 = kb.b.getI64Type();
      auto real = [&](Value index) -> Value {
        Value wide = arith::IndexCastOp::create(kb.b, kb.loc, i64, index);
        return arith::SIToFPOp::create(kb.b, kb.loc, f64, wide);
      };
      Value length = scope.get(plan.length), into = scope.scratch(1);
      Value begin = kb.mul(args.task, kTableBlock);
      Value end = kb.min(kb.add(begin, kTableBlock), length);
      kb.forLoop(begin, end, 1, [&](Value t) {
        Value turn = arith::DivFOp::create(kb.b, kb.loc, real(t), real(length));
        Value angle = arith::MulFOp::create(kb.b, kb.loc, turn, kb.constF(2 * M_PI, f64));
        Value cosine = math::CosOp::create(kb.b, kb.loc, angle);
        Value sine = arith::NegFOp::create(kb.b, kb.loc,
                                           math::SinOp::create(kb.b, kb.loc, angle).getResult());
        auto put = [&](Value value, int64_t part) {
          kb.store(arith::TruncFOp::create(kb.b, kb.loc, kb.f32(), value), into,
                   kb.add(kb.mul(t, 2), part));
        };
        put(cosine, 0);
        put(sine, 1);
      });
      return Value();
    });
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createDftEmitter() { return std::make_unique<DftEmitter>(); }

} // namespace attune::codegen
