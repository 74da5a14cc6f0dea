#include "attune/codegen/cpu/ConvPlaneChannels.h"

#include "attune/codegen/cpu/GemmMicro.h"
#include "llvm/ADT/DenseMap.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {

/// Elements of the second level cache that planes and sums of a block should stay below.
static constexpr int64_t kBlockElements = 1 << 16;
/// Tasks of an image that are wanted: two threads end together within 8 %.
static constexpr int64_t kTasks = 12;
/// Sums in registers: enough to hide the latency of an addition, few enough for 16 registers.
static constexpr int64_t kSums = 8;
/// Windows of at most so many taps are unrolled, larger ones by rows of at most so many.
static constexpr int64_t kUnrolledTaps = 25, kUnrolledColumns = 11;

std::optional<PlaneChannelShape> PlaneChannelShape::of(const ConvMatch &conv, int64_t lanes) {
  auto known = [](const ConvAxis &axis) {
    return axis.in.constant() && axis.out.constant() && axis.before.constant() &&
           *axis.in.constant() > 0 && *axis.out.constant() > 0 && *axis.before.constant() >= 0;
  };
  std::optional<int64_t> groups = conv.groups.constant();
  if (conv.kind == ConvMatch::Dense || !groups || !known(conv.rows) || !known(conv.columns) ||
      !conv.columns.step.is(1) || conv.columns.taps > kUnrolledColumns)
    return std::nullopt;
  int64_t inRows = *conv.rows.in.constant(), inColumns = *conv.columns.in.constant();
  if (inRows > 1 && !conv.rows.step.is(inColumns))
    return std::nullopt;
  if (!conv.combine &&
      (!conv.filterView.strides[3].is(conv.columns.taps) || !conv.filterView.strides[4].is(1)))
    return std::nullopt;
  auto extent = [](const ConvAxis &axis) {
    return (*axis.out.constant() - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1;
  };
  PlaneChannelShape s;
  s.channels = *groups * conv.maps;
  s.inColumns = inColumns;
  s.top = *conv.rows.before.constant(), s.left = *conv.columns.before.constant();
  s.rows = extent(conv.rows);
  s.columns = std::max(extent(conv.columns), s.left + inColumns);
  s.copied = std::clamp<int64_t>(s.rows - s.top, 0, inRows) * inColumns;
  s.outRows = *conv.rows.out.constant(), s.outColumns = *conv.columns.out.constant();
  s.tileColumns = llvm::divideCeil(s.outColumns, llvm::divideCeil(s.outColumns, kSums));
  s.tileRows = std::clamp<int64_t>(kSums / s.tileColumns, 1, s.outRows);
  s.blocks = llvm::divideCeil(s.channels, lanes);
  s.blocksPerTask = std::max<int64_t>(1, s.blocks / kTasks);
  if ((s.rows * s.columns + s.positions()) * lanes > kBlockElements || s.channels == 0)
    return std::nullopt;
  return s;
}

llvm::SmallSetVector<int64_t, 16> tileReads(const ConvAxis &axis, int64_t tile) {
  llvm::SmallSetVector<int64_t, 16> reads;
  for (int64_t tap = 0; tap < axis.taps; ++tap)
    for (int64_t i = 0; i < tile; ++i)
      reads.insert(i * axis.stride + tap * axis.dilation);
  return reads;
}

/// What a task function knows.
struct PlaneChannelCode::Task {
  Task(PlaneChannelCode &code, const KernelArgs &args)
      : scope(code.sizes, code.kb, args), laneCode(scope, code.kb.lanes()),
        epilogue(code.conv.epilogue, scope, laneCode) {
    // Vectors of positions start anywhere in a row.
    epilogue.aligned = false;
  }
  Scope scope;
  Lanes laneCode;
  EpilogueCode epilogue;
  Value batch, image;                   ///< its first element
  Value planes, filters, sums, results; ///< turned: [position][lane], [tap][lane]; turned back
};

PlaneChannelCode::PlaneChannelCode(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb,
                                   ModuleOp module)
    : conv(conv), sizes(sizes), kb(kb), module(module), lanes(kb.lanes()),
      shape(*PlaneChannelShape::of(conv, kb.lanes())) {}

PlaneChannelCode::Value PlaneChannelCode::scratchElements(const Get &) {
  int64_t taps = llvm::alignTo(conv.rows.taps * conv.columns.taps, lanes);
  int64_t vectors = shape.rows * shape.columns + taps + llvm::alignTo(shape.positions(), lanes);
  return kb.idx((vectors + lanes) * lanes);
}

void PlaneChannelCode::build(StringRef symbol) {
  func::FuncOp function = kb.task(module, (symbol + "_planes").str(),
                                  [&](const KernelArgs &args) { return task(args); });
  kb.kernel(module, symbol, [&](const KernelArgs &args) -> Value {
    Scope scope(sizes, kb, args);
    return kb.parallelFor(args, kb.mul(scope.get(conv.batch), shape.tasks()), function);
  });
}

PlaneChannelCode::Value PlaneChannelCode::task(const KernelArgs &args) {
  Task t(*this, args);
  t.batch = kb.div(args.task, shape.tasks());
  Value part = kb.rem(args.task, kb.idx(shape.tasks()));
  Value elements = scratchElements([&](const Size &size) { return t.scope.get(size); });
  t.planes = kb.gep(t.scope.scratch(0), kb.mul(args.worker, elements), kb.f32());
  auto after = [&](Value before, int64_t vectors) {
    return kb.gep(before, kb.idx(vectors * lanes), kb.f32());
  };
  t.filters = after(t.planes, shape.rows * shape.columns);
  t.sums = after(t.filters, llvm::alignTo(conv.rows.taps * conv.columns.taps, lanes));
  t.results = after(t.sums, llvm::alignTo(shape.positions(), lanes));
  Value image = kb.add(t.scope.get(conv.offset), kb.mul(t.batch, t.scope.get(conv.batchStep)));
  t.image = kb.gep(t.scope.input(conv.input), image, kb.f32());
  fill(t);
  Value first = kb.mul(part, shape.blocksPerTask);
  Value last = kb.min(kb.add(first, shape.blocksPerTask), kb.idx(shape.blocks));
  kb.forLoop(first, last, 1, [&](Value number) { block(t, kb.mul(number, lanes)); });
  broken |= t.epilogue.broken;
  return t.laneCode.error();
}

/// What lies beyond the borders stays for all blocks of a task.
void PlaneChannelCode::fill(Task &t) {
  Value fill = kb.constF(conv.fill, kb.vec());
  kb.forLoop(kb.idx(0), kb.idx(shape.rows * shape.columns), 1,
             [&](Value at) { kb.store(fill, t.planes, kb.mul(at, lanes)); });
}

/// The vectors of channels from `first` on; lanes beyond the last channel repeat it.
void PlaneChannelCode::block(Task &t, Value first) {
  turnPlanes(t, first);
  if (!conv.combine)
    turnFilters(t, first);
  auto loop = [&](int64_t extent, int64_t tile, llvm::function_ref<void(Value)> body) {
    // The last tile overlaps the one before.
    kb.forLoop(kb.idx(0), kb.idx(extent), tile,
               [&](Value at) { body(kb.min(at, kb.idx(extent - tile))); });
  };
  loop(shape.outRows, shape.tileRows, [&](Value row) {
    loop(shape.outColumns, shape.tileColumns, [&](Value column) { tile(t, row, column); });
  });
  finish(t, first);
}

/// `store` of the number and the vector of each column.
void PlaneChannelCode::turned(ValueRange rows, llvm::function_ref<void(int64_t, Value)> store) {
  for (auto [i, column] : llvm::enumerate(transposeVectors(kb, Values(rows))))
    store(i, column);
}

void PlaneChannelCode::turnPlanes(Task &t, Value first) {
  Values planes;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    Value channel = kb.add(first, lane);
    if (shape.channels % lanes)
      channel = kb.min(channel, kb.idx(shape.channels - 1));
    Value step = kb.mul(kb.div(channel, conv.maps), t.scope.get(conv.channelStep));
    planes.push_back(kb.gep(t.image, step, kb.f32()));
  }
  auto turn = [&](Value at, int64_t count) {
    Values rows;
    for (Value plane : planes)
      rows.push_back(count == lanes ? kb.load(kb.vec(), plane, at)
                                    : kb.loadPartial(kb.vec(), plane, at, kb.idx(count)));
    turned(rows, [&](int64_t i, Value column) {
      if (i >= count)
        return;
      Value element = kb.add(at, i), row = kb.div(element, shape.inColumns);
      Value to = kb.add(element, kb.mul(row, shape.columns - shape.inColumns));
      to = kb.add(to, shape.top * shape.columns + shape.left);
      kb.store(column, t.planes, kb.mul(to, lanes));
    });
  };
  int64_t bulk = shape.copied / lanes * lanes;
  kb.forLoop(kb.idx(0), kb.idx(bulk), lanes, [&](Value at) { turn(at, lanes); });
  if (bulk != shape.copied)
    turn(kb.idx(bulk), shape.copied - bulk);
}

