#include "attune/codegen/cpu/AttentionVector.h"
#include "attune/codegen/gpu/AttentionBlock.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

static constexpr double kInf = std::numeric_limits<double>::infinity();

SmallVector<Values> AttentionBlock::scores(Value keysAt,
                                           ArrayRef<SmallVector<AttentionFragments::Operand>> q) {
  if (shape.warpGroups)
    return {scoresOfGroup(keysAt)};
  SmallVector<Values> sums(shape.groups, Values(shape.keys / 2, kb.constF(0)));
  for (int64_t step = 0; step < layout.key.columns / fragments.depth(); ++step) {
    SmallVector<AttentionFragments::Operand> rows;
    for (int64_t number = 0; number < shape.groups; ++number)
      rows.push_back(layout.queriesStay
                         ? fragments.queries(kb.sharedAt(memory, kb.idx(layout.queryOffset())),
                                             layout.query, kb.add(warpRow, 16 * number), step)
                         : q[number][step]);
    for (int64_t key = 0; key < shape.keys; key += 16) {
      auto columns = fragments.keys(keysAt, layout.key, key, step);
      for (auto [row, of] : llvm::zip(rows, sums))
        for (int64_t half = 0; half < 2; ++half) {
          int64_t at = key / 2 + 4 * half;
          llvm::copy(fragments.multiply(row, columns[half], ValueRange(of).slice(at, 4)),
                     of.begin() + at);
        }
    }
  }
  return sums;
}

/// A score in front of the mask.
Value AttentionBlock::modified(Value x, const AttentionPoint &point) {
  if (values.scale && !foldsScale())
    x = multiply(x, values.scale);
  if (const AttentionTensor &given = values.scores)
    x = add(x, toF32(kb, kb.load(given.element,
                                 context.at(given, point.b, point.h, point.n, point.m))));
  return plan.score ? code.evaluate(*plan.score, point, x).scalar : x;
}

void AttentionBlock::modify(SmallVector<Values> &scores, Value start) {
  Value lastKey = kb.sub(values.keys, kb.idx(1));
  /// Calls `body` for every score; points are those of elements that exist.
  auto forAll = [&](llvm::function_ref<Value(Value x, const AttentionPoint &, Value key)> body) {
    for (auto [number, of] : llvm::enumerate(scores)) {
      SmallVector<Row, 2> rows = rowsOf(number);
      for (auto [at, x] : llvm::enumerate(of)) {
        const Row &row = rows[at / 2 % 2];
        Value key = kb.add(kb.add(start, kb.mul(inGroup, 2)), 8 * (at / 4) + at % 2);
        Value exists = kb.min(key, lastKey);
        Value position = offset ? kb.add(row.n, offset) : row.n;
        x = body(x, {b, row.h, position, exists, row.n, exists, {}, 1, false}, key);
      }
    }
  };
  if (plan.score || values.scores || (values.scale && !foldsScale()))
    forAll([&](Value x, const AttentionPoint &point, Value) { return modified(x, point); });

  // Tiles that every row may see stay as they are.
  Value below = kb.cmp(arith::CmpIPredicate::sle, kb.add(start, shape.keys), fullHi);
  Value above = kb.cmp(arith::CmpIPredicate::sge, start, fullLo);
  Values all;
  for (const Values &of : scores)
    llvm::append_range(all, of);
  Values masked = kb.ifElse(
      arith::AndIOp::create(kb.b, kb.loc, below, above), TypeRange(ValueRange(all)),
      [&] { return all; },
      [&] {
        forAll([&](Value x, const AttentionPoint &point, Value key) {
          Value allowed = kb.lt(key, hi);
          if (spec.mask)
            allowed = arith::AndIOp::create(kb.b, kb.loc, allowed, spec.mask(kb, point));
          return kb.select(allowed, x, kb.constF(-kInf));
        });
        Values all;
        for (const Values &of : scores)
          llvm::append_range(all, of);
        return all;
      });
  for (auto [number, of] : llvm::enumerate(scores))
    of.assign(masked.begin() + number * of.size(), masked.begin() + (number + 1) * of.size());
}

/// Scores become weights; what was carried is scaled to the new greatest score.
void AttentionBlock::weigh(Group &group, Values &scores) {
  for (int64_t half = 0; half < 2; ++half) {
    auto isRow = [&](size_t at) { return int64_t(at / 2 % 2) == half; };
    Value greatest = group.greatest[half];
    for (auto [at, x] : llvm::enumerate(scores))
      if (isRow(at))
        greatest = greater(x, greatest);
    for (int64_t lane : {1, 2})
      greatest = greater(greatest, kb.shuffleXor(greatest, lane));
    Value shift = shiftOf(greatest), factor = weight(group.greatest[half], shift), sum;
    for (auto [at, x] : llvm::enumerate(scores))
      if (isRow(at)) {
        x = weight(x, shift);
        sum = sum ? add(sum, x) : x;
      }
    group.greatest[half] = greatest;
    group.sums[half] = add(multiply(group.sums[half], factor), sum);
    for (auto [at, x] : llvm::enumerate(group.outputs))
      if (isRow(at))
        x = multiply(x, factor);
  }
}

void AttentionBlock::accumulate(Groups &groups, ArrayRef<Values> weights, Value valuesAt) {
  if (shape.warpGroups)
    return accumulateByGroup(groups.front().outputs, weights.front(), valuesAt);
  for (int64_t step = 0; step < shape.keys / fragments.depth(); ++step) {
    SmallVector<AttentionFragments::Operand> rows;
    for (const Values &of : weights)
      rows.push_back(fragments.weights(of, step));
    for (int64_t column = 0; column < layout.result.columns; column += 16) {
      auto columns = fragments.values(valuesAt, layout.value, column, step);
      for (auto [row, group] : llvm::zip(rows, groups))
        for (int64_t half = 0; half < 2; ++half) {
          int64_t at = column / 2 + 4 * half;
          llvm::copy(fragments.multiply(row, columns[half], ValueRange(group.outputs).slice(at, 4)),
                     group.outputs.begin() + at);
        }
    }
  }
}

AttentionBlock::Groups AttentionBlock::visit(Value tile, Groups groups,
                                             ArrayRef<SmallVector<AttentionFragments::Operand>> q) {
  kb.waitForCopies(0);
  meet();
  // Into the stage that all warps have just left.
  Value next = kb.add(tile, 1);
  kb.ifThen(kb.lt(next, tiles), [&] {
    loadTile(next);
    kb.commitCopies();
  });
  Value at = kb.sharedAt(memory, kb.mul(kb.rem(tile, kb.idx(2)), layout.stage()));
  SmallVector<Values> weights = scores(at, q);
  modify(weights, kb.add(lo, kb.mul(tile, shape.keys)));
  for (auto [group, of] : llvm::zip(groups, weights))
    weigh(group, of);
  accumulate(groups, weights, kb.sharedAt(at, kb.idx(layout.keyBytes())));
  return groups;
}

} // namespace attune::codegen
