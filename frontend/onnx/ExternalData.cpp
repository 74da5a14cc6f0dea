#include "attune/frontend/onnx/Load.h"

#include "llvm/ADT/StringExtras.h"
#include <fcntl.h>
#include <filesystem>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace attune::onnx {

namespace {
struct Mapping {
  char *data = nullptr;
  size_t size = 0;
  ~Mapping() {
    if (data)
      munmap(data, size);
  }
};
} // namespace

/// The file that `location` names, if it lies in the folder of the model.
static fs::path resolve(const std::string &location, const std::string &modelPath,
                        const std::string &what) {
  fs::path relative(location);
  bool climbs = llvm::any_of(relative, [](const fs::path &part) { return part == ".."; });
  if (location.empty() || relative.is_absolute() || climbs)
    throw ImportError(what + ": external data at '" + location +
                      "' leaves the model's folder; a relative path inside it is accepted");
  fs::path folder = fs::path(modelPath).parent_path();
  if (folder.empty())
    folder = ".";
  std::error_code error;
  fs::path root = fs::canonical(folder, error);
  if (error)
    throw ImportError("cannot open the folder " + folder.string() + ": " + error.message());
  fs::path file = fs::canonical(folder / relative, error);
  if (error)
    throw ImportError(what + ": cannot open external data " + (folder / relative).string() + ": " +
                      error.message());
  auto [end, unused] = std::mismatch(root.begin(), root.end(), file.begin(), file.end());
  if (end != root.end())
    throw ImportError(what + ": external data at '" + location +
                      "' leads out of the model's folder by a link");
  return file;
}

static std::shared_ptr<Mapping> mapFile(const fs::path &file, const std::string &what,
                                        MappedFiles &files) {
  if (auto it = files.find(file.string()); it != files.end())
    return std::static_pointer_cast<Mapping>(it->second);
  int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    std::string reason = fd < 0 ? strerror(errno) : "not a regular file";
    if (fd >= 0)
      ::close(fd);
    throw ImportError(what + ": cannot open external data " + file.string() + ": " + reason);
  }
  auto mapping = std::make_shared<Mapping>();
  mapping->size = info.st_size;
  if (info.st_size > 0) {
    void *data = mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    int code = errno;
    ::close(fd);
    if (data == MAP_FAILED)
      throw ImportError(what + ": cannot map " + file.string() + ": " + strerror(code));
    mapping->data = static_cast<char *>(data);
  } else {
    ::close(fd);
  }
  files[file.string()] = mapping;
  return mapping;
}

Weight mapExternal(const ::onnx::TensorProto &tensor, const std::string &modelPath,
                   MappedFiles &files) {
  std::string what = "tensor '" + tensor.name() + "'", location;
  std::optional<uint64_t> offset = 0, length;
  for (const auto &entry : tensor.external_data()) {
    uint64_t number = 0;
    bool isNumber = !llvm::StringRef(entry.value()).getAsInteger(10, number);
    if (entry.key() == "location") {
      location = entry.value();
    } else if (entry.key() == "offset" || entry.key() == "length") {
      if (!isNumber)
        throw ImportError(what + ": the " + entry.key() + " of its external data is '" +
                          entry.value() + "'; a number of bytes is accepted");
      (entry.key() == "offset" ? offset : length) = number;
    } else if (entry.key() != "checksum") {
      throw ImportError("unsupported: " + what + ": external data with '" + entry.key() + "'");
    }
  }
  Weight weight;
  weight.dtype = tensor.data_type();
  weight.shape.assign(tensor.dims().begin(), tensor.dims().end());
  uint64_t bytes = byteSize(weight.dtype, weight.shape, what);
  auto mapping = mapFile(resolve(location, modelPath, what), what, files);
  if (length.value_or(bytes) != bytes)
    throw ImportError(what + " has " + std::to_string(*length) +
                      " bytes of external data; its shape and element type need " +
                      std::to_string(bytes));
  if (*offset > mapping->size || bytes > mapping->size - *offset)
    throw ImportError(what + ": its external data ends at byte " + std::to_string(*offset) + " + " +
                      std::to_string(bytes) + ", but '" + location + "' has " +
                      std::to_string(mapping->size) + " bytes");
  weight.data = llvm::ArrayRef<char>(mapping->data + *offset, bytes);
  weight.owner = mapping;
  return weight;
}

} // namespace attune::onnx
