#include "attune/search/Space.h"
#include "attune/search/Document.h"
#include "attune/search/Permutation.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/xxhash.h"

#include <cmath>
#include <limits>

namespace attune::search {

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

std::string Constraint::text() const {
  if (expression)
    return expression->text().str();
  std::string text = cost->str();
  if (atLeast)
    text += " >= " + spelled(*atLeast);
  if (atMost)
    text += " <= " + spelled(*atMost);
  return text;
}

static std::string hashed(llvm::StringRef text) {
  return llvm::utohexstr(llvm::xxh3_64bits(text), /*LowerCase=*/true, 16);
}

std::string Space::hash() const { return hashed(identity); }
std::string Space::variablesHash() const { return hashed(layout); }

const Variable *Space::find(llvm::StringRef name) const {
  for (const Variable &variable : variables)
    if (variable.name == name)
      return &variable;
  return nullptr;
}

void Space::finish() {
  for (unsigned v = 0; v < variables.size(); ++v)
    for (unsigned i = 0; i < variables[v].geneCount; ++i) {
      const Variable &variable = variables[v];
      // What stands at earlier places of an order is no choice any more.
      geneChoices.push_back(variable.path        ? variable.path->choices(i)
                            : variable.isOrder() ? variable.labels.size() - i
                                                 : variable.labels.size());
      geneVariable.push_back(v);
    }
}

double Space::size() const {
  double size = 1;
  for (const Variable &variable : variables)
    size *= variable.path        ? variable.path->count()
            : variable.isOrder() ? std::tgamma(variable.elements + 1.0)
                                 : std::pow(variable.labels.size(), variable.elements);
  return size;
}

bool Space::contains(llvm::ArrayRef<int32_t> candidate) const {
  if (candidate.size() != genes)
    return false;
  for (unsigned gene = 0; gene < genes; ++gene)
    if (candidate[gene] < 0 || static_cast<unsigned>(candidate[gene]) >= geneChoices[gene])
      return false;
  for (const Variable &variable : variables)
    if (variable.path &&
        !variable.path->points(candidate.slice(variable.firstGene, variable.geneCount))) {
      // The canonical form of a path that is left out need not be a path.
      llvm::SmallVector<double> decoded;
      llvm::BitVector active;
      decode(candidate, decoded, active);
      if (active[variable.firstGene])
        return false;
    }
  return true;
}

bool Space::isActive(const Variable &variable, unsigned element,
                     llvm::ArrayRef<double> decoded) const {
  if (variable.repeat && !(element < decoded[variables[*variable.repeat].firstValue]))
    return false; // also where the number of repeats is itself absent
  if (!variable.when)
    return true;
  double value = variable.when->evaluate(decoded, element);
  return value != 0 && !std::isnan(value);
}

void Space::decodeVariable(const Variable &variable, llvm::ArrayRef<int32_t> candidate,
                           llvm::SmallVectorImpl<double> &decoded, llvm::BitVector &active) const {
  if (variable.isOrder()) {
    if (!isActive(variable, 0, decoded))
      return;
    active.set(variable.firstGene, variable.firstGene + variable.geneCount);
    permutation::Order order =
        permutation::orderOf(candidate.slice(variable.firstGene, variable.geneCount));
    for (auto [place, thing] : llvm::enumerate(order))
      decoded[variable.firstValue + place] = variable.numbers[thing];
    return;
  }
  if (!variable.path) {
    for (unsigned i = 0; i < variable.elements; ++i)
      if (isActive(variable, i, decoded)) {
        decoded[variable.firstValue + i] = variable.numbers[candidate[variable.firstGene + i]];
        active.set(variable.firstGene + i);
      }
    return;
  }
  if (!isActive(variable, 0, decoded))
    return;
  active.set(variable.firstGene, variable.firstGene + variable.geneCount);
  auto points = variable.path->points(candidate.slice(variable.firstGene, variable.geneCount));
  if (!points)
    return;
  for (unsigned step = 0; step < points->size(); ++step)
    for (unsigned axis = 0; axis < variable.path->axes().size(); ++axis)
      decoded[variable.firstValue + axis * points->size() + step] = (*points)[step][axis];
}

void Space::decode(llvm::ArrayRef<int32_t> candidate, llvm::SmallVectorImpl<double> &decoded,
                   llvm::BitVector &active) const {
  decoded.assign(values, kAbsent);
  active.clear();
  active.resize(genes);
  for (const Variable &variable : variables)
    decodeVariable(variable, candidate, decoded, active);
}

Genes Space::canonical(llvm::ArrayRef<int32_t> candidate) const {
  llvm::SmallVector<double> decoded;
  llvm::BitVector active;
  decode(candidate, decoded, active);
  Genes result(candidate.begin(), candidate.end());
  for (unsigned gene = 0; gene < genes; ++gene)
    if (!active[gene])
      result[gene] = 0;
  return result;
}

bool Space::satisfied(llvm::ArrayRef<double> decoded) const {
  for (const Constraint &constraint : constraints)
    if (constraint.expression && constraint.expression->evaluate(decoded) == 0)
      return false;
  return true;
}

llvm::json::Object Space::toJson(llvm::ArrayRef<int32_t> candidate) const {
  llvm::SmallVector<double> decoded;
  llvm::BitVector active;
  decode(candidate, decoded, active);
  auto valueOf = [](const Variable &variable, int32_t choice) -> llvm::json::Value {
    if (variable.words)
      return variable.labels[choice];
    if (variable.kind == Variable::Kind::Boolean)
      return choice != 0;
    double number = variable.numbers[choice];
    if (variable.kind != Variable::Kind::Float)
      return static_cast<int64_t>(number);
    return number;
  };
  auto value = [&](const Variable &variable, unsigned i) {
    return valueOf(variable, candidate[variable.firstGene + i]);
  };
  llvm::json::Object object;
  for (const Variable &variable : variables) {
    if (variable.path) {
      auto points = variable.path->points(candidate.slice(variable.firstGene, variable.geneCount));
      if (!active[variable.firstGene] || !points)
        continue;
      llvm::json::Array path;
      for (const Path::Point &point : *points)
        path.push_back(llvm::json::Array(point));
      object[variable.name] = std::move(path);
    } else if (variable.isOrder()) {
      if (!active[variable.firstGene])
        continue;
      llvm::json::Array list;
      for (int32_t thing :
           permutation::orderOf(candidate.slice(variable.firstGene, variable.geneCount)))
        list.push_back(valueOf(variable, thing));
      object[variable.name] = std::move(list);
    } else if (!variable.repeated) {
      if (active[variable.firstGene])
        object[variable.name] = value(variable, 0);
    } else {
      llvm::json::Array list;
      unsigned last = 0;
      for (unsigned i = 0; i < variable.elements; ++i) {
        bool used = active[variable.firstGene + i];
        list.push_back(used ? value(variable, i) : nullptr);
        last = used ? i + 1 : last;
      }
      while (list.size() > last)
        list.pop_back();
      object[variable.name] = std::move(list);
    }
  }
  return object;
}

static std::optional<int32_t> choiceOf(const Variable &variable, const llvm::json::Value &value) {
  for (unsigned i = 0; i < variable.labels.size(); ++i)
    if (variable.words ? value.getAsString() == llvm::StringRef(variable.labels[i])
        : variable.kind == Variable::Kind::Boolean ? value.getAsBoolean() == (i != 0)
                                                   : value.getAsNumber() == variable.numbers[i])
      return i;
  return std::nullopt;
}

static bool readPath(const Variable &variable, const llvm::json::Value &value, Genes &genes) {
  const llvm::json::Array *list = value.getAsArray();
  if (!list)
    return false;
  std::vector<Path::Point> points;
  for (const llvm::json::Value &entry : *list) {
    Path::Point point;
    if (const llvm::json::Array *coordinates = entry.getAsArray())
      for (const llvm::json::Value &coordinate : *coordinates)
        point.push_back(coordinate.getAsInteger().value_or(INT32_MIN));
    if (point.size() != variable.path->axes().size())
      return false;
    points.push_back(point);
  }
  auto found = variable.path->genesOf(points);
  if (found)
    llvm::copy(*found, genes.begin() + variable.firstGene);
  return found.has_value();
}

static bool readOrder(const Variable &variable, const llvm::json::Value &value, Genes &genes) {
  const llvm::json::Array *list = value.getAsArray();
  if (!list || list->size() != variable.elements)
    return false;
  permutation::Order order;
  for (const llvm::json::Value &entry : *list)
    order.push_back(choiceOf(variable, entry).value_or(-1));
  std::optional<permutation::Order> found = permutation::genesOf(order);
  if (found)
    llvm::copy(*found, genes.begin() + variable.firstGene);
  return found.has_value();
}

llvm::Expected<Genes> Space::fromJson(const llvm::json::Object &object) const {
  Genes result(genes, 0);
  for (const auto &[name, value] : object) {
    const Variable *variable = find(name);
    if (!variable)
      return llvm::createStringError("the space has no variable `" +
                                     llvm::Twine(llvm::StringRef(name)) + "`");
    auto refused = [&] {
      return llvm::createStringError("`" + variable->name + "` cannot be " +
                                     llvm::formatv("{0}", value).str());
    };
    if (variable->path) {
      if (!readPath(*variable, value, result))
        return refused();
    } else if (variable->isOrder()) {
      if (!readOrder(*variable, value, result))
        return refused();
    } else if (!variable->repeated) {
      std::optional<int32_t> choice = choiceOf(*variable, value);
      if (!choice)
        return refused();
      result[variable->firstGene] = *choice;
    } else {
      const llvm::json::Array *list = value.getAsArray();
      if (!list || list->size() > variable->elements)
        return refused();
      for (unsigned i = 0; i < list->size(); ++i) {
        if ((*list)[i].getAsNull())
          continue;
        std::optional<int32_t> choice = choiceOf(*variable, (*list)[i]);
        if (!choice)
          return refused();
        result[variable->firstGene + i] = *choice;
      }
    }
  }
  Genes clean = canonical(result);
  llvm::json::Object again = toJson(clean);
  for (const auto &[name, value] : object)
    if (!again.get(name))
      return llvm::createStringError("`" + llvm::Twine(llvm::StringRef(name)) +
                                     "` is given but not active");
  for (const auto &[name, value] : again) {
    const llvm::json::Value *given = object.get(name);
    if (!given)
      return llvm::createStringError("`" + llvm::Twine(llvm::StringRef(name)) + "` is missing");
    const llvm::json::Array *wanted = value.getAsArray(), *list = given->getAsArray();
    if (wanted && list && wanted->size() != list->size())
      return llvm::createStringError("`" + llvm::Twine(llvm::StringRef(name)) + "` has " +
                                     llvm::Twine(list->size()) + " values, needed are " +
                                     llvm::Twine(wanted->size()));
  }
  return clean;
}

uint64_t Space::indexOf(llvm::ArrayRef<int32_t> candidate) const {
  uint64_t index = 0;
  for (const Variable &variable : variables) {
    auto part = candidate.slice(variable.firstGene, variable.geneCount);
    if (variable.path) {
      bool valid = variable.path->points(part).has_value();
      index = index * static_cast<uint64_t>(variable.path->count()) +
              (valid ? variable.path->rank(part) : 0);
      continue;
    }
    for (auto [i, gene] : llvm::enumerate(part))
      index = index * geneChoices[variable.firstGene + i] + gene;
  }
  return index;
}

Genes Space::fromIndex(uint64_t index) const {
  Genes result(genes, 0);
  for (const Variable &variable : llvm::reverse(variables)) {
    if (variable.path) {
      auto count = static_cast<uint64_t>(variable.path->count());
      variable.path->unrank(index % count, llvm::MutableArrayRef<int32_t>(result).slice(
                                               variable.firstGene, variable.geneCount));
      index /= count;
      continue;
    }
    for (unsigned gene = variable.firstGene + variable.geneCount; gene-- > variable.firstGene;) {
      result[gene] = index % geneChoices[gene];
      index /= geneChoices[gene];
    }
  }
  return result;
}

} // namespace attune::search
