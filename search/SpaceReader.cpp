#include "attune/search/SpaceReader.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <cmath>

namespace attune::search {

using llvm::Error;

template <typename Read> Error SpaceReader::each(llvm::StringRef key, bool needed, Read read) {
  const Node *list = document.root.find(key);
  if (!list)
    return needed ? document.error(document.root, "a space needs `" + key + "`") : Error::success();
  if (Error error = document.expectList(*list, ("`" + key + "`").str()))
    return error;
  for (const Node &item : list->items)
    if (Error error = read(item))
      return error;
  return Error::success();
}

Error SpaceReader::newName(const Node &node, llvm::StringRef what, std::string &name) {
  auto found = document.required(node, "name", what);
  if (!found)
    return found.takeError();
  auto text = document.text(**found, "a name");
  if (!text)
    return text.takeError();
  bool word = !text->empty() && (llvm::isAlpha((*text)[0]) || (*text)[0] == '_') &&
              llvm::all_of(*text, [](char c) { return llvm::isAlnum(c) || c == '_'; });
  static const llvm::StringRef kReserved[] = {"and", "or", "not"};
  if (!word || llvm::is_contained(kReserved, *text))
    return document.error(**found, "a name is letters, digits and `_`; found `" + *text + "`");
  bool used = space.find(*text) || space.fixed.count(*text) ||
              llvm::any_of(space.costs, [&](const auto &cost) { return cost.name == *text; });
  if (used)
    return document.error(**found, "`" + *text + "` is defined twice");
  name = *text;
  return Error::success();
}

llvm::Expected<Expression> SpaceReader::expression(const Node &node, llvm::StringRef what,
                                                   const Variable *conditionOf) {
  auto text = document.text(node, what);
  if (!text)
    return text.takeError();
  auto scope = [&](llvm::StringRef name) -> std::optional<Reference> {
    auto [base, axisName] = name.split('.');
    const Variable *variable = space.find(base);
    Reference reference;
    if (auto fixed = space.fixed.find(name.str()); fixed != space.fixed.end()) {
      double number;
      if (llvm::StringRef(fixed->second).getAsDouble(number) || !std::isfinite(number))
        return std::nullopt;
      reference.constant = number;
      return reference;
    }
    if (!variable)
      return std::nullopt;
    reference.offset = variable->firstValue;
    if (variable->path) {
      auto axes = variable->path->axes();
      unsigned axis = 0;
      while (axis < axes.size() && axes[axis].name != axisName)
        ++axis;
      if (axis == axes.size() && !(axes.size() == 1 && axisName.empty()))
        return std::nullopt;
      reference.length = variable->path->length();
      reference.perElement = conditionOf && conditionOf->repeated && !conditionOf->repeat &&
                             conditionOf->elements == reference.length;
      reference.offset += axis == axes.size() ? 0 : axis * reference.length;
      return reference;
    }
    if (!axisName.empty())
      return std::nullopt;
    if (variable->repeated || variable->isOrder()) {
      reference.length = variable->elements;
      reference.perElement = conditionOf && conditionOf->repeated &&
                             conditionOf->repeat == variable->repeat &&
                             conditionOf->elements == variable->elements;
    }
    if (variable->words) {
      reference.symbols = &variable->labels;
      reference.firstSymbol = variable->numbers[0];
    }
    return reference;
  };
  auto parsed = Expression::parse(*text, scope);
  if (!parsed)
    return document.error(node, what + ": " + llvm::toString(parsed.takeError()));
  return parsed;
}

Error SpaceReader::readFixed(const Node &node) {
  if (node.kind != Node::Kind::Map)
    return document.error(node, "`fixed` is a map of names to values");
  for (size_t i = 0; i < node.items.size(); ++i) {
    auto text = document.text(node.items[i], "a fixed value");
    if (!text)
      return text.takeError();
    space.fixed[node.keys[i].text] = *text;
    identity += "fixed " + node.keys[i].text + "=" + *text + "\n";
  }
  return Error::success();
}

/// A name, or the user's own model.
Error SpaceReader::readTemplate(const Node &node) {
  if (node.kind != Node::Kind::Map) {
    auto name = document.text(node, "a template");
    if (!name)
      return name.takeError();
    space.templateName = *name;
    identity += "template " + *name + "\n";
    return Error::success();
  }
  if (Error error = document.expectMap(node, "a template", {"model", "choices", "dims"}))
    return error;
  space.templateName = "model";
  auto model = document.required(node, "model", "a template");
  if (!model)
    return model.takeError();
  auto file = document.text(**model, "`model`");
  if (!file)
    return file.takeError();
  space.model.file = *file;
  identity += "model " + *file;
  auto choices = document.required(node, "choices", "a template");
  if (!choices)
    return choices.takeError();
  if (Error error = document.expectList(**choices, "`choices`"))
    return error;
  for (const Node &item : (*choices)->items) {
    auto name = document.text(item, "an alternative");
    if (!name)
      return name.takeError();
    space.model.alternatives.push_back(*name);
    identity += " " + *name;
  }
  if (const Node *dims = node.find("dims")) {
    if (dims->kind != Node::Kind::Map)
      return document.error(*dims, "`dims` is a map of symbols to sizes");
    for (size_t i = 0; i < dims->items.size(); ++i) {
      auto size = document.integer(dims->items[i], "a size", 1, INT64_C(1) << 40);
      if (!size)
        return size.takeError();
      space.model.dims[dims->keys[i].text] = *size;
      identity += " " + dims->keys[i].text + "=" + std::to_string(*size);
    }
  }
  identity += "\n";
  return Error::success();
}

Error SpaceReader::readTop() {
  const Node &root = document.root;
  if (Error error = document.expectMap(root, "a space",
                                       {"attune-space", "template", "fixed", "vars", "costs",
                                        "constraints", "objectives", "budget", "seed", "window",
                                        "strategy", "evaluator", "early_stop"}))
    return error;
  auto version = document.required(root, "attune-space", "a space");
  if (!version)
    return version.takeError();
  auto number = document.integer(**version, "`attune-space`, the version of the format,", 1, 1);
  if (!number)
    return number.takeError();
  if (const Node *node = root.find("template"))
    if (Error error = readTemplate(*node))
      return error;
  if (const Node *node = root.find("fixed"))
    if (Error error = readFixed(*node))
      return error;
  if (const Node *node = root.find("seed")) {
    auto seed = document.integer(*node, "`seed`", 0, INT64_MAX);
    if (!seed)
      return seed.takeError();
    space.seed = *seed;
  }
  if (const Node *node = root.find("window")) {
    auto window = document.integer(*node, "`window`", 1, 1024);
    if (!window)
      return window.takeError();
    space.window = *window;
  }
  identity += llvm::formatv("window {0}\n", space.window);
  return Error::success();
}

llvm::Expected<Space> SpaceReader::run() {
  const Node &root = document.root;
  if (Error error = readTop())
    return std::move(error);
  // References to values point into the variables: no reallocation from here on.
  if (const Node *vars = root.find("vars"))
    space.variables.reserve(vars->items.size());
  if (Error error = each("vars", true, [&](const Node &n) { return readVariable(n); }))
    return std::move(error);
  if (Error error = each("costs", false, [&](const Node &n) { return readClosedForm(n); }))
    return std::move(error);
  if (Error error = each("constraints", false, [&](const Node &n) { return readConstraint(n); }))
    return std::move(error);
  if (Error error = each("objectives", true, [&](const Node &n) { return readObjective(n); }))
    return std::move(error);
  if (const Node *node = root.find("budget"))
    if (Error error = readBudget(*node))
      return std::move(error);
  if (const Node *node = root.find("early_stop"))
    if (Error error = readEarlyStop(*node))
      return std::move(error);
  space.strategy.name = "evolution";
  if (const Node *node = root.find("strategy"))
    if (Error error = readSpec(*node, "a strategy", space.strategy))
      return std::move(error);
  if (const Node *node = root.find("evaluator"))
    if (Error error = readSpec(*node, "an evaluator", space.evaluator))
      return std::move(error);
  space.identity = identity + layout;
  space.layout = layout;
  space.finish();
  return std::move(space);
}

llvm::Expected<Space> Space::parse(llvm::StringRef text, llvm::StringRef file) {
  size_t wrong;
  if (!llvm::json::isUTF8(text, &wrong))
    return llvm::createStringError(file + ": the file is not UTF-8 text (byte " +
                                   llvm::Twine(wrong + 1) + ")");
  auto document = Document::parse(text, file);
  if (!document)
    return document.takeError();
  return SpaceReader(std::move(*document)).run();
}

std::string Space::pathOf(llvm::StringRef path) const {
  if (llvm::sys::path::is_absolute(path) || folder.empty())
    return path.str();
  llvm::SmallString<128> whole(folder);
  llvm::sys::path::append(whole, path);
  return std::string(whole);
}

llvm::Expected<Space> Space::read(llvm::StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer)
    return llvm::createStringError("cannot read " + path + ": " + buffer.getError().message());
  auto space = parse((*buffer)->getBuffer(), path);
  if (space)
    space->folder = llvm::sys::path::parent_path(path).str();
  return space;
}

} // namespace attune::search
