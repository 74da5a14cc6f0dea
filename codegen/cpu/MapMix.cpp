#include "attune/codegen/cpu/MapMix.h"

using namespace mlir;

namespace attune::codegen {

/// Columns of a block at most, and elements of the second level cache that its buffers should take.
static constexpr int64_t kColumns = 512, kBlockElements = 1 << 16;
/// Elements that tiles may read beyond the last buffer.
static constexpr int64_t kSlack = 256;

struct MapMixCode::Task {
  Task(MapMixCode &code, const KernelArgs &args)
      : scope(code.sizes, code.kb, args),
        get([this](const Size &size) { return scope.get(size); }) {}
  Scope scope;
  Get get;
  Value batch, firstRow, firstColumn, rows, columns, tile;
  std::vector<Buffer> buffers; ///< that the stages read
};

MapMixCode::MapMixCode(const MapMixMatch &mix, const Sizes &sizes, KernelBuilder &kb,
                       ModuleOp module)
    : mix(mix), sizes(sizes), kb(kb), module(module), tile(ConvTile::of(kb.target)) {}

int64_t MapMixCode::panels(const MapMixMatch::Stage &stage) const {
  return llvm::divideCeil(stage.out, kFilterPanel);
}

int64_t MapMixCode::weightOffset(unsigned end) const {
  int64_t elements = 0;
  for (const MapMixMatch::Stage &stage : ArrayRef(mix.stages).take_front(end))
    elements += stage.groups * panels(stage) * kFilterPanel * stage.in * stage.rows * stage.columns;
  return elements;
}

int64_t MapMixCode::weightElements() const { return weightOffset(mix.stages.size()); }

/// What stage `stage` reads for a block of these rows and columns.
MapMixCode::Buffer MapMixCode::buffer(unsigned number, Value rows, Value columns) {
  Buffer b{mix.channels, 0, 0, {}, {}, {}, {}, {}};
  for (auto [n, stage] : llvm::enumerate(mix.stages)) {
    if (n >= number) {
      b.rowHalo += stage.rowHalo();
      b.columnHalo += stage.columnHalo();
    } else {
      b.channels = stage.groups * stage.out;
    }
  }
  b.rows = kb.add(rows, 2 * b.rowHalo);
  b.width = kb.add(columns, 2 * b.columnHalo);
  // Whole vectors are stored.
  b.pitch = kb.roundUp(b.width, tile.lanes);
  b.channelStep = kb.mul(b.rows, b.pitch);
  return b;
}

MapMixCode::Block MapMixCode::block(const Get &get) {
  Value one = kb.idx(1), rows = get(mix.rows), columns = get(mix.columns);
  Block b;
  b.columns = kb.max(kb.min(columns, kb.idx(kColumns)), one);
  // Elements of all buffers that one row takes, and their halos.
  Value perRow = kb.idx(0);
  int64_t halo = 0;
  for (unsigned n = 0; n < mix.stages.size(); ++n) {
    Buffer read = buffer(n, one, b.columns);
    perRow = kb.add(perRow, kb.mul(read.pitch, read.channels));
    halo = std::max(halo, 2 * read.rowHalo);
  }
  Value fit = kb.sub(kb.div(kb.idx(kBlockElements), perRow), kb.idx(halo));
  // Several tasks, unless most of what they read were halo.
  fit = kb.min(fit, kb.max(kb.ceilDiv(rows, 16), kb.idx(4 * halo + 1)));
  b.rows = kb.max(kb.min(fit, rows), one);
  auto count = [&](Value all, Value each) { return kb.div(kb.sub(kb.add(all, each), one), each); };
  b.rowBlocks = count(rows, b.rows);
  b.columnBlocks = count(columns, b.columns);
  return b;
}

MapMixCode::Value MapMixCode::workerElements(const Get &get) {
  Block b = block(get);
  Value elements = kb.idx(kSlack + tile.channels() * tile.positions());
  for (unsigned n = 0; n < mix.stages.size(); ++n) {
    Buffer read = buffer(n, b.rows, b.columns);
    elements = kb.add(elements, kb.mul(read.channelStep, read.channels));
    // Previous maps are copied beside the first.
    if (n == 0 && mix.hasPrevious)
      elements = kb.add(elements, kb.add(read.pitch, tile.lanes));
  }
  return elements;
}

void MapMixCode::build(StringRef symbol) {
  func::FuncOp task = kb.task(module, (symbol + "_block").str(),
                              [&](const KernelArgs &args) { return buildTask(args); });
  kb.kernel(module, symbol, [&](const KernelArgs &args) {
    Scope scope(sizes, kb, args);
    for (unsigned stage = 0; stage < mix.stages.size(); ++stage)
      packWeights(scope, stage);
    Block b = block([&](const Size &size) { return scope.get(size); });
    Value count = kb.mul(scope.get(mix.batch), kb.mul(b.rowBlocks, b.columnBlocks));
    return kb.parallelFor(args, count, task);
  });
}

/// Panels [groups][panels][in][rows][columns][4], zero past the last channel.
void MapMixCode::packWeights(Scope &scope, unsigned number) {
  const MapMixMatch::Stage &stage = mix.stages[number];
  const View &view = stage.weight.view;
  Values steps;
  for (const Size &stride : view.strides)
    steps.push_back(scope.get(stride));
  Value source = kb.gep(scope.input(stage.weight.input), scope.get(view.offset), kb.f32());
  Value dst = kb.gep(scope.scratch(1), kb.idx(weightOffset(number)), kb.f32());
  int64_t taps = stage.rows * stage.columns, depth = stage.in * taps, count = panels(stage);
  kb.forLoop(kb.idx(0), kb.idx(stage.groups * count), 1, [&](Value panel) {
    Value group = kb.div(panel, count);
    Value first = kb.mul(kb.rem(panel, kb.idx(count)), kFilterPanel);
    kb.forLoop(kb.idx(0), kb.idx(depth), 1, [&](Value at) {
      Value tap = kb.rem(at, kb.idx(taps));
      Value offset = kb.add(kb.mul(kb.div(at, taps), steps[1]),
                            kb.add(kb.mul(kb.div(tap, stage.columns), steps[2]),
                                   kb.mul(kb.rem(tap, kb.idx(stage.columns)), steps[3])));
      for (int64_t lane = 0; lane < kFilterPanel; ++lane) {
        Value out = kb.add(first, lane), inside = kb.lt(out, kb.idx(stage.out));
        Value row = kb.add(kb.mul(group, stage.out), kb.select(inside, out, kb.idx(0)));
        Value w = kb.load(kb.f32(), source, kb.add(offset, kb.mul(row, steps[0])));
        Value to = kb.add(kb.mul(kb.add(kb.mul(panel, depth), at), kFilterPanel), lane);
        kb.store(kb.select(inside, w, kb.constF(0)), dst, to);
      }
    });
  });
}

MapMixCode::Value MapMixCode::buildTask(const KernelArgs &args) {
  Task t(*this, args);
  Block b = block(t.get);
  Value number = kb.rem(args.task, b.columnBlocks), rest = kb.div(args.task, b.columnBlocks);
  t.firstColumn = kb.mul(number, b.columns);
  t.firstRow = kb.mul(kb.rem(rest, b.rowBlocks), b.rows);
  t.batch = kb.div(rest, b.rowBlocks);
  t.rows = kb.min(b.rows, kb.sub(t.get(mix.rows), t.firstRow));
  t.columns = kb.min(b.columns, kb.sub(t.get(mix.columns), t.firstColumn));
  Value memory = kb.gep(t.scope.scratch(0), kb.mul(args.worker, workerElements(t.get)), kb.f32());
  t.tile = memory;
  Value offset = kb.idx(tile.channels() * tile.positions());
  if (mix.hasPrevious)
    offset = kb.add(offset, kb.add(buffer(0, b.rows, b.columns).pitch, tile.lanes));
  for (unsigned n = 0; n < mix.stages.size(); ++n) {
    Buffer read = buffer(n, t.rows, t.columns);
    read.memory = kb.gep(memory, offset, kb.f32());
    offset = kb.add(offset, kb.mul(read.channelStep, read.channels));
    t.buffers.push_back(read);
  }
  loadMaps(t);
  for (unsigned n = 0; n < mix.stages.size(); ++n)
    runStage(t, n);
  return {};
}

/// The first buffer: (1 - beta) maps + beta previous, zero beyond the borders.
void MapMixCode::loadMaps(Task &t) {
  const Buffer &to = t.buffers.front();
  Value zero = kb.idx(0), allRows = t.get(mix.rows), allColumns = t.get(mix.columns);
  Value beside = kb.gep(t.tile, kb.idx(tile.channels() * tile.positions()), kb.f32());
  kb.forLoop(zero, kb.idx(to.channels), 1, [&](Value channel) {
    kb.forLoop(zero, to.rows, 1, [&](Value line) {
      Value row = kb.sub(kb.add(t.firstRow, line), kb.idx(to.rowHalo));
      Value inside = arith::AndIOp::create(
          kb.b, kb.loc, kb.cmp(arith::CmpIPredicate::sge, row, zero), kb.lt(row, allRows));
      Value first = kb.sub(t.firstColumn, kb.idx(to.columnHalo));
      Value extent = kb.select(inside, allColumns, zero);
      LineBounds bounds = lineBounds(kb, first, 1, extent, to.width);
      Value dst = kb.gep(to.memory, kb.add(kb.mul(channel, to.channelStep), kb.mul(line, to.pitch)),
                         kb.f32());
      auto copy = [&](const MapMixMatch::Operand &from, Value where) {
        const View &view = from.view;
        Value at = kb.add(t.get(view.offset), kb.mul(t.batch, t.get(view.strides[0])));
        at = kb.add(at, kb.mul(channel, t.get(view.strides[1])));
        at = kb.add(at, kb.mul(kb.select(inside, row, zero), t.get(view.strides[2])));
        copyLine(kb, module, kb.gep(t.scope.input(from.input), at, kb.f32()),
                 t.get(view.strides[3]), first, 1, bounds, to.width, kb.constF(0), where);
      };
      copy(mix.maps, dst);
      if (!mix.hasPrevious)
        return;
      copy(mix.previous, beside);
      kb.forLoop(zero, to.width, tile.lanes, [&](Value at) {
        Value own = arith::MulFOp::create(kb.b, kb.loc, kb.load(kb.vec(), dst, at),
                                          kb.constF(1 - mix.beta, kb.vec()));
        Value before = kb.load(kb.vec(), beside, at);
        kb.store(kb.fma(before, kb.constF(mix.beta, kb.vec()), own), dst, at);
      });
    });
  });
}

void MapMixCode::runStage(Task &t, unsigned number) {
  const MapMixMatch::Stage &stage = mix.stages[number];
  const Buffer &from = t.buffers[number];
  Value zero = kb.idx(0);
  Value rows = kb.sub(from.rows, kb.idx(2 * stage.rowHalo()));
  Value width = kb.sub(from.width, kb.idx(2 * stage.columnHalo()));
  int64_t count = panels(stage), depth = stage.in * stage.rows * stage.columns;
  Value weights = kb.gep(t.scope.scratch(1), kb.idx(weightOffset(number)), kb.f32());
  kb.forLoop(zero, rows, 1, [&](Value row) {
    kb.forLoop(zero, width, tile.positions(), [&](Value column) {
      Value valid = kb.min(kb.sub(width, column), kb.idx(tile.positions()));
      Value image = kb.add(kb.mul(row, from.pitch), column);
      kb.forLoop(zero, kb.idx(stage.groups), 1, [&](Value group) {
        Value channels = kb.mul(kb.mul(group, stage.in), from.channelStep);
        kb.forLoop(zero, kb.idx(count), tile.panels, [&](Value panel) {
          Value filters = kb.mul(kb.add(kb.mul(group, count), panel), depth * kFilterPanel);
          // The second panel of a tile may not exist: the first is read again.
          Value panelStep = kb.idx(depth * kFilterPanel);
          if (count % tile.panels)
            panelStep = kb.select(kb.lt(kb.add(panel, 1), kb.idx(count)), panelStep, zero);
          callConvMicro(kb, module, stage.rows, stage.columns, kb.ceilDiv(valid, tile.lanes),
                        {kb.gep(weights, filters, kb.f32()), panelStep,
                         kb.gep(from.memory, kb.add(image, channels), kb.f32()), from.channelStep,
                         kb.mul(from.pitch, stage.dilation), kb.idx(stage.dilation),
                         kb.idx(stage.in), t.tile, kb.constI(0, kb.b.getI1Type())});
          finishTile(t, number, group, panel, row, column, valid);
        });
      });
    });
  });
  if (number + 1 < mix.stages.size())
    clearBorders(t, number + 1);
}

/// Bias and activation, into the next buffer or (blended with the maps) the result.
void MapMixCode::finishTile(Task &t, unsigned number, Value group, Value panel, Value row,
                            Value column, Value valid) {
  const MapMixMatch::Stage &stage = mix.stages[number];
  bool last = number + 1 == mix.stages.size();
  Value first = kb.mul(panel, kFilterPanel);
  Value outs = kb.min(kb.sub(kb.idx(stage.out), first), kb.idx(tile.channels()));
  kb.forLoop(kb.idx(0), outs, 1, [&](Value lane) {
    Value out = kb.add(kb.mul(group, stage.out), kb.add(first, lane));
    Value bias = kb.constF(stage.everyBias, kb.vec());
    if (stage.bias) {
      const View &view = stage.bias->view;
      Value place = kb.add(t.get(view.offset), kb.mul(out, t.get(view.strides[0])));
      bias = kb.splat(kb.load(kb.f32(), t.scope.input(stage.bias->input), place));
    }
    Value to, kept;
    if (last) {
      to = kb.add(t.get(mix.result.offset), kb.mul(t.batch, t.get(mix.result.strides[0])));
      to = kb.add(to, kb.mul(out, t.get(mix.result.strides[1])));
      to = kb.add(to, kb.mul(kb.add(t.firstRow, row), t.get(mix.result.strides[2])));
      to = kb.gep(t.scope.output(0), kb.add(to, kb.add(t.firstColumn, column)), kb.f32());
      const Buffer &maps = t.buffers.front();
      kept = kb.add(kb.mul(out, maps.channelStep), kb.mul(kb.add(row, maps.rowHalo), maps.pitch));
      kept = kb.gep(maps.memory, kb.add(kept, kb.add(column, maps.columnHalo)), kb.f32());
    } else {
      const Buffer &next = t.buffers[number + 1];
      to = kb.add(kb.mul(out, next.channelStep), kb.mul(row, next.pitch));
      to = kb.gep(next.memory, kb.add(to, column), kb.f32());
    }
    auto vector = [&](Value at, Value partial) {
      Value x = kb.load(kb.vec(), t.tile, kb.add(kb.mul(lane, tile.positions()), at));
      x = arith::AddFOp::create(kb.b, kb.loc, x, bias);
      if (stage.act != MapAct::None) {
        Value zero = kb.constF(0, kb.vec());
        Value below = arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OLT, x, zero);
        Value scaled =
            stage.act == MapAct::Relu
                ? zero
                : arith::MulFOp::create(kb.b, kb.loc, x, kb.constF(stage.slope, kb.vec()))
                      .getResult();
        x = arith::SelectOp::create(kb.b, kb.loc, below, scaled, x);
      }
      if (last && mix.alpha != 1) {
        Value maps = arith::MulFOp::create(kb.b, kb.loc, kb.load(kb.vec(), kept, at),
                                           kb.constF(1 - mix.alpha, kb.vec()));
        x = kb.fma(x, kb.constF(mix.alpha, kb.vec()), maps);
      }
      if (partial)
        kb.storePartial(x, to, at, partial);
      else
        kb.store(x, to, at);
    };
    auto full = [&] {
      for (int64_t v = 0; v < tile.vectors; ++v)
        vector(kb.idx(v * tile.lanes), {});
      return Values();
    };
    auto rest = [&] {
      Value whole = last ? kb.mul(kb.div(valid, tile.lanes), tile.lanes) : valid;
      kb.forLoop(kb.idx(0), whole, tile.lanes, [&](Value at) { vector(at, {}); });
      if (last)
        kb.forLoop(whole, valid, tile.lanes, [&](Value at) { vector(at, kb.sub(valid, whole)); });
      return Values();
    };
    kb.ifElse(kb.eq(valid, kb.idx(tile.positions())), {}, full, rest);
  });
}

