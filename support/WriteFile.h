//===- WriteFile.h - Files that appear complete or not at all ---------------------------------===//
//
// Everything that the tools, the search and the compiler write to paths of the user goes through
// here, so that a full disk or a folder without permission is one error that names the file.
//
// A file is written under a temporary name beside its own, then renamed. What a rename would
// destroy (devices, pipes) is written directly, links are followed. `-` is standard output.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SUPPORT_WRITEFILE_H
#define ATTUNE_SUPPORT_WRITEFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>

namespace attune {

/// Replaces a file by what `write` prints; errors say "cannot write" and why. `mode` without the
/// bits of the process's umask.
llvm::Error writeFile(llvm::StringRef path, llvm::function_ref<void(llvm::raw_ostream &)> write,
                      unsigned mode = 0666);

struct FileContent {
  std::string path, content;
};

/// Writes all files or, on an error, none.
llvm::Error writeFiles(llvm::ArrayRef<FileContent> files);

/// Flushes standard output and gives what went wrong with it so far: the last thing a tool does.
llvm::Error finishStandardOutput();

} // namespace attune
#endif
