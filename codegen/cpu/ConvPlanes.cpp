#include "attune/codegen/cpu/ConvPlanes.h"

#include "attune/codegen/cpu/ConvMicro.h"
#include "llvm/ADT/DenseMap.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {

/// Elements that copies and tiles may reach beyond their ends.
static constexpr int64_t kSlack = 256;
/// Sums in registers: enough to hide the latency of an addition, few enough for 16 registers.
static constexpr int64_t kSums = 8, kVectors = 4;

PlaneAxis::PlaneAxis(const ConvAxis &axis)
    : taps(axis.taps), stride(axis.stride), dilation(axis.dilation), reach(shift(taps - 1)) {
  for (int64_t tap = 0; tap < taps; ++tap)
    if (int64_t phase = tap * dilation % stride; !llvm::is_contained(phases, phase))
      phases.push_back(phase);
}

PlaneTile PlaneTile::of(const ConvMatch &conv, int64_t lanes) {
  std::optional<int64_t> rows = conv.rows.out.constant(), columns = conv.columns.out.constant();
  int64_t most = rows && *rows > 0 ? std::min(kSums, *rows) : kSums, best = 1;
  // Lines of unknown length may be short: one vector wastes least.
  if (columns) {
    int64_t count = std::max<int64_t>(llvm::divideCeil(*columns, lanes), 1);
    auto waste = [&](int64_t vectors) -> int64_t { return llvm::alignTo(count, vectors) - count; };
    for (int64_t vectors = most == 1 ? kSums : kVectors; vectors > 1; --vectors)
      if (vectors <= count && (best == 1 || waste(vectors) < waste(best)) &&
          waste(vectors) * 8 <= count)
        best = vectors;
  } else if (most == 1) {
    best = kVectors;
  }
  return {std::min(most, std::max<int64_t>(kSums / best, 1)), best};
}

/// What a task function knows.
struct PlaneCode::Task {
  Task(PlaneCode &code, const KernelArgs &args)
      : scope(code.sizes, code.kb, args), laneCode(scope, code.kb.lanes()),
        epilogue(code.conv.epilogue, scope, laneCode) {
    // Tiles start anywhere in a row.
    epilogue.aligned = false;
    get = [this](const Size &size) { return scope.get(size); };
  }
  Scope scope;
  Lanes laneCode;
  EpilogueCode epilogue;
  Get get;
  Value batch, channel, filters;
  Value source;               ///< the channel's first element
  Value memory, sums;         ///< of lines; [rows][vectors] of a tile
  Value length, lines, steps; ///< of a line; of a slot; elements of a slot
};

PlaneCode::PlaneCode(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb, ModuleOp module)
    : conv(conv), sizes(sizes), kb(kb), module(module), rowAxis(conv.rows),
      columnAxis(conv.columns), shape(PlaneTile::of(conv, kb.target.lanes(32))),
      lanes(kb.target.lanes(32)) {}

PlaneCode::Blocks PlaneCode::blocks(const Get &get) {
  Blocks b;
  b.length = kb.add(get(conv.columns.out), columnAxis.reach);
  Value one = kb.idx(1), outRows = get(conv.rows.out);
  Value line = kb.mul(b.length, rowAxis.phases.size() * columnAxis.phases.size());
  Value fit = kb.sub(kb.div(kb.idx(kConvPlaneElements), kb.max(line, one)), kb.idx(rowAxis.reach));
  Value whole = kb.mul(kb.div(kb.max(fit, one), shape.rows), shape.rows);
  b.rows = kb.max(kb.min(kb.max(whole, kb.idx(shape.rows)), outRows), one);
  b.count = kb.div(kb.sub(kb.add(outRows, b.rows), one), b.rows);
  return b;
}

/// Lines of a slot: of whole tiles, whose last rows may be no output rows.
PlaneCode::Value PlaneCode::lines(Value rows) {
  return kb.add(kb.roundUp(rows, shape.rows), rowAxis.reach);
}

PlaneCode::Value PlaneCode::scratchElements(const Get &get) {
  Blocks b = blocks(get);
  Value slots = kb.mul(b.length, rowAxis.phases.size() * columnAxis.phases.size());
  // Copies of a slot's last line may reach into a gap.
  int64_t gaps = rowAxis.phases.size() * columnAxis.phases.size() * lanes;
  return kb.add(kb.mul(slots, lines(b.rows)), kSlack + gaps + shape.rows * shape.vectors * lanes);
}

