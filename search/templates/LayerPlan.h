//===- LayerPlan.h - Layers of transformers as kernels of the dialect -------------------------===//
//
// What the layers of LayerGraph.h cost, from the kernels that the compiler makes of them.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_LAYERPLAN_H
#define ATTUNE_SEARCH_TEMPLATES_LAYERPLAN_H

#include "attune/search/templates/LayerGraph.h"
#include "attune/search/templates/PlannedBlock.h"

namespace attune::search {

/// The name of a block: what it is, and two numbers.
struct BlockName {
  uint8_t part = 0;      ///< below 128
  uint32_t a = 0, b = 0; ///< below 2^24
  bool again = false;    ///< with weights that an earlier block of the candidate has

  static BlockName of(uint64_t key) {
    return {static_cast<uint8_t>(key >> 56 & 0x7f), static_cast<uint32_t>(key >> 24 & 0xffffff),
            static_cast<uint32_t>(key & 0xffffff), key >> 63 != 0};
  }
  uint64_t key() const {
    return static_cast<uint64_t>(again) << 63 | static_cast<uint64_t>(part) << 56 |
           static_cast<uint64_t>(a) << 24 | b;
  }
};

class LayerPlan {
public:
  using Then = KernelRegions::Then;
  /// Of layers over [1, rows, width].
  LayerPlan(BlockPlanner &planner, BlockName name, int64_t rows, int64_t width)
      : planner(planner), name(name), rows(rows), d(width) {}

  /// Whether only compiling tells: axes of one element make other kernels; for convolutions two
  /// code generators compete, whose kernels are cut in different ways; the tables of cosFormer are
  /// not built here.
  static bool knows(const Mixing &mixing, int64_t rows, int64_t width, int64_t heads);

  BlockCost mix(const Mixing &mixing, int64_t heads);
  BlockCost feedForward(int64_t inner);
  /// To the first two of the parts of [1, sources, packed].
  BlockCost cross(int64_t heads, int64_t sources, int64_t packed);
  /// x W + b and a constant per position.
  BlockCost stem(int64_t from);
  /// W norm(x) + b; `mean`: of the mean over positions.
  BlockCost head(int64_t to, bool mean);

private:
  /// A kernel of the block, told from its others by number; it is the same for all blocks of this
  /// part unless it varies.
  const PlannedKernel *kernel(unsigned number, bool varies,
                              llvm::function_ref<BuiltKernel(KernelRegions &)> build);
  const PlannedKernel *output(unsigned number);
  const PlannedKernel *norm(unsigned number, bool mean = false);
  const PlannedKernel *product(unsigned number, bool varies, int64_t k, int64_t n, Then then);
  double bytes(int64_t columns) const { return 4.0 * rows * columns; }

  BlockPlanner &planner;
  BlockName name;
  int64_t rows, d;
};

} // namespace attune::search
#endif
