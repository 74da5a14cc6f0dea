#include "attune/search/Table.h"
#include "attune/search/Legality.h"
#include "attune/support/WriteFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/LineIterator.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

namespace attune::search {

using llvm::createStringError;
using llvm::Error;

double Table::mean(llvm::ArrayRef<double> values) {
  double sum = 0;
  for (double value : values)
    sum += value;
  return values.empty() ? std::nan("") : sum / values.size();
}

void Table::add(TableRow row) {
  auto [place, isNew] = places.try_emplace(keyOf(row.genes), content.size());
  if (isNew)
    content.push_back(std::move(row));
}

const TableRow *Table::find(llvm::ArrayRef<int32_t> genes) const {
  auto place = places.find(keyOf(genes));
  return place == places.end() ? nullptr : &content[place->second];
}

static bool readNames(const llvm::json::Object &header, llvm::StringRef key,
                      std::vector<std::string> &names) {
  const llvm::json::Array *list = header.getArray(key);
  if (!list)
    return false;
  for (const llvm::json::Value &name : *list)
    names.push_back(name.getAsString().value_or("").str());
  return llvm::none_of(names, [](const std::string &name) { return name.empty(); });
}

Error Table::readHeader(const llvm::json::Object &header, const Space &space) {
  if (header.getInteger("attune-table") != 1)
    return createStringError("not an attune-table of version 1");
  std::string hash = header.getString("space").value_or("").str();
  if (hash != space.variablesHash())
    return createStringError("the table is of other variables (hash " + hash + ", this space has " +
                             space.variablesHash() + ")");
  if (!readNames(header, "metrics", metrics) || !readNames(header, "costs", costs))
    return createStringError("`metrics` and `costs` are lists of names");
  seeds = header.getInteger("seeds").value_or(0);
  if (seeds < 1 || seeds > 1000)
    return createStringError("`seeds` is a number from 1 to 1000");
  epochs = header.getInteger("epochs").value_or(0);
  synthetic = header.getBoolean("synthetic").value_or(false);
  data = header.getString("data").value_or("").str();
  provenance = header.getString("provenance").value_or("").str();
  licence = header.getString("licence").value_or("").str();
  return Error::success();
}

Error Table::readRow(const llvm::json::Object &line, const Space &space) {
  TableRow row;
  if (const llvm::json::Array *genes = line.getArray("genes"))
    for (const llvm::json::Value &gene : *genes)
      row.genes.push_back(gene.getAsInteger().value_or(-1));
  if (!space.contains(row.genes) || space.canonical(row.genes) != row.genes)
    return createStringError("`genes` are not canonical genes of this space");
  for (const std::string &name : metrics) {
    std::vector<double> values;
    if (const llvm::json::Array *list = line.getArray(name))
      for (const llvm::json::Value &value : *list)
        values.push_back(value.getAsNumber().value_or(std::nan("")));
    if (values.size() != seeds)
      return createStringError("`" + name + "` is a list with one number for each seed");
    row.metrics.push_back(std::move(values));
  }
  for (const std::string &name : costs) {
    std::optional<double> value = line.getNumber(name);
    if (!value || !std::isfinite(*value))
      return createStringError("the cost `" + name + "` is " +
                               (value ? "not a finite number" : "missing"));
    row.costs.push_back(*value);
  }
  row.seconds = line.getNumber("seconds").value_or(0);
  if (!std::isfinite(row.seconds))
    return createStringError("`seconds` is not a finite number");
  if (find(row.genes))
    return createStringError("these genes are listed twice");
  add(std::move(row));
  return Error::success();
}

llvm::Expected<Table> Table::read(llvm::StringRef path, const Space &space) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer)
    return createStringError("cannot read " + path + ": " + buffer.getError().message());
  Table table;
  llvm::line_iterator line(**buffer, /*SkipBlanks=*/true);
  for (; !line.is_at_end(); ++line) {
    auto failure = [&](Error error) {
      return createStringError(path + ":" + llvm::Twine(line.line_number()) + ": " +
                               llvm::toString(std::move(error)));
    };
    auto value = llvm::json::parse(*line);
    if (!value)
      return failure(value.takeError());
    const llvm::json::Object *object = value->getAsObject();
    if (!object)
      return failure(createStringError("a line is a JSON object"));
    if (Error error = table.metrics.empty() ? table.readHeader(*object, space)
                                            : table.readRow(*object, space))
      return failure(std::move(error));
  }
  if (table.metrics.empty())
    return createStringError(path + ":1: a table needs its first line, and metrics in it");
  return std::move(table);
}

Error Table::write(llvm::StringRef path, const Space &space) const {
  return writeFile(path, [&](llvm::raw_ostream &os) {
    os << llvm::json::Value(llvm::json::Object{{"attune-table", 1},
                                               {"space", space.variablesHash()},
                                               {"metrics", metrics},
                                               {"costs", costs},
                                               {"seeds", seeds},
                                               {"epochs", epochs},
                                               {"synthetic", synthetic},
                                               {"data", data},
                                               {"provenance", provenance},
                                               {"licence", licence}})
       << "\n";
    for (const TableRow &row : content) {
      llvm::json::Object line{{"genes", llvm::json::Array(row.genes)}};
      if (space.size() < 9e15)
        line["index"] = static_cast<int64_t>(space.indexOf(row.genes));
      for (size_t i = 0; i < metrics.size(); ++i)
        line[metrics[i]] = row.metrics[i];
      for (size_t i = 0; i < costs.size(); ++i)
        line[costs[i]] = row.costs[i];
      if (row.seconds)
        line["seconds"] = row.seconds;
      os << llvm::json::Value(std::move(line)) << "\n";
    }
  });
}

} // namespace attune::search