void PlaneChannelCode::turnFilters(Task &t, Value first) {
  int64_t taps = conv.rows.taps * conv.columns.taps;
  Values filters;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    Value channel = kb.min(kb.add(first, lane), kb.idx(shape.channels - 1));
    Value at =
        kb.add(t.scope.get(conv.filterView.offset),
               kb.add(kb.mul(kb.div(channel, conv.maps), t.scope.get(conv.filterView.strides[0])),
                      kb.mul(kb.rem(channel, kb.idx(conv.maps)),
                             t.scope.get(conv.filterView.strides[1]))));
    filters.push_back(kb.gep(t.scope.input(conv.filters), at, kb.f32()));
  }
  for (int64_t tap = 0; tap < taps; tap += lanes) {
    Values rows;
    for (Value filter : filters)
      rows.push_back(
          kb.loadPartial(kb.vec(), filter, kb.idx(tap), kb.idx(std::min(lanes, taps - tap))));
    turned(rows, [&](int64_t i, Value column) {
      kb.store(column, t.filters, kb.idx((tap + i) * lanes));
    });
  }
}

/// Adds one row of taps to the sums of a tile whose first element is at `at` of the planes.
Values PlaneChannelCode::tapRow(Task &t, Value at, Value tapRow, Values sums) {
  llvm::DenseMap<std::pair<int64_t, int64_t>, Value> loaded;
  auto element = [&](int64_t row, int64_t column) {
    Value &x = loaded[{row, column}];
    if (!x) {
      Value from = kb.add(at, row * shape.columns + column);
      x = kb.load(kb.vec(), t.planes, kb.mul(from, lanes));
    }
    return x;
  };
  for (int64_t tap = 0; tap < conv.columns.taps; ++tap) {
    Value w;
    if (!conv.combine) {
      Value number = kb.add(kb.mul(tapRow, conv.columns.taps), tap);
      w = kb.load(kb.vec(), t.filters, kb.mul(number, lanes));
    }
    for (int64_t row = 0; row < shape.tileRows; ++row)
      for (int64_t column = 0; column < shape.tileColumns; ++column) {
        Value x = element(row * conv.rows.stride,
                          column * conv.columns.stride + tap * conv.columns.dilation);
        Value &sum = sums[row * shape.tileColumns + column];
        sum = w ? kb.fma(w, x, sum)
                : kb.b.create(kb.loc, conv.combine->getName().getIdentifier(), ValueRange{sum, x},
                              kb.vec())
                      ->getResult(0);
      }
  }
  return sums;
}

