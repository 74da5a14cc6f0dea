#include "attune/codegen/cost/Energy.h"

#include "llvm/Support/MemoryBuffer.h"

namespace attune::codegen {

namespace json = llvm::json;

namespace {
struct Embedded {
  llvm::StringRef name, text;
};
constexpr Embedded kTables[] = {
#include "attune/EnergyTables.inc"
};
constexpr llvm::StringRef kLevels[] = {"L1", "L2", "L3", "DRAM"};
constexpr double kPico = 1e-12;
} // namespace

double Energy::total() const {
  double sum = compute + fixed;
  for (double level : memory)
    sum += level;
  return sum;
}

Energy &Energy::operator+=(const Energy &other) {
  compute += other.compute;
  fixed += other.fixed;
  for (size_t level = 0; level < memory.size(); ++level)
    memory[level] += other.memory[level];
  return *this;
}

std::vector<std::string> EnergyTable::names() {
  std::vector<std::string> names;
  for (const Embedded &table : kTables)
    names.push_back(table.name.str());
  return names;
}

llvm::Expected<EnergyTable> EnergyTable::load(llvm::StringRef nameOrFile) {
  for (const Embedded &table : kTables)
    if (table.name == nameOrFile)
      return parse(table.text);
  auto file = llvm::MemoryBuffer::getFile(nameOrFile);
  if (!file)
    return llvm::createStringError("`" + nameOrFile + "` is no energy table (" +
                                   llvm::join(names(), ", ") + ") and no file that can be read");
  auto table = parse((*file)->getBuffer());
  if (!table)
    return llvm::createStringError("`" + nameOrFile +
                                   "` is no energy table: " + llvm::toString(table.takeError()));
  return table;
}

llvm::Expected<EnergyTable> EnergyTable::parse(llvm::StringRef text) {
  auto value = json::parse(text);
  if (!value)
    return value.takeError();
  const json::Object *object = value->getAsObject();
  EnergyTable table;
  auto number = [](const json::Object *from, llvm::StringRef key, double &to) -> llvm::Error {
    std::optional<double> found = from ? from->getNumber(key) : std::nullopt;
    if (!found || *found < 0)
      return llvm::createStringError("`" + key + "` is missing or negative");
    to = *found;
    return llvm::Error::success();
  };
  const json::Object *operations = object ? object->getObject("pj_per_operation") : nullptr;
  const json::Object *bytes = object ? object->getObject("pj_per_byte") : nullptr;
  if (!operations || !bytes)
    return llvm::createStringError("it has no `pj_per_operation` or no `pj_per_byte`");
  table.name = object->getString("name").value_or("user").str();
  table.about = object->getString("about").value_or("").str();
  for (unsigned bits : {8, 16, 32, 64}) {
    Row &row = table.rows[bits];
    const json::Object *fields = operations->getObject(std::to_string(bits));
    if (!fields)
      return llvm::createStringError("`pj_per_operation` has no `" + std::to_string(bits) + "`");
    for (auto [key, place] : {std::pair("multiply", &row.multiply), std::pair("add", &row.add),
                              std::pair("shift", &row.shift)})
      if (llvm::Error error = number(fields, key, *place))
        return std::move(error);
  }
  for (auto [level, place] : llvm::zip(kLevels, table.perByte))
    if (llvm::Error error = number(bytes, level, place))
      return std::move(error);
  if (llvm::Error error = number(object, "additions_of_a_function", table.functionAdditions))
    return std::move(error);
  if (llvm::Error error = number(object, "static_watts", table.staticWatts))
    return std::move(error);
  return table;
}

double EnergyTable::operation(WorkTerm::Class kind, unsigned bits) const {
  auto place = rows.lower_bound(bits);
  const Row &row = place == rows.end() ? rows.rbegin()->second : place->second;
  switch (kind) {
  case WorkTerm::Class::Fma:
    return kPico * (row.multiply + row.add);
  case WorkTerm::Class::Arithmetic:
    return kPico * row.add;
  case WorkTerm::Class::Transcendental:
    return kPico * functionAdditions * row.add;
  case WorkTerm::Class::Multiply:
    return kPico * row.multiply;
  case WorkTerm::Class::Shift:
    return kPico * (row.shift + row.add);
  case WorkTerm::Class::Distance:
    return kPico * 2 * row.add; // the magnitude costs nothing: it is a bit
  }
  return 0;
}

Energy EnergyTable::of(const KernelFeatures &kernel, const KernelCost &cost) const {
  Energy energy;
  for (const OpCount &count : kernel.counts) {
    double perTerm = count.kind == WorkTerm::Class::Distance ? 3
                     : count.kind == WorkTerm::Class::Fma || count.kind == WorkTerm::Class::Shift
                         ? 2
                         : 1;
    energy.compute +=
        kernel.plan.visited * count.count / perTerm * operation(count.kind, count.bits);
  }
  for (size_t level = 0; level < perByte.size(); ++level)
    energy.memory[level] = kPico * perByte[level] * cost.traffic[level];
  energy.fixed = staticWatts * cost.seconds;
  return energy;
}

} // namespace attune::codegen
