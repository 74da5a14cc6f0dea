#include "attune/support/WriteFile.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"

#include <list>
#include <optional>

namespace attune {

namespace fs = llvm::sys::fs;

static llvm::Error writeError(llvm::StringRef path, std::error_code code) {
  std::string name = path == "-" ? "standard output" : ("`" + path + "`").str();
  return llvm::createStringError(code, "cannot write " + name + ": " + code.message());
}

/// What went wrong with a stream, which then counts as handled.
static std::error_code takeError(llvm::raw_fd_ostream &os) {
  std::error_code code = os.error();
  os.clear_error();
  return code;
}

namespace {

/// A file that is not in its place yet; removed unless kept.
class PendingFile {
public:
  PendingFile(llvm::StringRef path, unsigned mode) : path(path), mode(mode) {}
  PendingFile(const PendingFile &) = delete;
  ~PendingFile() {
    if (temporary.empty())
      return;
    fs::remove(temporary);
    llvm::sys::DontRemoveFileOnSignal(temporary);
  }

  llvm::Error write(llvm::function_ref<void(llvm::raw_ostream &)> print) {
    std::error_code code;
    std::optional<llvm::raw_fd_ostream> os;
    if (fs::real_path(path, place))
      place = path; // a new file
    fs::file_status status;
    if (!fs::status(place, status) && fs::is_other(status)) {
      os.emplace(place, code);
    } else {
      int descriptor;
      code = fs::createUniqueFile(place + ".%%%%%%.tmp", descriptor, temporary);
      if (code)
        temporary.clear();
      else
        os.emplace(descriptor, /*shouldClose=*/true);
    }
    if (code)
      return writeError(path, code);
    if (!temporary.empty())
      llvm::sys::RemoveFileOnSignal(temporary);
    print(*os);
    os->close();
    code = takeError(*os);
    return code ? writeError(path, code) : llvm::Error::success();
  }

  llvm::Error keep() {
    if (temporary.empty())
      return llvm::Error::success();
    (void)fs::setPermissions(temporary, fs::perms(mode & ~fs::getUmask()));
    if (std::error_code code = fs::rename(temporary, place))
      return writeError(path, code);
    llvm::sys::DontRemoveFileOnSignal(temporary);
    temporary.clear();
    return llvm::Error::success();
  }

  /// Takes back what was kept.
  void remove() const { fs::remove(place); }

private:
  std::string path;
  unsigned mode;
  llvm::SmallString<128> place, temporary; ///< no temporary: `place` is written directly
};

} // namespace

llvm::Error writeFile(llvm::StringRef path, llvm::function_ref<void(llvm::raw_ostream &)> write,
                      unsigned mode) {
  if (path == "-") {
    write(llvm::outs());
    return finishStandardOutput();
  }
  PendingFile file(path, mode);
  if (llvm::Error error = file.write(write))
    return error;
  return file.keep();
}

llvm::Error writeFiles(llvm::ArrayRef<FileContent> files) {
  std::list<PendingFile> pending;
  for (const FileContent &file : files)
    if (llvm::Error error = pending.emplace_back(file.path, 0666).write([&](llvm::raw_ostream &os) {
          os << file.content;
        }))
      return error;
  // What can still fail is the first rename, with nothing replaced yet, barring races.
  for (auto file = pending.begin(); file != pending.end(); ++file)
    if (llvm::Error error = file->keep()) {
      for (auto kept = pending.begin(); kept != file; ++kept)
        kept->remove();
      return error;
    }
  return llvm::Error::success();
}

llvm::Error finishStandardOutput() {
  llvm::outs().flush();
  std::error_code code = takeError(llvm::outs());
  return code ? writeError("-", code) : llvm::Error::success();
}

} // namespace attune
