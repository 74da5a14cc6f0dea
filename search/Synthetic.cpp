#include "attune/search/Table.h"

#include <cmath>

namespace attune::search {

/// A normal number that belongs to (what, a, b): an effect is the same wherever it is met.
static double effect(uint64_t seed, uint64_t what, uint64_t a, uint64_t b) {
  return Rng(seed, what << 48 | a << 24 | b, Stage::Table).normal();
}

llvm::Expected<Table> makeSyntheticTable(const Space &space, const SyntheticOptions &options) {
  constexpr double kMost = 1 << 20;
  if (space.size() > kMost)
    return llvm::createStringError(
        "a synthetic table has at most 1048576 rows; the space has more");
  Table table;
  table.metrics = {"score"};
  table.costs = {"size"};
  table.seeds = options.seeds;
  table.synthetic = true;
  table.data = "none: scores are made by a formula";
  table.provenance = "attune search table --synthetic, seed " + std::to_string(options.seed);
  table.licence = "CC0-1.0";

  std::vector<TableRow> rows;
  std::vector<double> raw;
  double sum = 0, squares = 0;
  for (uint64_t index = 0; index < space.size(); ++index) {
    Genes genes = space.canonical(space.fromIndex(index));
    if (space.indexOf(genes) != index)
      continue;
    llvm::SmallVector<double> values;
    llvm::BitVector active;
    space.decode(genes, values, active);
    double total = 0, size = 0;
    std::optional<unsigned> previous;
    for (unsigned gene : active.set_bits()) {
      double main = effect(options.seed, 1, gene, genes[gene]);
      total += main;
      // Larger is better on average, as in real spaces.
      size += 1 + std::exp(0.5 * main + 0.5 * effect(options.seed, 2, gene, genes[gene]));
      if (previous)
        total +=
            options.interaction * effect(options.seed, 3 + gene, genes[*previous], genes[gene]);
      previous = gene;
    }
    raw.push_back(total);
    sum += total;
    squares += total * total;
    rows.push_back({genes, {}, {size}, 0});
  }

  double mean = sum / raw.size(), deviation = std::sqrt(squares / raw.size() - mean * mean);
  for (size_t i = 0; i < raw.size(); ++i) {
    double score = 1 / (1 + std::exp(-(raw[i] - mean) / std::max(deviation, 1e-12)));
    if (options.plateaus)
      score = std::floor(score * options.plateaus) / options.plateaus;
    Rng rng(options.seed, uint64_t{1} << 63 | i, Stage::Table);
    std::vector<double> bySeed;
    for (unsigned seed = 0; seed < options.seeds; ++seed)
      bySeed.push_back(score + options.noise * (1.5 - score) * rng.normal());
    rows[i].metrics = {bySeed};
    table.add(std::move(rows[i]));
  }
  return table;
}

} // namespace attune::search
