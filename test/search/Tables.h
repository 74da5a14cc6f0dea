// Spaces with a synthetic table, and studies on them.
#ifndef ATTUNE_TEST_SEARCH_TABLES_H
#define ATTUNE_TEST_SEARCH_TABLES_H

#include "Spaces.h"
#include "attune/search/Study.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::search {

/// 4 layers of 4 kinds with 3 widths: 20,736 members.
inline constexpr const char *kLayers = R"(
attune-space: 1
vars:
  - {name: kind, kind: cat, values: [softmax, linear, conv, local], repeat: 4}
  - {name: ffn, kind: int, values: [1, 2, 4], repeat: 4}
objectives:
  - {metric: score, goal: max}
)";

/// A strategy with its defaults, or as small as its learning parts allow.
inline Spec quick(llvm::StringRef name) {
  if (name == "rank" || name == "tiers")
    return {.name = name.str(),
            .options = {{"initial", "20"}, {"trees", "10"}, {"pool", "100"}, {"batch", "10"}}};
  return {.name = name.str()};
}

struct TemporaryFolder {
  llvm::SmallString<128> path;
  TemporaryFolder() { llvm::sys::fs::createUniqueDirectory("attune-study", path); }
  ~TemporaryFolder() { llvm::sys::fs::remove_directories(path); }
  std::string in(llvm::StringRef name) const {
    llvm::SmallString<128> file(path);
    llvm::sys::path::append(file, name);
    return std::string(file);
  }
};

inline StudyResult runStudy(const Space &space, const Table &table, Evaluator &evaluator,
                            StudyOptions options = {}) {
  TableCost tableCost(table);
  ClosedFormCost closed(space);
  CombinedCost cost({&closed, &tableCost});
  auto strategy = llvm::cantFail(makeStrategy(space.strategy, space));
  auto result = Study(space, cost, evaluator, *strategy, std::move(options)).run();
  if (!result) {
    ADD_FAILURE() << llvm::toString(result.takeError());
    return {};
  }
  return std::move(*result);
}

/// Everything of an archive that must agree between two studies.
inline std::string describe(const Archive &archive) {
  std::string text;
  llvm::raw_string_ostream os(text);
  for (const Archive::Entry &entry : archive.entries()) {
    os << entry.id << ":";
    for (int32_t gene : entry.genes)
      os << " " << gene;
    for (double goal : entry.goals)
      os << llvm::format(" %a", goal);
    os << "\n";
  }
  return text;
}

} // namespace attune::search
#endif
