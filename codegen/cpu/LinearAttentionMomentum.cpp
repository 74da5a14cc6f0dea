#include "attune/codegen/cpu/LinearAttentionForms.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {

/// Offsets in floats of the worker's scratch.
struct MomentumForm::Layout {
  int64_t state, impulse;                         ///< S and P [feature][column]
  int64_t norm, impulseNorm, key, lastKey, query; ///< [feature]
  int64_t value, lastValue;                       ///< [column]
  int64_t total;
};

MomentumForm::Layout MomentumForm::layoutOf(const LinearAttentionSpec &spec,
                                            const CpuTarget &target) {
  int64_t lanes = target.lanes(), columns = (spec.valueDim + lanes - 1) / lanes * lanes;
  Layout at;
  int64_t next = 0;
  auto take = [&](int64_t &slot, int64_t floats) {
    slot = next;
    next += (floats + lanes + 15) / 16 * 16;
  };
  for (int64_t *slot : {&at.state, &at.impulse})
    take(*slot, spec.features() * columns);
  for (int64_t *slot : {&at.norm, &at.impulseNorm, &at.key, &at.lastKey, &at.query})
    take(*slot, spec.features());
  for (int64_t *slot : {&at.value, &at.lastValue})
    take(*slot, columns);
  at.total = next;
  return at;
}

int64_t MomentumForm::scratchFloats(const LinearAttentionSpec &spec, const CpuTarget &target) {
  return layoutOf(spec, target).total;
}

MomentumForm::MomentumForm(const LinearContext &context, Value scratch)
    : ctx(context), kb(context.kb), spec(context.spec), values(context.values), lanes(kb.lanes()),
      columns((spec.valueDim + lanes - 1) / lanes * lanes), features(spec.features()),
      scratch(scratch) {}

Value MomentumForm::place(int64_t offset) const {
  return kb.gep(scratch, kb.idx(offset), kb.f32());
}

Value MomentumForm::mul(Value x, Value y) const {
  return arith::MulFOp::create(kb.b, kb.loc, x, y);
}

void MomentumForm::copy(int64_t from, int64_t to, int64_t floats) {
  for (int64_t x = 0; x < floats; x += lanes)
    kb.store(kb.load(kb.vec(), place(from), kb.idx(x)), place(to), kb.idx(x));
}

//===- One position
//-------------------------------------------------------------------------------===//

/// P = mu P - step * key * value; S = S - P. Gives |P|^2.
Value MomentumForm::update(Value mu, Value step) {
  Layout at = layoutOf(spec, kb.target);
  Value by = kb.splat(mu), minus = kb.splat(arith::NegFOp::create(kb.b, kb.loc, step));
  Values sum =
      kb.forLoop(kb.idx(0), kb.idx(features), 1, {kb.constF(0, kb.vec())},
                 [&](Value f, ValueRange in) -> Values {
                   Value k = mul(kb.splat(kb.load(kb.f32(), place(at.key), f)), minus), sum = in[0];
                   for (int64_t e = 0; e < columns; e += lanes) {
                     Value offset = kb.add(kb.mul(f, columns), e);
                     Value x = kb.load(kb.vec(), place(at.value), kb.idx(e));
                     Value p = kb.fma(k, x, mul(kb.load(kb.vec(), place(at.impulse), offset), by));
                     kb.store(p, place(at.impulse), offset);
                     Value s = kb.load(kb.vec(), place(at.state), offset);
                     kb.store(arith::SubFOp::create(kb.b, kb.loc, s, p), place(at.state), offset);
                     sum = kb.fma(p, p, sum);
                   }
                   return {sum};
                 });
  return ctx.sumOf(sum.front());
}

/// The momentum of a position after the first; `impulse` is |P|^2. The change of the product is
/// taken as (k - l) x + l (x - y), which is 0 where nothing changes, however products are rounded.
Value MomentumForm::adaptiveMu(Value impulse) {
  Layout at = layoutOf(spec, kb.target);
  Value sum = kb.forLoop(kb.idx(0), kb.idx(features), 1, {kb.constF(0, kb.vec())},
                         [&](Value f, ValueRange in) -> Values {
                           Value k = kb.load(kb.f32(), place(at.key), f);
                           Value l = kb.load(kb.f32(), place(at.lastKey), f);
                           Value change = kb.splat(arith::SubFOp::create(kb.b, kb.loc, k, l));
                           Value last = kb.splat(l), sum = in[0];
                           for (int64_t e = 0; e < columns; e += lanes) {
                             Value x = kb.load(kb.vec(), place(at.value), kb.idx(e));
                             Value y = kb.load(kb.vec(), place(at.lastValue), kb.idx(e));
                             Value step = arith::SubFOp::create(kb.b, kb.loc, x, y);
                             Value d = kb.fma(change, x, mul(last, step));
                             sum = kb.fma(d, d, sum);
                           }
                           return {sum};
                         })
                  .front();
  auto root = [&](Value x) -> Value { return math::SqrtOp::create(kb.b, kb.loc, x); };
  Value ratio =
      arith::DivFOp::create(kb.b, kb.loc, mul(values.step, root(ctx.sumOf(sum))), root(impulse));
  Value rest = arith::SubFOp::create(kb.b, kb.loc, kb.constF(1), root(ratio));
  // NaN stays.
  Value mu = mul(rest, rest), most = kb.constF(0.9999);
  return kb.select(arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OGT, mu, most), most,
                   mu);
}

