#include "attune/search/Document.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/YAMLParser.h"

#include <cmath>
#include <cstdio>

namespace yaml = llvm::yaml;

namespace attune::search {
namespace {

constexpr unsigned kDeepest = 32;

/// Copies LLVM's nodes, which can be visited once only, into a tree.
class Copier {
public:
  Copier(llvm::SourceMgr &sources, std::string &message) : sources(sources), message(message) {}

  bool copy(yaml::Node *from, Node &to, unsigned depth) {
    if (!from)
      return false;
    // The nodes that the parser makes up after an error lie nowhere.
    llvm::SMLoc start = from->getSourceRange().Start;
    if (start.isValid() && sources.FindBufferContainingLoc(start))
      std::tie(to.line, to.column) = sources.getLineAndColumn(start);
    if (depth > kDeepest)
      return fail(to, "nested more than " + llvm::Twine(kDeepest) + " levels deep");
    if (!from->getAnchor().empty() || llvm::isa<yaml::AliasNode>(from))
      return fail(to, "anchors and aliases are not accepted");
    if (!from->getRawTag().empty())
      return fail(to, "tags are not accepted");
    if (llvm::isa<yaml::NullNode>(from))
      return true;
    if (auto *scalar = llvm::dyn_cast<yaml::ScalarNode>(from))
      return copyScalar(*scalar, to);
    if (auto *block = llvm::dyn_cast<yaml::BlockScalarNode>(from)) {
      to.kind = Node::Kind::Scalar;
      to.quoted = true;
      to.text = block->getValue().str();
      return true;
    }
    if (auto *list = llvm::dyn_cast<yaml::SequenceNode>(from)) {
      to.kind = Node::Kind::List;
      for (yaml::Node &item : *list)
        if (!copy(&item, to.items.emplace_back(), depth + 1))
          return false;
      return true;
    }
    if (auto *map = llvm::dyn_cast<yaml::MappingNode>(from))
      return copyMap(*map, to, depth);
    return fail(to, "expected a value");
  }

private:
  bool fail(const Node &at, const llvm::Twine &text) {
    if (message.empty())
      message = (llvm::Twine(at.line) + ":" + llvm::Twine(at.column) + ": " + text).str();
    return false;
  }

  bool copyScalar(yaml::ScalarNode &scalar, Node &to) {
    to.kind = Node::Kind::Scalar;
    llvm::StringRef raw = scalar.getRawValue();
    to.quoted = raw.starts_with("\"") || raw.starts_with("'");
    llvm::SmallString<32> storage;
    to.text = scalar.getValue(storage).str();
    if (!to.quoted && (to.text.empty() || to.text == "null" || to.text == "~"))
      to.kind = Node::Kind::Null;
    return true;
  }

  bool copyMap(yaml::MappingNode &map, Node &to, unsigned depth) {
    to.kind = Node::Kind::Map;
    for (yaml::KeyValueNode &pair : map) {
      Node key;
      if (!copy(pair.getKey(), key, depth + 1))
        return false;
      if (key.kind != Node::Kind::Scalar)
        return fail(key, "keys are plain words");
      if (to.find(key.text))
        return fail(key, "`" + key.text + "` is given twice");
      to.keys.push_back(key);
      if (!copy(pair.getValue(), to.items.emplace_back(), depth + 1))
        return false;
    }
    return true;
  }