/// Channels of a task: small planes are taken together.
PlaneCode::Value PlaneCode::chunk(const Get &get) {
  Value positions = kb.mul(get(conv.rows.out), get(conv.columns.out));
  return kb.add(kb.div(kb.idx(kConvPlanePositions), kb.max(positions, kb.idx(1))), 1);
}

void PlaneCode::build(StringRef symbol) {
  func::FuncOp function = kb.task(module, (symbol + "_planes").str(),
                                  [&](const KernelArgs &args) { return task(args); });
  kb.kernel(module, symbol, [&](const KernelArgs &args) -> Value {
    Scope scope(sizes, kb, args);
    Get get = [&](const Size &size) { return scope.get(size); };
    Value channels = get(conv.groups * Size(conv.maps)), part = chunk(get);
    Value chunks = kb.div(kb.sub(kb.add(channels, part), kb.idx(1)), part);
    // An empty result has no tasks.
    Value positions = kb.mul(get(conv.rows.out), get(conv.columns.out));
    Value count =
        kb.select(kb.eq(positions, kb.idx(0)), kb.idx(0), kb.mul(get(conv.batch), chunks));
    return kb.parallelFor(args, count, function);
  });
}

PlaneCode::Value PlaneCode::task(const KernelArgs &args) {
  Task t(*this, args);
  Blocks b = blocks(t.get);
  Value channels = t.get(conv.groups * Size(conv.maps)), part = chunk(t.get);
  Value chunks = kb.div(kb.sub(kb.add(channels, part), kb.idx(1)), part);
  Value first = kb.mul(kb.rem(args.task, chunks), part);
  t.batch = kb.div(args.task, chunks);
  Value elements = scratchElements(t.get);
  t.sums = kb.gep(t.scope.scratch(0), kb.mul(args.worker, elements), kb.f32());
  t.memory = kb.gep(t.sums, kb.idx(shape.rows * shape.vectors * lanes), kb.f32());
  t.length = b.length;
  Value image = kb.add(t.get(conv.offset), kb.mul(t.batch, t.get(conv.batchStep)));
  Value outRows = t.get(conv.rows.out);
  kb.forLoop(first, kb.min(kb.add(first, part), channels), 1, [&](Value channel) {
    t.channel = channel;
    Value group = kb.div(channel, conv.maps);
    Value source = kb.add(image, kb.mul(group, t.get(conv.channelStep)));
    t.source = kb.gep(t.scope.input(conv.input), source, kb.f32());
    if (!conv.combine) {
      Value map = kb.rem(channel, kb.idx(conv.maps));
      Value at = kb.add(t.get(conv.filterView.offset),
                        kb.add(kb.mul(group, t.get(conv.filterView.strides[0])),
                               kb.mul(map, t.get(conv.filterView.strides[1]))));
      t.filters = kb.gep(t.scope.input(conv.filters), at, kb.f32());
    }
    kb.forLoop(kb.idx(0), b.count, 1, [&](Value number) {
      Value row = kb.mul(number, b.rows);
      block(t, row, kb.min(b.rows, kb.sub(outRows, row)));
    });
  });
  broken |= t.epilogue.broken;
  return t.laneCode.error();
}

void PlaneCode::block(Task &t, Value firstRow, Value rows) {
  t.lines = lines(rows);
  t.steps = kb.add(kb.mul(t.lines, t.length), lanes);
  copy(t, firstRow, rows);
  kb.forLoop(kb.idx(0), rows, shape.rows, [&](Value row) {
    Value some = kb.min(kb.sub(rows, row), kb.idx(shape.rows));
    kb.forLoop(kb.idx(0), t.get(conv.columns.out), shape.vectors * lanes, [&](Value column) {
      fetch(t, kb.add(firstRow, row), some, column);
      tile(t, row, column);
      finish(t, kb.add(firstRow, row), some, column);
    });
  });
}

