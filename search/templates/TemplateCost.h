//===- TemplateCost.h - What a candidate of a template will take ------------------------------===//
//
// Prices candidates with the compiler's own cost oracle. What is priced are the kernels that would
// really run: a block's are found once (Template::cost). Candidates are sums over blocks, so after
// the first few a price is a look at known blocks. Costs: `latency_ms` (for every
// number of threads that the space asks for, else 1), `params`, `flops`, `peak_mb`, and `energy_mj`
// (modelled, by the table horowitz45, at the first of these numbers of threads) where it is asked
// for.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_TEMPLATECOST_H
#define ATTUNE_SEARCH_TEMPLATES_TEMPLATECOST_H

#include "attune/codegen/cost/Energy.h"
#include "attune/search/Cost.h"
#include "attune/search/templates/MeasuredLatency.h"
#include "attune/search/templates/Template.h"

namespace attune::search {

class TemplateCost final : public CostModel {
public:
  static llvm::Expected<std::unique_ptr<TemplateCost>> create(const Space &space);

  llvm::ArrayRef<CostName> names() const override { return costNames; }
  std::string identity() const override;
  llvm::Expected<CostVector> estimate(llvm::ArrayRef<int32_t> genes) override;
  bool exact(unsigned cost) const override { return cost >= threads.size(); }
  /// The latency on any number of threads, with what `CostVector::sigma` is the sum of.
  llvm::Expected<LatencyPrediction> predict(llvm::ArrayRef<int32_t> genes, unsigned threads);
  /// The same by emitter of the kernels, in milliseconds.
  llvm::Expected<std::map<std::string, double>> partsMs(llvm::ArrayRef<int32_t> genes,
                                                        unsigned threads);

private:
  struct Price {
    bool known = false;
    double seconds = 0, joules = 0;
    /// Standard deviation of what each emitter's kernels take.
    llvm::SmallVector<std::pair<unsigned, double>, 4> deviations;
  };
  struct Block : BlockCost {
    std::vector<unsigned> emitters; ///< of the kernels, by number
    /// By number of threads and residency (codegen::residency); filled when asked for.
    std::vector<Price> prices;
  };

  TemplateCost(const Space &space, std::unique_ptr<Template> model, codegen::Machine machine);
  llvm::Expected<Block *> blockOf(uint64_t name);
  /// What a candidate has beside the kernels of its blocks.
  struct Totals {
    double params = 0, flops = 0, resident = 0;
  };
  /// Sets `network` to the blocks of a candidate.
  llvm::Expected<Totals> takeApart(llvm::ArrayRef<int32_t> genes);
  Price priced(const Block &block, unsigned threads, double resident) const;
  /// At threads[number].
  const Price &priceOf(Block &block, unsigned number, double resident) const;
  unsigned emitterNumber(const std::string &name);

  std::unique_ptr<Template> model;
  codegen::MachineOracle oracle;
  std::optional<codegen::EnergyTable> energy;
  std::vector<unsigned> threads;
  std::vector<CostName> costNames;
  std::unordered_map<uint64_t, Block> blocks;
  std::vector<std::string> emitters;
  std::vector<uint64_t> parts;  ///< scratch
  std::vector<Block *> network; ///< the same
};

} // namespace attune::search
#endif
