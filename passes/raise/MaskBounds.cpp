#include "attune/passes/raise/MaskBounds.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace attune {

MaskBounds::MaskBounds(const llvm::BitVector &flags, int64_t rows, int64_t columns)
    : rows(rows), columns(columns), set(flags.count()) {
  auto extend = [](Interval &interval, int64_t x) {
    interval.low = std::min(interval.low.value_or(x), x);
    interval.high = std::max(interval.high.value_or(x), x);
  };
  struct Run {
    int64_t row, first, last;
  };
  SmallVector<Run> runs;
  for (int64_t r = 0; r < rows; ++r) {
    int first = flags.find_first_in(r * columns, (r + 1) * columns);
    everyRow &= first >= 0;
    if (first < 0)
      continue;
    int last = flags.find_last_in(r * columns, (r + 1) * columns);
    Run run{r, first - r * columns, last - r * columns};
    runs.push_back(run);
    extend(row, r);
    for (int64_t c : {run.first, run.last}) {
      extend(column, c);
      extend(distance, c - r);
    }
  }
  if (runs.empty()) {
    row = {0, -1};
    return;
  }
  int64_t reach = std::max(-*distance.low, *distance.high);
  for (int64_t size = reach + 1; size < std::max(rows, columns) && !block; ++size)
    if (llvm::all_of(runs, [&](const Run &run) {
          return run.row / size == run.first / size && run.row / size == run.last / size;
        }))
      block = size;
  dropImplied();
}

/// Elements within the bounds, which are one run in every row.
int64_t MaskBounds::measure() const {
  int64_t sum = 0;
  for (int64_t r = std::max<int64_t>(0, row.low.value_or(0)),
               end = std::min(rows, row.high.value_or(rows) + 1);
       r < end; ++r) {
    int64_t low = std::max(column.low.value_or(0), r + distance.low.value_or(-r));
    int64_t high = std::min(column.high.value_or(columns - 1),
                            distance.high ? r + *distance.high : columns - 1);
    if (block) {
      low = std::max(low, r / block * block);
      high = std::min(high, (r / block + 1) * block - 1);
    }
    sum += std::max<int64_t>(0, std::min(high, columns - 1) - std::max<int64_t>(low, 0) + 1);
  }
  return sum;
}

/// Bounds without which the others allow the same are left out. The first in line are those of the
/// distance that a block or the ends of the table imply too.
void MaskBounds::dropImplied() {
  area = measure();
  auto drop = [&](std::optional<int64_t> &bound) {
    std::optional<int64_t> kept = std::exchange(bound, std::nullopt);
    if (measure() != area)
      bound = kept;
  };
  for (Interval *interval : {&distance, &column, &row}) {
    drop(interval->low);
    drop(interval->high);
    int64_t kept = std::exchange(block, 0);
    if (measure() != area)
      block = kept;
  }
}

Value MaskBounds::emit(OpBuilder &builder, Location loc, Value rowAt, Value columnAt) const {
  using Predicate = arith::CmpIPredicate;
  auto number = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(builder, loc, value);
  };
  auto flag = [&](bool value) -> Value {
    return arith::ConstantOp::create(builder, loc, builder.getBoolAttr(value));
  };
  Value allowed;
  auto require = [&](Predicate predicate, Value x, Value y) {
    Value holds = arith::CmpIOp::create(builder, loc, predicate, x, y);
    allowed = allowed ? arith::AndIOp::create(builder, loc, allowed, holds).getResult() : holds;
  };
  auto within = [&](const Interval &interval, Value x, Value from) {
    auto bound = [&](int64_t value) -> Value {
      if (!from)
        return number(value);
      return value ? arith::AddIOp::create(builder, loc, from, number(value)).getResult() : from;
    };
    if (interval.high)
      require(Predicate::sle, x, bound(*interval.high));
    if (interval.low)
      require(Predicate::sge, x, bound(*interval.low));
  };
  if (set == 0)
    return flag(false);
  within(distance, columnAt, rowAt);
  within(column, columnAt, {});
  within(row, rowAt, {});
  if (block) {
    Value size = number(block);
    require(Predicate::eq, arith::DivUIOp::create(builder, loc, rowAt, size),
            arith::DivUIOp::create(builder, loc, columnAt, size));
  }
  return allowed ? allowed : flag(true);
}

} // namespace attune
