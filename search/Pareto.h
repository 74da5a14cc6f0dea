//===- Pareto.h - Candidates that nothing beats -----------------------------------------------===//
//
// Non-dominated sorting (Deb et al., "A fast and elitist multiobjective genetic algorithm:
// NSGA-II", 2002), an archive with boxes of size epsilon (Laumanns et al., 2002), and the exact
// hypervolume for up to three goals. All goals are minimised. Nothing here depends on the order of
// arrival.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_PARETO_H
#define ATTUNE_SEARCH_PARETO_H

#include "attune/search/Candidate.h"

namespace attune::search {

/// At least as good everywhere and better somewhere.
bool dominates(llvm::ArrayRef<double> a, llvm::ArrayRef<double> b);

/// The front of every point: 0 is dominated by nobody, 1 only by front 0, ...
std::vector<unsigned> frontOf(llvm::ArrayRef<Goals> points);

/// The distance of every point to its neighbours in its front; infinite at the ends.
std::vector<double> crowding(llvm::ArrayRef<Goals> points, llvm::ArrayRef<unsigned> fronts);

/// The volume between the points and the reference, which all goals must stay below to count. None
/// for more than three goals.
std::optional<double> hypervolume(llvm::ArrayRef<Goals> points, llvm::ArrayRef<double> reference);

class Archive {
public:
  struct Entry {
    uint64_t id;
    Genes genes;
    Goals goals;
  };

  /// One epsilon per goal; 0 keeps every point that is not dominated, of equal ones the first.
  Archive() = default;
  explicit Archive(Goals epsilon) : epsilon(std::move(epsilon)) {}

  /// Whether the point is kept.
  bool add(Entry entry);
  /// By id.
  llvm::ArrayRef<Entry> entries() const { return kept; }

private:
  Goals box(llvm::ArrayRef<double> goals) const;
  bool beats(const Entry &a, const Entry &b) const;

  Goals epsilon;
  std::vector<Entry> kept;
};

} // namespace attune::search
#endif
