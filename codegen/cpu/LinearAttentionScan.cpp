#include "attune/codegen/cpu/LinearAttentionLayout.h"

using namespace mlir;

namespace attune::codegen {

ScanForm::Layout ScanForm::layoutOf(const LinearAttentionSpec &spec, const CpuTarget &target) {
  Layout at;
  int64_t next = 0, lanes = target.lanes(), row = rowFloats(spec, target);
  int64_t columns = groups(spec, target) * kVectors * lanes;
  auto take = [&](int64_t &slot, int64_t floats) {
    slot = next;
    next += (floats + 15) / 16 * 16;
  };
  take(at.state, columns * spec.features());
  take(at.norm, (kSteps + 1) * row);
  for (int64_t *slot : {&at.key, &at.ahead, &at.coefficients, &at.query, &at.gate})
    take(*slot, (kSteps + 1) * row);
  take(at.change, kSteps * columns);
  at.total = next;
  return at;
}

int64_t ScanForm::rowFloats(const LinearAttentionSpec &spec, const CpuTarget &target) {
  return (spec.features() + target.lanes() + 15) / 16 * 16;
}

int64_t ScanForm::groups(const LinearAttentionSpec &spec, const CpuTarget &target) {
  int64_t columns = kVectors * target.lanes();
  return (spec.valueDim + columns - 1) / columns;
}

int64_t ScanForm::scratchFloats(const LinearAttentionSpec &spec, const CpuTarget &target) {
  return layoutOf(spec, target).total;
}

ScanForm::ScanForm(const LinearContext &context, Value scratch)
    : ctx(context), kb(context.kb), spec(context.spec), values(context.values), lanes(kb.lanes()),
      columns(kVectors * lanes), features(spec.features()), row(rowFloats(spec, kb.target)),
      allColumns(groups(spec, kb.target) * columns), scratch(scratch) {}

Value ScanForm::place(int64_t offset) const { return kb.gep(scratch, kb.idx(offset), kb.f32()); }

Value ScanForm::mul(Value x, Value y) const { return arith::MulFOp::create(kb.b, kb.loc, x, y); }

/// Vectors of a row of features in scratch; lanes past its end read as 0.
Value ScanForm::loadFeatures(Value address, int64_t first, int64_t count) const {
  return count == lanes ? kb.load(kb.vec(), address, kb.idx(first))
                        : kb.loadPartial(kb.vec(), address, kb.idx(first), kb.idx(count));
}

Value ScanForm::dot(Value x, Value y) const {
  // Most are short enough to unroll.
  int64_t looped = features > 256 ? features / lanes * lanes : 0;
  Value zero = kb.constF(0, kb.vec());
  Value sum =
      kb.forLoop(kb.idx(0), kb.idx(looped), lanes, {zero}, [&](Value f, ValueRange in) -> Values {
          return {kb.fma(kb.load(kb.vec(), x, f), kb.load(kb.vec(), y, f), in[0])};
        }).front();
  for (int64_t f = looped; f < features; f += lanes) {
    int64_t count = std::min(lanes, features - f);
    sum = kb.fma(loadFeatures(x, f, count), loadFeatures(y, f, count), sum);
  }
  return ctx.sumOf(sum);
}

void ScanForm::product(Value x, Value y, Value to) const {
  ctx.forVectors(features, [&](int64_t first, int64_t count) {
    kb.store(mul(loadFeatures(x, first, count), loadFeatures(y, first, count)), to, kb.idx(first));
  });
}

//===- Columns of a group
//-------------------------------------------------------------------------===//

/// Where the state of a group is read from, and where it is written.
ScanForm::Rows ScanForm::source(const Block &block, Value group) const {
  if (block.direct)
    return memory(block, values.initState, group);
  return {
      kb.gep(place(layoutOf(spec, kb.target).state), kb.mul(group, features * columns), kb.f32()),
      kb.idx(columns)};
}

ScanForm::Rows ScanForm::target(const Block &block, Value group) const {
  return block.direct ? memory(block, values.finalState, group) : source(block, group);
}

ScanForm::Rows ScanForm::memory(const Block &block, const AttentionTensor &state,
                                Value group) const {
  Value head = ctx.at(state, {block.b, block.kvHead, {}, kb.mul(group, columns)});
  return {head, state.strides[2]};
}

/// Whether `run` may leave the state of a single step where it lies.
bool ScanForm::isDirect() const {
  for (const AttentionTensor *state : {&values.initState, &values.finalState})
    if (!*state || !state->element.isF32() || !isStride(state->strides[3], 1))
      return false;
  return spec.valueDim % columns == 0;
}

/// Where step s keeps the change of vector v of a group.
Value ScanForm::changeOf(Value group, int64_t s, int64_t v) const {
  int64_t offset = layoutOf(spec, kb.target).change + s * allColumns + v * lanes;
  return kb.gep(place(offset), kb.mul(group, columns), kb.f32());
}

/// For every step (rows of coefficients), the vectors of sum over f of coefficient * S[f].
Values ScanForm::read(const Block &block, int64_t coefficients, Value group) {
  Rows state = source(block, group);
  int64_t steps = block.steps;
  return kb.forLoop(
      kb.idx(0), kb.idx(features), 1, Values(steps * kVectors, kb.constF(0, kb.vec())),
      [&](Value f, ValueRange in) {
        Values acc(in), s;
        for (int64_t v = 0; v < kVectors; ++v)
          s.push_back(kb.load(kb.vec(), state.first, kb.add(kb.mul(f, state.stride), v * lanes)));
        for (int64_t t = 0; t < steps; ++t) {
          Value c = kb.splat(kb.load(kb.f32(), place(coefficients + t * row), f));
          for (int64_t v = 0; v < kVectors; ++v) {
            Value &x = acc[t * kVectors + v];
            x = kb.fma(c, s[v], x);
          }
        }
        return acc;
      });
}

//===- A whole sequence
//---------------------------------------------------------------------------===//

void ScanForm::run(Value b, Value kvHead, Value groupFirst, Value groupEnd) {
  Layout at = layoutOf(spec, kb.target);
  const AttentionTensor &initNorm = values.initNorm, &finalNorm = values.finalNorm;
  ctx.forVectors(features, [&](int64_t first, int64_t count) {
    Value z = kb.constF(0, kb.vec());
    if (initNorm)
      z = ctx.loadRow(initNorm, ctx.at(initNorm, {b, kvHead}), initNorm.strides[2], first, count);
    kb.store(z, place(at.norm), kb.idx(first));
  });
  Value group = ctx.group();
  auto steps = [&](Value first, int64_t count, bool direct) {
    Block block{b, kvHead, first, groupFirst, groupEnd, count, direct, {}, {}};
    start(block);
    changes(block);
    kb.forLoop(kb.idx(0), group, 1,
               [&](Value g) { results(block, kb.add(kb.mul(kvHead, group), g)); });
    update(block);
  };
  auto inScratch = [&] {
    Block block{b, kvHead, kb.idx(0), groupFirst, groupEnd, 1, false, {}, {}};
    copyState(block, /*toScratch=*/true);
    Value whole = kb.mul(kb.div(values.queries, kSteps), kSteps);
    kb.forLoop(kb.idx(0), whole, kSteps, [&](Value first) { steps(first, kSteps, false); });
    kb.forLoop(whole, values.queries, 1, [&](Value first) { steps(first, 1, false); });
    if (values.finalState)
      copyState(block, /*toScratch=*/false);
    return Values();
  };
  if (isDirect())
    kb.ifElse(
        kb.eq(values.queries, kb.idx(1)), {},
        [&] {
          steps(kb.idx(0), 1, true);
          return Values();
        },
        inScratch);
  else
    inScratch();
  if (finalNorm)
    kb.ifThen(kb.eq(groupFirst, kb.idx(0)), [&] {
      ctx.forVectors(features, [&](int64_t first, int64_t count) {
        ctx.storeRow(kb.load(kb.vec(), place(at.norm), kb.idx(first)), finalNorm,
                     ctx.at(finalNorm, {b, kvHead}), finalNorm.strides[2], first, count);
      });
    });
}

/// From the initial state, or zeros, to scratch; or from there to the final state.
void ScanForm::copyState(const Block &block, bool toScratch) {
  const AttentionTensor &tensor = toScratch ? values.initState : values.finalState;
  kb.forLoop(block.groupFirst, block.groupEnd, 1, [&](Value group) {
    Rows rows = source(block, group);
    Value first = kb.mul(group, columns);
    kb.forLoop(kb.idx(0), kb.idx(features), 1, [&](Value f) {
      Value row = tensor ? ctx.at(tensor, {block.b, block.kvHead, f}) : Value();
      for (int64_t v = 0; v < kVectors; ++v) {
        Value offset = kb.add(kb.mul(f, rows.stride), v * lanes);
        if (!toScratch)
          ctx.storeColumns(kb.load(kb.vec(), rows.first, offset), tensor, row, first, columns, v);
        else
          kb.store(tensor ? ctx.loadColumns(tensor, row, first, columns, v)
                          : kb.constF(0, kb.vec()),
                   rows.first, offset);
      }
    });
  });
}

} // namespace attune::codegen
