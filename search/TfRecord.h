//===- TfRecord.h - Frames of a TFRecord file -------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TFRECORD_H
#define ATTUNE_SEARCH_TFRECORD_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace attune::search {

/// CRC-32C as TFRecord stores it: rotated, with a constant added.
uint32_t maskedCrc32c(llvm::StringRef bytes);

/// Calls `take` with every payload (length, CRC of it, payload, CRC of it; little endian). Fails at
/// the first frame that is damaged, with its offset.
llvm::Error forEachRecord(llvm::StringRef file,
                          llvm::function_ref<llvm::Error(llvm::StringRef)> take);

/// A protobuf message, field by field. `number` gets what is a number (double, varint), `bytes`
/// what has a length; both say the field. False if the message is malformed.
bool forEachField(llvm::StringRef message, llvm::function_ref<void(unsigned, double)> number,
                  llvm::function_ref<void(unsigned, llvm::StringRef)> bytes);

} // namespace attune::search
#endif
