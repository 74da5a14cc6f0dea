//===- TruncatedEmaEmitter.cpp - Moving averages that forget after a number of steps ----------===//
//
// y[t] = sum_{j < W} h[j] x[t-j],  h[j] = sum_k weight_k decay_k^j. A recurrence would have to take
// back what leaves the window, and would keep the rounding of inputs that are long gone. Sequence
// chunks of T steps forget exactly instead; of the window of a chunk's results
//
//   its own inputs:        sum of h[j] x[t-j], j < T
//   P whole chunks back:   one state per exponential, z_k = sum_u decay_k^(T-1-u) x[u], so that
//   with
//                          S_k = sum_p decay_k^(pT) z_k(p) result i gets weight_k decay_k^(i+1) S_k
//   what is older:         sum of h[j] x[t-j], up to j = W - 1
//
// which is 2 n + n P / T + T + 1 + W mod T multiply-adds for a result instead of W. A task is a
// batch, a block of channels and some chunks; its inputs are packed first, a vector of channels by
// itself, zeros before the first position.
//
//===--------------------------------------------------------------------------------------------===//
#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/PointEpilogue.h"

using namespace mlir;

namespace attune::codegen {
namespace {

/// Tables and states of more would leave the caches.
constexpr int64_t kMaxStates = 256;
/// Steps of a task: preparing the tables costs little against them.
constexpr int64_t kTaskSteps = 1024;
/// Channels of a task at most: whole cache lines of a row, which are far apart.
constexpr int64_t kBlockChannels = 64;
/// Chunks of one vector in a row: its tables stay in the first-level cache, the block's rows are
/// still there for the next vector.
constexpr int64_t kStripChunks = 8;
/// States whose recurrences overlap.
constexpr int64_t kStateGroup = 8;

struct Plan {
  Plan(KernelOp kernel, const CpuTarget &target)
      : sizes(kernel), steps(target.registers >= 32 ? 16 : 8), lanes(target.lanes(32)),
        vectors(kBlockChannels / lanes) {}
  bool read();

  Sizes sizes;
  int64_t steps; ///< T: results of a chunk stay in registers
  EmaOp op;
  std::optional<PointEpilogue> epilogue;
  int64_t states = 0;
  int64_t window = 0; ///< W
  int64_t whole = 0;  ///< P
  int64_t older = 0;  ///< coefficients behind the whole chunks, W - 1 - P T
  int64_t halo = 0;   ///< packed positions in front of a task's first
  int64_t lanes;
  int64_t vectors; ///< of a channel block
};

bool Plan::read() {
  KernelOp kernel = sizes.kernel;
  for (auto found : kernel.getBody().front().getOps<EmaOp>()) {
    if (op)
      return false;
    op = found;
  }
  if (!op || !op.getTruncation() || op.getBidirectional() || !sizes.extents(op.getInput()))
    return false;
  if (!isInputView(sizes, op.getInput()) || !llvm::all_of(op->getOperands(), [&](Value operand) {
        return isReadableF32(sizes, operand);
      }))
    return false;
  epilogue = PointEpilogue::match(sizes, op.getResult());
  // A few tasks per batch.
  int64_t channels = op.getInputType().getDimSize(2);
  while (vectors > 1 && !ShapedType::isDynamic(channels) && channels < 4 * vectors * lanes)
    vectors /= 2;
  states = op.getNumStates();
  window = *op.getTruncation();
  whole = window / steps - 1;
  older = window - 1 - whole * steps;
  halo = (window - 1 + steps - 1) / steps * steps;
  return epilogue && whole >= 1 && states <= kMaxStates &&
         cast<RankedTensorType>(op.getResult().getType()).getElementType().isF32();
}

/// One task.
class Chunks {
public:
  Chunks(const Plan &plan, KernelBuilder &kb, const KernelArgs &args)
      : plan(plan), kb(kb), scope(plan.sizes, kb, args), lanes(scope, kb.lanes()), op(plan.op) {}

  Value run();
  bool broken = false;

  static int64_t scratchVectors(const Plan &plan);

private:
  /// An array of vectors in the worker's scratch.
  struct Table {
    Value base;
  };
  Value load(Table table, Value at) {
    return kb.load(kb.vec(), table.base, kb.mul(at, lanes.count));
  }
  void store(Value value, Table table, Value at) {
    kb.store(value, table.base, kb.mul(at, lanes.count));
  }
  Value times(Value x, Value y) { return arith::MulFOp::create(kb.b, kb.loc, x, y); }
  /// Adds to an element of a table.
  void accumulate(Value value, Table table, int64_t at) {
    Value old = load(table, kb.idx(at));
    store(arith::AddFOp::create(kb.b, kb.loc, old, value), table, kb.idx(at));
  }

