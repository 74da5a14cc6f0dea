#include "attune/codegen/cpu/Fourier.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {

ComplexLanes Fourier::load(Value buffer, Value element) {
  Value at = kb.mul(element, 2 * width);
  return {kb.load(kb.vec(width), buffer, at), kb.load(kb.vec(width), buffer, kb.add(at, width))};
}

void Fourier::store(ComplexLanes value, Value buffer, Value element) {
  Value at = kb.mul(element, 2 * width);
  kb.store(value.re, buffer, at);
  kb.store(value.im, buffer, kb.add(at, width));
}

ComplexLanes Fourier::twiddle(Value turn) {
  Value at = kb.mul(turn, 2);
  return {kb.splat(kb.load(kb.f32(), table, at), width),
          kb.splat(kb.load(kb.f32(), table, kb.add(at, 1)), width)};
}

ComplexLanes Fourier::add(ComplexLanes a, ComplexLanes b) {
  return {arith::AddFOp::create(kb.b, kb.loc, a.re, b.re),
          arith::AddFOp::create(kb.b, kb.loc, a.im, b.im)};
}

ComplexLanes Fourier::sub(ComplexLanes a, ComplexLanes b) {
  return {arith::SubFOp::create(kb.b, kb.loc, a.re, b.re),
          arith::SubFOp::create(kb.b, kb.loc, a.im, b.im)};
}

ComplexLanes Fourier::mul(ComplexLanes a, ComplexLanes b) {
  auto times = [&](Value x, Value y) -> Value { return arith::MulFOp::create(kb.b, kb.loc, x, y); };
  Value cross = times(a.im, b.im), mixed = times(a.im, b.re);
  Value minus = arith::NegFOp::create(kb.b, kb.loc, cross);
  return {kb.fma(a.re, b.re, minus), kb.fma(a.re, b.im, mixed)};
}

ComplexLanes Fourier::scale(ComplexLanes a, double factor) {
  Value by = kb.constF(factor, kb.vec(width));
  return {arith::MulFOp::create(kb.b, kb.loc, a.re, by),
          arith::MulFOp::create(kb.b, kb.loc, a.im, by)};
}

ComplexLanes Fourier::turn(ComplexLanes a) {
  return {a.im, arith::NegFOp::create(kb.b, kb.loc, a.re)};
}

ComplexLanes Fourier::conj(ComplexLanes a) {
  return {a.re, arith::NegFOp::create(kb.b, kb.loc, a.im)};
}

/// The transform of 2, 3, 4 or 5 elements.
SmallVector<ComplexLanes> Fourier::butterfly(ArrayRef<ComplexLanes> a) {
  switch (a.size()) {
  case 2:
    return {add(a[0], a[1]), sub(a[0], a[1])};
  case 3: {
    ComplexLanes sum = add(a[1], a[2]), side = turn(scale(sub(a[1], a[2]), std::sqrt(0.75)));
    ComplexLanes middle = sub(a[0], scale(sum, 0.5));
    return {add(a[0], sum), add(middle, side), sub(middle, side)};
  }
  case 4: {
    ComplexLanes even = add(a[0], a[2]), odd = sub(a[0], a[2]);
    ComplexLanes sum = add(a[1], a[3]), side = turn(sub(a[1], a[3]));
    return {add(even, sum), add(odd, side), sub(even, sum), sub(odd, side)};
  }
  default: {
    double c1 = std::cos(2 * M_PI / 5), c2 = std::cos(4 * M_PI / 5);
    double s1 = std::sin(2 * M_PI / 5), s2 = std::sin(4 * M_PI / 5);
    ComplexLanes p = add(a[1], a[4]), q = add(a[2], a[3]);
    ComplexLanes u = sub(a[1], a[4]), v = sub(a[2], a[3]);
    ComplexLanes m1 = add(a[0], add(scale(p, c1), scale(q, c2)));
    ComplexLanes m2 = add(a[0], add(scale(p, c2), scale(q, c1)));
    ComplexLanes n1 = turn(add(scale(u, s1), scale(v, s2)));
    ComplexLanes n2 = turn(sub(scale(u, s2), scale(v, s1)));
    return {add(a[0], add(p, q)), add(m1, n1), add(m2, n2), sub(m2, n2), sub(m1, n1)};
  }
  }
}

void Fourier::pass(int64_t radix, Value n, Value stride, Value from, Value to) {
  Value part = kb.div(n, radix), hop = kb.mul(part, stride), turns = kb.mul(stride, step);
  kb.forLoop(kb.idx(0), part, 1, [&](Value p) {
    SmallVector<ComplexLanes> factors;
    for (int64_t j = 1; j < radix; ++j)
      factors.push_back(twiddle(kb.mul(kb.mul(p, turns), j)));
    Value source = kb.mul(p, stride), target = kb.mul(source, radix);
    kb.forLoop(kb.idx(0), stride, 1, [&](Value q) {
      SmallVector<ComplexLanes> a;
      for (int64_t j = 0; j < radix; ++j)
        a.push_back(load(from, kb.add(kb.add(source, q), kb.mul(hop, kb.idx(j)))));
      for (auto [j, value] : llvm::enumerate(butterfly(a))) {
        ComplexLanes result = j == 0 ? value : mul(value, factors[j - 1]);
        store(result, to, kb.add(kb.add(target, q), kb.mul(stride, kb.idx(j))));
      }
    });
  });
}

