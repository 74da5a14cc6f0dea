// Mixing of attention maps: a block has a tile of rows and columns of all maps. What a stage reads
// lies in shared memory, with the halo of the stages that follow; threads have four neighbouring
// results of four channels at a time, so that a weight is loaded once for four products.
#include "attune/codegen/cpu/MapMix.h"
#include "attune/codegen/gpu/Emitter.h"
#include "attune/codegen/gpu/Launches.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {
namespace {

constexpr int64_t kThreads = 256;
/// Channels and positions of a thread at a time.
constexpr int64_t kChannels = 4, kPositions = 4;
/// Shared memory of a block at most, so that two fit.
constexpr int64_t kMostShared = 80 << 10;
/// Windows are unrolled.
constexpr int64_t kMostWindow = 49;
constexpr int64_t kFloat = sizeof(float);

/// What a stage reads; behind the last one, the results.
struct Buffer {
  int64_t channels = 1, rowHalo = 0, columnHalo = 0, rows = 0, width = 0, offset = 0;
  int64_t floats() const { return channels * rows * width; }
};

/// Of a block: its tile, buffers, and where weights and biases of the stages lie, in floats.
struct Plan {
  int64_t rows, columns;
  SmallVector<Buffer> buffers;
  SmallVector<int64_t> weights;
  int64_t floats = 0;

  Plan(const MapMixMatch &mix, int64_t rows, int64_t columns) : rows(rows), columns(columns) {
    auto take = [&](int64_t count) {
      int64_t place = floats;
      floats += (count + 3) / 4 * 4;
      return place;
    };
    for (unsigned number = 0; number <= mix.stages.size(); ++number) {
      Buffer b;
      b.channels = mix.channels;
      for (auto [n, stage] : llvm::enumerate(mix.stages)) {
        if (n < number)
          b.channels = stage.groups * stage.out;
        b.rowHalo += n < number ? 0 : stage.rowHalo();
        b.columnHalo += n < number ? 0 : stage.columnHalo();
      }
      b.rows = rows + 2 * b.rowHalo;
      b.width = columns + 2 * b.columnHalo;
      if (number < mix.stages.size())
        b.offset = take(b.floats());
      buffers.push_back(b);
    }
    for (const MapMixMatch::Stage &stage : mix.stages)
      weights.push_back(take(stage.groups * padded(stage) * (window(stage) * stage.in + 1)));
  }

  static int64_t window(const MapMixMatch::Stage &stage) { return stage.rows * stage.columns; }
  /// Channels of a group in whole vectors; a row of them per weight, and one of biases.
  static int64_t padded(const MapMixMatch::Stage &stage) {
    return (stage.out + kChannels - 1) / kChannels * kChannels;
  }
};

class MapMixKernel {
public:
  MapMixKernel(KernelOp op, ModuleOp module, StringRef symbol, const CpuTarget &host,
               const Sizes &sizes, const MapMixMatch &mix, const Plan &plan)
      : device(Launches::deviceModule(module)), sizes(sizes), mix(mix), plan(plan),
        launches(op, module, symbol, host, /*scratch=*/0) {
    LaunchShape shape;
    shape.threads = kThreads;
    shape.grid = {hostCeilDiv(hostExpr(op, mix.columns), plan.columns),
                  hostCeilDiv(hostExpr(op, mix.rows), plan.rows), hostExpr(op, mix.batch)};
    shape.sharedBytes = plan.floats * kFloat;
    launches.add(shape, [&](DeviceBuilder &kb, const KernelArgs &args) { buildThread(kb, args); });
    launches.finish();
  }

private:
  ModuleOp device;
  const Sizes &sizes;
  const MapMixMatch &mix;
  const Plan &plan;
  Launches launches;

  struct Thread {
    DeviceBuilder &kb;
    Scope scope;
    Value shared, batch, firstRow, firstColumn, rows, columns;
  };

  Value at(Thread &t, Value floats) { return t.kb.sharedAt(t.shared, t.kb.mul(floats, kFloat)); }
  Value load(Thread &t, Value floats, int64_t count = 1) {
    Type type = count == 1 ? t.kb.f32() : Type(t.kb.vec(count));
    return LLVM::LoadOp::create(t.kb.b, t.kb.loc, type, at(t, floats), unsigned(count * kFloat));
  }
  void store(Thread &t, Value x, Value floats) {
    LLVM::StoreOp::create(t.kb.b, t.kb.loc, x, at(t, floats), kFloat);
  }
  static Value both(KernelBuilder &kb, Value x, Value y) {
    return arith::AndIOp::create(kb.b, kb.loc, x, y);
  }

