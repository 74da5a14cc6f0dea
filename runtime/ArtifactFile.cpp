#include "attune/runtime/ArtifactFile.h"
#include "attune/runtime/Cpu.h"
#include "attune/runtime/Error.h"
#include <atomic>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

static_assert(std::endian::native == std::endian::little, "artifacts are little endian");

namespace attune::rt {

#if defined(__x86_64__)
static constexpr uint16_t kMachine = EM_X86_64;
#elif defined(__aarch64__)
static constexpr uint16_t kMachine = EM_AARCH64;
#else
static constexpr uint16_t kMachine = EM_NONE;
#endif

static constexpr uint64_t kMaxNotes = 1 << 20, kMaxMetadata = uint64_t(1) << 31;

ArtifactFile::ArtifactFile(const std::string &path) : path(path) {
  try {
    // Not blocking: a pipe of that name must not stop us.
    file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
      fail(ATTUNE_ERROR_SYSTEM, "cannot open `", path, "`: ", strerror(errno));
    struct stat status;
    if (fstat(file, &status) != 0)
      fail(ATTUNE_ERROR_SYSTEM, "cannot read `", path, "`: ", strerror(errno));
    if (!S_ISREG(status.st_mode))
      fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` is not a regular file");
    fileSize = uint64_t(status.st_size);
    readNote();
    checkNote();
    meta.resize(note.metaSize);
    read(note.metaOffset, meta.data(), meta.size(), "metadata");
    if (artifact::hash(meta.data(), meta.size()) != note.metaHash)
      fail(ATTUNE_ERROR_ARTIFACT, "`", path,
           "`: the metadata is damaged (its hash differs from the one in the note)");
  } catch (...) {
    if (file >= 0)
      close(file);
    throw;
  }
}

ArtifactFile::~ArtifactFile() {
  if (library)
    dlclose(library);
  if (mapping)
    munmap(mapping, mappingSize);
  if (file >= 0)
    close(file);
}

void ArtifactFile::read(uint64_t offset, void *data, uint64_t size, const char *what) const {
  if (offset > fileSize || size > fileSize - offset)
    fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` is truncated: ", what, " at byte ", offset, " of ",
         size, " bytes, but the file has ", fileSize);
  auto *to = static_cast<char *>(data);
  while (size) {
    ssize_t got = pread(file, to, size, off_t(offset));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      fail(ATTUNE_ERROR_SYSTEM, "cannot read ", what, " of `", path,
           "`: ", got ? strerror(errno) : "the file became shorter");
    to += got, offset += uint64_t(got), size -= uint64_t(got);
  }
}

void ArtifactFile::readNote() {
  auto notArtifact = [&](const char *why) {
    fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` is not an Attune artifact: ", why);
  };
  Elf64_Ehdr header;
  if (fileSize < sizeof header)
    notArtifact("it is too short");
  read(0, &header, sizeof header, "ELF header");
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    notArtifact("it is not an ELF file");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_type != ET_DYN || header.e_phentsize != sizeof(Elf64_Phdr))
    notArtifact("it is not a 64-bit little-endian shared object");
  if (header.e_machine != kMachine)
    fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` is for another kind of machine (ELF machine ",
         header.e_machine, ", this one is ", kMachine, ")");
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  read(header.e_phoff, segments.data(), segments.size() * sizeof(Elf64_Phdr), "program headers");

  for (const Elf64_Phdr &segment : segments) {
    if (segment.p_type != PT_NOTE)
      continue;
    if (segment.p_filesz > kMaxNotes)
      notArtifact("its notes are too large");
    std::vector<char> notes(segment.p_filesz);
    read(segment.p_offset, notes.data(), notes.size(), "notes");
    uint64_t align = segment.p_align == 8 ? 8 : 4;
    auto padded = [&](uint64_t size) { return (size + align - 1) / align * align; };
    for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
      Elf64_Nhdr entry;
      memcpy(&entry, &notes[at], sizeof entry);
      uint64_t name = at + sizeof entry, content = padded(name + entry.n_namesz);
      at = padded(content + entry.n_descsz);
      if (content > notes.size() || entry.n_descsz > notes.size() - content)
        break;
      if (entry.n_type != artifact::kNoteType || entry.n_namesz != sizeof "Attune" ||
          memcmp(&notes[name], "Attune", sizeof "Attune") != 0)
        continue;
      if (entry.n_descsz < 3 * sizeof(uint32_t))
        notArtifact("its note is too short");
      // Another format may have another size: that is for the format check to say.
      memcpy(&note, &notes[content], std::min<size_t>(entry.n_descsz, sizeof note));
      if (note.format == artifact::kFormat && entry.n_descsz < sizeof note)
        notArtifact("its note is too short");
      return;
    }
  }
  notArtifact("it has no note named `Attune`");
}