/// [column slot][row slot][line][length], what lies beyond the borders filled.
void PlaneCode::copy(Task &t, Value firstRow, Value rows) {
  Value inRows = t.get(conv.rows.in), inColumns = t.get(conv.columns.in), zero = kb.idx(0);
  Value rowStep = t.get(conv.rows.step), step = t.get(conv.columns.step);
  Value fill = kb.constF(conv.fill), count = kb.add(rows, rowAxis.reach), dst = t.memory;
  Value origin = kb.sub(kb.mul(firstRow, rowAxis.stride), t.get(conv.rows.before));
  // The lines of one slot; `copyOne` of the source's line, whether it exists, and where it goes.
  auto slot = [&](int64_t rowPhase, Value dst,
                  llvm::function_ref<void(Value source, Value inside, Value dst)> copyOne) {
    kb.forLoop(zero, count, 1, [&](Value line) {
      Value row = kb.add(kb.add(origin, rowPhase), kb.mul(line, rowAxis.stride));
      Value inside = arith::AndIOp::create(
          kb.b, kb.loc, kb.cmp(arith::CmpIPredicate::sge, row, zero), kb.lt(row, inRows));
      Value source = kb.gep(t.source, kb.mul(kb.select(inside, row, zero), rowStep), kb.f32());
      copyOne(source, inside, kb.gep(dst, kb.mul(line, t.length), kb.f32()));
    });
  };
  auto boundsOf = [&](int64_t columnPhase) {
    Value first = kb.sub(kb.idx(columnPhase), t.get(conv.columns.before));
    return lineBounds(kb, first, columnAxis.stride, inColumns, t.length);
  };
  auto some = [&](const LineBounds &bounds, Value inside) {
    return LineBounds{kb.select(inside, bounds.begin, zero), kb.select(inside, bounds.end, zero)};
  };
  if (columnAxis.hasPairs() && conv.columns.step.is(1)) {
    LineBounds even = boundsOf(0), odd = boundsOf(1);
    Value first = kb.sub(zero, t.get(conv.columns.before));
    // Of the slots of a column phase.
    Value apart = kb.mul(t.steps, rowAxis.phases.size());
    for (int64_t rowPhase : rowAxis.phases) {
      slot(rowPhase, dst, [&](Value source, Value inside, Value to) {
        // The phase of tap 0 comes first.
        copyLinePair(kb, module, source, first, some(even, inside), some(odd, inside), t.length,
                     fill, to, kb.gep(to, apart, kb.f32()));
      });
      dst = kb.gep(dst, t.steps, kb.f32());
    }
    return;
  }
  for (int64_t columnPhase : columnAxis.phases) {
    Value first = kb.sub(kb.idx(columnPhase), t.get(conv.columns.before));
    LineBounds bounds = boundsOf(columnPhase);
    for (int64_t rowPhase : rowAxis.phases) {
      slot(rowPhase, dst, [&](Value source, Value inside, Value to) {
        copyLine(kb, module, source, step, first, columnAxis.stride, some(bounds, inside), t.length,
                 fill, to);
      });
      dst = kb.gep(dst, t.steps, kb.f32());
    }
  }
}

/// Adds one column of taps to the sums of a tile whose first element, of that column, is at `at`.
SmallVector<Value> PlaneCode::column(Task &t, Value at, Value tap, SmallVector<Value> sums) {
  // Rows of a tile that read the same line, by another tap, share the load.
  llvm::DenseMap<std::pair<int64_t, int64_t>, SmallVector<Value>> loaded;
  auto line = [&](int64_t slot, int64_t number) -> SmallVector<Value> & {
    SmallVector<Value> &x = loaded[{slot, number}];
    if (x.empty()) {
      Value from = kb.add(at, kb.add(kb.mul(t.steps, slot), kb.mul(t.length, number)));
      for (int64_t v = 0; v < shape.vectors; ++v)
        x.push_back(kb.load(kb.vec(), t.memory, kb.add(from, v * lanes)));
    }
    return x;
  };
  auto add = [&](SmallVector<Value> &sums, ArrayRef<Value> x, int64_t row, Value w) {
    for (int64_t v = 0; v < shape.vectors; ++v) {
      Value &sum = sums[row * shape.vectors + v];
      if (w)
        sum = kb.fma(w, x[v], sum);
      else
        sum = kb.b.create(kb.loc, conv.combine->getName().getIdentifier(), ValueRange{sum, x[v]},
                          kb.vec())
                  ->getResult(0);
    }
  };
  auto weight = [&](Value row) -> Value {
    if (conv.combine)
      return {};
    Value w = kb.add(kb.mul(row, t.get(conv.filterView.strides[3])),
                     kb.mul(tap, t.get(conv.filterView.strides[4])));
    return kb.splat(kb.load(kb.f32(), t.filters, w));
  };
  if (rowAxis.taps <= kPlaneUnrolledTaps) {
    for (int64_t row = 0; row < rowAxis.taps; ++row) {
      Value w = weight(kb.idx(row));
      for (int64_t r = 0; r < shape.rows; ++r)
        add(sums, line(rowAxis.slot(row), r + rowAxis.shift(row)), r, w);
    }
    return sums;
  }
  return kb.forLoop(kb.idx(0), kb.idx(rowAxis.taps), 1, sums, [&](Value row, ValueRange it) {
    Value slot = kb.rem(row, kb.idx(rowAxis.phases.size()));
    Value number = kb.div(kb.mul(row, rowAxis.dilation), rowAxis.stride), w = weight(row);
    Values next(it);
    for (int64_t r = 0; r < shape.rows; ++r) {
      Value from = kb.add(at, kb.add(kb.mul(t.steps, slot), kb.mul(t.length, kb.add(number, r))));
      SmallVector<Value> x;
      for (int64_t v = 0; v < shape.vectors; ++v)
        x.push_back(kb.load(kb.vec(), t.memory, kb.add(from, v * lanes)));
      add(next, x, r, w);
    }
    return next;
  });
}

