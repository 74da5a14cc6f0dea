#include "attune/codegen/cpu/AttentionVector.h"
#include "attune/codegen/gpu/AttentionBlock.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

static constexpr double kInf = std::numeric_limits<double>::infinity();

static int64_t padded(int64_t columns) { return llvm::alignTo(columns, 16); }

/// More rows of a warp share what is loaded of keys and values, as far as registers go.
AttentionShape AttentionShape::blocks(const AttentionPlan &plan, const GpuTarget &gpu) {
  if (plan.query->element.isF32())
    return {4, 1, 32, false};
  // Two blocks, or one of three groups of warps: some multiply while others weigh scores.
  if (gpu.warpGroups && plan.headDim % 64 == 0 && plan.valueDim % 64 == 0)
    return {std::max(plan.headDim, plan.valueDim) <= 64 ? 8 : 12, 1, 64, false, true};
  return {4, std::max(plan.headDim, plan.valueDim) <= 64 ? 2 : 1, 64, false};
}

AttentionLayout::AttentionLayout(const AttentionPlan &plan, const AttentionShape &shape) {
  int64_t bytes = plan.query->element.getIntOrFloatBitWidth() / 8;
  query = {shape.rows(), padded(plan.headDim), bytes, true, true};
  key = {shape.keys, padded(plan.headDim), bytes, true, true};
  value = {shape.keys, padded(plan.valueDim), bytes, true, true};
  result = {shape.rows(), padded(plan.valueDim), 2, true, true};
  queriesStay = bytes == 4 || shape.warpGroups;
  if (!shape.warpGroups)
    return;
  keyPanels = plan.headDim / 64;
  valuePanels = plan.valueDim / 64;
  query.columns = key.columns = value.columns = 64;
}

//===- Where things are
//---------------------------------------------------------------------------===//

void AttentionBlock::locate() {
  b = kb.block(2);
  if (shape.splitKeys) {
    split.emplace(kb, extents(), shape);
    chunk = kb.block(0);
    kvHead = shortDiv(kb, kb.block(1), split->rowTiles);
    h = kb.mul(kvHead, split->group);
    first = kb.mul(shortRem(kb, kb.block(1), split->rowTiles), shape.rows());
  } else {
    // Where masks are causal the last ones have most to do: they start first.
    Value number = kb.add(kb.block(0), 1);
    first = kb.mul(kb.sub(kb.ceilDiv(values.queries, shape.rows()), number), shape.rows());
    h = kb.block(1);
    kvHead = context.kvHead(h);
  }
  offset = context.queryOffset(b);
}

/// A row of queries, the last one where there is none.
AttentionBlock::Row AttentionBlock::rowAt(Value number) {
  Value count = shape.splitKeys ? split->rows : values.queries;
  Value exists = kb.lt(number, count);
  number = kb.min(number, kb.sub(count, kb.idx(1)));
  if (!shape.splitKeys)
    return {exists, h, number};
  return {exists, kb.add(h, shortDiv(kb, number, values.queries)),
          shortRem(kb, number, values.queries)};
}

/// The lane's two rows of a group.
SmallVector<AttentionBlock::Row, 2> AttentionBlock::rowsOf(int64_t number) {
  Value row = kb.add(kb.add(kb.add(first, warpRow), group), 16 * number);
  return {rowAt(row), rowAt(kb.add(row, 8))};
}

/// Whether rows consist of whole, aligned chunks of so many elements.
static bool inChunks(const AttentionOperand &operand, int64_t columns, int64_t perChunk) {
  return columns % perChunk == 0 && operand.offset.multipleOf(perChunk) &&
         operand.strides[3].is(1) &&
         llvm::all_of(ArrayRef(operand.strides).drop_back(),
                      [&](const Size &stride) { return stride.multipleOf(perChunk); });
}

