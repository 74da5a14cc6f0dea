//===- EmaEmitter.cpp - Moving averages along a sequence --------------------------------------===//
//
// A task is a batch and a block of channels; lanes are channels. Steps are taken a few at a time:
// for each state the old value, its decay and its weight are loaded once and serve all of these
// steps, so that a step costs two multiply-adds per state and hardly any memory traffic. The chains
// of different states and vectors overlap.
//
// Without an initial or final state the recurrence runs on h / input_weight, whose step needs no
// product with the input: g = decay g + x, y += (output_weight input_weight) g.
//
//===--------------------------------------------------------------------------------------------===//
#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/PointEpilogue.h"

using namespace mlir;

namespace attune::codegen {
namespace {

/// More states than this are rare, and cost compile time where they are unrolled.
constexpr int64_t kMaxStates = 256;
constexpr int64_t kUnrolledStates = 4;
/// Channels of a task at most: whole cache lines of a row, states and coefficients in the L1 cache.
constexpr int64_t kBlockChannels = 64;

struct Plan {
  explicit Plan(KernelOp kernel) : sizes(kernel) {}
  bool read(const CpuTarget &target);

  Sizes sizes;
  EmaOp op;
  std::optional<PointEpilogue> epilogue;
  int64_t states = 0;
  int64_t vectors = 1; ///< of a channel block
  bool scaled = false; ///< the recurrence runs on h / input_weight
};

bool Plan::read(const CpuTarget &target) {
  KernelOp kernel = sizes.kernel;
  for (auto found : kernel.getBody().front().getOps<EmaOp>()) {
    if (op)
      return false;
    op = found;
  }
  if (!op || op.getTruncation())
    return false;
  if (!isInputView(sizes, op.getInput()) || !llvm::all_of(op->getOperands(), [&](Value operand) {
        return isReadableF32(sizes, operand);
      }))
    return false;
  for (Value result : op->getResults())
    if (!cast<RankedTensorType>(result.getType()).getElementType().isF32())
      return false;
  Value last = op.getFinalState();
  epilogue = PointEpilogue::match(sizes, op.getResult(), last ? ValueRange(last) : ValueRange());
  // The second direction adds to what the first one has stored.
  if (!epilogue || !sizes.extents(op.getInput()) ||
      (op.getBidirectional() && (!epilogue->isPlain() || !epilogue->placeOf(op.getResult()))))
    return false;
  states = op.getNumStates();
  scaled = !op.getInitState() && !last;
  if (states > kMaxStates)
    return false;
  int64_t lanes = target.lanes(32), channels = op.getInputType().getDimSize(2);
  vectors = kBlockChannels / lanes;
  // A few tasks per batch.
  while (vectors > 1 && !ShapedType::isDynamic(channels) && channels < 4 * vectors * lanes)
    vectors /= 2;
  return true;
}

/// One task.
class Steps {
public:
  Steps(const Plan &plan, KernelBuilder &kb, const KernelArgs &args)
      : plan(plan), kb(kb), scope(plan.sizes, kb, args), lanes(scope, kb.lanes()), op(plan.op) {
    width = kb.lanes();
    unroll = kb.target.registers >= 32 ? 8 : 4;
  }

  Value run();
  bool broken = false;

  static int64_t scratchFloats(const Plan &plan, int64_t lanes) {
    return ((plan.scaled ? 3 : 4) * plan.states + 1) * plan.vectors * lanes;
  }

private:
  enum Table { Decay, Weight, State, Input };

  Value read(Value tensor, ArrayRef<Lane> point) {
    if (std::optional<double> splat = splatValue(tensor))
      return kb.constF(*splat, kb.vec());
    View view = *readView(plan.sizes, tensor);
    Value base = scope.input(*plan.sizes.inputNumber(view.root));
    // The final state may be written over the initial one.
    bool constant = tensor != op.getInitState();
    return lanes.vector(lanes.load(kb.f32(), base, lanes.offset(view, point), constant));
  }
  /// Where vector `v`, state `k` of a table lies in the worker's scratch.
  Value at(Table table, Value v, Value k) {
    int64_t start = table * plan.states * plan.vectors * width;
    return kb.add(kb.mul(kb.add(kb.mul(v, plan.states), k), width), start);
  }
  Value skipAt(Value v) {
    int64_t start = (plan.scaled ? 3 : 4) * plan.states * plan.vectors * width;
    return kb.add(kb.mul(v, width), start);
  }

