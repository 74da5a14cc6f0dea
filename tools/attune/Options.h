//===- Options.h - Command-line options of the subcommands ------------------------------------===//
//
// A table of options per command: flags take a value as `--name=value` or `--name value`. An option
// of the contract that is not built yet is listed as such and refused with exit code 2.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_OPTIONS_H
#define ATTUNE_TOOLS_ATTUNE_OPTIONS_H

#include "attune/tools/attune/Commands.h"

#include <functional>
#include <string>
#include <vector>

namespace attune::tools {

class Options {
public:
  Options(llvm::StringRef command, llvm::StringRef usage) : command(command), usage(usage) {}

  /// `value` names the argument in the help text; empty for a switch.
  void add(llvm::StringRef name, llvm::StringRef value, llvm::StringRef help,
           std::function<llvm::Error(llvm::StringRef)> set);
  void addString(llvm::StringRef name, llvm::StringRef value, llvm::StringRef help,
                 std::string &target);
  void addInteger(llvm::StringRef name, llvm::StringRef value, llvm::StringRef help, int64_t least,
                  int64_t &target);
  /// A switch that may have a value (`--name` or `--name=value`).
  void addOptionalInteger(llvm::StringRef name, llvm::StringRef value, llvm::StringRef help,
                          int64_t least, int64_t &target, bool &given);
  void addSwitch(llvm::StringRef name, llvm::StringRef help, bool &target);
  void addNotImplemented(llvm::ArrayRef<llvm::StringRef> names);

  /// `--target`, `--cpu`, `--dim`, `--shape` and others, which every command that compiles takes.
  void addCompileOptions(CompileOptions &options);
  /// `--dim` alone.
  void addDims(CompileOptions &options);

  /// Parses; on success `positional` holds the rest. Otherwise the exit code to return: usage
  /// errors, or 0 after `--help`.
  std::optional<int> parse(Args args, std::vector<std::string> &positional);

private:
  struct Option {
    std::string name, value, help;
    std::function<llvm::Error(llvm::StringRef)> set; ///< null: not implemented yet
    bool optionalValue = false;
  };
  int usageError(const llvm::Twine &message);
  void printHelp();

  std::string command, usage;
  std::vector<Option> options;
};

} // namespace attune::tools
#endif
