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
  auto inside = [](const ConvAxis &axis) {
    if (!axis.before.is(0))
      return false;
    if (axis.taps == 1 && axis.stride == 1)
      return axis.in == axis.out;
    std::optional<int64_t> in = axis.in.constant(), out = axis.out.constant();
    return in && out && linesBehind(axis, *out) <= *in;
  };
  return inside(conv.rows) && inside(conv.columns) && conv.columns.step.is(1);
}

bool hasOneRow(const ConvMatch &conv) {
  auto alone = [](const ConvAxis &axis) { return axis.taps == 1 && axis.stride == 1; };
  return readsInPlace(conv) && alone(conv.rows) && alone(conv.columns) &&
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
  Block block;
  Value batch, group, filters;
  Value sums, turned;          ///< [positions][channels] of a group, and turned around
  Value firstPanel, lastPanel; ///< of the group
};

ChannelCode::ChannelCode(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb,
                         ModuleOp module)
    : conv(conv), sizes(sizes), kb(kb), module(module), tile(ChannelTile::of(kb.target)),
      inPlace(readsInPlace(conv)), oneRow(hasOneRow(conv)), step(conv.columns.stride),
      taps(conv.rows.taps * conv.columns.taps), panels(llvm::divideCeil(conv.maps, kPanelColumns)),
      channelBlock(std::clamp<int64_t>(kChannelSteps / taps, 1, conv.channels)) {}

/// Of a copied line.
ChannelCode::Value ChannelCode::lineElements(const Get &get) {
  Value columns = kb.mul(kb.sub(get(conv.columns.out), kb.idx(1)), conv.columns.stride);
  return kb.max(kb.add(columns, (conv.columns.taps - 1) * conv.columns.dilation + 1), kb.idx(0));
}

/// Output rows whose lines stay in the second level cache; several blocks of an image, unless that
/// would copy most lines twice.
ChannelCode::Value ChannelCode::rowsPerBlock(const Get &get) {
  Value rows = get(conv.rows.out), one = kb.idx(1);
  Value line = kb.max(kb.mul(lineElements(get), conv.channels), one);
  Value lines = kb.sub(kb.div(kb.idx(kConvTaskElements), line), kb.idx(linesBehind(conv.rows, 1)));
  Value fit = kb.add(kb.div(kb.max(lines, kb.idx(0)), conv.rows.stride), 1);
  Value eighth = kb.max(kb.ceilDiv(rows, 8), kb.idx(4));
  return kb.max(kb.min(kb.min(fit, eighth), rows), one);
}

ChannelCode::Split ChannelCode::split(const Get &get) {
  Value one = kb.idx(1), rows = get(conv.rows.out), columns = get(conv.columns.out);
  int64_t tiles = llvm::divideCeil(panels, tile.panels);
  Split s;
  Value wanted;
  auto share = [&](Value tasks, Value by) { return kb.div(kb.sub(kb.add(tasks, by), one), by); };
  if (inPlace) {
    Value groups = kb.ceilDiv(kb.mul(rows, columns), tile.group);
    s.blocks = kb.min(groups, kb.idx(llvm::divideCeil(kChannelTasks, tiles)));
    if (!oneRow)
      s.blocks = kb.min(s.blocks, rows);
    s.blocks = kb.max(s.blocks, one);
    wanted = share(kb.idx(kChannelTasks), s.blocks);
  } else {
    s.blocks = kb.max(share(rows, rowsPerBlock(get)), one);
    wanted = kb.max(kb.div(kb.idx(4), s.blocks), one);
  }
  s.panels = kb.mul(share(kb.idx(tiles), wanted), tile.panels);
  s.parts = share(kb.idx(panels), s.panels);
  return s;
}

