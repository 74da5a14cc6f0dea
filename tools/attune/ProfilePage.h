//===- ProfilePage.h - A measured and predicted call as one HTML page -------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_PROFILEPAGE_H
#define ATTUNE_TOOLS_ATTUNE_PROFILEPAGE_H

#include <cstdint>
#include <string>
#include <vector>

namespace attune::tools {

struct Profile {
  struct Call {
    std::string name, emitter, form;
    double measured, predicted, sigma; ///< seconds, seconds, relative
    double flops, bytes;
    double start, last; ///< seconds: of the last run
  };
  std::vector<Call> calls;
  double measured = 0, predicted = 0, sigma = 0;
  unsigned threads = 1;
  int64_t runs = 0;
  std::string inputs, calibration;
};

/// Static: tables and drawings without scripts or anything from elsewhere.
std::string profilePage(const std::string &model, const Profile &profile);

} // namespace attune::tools
#endif
