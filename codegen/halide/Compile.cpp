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

/// `prepare` schedules the Funcs and may add lowering passes.
static llvm::Expected<std::string>
generate(const Region &region, const Plan &plan, llvm::StringRef symbol, const hl::Target &target,
         llvm::function_ref<void(Funcs &, hl::Pipeline &)> prepare) {
  llvm::SmallString<128> path;
  if (std::error_code error = llvm::sys::fs::createTemporaryFile("attune", "bc", path))
    return llvm::createStringError(error, "cannot make a temporary file");
  try {
    Funcs funcs = translate(region, plan);
    hl::Pipeline pipeline(funcs.results);
    prepare(funcs, pipeline);
    std::vector<hl::Argument> arguments;
    for (const hl::ImageParam &input : funcs.inputs)
      arguments.push_back(input);
    for (const hl::Param<int32_t> &dim : funcs.dims)
      arguments.push_back(dim);
    pipeline.compile_to({{hl::OutputFileType::bitcode, path.str().str()}}, arguments, symbol.str(),
                        target);
  } catch (const hl::Error &error) {
    llvm::sys::fs::remove(path);
    std::string what = llvm::StringRef(error.what()).trim().str();
    return llvm::createStringError(what == "Error:" ? "Halide has no code for it" : what);
  }
  return takeFile(path);
}

llvm::Expected<Bitcode> compile(const Region &region, const Plan &plan, llvm::StringRef symbol,
                                const CpuTarget &target) {
  Bitcode bitcode;
  UseScratch useScratch(bitcode.scratch);
  auto bytes =
      generate(region, plan, symbol, makeTarget(target), [&](Funcs &funcs, hl::Pipeline &pipeline) {
        schedule(funcs, plan);
        pipeline.add_custom_lowering_pass(&useScratch, [] {});
      });
  if (!bytes)
    return bytes.takeError();
  bitcode.bytes = std::move(*bytes);
  return bitcode;
}

llvm::Expected<std::string> compileForDevice(const Region &region, const Plan &plan,
                                             llvm::StringRef symbol) {
  hl::Target target = makeTarget(CpuTarget());
  target.set_feature(hl::Target::OpenCL);
  // An extension, which is asked for only where it is needed.
  bool doubles = mlir::func::FuncOp(region.func)
                     .walk([](mlir::Operation *op) {
                       auto isDouble = [](mlir::Type type) {
                         return mlir::getElementTypeOrSelf(type).isF64();
                       };
                       return llvm::any_of(op->getOperandTypes(), isDouble) ||
                                      llvm::any_of(op->getResultTypes(), isDouble)
                                  ? mlir::WalkResult::interrupt()
                                  : mlir::WalkResult::advance();
                     })
                     .wasInterrupted();
  target.set_feature(hl::Target::CLDoubles, doubles);
  return generate(region, plan, symbol, target,
                  [&](Funcs &funcs, hl::Pipeline &) { scheduleOnDevice(funcs, plan); });
}

} // namespace attune::codegen::halide
