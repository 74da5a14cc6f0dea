#include "attune/codegen/cpu/Conv.h"

using namespace mlir;

namespace attune::codegen {

/// Elements that copies and tiles may reach beyond their ends.
static constexpr int64_t kSlack = 256;

/// What a task function knows.
struct ConvCode::Task {
  Task(ConvCode &code, const KernelArgs &args)
      : scope(code.sizes, code.kb, args), lanes(scope, code.kb.lanes()),
        epilogue(code.conv.epilogue, scope, lanes) {
    // Tiles start anywhere in a row.
    epilogue.aligned = false;
    get = [this](const Size &size) { return scope.get(size); };
  }
  Scope scope;
  Lanes lanes;
  EpilogueCode epilogue;
  Get get;
  ConvLines::Block block;
  Value batch, group, filters, sums;
  Value firstPanel, lastPanel; ///< of the group
  Value channel;               ///< of a plane
};

ConvCode::ConvCode(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb, ModuleOp module)
    : conv(conv), sizes(sizes), kb(kb), module(module), tile(ConvTile::of(kb.target)) {
  panels = llvm::divideCeil(conv.maps, kFilterPanel);
  int64_t taps = conv.rows.taps * conv.columns.taps;
  depth = conv.channels * taps;
  channelBlock =
      std::clamp<int64_t>(kConvCallElements / (taps * (tile.positions() + 8)), 1, conv.channels);
}

ConvLines ConvCode::lines(const Get &get) {
  return conv.kind == ConvMatch::Dense ? ConvLines(kb, conv, get, conv.channels, kConvTaskElements)
                                       : ConvLines(kb, conv, get, 1, kConvPlaneElements);
}

/// Few blocks of rows are shared by several tasks, each for some of the channels.
ConvCode::Split ConvCode::split(const ConvLines &lines) {
  Value one = kb.idx(1), all = kb.idx(panels);
  Value wanted = kb.max(kb.div(kb.idx(4), kb.max(lines.blocks, one)), one);
  Value each = kb.roundUp(kb.div(kb.sub(kb.add(all, wanted), one), wanted), tile.panels);
  return {each, kb.div(kb.sub(kb.add(all, each), one), each)};
}

ConvCode::Value ConvCode::scratchElements(const Get &get) {
  ConvLines l = lines(get);
  Value elements = kb.add(l.elements(l.rowsPerTask), kSlack);
  if (conv.kind != ConvMatch::Dense)
    return elements;
  Value sums = channelBlock < conv.channels ? split(l).panels : kb.idx(tile.panels);
  return kb.add(elements, kb.mul(sums, kFilterPanel * tile.positions()));
}

ConvCode::Value ConvCode::workerScratch(Scope &scope) {
  auto get = [&](const Size &size) { return scope.get(size); };
  return kb.gep(scope.scratch(0), kb.mul(scope.args.worker, scratchElements(get)), kb.f32());
}

void ConvCode::build(StringRef symbol) {
  bool dense = conv.kind == ConvMatch::Dense;
  func::FuncOp pack, task;
  if (dense && !conv.packed)
    pack = kb.task(module, (symbol + "_filters").str(), [&](const KernelArgs &args) {
      packFilters(args);
      return Value();
    });
  task = kb.task(module, (symbol + "_block").str(),
                 [&](const KernelArgs &args) { return dense ? denseTask(args) : planeTask(args); });
  kb.kernel(module, symbol, [&](const KernelArgs &args) -> Value {
    Scope scope(sizes, kb, args);
    Get get = [&](const Size &size) { return scope.get(size); };
    Value count;
    if (dense) {
      ConvLines l = lines(get);
      Value images = kb.mul(get(conv.batch), get(conv.groups));
      count = kb.mul(kb.mul(images, l.blocks), split(l).count);
    } else {
      Value channels = get(conv.groups * Size(conv.maps)), chunk = planeChunk(get);
      Value chunks = kb.div(kb.sub(kb.add(channels, chunk), kb.idx(1)), chunk);
      count = kb.mul(get(conv.batch), chunks);
    }
    // An empty result has no tasks.
    Value positions = kb.mul(get(conv.rows.out), get(conv.columns.out));
    count = kb.select(kb.eq(positions, kb.idx(0)), kb.idx(0), count);
    if (!pack)
      return kb.parallelFor(args, count, task);
    Value packed = kb.parallelFor(args, kb.mul(get(conv.groups), panels), pack);
    Value done = kb.parallelFor(args, count, task);
    return arith::OrIOp::create(kb.b, kb.loc, packed, done);
  });
}

/// One panel of filters that are no constant: [channels][taps][4], zero past the last map.
void ConvCode::packFilters(const KernelArgs &args) {
  Scope scope(sizes, kb, args);
  Values steps;
  for (const Size &stride : conv.filterView.strides)
    steps.push_back(scope.get(stride));
  Value source = kb.gep(scope.input(conv.filters), scope.get(conv.filterView.offset), kb.f32());
  Value group = kb.div(args.task, panels), panel = kb.rem(args.task, kb.idx(panels));
  Value dst = kb.gep(scope.scratch(1), kb.mul(args.task, depth * kFilterPanel), kb.f32());
  int64_t taps = conv.rows.taps * conv.columns.taps;
  kb.forLoop(kb.idx(0), kb.idx(depth), 1, [&](Value at) {
    Value channel = kb.div(at, taps), tap = kb.rem(at, kb.idx(taps));
    Value offset = kb.add(kb.mul(group, steps[0]), kb.mul(channel, steps[2]));
    offset = kb.add(offset, kb.mul(kb.div(tap, conv.columns.taps), steps[3]));
    offset = kb.add(offset, kb.mul(kb.rem(tap, kb.idx(conv.columns.taps)), steps[4]));
    for (int64_t lane = 0; lane < kFilterPanel; ++lane) {
      Value map = kb.add(kb.mul(panel, kFilterPanel), lane);
      Value inside = kb.lt(map, kb.idx(conv.maps));
      Value from = kb.add(offset, kb.mul(kb.select(inside, map, kb.idx(0)), steps[1]));
      Value w = kb.select(inside, kb.load(kb.f32(), source, from), kb.constF(0));
      kb.store(w, dst, kb.add(kb.mul(at, kFilterPanel), lane));
    }
  });
}

//===--------------------------------------------------------------------------------------------===//
// Sums over channels
//===--------------------------------------------------------------------------------------------===//

ConvCode::Value ConvCode::denseTask(const KernelArgs &args) {
  Task t(*this, args);
  ConvLines l = lines(t.get);
  Split s = split(l);
  // Tasks run over images, groups, blocks of rows, channels.
  Value part = kb.rem(args.task, s.count), rest = kb.div(args.task, s.count);
  Value row = kb.mul(kb.rem(rest, l.blocks), l.rowsPerTask), image = kb.div(rest, l.blocks);
  Value groups = t.get(conv.groups);
  t.group = kb.rem(image, groups);
  t.batch = kb.div(image, groups);
  t.firstPanel = kb.mul(part, s.panels);
  t.lastPanel = kb.min(kb.add(t.firstPanel, s.panels), kb.idx(panels));
  Value memory = workerScratch(t.scope);
  t.block = l.block(memory, row, kb.min(l.rowsPerTask, kb.sub(t.get(conv.rows.out), row)));
  t.sums = kb.gep(memory, kb.add(l.elements(l.rowsPerTask), kSlack), kb.f32());
  t.filters = conv.packed ? t.scope.input(conv.filters) : t.scope.scratch(1);
  t.filters = kb.gep(t.filters, kb.mul(t.group, filterElements()), kb.f32());

  Value channelStep = t.get(conv.channelStep);
  Value plane = kb.add(t.get(conv.offset), kb.mul(t.batch, t.get(conv.batchStep)));
  plane = kb.add(plane, kb.mul(kb.mul(t.group, conv.channels), channelStep));
  kb.forLoop(kb.idx(0), kb.idx(conv.channels), 1, [&](Value channel) {
    Value source = kb.add(plane, kb.mul(channel, channelStep));
    l.copy(module, t.block, kb.gep(t.scope.input(conv.input), source, kb.f32()),
           kb.gep(memory, kb.mul(channel, t.block.channelStep), kb.f32()));
  });
  kb.forLoop(kb.idx(0), t.block.segments, 1, [&](Value segment) {
    kb.forLoop(kb.idx(0), t.block.segment, tile.positions(),
               [&](Value position) { positionTile(t, segment, position); });
  });
  broken |= t.epilogue.broken;
  return t.lanes.error();
}

/// All channels of the task at one tile of positions; the image stays cached.
void ConvCode::positionTile(Task &t, Value segment, Value position) {
  const ConvLines::Block &b = t.block;
  int64_t taps = conv.rows.taps * conv.columns.taps;
  Value image = kb.add(kb.mul(segment, b.segmentStep), position);
  Value valid = kb.min(kb.sub(b.segment, position), kb.idx(tile.positions()));
  Value column = kb.mul(b.firstRow, t.get(conv.columns.out));
  column = kb.add(kb.add(column, kb.mul(segment, b.segment)), position);
  bool onePass = channelBlock >= conv.channels;
  kb.forLoop(kb.idx(0), kb.idx(conv.channels), channelBlock, [&](Value first) {
    Value count = kb.min(kb.sub(kb.idx(conv.channels), first), kb.idx(channelBlock));
    Value from = kb.add(image, kb.mul(first, b.channelStep));
    Value last = kb.eq(kb.add(first, count), kb.idx(conv.channels));
    kb.forLoop(t.firstPanel, t.lastPanel, tile.panels, [&](Value panel) {
      Value memory = t.sums;
      if (!onePass)
        memory = kb.gep(
            memory, kb.mul(kb.sub(panel, t.firstPanel), kFilterPanel * tile.positions()), kb.f32());
      Value filters = kb.mul(kb.add(kb.mul(panel, depth), kb.mul(first, taps)), kFilterPanel);
      // The second panel of a tile may not exist: the first is read again.
      Value panelStep = kb.idx(depth * kFilterPanel);
      if (panels % tile.panels)
        panelStep = kb.select(kb.lt(kb.add(panel, 1), kb.idx(panels)), panelStep, kb.idx(0));
      Value add = kb.cmp(arith::CmpIPredicate::sgt, first, kb.idx(0));
      callConvMicro(kb, module, conv.rows.taps, conv.columns.taps, kb.ceilDiv(valid, tile.lanes),
                    {kb.gep(t.filters, filters, kb.f32()), panelStep,
                     kb.gep(b.memory, from, kb.f32()), b.channelStep, b.rowStep, b.columnStep,
                     count, memory, add});
      if (onePass)
        finishTile(t, memory, panel, valid, column);
      else
        kb.ifThen(last, [&] { finishTile(t, memory, panel, valid, column); });
    });
  });
}

void ConvCode::finishTile(Task &t, Value memory, Value panel, Value valid, Value column) {
  Value firstMap = kb.mul(panel, kFilterPanel);
  Value maps = kb.min(kb.sub(kb.idx(conv.maps), firstMap), kb.idx(tile.channels()));
  Value firstRow = kb.add(kb.mul(t.group, conv.maps), firstMap);
  auto point = [&](Value map, Value lane, Value partial) {
    Value sums = kb.load(kb.vec(), memory, kb.add(kb.mul(map, tile.positions()), lane));
    t.epilogue.run(
        {sums, t.batch, kb.add(firstRow, map), kb.add(column, lane), tile.lanes, partial},
        conv.op->getResult(0), [&]() -> Lane { return sums; });
  };
  auto full = [&] {
    kb.forLoop(kb.idx(0), maps, 1, [&](Value map) {
      for (int64_t v = 0; v < tile.vectors; ++v)
        point(map, kb.idx(v * tile.lanes), {});
    });
    return Values();
  };
  auto partial = [&] {
    kb.forLoop(kb.idx(0), maps, 1, [&](Value map) {
      kb.forLoop(kb.idx(0), valid, tile.lanes, [&](Value lane) {
        point(map, lane, kb.min(kb.sub(valid, lane), kb.idx(tile.lanes)));
      });
    });
    return Values();
  };
  kb.ifElse(kb.eq(valid, kb.idx(tile.positions())), {}, full, partial);
}

//===--------------------------------------------------------------------------------------------===//
// Planes: filters of one channel, pooling
//===--------------------------------------------------------------------------------------------===//

/// Channels of a task: small planes are taken together.
ConvCode::Value ConvCode::planeChunk(const Get &get) {
  Value positions = kb.mul(get(conv.rows.out), get(conv.columns.out));
  return kb.add(kb.div(kb.idx(kConvPlanePositions), kb.max(positions, kb.idx(1))), 1);
}

ConvCode::Value ConvCode::planeTask(const KernelArgs &args) {
  Task t(*this, args);
  ConvLines l = lines(t.get);
  Value channels = t.get(conv.groups * Size(conv.maps)), chunk = planeChunk(t.get);
  Value chunks = kb.div(kb.sub(kb.add(channels, chunk), kb.idx(1)), chunk);
  Value first = kb.mul(kb.rem(args.task, chunks), chunk);
  t.batch = kb.div(args.task, chunks);
  Value memory = workerScratch(t.scope);
  Value image = kb.add(t.get(conv.offset), kb.mul(t.batch, t.get(conv.batchStep)));
  Value outRows = t.get(conv.rows.out), outColumns = t.get(conv.columns.out);
  kb.forLoop(first, kb.min(kb.add(first, chunk), channels), 1, [&](Value channel) {
    t.channel = channel;
    Value source = kb.add(image, kb.mul(kb.div(channel, conv.maps), t.get(conv.channelStep)));
    source = kb.gep(t.scope.input(conv.input), source, kb.f32());
    if (!conv.combine) {
      Value group = kb.div(channel, conv.maps), map = kb.rem(channel, kb.idx(conv.maps));
      Value at = kb.add(t.get(conv.filterView.offset),
                        kb.add(kb.mul(group, t.get(conv.filterView.strides[0])),
                               kb.mul(map, t.get(conv.filterView.strides[1]))));
      t.filters = kb.gep(t.scope.input(conv.filters), at, kb.f32());
    }
    kb.forLoop(kb.idx(0), l.blocks, 1, [&](Value number) {
      Value row = kb.mul(number, l.rowsPerTask);
      Value rows = kb.min(l.rowsPerTask, kb.sub(outRows, row));
      ConvLines::Block b = t.block = l.block(memory, row, rows);
      l.copy(module, b, source, memory);
      kb.forLoop(kb.idx(0), b.segments, 1, [&](Value segment) {
        Value line = kb.mul(segment, b.segmentStep);
        Value column = kb.add(kb.mul(row, outColumns), kb.mul(segment, b.segment));
        constexpr int64_t unroll = 4;
        int64_t lanes = tile.lanes;
        auto step = [&](Value position, Value partial) {
          planeVector(t, kb.add(line, position), kb.add(column, position), partial);
        };
        Value wide = kb.mul(kb.div(b.segment, unroll * lanes), unroll * lanes);
        kb.forLoop(kb.idx(0), wide, unroll * lanes, [&](Value position) {
          for (int64_t v = 0; v < unroll; ++v)
            step(kb.add(position, v * lanes), {});
        });
        Value bulk = kb.mul(kb.div(b.segment, lanes), lanes);
        kb.forLoop(wide, bulk, lanes, [&](Value position) { step(position, {}); });
        kb.forLoop(bulk, b.segment, lanes,
                   [&](Value position) { step(position, kb.sub(b.segment, position)); });
      });
    });
  });
  broken |= t.epilogue.broken;
  return t.lanes.error();
}

/// One vector of positions of one plane.
void ConvCode::planeVector(Task &t, Value image, Value column, Value partial) {
  auto tap = [&](Value row, Value tapColumn, Value sum) -> Value {
    Value at =
        kb.add(kb.add(image, kb.mul(row, t.block.rowStep)), kb.mul(tapColumn, t.block.columnStep));
    Value x = kb.load(kb.vec(), t.block.memory, at);
    if (conv.combine)
      return kb.b
          .create(kb.loc, conv.combine->getName().getIdentifier(), ValueRange{sum, x}, kb.vec())
          ->getResult(0);
    Value w = kb.add(kb.mul(row, t.get(conv.filterView.strides[3])),
                     kb.mul(tapColumn, t.get(conv.filterView.strides[4])));
    return kb.fma(kb.splat(kb.load(kb.f32(), t.filters, w)), x, sum);
  };
  Value sum = kb.constF(conv.kind == ConvMatch::Max ? -INFINITY : 0.0, kb.vec());
  if (conv.rows.taps * conv.columns.taps <= 25) {
    for (int64_t row = 0; row < conv.rows.taps; ++row)
      for (int64_t q = 0; q < conv.columns.taps; ++q)
        sum = tap(kb.idx(row), kb.idx(q), sum);
  } else {
    sum = kb.forLoop(kb.idx(0), kb.idx(conv.rows.taps), 1, sum, [&](Value row, ValueRange it) {
      return kb.forLoop(kb.idx(0), kb.idx(conv.columns.taps), 1, it,
                        [&](Value q, ValueRange inner) { return Values{tap(row, q, inner[0])}; });
    })[0];
  }
  t.epilogue.run({sum, t.batch, t.channel, column, tile.lanes, partial}, conv.op->getResult(0),
                 [&]() -> Lane { return sum; });
}

} // namespace attune::codegen
