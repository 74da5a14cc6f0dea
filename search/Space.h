//===- Space.h - What a search chooses from ---------------------------------------------------===//
//
// A space is a list of variables and what must hold between them, read from a space file (the
// reference is docs/search.md). A candidate is a vector of genes of fixed length: which of its
// values each element of each variable takes. Genes that a condition or a repeat leaves out are
// inactive: they are zero in the canonical form, which is what is compared, hashed and cached.
//
// A space is immutable after reading; all functions are safe to call from several threads.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_SPACE_H
#define ATTUNE_SEARCH_SPACE_H

#include "attune/search/Expression.h"
#include "attune/search/Path.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/JSON.h"

#include <map>
#include <memory>

namespace attune::search {

using Genes = llvm::SmallVector<int32_t, 32>;

struct Variable {
  enum class Kind { Categorical, Integer, Boolean, Float, Path, Permutation };
  std::string name;
  Kind kind = Kind::Categorical;
  std::vector<std::string> labels; ///< the values as written
  std::vector<double> numbers;     ///< the values in expressions
  bool words = false;              ///< values are compared as words, not as numbers
  unsigned elements = 1;
  bool repeated = false;
  std::optional<unsigned> repeat; ///< the variable that says how many elements are active
  std::optional<Expression> when;
  std::shared_ptr<const Path> path;
  unsigned firstGene = 0, geneCount = 1, firstValue = 0;
  unsigned line = 0;
  bool isOrder() const { return kind == Kind::Permutation; }
};

/// A cost by name, for a number of threads where that matters (0: not said).
struct CostName {
  std::string name;
  unsigned threads = 0;
  std::string str() const { return threads ? name + "@" + std::to_string(threads) : name; }
};

struct Constraint {
  std::optional<CostName> cost; ///< or a condition:
  std::optional<Expression> expression;
  std::optional<double> atMost, atLeast;
  double z = 0; ///< standard deviations of the estimate that must fit too
  std::string text() const;
};

struct Objective {
  std::string metric; ///< of the evaluator, or empty:
  CostName cost;
  bool maximise = false;
  double epsilon = 0; ///< differences that do not matter in the archive
  std::string name() const { return metric.empty() ? cost.str() : metric; }
};

struct ClosedForm {
  std::string name;
  Expression expression;
};

struct EarlyStop {
  std::string metric;
  std::vector<double> rungs; ///< steps at which a candidate may be stopped
  double keep = 0.5;         ///< share that goes on
  unsigned after = 8;        ///< results at a rung before anything is stopped there
};

/// A name with numbers and words: the strategy or the evaluator.
struct Spec {
  std::string name;
  std::map<std::string, std::string> options = {};
  std::vector<std::string> command = {}; ///< of a worker
};

/// A model whose attention is searched.
struct ModelSpec {
  std::string file;
  std::vector<std::string> alternatives; ///< beside what the model has
  std::map<std::string, int64_t> dims;   ///< sizes by symbol
};

class Space {
public:
  /// Reads a space file. Errors name file, line and column.
  static llvm::Expected<Space> parse(llvm::StringRef text, llvm::StringRef file);
  static llvm::Expected<Space> read(llvm::StringRef path);

  std::vector<Variable> variables;
  std::map<std::string, std::string> fixed;
  std::vector<ClosedForm> costs;
  std::vector<Constraint> constraints;
  std::vector<Objective> objectives;
  std::optional<EarlyStop> earlyStop;
  Spec strategy, evaluator;
  std::string templateName; ///< what builds networks; `model`: the user's, see
  ModelSpec model;
  uint64_t evals = 100, seed = 0;
  double seconds = 0;  ///< 0: no limit
  unsigned window = 8; ///< candidates asked for before their predecessors' results are known
  std::string folder;  ///< of the file: relative paths start here
  /// A path of the space file.
  std::string pathOf(llvm::StringRef path) const;

  /// Of everything that decides which candidate is asked next and how it is judged.
  std::string hash() const;
  /// Of the variables alone: what a stored table is of.
  std::string variablesHash() const;

  unsigned geneCount() const { return genes; }
  unsigned choices(unsigned gene) const { return geneChoices[gene]; }
  unsigned variableOf(unsigned gene) const { return geneVariable[gene]; }
  const Variable *find(llvm::StringRef name) const;
  /// How many gene vectors there are (inactive genes included); exact below 2^53.
  double size() const;

  /// Whether genes are in range, and paths stay on their grids.
  bool contains(llvm::ArrayRef<int32_t> genes) const;
  /// The values that expressions see (NaN: absent), and which genes are active.
  void decode(llvm::ArrayRef<int32_t> genes, llvm::SmallVectorImpl<double> &values,
              llvm::BitVector &active) const;
  Genes canonical(llvm::ArrayRef<int32_t> genes) const;
  /// Whether all constraints hold that are conditions.
  bool satisfied(llvm::ArrayRef<double> values) const;

  /// Named values, without what is inactive, and back.
  llvm::json::Object toJson(llvm::ArrayRef<int32_t> genes) const;
  llvm::Expected<Genes> fromJson(const llvm::json::Object &values) const;

  /// The number of a gene vector below size(), and back (only for sizes below 2^53).
  uint64_t indexOf(llvm::ArrayRef<int32_t> genes) const;
  Genes fromIndex(uint64_t index) const;

  /// All results are canonical.
  Genes sample(Rng &rng) const;
  /// Changes every active gene with this probability, at least one; a path counts as one gene.
  Genes mutate(Rng &rng, llvm::ArrayRef<int32_t> genes, double probability) const;
  /// Changes one active gene.
  Genes mutateOne(Rng &rng, llvm::ArrayRef<int32_t> genes) const;
  Genes crossover(Rng &rng, llvm::ArrayRef<int32_t> a, llvm::ArrayRef<int32_t> b) const;

private:
  friend class SpaceReader;
  void finish();
  bool isActive(const Variable &variable, unsigned element, llvm::ArrayRef<double> values) const;
  void decodeVariable(const Variable &variable, llvm::ArrayRef<int32_t> genes,
                      llvm::SmallVectorImpl<double> &values, llvm::BitVector &active) const;
  void mutateVariable(Rng &rng, const Variable &variable, unsigned gene, Genes &genes) const;
  /// Clears what is inactive, draws what was not active before.
  void settle(Rng &rng, Genes &genes, const llvm::BitVector &before) const;

  unsigned genes = 0, values = 0;
  std::vector<unsigned> geneChoices, geneVariable;
  std::string identity, layout; ///< what the hashes cover
};

} // namespace attune::search
#endif
