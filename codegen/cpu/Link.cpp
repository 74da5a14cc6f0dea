#include "attune/codegen/cpu/Link.h"
#include "attune/support/WriteFile.h"

#include "lld/Common/Driver.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>
#include <string>
#include <vector>

LLD_HAS_DRIVER(elf)

namespace attune::codegen {

namespace {
/// Files that lld reads; removed at the end of the link.
class TemporaryFiles {
public:
  ~TemporaryFiles() {
    for (const std::string &path : paths)
      llvm::sys::fs::remove(path);
  }
  llvm::Expected<std::string> write(llvm::StringRef suffix, llvm::StringRef content) {
    llvm::SmallString<128> path;
    if (std::error_code error = llvm::sys::fs::createTemporaryFile("attune", suffix, path))
      return llvm::createStringError(error, "cannot make a temporary file: " + error.message());
    paths.push_back(path.str().str());
    if (llvm::Error error = writeFile(path, [&](llvm::raw_ostream &os) { os << content; }))
      return std::move(error);
    return paths.back();
  }

private:
  std::vector<std::string> paths;
};
} // namespace

static std::string versionScript(llvm::ArrayRef<llvm::StringRef> symbols) {
  std::string text = "{\n";
  if (!symbols.empty())
    text += "global:\n";
  for (llvm::StringRef symbol : symbols)
    text += "  \"" + symbol.str() + "\";\n";
  return text + "local: *;\n};\n";
}

llvm::Error linkShared(llvm::ArrayRef<llvm::StringRef> objects,
                       llvm::ArrayRef<llvm::StringRef> symbols, llvm::StringRef output) {
  TemporaryFiles files;
  auto script = files.write("map", versionScript(symbols));
  if (!script)
    return script.takeError();
  std::vector<std::string> arguments = {"ld.lld",
                                        "-shared",
                                        "--version-script",
                                        *script,
                                        "-z",
                                        "now",
                                        "-z",
                                        "undefs",
                                        "-z",
                                        "noexecstack",
                                        "--threads=1",
                                        "--build-id=none",
                                        "--hash-style=gnu",
                                        "-o",
                                        output.str()};
  for (llvm::StringRef object : objects) {
    auto path = files.write("o", object);
    if (!path)
      return path.takeError();
    arguments.push_back(*path);
  }
  std::vector<const char *> argv;
  for (const std::string &argument : arguments)
    argv.push_back(argument.c_str());

  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  std::string out, messages;
  llvm::raw_string_ostream outStream(out), errorStream(messages);
  lld::Result result = lld::lldMain(argv, outStream, errorStream, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode == 0)
    return llvm::Error::success();
  llvm::sys::fs::remove(output);
  return llvm::createStringError("cannot link " + output + ": " + llvm::StringRef(messages).trim());
}

} // namespace attune::codegen
