//===- NasBench.h - Readers of two published tables -------------------------------------------===//
//
// NAS-Bench-101 (Ying et al., 2019): cells as graphs of up to 7 vertices and 9 edges, in TFRecord
// frames of JSON lists with the metrics as base64 of a protobuf message. The user supplies the
// file. NAS-Bench-201 (Dong and Yang, 2020): 6 edges with one of 5 operations, written as a string;
// its torch pickle is never read here, a table of strings and metrics is.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_NASBENCH_H
#define ATTUNE_SEARCH_NASBENCH_H

#include "attune/search/Evaluator.h"

namespace attune::search {

/// A cell: vertex 0 is the input, the last one the output; edges go from lower to higher vertices.
struct CellGraph {
  std::vector<std::string> ops;
  std::vector<uint8_t> edges; ///< row by row, ops.size() squared

  bool edge(size_t from, size_t to) const { return edges[from * ops.size() + to]; }
};

/// Without the vertices that are on no way from input to output; none if there is no such way.
std::optional<CellGraph> pruned(const CellGraph &graph);

/// The same for all graphs that differ in the order of vertices only: iterated hashing of
/// neighbourhoods, as the benchmark does (with another hash function).
uint64_t graphHash(const CellGraph &graph);

struct NasBench101 {
  struct Run {
    double trainAccuracy = 0, validAccuracy = 0, testAccuracy = 0, seconds = 0;
  };
  struct Cell {
    CellGraph graph;
    double params = 0;
    std::vector<Run> runs;
  };
  std::unordered_map<uint64_t, Cell> cells; ///< by graphHash of the pruned graph

  /// Reads the runs of this many epochs.
  static llvm::Expected<NasBench101> read(llvm::StringRef path, unsigned epochs = 108);
  const Cell *find(const CellGraph &graph) const;
};

/// A space file for NAS-Bench-101: `edge` (21 of bool) and `op` (5 of 3), at most 9 edges.
llvm::StringRef nasBench101Space();
CellGraph cellOf(llvm::ArrayRef<int32_t> genes);

/// Metrics val_acc, test_acc, train_acc (means over runs), seconds of training.
class NasBench101Evaluator final : public CallbackEvaluator {
public:
  explicit NasBench101Evaluator(const NasBench101 &bench);
};

/// The cost `params`; cells that are not in the table have none, and are refused.
class NasBench101Cost final : public CostModel {
public:
  explicit NasBench101Cost(const NasBench101 &bench) : bench(bench), costNames{{"params"}} {}
  llvm::ArrayRef<CostName> names() const override { return costNames; }
  llvm::Expected<CostVector> estimate(llvm::ArrayRef<int32_t> genes) override;

private:
  const NasBench101 &bench;
  std::vector<CostName> costNames;
};

/// `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|` as 6 genes, in this order of operations: none,
/// skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3.
llvm::Expected<Genes> nasBench201Genes(llvm::StringRef text);
std::string nasBench201String(llvm::ArrayRef<int32_t> genes);
llvm::StringRef nasBench201Space();
/// Reads JSON lines {"arch": "|...|", "val_acc": [..], ...}; every other key with a list of
/// numbers is a metric, with a number a cost.
llvm::Expected<Table> readNasBench201(llvm::StringRef path, const Space &space);

} // namespace attune::search
#endif
