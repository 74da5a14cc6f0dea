#include "attune/search/Document.h"
#include "attune/search/NasBench.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/LineIterator.h"
#include "llvm/Support/MemoryBuffer.h"

namespace attune::search {

using llvm::createStringError;

static const llvm::StringRef kOps[] = {"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3",
                                       "avg_pool_3x3"};
constexpr unsigned kNodes = 3; ///< that have inputs: 1, 2 and 3 of them

llvm::Expected<Genes> nasBench201Genes(llvm::StringRef text) {
  auto bad = [&](const llvm::Twine &what) {
    return createStringError("`" + text + "` is no architecture of NAS-Bench-201: " + what);
  };
  Genes genes;
  llvm::SmallVector<llvm::StringRef> nodes;
  text.split(nodes, '+');
  if (nodes.size() != kNodes)
    return bad("it has " + llvm::Twine(nodes.size()) + " nodes, not 3");
  for (unsigned node = 0; node < kNodes; ++node) {
    llvm::SmallVector<llvm::StringRef> edges;
    llvm::StringRef inner = nodes[node];
    if (!inner.consume_front("|") || !inner.consume_back("|"))
      return bad("a node stands between bars");
    inner.split(edges, '|');
    if (edges.size() != node + 1)
      return bad("node " + llvm::Twine(node + 1) + " has " + llvm::Twine(edges.size()) +
                 " inputs, not " + llvm::Twine(node + 1));
    for (unsigned source = 0; source < edges.size(); ++source) {
      auto [op, from] = edges[source].split('~');
      auto known = llvm::find(kOps, op);
      if (known == std::end(kOps))
        return bad("`" + op + "` is none of " + listed(llvm::ArrayRef<llvm::StringRef>(kOps)));
      if (from != llvm::StringRef(std::to_string(source)))
        return bad("inputs come in the order of their sources");
      genes.push_back(known - std::begin(kOps));
    }
  }
  return genes;
}

std::string nasBench201String(llvm::ArrayRef<int32_t> genes) {
  std::string text;
  unsigned gene = 0;
  for (unsigned node = 0; node < kNodes; ++node) {
    text += node ? "+|" : "|";
    for (unsigned source = 0; source <= node; ++source)
      text += kOps[genes[gene++]].str() + "~" + std::to_string(source) + "|";
  }
  return text;
}

llvm::StringRef nasBench201Space() {
  return R"yaml(attune-space: 1
vars:
  - {name: op, kind: cat, values: [none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3], repeat: 6}
objectives:
  - {metric: val_acc, goal: max}
)yaml";
}

llvm::Expected<Table> readNasBench201(llvm::StringRef path, const Space &space) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer)
    return createStringError("cannot read " + path + ": " + buffer.getError().message());
  Table table;
  table.seeds = 0;
  table.data = "NAS-Bench-201";
  table.provenance = path.str();
  for (llvm::line_iterator line(**buffer); !line.is_at_end(); ++line) {
    auto failure = [&](const llvm::Twine &what) {
      return createStringError(path + ":" + llvm::Twine(line.line_number()) + ": " + what);
    };
    auto value = llvm::json::parse(*line);
    if (!value)
      return failure(llvm::toString(value.takeError()));
    const llvm::json::Object *object = value->getAsObject();
    std::optional<llvm::StringRef> arch = object ? object->getString("arch") : std::nullopt;
    if (!arch)
      return failure("a line is an object with `arch`");
    auto genes = nasBench201Genes(*arch);
    if (!genes)
      return failure(llvm::toString(genes.takeError()));
    if (!space.contains(*genes))
      return failure("the space is not that of NAS-Bench-201");
    // The first line says which metrics and costs there are.
    if (table.seeds == 0)
      for (const auto &[key, entry] : *object) {
        if (const llvm::json::Array *list = entry.getAsArray()) {
          table.metrics.push_back(llvm::StringRef(key).str());
          table.seeds = list->size();
        } else if (entry.getAsNumber()) {
          table.costs.push_back(llvm::StringRef(key).str());
        }
      }
    llvm::sort(table.metrics);
    llvm::sort(table.costs);
    TableRow row;
    row.genes = *genes;
    for (const std::string &name : table.metrics) {
      std::vector<double> values;
      if (const llvm::json::Array *list = object->getArray(name))
        for (const llvm::json::Value &number : *list)
          values.push_back(number.getAsNumber().value_or(0));
      if (values.size() != table.seeds || table.seeds == 0)
        return failure("`" + name + "` is a list with one number for each seed");
      row.metrics.push_back(std::move(values));
    }
    for (const std::string &name : table.costs) {
      std::optional<double> number = object->getNumber(name);
      if (!number)
        return failure("the cost `" + name + "` is missing");
      row.costs.push_back(*number);
    }
    table.add(std::move(row));
  }
  if (table.metrics.empty())
    return createStringError(path + ": holds no metrics");
  return std::move(table);
}

} // namespace attune::search
