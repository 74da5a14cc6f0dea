#include "attune/tools/attune/TensorFile.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

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

} // namespace attune::tools
