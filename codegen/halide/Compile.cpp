#include "attune/codegen/halide/Compile.h"

#include "attune/codegen/halide/Funcs.h"
#include "attune/codegen/halide/Scratch.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

namespace attune::codegen::halide {

static hl::Target makeTarget(const CpuTarget &target) {
  std::vector<hl::Target::Feature> features{hl::Target::NoRuntime, hl::Target::NoAsserts,
                                            hl::Target::NoBoundsQuery, hl::Target::UserContext,
                                            hl::Target::StrictFloat};
  if (target.vectorBits >= 256)
    features.insert(features.end(),
                    {hl::Target::SSE41, hl::Target::AVX, hl::Target::FMA, hl::Target::AVX2});
  if (target.vectorBits >= 512)
    features.insert(features.end(), {hl::Target::AVX512, hl::Target::AVX512_Skylake});
  return hl::Target(hl::Target::Linux, hl::Target::X86, 64, features);
}

/// Halide writes files only.
static llvm::Expected<std::string> takeFile(llvm::StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  llvm::sys::fs::remove(path);
  if (!buffer)
    return llvm::createStringError(buffer.getError(), "cannot read " + path);
  return (*buffer)->getBuffer().str();
}

llvm::Expected<Bitcode> compile(const Region &region, const Plan &plan, llvm::StringRef symbol,
                                const CpuTarget &target) {
  llvm::SmallString<128> path;
  if (std::error_code error = llvm::sys::fs::createTemporaryFile("attune", "bc", path))
    return llvm::createStringError(error, "cannot make a temporary file");
  Bitcode bitcode;
  try {
    Funcs funcs = translate(region, plan);
    schedule(funcs, plan);
    std::vector<hl::Argument> arguments;
    for (const hl::ImageParam &input : funcs.inputs)
      arguments.push_back(input);
    for (const hl::Param<int32_t> &dim : funcs.dims)
      arguments.push_back(dim);
    hl::Pipeline pipeline(funcs.results);
    UseScratch useScratch(bitcode.scratch);
    pipeline.add_custom_lowering_pass(&useScratch, [] {});
    pipeline.compile_to({{hl::OutputFileType::bitcode, path.str().str()}}, arguments, symbol.str(),
                        makeTarget(target));
  } catch (const hl::Error &error) {
    llvm::sys::fs::remove(path);
    return llvm::createStringError(llvm::StringRef(error.what()).trim());
  }
  auto bytes = takeFile(path);
  if (!bytes)
    return bytes.takeError();
  bitcode.bytes = std::move(*bytes);
  return bitcode;
}

} // namespace attune::codegen::halide
