#include "attune/codegen/cpu/ConvLines.h"

#include "attune/codegen/cpu/ConvMicro.h"

using namespace mlir;

namespace attune::codegen {

bool hasWideLines(const ConvMatch &conv) {
  if (conv.rows.stride != 1 || conv.columns.stride != 1)
    return false;
  std::optional<int64_t> columns = conv.columns.out.constant();
  return conv.rows.out.is(1) || (columns && *columns >= 96);
}

ConvLines::ConvLines(KernelBuilder &kb, const ConvMatch &conv,
                     std::function<Value(const Size &)> get, int64_t channels, int64_t budget)
    : kb(kb), conv(conv), get(get), channels(channels), wide(hasWideLines(conv)) {
  length = get(conv.columns.out);
  if (wide)
    length = kb.add(length, (conv.columns.taps - 1) * conv.columns.dilation);
  Value one = kb.idx(1), outRows = get(conv.rows.out);
  // Rows that fit beside those which the taps add.
  Value row = kb.max(elements(one), one);
  Value lines = kb.div(kb.idx(budget),
                       conv.rows.stride == 1
                           ? kb.max(kb.mul(length, channels * (wide ? 1 : conv.columns.taps)), one)
                           : row);
  if (conv.rows.stride == 1)
    lines = kb.sub(lines, kb.idx((conv.rows.taps - 1) * conv.rows.dilation));
  // Several tasks of an image, unless that would copy most lines twice.
  Value eighth = kb.max(kb.ceilDiv(outRows, 8), kb.idx(4));
  rowsPerTask = kb.max(kb.min(kb.min(lines, eighth), outRows), one);
  blocks = kb.div(kb.sub(kb.add(outRows, rowsPerTask), one), rowsPerTask);
}

/// Lines of one copy: shared by the tap rows, or with a stride apart for each.
ConvLines::Value ConvLines::linesOf(Value rows) {
  if (conv.rows.stride != 1)
    return kb.mul(rows, conv.rows.taps);
  return kb.add(rows, (conv.rows.taps - 1) * conv.rows.dilation);
}

ConvLines::Value ConvLines::channelElements(Value rows) {
  return kb.mul(kb.mul(linesOf(rows), length), wide ? 1 : conv.columns.taps);
}

ConvLines::Value ConvLines::elements(Value rows) { return kb.mul(channelElements(rows), channels); }

ConvLines::Block ConvLines::block(Value memory, Value firstRow, Value rows) {
  Block b{memory, firstRow, rows, {}, {}, {}, {}, {}, {}};
  b.channelStep = channelElements(rows);
  b.rowStep = conv.rows.stride == 1 ? kb.mul(length, conv.rows.dilation) : kb.mul(rows, length);
  b.columnStep = wide ? kb.idx(conv.columns.dilation) : kb.mul(linesOf(rows), length);
  b.segments = wide ? rows : kb.idx(1);
  b.segment = wide ? get(conv.columns.out) : kb.mul(rows, length);
  b.segmentStep = length;
  return b;
}

void ConvLines::copyChannels(ModuleOp module, const Block &b, Value source) {
  Value step = get(conv.channelStep);
  kb.forLoop(kb.idx(0), kb.idx(channels), 1, [&](Value channel) {
    copy(module, b, kb.gep(source, kb.mul(channel, step), kb.f32()),
         kb.gep(b.memory, kb.mul(channel, b.channelStep), kb.f32()));
  });
}

void ConvLines::copy(ModuleOp module, const Block &b, Value plane, Value dst) {
  int64_t copies = wide ? 1 : conv.columns.taps, parts = conv.rows.stride == 1 ? 1 : conv.rows.taps;
  Value lines = conv.rows.stride == 1 ? linesOf(b.rows) : b.rows;
  Value inRows = get(conv.rows.in), inColumns = get(conv.columns.in), zero = kb.idx(0);
  Value rowStep = get(conv.rows.step), step = get(conv.columns.step);
  Value fill = kb.constF(conv.fill);
  Value origin = kb.sub(kb.mul(b.firstRow, conv.rows.stride), get(conv.rows.before));
  kb.forLoop(zero, kb.idx(copies), 1, [&](Value shift) {
    Value first = kb.sub(kb.mul(shift, conv.columns.dilation), get(conv.columns.before));
    LineBounds bounds = lineBounds(kb, first, conv.columns.stride, inColumns, length);
    kb.forLoop(zero, kb.idx(parts), 1, [&](Value part) {
      kb.forLoop(zero, lines, 1, [&](Value line) {
        Value row = kb.add(kb.add(origin, kb.mul(part, conv.rows.dilation)),
                           kb.mul(line, conv.rows.stride));
        Value inside = arith::AndIOp::create(
            kb.b, kb.loc, kb.cmp(arith::CmpIPredicate::sge, row, zero), kb.lt(row, inRows));
        Value source = kb.gep(plane, kb.mul(kb.select(inside, row, zero), rowStep), kb.f32());
        LineBounds some{kb.select(inside, bounds.begin, zero), kb.select(inside, bounds.end, zero)};
        Value number = kb.add(kb.mul(kb.add(kb.mul(shift, parts), part), lines), line);
        copyLine(kb, module, source, step, first, conv.columns.stride, some, length, fill,
                 kb.gep(dst, kb.mul(number, length), kb.f32()));
      });
    });
  });
}

} // namespace attune::codegen
