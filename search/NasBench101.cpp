#include "attune/search/NasBench.h"
#include "attune/search/TfRecord.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Base64.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/xxhash.h"

#include <cmath>

namespace attune::search {

using llvm::createStringError;

constexpr unsigned kVertices = 7;

std::optional<CellGraph> pruned(const CellGraph &graph) {
  size_t n = graph.ops.size();
  std::vector<bool> fromInput(n), toOutput(n);
  fromInput[0] = toOutput[n - 1] = true;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = i + 1; j < n; ++j)
      if (fromInput[i] && graph.edge(i, j))
        fromInput[j] = true;
  for (size_t j = n; j-- > 0;)
    for (size_t i = 0; i < j; ++i)
      if (toOutput[j] && graph.edge(i, j))
        toOutput[i] = true;
  std::vector<size_t> kept;
  for (size_t i = 0; i < n; ++i)
    if (fromInput[i] && toOutput[i])
      kept.push_back(i);
  if (!fromInput[n - 1])
    return std::nullopt;
  CellGraph result;
  for (size_t i : kept) {
    result.ops.push_back(graph.ops[i]);
    for (size_t j : kept)
      result.edges.push_back(graph.edge(i, j));
  }
  return result;
}

static uint64_t hashOf(llvm::StringRef text) { return llvm::xxh3_64bits(text); }

uint64_t graphHash(const CellGraph &graph) {
  size_t n = graph.ops.size();
  std::vector<uint64_t> hashes(n);
  for (size_t v = 0; v < n; ++v) {
    unsigned in = 0, out = 0;
    for (size_t u = 0; u < n; ++u) {
      in += graph.edge(u, v);
      out += graph.edge(v, u);
    }
    hashes[v] = hashOf(std::to_string(in) + "," + std::to_string(out) + "," + graph.ops[v]);
  }
  auto joined = [](std::vector<uint64_t> values) {
    llvm::sort(values);
    std::string text;
    for (uint64_t value : values)
      text += std::to_string(value) + ",";
    return text;
  };
  for (size_t round = 0; round < n; ++round) {
    std::vector<uint64_t> next(n);
    for (size_t v = 0; v < n; ++v) {
      std::vector<uint64_t> in, out;
      for (size_t u = 0; u < n; ++u) {
        if (graph.edge(u, v))
          in.push_back(hashes[u]);
        if (graph.edge(v, u))
          out.push_back(hashes[u]);
      }
      next[v] = hashOf(joined(in) + "|" + joined(out) + "|" + std::to_string(hashes[v]));
    }
    hashes = std::move(next);
  }
  return hashOf(joined(hashes));
}

/// One record: [hash, epochs, adjacency as digits, operations with commas, base64 of ModelMetrics].
static llvm::Error takeRecord(llvm::StringRef payload, unsigned epochs, NasBench101 &bench) {
  auto value = llvm::json::parse(payload);
  if (!value)
    return value.takeError();
  const llvm::json::Array *list = value->getAsArray();
  if (!list || list->size() != 5 || !(*list)[1].getAsInteger() || !(*list)[2].getAsString() ||
      !(*list)[3].getAsString() || !(*list)[4].getAsString())
    return createStringError("is no list of hash, epochs, adjacency, operations, metrics");
  if (*(*list)[1].getAsInteger() != epochs)
    return llvm::Error::success();

  CellGraph graph;
  llvm::StringRef digits = *(*list)[2].getAsString();
  for (llvm::StringRef op : llvm::split(*(*list)[3].getAsString(), ','))
    graph.ops.push_back(op.str());
  size_t n = graph.ops.size();
  if (n < 2 || n > kVertices || digits.size() != n * n)
    return createStringError("has " + llvm::Twine(digits.size()) + " digits of adjacency for " +
                             llvm::Twine(n) + " operations");
  for (size_t i = 0; i < digits.size(); ++i) {
    bool edge = digits[i] == '1';
    if ((digits[i] != '0' && !edge) || (edge && i % n <= i / n))
      return createStringError("has edges that do not go forward");
    graph.edges.push_back(edge);
  }
  std::optional<CellGraph> clean = pruned(graph);
  if (!clean)
    return createStringError("has no way from input to output");

  std::vector<char> metrics;
  if (llvm::Error error = llvm::decodeBase64(*(*list)[4].getAsString(), metrics))
    return error;
  double params = 0;
  std::vector<NasBench101::Run> evaluations;
  bool good = true;
  auto evaluation = [&](llvm::StringRef message) {
    NasBench101::Run run;
    good &= forEachField(
        message,
        [&](unsigned field, double number) {
          double *const places[] = {&run.seconds, &run.trainAccuracy, &run.validAccuracy,
                                    &run.testAccuracy};
          if (field >= 2 && field <= 5)
            *places[field - 2] = number;
        },
        [](unsigned, llvm::StringRef) {});
    evaluations.push_back(run);
  };
  good &= forEachField(
      {metrics.data(), metrics.size()},
      [&](unsigned field, double number) { params = field == 2 ? number : params; },
      [&](unsigned field, llvm::StringRef message) {
        if (field == 1)
          evaluation(message);
      });
  // At the start, half-way, and at the end.
  if (!good || evaluations.size() != 3)
    return createStringError("has metrics that cannot be read");
  NasBench101::Cell &cell = bench.cells[graphHash(*clean)];
  cell.graph = std::move(*clean);
  cell.params = params;
  cell.runs.push_back(evaluations[2]);
  return llvm::Error::success();
}