/// Z as S, or plain sums of the keys.
void MomentumForm::updateNorm(Value mu, Value step) {
  Layout at = layoutOf(spec, kb.target);
  ctx.forVectors(features, [&](int64_t first, int64_t) {
    Value offset = kb.idx(first), z = kb.load(kb.vec(), place(at.norm), offset);
    Value k = kb.load(kb.vec(), place(at.key), offset);
    if (spec.den == Denominator::Weighted) {
      Value p = mul(kb.load(kb.vec(), place(at.impulseNorm), offset), kb.splat(mu));
      p = arith::SubFOp::create(kb.b, kb.loc, p, mul(k, kb.splat(step)));
      kb.store(p, place(at.impulseNorm), offset);
      k = arith::NegFOp::create(kb.b, kb.loc, p);
    }
    kb.store(arith::AddFOp::create(kb.b, kb.loc, z, k), place(at.norm), offset);
  });
}

void MomentumForm::writeRow(Value b, Value h, Value t) {
  Layout at = layoutOf(spec, kb.target);
  const AttentionTensor &query = values.query, &result = values.result;
  ctx.features(query, ctx.at(query, {b, h, t}), spec.phiQ, values.queryPos, t, {}, place(at.query));
  Value factor, sum;
  if (spec.norm == Weighting::Sum) {
    Value dot = kb.constF(0, kb.vec());
    ctx.forVectors(features, [&](int64_t first, int64_t count) {
      auto part = [&](int64_t slot) {
        return kb.loadPartial(kb.vec(), place(slot), kb.idx(first), kb.idx(count));
      };
      dot = kb.fma(part(at.query), part(at.norm), dot);
    });
    sum = ctx.sumOf(dot);
  }
  if (spec.norm != Weighting::None)
    factor = kb.splat(ctx.factor(sum, t));
  Value row = ctx.at(result, {b, h, t});
  ctx.forVectors(spec.valueDim, [&](int64_t first, int64_t count) {
    Value x = kb.forLoop(kb.idx(0), kb.idx(features), 1, {kb.constF(0, kb.vec())},
                         [&](Value f, ValueRange in) -> Values {
                           Value q = kb.splat(kb.load(kb.f32(), place(at.query), f));
                           Value offset = kb.add(kb.mul(f, columns), first);
                           return {kb.fma(q, kb.load(kb.vec(), place(at.state), offset), in[0])};
                         })
                  .front();
    ctx.storeRow(factor ? mul(x, factor) : x, result, row, result.strides[3], first, count);
  });
}

//===- A whole sequence
//---------------------------------------------------------------------------===//

void MomentumForm::run(Value b, Value kvHead) {
  Layout at = layoutOf(spec, kb.target);
  bool adaptive = spec.update == Update::AdaptiveMomentum;
  kb.forLoop(kb.idx(0), kb.idx(at.total), lanes,
             [&](Value x) { kb.store(kb.constF(0, kb.vec()), scratch, x); });
  Value group = ctx.group();
  kb.forLoop(kb.idx(0), values.queries, 1, {kb.constF(0)}, [&](Value t, ValueRange in) -> Values {
    Value mask = values.keyMask ? ctx.number(values.keyMask, {b, t}) : Value();
    ctx.features(values.key, ctx.at(values.key, {b, kvHead, t}), spec.phiK, values.keyPos, t, mask,
                 place(at.key));
    Value from = ctx.at(values.value, {b, kvHead, t});
    ctx.forVectors(spec.valueDim, [&](int64_t first, int64_t count) {
      Value x = ctx.loadRow(values.value, from, values.value.strides[3], first, count);
      kb.store(x, place(at.value), kb.idx(first));
    });
    Value mu = values.mu, step = values.step;
    if (adaptive) {
      // The first step takes the whole gradient.
      Value start = kb.eq(t, kb.idx(0));
      mu = kb.ifElse(
                 start, {kb.f32()}, [&]() -> Values { return {kb.constF(0)}; },
                 [&]() -> Values { return {adaptiveMu(in[0])}; })
               .front();
      step = kb.select(start, kb.constF(1), step);
      copy(at.key, at.lastKey, features);
      copy(at.value, at.lastValue, spec.valueDim);
    }
    Value impulse = update(mu, step);
    if (spec.hasNorm())
      updateNorm(mu, step);
    kb.forLoop(kb.idx(0), group, 1,
               [&](Value g) { writeRow(b, kb.add(kb.mul(kvHead, group), g), t); });
    return {impulse};
  });
}

} // namespace attune::codegen