  llvm::SourceMgr &sources;
  std::string &message;
};

llvm::StringRef kindName(const Node &node) {
  switch (node.kind) {
  case Node::Kind::Null:
    return "nothing";
  case Node::Kind::Scalar:
    return "a word or number";
  case Node::Kind::List:
    return "a list";
  case Node::Kind::Map:
    return "a map";
  }
  return "";
}

std::string found(const Node &node) {
  if (node.kind == Node::Kind::Scalar)
    return "`" + node.text + "`";
  return kindName(node).str();
}

} // namespace

const Node *Node::find(llvm::StringRef key) const {
  for (size_t i = 0; i < keys.size(); ++i)
    if (keys[i].text == key)
      return i < items.size() ? &items[i] : nullptr;
  return nullptr;
}

std::optional<double> Node::number() const {
  double value;
  if (kind != Kind::Scalar || quoted || llvm::StringRef(text).getAsDouble(value) ||
      !std::isfinite(value))
    return std::nullopt;
  return value;
}

llvm::Expected<Document> Document::parse(llvm::StringRef text, llvm::StringRef file) {
  std::string message;
  llvm::SourceMgr sources;
  sources.setDiagHandler(
      [](const llvm::SMDiagnostic &diagnostic, void *context) {
        auto &message = *static_cast<std::string *>(context);
        if (message.empty())
          message = (llvm::Twine(diagnostic.getLineNo()) + ":" +
                     llvm::Twine(diagnostic.getColumnNo() + 1) + ": " + diagnostic.getMessage())
                        .str();
      },
      &message);
  auto failure = [&](const llvm::Twine &what) {
    return llvm::createStringError(file + ":" + what);
  };
  // A NUL would end the parser's buffer early.
  if (size_t nul = text.find('\0'); nul != llvm::StringRef::npos)
    return failure(llvm::Twine(text.take_front(nul).count('\n') + 1) + ":1: not a text file");

  yaml::Stream stream(llvm::MemoryBufferRef(text, file), sources);
  Document document;
  document.file = file.str();
  auto first = stream.begin();
  if (first == stream.end())
    return failure("1:1: empty");
  bool copied = Copier(sources, message).copy(first->getRoot(), document.root, 0);
  if (!copied || stream.failed() || !message.empty())
    return failure(message.empty() ? "1:1: not YAML" : message);
  if (document.root.kind == Node::Kind::Null)
    return failure("1:1: empty");
  ++first;
  if (first != stream.end() || stream.failed())
    return failure(message.empty() ? "1:1: holds more than one document" : message);
  return document;
}

llvm::Error Document::error(const Node &at, const llvm::Twine &message) const {
  return llvm::createStringError(llvm::Twine(file) + ":" + llvm::Twine(at.line) + ":" +
                                 llvm::Twine(at.column) + ": " + message);
}

llvm::Error Document::expectMap(const Node &node, llvm::StringRef what,
                                llvm::ArrayRef<llvm::StringRef> accepted) const {
  if (node.kind != Node::Kind::Map)
    return error(node, what + " is a map of " + listed(accepted) + "; found " + found(node));
  for (const Node &key : node.keys)
    if (!llvm::is_contained(accepted, key.text))
      return error(key, what + " has no key `" + key.text + "`; accepted: " + listed(accepted));
  return llvm::Error::success();
}

llvm::Error Document::expectList(const Node &node, llvm::StringRef what) const {
  if (node.kind == Node::Kind::List && !node.items.empty())
    return llvm::Error::success();
  return error(node, what + " is a list with at least one entry; found " +
                         (node.kind == Node::Kind::List ? "an empty list" : found(node)));
}

llvm::Expected<std::string> Document::text(const Node &node, llvm::StringRef what) const {
  if (node.kind != Node::Kind::Scalar)
    return error(node, what + " is a word; found " + found(node));
  return node.text;
}

llvm::Expected<double> Document::number(const Node &node, llvm::StringRef what) const {
  if (std::optional<double> value = node.number())
    return *value;
  return error(node, what + " is a number; found " + found(node));
}

llvm::Expected<int64_t> Document::integer(const Node &node, llvm::StringRef what, int64_t least,
                                          int64_t most) const {
  int64_t value;
  if (node.kind != Node::Kind::Scalar || node.quoted ||
      llvm::StringRef(node.text).getAsInteger(10, value) || value < least || value > most)
    return error(node, what + " is a whole number from " + llvm::Twine(least) + " to " +
                           llvm::Twine(most) + "; found " + found(node));
  return value;
}

llvm::Expected<const Node *> Document::required(const Node &map, llvm::StringRef key,
                                                llvm::StringRef what) const {
  if (const Node *value = map.find(key))
    return value;
  return error(map, what + " needs `" + key + "`");
}

std::string listed(llvm::ArrayRef<llvm::StringRef> words) { return llvm::join(words, ", "); }
std::string listed(llvm::ArrayRef<std::string> words) { return llvm::join(words, ", "); }

std::string spelled(double number) {
  char text[32];
  for (int digits : {6, 15, 17}) {
    std::snprintf(text, sizeof text, "%.*g", digits, number);
    double again;
    if (!llvm::StringRef(text).getAsDouble(again) && again == number)
      break;
  }
  return text;
}

} // namespace attune::search