  void eachVector(llvm::function_ref<void(Value v)> body);
  void prepare(bool backward);
  void advance(Value t, int64_t steps, bool backward);
  void store(Value y, Value t, Value channel, bool backward);
  Lane place(Value t, Value channel, Value &base);
  void finish();

  const Plan &plan;
  KernelBuilder &kb;
  Scope scope;
  Lanes lanes;
  EmaOp op;
  int64_t width, unroll;
  Value batch, length, first, count, work;
};

/// `body` for every vector of the block; the last one may be partial.
void Steps::eachVector(llvm::function_ref<void(Value)> body) {
  Value full = kb.div(count, width), rest = kb.rem(count, kb.idx(width));
  kb.forLoop(kb.idx(0), full, 1, body);
  if (op.getInputType().getDimSize(2) % width == 0 && !op.getInputType().isDynamicDim(2))
    return;
  kb.ifThen(kb.lt(kb.idx(0), rest), [&] { lanes.below(rest, [&] { body(full); }); });
}

/// Coefficients of this direction and the states before the first step.
void Steps::prepare(bool backward) {
  eachVector([&](Value v) {
    Value channel = kb.add(first, kb.mul(v, width));
    Value row = backward ? kb.add(channel, scope.extent(op.getInput(), 2)) : channel;
    kb.forLoop(kb.idx(0), kb.idx(plan.states), 1, [&](Value k) {
      SmallVector<Lane> point{Lane::linear(row), Lane(k)};
      kb.store(read(op.getDecay(), point), work, at(Decay, v, k));
      Value weight = read(op.getOutputWeight(), point), input = read(op.getInputWeight(), point);
      if (plan.scaled)
        weight = arith::MulFOp::create(kb.b, kb.loc, weight, input);
      else
        kb.store(input, work, at(Input, v, k));
      kb.store(weight, work, at(Weight, v, k));
      Value state = kb.constF(0, kb.vec());
      if (Value init = op.getInitState())
        state = read(init, {Lane(batch), Lane::linear(channel), Lane(k)});
      kb.store(state, work, at(State, v, k));
    });
    if (Value skip = op.getSkip())
      kb.store(read(skip, {Lane::linear(channel)}), work, skipAt(v));
  });
}

Lane Steps::place(Value t, Value channel, Value &base) {
  auto [number, placement] = *plan.epilogue->placeOf(op.getResult());
  base = scope.output(number);
  View view{placement.value, placement.offset, placement.strides};
  return lanes.offset(view, {Lane(batch), Lane(t), Lane::linear(channel)});
}

void Steps::store(Value y, Value t, Value channel, bool backward) {
  if (backward) {
    Value base;
    Lane offset = place(t, channel, base);
    return lanes.store(y, base, offset);
  }
  broken |=
      failed(plan.epilogue->emit(scope, lanes, y, {Lane(batch), Lane(t), Lane::linear(channel)}));
}

/// `steps` steps from the `t`-th on, in the order of the direction.
void Steps::advance(Value t, int64_t steps, bool backward) {
  auto position = [&](int64_t u) {
    Value step = kb.add(t, u);
    return backward ? kb.sub(kb.add(length, -1), step) : step;
  };
  eachVector([&](Value v) {
    Value channel = kb.add(first, kb.mul(v, width));
    View view = *readView(plan.sizes, op.getInput());
    Value base = scope.input(*plan.sizes.inputNumber(view.root));
    Values x, y;
    for (int64_t u = 0; u < steps; ++u) {
      x.push_back(read(op.getInput(), {Lane(batch), Lane(position(u)), Lane::linear(channel)}));
      // Rows are far apart: the hardware does not see them coming.
      Lane ahead = lanes.offset(view, {Lane(batch), Lane(position(u + 2 * steps)), Lane(channel)});
      if (steps > 1)
        kb.prefetch(base, ahead.scalar, kb.f32());
    }
    for (int64_t u = 0; u < steps; ++u) {
      Value sum = kb.constF(0, kb.vec());
      if (backward) {
        Value output;
        Lane offset = place(position(u), channel, output);
        sum = lanes.vector(lanes.load(kb.f32(), output, offset));
      } else if (op.getSkip()) {
        sum = arith::MulFOp::create(kb.b, kb.loc, kb.load(kb.vec(), work, skipAt(v)), x[u]);
      }
      y.push_back(sum);
    }
    auto state = [&](Value k, ValueRange sums) {
      Value decay = kb.load(kb.vec(), work, at(Decay, v, k));
      Value weight = kb.load(kb.vec(), work, at(Weight, v, k));
      Value h = kb.load(kb.vec(), work, at(State, v, k));
      Value input = plan.scaled ? Value() : kb.load(kb.vec(), work, at(Input, v, k));
      Values next;
      for (int64_t u = 0; u < steps; ++u) {
        Value driven = x[u];
        if (input)
          driven = arith::MulFOp::create(kb.b, kb.loc, input, driven);
        h = kb.fma(decay, h, driven);
        next.push_back(kb.fma(weight, h, sums[u]));
      }
      kb.store(h, work, at(State, v, k));
      return next;
    };
    if (plan.states <= kUnrolledStates)
      for (int64_t k = 0; k < plan.states; ++k)
        y = state(kb.idx(k), y);
    else
      y = kb.forLoop(kb.idx(0), kb.idx(plan.states), 1, y, state);
    for (int64_t u = 0; u < steps; ++u)
      store(y[u], position(u), channel, backward);
  });
}

void Steps::finish() {
  auto output = plan.epilogue->placeOf(op.getFinalState());
  if (!output)
    return;
  View view{output->second.value, output->second.offset, output->second.strides};
  eachVector([&](Value v) {
    Value channel = kb.add(first, kb.mul(v, width));
    kb.forLoop(kb.idx(0), kb.idx(plan.states), 1, [&](Value k) {
      Lane offset = lanes.offset(view, {Lane(batch), Lane::linear(channel), Lane(k)});
      lanes.store(kb.load(kb.vec(), work, at(State, v, k)), scope.output(output->first), offset);
    });
  });
}

Value Steps::run() {
  length = scope.extent(op.getInput(), 1);
  Value channels = scope.extent(op.getInput(), 2);
  int64_t block = plan.vectors * width;
  Value blocks = kb.ceilDiv(channels, block);
  batch = kb.div(scope.args.task, blocks);
  first = kb.mul(kb.rem(scope.args.task, blocks), block);
  count = kb.min(kb.sub(channels, first), kb.idx(block));
  work = kb.gep(scope.scratch(0), kb.mul(scope.args.worker, scratchFloats(plan, width)), kb.f32());
  for (bool backward : {false, true}) {
    if (backward && !op.getBidirectional())
      continue;
    prepare(backward);
    Value whole = kb.mul(kb.div(length, unroll), unroll);
    kb.forLoop(kb.idx(0), whole, unroll, [&](Value t) { advance(t, unroll, backward); });
    kb.forLoop(whole, length, 1, [&](Value t) { advance(t, 1, backward); });
  }
  if (op.getFinalState())
    finish();
  return lanes.error();
}

struct EmaEmitter final : KernelEmitter {
  StringRef name() const override { return "ema"; }
  bool matches(KernelOp op, const CpuTarget &target) const override {
    return Plan(op).read(target);
  }
  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Plan plan(op);
    if (!plan.read(target))
      return op.emitError("internal: not a kernel of the ema emitter");
    KernelBuilder kb(op.getLoc(), target);
    bool broken = false;
    func::FuncOp task = kb.task(module, (symbol + "_steps").str(), [&](const KernelArgs &args) {
      Steps steps(plan, kb, args);
      Value status = steps.run();
      broken = steps.broken;
      return status;
    });
    kb.kernel(module, symbol, [&](const KernelArgs &args) {
      Scope scope(plan.sizes, kb, args);
      Value blocks = kb.ceilDiv(scope.extent(plan.op.getInput(), 2), plan.vectors * kb.lanes());
      Value tasks = kb.mul(scope.extent(plan.op.getInput(), 0), blocks);
      return kb.parallelFor(args, tasks, task);
    });
    if (broken)
      return op.emitError("internal: the body of an epilogue is not supported");
    EmittedKernel emitted;
    emitted.scratch.push_back(
        hostExpr(op, Size(4 * Steps::scratchFloats(plan, kb.lanes())), /*perWorker=*/true));
    Value init = plan.op.getInitState(), last = plan.op.getFinalState();
    auto output = last ? plan.epilogue->placeOf(last) : std::nullopt;
    // A task reads the states of its channels before it writes them.
    if (init && output && isSameLayout(plan.sizes, init, output->second))
      emitted.inPlace.push_back(
          {*plan.sizes.inputNumber(readView(plan.sizes, init)->root), output->first, 0});
    return emitted;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createEmaEmitter() { return std::make_unique<EmaEmitter>(); }

} // namespace attune::codegen