RowMatrix AttentionBlock::rowsOf(const AttentionTensor &tensor, const AttentionOperand &operand,
                                 int64_t columns) {
  RowMatrix matrix{context.at(tensor, b, shape.splitKeys ? kb.idx(0) : h, {}, {}),
                   tensor.strides[2],
                   tensor.strides[3],
                   first,
                   shape.splitKeys ? split->rows : values.queries,
                   columns,
                   tensor.element,
                   inChunks(operand, columns, layout.key.perChunk())};
  if (shape.splitKeys)
    matrix.offset = [this, tensor](Value number) {
      Row row = rowAt(number);
      return kb.add(kb.mul(row.n, tensor.strides[2]), kb.mul(row.h, tensor.strides[1]));
    };
  return matrix;
}

RowMatrix AttentionBlock::keysOf(const AttentionTensor &tensor, const AttentionOperand &operand,
                                 int64_t columns, Value start) {
  return {context.at(tensor, b, kvHead, {}, {}),
          tensor.strides[2],
          tensor.strides[3],
          start,
          hi,
          columns,
          tensor.element,
          inChunks(operand, columns, layout.key.perChunk())};
}

/// The keys that the block visits, and those of them that every row may see.
void AttentionBlock::limitKeys() {
  Value keys = context.keyLength(b), one = kb.idx(1);
  Value from = kb.idx(0), to = kb.sub(values.queries, one);
  if (!shape.splitKeys) {
    from = first;
    to = kb.min(to, kb.add(first, shape.rows() - 1));
  }
  if (offset) {
    from = kb.add(from, offset);
    to = kb.add(to, offset);
  }
  // Bounds that depend on the head are those of the block's first one.
  bool perHead = plan.mask && llvm::any_of(plan.facts.uniforms(), [&](Value value) {
                   return value.getParentBlock() == &plan.mask->block;
                 });
  KeyRange range{kb.idx(0), keys, kb.idx(0), kb.idx(0)};
  if (!shape.splitKeys || !perHead)
    range = context.range(b, h, from, to, keys);
  lo = range.lo;
  hi = range.hi;
  if (shape.splitKeys) {
    Value begin = kb.mul(chunk, split->chunkKeys);
    lo = kb.max(lo, begin);
    hi = kb.min(hi, kb.add(begin, split->chunkKeys));
  }
  fullLo = range.fullLo;
  fullHi = kb.min(range.fullHi, hi);
  tiles = kb.ceilDiv(kb.max(kb.idx(0), kb.sub(hi, lo)), shape.keys);
}

void AttentionBlock::loadPanels(RowMatrix matrix, const TileLayout &tile, int64_t panels,
                                Value at) {
  int64_t columns = matrix.columns;
  Value base = matrix.base;
  for (int64_t panel = 0; panel < panels; ++panel) {
    int64_t first = panel * tile.columns;
    matrix.columns = std::min(columns - first, tile.columns);
    matrix.base = kb.gep(base, kb.mul(matrix.columnStride, first), matrix.element);
    loadRows(kb, matrix, tile, kb.sharedAt(at, kb.idx(panel * tile.bytes())), shape.threads());
  }
}

void AttentionBlock::loadTile(Value tile) {
  Value at = kb.sharedAt(memory, kb.mul(kb.rem(tile, kb.idx(2)), layout.stage()));
  Value start = kb.add(lo, kb.mul(tile, shape.keys));
  loadPanels(keysOf(values.key, *plan.key, plan.headDim, start), layout.key, layout.keyPanels, at);
  loadPanels(keysOf(values.value, *plan.value, plan.valueDim, start), layout.value,
             layout.valuePanels, kb.sharedAt(at, kb.idx(layout.keyBytes())));
}

//===- What is carried
//----------------------------------------------------------------------------===//

Values AttentionBlock::flat(const Groups &groups) {
  Values all;
  for (const Group &group : groups)
    for (const Values *part : {&group.outputs, &group.greatest, &group.sums})
      llvm::append_range(all, *part);
  return all;
}

