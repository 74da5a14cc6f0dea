//===- Table.h - Stored results of a whole space, or part of it -------------------------------===//
//
// `attune-table v1`: JSON lines. The first one describes the table: hash of the space's variables,
// metrics, costs, number of seeds, and where the numbers come from. Each other line is one
// candidate:
//
//   {"index": 5, "genes": [0, 5], "val_acc": [0.81, 0.8], "params": 1200, "seconds": 3.1}
//
// with the metrics of every seed, raw. Searches are tested and compared on tables, because a result
// costs nothing there.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TABLE_H
#define ATTUNE_SEARCH_TABLE_H

#include "attune/search/Space.h"

#include <unordered_map>

namespace attune::search {

struct TableRow {
  Genes genes;                              ///< canonical
  std::vector<std::vector<double>> metrics; ///< by metric, by seed
  std::vector<double> costs;
  double seconds = 0;
};

class Table {
public:
  std::vector<std::string> metrics, costs;
  unsigned seeds = 1, epochs = 0;
  bool synthetic =
      false; ///< made by a formula: good for testing searches, says nothing of networks
  std::string data, provenance, licence;

  static llvm::Expected<Table> read(llvm::StringRef path, const Space &space);
  llvm::Error write(llvm::StringRef path, const Space &space) const;

  void add(TableRow row);
  const TableRow *find(llvm::ArrayRef<int32_t> genes) const;
  llvm::ArrayRef<TableRow> rows() const { return content; }
  /// The mean over seeds.
  static double mean(llvm::ArrayRef<double> values);

private:
  llvm::Error readHeader(const llvm::json::Object &header, const Space &space);
  llvm::Error readRow(const llvm::json::Object &line, const Space &space);

  std::vector<TableRow> content;
  std::unordered_map<std::string, size_t> places;
};

/// A table by formula: effects of single genes, of neighbours in a repeat, diminishing returns,
/// noise that is larger for bad candidates. One metric, `score`, and one cost, `size`.
struct SyntheticOptions {
  uint64_t seed = 0;
  unsigned seeds = 1;
  double interaction = 0.5; ///< of neighbours, relative to single genes
  double noise = 0.01;      ///< standard deviation over seeds
  unsigned plateaus = 0;    ///< levels that scores are rounded to; 0: none
};
llvm::Expected<Table> makeSyntheticTable(const Space &space, const SyntheticOptions &options);

} // namespace attune::search
#endif
