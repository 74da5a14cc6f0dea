//===- Error.h - How the runtime reports errors inside ----------------------------------------===//
//
// Errors are thrown inside the library and become an attune_status at the C interface (Api.cpp);
// none leaves it. Destructors free what a failed call has taken.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_ERROR_H
#define ATTUNE_RUNTIME_ERROR_H

#include "attune/runtime/attune.h"
#include <sstream>
#include <string>

namespace attune::rt {

struct Error {
  attune_code code;
  std::string message;
};

template <class... Parts> std::string text(const Parts &...parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return std::move(stream).str();
}

template <class... Parts> [[noreturn]] void fail(attune_code code, const Parts &...parts) {
  throw Error{code, text(parts...)};
}

} // namespace attune::rt
#endif
