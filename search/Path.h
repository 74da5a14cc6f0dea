//===- Path.h - Paths through a lattice as a variable -----------------------------------------===//
//
// A path visits `length` points of a grid, starting at one of the given points and taking one of
// the given moves at every step; it may have to end at a point. Counting completions by dynamic
// programming makes sampling uniform over whole paths, not over steps, and gives every path a
// number.
//
// Genes of a path: which start, then which move at each step.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_PATH_H
#define ATTUNE_SEARCH_PATH_H

#include "attune/search/Random.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <optional>
#include <string>
#include <vector>

namespace attune::search {

class Path {
public:
  struct Axis {
    std::string name;
    int low, high;
  };
  using Point = llvm::SmallVector<int, 3>;

  /// No start means any point; no end means any.
  Path(std::vector<Axis> axes, unsigned length, std::vector<Point> moves, std::vector<Point> starts,
       std::optional<Point> end);

  /// How many paths there are; exact below 2^53.
  double count() const;
  unsigned length() const { return steps + 1; }
  llvm::ArrayRef<Axis> axes() const { return grid; }
  unsigned choices(unsigned gene) const { return gene ? moves.size() : starts.size(); }

  /// The points that genes visit; none if they leave the grid or end elsewhere.
  std::optional<std::vector<Point>> points(llvm::ArrayRef<int32_t> genes) const;
  /// The genes of a path given by its points.
  std::optional<llvm::SmallVector<int32_t>> genesOf(llvm::ArrayRef<Point> points) const;

  void sample(Rng &rng, llvm::MutableArrayRef<int32_t> genes) const;
  /// Draws the steps between two positions anew, uniformly over the ways between their points.
  void resample(Rng &rng, llvm::MutableArrayRef<int32_t> genes, unsigned from, unsigned to) const;
  /// Follows one parent to a point that both visit, then the other.
  void crossover(Rng &rng, llvm::MutableArrayRef<int32_t> genes,
                 llvm::ArrayRef<int32_t> other) const;

  /// The number of a path, and the path of a number below count().
  uint64_t rank(llvm::ArrayRef<int32_t> genes) const;
  void unrank(uint64_t number, llvm::MutableArrayRef<int32_t> genes) const;

private:
  int pointId(llvm::ArrayRef<int> point) const; ///< -1 outside
  Point pointOf(unsigned id) const;
  int moved(unsigned id, unsigned move) const; ///< -1 outside
  std::vector<unsigned> visited(llvm::ArrayRef<int32_t> genes) const;
  /// ways[s][p]: how many ways lead from p in s steps to where `last` says one may end.
  std::vector<std::vector<double>> countWays(std::vector<double> last, unsigned steps) const;

  std::vector<Axis> grid;
  unsigned steps;
  std::vector<Point> moves;
  std::vector<unsigned> starts;
  unsigned pointCount = 1;
  std::vector<int> next; ///< [point][move]
  std::vector<std::vector<double>> ways;
};

} // namespace attune::search
#endif