AttentionBlock::Groups AttentionBlock::unflat(ValueRange values) {
  Groups groups(shape.groups);
  auto take = [&](int64_t count) {
    Values taken(values.take_front(count));
    values = values.drop_front(count);
    return taken;
  };
  for (Group &group : groups) {
    group.outputs = take(layout.result.columns / 2);
    group.greatest = take(2);
    group.sums = take(2);
  }
  return groups;
}

AttentionBlock::Groups AttentionBlock::start() {
  Groups groups;
  for (int64_t number = 0; number < shape.groups; ++number) {
    Group group;
    group.outputs.assign(layout.result.columns / 2, kb.constF(0));
    group.greatest.assign(2, kb.constF(-kInf));
    group.sums.assign(2, kb.constF(0));
    if (values.sink)
      for (auto [half, row] : llvm::enumerate(rowsOf(number))) {
        // A key of its own, counted once: by a lane of four, in the first chunk.
        Value sink = values.sink(row.h), none = group.greatest[half];
        if (chunk)
          sink = kb.select(kb.eq(chunk, kb.idx(0)), sink, none);
        Value absent = arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, sink, none);
        Value one = kb.select(kb.eq(inGroup, kb.idx(0)), kb.constF(1), kb.constF(0));
        group.greatest[half] = sink;
        group.sums[half] = kb.select(absent, kb.constF(0), one);
      }
    groups.push_back(group);
  }
  return groups;
}

//===- Results
//------------------------------------------------------------------------------------===//

/// Two neighbours of a row, as far as they exist; at once where they are aligned.
void AttentionBlock::storePair(ValueRange pair, Value row, Value stride, Value column,
                               bool aligned) {
  Type element = pair[0].getType();
  if (aligned)
    return kb.ifThen(kb.lt(column, kb.idx(plan.valueDim)), [&] {
      Value vector = vector::FromElementsOp::create(kb.b, kb.loc, kb.vec(2, element), pair);
      LLVM::StoreOp::create(kb.b, kb.loc, vector, kb.gep(row, column, element),
                            element.getIntOrFloatBitWidth() / 4);
    });
  for (int64_t next = 0; next < 2; ++next) {
    Value at = kb.add(column, next);
    kb.ifThen(kb.lt(at, kb.idx(plan.valueDim)),
              [&] { kb.store(pair[next], row, kb.mul(at, stride)); });
  }
}

/// Rows as a whole where elements of 16 bits would leave sectors of memory half written.
void AttentionBlock::storeResult(const Groups &groups) {
  const AttentionTensor &result = values.result;
  RowMatrix matrix = rowsOf(result, *plan.result, plan.valueDim);
  bool staged = !result.element.isF32();
  bool inPairs = inChunks(*plan.result, plan.valueDim, 2);
  if (staged)
    kb.barrier();
  for (auto [number, group] : llvm::enumerate(groups)) {
    SmallVector<Row, 2> rows = rowsOf(number);
    for (int64_t half = 0; half < 2; ++half) {
      Value inBlock = kb.add(kb.add(warpRow, this->group), 16 * number + 8 * half);
      Value factor = context.factor(group.sums[half]);
      for (int64_t column = 0; column < layout.result.columns; column += 8) {
        Values pair;
        for (int64_t next = 0; next < 2; ++next) {
          Value output = group.outputs[column / 2 + 2 * half + next];
          pair.push_back(fromF32(kb, context.scaled(output, factor), result.element));
        }
        Value at = kb.add(kb.mul(inGroup, 2), column);
        if (staged) {
          Value vector =
              vector::FromElementsOp::create(kb.b, kb.loc, kb.vec(2, result.element), pair);
          LLVM::StoreOp::create(kb.b, kb.loc, vector,
                                kb.sharedAt(memory, layout.result.element(kb, inBlock, at)), 4);
          continue;
        }
        kb.ifThen(rows[half].exists, [&] {
          Value row = context.at(result, b, rows[half].h, rows[half].n, {});
          storePair(pair, row, result.strides[3], at, inPairs);
        });
      }
    }
  }
  if (!staged)
    return;
  kb.barrier();
  storeRows(kb, matrix, layout.result, memory, shape.threads());
}

