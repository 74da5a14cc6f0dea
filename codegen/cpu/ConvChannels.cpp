#include "attune/codegen/cpu/ConvChannels.h"

#include "attune/codegen/cpu/Conv.h"
#include "attune/codegen/cpu/ConvChannelMicro.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

/// Elements that copies and tiles may reach beyond their ends.
static constexpr int64_t kSlack = 256;
/// Positions of a group, rounded down to whole tiles: sums of 32 channels take 7 KB.
static constexpr int64_t kGroup = 56;

ChannelTile ChannelTile::of(const CpuTarget &target) {
  GemmTile tile = GemmTile::of(target);
  return {tile.rows, tile.panels, target.lanes(), kGroup / tile.rows * tile.rows};
}

bool readsInPlace(const ConvMatch &conv) {
  auto whole = [](const ConvAxis &axis) {
    return axis.taps == 1 && axis.stride == 1 && axis.before.is(0) && axis.in == axis.out;
  };
  return whole(conv.rows) && whole(conv.columns) && conv.columns.step.is(1) &&
         (conv.rows.out.is(1) || conv.rows.step == conv.columns.in);
}

/// What a task function knows.
struct ChannelCode::Task {
  Task(ChannelCode &code, const KernelArgs &args)
      : scope(code.sizes, code.kb, args), lanes(scope, code.kb.lanes()),
        epilogue(code.conv.epilogue, scope, lanes) {
    // Groups start anywhere in a row.
    epilogue.aligned = false;
    get = [this](const Size &size) { return scope.get(size); };
    range = code.tileRange(get);
  }
  Scope scope;
  Lanes lanes;
  EpilogueCode epilogue;
  Get get;
  Range range;
  ConvLines::Block block;
  Value firstPosition; ///< of the block
  Value batch, group, filters;
  Value sums, turned;          ///< [positions][channels] of a group, and turned around
  Value firstPanel, lastPanel; ///< of the group
};

ChannelCode::ChannelCode(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb,
                         ModuleOp module)
    : conv(conv), sizes(sizes), kb(kb), module(module), tile(ChannelTile::of(kb.target)),
      inPlace(readsInPlace(conv)), taps(conv.rows.taps * conv.columns.taps),
      panels(llvm::divideCeil(conv.maps, kPanelColumns)),
      channelBlock(std::clamp<int64_t>(kChannelSteps / taps, 1, conv.channels)) {}

ConvLines ChannelCode::lines(const Get &get) {
  return ConvLines(kb, conv, get, conv.channels, kConvTaskElements);
}

/// Images that are copied are cut as those of ConvCode.
ChannelCode::Split ChannelCode::split(const Get &get) {
  Value one = kb.idx(1);
  int64_t tiles = llvm::divideCeil(panels, tile.panels);
  Split s;
  Value wanted;
  auto share = [&](Value tasks, Value by) { return kb.div(kb.sub(kb.add(tasks, by), one), by); };
  if (inPlace) {
    Value groups = kb.ceilDiv(kb.mul(get(conv.rows.out), get(conv.columns.out)), tile.group);
    s.blocks = kb.max(kb.min(groups, kb.idx(llvm::divideCeil(kChannelTasks, tiles))), one);
    wanted = share(kb.idx(kChannelTasks), s.blocks);
  } else {
    s.blocks = kb.max(lines(get).blocks, one);
    wanted = kb.max(kb.div(kb.idx(4), s.blocks), one);
  }
  s.panels = kb.mul(share(kb.idx(tiles), wanted), tile.panels);
  s.parts = share(kb.idx(panels), s.panels);
  return s;
}

/// Of all blocks, so that only those micro-kernels are made which are called.
ChannelCode::Range ChannelCode::tileRange(const Get &get) {
  Value columns = get(conv.columns.out), rows = get(conv.rows.out);
  SmallVector<std::optional<int64_t>> lengths;
  if (inPlace) {
    Value positions = kb.mul(rows, columns), blocks = split(get).blocks;
    lengths.push_back(getConstantIntValue(kb.div(positions, blocks)));
    lengths.push_back(
        getConstantIntValue(kb.div(kb.sub(kb.add(positions, blocks), kb.idx(1)), blocks)));
  } else if (hasWideLines(conv)) {
    lengths.push_back(getConstantIntValue(columns));
  } else {
    Value most = lines(get).rowsPerTask;
    lengths.push_back(getConstantIntValue(kb.mul(most, columns)));
    lengths.push_back(getConstantIntValue(kb.mul(kb.rem(rows, most), columns)));
  }
  Range range{tile.rows, 1};
  for (std::optional<int64_t> length : lengths) {
    if (!length)
      return {1, tile.rows};
    if (*length == 0)
      continue;
    int64_t groups = llvm::divideCeil(*length, tile.group);
    for (int64_t count : {*length / groups, int64_t(llvm::divideCeil(*length, groups))}) {
      int64_t tiles = llvm::divideCeil(count, tile.rows);
      range.least = std::min(range.least, count / tiles);
      range.most = std::max<int64_t>(range.most, llvm::divideCeil(count, tiles));
    }
  }
  return {std::min(range.least, range.most), range.most};
}