void PlaneChannelCode::tile(Task &t, Value row, Value column) {
  double start = conv.kind == ConvMatch::Max ? -INFINITY : 0.0;
  Values sums(shape.tileRows * shape.tileColumns, kb.constF(start, kb.vec()));
  Value at = kb.add(kb.mul(kb.mul(row, conv.rows.stride), shape.columns),
                    kb.mul(column, conv.columns.stride));
  auto next = [&](Value tap, Values sums) {
    Value from = kb.add(at, kb.mul(tap, conv.rows.dilation * shape.columns));
    return tapRow(t, from, tap, sums);
  };
  if (conv.rows.taps * conv.columns.taps <= kUnrolledTaps) {
    for (int64_t tap = 0; tap < conv.rows.taps; ++tap)
      sums = next(kb.idx(tap), sums);
  } else {
    sums = kb.forLoop(kb.idx(0), kb.idx(conv.rows.taps), 1, sums,
                      [&](Value tap, ValueRange it) { return next(tap, Values(it)); });
  }
  for (auto [i, sum] : llvm::enumerate(sums)) {
    Value position = kb.add(kb.mul(kb.add(row, i / shape.tileColumns), shape.outColumns),
                            kb.add(column, i % shape.tileColumns));
    kb.store(sum, t.sums, kb.mul(position, lanes));
  }
}

/// Turns a vector of positions back at a time, for the epilogue.
void PlaneChannelCode::finish(Task &t, Value first) {
  Value channels = kb.min(kb.sub(kb.idx(shape.channels), first), kb.idx(lanes));
  auto positions = [&](Value at, Value partial) {
    Values rows;
    for (int64_t i = 0; i < lanes; ++i)
      rows.push_back(kb.load(kb.vec(), t.sums, kb.mul(kb.add(at, i), lanes)));
    turned(rows, [&](int64_t i, Value column) { kb.store(column, t.results, kb.idx(i * lanes)); });
    kb.forLoop(kb.idx(0), channels, 1, [&](Value lane) {
      Value sums = kb.load(kb.vec(), t.results, kb.mul(lane, lanes));
      t.epilogue.run({sums, t.batch, kb.add(first, lane), at, lanes, partial},
                     conv.op->getResult(0), [&]() -> Lane { return sums; });
    });
  };
  int64_t bulk = shape.positions() / lanes * lanes;
  kb.forLoop(kb.idx(0), kb.idx(bulk), lanes, [&](Value at) { positions(at, {}); });
  if (bulk != shape.positions())
    positions(kb.idx(bulk), kb.idx(shape.positions() - bulk));
}

} // namespace attune::codegen
