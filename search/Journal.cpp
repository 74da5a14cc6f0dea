#include "attune/search/Journal.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace attune::search {

using llvm::createStringError;
using llvm::Error;

std::string Journal::pathIn(llvm::StringRef folder) {
  llvm::SmallString<128> path(folder);
  llvm::sys::path::append(path, "study.jsonl");
  return std::string(path);
}

Journal::~Journal() {
  if (file >= 0)
    ::close(file);
}

Error Journal::failure(llvm::StringRef what) const {
  return createStringError("cannot " + what + " " + path + ": " + std::strerror(errno));
}

Error Journal::lock() {
  if (::flock(file, LOCK_EX | LOCK_NB) == 0)
    return Error::success();
  if (errno == EWOULDBLOCK)
    return createStringError("another process works on " + path);
  return failure("lock");
}

llvm::Expected<Journal> Journal::create(llvm::StringRef folder) {
  if (std::error_code code = llvm::sys::fs::create_directories(folder))
    return createStringError("cannot make the folder " + folder + ": " + code.message());
  std::string path = pathIn(folder);
  int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0 && errno == EEXIST)
    return createStringError(path + " exists; `--resume` goes on with it");
  Journal journal(path, file);
  if (file < 0)
    return journal.failure("create");
  if (Error error = journal.lock())
    return std::move(error);
  // The name, too, must survive a power cut.
  if (int parent = ::open(folder.str().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); parent >= 0) {
    ::fsync(parent);
    ::close(parent);
  }
  return std::move(journal);
}

llvm::Expected<JournalContent> Journal::read(llvm::StringRef folder) {
  std::string path = pathIn(folder);
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return createStringError("cannot read " + path + ": " + buffer.getError().message());
  JournalContent content;
  llvm::StringRef rest = (*buffer)->getBuffer();
  for (size_t number = 1; !rest.empty(); ++number) {
    size_t length = rest.find('\n');
    if (length == llvm::StringRef::npos)
      break; // torn
    auto value = llvm::json::parse(rest.take_front(length));
    bool last = length + 1 == rest.size();
    if (!value || !value->getAsObject()) {
      std::string why = value ? "not an object" : llvm::toString(value.takeError());
      if (last)
        break; // torn, and then written to by someone else
      return createStringError(llvm::formatv("{0}:{1}: damaged: {2}", path, number, why).str());
    }
    content.lines.push_back(std::move(*value->getAsObject()));
    content.end += length + 1;
    rest = rest.drop_front(length + 1);
  }
  return std::move(content);
}

llvm::Expected<Journal> Journal::open(llvm::StringRef folder, JournalContent &content) {
  std::string path = pathIn(folder);
  int file = ::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
  if (file < 0 && errno == ENOENT)
    return createStringError("there is no study in " + folder + " to go on with");
  Journal journal(path, file);
  if (file < 0)
    return journal.failure("open");
  if (Error error = journal.lock())
    return std::move(error);
  auto read = Journal::read(folder);
  if (!read)
    return read.takeError();
  content = std::move(*read);
  journal.end = content.end;
  if (::ftruncate(file, content.end) != 0)
    return journal.failure("cut");
  return std::move(journal);
}

Error Journal::append(const llvm::json::Value &line, bool sync) {
  std::string text = llvm::formatv("{0}\n", line).str();
  size_t done = 0;
  while (done < text.size()) {
    ssize_t written = ::write(file, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0) {
      Error error = failure("write");
      // Best effort: reading ignores a torn line as well.
      [[maybe_unused]] int cut = ::ftruncate(file, end);
      return error;
    }
    done += written;
  }
  end += text.size();
  return sync ? this->sync() : Error::success();
}

Error Journal::sync() {
  if (::fdatasync(file) != 0)
    return failure("sync");
  return Error::success();
}

} // namespace attune::search
