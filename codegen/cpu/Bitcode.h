//===- Bitcode.h - Kernels that another code generator made -----------------------------------===//
//
// Links bitcode of Halide kernels into the module of kernels and makes it ordinary code of that
// module: attributes that tie functions to another target go, everything but the kernels becomes
// internal, and the hooks that Halide code calls are defined on the kernel ABI, so that all of it
// is inlined by `optimise`.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_BITCODE_H
#define ATTUNE_CODEGEN_CPU_BITCODE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <string>

namespace llvm {
class Module;
}

namespace attune::codegen {

/// `bitcodes` define functions that `module` declares and calls.
llvm::Error linkBitcode(llvm::Module &module, llvm::ArrayRef<std::string> bitcodes);

} // namespace attune::codegen
#endif
