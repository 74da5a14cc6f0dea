//===- SpaceReader.h - From a document to a space ---------------------------------------------===//
//
// Private to Space::parse. Every reader leaves through an error that names the place, what was
// found and what is accepted.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_SPACEREADER_H
#define ATTUNE_SEARCH_SPACEREADER_H

#include "attune/search/Document.h"
#include "attune/search/Space.h"

namespace attune::search {

class SpaceReader {
public:
  explicit SpaceReader(Document document) : document(std::move(document)) {}
  llvm::Expected<Space> run();

private:
  llvm::Error readTop();
  llvm::Error readTemplate(const Node &node);
  llvm::Error readFixed(const Node &node);
  // SpaceVariables.cpp
  llvm::Error readVariable(const Node &node);
  llvm::Error readRepeat(const Node &node, Variable &variable);
  llvm::Error readValues(const Node &node, Variable &variable);
  llvm::Error readRange(const Node &node, Variable &variable);
  llvm::Error readPath(const Node &node, Variable &variable);
  llvm::Error readPoints(const Node &node, llvm::StringRef what, unsigned axes,
                         std::vector<Path::Point> &points);
  // SpaceGoals.cpp
  llvm::Error readClosedForm(const Node &node);
  llvm::Error readConstraint(const Node &node);
  llvm::Error readObjective(const Node &node);
  llvm::Error readBudget(const Node &node);
  llvm::Error readEarlyStop(const Node &node);
  llvm::Expected<CostName> readCostName(const Node &node);
  llvm::Error readSpec(const Node &node, llvm::StringRef what, Spec &spec);

  llvm::Expected<Expression> expression(const Node &node, llvm::StringRef what,
                                        const Variable *conditionOf = nullptr);
  llvm::Error newName(const Node &node, llvm::StringRef what, std::string &name);
  template <typename Read> llvm::Error each(llvm::StringRef key, bool needed, Read read);
  void describe(const Variable &variable);

  Document document;
  Space space;
  unsigned symbols = 0;
  std::string identity, layout;
};

} // namespace attune::search
#endif
