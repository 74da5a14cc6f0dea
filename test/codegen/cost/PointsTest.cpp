#include "attune/codegen/cost/Points.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include <gtest/gtest.h>

#include <numeric>

using namespace attune;
using namespace attune::codegen;

namespace {

std::string text(const llvm::json::Value &value) {
  std::string result;
  llvm::raw_string_ostream(result) << value;
  return result;
}

std::string errorOf(const llvm::json::Value &value) {
  llvm::SmallString<128> path;
  int fd;
  EXPECT_FALSE(llvm::sys::fs::createTemporaryFile("points", "json", fd, path));
  llvm::raw_fd_ostream(fd, /*shouldClose=*/true) << value;
  auto points = Points::read(path);
  llvm::sys::fs::remove(path);
  return points ? "" : llvm::toString(points.takeError());
}

/// Calibration points of one machine, measured once (`attune calibrate --points`), some networks.
const Points &stored() {
  static const Points points = llvm::cantFail(Points::read(ATTUNE_STORED_POINTS));
  return points;
}

/// Median over the kernels of |predicted / measured - 1|.
double medianError(const Machine &machine, llvm::ArrayRef<MeasuredKernel> kernels) {
  MachineOracle oracle(machine);
  std::vector<double> errors;
  for (const MeasuredKernel &kernel : kernels)
    errors.push_back(std::abs(
        oracle.price(kernel.features, kernel.resident, kernel.threads).seconds / kernel.seconds -
        1));
  auto middle = errors.begin() + errors.size() / 2;
  std::nth_element(errors.begin(), middle, errors.end());
  return *middle;
}

} // namespace

TEST(Points, SurviveTheirFile) {
  for (const MeasuredKernel &kernel : stored().kernels) {
    auto read = featuresFromJson(toJson(kernel.features));
    ASSERT_TRUE(bool(read));
    EXPECT_EQ(text(toJson(*read)), text(toJson(kernel.features)));
    EXPECT_EQ(read->plan.tasks, kernel.features.plan.tasks);
  }
  EXPECT_EQ(errorOf(stored().toJson()), "");
}

TEST(Points, DamagedFilesAreRefused) {
  EXPECT_NE(errorOf(nullptr).find("lacks"), std::string::npos);
  llvm::json::Object json = *stored().toJson().getAsObject();
  llvm::json::Object &kernel = *(*json.getArray("kernels"))[0].getAsObject();
  llvm::json::Object untimed = json;
  (*untimed.getArray("kernels"))[0].getAsObject()->erase("seconds");
  EXPECT_NE(errorOf(std::move(untimed)).find("seconds"), std::string::npos);
  for (auto [field, number] : {std::pair("threads", -1), {"threads", 1 << 20}, {"resident", -1}}) {
    llvm::json::Object odd = json;
    (*(*odd.getArray("kernels"))[0].getAsObject())[field] = number;
    EXPECT_NE(errorOf(std::move(odd)).find("a point lacks"), std::string::npos) << field;
  }
  (*kernel.getObject("features"))["tasks"] = -1;
  EXPECT_NE(errorOf(std::move(json)).find("negative"), std::string::npos);
}

TEST(Points, AFitPredictsNetworksThatItHasNotSeen) {
  // Blocks of transformers resemble each other; the others are the only ones of their kind here.
  std::set<std::string> networks;
  for (const MeasuredKernel &kernel : stored().kernels)
    if (llvm::StringRef(kernel.network).contains("block"))
      networks.insert(kernel.network);
  ASSERT_GE(networks.size(), 3u);
  std::vector<double> fitted, plain;
  for (const std::string &left : networks) {
    std::vector<MeasuredKernel> others, own;
    for (const MeasuredKernel &kernel : stored().kernels)
      (kernel.network == left ? own : others).push_back(kernel);
    Machine machine = stored().machine;
    plain.push_back(medianError(machine, own));
    fitResiduals(machine, others);
    fitted.push_back(medianError(machine, own));
    EXPECT_LT(fitted.back(), 0.15) << left;
  }
  EXPECT_LT(std::reduce(fitted.begin(), fitted.end()), std::reduce(plain.begin(), plain.end()));
}

TEST(Points, AFitIsRepeatable) {
  Machine once = stored().machine, again = once;
  fitResiduals(once, stored().kernels);
  fitResiduals(again, stored().kernels);
  EXPECT_EQ(text(once.toJson()), text(again.toJson()));
  EXPECT_TRUE(once.residuals.count("gemm"));
}
