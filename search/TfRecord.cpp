#include "attune/search/TfRecord.h"

#include "llvm/Support/Endian.h"

#include <array>
#include <cstring>

namespace attune::search {

using llvm::support::endian::read32le;
using llvm::support::endian::read64le;

uint32_t maskedCrc32c(llvm::StringRef bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> result;
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit)
        value = value & 1 ? 0x82F63B78 ^ (value >> 1) : value >> 1;
      result[i] = value;
    }
    return result;
  }();
  uint32_t crc = ~0u;
  for (unsigned char byte : bytes)
    crc = table[(crc ^ byte) & 0xff] ^ (crc >> 8);
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

llvm::Error forEachRecord(llvm::StringRef file,
                          llvm::function_ref<llvm::Error(llvm::StringRef)> take) {
  constexpr size_t kHead = 12, kTail = 4;
  for (size_t at = 0; at < file.size();) {
    llvm::StringRef rest = file.substr(at);
    auto damaged = [&](llvm::StringRef what) {
      return llvm::createStringError("the record at byte " + llvm::Twine(at) + " " + what);
    };
    if (rest.size() < kHead)
      return damaged("is cut off");
    if (read32le(rest.data() + 8) != maskedCrc32c(rest.take_front(8)))
      return damaged("has a damaged length: this is no TFRecord file, or not all of it");
    uint64_t length = read64le(rest.data());
    if (length > rest.size() - kHead || rest.size() - kHead - length < kTail)
      return damaged("is cut off");
    llvm::StringRef payload = rest.substr(kHead, length);
    if (read32le(payload.end()) != maskedCrc32c(payload))
      return damaged("is damaged");
    if (llvm::Error error = take(payload))
      return llvm::createStringError("the record at byte " + llvm::Twine(at) + ": " +
                                     llvm::toString(std::move(error)));
    at += kHead + length + kTail;
  }
  return llvm::Error::success();
}

static bool readVarint(llvm::StringRef &rest, uint64_t &value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    auto byte = static_cast<unsigned char>(rest[0]);
    rest = rest.drop_front();
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80)
      return true;
  }
  return false;
}

bool forEachField(llvm::StringRef message, llvm::function_ref<void(unsigned, double)> number,
                  llvm::function_ref<void(unsigned, llvm::StringRef)> bytes) {
  while (!message.empty()) {
    uint64_t tag, value;
    if (!readVarint(message, tag))
      return false;
    unsigned field = tag >> 3;
    switch (tag & 7) {
    case 0:
      if (!readVarint(message, value))
        return false;
      number(field, static_cast<int64_t>(value));
      break;
    case 1: {
      if (message.size() < 8)
        return false;
      double real;
      value = read64le(message.data());
      std::memcpy(&real, &value, sizeof real);
      number(field, real);
      message = message.drop_front(8);
      break;
    }
    case 2:
      if (!readVarint(message, value) || value > message.size())
        return false;
      bytes(field, message.take_front(value));
      message = message.drop_front(value);
      break;
    case 5:
      if (message.size() < 4)
        return false;
      message = message.drop_front(4); // a float: none of the fields that are wanted
      break;
    default:
      return false;
    }
  }
  return true;
}

} // namespace attune::search
