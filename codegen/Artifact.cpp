#include "attune/codegen/Artifact.h"
#include "attune/codegen/cpu/Link.h"
#include "attune/runtime/artifact.h"
#include "attune/support/WriteFile.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/TargetParser/Host.h"

#include <memory>

using namespace mlir;

namespace attune::codegen {

std::string compilerVersion() { return "attune " ATTUNE_VERSION " (LLVM " LLVM_VERSION_STRING ")"; }

void addNote(ModuleOp module) {
  OpBuilder b(module.getBodyRegion());
  artifact::ElfNote note;
  StringRef bytes(reinterpret_cast<const char *>(&note), sizeof(note));
  auto type = LLVM::LLVMArrayType::get(b.getI8Type(), bytes.size());
  auto global =
      LLVM::GlobalOp::create(b, module.getLoc(), type, /*isConstant=*/true, LLVM::Linkage::External,
                             "attune_note", b.getStringAttr(bytes), /*alignment=*/4);
  global.setSection(".note.attune");
  global.setVisibility_(LLVM::Visibility::Hidden);
}

/// Bits of Note::cpuFeatures for everything that code for `target` may use.
static uint64_t cpuFeatureBits(const CpuTarget &target) {
  llvm::Triple triple(llvm::sys::getDefaultTargetTriple());
  std::string error;
  const llvm::Target *llvmTarget = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!llvmTarget || !triple.isX86())
    return 0;
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget(
      llvmTarget->createMCSubtargetInfo(triple, target.cpu, target.features));
  uint64_t bits = 0;
  for (auto [bit, feature] : llvm::enumerate(artifact::kCpuFeatures))
    if (subtarget->checkFeatures(("+" + llvm::Twine(feature)).str()))
      bits |= uint64_t(1) << bit;
  return bits;
}

/// One weight as dense row-major bytes.
static void writeWeight(llvm::raw_ostream &os, ElementsAttr weight) {
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(weight)) {
    ArrayRef<char> data = resource.getRawHandle().getBlob()->getData();
    os.write(data.data(), data.size());
    return;
  }
  auto dense = cast<DenseElementsAttr>(weight);
  if (dense.getElementType().isInteger(1)) {
    for (bool value : dense.getValues<bool>())
      os << static_cast<char>(value);
    return;
  }
  ArrayRef<char> data = dense.getRawData();
  for (int64_t n = dense.isSplat() ? dense.getNumElements() : 1; n > 0; --n)
    os.write(data.data(), data.size());
}

/// Where the note's descriptor stands in the linked file: the ELF header of the note is unique.
static size_t findNote(StringRef elf) {
  artifact::ElfNote note;
  StringRef header(reinterpret_cast<const char *>(&note), offsetof(artifact::ElfNote, note));
  size_t at = elf.find(header);
  return at == StringRef::npos ? at : at + header.size();
}

llvm::Error writeArtifact(const Program &program, const Objects &objects, const CpuTarget &target,
                          StringRef path) {
  SmallString<128> linked;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("attune", "so", linked))
    return llvm::createStringError(code, "cannot make a temporary file: " + code.message());
  llvm::FileRemover remover(linked);

  SmallVector<StringRef> symbols;
  for (const Program::Kernel &kernel : program.kernels)
    symbols.push_back(kernel.symbol);
  auto files = llvm::map_to_vector(
      objects, [](ArrayRef<char> object) { return StringRef(object.data(), object.size()); });
  if (llvm::Error error = linkShared(files, symbols, linked))
    return error;

  auto elf = llvm::MemoryBuffer::getFile(linked, false, false);
  if (!elf)
    return llvm::createStringError(elf.getError(),
                                   "cannot read `" + linked + "`: " + elf.getError().message());
  std::string code((*elf)->getBuffer());
  size_t place = findNote(code);
  if (place == std::string::npos)
    return llvm::createStringError("internal: the linked kernels lost their note");

  std::string metadata = llvm::formatv("{0}", program.toJson(compilerVersion(), target.cpu)).str();
  artifact::Note note;
  note.cpuFeatures = cpuFeatureBits(target);
  note.metaOffset = code.size();
  note.metaSize = metadata.size();
  note.weightsOffset = llvm::alignTo(code.size() + metadata.size(), artifact::kWeightsAlign);
  note.weightsSize = program.weightBytes;
  note.fileSize = note.weightsOffset + note.weightsSize;
  note.metaHash = artifact::hash(metadata.data(), metadata.size());
  std::memcpy(code.data() + place, &note, sizeof(note));

  auto write = [&](llvm::raw_ostream &os) {
    // Standard output and pipes do not begin at 0.
    uint64_t written = code.size() + metadata.size();
    auto padTo = [&](uint64_t offset) {
      os.write_zeros(offset - written);
      written = offset;
    };
    os << code << metadata;
    for (auto [weight, offset] : llvm::zip(program.weights, program.weightOffsets)) {
      padTo(note.weightsOffset + offset);
      uint64_t begin = os.tell();
      writeWeight(os, weight);
      written += os.tell() - begin;
    }
    padTo(note.fileSize);
  };
  return writeFile(path, write, /*mode=*/0755);
}

} // namespace attune::codegen