void Fourier::primePass(Value radix, Value n, Value stride, Value from, Value to) {
  Value part = kb.div(n, radix), hop = kb.mul(part, stride), zero = kb.idx(0);
  Value turns = kb.mul(stride, step), root = kb.mul(kb.div(length, radix), step);
  Value nothing = kb.constF(0, kb.vec(width));
  kb.forLoop(zero, part, 1, [&](Value p) {
    kb.forLoop(zero, radix, 1, [&](Value j) {
      ComplexLanes factor = twiddle(kb.mul(kb.mul(p, j), turns));
      Value source = kb.mul(p, stride);
      Value target = kb.add(kb.mul(source, radix), kb.mul(j, stride));
      kb.forLoop(zero, stride, 1, [&](Value q) {
        Values sum =
            kb.forLoop(zero, radix, 1, {nothing, nothing, zero}, [&](Value i, ValueRange old) {
              ComplexLanes a = load(from, kb.add(kb.add(source, q), kb.mul(hop, i)));
              ComplexLanes next = add({old[0], old[1]}, mul(a, twiddle(kb.mul(old[2], root))));
              Value angle = kb.add(old[2], j);
              angle = kb.select(kb.lt(angle, radix), angle, kb.sub(angle, radix));
              return Values{next.re, next.im, angle};
            });
        store(mul({sum[0], sum[1]}, factor), to, kb.add(target, q));
      });
    });
  });
}

Value Fourier::run(Value length, std::optional<int64_t> known, Value source, Value other,
                   Value step) {
  this->length = length;
  this->step = step;
  if (!known)
    return runDynamic(length, source, other);
  int64_t stride = 1;
  for (int64_t rest = *known; rest > 1;) {
    int64_t radix = rest;
    for (int64_t candidate : {4, 2, 3, 5})
      if (rest % candidate == 0) {
        radix = candidate;
        break;
      }
    for (int64_t prime = 7; radix > 5 && prime * prime <= radix; prime += 2)
      if (rest % prime == 0) {
        radix = prime;
        break;
      }
    if (radix <= 5)
      pass(radix, kb.idx(rest), kb.idx(stride), source, other);
    else
      primePass(kb.idx(radix), kb.idx(rest), kb.idx(stride), source, other);
    std::swap(source, other);
    rest /= radix;
    stride *= radix;
  }
  return source;
}

/// The same, pass by pass at run time.
Value Fourier::runDynamic(Value length, Value source, Value other) {
  SmallVector<Type> types{kb.index(), kb.index(), kb.ptr(), kb.ptr()};
  SmallVector<Location> locs(4, kb.loc);
  auto loop =
      scf::WhileOp::create(kb.b, kb.loc, types, ValueRange{length, kb.idx(1), source, other});
  OpBuilder::InsertionGuard guard(kb.b);
  Block *before = kb.b.createBlock(&loop.getBefore(), {}, types, locs);
  scf::ConditionOp::create(kb.b, kb.loc, kb.lt(kb.idx(1), before->getArgument(0)),
                           before->getArguments());
  Block *after = kb.b.createBlock(&loop.getAfter(), {}, types, locs);
  Value rest = after->getArgument(0), stride = after->getArgument(1);
  Value from = after->getArgument(2), to = after->getArgument(3);
  auto prime = [&] {
    // The smallest factor; 2, 3 and 5 are none.
    auto search = scf::WhileOp::create(kb.b, kb.loc, TypeRange(kb.index()), ValueRange(kb.idx(7)));
    OpBuilder::InsertionGuard guard(kb.b);
    Block *test = kb.b.createBlock(&search.getBefore(), {}, {kb.index()}, {kb.loc});
    Value candidate = test->getArgument(0);
    Value divides = kb.eq(kb.rem(rest, candidate), kb.idx(0));
    Value small = kb.cmp(arith::CmpIPredicate::sle, kb.mul(candidate, candidate), rest);
    Value go = kb.select(divides, kb.constI(0, kb.b.getI1Type()), small);
    scf::ConditionOp::create(kb.b, kb.loc, go, candidate);
    Block *next = kb.b.createBlock(&search.getAfter(), {}, {kb.index()}, {kb.loc});
    scf::YieldOp::create(kb.b, kb.loc, ValueRange(kb.add(next->getArgument(0), 2)));
    kb.b.setInsertionPointAfter(search);
    Value found = search.getResult(0);
    Value radix = kb.select(kb.eq(kb.rem(rest, found), kb.idx(0)), found, rest);
    primePass(radix, rest, stride, from, to);
    return Values{radix};
  };
  std::function<Values(ArrayRef<int64_t>)> choose = [&](ArrayRef<int64_t> radices) {
    if (radices.empty())
      return prime();
    int64_t radix = radices.front();
    return kb.ifElse(
        kb.eq(kb.rem(rest, kb.idx(radix)), kb.idx(0)), kb.index(),
        [&] {
          pass(radix, rest, stride, from, to);
          return Values{kb.idx(radix)};
        },
        [&] { return choose(radices.drop_front()); });
  };
  Value radix = choose({4, 2, 3, 5})[0];
  scf::YieldOp::create(kb.b, kb.loc,
                       ValueRange{kb.div(rest, radix), kb.mul(stride, radix), to, from});
  return loop.getResult(2);
}

} // namespace attune::codegen
