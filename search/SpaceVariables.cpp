// `vars` of a space file.
#include "attune/search/SpaceReader.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

namespace attune::search {

using llvm::Error;

constexpr int64_t kMostElements = 1024, kMostValues = 65536, kMostGenes = 16384;
constexpr size_t kMostOrdered = 128;

Error SpaceReader::readValues(const Node &node, Variable &variable) {
  if (Error error = document.expectList(node, "`values`"))
    return error;
  // An order is of numbers where all are.
  variable.words = variable.kind == Variable::Kind::Categorical ||
                   (variable.isOrder() &&
                    llvm::any_of(node.items, [](const Node &item) { return !item.number(); }));
  for (const Node &item : node.items) {
    auto text = document.text(item, "a value");
    if (!text)
      return text.takeError();
    if (variable.words)
      variable.numbers.push_back(symbols++);
    else {
      auto number = document.number(item, "a value of `" + variable.name + "`");
      if (!number)
        return number.takeError();
      if (variable.kind != Variable::Kind::Float && *number != std::floor(*number))
        return document.error(item,
                              "`" + variable.name + "` takes whole numbers; found `" + *text + "`");
      if (llvm::is_contained(variable.numbers, *number))
        return document.error(item, "the value `" + *text + "` is listed twice");
      variable.numbers.push_back(*number);
    }
    if (llvm::is_contained(variable.labels, *text))
      return document.error(item, "the value `" + *text + "` is listed twice");
    variable.labels.push_back(*text);
  }
  return Error::success();
}

Error SpaceReader::readRange(const Node &node, Variable &variable) {
  if (Error error = document.expectList(node, "`range`"))
    return error;
  if (node.items.size() != 2 && node.items.size() != 3)
    return document.error(node, "`range` is [first, last] or [first, last, step]");
  double range[3] = {0, 0, 1};
  for (size_t i = 0; i < node.items.size(); ++i) {
    auto number = document.number(node.items[i], "a bound of `range`");
    if (!number)
      return number.takeError();
    range[i] = *number;
  }
  bool whole = llvm::all_of(range, [](double x) { return x == std::floor(x); });
  if (variable.kind == Variable::Kind::Integer && !whole)
    return document.error(node, "`" + variable.name + "` takes whole numbers");
  double count = std::floor((range[1] - range[0]) / range[2] + 1e-9) + 1;
  if (!(range[2] > 0) || !(count >= 1))
    return document.error(node, "`range` goes upwards, by a step above 0");
  if (count > kMostValues)
    return document.error(node, "`range` has more than " + llvm::Twine(kMostValues) + " values");
  for (int64_t i = 0; i < count; ++i) {
    variable.numbers.push_back(range[0] + i * range[2]);
    variable.labels.push_back(spelled(variable.numbers.back()));
  }
  return Error::success();
}

Error SpaceReader::readRepeat(const Node &node, Variable &variable) {
  variable.repeated = true;
  if (std::optional<double> number = node.number(); number || node.kind != Node::Kind::Scalar) {
    auto count = document.integer(node, "`repeat`", 1, kMostElements);
    if (!count)
      return count.takeError();
    variable.elements = *count;
    return Error::success();
  }
  const Variable *count = space.find(node.text);
  if (!count || count->kind != Variable::Kind::Integer || count->repeated)
    return document.error(node,
                          "`repeat` names an int variable above that is not repeated; found `" +
                              node.text + "`");
  double most = 0;
  for (double value : count->numbers) {
    if (value < 0)
      return document.error(node, "`" + node.text + "` counts elements and can be negative");
    most = std::max(most, value);
  }
  if (most < 1 || most > kMostElements)
    return document.error(node, "`" + node.text + "` allows " + spelled(most) +
                                    " elements; accepted: 1 to " + llvm::Twine(kMostElements));
  variable.elements = most;
  variable.repeat = count - space.variables.data();
  return Error::success();
}

Error SpaceReader::readPoints(const Node &node, llvm::StringRef what, unsigned axes,
                              std::vector<Path::Point> &points) {
  if (Error error = document.expectList(node, what))
    return error;
  for (const Node &item : node.items) {
    if (item.kind != Node::Kind::List || item.items.size() != axes)
      return document.error(item, what + " is a list of points, each with one number for each of " +
                                      llvm::Twine(axes) + " axes");
    Path::Point point;
    for (const Node &coordinate : item.items) {
      auto number = document.integer(coordinate, "a coordinate", -4096, 4096);
      if (!number)
        return number.takeError();
      point.push_back(*number);
    }
    points.push_back(point);
  }
  return Error::success();
}

Error SpaceReader::readPath(const Node &node, Variable &variable) {
  const std::string what = "the path `" + variable.name + "`";
  std::vector<Path::Axis> axes;
  auto given = document.required(node, "axes", what);
  if (!given)
    return given.takeError();
  if ((*given)->kind != Node::Kind::Map || (*given)->items.empty())
    return document.error(**given, "`axes` is a map of names to [lowest, highest]");
  double points = 1;
  for (size_t i = 0; i < (*given)->items.size(); ++i) {
    const Node &range = (*given)->items[i];
    if (range.kind != Node::Kind::List || range.items.size() != 2)
      return document.error(range, "an axis is [lowest, highest]");
    auto low = document.integer(range.items[0], "the lowest coordinate", -4096, 4096);
    if (!low)
      return low.takeError();
    auto high = document.integer(range.items[1], "the highest coordinate", *low, 4096);
    if (!high)
      return high.takeError();
    axes.push_back({(*given)->keys[i].text, static_cast<int>(*low), static_cast<int>(*high)});
    points *= *high - *low + 1;
  }
  auto length = document.required(node, "length", what);
  if (!length)
    return length.takeError();
  auto count = document.integer(**length, "`length`, the number of points,", 2, kMostElements);
  if (!count)
    return count.takeError();
  if (points * *count > 1e6)
    return document.error(node,
                          what + " is too large: points of the grid times length are at most 1e6");
  std::vector<Path::Point> moves, starts, ends;
  auto steps = document.required(node, "moves", what);
  if (!steps)
    return steps.takeError();
  if (Error error = readPoints(**steps, "`moves`", axes.size(), moves))
    return error;
  if (const Node *start = node.find("start"))
    if (Error error = readPoints(*start, "`start`", axes.size(), starts))
      return error;
  if (const Node *end = node.find("end")) {
    if (Error error = readPoints(*end, "`end`", axes.size(), ends))
      return error;
    if (ends.size() != 1)
      return document.error(*end, "`end` is one point, in a list");
  }
  for (const std::vector<Path::Point> *list : {&starts, &ends})
    for (const Path::Point &point : *list)
      for (size_t axis = 0; axis < axes.size(); ++axis)
        if (point[axis] < axes[axis].low || point[axis] > axes[axis].high)
          return document.error(node, what + " starts or ends outside its axes");
  std::vector<Path::Point> sorted = moves;
  llvm::sort(sorted);
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    return document.error(**steps, "a move is listed twice");
  variable.path = std::make_shared<Path>(axes, *count, moves, starts,
                                         ends.empty() ? std::nullopt : std::optional(ends[0]));
  if (variable.path->count() < 1)
    return document.error(node, what + " has no way from start to end in " + llvm::Twine(*count) +
                                    " points");
  variable.elements = *count;
  variable.geneCount = *count;
  return Error::success();
}

void SpaceReader::describe(const Variable &variable) {
  layout += llvm::formatv("var {0} {1} {2} {3} [", variable.name, static_cast<int>(variable.kind),
                          variable.elements,
                          variable.repeat ? space.variables[*variable.repeat].name : "")
                .str();
  layout += llvm::join(variable.labels, "\t") + "]";
  if (variable.when)
    layout += " when " + variable.when->text().str();
  layout += "\n";
}

Error SpaceReader::readVariable(const Node &node) {
  if (Error error = document.expectMap(node, "a variable",
                                       {"name", "kind", "values", "range", "repeat", "when", "axes",
                                        "length", "moves", "start", "end"}))
    return error;
  Variable variable;
  variable.line = node.line;
  if (Error error = newName(node, "a variable", variable.name))
    return error;
  auto kindNode = document.required(node, "kind", "the variable `" + variable.name + "`");
  if (!kindNode)
    return kindNode.takeError();
  std::optional<Variable::Kind> kind =
      llvm::StringSwitch<std::optional<Variable::Kind>>((*kindNode)->text)
          .Case("cat", Variable::Kind::Categorical)
          .Case("int", Variable::Kind::Integer)
          .Case("bool", Variable::Kind::Boolean)
          .Case("float", Variable::Kind::Float)
          .Case("path", Variable::Kind::Path)
          .Case("perm", Variable::Kind::Permutation)
          .Default(std::nullopt);
  if (!kind)
    return document.error(**kindNode, "no kind `" + (*kindNode)->text +
                                          "`; accepted: cat, int, bool, float, path, perm");
  variable.kind = *kind;
  bool path = *kind == Variable::Kind::Path, boolean = *kind == Variable::Kind::Boolean;
  bool range = *kind == Variable::Kind::Integer || *kind == Variable::Kind::Float;
  for (size_t i = 0; i < node.keys.size(); ++i) {
    llvm::StringRef key = node.keys[i].text;
    bool forPath =
        key == "axes" || key == "length" || key == "moves" || key == "start" || key == "end";
    if (forPath ? !path
                : (key == "values" && (path || boolean)) || (key == "range" && !range) ||
                      (key == "repeat" && (path || variable.isOrder())))
      return document.error(node.keys[i],
                            "a variable of kind " + (*kindNode)->text + " has no `" + key + "`");
  }
  const Node *values = node.find("values"), *bounds = node.find("range");
  if (path) {
    if (Error error = readPath(node, variable))
      return error;
    layout += "path";
    for (const char *key : {"axes", "moves", "start", "end"})
      if (const Node *part = node.find(key)) {
        layout += llvm::Twine(" ").concat(key).str();
        for (size_t i = 0; i < part->items.size(); ++i) {
          layout += " " + (part->keys.empty() ? "" : part->keys[i].text);
          for (const Node &coordinate : part->items[i].items)
            layout += "," + coordinate.text;
        }
      }
    layout += "\n";
  } else if (boolean) {
    variable.labels = {"false", "true"};
    variable.numbers = {0, 1};
  } else {
    if (!values == !bounds)
      return document.error(node, "`" + variable.name + "` needs " +
                                      (range ? "either `values` or `range`" : "`values`"));
    if (Error error = values ? readValues(*values, variable) : readRange(*bounds, variable))
      return error;
  }
  if (const Node *repeat = node.find("repeat"))
    if (Error error = readRepeat(*repeat, variable))
      return error;
  if (variable.isOrder()) {
    if (variable.labels.size() > kMostOrdered)
      return document.error(*values,
                            "an order is of at most " + llvm::Twine(kMostOrdered) + " values");
    variable.elements = variable.labels.size();
  }
  if (!path)
    variable.geneCount = variable.elements;
  if (const Node *when = node.find("when")) {
    auto condition = expression(*when, "`when`", &variable);
    if (!condition)
      return condition.takeError();
    if (condition->isArray() || !condition->isTruth())
      return document.error(*when, "`when` is one condition, such as \"attn != local\"; "
                                   "any(...) and all(...) make one of an array");
    variable.when = std::move(*condition);
  }
  variable.firstGene = space.genes;
  variable.firstValue = space.values;
  space.genes += variable.geneCount;
  space.values += variable.elements * (path ? variable.path->axes().size() : 1);
  if (space.genes > kMostGenes)
    return document.error(node, "more than " + llvm::Twine(kMostGenes) + " genes");
  describe(variable);
  space.variables.push_back(std::move(variable));
  return Error::success();
}

} // namespace attune::search