void AttentionBlock::finish(Groups &groups, Value partials) {
  for (Group &group : groups)
    for (Value &sum : group.sums)
      for (int64_t lane : {1, 2})
        sum = add(sum, kb.shuffleXor(sum, lane));
  Value isFirst = kb.eq(inGroup, kb.idx(0));
  if (!shape.splitKeys) {
    if (values.result)
      storeResult(groups);
    if (!values.lse)
      return;
  }
  for (auto [number, group] : llvm::enumerate(groups))
    for (auto [half, row] : llvm::enumerate(rowsOf(number))) {
      if (!shape.splitKeys) {
        kb.ifThen(arith::AndIOp::create(kb.b, kb.loc, row.exists, isFirst),
                  [&] { storeLse(b, row.h, row.n, group.greatest[half], group.sums[half]); });
        continue;
      }
      kb.ifThen(row.exists, [&] {
        Value to = partial(partials, *split, b, row.h, row.n, chunk);
        for (int64_t column = 0; column < layout.result.columns; column += 8)
          storePair(ValueRange(group.outputs).slice(column / 2 + 2 * half, 2), to, kb.idx(1),
                    kb.add(kb.mul(inGroup, 2), column), plan.valueDim % 2 == 0);
        kb.ifThen(isFirst, [&] {
          kb.store(group.greatest[half], to, kb.idx(plan.valueDim));
          kb.store(group.sums[half], to, kb.idx(plan.valueDim + 1));
        });
      });
    }
}

void AttentionBlock::build(Value partials) {
  locate();
  limitKeys();
  Value queriesAt = kb.sharedAt(memory, kb.idx(layout.queryOffset()));
  loadPanels(rowsOf(values.query, *plan.query, plan.headDim), layout.query, layout.keyPanels,
             queriesAt);
  if (!layout.queriesStay)
    kb.commitCopies();
  kb.ifThen(kb.lt(kb.idx(0), tiles), [&] { loadTile(kb.idx(0)); });
  kb.commitCopies();
  SmallVector<SmallVector<AttentionFragments::Operand>> q(shape.groups);
  if (!layout.queriesStay) {
    kb.waitForCopies(1);
    meet();
    for (auto [number, of] : llvm::enumerate(q))
      for (int64_t step = 0; step < layout.query.columns / fragments.depth(); ++step)
        of.push_back(fragments.queries(queriesAt, layout.query,
                                       kb.add(warpRow, 16 * int64_t(number)), step));
  }
  Values carried = kb.forLoop(kb.idx(0), tiles, 1, flat(start()), [&](Value tile, ValueRange in) {
    return flat(visit(tile, unflat(in), q));
  });
  Groups groups = unflat(carried);
  kb.waitForCopies(0);
  finish(groups, partials);
}

int64_t AttentionShape::sharedBytes(const AttentionPlan &plan) const {
  AttentionLayout layout(plan, *this);
  return std::max({2 * layout.stage(),
                   layout.queryOffset() + layout.query.bytes() * layout.keyPanels,
                   layout.result.bytes()});
}

Built AttentionBlock::end(bool checked) {
  Value error = code.lanes.error();
  if (code.failed)
    return Built::No;
  if (isConstantIntValue(error, 0))
    return Built::Yes;
  Value bad = kb.cmp(arith::CmpIPredicate::ne, error, kb.constI(0, kb.b.getI32Type()));
  if (checked)
    kb.ifThen(bad, [&] { kb.store(error, kb.failure()); });
  return Built::MayFail;
}

Built buildAttention(DeviceBuilder &kb, Value memory, const KernelArgs &args, AttentionPlan &plan,
                     const AttentionShape &shape, int64_t partials, bool checked) {
  AttentionBlock block(kb, memory, plan, args, shape);
  block.build(shape.splitKeys ? kb.buffer(args, partials) : Value());
  return block.end(checked);
}

} // namespace attune::codegen