/// Zero in the part of a buffer that lies beyond the maps.
void MapMixCode::clearBorders(Task &t, unsigned number) {
  const Buffer &b = t.buffers[number];
  if (b.rowHalo == 0 && b.columnHalo == 0)
    return;
  Value zero = kb.idx(0), nothing = kb.constF(0);
  Value columns = t.get(mix.columns), rows = t.get(mix.rows);
  Value before = kb.min(kb.max(kb.sub(kb.idx(b.columnHalo), t.firstColumn), zero), b.width);
  Value end = kb.add(kb.sub(columns, t.firstColumn), b.columnHalo);
  Value after = kb.max(kb.min(end, b.width), before);
  kb.forLoop(zero, kb.idx(b.channels), 1, [&](Value channel) {
    kb.forLoop(zero, b.rows, 1, [&](Value line) {
      Value row = kb.sub(kb.add(t.firstRow, line), kb.idx(b.rowHalo));
      Value inside = arith::AndIOp::create(
          kb.b, kb.loc, kb.cmp(arith::CmpIPredicate::sge, row, zero), kb.lt(row, rows));
      Value dst =
          kb.gep(b.memory, kb.add(kb.mul(channel, b.channelStep), kb.mul(line, b.pitch)), kb.f32());
      auto clear = [&](Value from, Value to) {
        kb.forLoop(from, to, 1, [&](Value at) { kb.store(nothing, dst, at); });
      };
      clear(zero, kb.select(inside, before, b.width));
      clear(after, b.width);
    });
  });
}

} // namespace attune::codegen