  void buildThread(DeviceBuilder &kb, const KernelArgs &args) {
    Thread t{kb, Scope(sizes, kb, args), kb.dynamicShared(device), kb.block(2), {}, {}, {}, {}};
    t.firstRow = kb.mul(kb.block(1), plan.rows);
    t.firstColumn = kb.mul(kb.block(0), plan.columns);
    t.rows = t.scope.get(mix.rows);
    t.columns = t.scope.get(mix.columns);
    loadMaps(t);
    for (unsigned number = 0; number < mix.stages.size(); ++number)
      loadWeights(t, number);
    kb.barrier();
    for (unsigned number = 0; number < mix.stages.size(); ++number) {
      runStage(t, number);
      if (number + 1 < mix.stages.size())
        kb.barrier();
    }
  }

  /// Whether a position of a buffer is one of the maps; they are 0 elsewhere.
  Value exists(Thread &t, Value row, Value column) {
    KernelBuilder &kb = t.kb;
    auto inside = [&](Value x, Value end) {
      return both(kb, kb.cmp(arith::CmpIPredicate::sge, x, kb.idx(0)), kb.lt(x, end));
    };
    return both(kb, inside(row, t.rows), inside(column, t.columns));
  }
  Value rowOf(Thread &t, const Buffer &b, Value row) {
    return t.kb.sub(t.kb.add(t.firstRow, row), t.kb.idx(b.rowHalo));
  }
  Value columnOf(Thread &t, const Buffer &b, Value column) {
    return t.kb.sub(t.kb.add(t.firstColumn, column), t.kb.idx(b.columnHalo));
  }

  Value element(Thread &t, const MapMixMatch::Operand &from, ArrayRef<Value> index) {
    KernelBuilder &kb = t.kb;
    Value offset = t.scope.get(from.view.offset);
    for (auto [i, stride] : llvm::zip(index, from.view.strides))
      offset = kb.add(offset, kb.mul(i, t.scope.get(stride)));
    return kb.load(kb.f32(), t.scope.input(from.input), offset);
  }

  void loadMaps(Thread &t) {
    DeviceBuilder &kb = t.kb;
    const Buffer &b = plan.buffers.front();
    kb.forLoop(kb.thread(), kb.idx(b.floats()), kThreads, [&](Value number) {
      Value channel = kb.div(number, b.rows * b.width);
      Value row = rowOf(t, b, kb.rem(kb.div(number, b.width), kb.idx(b.rows)));
      Value column = columnOf(t, b, kb.rem(number, kb.idx(b.width)));
      auto read = [&]() -> Values {
        Value index[] = {t.batch, channel, row, column};
        Value x = element(t, mix.maps, index);
        if (!mix.hasPrevious)
          return {x};
        Value old = arith::MulFOp::create(kb.b, kb.loc, element(t, mix.previous, index),
                                          kb.constF(mix.beta));
        return {math::FmaOp::create(kb.b, kb.loc, x, kb.constF(1 - mix.beta), old)};
      };
      Values x = kb.ifElse(exists(t, row, column), {kb.f32()}, read,
                           [&]() -> Values { return {kb.constF(0)}; });
      store(t, x[0], kb.add(number, b.offset));
    });
  }

