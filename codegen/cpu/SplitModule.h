//===- SplitModule.h - Parts of a module that are compiled at the same time -------------------===//
//
// Optimising and selecting instructions take most of the time of a compilation, and kernels do not
// depend on each other. A part holds whole groups of definitions: those that may be inlined into
// each other, and those that only the module itself can name. The parts follow from the module
// alone, so that an artifact does not depend on the machine that makes it.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_SPLITMODULE_H
#define ATTUNE_CODEGEN_CPU_SPLITMODULE_H

#include <memory>
#include <string>
#include <vector>

namespace llvm {
class Module;
}

namespace attune::codegen {

/// The module as bitcode (for contexts of other threads), in parts of about the same size; one part
/// if it is small. Every definition is in exactly one part, and declared where else it is used.
std::vector<std::string> splitModule(std::unique_ptr<llvm::Module> module);

} // namespace attune::codegen
#endif
