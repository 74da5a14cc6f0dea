//===- Process.h - A child that speaks lines --------------------------------------------------===//
#ifndef ATTUNE_SEARCH_PROCESS_H
#define ATTUNE_SEARCH_PROCESS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace attune::search {

class Process {
public:
  struct Options {
    std::vector<std::string> command;
    std::string folder;  ///< to work in; empty: this process's
    std::string logFile; ///< gets standard error; empty: this process's
    uint64_t memory = 0; ///< bytes of address space; 0: no limit
  };

  ~Process() { kill(); }
  llvm::Error start(const Options &options);
  bool running() const { return pid > 0; }
  /// The descriptor to poll.
  int output() const { return out; }
  /// False if the child does not take it.
  bool send(llvm::StringRef line);
  /// Takes what there is: whole lines. False at the end of the child's output.
  bool receive(std::vector<std::string> &lines);
  /// Kills the child and everything in its group; says how it ended.
  std::string kill();

private:
  int pid = -1, in = -1, out = -1;
  std::string buffer;
};

} // namespace attune::search
#endif