/// The sums of a tile.
void PlaneCode::tile(Task &t, Value row, Value first) {
  double start = conv.kind == ConvMatch::Max ? -INFINITY : 0.0;
  SmallVector<Value> sums(shape.rows * shape.vectors, kb.constF(start, kb.vec()));
  Value origin = kb.add(kb.mul(row, t.length), first);
  Value slotStep = kb.mul(t.steps, rowAxis.phases.size());
  if (rowAxis.taps * columnAxis.taps <= kPlaneUnrolledTaps) {
    for (int64_t q = 0; q < columnAxis.taps; ++q) {
      Value at = kb.add(origin, kb.mul(slotStep, columnAxis.slot(q)));
      sums = column(t, kb.add(at, columnAxis.shift(q)), kb.idx(q), sums);
    }
  } else {
    sums = kb.forLoop(kb.idx(0), kb.idx(columnAxis.taps), 1, sums, [&](Value q, ValueRange it) {
      Value slot = kb.rem(q, kb.idx(columnAxis.phases.size()));
      Value shift = kb.div(kb.mul(q, columnAxis.dilation), columnAxis.stride);
      Value at = kb.add(kb.add(origin, kb.mul(slotStep, slot)), shift);
      return column(t, at, q, Values(it));
    });
  }
  for (auto [i, sum] : llvm::enumerate(sums))
    kb.store(sum, t.sums, kb.idx(i * lanes));
}

/// Asks for the memory of a tile's results: large planes are not cached.
void PlaneCode::fetch(Task &t, Value firstRow, Value rows, Value first) {
  kb.forLoop(kb.idx(0), rows, 1, [&](Value row) {
    Value position = kb.add(kb.mul(kb.add(firstRow, row), t.get(conv.columns.out)), first);
    for (int64_t v = 0; v < shape.vectors; ++v)
      t.epilogue.fetch({{}, t.batch, t.channel, kb.add(position, v * lanes), lanes, {}});
  });
}

/// The epilogue of a tile's output rows, of which there are `rows`.
void PlaneCode::finish(Task &t, Value firstRow, Value rows, Value first) {
  Value outColumns = t.get(conv.columns.out);
  Value valid = kb.min(kb.sub(outColumns, first), kb.idx(shape.vectors * lanes));
  kb.forLoop(kb.idx(0), rows, 1, [&](Value row) {
    Value at = kb.mul(row, shape.vectors * lanes);
    Value position = kb.add(kb.mul(kb.add(firstRow, row), outColumns), first);
    auto point = [&](Value lane, Value partial) {
      Value sums = kb.load(kb.vec(), t.sums, kb.add(at, lane));
      t.epilogue.run({sums, t.batch, t.channel, kb.add(position, lane), lanes, partial},
                     conv.op->getResult(0), [&]() -> Lane { return sums; });
    };
    Value bulk = kb.mul(kb.div(valid, lanes), lanes);
    kb.forLoop(kb.idx(0), bulk, lanes, [&](Value lane) { point(lane, {}); });
    kb.forLoop(bulk, valid, lanes, [&](Value lane) { point(lane, kb.sub(valid, lane)); });
  });
}

} // namespace attune::codegen
