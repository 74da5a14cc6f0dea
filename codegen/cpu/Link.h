//===- Link.h - Object files to one shared object ---------------------------------------------===//
//
// In-process lld: milliseconds where a compiler driver takes 150. Symbols that no object defines
// (memcpy, memset, libm) stay undefined and are resolved when the result is loaded.
//
// May be called from several threads; lld itself runs once at a time.
//
//   if (llvm::Error error = linkShared({object}, {"attune_k0"}, "model.so"))
//     ...
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_LINK_H
#define ATTUNE_CODEGEN_CPU_LINK_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace attune::codegen {

/// Links `objects` (the bytes of ELF files) into the shared object `output`, which exports
/// `symbols` and nothing else. On failure `output` does not exist.
llvm::Error linkShared(llvm::ArrayRef<llvm::StringRef> objects,
                       llvm::ArrayRef<llvm::StringRef> symbols, llvm::StringRef output);

} // namespace attune::codegen
#endif