  /// Rows [group][in][window][channel], then [group][channel] of biases; 0 past the last channel.
  void loadWeights(Thread &t, unsigned number) {
    DeviceBuilder &kb = t.kb;
    const MapMixMatch::Stage &stage = mix.stages[number];
    int64_t wide = Plan::padded(stage), window = Plan::window(stage);
    auto orZero = [&](Value has, llvm::function_ref<Value()> x) {
      return kb
          .ifElse(
              has, {kb.f32()}, [&]() -> Values { return {x()}; },
              [&]() -> Values { return {kb.constF(0)}; })
          .front();
    };
    int64_t all = stage.groups * stage.in * window * wide;
    kb.forLoop(kb.thread(), kb.idx(all), kThreads, [&](Value place) {
      Value channel = kb.rem(place, kb.idx(wide)), rest = kb.div(place, wide);
      Value q = kb.rem(rest, kb.idx(stage.columns));
      rest = kb.div(rest, stage.columns);
      Value p = kb.rem(rest, kb.idx(stage.rows));
      rest = kb.div(rest, stage.rows);
      Value in = kb.rem(rest, kb.idx(stage.in)), group = kb.div(rest, stage.in);
      Value x = orZero(kb.lt(channel, kb.idx(stage.out)), [&] {
        Value out = kb.add(kb.mul(group, stage.out), channel);
        return element(t, stage.weight, {out, in, p, q});
      });
      store(t, x, kb.add(place, plan.weights[number]));
    });
    kb.forLoop(kb.thread(), kb.idx(stage.groups * wide), kThreads, [&](Value place) {
      Value channel = kb.rem(place, kb.idx(wide)), group = kb.div(place, wide);
      Value x = orZero(kb.lt(channel, kb.idx(stage.out)), [&]() -> Value {
        if (!stage.bias)
          return kb.constF(stage.everyBias);
        return element(t, *stage.bias, {kb.add(kb.mul(group, stage.out), channel)});
      });
      store(t, x, kb.add(place, plan.weights[number] + all));
    });
  }

  Value activate(KernelBuilder &kb, const MapMixMatch::Stage &stage, Value x) {
    if (stage.act == MapAct::None)
      return x;
    Value zero = kb.constF(0), low = zero;
    if (stage.act == MapAct::LeakyRelu)
      low = arith::MulFOp::create(kb.b, kb.loc, x, kb.constF(stage.slope));
    Value positive = arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::UGE, x, zero);
    return kb.select(positive, x, low);
  }

  /// A warp takes a vector of channels at 4 * 32 positions of the tile, neighbours in its lanes.
  void runStage(Thread &t, unsigned number) {
    DeviceBuilder &kb = t.kb;
    const MapMixMatch::Stage &stage = mix.stages[number];
    const Buffer &from = plan.buffers[number], &to = plan.buffers[number + 1];
    constexpr int64_t kWarp = DeviceBuilder::kWarp;
    int64_t positions = to.rows * to.width, each = kWarp * kPositions;
    int64_t blocks = (positions + each - 1) / each, wide = Plan::padded(stage);
    int64_t vectors = wide / kChannels;
    Value warp = kb.div(kb.thread(), kWarp), lane = kb.rem(kb.thread(), kb.idx(kWarp));
    int64_t items = stage.groups * vectors * blocks;
    kb.forLoop(warp, kb.idx(items), kThreads / kWarp, [&](Value item) {
      Value block = kb.rem(item, kb.idx(blocks)), rest = kb.div(item, blocks);
      Value vector = kb.rem(rest, kb.idx(vectors)), group = kb.div(rest, vectors);
      Values rows, columns, places;
      for (int64_t n = 0; n < kPositions; ++n) {
        Value position = kb.add(kb.add(kb.mul(block, each), lane), n * kWarp);
        position = kb.min(position, kb.idx(positions - 1)); // the last one, again
        rows.push_back(kb.div(position, to.width));
        columns.push_back(kb.rem(position, kb.idx(to.width)));
        places.push_back(kb.add(kb.mul(rows[n], from.width), columns[n]));
      }
      Value weights = kb.add(kb.mul(vector, kChannels), plan.weights[number]);
      Value first = kb.mul(group, stage.in);
      int64_t window = Plan::window(stage);
      Value biases =
          kb.add(kb.mul(group, wide), kb.add(weights, stage.groups * stage.in * window * wide));
      Values sums = sumsOf(t, load(t, biases, kChannels));
      sums = kb.forLoop(kb.idx(0), kb.idx(stage.in), 1, sums, [&](Value in, ValueRange carried) {
        Values next(carried);
        Value channel = kb.add(first, in);
        Value map = kb.add(kb.mul(channel, from.rows * from.width), from.offset);
        for (int64_t p = 0; p < stage.rows; ++p)
          for (int64_t q = 0; q < stage.columns; ++q) {
            Value row = kb.add(kb.mul(channel, window), p * stage.columns + q);
            Value weight = load(t, kb.add(weights, kb.mul(row, wide)), kChannels);
            int64_t shift = (p * from.width + q) * stage.dilation;
            for (int64_t n = 0; n < kPositions; ++n) {
              Value x = load(t, kb.add(map, kb.add(places[n], shift)));
              for (int64_t c = 0; c < kChannels; ++c) {
                Value &sum = next[n * kChannels + c];
                Value factor = vector::ExtractOp::create(kb.b, kb.loc, weight, c);
                sum = math::FmaOp::create(kb.b, kb.loc, x, factor, sum);
              }
            }
          }
        return next;
      });
      for (int64_t n = 0; n < kPositions; ++n)
        for (int64_t c = 0; c < kChannels; ++c) {
          Value inGroup = kb.add(kb.mul(vector, kChannels), c);
          kb.ifThen(kb.lt(inGroup, kb.idx(stage.out)), [&] {
            Value channel = kb.add(kb.mul(group, stage.out), inGroup);
            finish(t, number, channel, rows[n], columns[n],
                   activate(kb, stage, sums[n * kChannels + c]));
          });
        }
    });
  }

