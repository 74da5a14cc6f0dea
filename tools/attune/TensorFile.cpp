#include "attune/tools/attune/TensorFile.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <list>

namespace attune::tools {

llvm::Expected<NamedTensor> readTensorFile(llvm::StringRef path, attune_dtype wanted) {
  auto fails = [&](llvm::Error error) {
    return llvm::createStringError("cannot read `" + path +
                                   "`: " + llvm::toString(std::move(error)));
  };
  llvm::StringRef extension = llvm::sys::path::extension(path);
  if (extension != ".npy" && extension != ".pb")
    return llvm::createStringError("`" + path + "` is neither a .npy nor a .pb file");
  if (llvm::sys::fs::is_directory(path))
    return llvm::createStringError("cannot read `" + path + "`: it is a folder");
  auto buffer =
      llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return fails(llvm::errorCodeToError(buffer.getError()));
  if (extension == ".npy") {
    llvm::Expected<Tensor> tensor = decodeNpy((*buffer)->getBuffer(), wanted);
    if (!tensor)
      return fails(tensor.takeError());
    return NamedTensor{"", std::move(*tensor)};
  }
  llvm::Expected<NamedTensor> tensor = decodeTensorProto((*buffer)->getBuffer());
  if (!tensor)
    return fails(tensor.takeError());
  return tensor;
}

static llvm::Error writeError(llvm::StringRef path, std::error_code code) {
  return llvm::createStringError(code, "cannot write `" + path + "`: " + code.message());
}

llvm::Error writeFiles(llvm::ArrayRef<FileContent> files) {
  namespace fs = llvm::sys::fs;
  std::list<llvm::FileRemover> removers;
  std::vector<std::string> temporaries;
  for (const FileContent &file : files) {
    int descriptor;
    llvm::SmallString<128> temporary;
    if (std::error_code code =
            fs::createUniqueFile(file.path + ".%%%%%%.tmp", descriptor, temporary))
      return writeError(file.path, code);
    removers.emplace_back(temporary);
    temporaries.push_back(temporary.str().str());
    llvm::raw_fd_ostream os(descriptor, /*shouldClose=*/true);
    os << file.content;
    os.close();
    if (os.has_error()) {
      std::error_code code = os.error();
      os.clear_error();
      return writeError(file.path, code);
    }
    (void)fs::setPermissions(temporary, fs::perms(0666 & ~fs::getUmask()));
  }
  // What can still fail is the first rename, with nothing replaced yet, barring races.
  for (size_t i = 0; i < files.size(); ++i)
    if (std::error_code code = fs::rename(temporaries[i], files[i].path)) {
      for (size_t j = 0; j < i; ++j)
        fs::remove(files[j].path);
      return writeError(files[i].path, code);
    }
  for (llvm::FileRemover &remover : removers)
    remover.releaseFile();
  return llvm::Error::success();
}

} // namespace attune::tools
