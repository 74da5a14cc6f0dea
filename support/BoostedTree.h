//===- BoostedTree.h - One small tree of a gradient-boosted sum -------------------------------===//
//
// A tree of fixed depth in flat arrays, fitted to first and second derivatives of a loss (Chen and
// Guestrin, 2016), on rows of small whole numbers, -1 the least. For some hundred rows; the same on
// every machine. The search ranks candidates with such trees (search/Trees.h), the cost model
// corrects its predictions (codegen/cost/Residual.h). LLVM's Support only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SUPPORT_BOOSTEDTREE_H
#define ATTUNE_SUPPORT_BOOSTEDTREE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <array>
#include <cstdint>
#include <vector>

namespace attune {

struct BoostedTree {
  using Row = llvm::SmallVector<int16_t, 64>;
  static constexpr unsigned kDepth = 3, kInner = (1 << kDepth) - 1, kLeaves = 1 << kDepth;
  std::array<int16_t, kInner> feature{}, threshold{}; ///< left if row[feature] <= threshold
  std::array<float, kInner> gain{};
  std::array<double, kLeaves> leaf{};

  /// One step of size `rate` against `gradient` (of what is to grow), for rows of that `curvature`.
  /// Splits leave `leastRows` on either side.
  static BoostedTree grow(llvm::ArrayRef<Row> rows, llvm::ArrayRef<double> gradient,
                          llvm::ArrayRef<double> curvature, double rate, unsigned leastRows = 3) {
    BoostedTree tree;
    std::vector<std::vector<unsigned>> members(kInner + kLeaves);
    for (unsigned i = 0; i < rows.size(); ++i)
      members[0].push_back(i);
    for (unsigned node = 0; node < kInner; ++node) {
      tree.split(node, members[node], rows, gradient, curvature, leastRows);
      for (unsigned i : members[node])
        members[2 * node + 1 + (rows[i][tree.feature[node]] > tree.threshold[node])].push_back(i);
    }
    for (unsigned number = 0; number < kLeaves; ++number) {
      Sum sum;
      for (unsigned i : members[kInner + number])
        sum.add(gradient[i], curvature[i]);
      tree.leaf[number] = rate * sum.g / (sum.h + kRidge);
    }
    return tree;
  }

  double value(llvm::ArrayRef<int16_t> row) const {
    unsigned node = 0;
    for (unsigned level = 0; level < kDepth; ++level)
      node = 2 * node + 1 + (row[feature[node]] > threshold[node]);
    return leaf[node - kInner];
  }

private:
  static constexpr double kRidge = 1;
  struct Sum {
    double g = 0, h = 0;
    unsigned count = 0;
    void add(double gradient, double curvature) {
      g += gradient;
      h += curvature;
      ++count;
    }
    double quality() const { return g * g / (h + kRidge); }
  };

  void split(unsigned node, llvm::ArrayRef<unsigned> members, llvm::ArrayRef<Row> rows,
             llvm::ArrayRef<double> gradient, llvm::ArrayRef<double> curvature,
             unsigned leastRows) {
    threshold[node] = INT16_MAX; // everything to the left
    if (members.size() < 2 * leastRows)
      return;
    Sum all;
    for (unsigned i : members)
      all.add(gradient[i], curvature[i]);
    double best = 1e-9;
    std::vector<Sum> bins;
    for (unsigned number = 0; number < rows[0].size(); ++number) {
      bins.clear();
      for (unsigned i : members) {
        size_t place = rows[i][number] + 1;
        if (place >= bins.size())
          bins.resize(place + 1);
        bins[place].add(gradient[i], curvature[i]);
      }
      Sum left;
      for (size_t place = 0; place < bins.size(); ++place) {
        left.g += bins[place].g;
        left.h += bins[place].h;
        left.count += bins[place].count;
        if (!bins[place].count || left.count < leastRows || all.count - left.count < leastRows)
          continue;
        Sum right{all.g - left.g, all.h - left.h, 0};
        double found = left.quality() + right.quality() - all.quality();
        if (found <= best)
          continue;
        best = found;
        feature[node] = number;
        threshold[node] = static_cast<int16_t>(place) - 1;
        gain[node] = found;
      }
    }
  }
};

} // namespace attune
#endif