  void eachVector(llvm::function_ref<void()> body);
  void divideScratch(Value vector);
  Value coefficient(Value tensor, ArrayRef<Lane> point);
  void prepare();
  void pack(Value from, Value to);
  void prefetch(Value chunk);
  void states(Value chunk);
  void results(Value chunk);
  Values direct(Values sums, Value start, Table taps, int64_t first, int64_t count);
  void write(ArrayRef<Value> sums, Value start);
  void compute();

  const Plan &plan;
  KernelBuilder &kb;
  Scope scope;
  Lanes lanes;
  EmaOp op;
  Value batch, block, count, first, last;
  Value channel;             ///< first one of the vector at hand, whose tables these are:
  Table decays, chunkDecays; ///< [n]: decay, decay^T
  Table powers;              ///< [n,T]: weight decay^(i+1)
  Table near, far;           ///< [T], [older]: h[j], from 0 and from P T + 1 on
  Table chunkStates;         ///< [P + chunks, n]
  Table inputs;              ///< [halo + steps of the task]
  Table unfinished;          ///< [T]
};

int64_t Chunks::scratchVectors(const Plan &plan) {
  int64_t perState = 2 + plan.steps + plan.whole + kTaskSteps / plan.steps;
  return plan.states * perState + 2 * plan.steps + plan.older + plan.halo + kTaskSteps;
}

/// `body` for every vector of the block; the last one may be partial.
void Chunks::eachVector(llvm::function_ref<void()> body) {
  auto vector = [&](Value v) {
    channel = kb.add(block, kb.mul(v, lanes.count));
    divideScratch(v);
    body();
  };
  Value full = kb.div(count, lanes.count), rest = kb.rem(count, kb.idx(lanes.count));
  kb.forLoop(kb.idx(0), full, 1, vector);
  if (int64_t channels = op.getInputType().getDimSize(2);
      !ShapedType::isDynamic(channels) && channels % lanes.count == 0)
    return;
  kb.ifThen(kb.lt(kb.idx(0), rest), [&] { lanes.below(rest, [&] { vector(full); }); });
}

void Chunks::divideScratch(Value vector) {
  Value number = kb.add(kb.mul(scope.args.worker, plan.vectors), vector);
  Value next =
      kb.gep(scope.scratch(0), kb.mul(number, scratchVectors(plan) * lanes.count), kb.f32());
  auto take = [&](int64_t vectors) {
    Table table{next};
    next = kb.gep(next, kb.idx(vectors * lanes.count), kb.f32());
    return table;
  };
  decays = take(plan.states);
  chunkDecays = take(plan.states);
  powers = take(plan.states * plan.steps);
  near = take(plan.steps);
  far = take(plan.older);
  unfinished = take(plan.steps);
  chunkStates = take(plan.states * (plan.whole + kTaskSteps / plan.steps));
  inputs = take(plan.halo + kTaskSteps);
}

Value Chunks::coefficient(Value tensor, ArrayRef<Lane> point) {
  if (std::optional<double> splat = splatValue(tensor))
    return kb.constF(*splat, kb.vec());
  View view = *readView(plan.sizes, tensor);
  Value base = scope.input(*plan.sizes.inputNumber(view.root));
  return lanes.vector(lanes.load(kb.f32(), base, lanes.offset(view, point), /*constant=*/true));
}

/// The tables that depend on the channels alone.
void Chunks::prepare() {
  Value zero = kb.constF(0, kb.vec());
  for (auto [table, count] : {std::pair(near, plan.steps), std::pair(far, plan.older)})
    kb.forLoop(kb.idx(0), kb.idx(count), 1, [&, table = table](Value j) { store(zero, table, j); });
  kb.forLoop(kb.idx(0), kb.idx(plan.states), 1, [&](Value k) {
    SmallVector<Lane> point{Lane::linear(channel), Lane(k)};
    Value decay = coefficient(op.getDecay(), point);
    Value power =
        times(coefficient(op.getOutputWeight(), point), coefficient(op.getInputWeight(), point));
    Value chunkDecay = decay;
    store(decay, decays, k);
    for (int64_t i = 0; i < plan.steps; ++i) {
      accumulate(power, near, i);
      power = times(power, decay);
      store(power, powers, kb.add(kb.mul(k, plan.steps), i));
      if (i)
        chunkDecay = times(chunkDecay, decay);
    }
    store(chunkDecay, chunkDecays, k);
    power = kb.forLoop(kb.idx(1), kb.idx(plan.whole), 1, {power},
                       [&](Value, ValueRange old) { return Values{times(old[0], chunkDecay)}; })[0];
    for (int64_t j = 0; j < plan.older; ++j) {
      power = times(power, decay);
      accumulate(power, far, j);
    }
  });
}

/// Inputs at positions [from, to), which may begin before the first one.
void Chunks::pack(Value from, Value to) {
  View view = *readView(plan.sizes, op.getInput());
  Value base = scope.input(*plan.sizes.inputNumber(view.root));
  Value zero = kb.constF(0, kb.vec()), start = kb.sub(first, kb.idx(plan.halo));
  Value begin = kb.max(from, kb.idx(0)), end = kb.min(to, scope.extent(op.getInput(), 1));
  auto clear = [&](Value low, Value high) {
    kb.forLoop(low, high, 1, [&](Value t) { store(zero, inputs, kb.sub(t, start)); });
  };
  clear(from, kb.min(begin, to));
  kb.forLoop(begin, end, 1, [&](Value t) {
    SmallVector<Lane> point{Lane(batch), Lane(t), Lane::linear(channel)};
    Lane value = lanes.load(kb.f32(), base, lanes.offset(view, point), /*constant=*/true);
    store(lanes.vector(value), inputs, kb.sub(t, start));
  });
  clear(kb.max(begin, end), to);
}

/// Fetches the inputs of the chunk in the next strip: rows are far apart, the hardware does not see
/// them coming.
void Chunks::prefetch(Value chunk) {
  View view = *readView(plan.sizes, op.getInput());
  Value base = scope.input(*plan.sizes.inputNumber(view.root));
  Value start = kb.add(first, kb.mul(kb.add(chunk, kStripChunks), plan.steps));
  for (int64_t i = 0; i < plan.steps; ++i) {
    SmallVector<Lane> point{Lane(batch), Lane(kb.add(start, i)), Lane(channel)};
    kb.prefetch(base, lanes.offset(view, point).scalar, kb.f32());
  }
}

/// The states of one chunk, counted from P chunks before the task's first.
void Chunks::states(Value chunk) {
  Value start = kb.add(kb.mul(chunk, plan.steps), plan.halo - plan.whole * plan.steps);
  Value row = kb.mul(chunk, plan.states);
  auto group = [&](Value k, int64_t count) {
    Values z;
    Value x = load(inputs, start);
    z.assign(count, x);
    for (int64_t u = 1; u < plan.steps; ++u) {
      x = load(inputs, kb.add(start, u));
      for (int64_t i = 0; i < count; ++i)
        z[i] = kb.fma(load(decays, kb.add(k, i)), z[i], x);
    }
    for (int64_t i = 0; i < count; ++i)
      store(z[i], chunkStates, kb.add(kb.add(row, k), i));
  };
  int64_t grouped = plan.states / kStateGroup * kStateGroup;
  kb.forLoop(kb.idx(0), kb.idx(grouped), kStateGroup, [&](Value k) { group(k, kStateGroup); });
  if (grouped < plan.states)
    group(kb.idx(grouped), plan.states - grouped);
}

/// Adds `taps[j] x[t - first - j]`, j < count, to the results at t of the chunk from `start` on.
/// With first = 0 these are the chunk's own inputs, j <= i; else those before the whole chunks, j
/// >= i.
Values Chunks::direct(Values sums, Value start, Table taps, int64_t first, int64_t count) {
  for (int64_t j = 0; j < count; ++j) {
    Value h = load(taps, kb.idx(j));
    for (int64_t i = 0; i < plan.steps; ++i)
      if (first ? j >= i : i >= j)
        sums[i] = kb.fma(h, load(inputs, kb.add(start, i - j - first)), sums[i]);
  }
  return sums;
}

/// The results of one chunk of the task.
void Chunks::results(Value chunk) {
  Value start = kb.add(kb.mul(chunk, plan.steps), plan.halo);
  Values sums(plan.steps, kb.constF(0, kb.vec()));
  if (Value skip = op.getSkip()) {
    Value factor = coefficient(skip, {Lane::linear(channel)});
    for (int64_t i = 0; i < plan.steps; ++i)
      sums[i] = times(factor, load(inputs, kb.add(start, i)));
  }
  sums = kb.forLoop(kb.idx(0), kb.idx(plan.states), 1, sums, [&](Value k, ValueRange old) {
    auto state = [&](Value p) {
      return load(chunkStates, kb.add(kb.mul(kb.add(chunk, p), plan.states), k));
    };
    Value decay = load(chunkDecays, k);
    Value sum = kb.forLoop(
        kb.idx(1), kb.idx(plan.whole), 1, {state(kb.idx(0))},
        [&](Value p, ValueRange older) { return Values{kb.fma(decay, older[0], state(p))}; })[0];
    Values next;
    for (int64_t i = 0; i < plan.steps; ++i)
      next.push_back(kb.fma(load(powers, kb.add(kb.mul(k, plan.steps), i)), sum, old[i]));
    return next;
  });
  sums = direct(sums, start, near, 0, plan.steps);
  sums = direct(sums, start, far, plan.whole * plan.steps + 1, plan.older);
  write(sums, kb.add(first, kb.mul(chunk, plan.steps)));
}

void Chunks::write(ArrayRef<Value> sums, Value start) {
  auto emit = [&](Value value, Value t) {
    broken |= failed(
        plan.epilogue->emit(scope, lanes, value, {Lane(batch), Lane(t), Lane::linear(channel)}));
  };
  kb.ifElse(
      kb.lt(last, kb.add(start, plan.steps)), TypeRange(),
      [&] {
        for (auto [i, sum] : llvm::enumerate(sums))
          store(sum, unfinished, kb.idx(i));
        kb.forLoop(start, last, 1, [&](Value t) { emit(load(unfinished, kb.sub(t, start)), t); });
        return Values();
      },
      [&] {
        for (auto [i, sum] : llvm::enumerate(sums))
          emit(sum, kb.add(start, i));
        return Values();
      });
}

void Chunks::compute() {
  eachVector([&] {
    prepare();
    pack(kb.sub(first, kb.idx(plan.halo)), first);
    kb.forLoop(kb.idx(0), kb.idx(plan.whole), 1, [&](Value chunk) { states(chunk); });
  });
  Value chunks = kb.ceilDiv(kb.sub(last, first), plan.steps);
  auto position = [&](Value chunk) { return kb.add(first, kb.mul(chunk, plan.steps)); };
  kb.forLoop(kb.idx(0), chunks, kStripChunks, [&](Value strip) {
    Value end = kb.min(kb.add(strip, kStripChunks), chunks);
    eachVector([&] {
      pack(position(strip), position(end));
      kb.forLoop(strip, end, 1, [&](Value chunk) {
        prefetch(chunk);
        results(chunk);
        states(kb.add(chunk, plan.whole));
      });
    });
  });
}

Value Chunks::run() {
  Value length = scope.extent(op.getInput(), 1), channels = scope.extent(op.getInput(), 2);
  int64_t width = plan.vectors * lanes.count;
  Value blocks = kb.ceilDiv(channels, width), parts = kb.ceilDiv(length, kTaskSteps);
  Value column = kb.div(scope.args.task, parts);
  batch = kb.div(column, blocks);
  block = kb.mul(kb.rem(column, blocks), width);
  count = kb.min(kb.sub(channels, block), kb.idx(width));
  first = kb.mul(kb.rem(scope.args.task, parts), kTaskSteps);
  last = kb.min(kb.add(first, kTaskSteps), length);
  compute();
  return lanes.error();
}

struct TruncatedEmaEmitter final : KernelEmitter {
  StringRef name() const override { return "truncated_ema"; }
  bool matches(KernelOp op, const CpuTarget &target) const override {
    return Plan(op, target).read();
  }
  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Plan plan(op, target);
    if (!plan.read())
      return op.emitError("internal: not a kernel of the truncated_ema emitter");
    KernelBuilder kb(op.getLoc(), target);
    bool broken = false;
    func::FuncOp task = kb.task(module, (symbol + "_chunks").str(), [&](const KernelArgs &args) {
      Chunks chunks(plan, kb, args);
      Value status = chunks.run();
      broken = chunks.broken;
      return status;
    });
    kb.kernel(module, symbol, [&](const KernelArgs &args) {
      Scope scope(plan.sizes, kb, args);
      Value blocks = kb.ceilDiv(scope.extent(plan.op.getInput(), 2), plan.vectors * plan.lanes);
      Value parts = kb.ceilDiv(scope.extent(plan.op.getInput(), 1), kTaskSteps);
      Value tasks = kb.mul(kb.mul(scope.extent(plan.op.getInput(), 0), blocks), parts);
      return kb.parallelFor(args, tasks, task);
    });
    if (broken)
      return op.emitError("internal: the body of an epilogue is not supported");
    EmittedKernel emitted;
    emitted.scratch.push_back(
        hostExpr(op, Size(4 * plan.lanes * plan.vectors * Chunks::scratchVectors(plan)),
                 /*perWorker=*/true));
    return emitted;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createTruncatedEmaEmitter() {
  return std::make_unique<TruncatedEmaEmitter>();
}

} // namespace attune::codegen
