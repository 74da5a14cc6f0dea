// Drawing proposals that are legal and new.
#include "attune/search/Strategy.h"

namespace attune::search {

constexpr unsigned kMostRefusals = 1000, kMostRepeats = 50, kWalk = 200;
constexpr double kScannable = 1 << 20;

std::optional<Genes> SearchContext::accept(Rng &rng, llvm::function_ref<Genes(Rng &)> propose) {
  unsigned refusals = 0, repeats = 0;
  while (refusals < kMostRefusals && repeats < kMostRepeats) {
    Genes genes = propose(rng);
    if (seen(genes))
      ++repeats;
    else if (legal(genes))
      return genes;
    else
      ++refusals;
  }
  if (std::optional<Genes> genes = walk(rng))
    return genes;
  return scan(rng);
}

std::optional<Genes> SearchContext::acceptRandom(Rng &rng) {
  return accept(rng, [&](Rng &rng) { return space.sample(rng); });
}

std::optional<Genes> SearchContext::walk(Rng &rng) {
  Genes at = legalSeed;
  for (unsigned step = 0; step < kWalk; ++step) {
    if (!seen(at))
      return at;
    Genes next = space.mutateOne(rng, at);
    if (legal(next))
      at = std::move(next);
  }
  return std::nullopt;
}

std::optional<Genes> SearchContext::scan(Rng &rng) {
  if (space.size() > kScannable)
    return std::nullopt;
  auto size = static_cast<uint64_t>(space.size());
  uint64_t start = rng.below(size);
  for (uint64_t i = 0; i < size; ++i) {
    Genes genes = space.canonical(space.fromIndex((start + i) % size));
    if (!seen(genes) && legal(genes))
      return genes;
  }
  return std::nullopt;
}

Proposal Proposal::of(std::optional<Genes> genes, llvm::StringRef origin, int64_t parent) {
  if (!genes)
    return done();
  return {Kind::Try, std::move(*genes), parent, origin.str()};
}

} // namespace attune::search
