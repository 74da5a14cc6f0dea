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
  return ConvLines(kb, conv, get, conv.channels, kConvTaskElements);
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
  Value sums = channelBlock < conv.channels ? split(l).panels : kb.idx(tile.panels);
  return kb.add(elements, kb.mul(sums, kFilterPanel * tile.positions()));
}

ConvCode::Value ConvCode::workerScratch(Scope &scope) {
  auto get = [&](const Size &size) { return scope.get(size); };
  return kb.gep(scope.scratch(0), kb.mul(scope.args.worker, scratchElements(get)), kb.f32());
}

void ConvCode::build(StringRef symbol) {
  func::FuncOp pack;
  if (!conv.packed)
    pack = kb.task(module, (symbol + "_filters").str(), [&](const KernelArgs &args) {
      packFilters(args);
      return Value();
    });
  func::FuncOp function = kb.task(module, (symbol + "_block").str(),
                                  [&](const KernelArgs &args) { return task(args); });
  kb.kernel(module, symbol, [&](const KernelArgs &args) -> Value {
    Scope scope(sizes, kb, args);
    Get get = [&](const Size &size) { return scope.get(size); };
    ConvLines l = lines(get);
    Value images = kb.mul(get(conv.batch), get(conv.groups));
    Value count = kb.mul(kb.mul(images, l.blocks), split(l).count);
    // An empty result has no tasks.
    Value positions = kb.mul(get(conv.rows.out), get(conv.columns.out));
    count = kb.select(kb.eq(positions, kb.idx(0)), kb.idx(0), count);
    if (!pack)
      return kb.parallelFor(args, count, function);
    Value packed = kb.parallelFor(args, kb.mul(get(conv.groups), panels), pack);
    Value done = kb.parallelFor(args, count, function);
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

ConvCode::Value ConvCode::task(const KernelArgs &args) {
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

  Value plane = kb.add(t.get(conv.offset), kb.mul(t.batch, t.get(conv.batchStep)));
  plane = kb.add(plane, kb.mul(kb.mul(t.group, conv.channels), t.get(conv.channelStep)));
  l.copyChannels(module, t.block, kb.gep(t.scope.input(conv.input), plane, kb.f32()));
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
      if (onePass)
        fetchTile(t, panel, column);
      else
        kb.ifThen(last, [&] { fetchTile(t, panel, column); });
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

/// Asks for the memory of the results: large images are not cached.
void ConvCode::fetchTile(Task &t, Value panel, Value column) {
  Value firstMap = kb.mul(panel, kFilterPanel);
  Value maps = kb.min(kb.sub(kb.idx(conv.maps), firstMap), kb.idx(tile.channels()));
  Value firstRow = kb.add(kb.mul(t.group, conv.maps), firstMap);
  kb.forLoop(kb.idx(0), maps, 1, [&](Value map) {
    for (int64_t v = 0; v < tile.vectors; ++v)
      t.epilogue.fetch(
          {{}, t.batch, kb.add(firstRow, map), kb.add(column, v * tile.lanes), tile.lanes, {}});
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

} // namespace attune::codegen