ChannelCode::Value ChannelCode::scratchElements(const Get &get) {
  Value copied = kb.idx(0);
  if (!inPlace) {
    ConvLines l = lines(get);
    copied = l.elements(l.rowsPerTask);
  }
  return kb.add(copied, kSlack + 2 * tile.channels() * tile.line());
}

void ChannelCode::build(StringRef symbol) {
  func::FuncOp function = kb.task(module, (symbol + "_channels").str(),
                                  [&](const KernelArgs &args) { return task(args); });
  kb.kernel(module, symbol, [&](const KernelArgs &args) -> Value {
    Scope scope(sizes, kb, args);
    Get get = [&](const Size &size) { return scope.get(size); };
    Split s = split(get);
    Value images = kb.mul(get(conv.batch), get(conv.groups));
    Value count = kb.mul(kb.mul(images, s.blocks), s.parts);
    // An empty result has no tasks.
    Value positions = kb.mul(get(conv.rows.out), get(conv.columns.out));
    count = kb.select(kb.eq(positions, kb.idx(0)), kb.idx(0), count);
    return kb.parallelFor(args, count, function);
  });
}

ChannelCode::Value ChannelCode::task(const KernelArgs &args) {
  Task t(*this, args);
  Split s = split(t.get);
  // Tasks run over images, groups, blocks of positions, channels.
  Value part = kb.rem(args.task, s.parts), rest = kb.div(args.task, s.parts);
  Value block = kb.rem(rest, s.blocks), image = kb.div(rest, s.blocks);
  Value groups = t.get(conv.groups);
  t.group = kb.rem(image, groups);
  t.batch = kb.div(image, groups);
  t.firstPanel = kb.mul(part, s.panels);
  t.lastPanel = kb.min(kb.add(t.firstPanel, s.panels), kb.idx(panels));
  Value memory = kb.gep(t.scope.scratch(0), kb.mul(args.worker, scratchElements(t.get)), kb.f32());
  t.sums = memory;
  t.turned = kb.gep(memory, kb.idx(tile.channels() * tile.line()), kb.f32());
  t.filters = kb.gep(t.scope.input(conv.filters),
                     kb.mul(t.group, panels * conv.channels * taps * kPanelColumns), kb.f32());
  Value plane = kb.add(t.get(conv.offset), kb.mul(t.batch, t.get(conv.batchStep)));
  plane = kb.add(plane, kb.mul(kb.mul(t.group, conv.channels), t.get(conv.channelStep)));
  place(t, block, s.blocks, kb.gep(t.scope.input(conv.input), plane, kb.f32()),
        kb.gep(memory, kb.idx(2 * tile.channels() * tile.line()), kb.f32()));
  const ConvLines::Block &b = t.block;
  kb.forLoop(kb.idx(0), b.segments, 1, [&](Value segment) {
    Value count = kb.ceilDiv(b.segment, tile.group);
    kb.forLoop(kb.idx(0), count, 1, [&](Value number) {
      Value first = kb.div(kb.mul(number, b.segment), count);
      Value last = kb.div(kb.mul(kb.add(number, 1), b.segment), count);
      Value column = kb.add(kb.add(t.firstPosition, kb.mul(segment, b.segment)), first);
      group(t, kb.add(kb.mul(segment, b.segmentStep), first), column, kb.sub(last, first));
    });
  });
  broken |= t.epilogue.broken;
  return t.lanes.error();
}