llvm::Expected<NasBench101> NasBench101::read(llvm::StringRef path, unsigned epochs) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return createStringError("cannot read " + path + ": " + buffer.getError().message());
  NasBench101 bench;
  if (llvm::Error error = forEachRecord((*buffer)->getBuffer(), [&](llvm::StringRef payload) {
        return takeRecord(payload, epochs, bench);
      }))
    return createStringError(path + ": " + llvm::toString(std::move(error)));
  if (bench.cells.empty())
    return createStringError(path + ": holds no runs of " + llvm::Twine(epochs) + " epochs");
  return std::move(bench);
}

const NasBench101::Cell *NasBench101::find(const CellGraph &graph) const {
  std::optional<CellGraph> clean = pruned(graph);
  if (!clean)
    return nullptr;
  auto cell = cells.find(graphHash(*clean));
  return cell == cells.end() ? nullptr : &cell->second;
}

llvm::StringRef nasBench101Space() {
  return R"yaml(attune-space: 1
vars:
  - {name: edge, kind: bool, repeat: 21}
  - {name: op, kind: cat, values: [conv1x1-bn-relu, conv3x3-bn-relu, maxpool3x3], repeat: 5}
constraints:
  - {expr: "sum(edge) <= 9"}
objectives:
  - {metric: val_acc, goal: max}
evaluator: nasbench101
)yaml";
}

CellGraph cellOf(llvm::ArrayRef<int32_t> genes) {
  static const char *const kOps[] = {"conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3"};
  CellGraph graph;
  graph.edges.assign(kVertices * kVertices, 0);
  unsigned gene = 0;
  for (unsigned i = 0; i < kVertices; ++i)
    for (unsigned j = i + 1; j < kVertices; ++j)
      graph.edges[i * kVertices + j] = genes[gene++];
  graph.ops.push_back("input");
  for (unsigned i = 1; i + 1 < kVertices; ++i)
    graph.ops.push_back(kOps[genes[gene++]]);
  graph.ops.push_back("output");
  return graph;
}

static Outcome look(const NasBench101 &bench, const Request &request) {
  Outcome outcome;
  const NasBench101::Cell *cell = bench.find(cellOf(request.genes));
  if (!cell) {
    outcome.reason = "the table has no such cell";
    return outcome;
  }
  outcome.status = Status::Ok;
  for (const NasBench101::Run &run : cell->runs) {
    outcome.metrics["train_acc"] += run.trainAccuracy / cell->runs.size();
    outcome.metrics["val_acc"] += run.validAccuracy / cell->runs.size();
    outcome.metrics["test_acc"] += run.testAccuracy / cell->runs.size();
    outcome.seconds += run.seconds / cell->runs.size();
  }
  return outcome;
}

NasBench101Evaluator::NasBench101Evaluator(const NasBench101 &bench)
    : CallbackEvaluator(
          "nasbench101", [&bench](const Request &request) { return look(bench, request); },
          /*isCheap=*/true) {}

llvm::Expected<CostVector> NasBench101Cost::estimate(llvm::ArrayRef<int32_t> genes) {
  const NasBench101::Cell *cell = bench.find(cellOf(genes));
  if (!cell)
    return createStringError("the table has no such cell");
  CostVector cost;
  cost.values = {cell->params};
  return cost;
}

} // namespace attune::search