/// Of all blocks, so that only those micro-kernels are made which are called.
ChannelCode::Range ChannelCode::tileRange(const Get &get) {
  std::optional<int64_t> columns = conv.columns.out.constant(), rows = conv.rows.out.constant();
  if (!columns || !rows)
    return {1, tile.rows};
  SmallVector<int64_t> lengths{*columns};
  if (oneRow) {
    int64_t blocks = getConstantIntValue(split(get).blocks).value_or(1);
    lengths = {*rows * *columns / blocks, int64_t(llvm::divideCeil(*rows * *columns, blocks))};
  }
  Range range{tile.rows, 1};
  for (int64_t length : lengths) {
    if (length == 0)
      continue;
    int64_t groups = llvm::divideCeil(length, tile.group);
    for (int64_t count : {length / groups, int64_t(llvm::divideCeil(length, groups))}) {
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
    Value lines = kb.add(kb.mul(kb.sub(rowsPerBlock(get), kb.idx(1)), conv.rows.stride),
                         linesBehind(conv.rows, 1));
    copied = kb.mul(kb.mul(lines, lineElements(get)), conv.channels);
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
  // As many whole rows as there is room for, or an equal part of a row.
  const Block &b = t.block;
  Value rowsEach = kb.max(kb.div(kb.idx(tile.group), kb.max(b.columns, kb.idx(1))), kb.idx(1));
  Value rowGroups = kb.div(kb.sub(kb.add(b.rows, rowsEach), kb.idx(1)), rowsEach);
  Value columnGroups = kb.ceilDiv(b.columns, tile.group);
  auto shares = [&](Value whole, Value count, llvm::function_ref<void(Value, Value)> body) {
    kb.forLoop(kb.idx(0), count, 1, [&](Value number) {
      Value first = kb.div(kb.mul(number, whole), count);
      body(first, kb.sub(kb.div(kb.mul(kb.add(number, 1), whole), count), first));
    });
  };
  shares(b.rows, rowGroups, [&](Value row, Value rows) {
    shares(b.columns, columnGroups,
           [&](Value column, Value columns) { channels(t, {row, rows, column, columns}); });
  });
  broken |= t.epilogue.broken;
  return t.lanes.error();
}

/// Where the block's image is: at `source`, or copied from there to `memory`.
void ChannelCode::place(Task &t, Value number, Value blocks, Value source, Value memory) {
  Value rows = t.get(conv.rows.out), columns = t.get(conv.columns.out);
  Value whole = oneRow ? kb.mul(rows, columns) : rows;
  Value first = kb.div(kb.mul(number, whole), blocks);
  Value count = kb.sub(kb.div(kb.mul(kb.add(number, 1), whole), blocks), first);
  Block &b = t.block;
  b.tapColumnStep = kb.idx(conv.columns.dilation);
  if (oneRow) {
    b.memory = kb.gep(source, first, kb.f32());
    b.channelStep = t.get(conv.channelStep);
    b.tapRowStep = b.rowStep = kb.idx(0);
    b.firstPosition = first, b.rows = kb.idx(1), b.columns = count;
    return;
  }
  b.firstPosition = kb.mul(first, columns), b.rows = count, b.columns = columns;
  Value line = inPlace ? t.get(conv.rows.step) : lineElements(t.get);
  b.tapRowStep = kb.mul(line, conv.rows.dilation);
  b.rowStep = kb.mul(line, conv.rows.stride);
  if (inPlace) {
    b.memory = kb.gep(source, kb.mul(first, b.rowStep), kb.f32());
    b.channelStep = t.get(conv.channelStep);
    return;
  }
  Value lines =
      kb.add(kb.mul(kb.sub(count, kb.idx(1)), conv.rows.stride), linesBehind(conv.rows, 1));
  b.memory = memory;
  b.channelStep = kb.mul(lines, line);
  copy(t, first, source);
}

/// The lines behind the block's output rows, the first of which is `firstRow`.
void ChannelCode::copy(Task &t, Value firstRow, Value source) {
  const Block &b = t.block;
  Value length = lineElements(t.get), lines = kb.div(b.channelStep, kb.max(length, kb.idx(1)));
  Value inRows = t.get(conv.rows.in), zero = kb.idx(0), step = t.get(conv.columns.step);
  Value first = kb.sub(zero, t.get(conv.columns.before));
  LineBounds bounds = lineBounds(kb, first, 1, t.get(conv.columns.in), length);
  Value origin = kb.sub(kb.mul(firstRow, conv.rows.stride), t.get(conv.rows.before));
  kb.forLoop(zero, kb.idx(conv.channels), 1, [&](Value channel) {
    Value plane = kb.gep(source, kb.mul(channel, t.get(conv.channelStep)), kb.f32());
    Value dst = kb.gep(b.memory, kb.mul(channel, b.channelStep), kb.f32());
    kb.forLoop(zero, lines, 1, [&](Value line) {
      Value row = kb.add(origin, line);
      Value inside = arith::AndIOp::create(
          kb.b, kb.loc, kb.cmp(arith::CmpIPredicate::sge, row, zero), kb.lt(row, inRows));
      Value from = kb.mul(kb.select(inside, row, zero), t.get(conv.rows.step));
      LineBounds some{kb.select(inside, bounds.begin, zero), kb.select(inside, bounds.end, zero)};
      copyLine(kb, module, kb.gep(plane, from, kb.f32()), step, first, 1, some, length,
               kb.constF(conv.fill), kb.gep(dst, kb.mul(line, length), kb.f32()));
    });
  });
}

/// All channels of the task at one group of positions; the image stays cached.
void ChannelCode::channels(Task &t, const Group &group) {
  Value count = kb.sub(t.lastPanel, t.firstPanel);
  Value whole = kb.add(t.firstPanel, kb.mul(kb.div(count, tile.panels), tile.panels));
  kb.forLoop(t.firstPanel, whole, tile.panels, [&](Value at) { panel(t, group, at, tile.panels); });
  if (panels % tile.panels)
    kb.forLoop(whole, t.lastPanel, 1, [&](Value at) { panel(t, group, at, 1); });
}

void ChannelCode::panel(Task &t, const Group &group, Value panel, int64_t count) {
  const Block &b = t.block;
  int64_t depth = conv.channels * taps;
  Value tiles = kb.ceilDiv(group.columns, tile.rows);
  Value image = kb.add(kb.mul(group.row, b.rowStep), kb.mul(group.column, step));
  kb.forLoop(kb.idx(0), kb.idx(conv.channels), channelBlock, [&](Value first) {
    Value channels = kb.min(kb.sub(kb.idx(conv.channels), first), kb.idx(channelBlock));
    Value from = kb.add(image, kb.mul(first, b.channelStep));
    Value filters = kb.mul(kb.add(kb.mul(panel, depth), kb.mul(first, taps)), kPanelColumns);
    Value add = kb.cmp(arith::CmpIPredicate::sgt, first, kb.idx(0));
    auto tileAt = [&](Value row, Value column, Value columns) {
      Value position = kb.add(kb.mul(row, group.columns), column);
      Value at = kb.add(from, kb.add(kb.mul(row, b.rowStep), kb.mul(column, step)));
      ConvMicroCall call{kb.gep(t.filters, filters, kb.f32()),
                         kb.idx(depth * kPanelColumns),
                         kb.gep(b.memory, at, kb.f32()),
                         b.channelStep,
                         b.tapRowStep,
                         b.tapColumnStep,
                         channels,
                         kb.gep(t.sums, kb.mul(position, tile.channels()), kb.f32()),
                         add};
      int64_t before = t.range.least - 1;
      Value size = kb.sub(columns, kb.idx(before));
      kb.switchOn(size, t.range.most - before, [&](int64_t size) {
        callChannelMicro(kb, module, conv.rows.taps, conv.columns.taps, size + before, step, count,
                         call);
      });
    };
    kb.forLoop(kb.idx(0), group.rows, 1, [&](Value row) {
      kb.forLoop(kb.idx(0), tiles, 1, [&](Value number) {
        Value column = kb.div(kb.mul(number, group.columns), tiles);
        Value end = kb.div(kb.mul(kb.add(number, 1), group.columns), tiles);
        tileAt(row, column, kb.sub(end, column));
      });
    });
  });
  Value positions = kb.mul(group.rows, group.columns);
  turnChannels(kb, module, t.sums, positions, kb.idx(count * kPanelColumns), t.turned);
  finish(t, group, panel, count);
}

void ChannelCode::finish(Task &t, const Group &group, Value panel, int64_t count) {
  Value positions = kb.mul(group.rows, group.columns);
  Value column =
      kb.add(kb.add(t.block.firstPosition, kb.mul(group.row, t.block.columns)), group.column);
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