/// Where the block's image is: at `source`, or copied from there to `memory`.
void ChannelCode::place(Task &t, Value block, Value blocks, Value source, Value memory) {
  Value rows = t.get(conv.rows.out), columns = t.get(conv.columns.out), zero = kb.idx(0);
  if (inPlace) {
    Value positions = kb.mul(rows, columns);
    t.firstPosition = kb.div(kb.mul(block, positions), blocks);
    Value end = kb.div(kb.mul(kb.add(block, 1), positions), blocks);
    t.block.memory = kb.gep(source, t.firstPosition, kb.f32());
    t.block.channelStep = t.get(conv.channelStep);
    t.block.rowStep = t.block.columnStep = t.block.segmentStep = zero;
    t.block.segments = kb.idx(1);
    t.block.segment = kb.sub(end, t.firstPosition);
    return;
  }
  ConvLines l = lines(t.get);
  Value row = kb.mul(block, l.rowsPerTask);
  t.firstPosition = kb.mul(row, columns);
  t.block = l.block(memory, row, kb.min(l.rowsPerTask, kb.sub(rows, row)));
  l.copyChannels(module, t.block, source);
}

/// All channels of the task at one group of positions; the image stays cached.
void ChannelCode::group(Task &t, Value image, Value column, Value positions) {
  Value count = kb.sub(t.lastPanel, t.firstPanel);
  Value whole = kb.add(t.firstPanel, kb.mul(kb.div(count, tile.panels), tile.panels));
  kb.forLoop(t.firstPanel, whole, tile.panels,
             [&](Value at) { panel(t, at, tile.panels, image, column, positions); });
  if (panels % tile.panels)
    kb.forLoop(whole, t.lastPanel, 1, [&](Value at) { panel(t, at, 1, image, column, positions); });
}

void ChannelCode::panel(Task &t, Value panel, int64_t count, Value image, Value column,
                        Value positions) {
  const ConvLines::Block &b = t.block;
  int64_t depth = conv.channels * taps;
  Value tiles = kb.ceilDiv(positions, tile.rows);
  kb.forLoop(kb.idx(0), kb.idx(conv.channels), channelBlock, [&](Value first) {
    Value channels = kb.min(kb.sub(kb.idx(conv.channels), first), kb.idx(channelBlock));
    Value from = kb.add(image, kb.mul(first, b.channelStep));
    Value filters = kb.mul(kb.add(kb.mul(panel, depth), kb.mul(first, taps)), kPanelColumns);
    Value add = kb.cmp(arith::CmpIPredicate::sgt, first, kb.idx(0));
    kb.forLoop(kb.idx(0), tiles, 1, [&](Value number) {
      Value row = kb.div(kb.mul(number, positions), tiles);
      Value rows = kb.sub(kb.div(kb.mul(kb.add(number, 1), positions), tiles), row);
      Value memory = kb.gep(t.sums, kb.mul(row, tile.channels()), kb.f32());
      ConvMicroCall call{kb.gep(t.filters, filters, kb.f32()),
                         kb.idx(depth * kPanelColumns),
                         kb.gep(b.memory, kb.add(from, row), kb.f32()),
                         b.channelStep,
                         b.rowStep,
                         b.columnStep,
                         channels,
                         memory,
                         add};
      int64_t before = t.range.least - 1;
      kb.switchOn(kb.sub(rows, kb.idx(before)), t.range.most - before, [&](int64_t size) {
        callChannelMicro(kb, module, conv.rows.taps, conv.columns.taps, size + before, count, call);
      });
    });
  });
  turnChannels(kb, module, t.sums, positions, kb.idx(count * kPanelColumns), t.turned);
  finish(t, panel, count, column, positions);
}

void ChannelCode::finish(Task &t, Value panel, int64_t count, Value column, Value positions) {
  Value firstMap = kb.mul(panel, kPanelColumns);
  Value maps = kb.min(kb.sub(kb.idx(conv.maps), firstMap), kb.idx(count * kPanelColumns));
  Value firstRow = kb.add(kb.mul(t.group, conv.maps), firstMap);
  Value bulk = kb.mul(kb.div(positions, tile.lanes), tile.lanes);
  kb.forLoop(kb.idx(0), maps, 1, [&](Value map) {
    auto point = [&](Value lane, Value partial) {
      Value sums = kb.load(kb.vec(), t.turned, kb.add(kb.mul(map, tile.line()), lane));
      t.epilogue.run(
          {sums, t.batch, kb.add(firstRow, map), kb.add(column, lane), tile.lanes, partial},
          conv.op->getResult(0), [&]() -> Lane { return sums; });
    };
    kb.forLoop(kb.idx(0), bulk, tile.lanes, [&](Value lane) { point(lane, {}); });
    kb.forLoop(bulk, positions, tile.lanes,
               [&](Value lane) { point(lane, kb.sub(positions, lane)); });
  });
}

} // namespace attune::codegen