  Values sumsOf(Thread &t, Value biases) {
    Values sums;
    for (int64_t n = 0; n < kPositions * kChannels; ++n)
      sums.push_back(vector::ExtractOp::create(t.kb.b, t.kb.loc, biases, n % kChannels));
    return sums;
  }

  void finish(Thread &t, unsigned number, Value channel, Value row, Value column, Value x) {
    DeviceBuilder &kb = t.kb;
    const Buffer &to = plan.buffers[number + 1];
    Value r = rowOf(t, to, row), c = columnOf(t, to, column), inside = exists(t, r, c);
    if (number + 1 < mix.stages.size()) {
      Value place = kb.add(kb.mul(kb.add(kb.mul(channel, to.rows), row), to.width), column);
      return store(t, kb.select(inside, x, kb.constF(0)), kb.add(place, to.offset));
    }
    kb.ifThen(inside, [&] {
      Value result = x;
      if (mix.alpha != 1) {
        const Buffer &b = plan.buffers.front();
        Value there = kb.add(kb.mul(channel, b.rows), kb.add(row, b.rowHalo));
        there = kb.add(kb.mul(there, b.width), kb.add(column, b.columnHalo + b.offset));
        Value old = arith::MulFOp::create(kb.b, kb.loc, load(t, there), kb.constF(1 - mix.alpha));
        result = math::FmaOp::create(kb.b, kb.loc, x, kb.constF(mix.alpha), old);
      }
      Value offset = t.scope.get(mix.result.offset);
      Value index[] = {t.batch, channel, r, c};
      for (auto [i, stride] : llvm::zip(index, mix.result.strides))
        offset = kb.add(offset, kb.mul(i, t.scope.get(stride)));
      kb.store(result, t.scope.output(0), offset);
    });
  }
};

/// The largest tile that fits; none if no tile does.
std::optional<Plan> choosePlan(const MapMixMatch &mix) {
  for (const MapMixMatch::Stage &stage : mix.stages)
    if (Plan::window(stage) > kMostWindow)
      return std::nullopt;
  bool flat = mix.rows.is(1);
  for (int64_t rows : {16, 8, 4}) {
    Plan plan(mix, flat ? 1 : rows, flat ? 64 * rows : 64);
    if (plan.floats * kFloat <= kMostShared)
      return plan;
  }
  return std::nullopt;
}

class GpuMapMixEmitter final : public KernelEmitter {
public:
  StringRef name() const override { return "gpu-map-mix"; }

  bool matches(KernelOp op, const CpuTarget &) const override {
    std::optional<MapMixMatch> mix = matchMapMix(op, Sizes(op));
    return mix && Launches::fitParameters(op, /*scratch=*/0) && choosePlan(*mix);
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &host) const override {
    Sizes sizes(op);
    std::optional<MapMixMatch> mix = matchMapMix(op, sizes);
    std::optional<Plan> plan = mix ? choosePlan(*mix) : std::nullopt;
    if (!plan)
      return op.emitError("internal: the map mixing emitter does not take this kernel");
    MapMixKernel(op, module, symbol, host, sizes, *mix, *plan);
    return EmittedKernel();
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createGpuMapMixEmitter(const GpuTarget &) {
  return std::make_unique<GpuMapMixEmitter>();
}

} // namespace attune::codegen