void ArtifactFile::checkNote() const {
  if (note.magic != artifact::kMagic)
    fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` is not an Attune artifact: wrong magic number");
  if (note.format != artifact::kFormat)
    fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` has artifact format ", note.format,
         ", this runtime reads format ", artifact::kFormat, "; compile the model again");
  if (note.abi != artifact::kAbi)
    fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` has kernel ABI ", note.abi, ", this runtime has ",
         artifact::kAbi, "; compile the model again");
  if (uint64_t missing = note.cpuFeatures & ~cpuFeatures()) {
    std::string names;
    for (unsigned bit = 0; bit < 64; ++bit)
      if (missing >> bit & 1) {
        names += names.empty() ? "" : ", ";
        names += bit < std::size(artifact::kCpuFeatures) ? artifact::kCpuFeatures[bit]
                                                         : text("feature ", bit);
      }
    fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` was compiled for a CPU with ", names,
         ", which this machine lacks; compile it with --cpu=host on this machine");
  }
  if (note.fileSize != fileSize)
    fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` is damaged: it has ", fileSize,
         " bytes, its note says ", note.fileSize);
  auto inside = [&](uint64_t offset, uint64_t size) {
    return offset <= fileSize && size <= fileSize - offset;
  };
  if (!inside(note.metaOffset, note.metaSize) || note.metaSize > kMaxMetadata)
    fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` is damaged: the metadata lies outside the file");
  if (!inside(note.weightsOffset, note.weightsSize) ||
      (note.weightsSize && note.weightsOffset % artifact::kWeightsAlign))
    fail(ATTUNE_ERROR_ARTIFACT, "`", path,
         "` is damaged: the weights lie outside the file or at no page boundary");
}

void ArtifactFile::load() {
  mapWeights();
  loadCode();
}

void ArtifactFile::mapWeights() {
  if (!note.weightsSize)
    return;
  // Pages may be larger than the section's alignment.
  uint64_t page = uint64_t(sysconf(_SC_PAGESIZE));
  uint64_t lead = note.weightsOffset % page;
  mappingSize = note.weightsSize + lead;
  void *address =
      mmap(nullptr, mappingSize, PROT_READ, MAP_SHARED, file, off_t(note.weightsOffset - lead));
  if (address == MAP_FAILED)
    fail(ATTUNE_ERROR_SYSTEM, "cannot map the weights of `", path, "` (", note.weightsSize,
         " bytes): ", strerror(errno));
  mapping = address;
  weightsData = static_cast<const char *>(address) + lead;
  madvise(mapping, mappingSize, MADV_WILLNEED);
}

/// Spells an absolute path in a way that was not used before. The dynamic linker knows libraries by
/// the spelling of their path first: without this, a file compiled anew under the path of one that
/// is still open would give the old code.
static std::string freshSpelling(std::string path) {
  static std::atomic<uint64_t> counter{0};
  std::string detour;
  for (uint64_t left = counter.fetch_add(1); left; left /= 2)
    detour += left & 1 ? ".//" : "./";
  return path.insert(path.rfind('/') + 1, detour);
}

void ArtifactFile::loadCode() {
  char *resolved = realpath(path.c_str(), nullptr);
  if (!resolved)
    fail(ATTUNE_ERROR_SYSTEM, "cannot open `", path, "`: ", strerror(errno));
  std::string absolute = resolved;
  std::free(resolved);
  std::string spelled = freshSpelling(absolute);
  library = dlopen((spelled.size() < PATH_MAX ? spelled : absolute).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *why = dlerror();
    fail(ATTUNE_ERROR_ARTIFACT, "cannot load the code of `", path,
         "`: ", why ? why : "unknown reason");
  }
  struct stat checked, loaded;
  if (fstat(file, &checked) != 0 || stat(absolute.c_str(), &loaded) != 0 ||
      checked.st_dev != loaded.st_dev || checked.st_ino != loaded.st_ino)
    fail(ATTUNE_ERROR_ARTIFACT, "`", path,
         "` was replaced while it was being opened; open it again");
}

void *ArtifactFile::function(const std::string &symbol) const {
  void *address = dlsym(library, symbol.c_str());
  if (!address)
    fail(ATTUNE_ERROR_ARTIFACT, "`", path, "` is damaged: it has no function `", symbol, "`");
  return address;
}

} // namespace attune::rt
