//===- Journal.h - What a study has done, on disk ---------------------------------------------===//
//
// `study.jsonl` in the folder of the study: JSON lines that are only ever appended. A line that
// breaks off at the end of the file (power cut, kill, full disk) is ignored and cut off when the
// study goes on. One process at a time: the file is locked.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_JOURNAL_H
#define ATTUNE_SEARCH_JOURNAL_H

#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <string>
#include <vector>

namespace attune::search {

struct JournalContent {
  std::vector<llvm::json::Object> lines; ///< the first one is the header
  uint64_t end = 0;                      ///< size of the whole lines in bytes
};

class Journal {
public:
  /// Makes the folder and an empty journal; refuses where there is one already.
  static llvm::Expected<Journal> create(llvm::StringRef folder);
  /// Opens the journal of a study to go on with it.
  static llvm::Expected<Journal> open(llvm::StringRef folder, JournalContent &content);
  /// Reads without locking.
  static llvm::Expected<JournalContent> read(llvm::StringRef folder);
  static std::string pathIn(llvm::StringRef folder);

  /// `sync`: on return the line is safe on disk. After an error the file holds whole lines only.
  llvm::Error append(const llvm::json::Value &line, bool sync);
  llvm::Error sync();

  Journal(Journal &&other) : path(std::move(other.path)), file(other.file), end(other.end) {
    other.file = -1;
  }
  ~Journal();

private:
  Journal(std::string path, int file) : path(std::move(path)), file(file) {}
  llvm::Error lock();
  llvm::Error failure(llvm::StringRef what) const;

  std::string path;
  int file;
  uint64_t end = 0;
};

} // namespace attune::search
#endif
