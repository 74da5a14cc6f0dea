#include "attune/codegen/cost/UserFile.h"
#include "attune/support/WriteFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

namespace attune::codegen {

std::string userFile(llvm::StringRef kind, const CpuTarget &target) {
  llvm::SmallString<128> path;
  if (const char *folder = std::getenv("XDG_CACHE_HOME"); folder && *folder)
    path = folder;
  else if (!llvm::sys::path::cache_directory(path))
    return "";
  std::string name = target.cpu + "-" + std::to_string(target.vectorBits) + ".json";
  llvm::sys::path::append(path, "attune", kind, name);
  return path.str().str();
}

llvm::Error writeJson(const std::string &path, const llvm::json::Value &value) {
  llvm::StringRef folder = llvm::sys::path::parent_path(path);
  std::error_code code =
      folder.empty() ? std::error_code() : llvm::sys::fs::create_directories(folder);
  if (code)
    return llvm::createStringError(code, "cannot write `" + path + "`: " + code.message());
  return writeFile(path, [&](llvm::raw_ostream &os) { os << llvm::formatv("{0:2}\n", value); });
}

} // namespace attune::codegen
