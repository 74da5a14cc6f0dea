// What the terms of a chunked sum weigh each key with, and the law that these weights follow.
#include "attune/passes/raise/LinearChunks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include <cmath>

using namespace mlir;

namespace attune {

std::optional<Powers> ChunkJoin::numberAt(Value scalar, ChunkOrder order, int64_t rowAt,
                                          int64_t columnAt) {
  // Most numbers depend on one of the places, or on none.
  if (!depends(scalar, row, rowChunk))
    rowAt = 0;
  if (!depends(scalar, column, columnChunk))
    columnAt = 0;
  auto [entry, fresh] =
      known[unsigned(order)].try_emplace({scalar, {rowAt, columnAt}}, std::nullopt);
  if (!fresh)
    return entry->second;
  if (isa<FloatType>(scalar.getType())) {
    entry->second = numbers.value(scalar, order, rowAt, columnAt);
  } else if (std::optional<bool> truth = numbers.holds(scalar, order, rowAt, columnAt)) {
    entry->second = Powers(*truth);
  }
  return entry->second;
}

/// What the terms add up to for the places of query and key, in this order of their chunks.
std::optional<Powers> ChunkJoin::weight(const Terms &terms, ChunkOrder order, int64_t rowAt,
                                        int64_t columnAt) {
  Powers sum;
  for (const Term &term : terms) {
    if (!term.chunk && order != ChunkOrder::Same)
      continue;
    Powers product(term.product.factor);
    bool isKnown = true, counts = true;
    for (Value condition : term.product.conditions) {
      std::optional<Powers> truth = numberAt(condition, order, rowAt, columnAt);
      isKnown &= truth.has_value();
      counts &= !truth || truth->constant() == 1;
    }
    if (!counts)
      continue;
    if (!isKnown)
      return std::nullopt;
    for (Value number : term.numbers) {
      std::optional<Powers> value = numberAt(number, order, rowAt, columnAt);
      if (!value)
        return std::nullopt;
      product = product * *value;
    }
    for (Powers::Term part : product.terms)
      sum.add(part);
  }
  return sum;
}

/// The terms have the same data, and their weights follow a law of i - j: constant, or that of
/// momentum, g (1 - mu^(i - j + 1)).
bool ChunkJoin::findLaw(const Terms &terms) {
  Product result = terms.front().product;
  for (const Term &term : ArrayRef(terms).drop_front()) {
    SmallVector<Value> rest(result.factors);
    if (term.feature != terms.front().feature || term.product.factors.size() != rest.size() ||
        !removeAll(rest, term.product.factors))
      return false;
    llvm::append_range(result.expanded, term.product.expanded);
    llvm::append_range(result.loads, term.product.loads);
  }
  Type type = result.factors.empty() ? Type() : result.factors.front().getType();
  auto refuse = [&](const char *why) {
    reason = why;
    return false;
  };
  std::optional<Powers> far = weight(terms, ChunkOrder::Before, 0, 0);
  if (!far || !type)
    return refuse("the weights of earlier chunks are not known");
  double gain = 0, fade = 0, ratio = 1;
  for (Powers::Term term : far->terms) {
    if (term.ratio == 1)
      gain = term.scale;
    else if (fade == 0)
      std::tie(fade, ratio) = std::pair(term.scale, term.ratio);
    else
      return refuse("the weights fade at different rates");
  }
  double mu = fade == 0 ? 0 : std::pow(ratio, 1.0 / length);
  if (gain == 0 || (fade != 0 && !(mu > 0 && mu < 1)))
    return refuse("the weights of earlier chunks fade to nothing");
  double limit = std::abs(gain) * rounding(type);
  auto isClose = [&](const std::optional<Powers> &found, double constant, double faded) {
    if (!found)
      return false;
    for (Powers::Term term : found->terms) {
      if (term.ratio == 1)
        constant -= term.scale;
      else if (std::abs(term.ratio - ratio) <= 1e-12)
        faded -= term.scale;
      else if (term.scale != 0)
        return false;
    }
    return std::abs(constant) <= limit && std::abs(faded) <= limit;
  };
  for (int64_t rowAt = 0; rowAt < length; ++rowAt)
    for (int64_t columnAt = 0; columnAt < length; ++columnAt) {
      int64_t distance = rowAt - columnAt;
      auto faded = [&](int64_t steps) { return fade == 0 ? 0 : -gain * std::pow(mu, steps + 1); };
      double near = distance < 0 ? 0 : gain + faded(distance);
      if (!isClose(weight(terms, ChunkOrder::Same, rowAt, columnAt), near, 0))
        return refuse("the weights in a chunk do not continue those of earlier chunks");
      if (!isClose(weight(terms, ChunkOrder::Before, rowAt, columnAt), gain,
                   faded(distance + length)))
        return refuse("the weights of earlier chunks depend on more than the distance");
      if (!isClose(weight(terms, ChunkOrder::After, rowAt, columnAt), 0, 0))
        return refuse("later chunks have weights");
    }
  if (fade != 0)
    result.factors.push_back(momentumFactor(elements, type, mu, row, column));
  result.factor = gain;
  result.sums = {column, terms.front().feature};
  result.conditions = {elements.make<arith::CmpIOp>(arith::CmpIPredicate::sle, column, row)};
  joined = result;
  return true;
}

} // namespace attune
