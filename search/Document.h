//===- Document.h - A YAML or JSON file as a tree with places ---------------------------------===//
//
// What space files are read from. Parsing is LLVM's; this keeps the place of every node, so that
// whoever interprets the tree can say `file:line:column: what was found, what is accepted`.
// JSON is read as the subset of YAML that it is. Anchors, aliases and tags are refused.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_DOCUMENT_H
#define ATTUNE_SEARCH_DOCUMENT_H

#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace attune::search {

struct Node {
  enum class Kind { Null, Scalar, List, Map };
  Kind kind = Kind::Null;
  std::string text;        ///< of a scalar
  bool quoted = false;     ///< "3" is text, 3 is a number
  std::vector<Node> keys;  ///< of a map, beside `items`
  std::vector<Node> items; ///< of a list or map
  unsigned line = 0, column = 0;

  const Node *find(llvm::StringRef key) const;
  std::optional<double> number() const;
};

class Document {
public:
  static llvm::Expected<Document> parse(llvm::StringRef text, llvm::StringRef file);

  llvm::Error error(const Node &at, const llvm::Twine &message) const;

  /// Readers: each says what it wanted where the node is something else.
  llvm::Error expectMap(const Node &node, llvm::StringRef what,
                        llvm::ArrayRef<llvm::StringRef> accepted) const;
  llvm::Error expectList(const Node &node, llvm::StringRef what) const;
  llvm::Expected<std::string> text(const Node &node, llvm::StringRef what) const;
  llvm::Expected<double> number(const Node &node, llvm::StringRef what) const;
  llvm::Expected<int64_t> integer(const Node &node, llvm::StringRef what, int64_t least,
                                  int64_t most) const;
  llvm::Expected<const Node *> required(const Node &map, llvm::StringRef key,
                                        llvm::StringRef what) const;

  Node root;
  std::string file;
};

/// "a, b, c"
std::string listed(llvm::ArrayRef<llvm::StringRef> words);
std::string listed(llvm::ArrayRef<std::string> words);
/// The shortest spelling that reads back as the same number.
std::string spelled(double number);

} // namespace attune::search
#endif
