//===- Tuning.h - Decisions that were measured ------------------------------------------------===//
//
// `attune compile --tune` measures alternatives of a decision (a form, a code generator, a merge)
// on the machine and keeps the winner here, by a key of the structure that is decided. Later
// compilations for this CPU and number of threads take it instead of the cheapest by price. Every
// alternative is one that the compiler could have taken: only time depends on the file.
//
//   auto tuning = Tuning::of(target, compilerVersion(), threads);
//   if (const Tuning::Entry *entry = tuning->find(key))
//     use(entry->chosen);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_TUNING_H
#define ATTUNE_CODEGEN_COST_TUNING_H

#include "attune/codegen/cpu/Target.h"

#include <map>

namespace attune::codegen {

class Tuning {
public:
  struct Entry {
    std::string what; ///< for people: the kind of decision and what it is about
    std::string chosen;
    std::map<std::string, double> seconds; ///< of every alternative that was measured
  };

  /// What is known for this target: from the file that ATTUNE_TUNING names (`none`: nothing), else
  /// from `defaultPath`, which may be missing and is ignored if another version wrote it. Any other
  /// file that cannot be used is an error. `writes`: a missing file is to be made.
  static llvm::Expected<Tuning> of(const CpuTarget &target, llvm::StringRef version,
                                   unsigned threads, bool writes = false);
  /// Beside the calibration; "" without a home folder.
  static std::string defaultPath(const CpuTarget &target);

  const Entry *find(llvm::StringRef key) const;
  void set(const std::string &key, Entry entry) { entries[threads][key] = std::move(entry); }
  bool isEmpty() const;
  /// Replaces the file, complete or not at all.
  llvm::Error write() const;

  const std::string &file() const { return path; } ///< "" where nothing is kept

private:
  llvm::Error read();

  std::string path, cpu, version;
  int64_t vectorBits = 0;
  unsigned threads = 1;
  std::map<unsigned, std::map<std::string, Entry>> entries; ///< by threads, then key
};

} // namespace attune::codegen
#endif
