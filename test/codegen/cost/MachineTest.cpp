#include "attune/codegen/cost/Energy.h"
#include "attune/codegen/cost/Oracle.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include <gtest/gtest.h>

using namespace attune;
using namespace attune::codegen;

namespace {

CpuTarget target() {
  CpuTarget target;
  target.cpu = "x86-64-v3";
  target.vectorBits = 256;
  target.fma = true;
  return target;
}

KernelFeatures product(double m, double n, double k) {
  KernelFeatures features;
  features.emitter = "gemm";
  features.work.fma = 2 * m * n * k;
  features.counts = {{WorkTerm::Class::Fma, 32, 2 * m * n * k}};
  features.weightBytes = 4 * k * n;
  features.work.bytes = 4 * (m * k + k * n + m * n);
  features.plan.tasks = 16;
  features.plan.rows = 6;
  features.plan.columns = 16;
  return features;
}

class CalibrationFile {
public:
  explicit CalibrationFile(const std::string &text) {
    int fd;
    EXPECT_FALSE(llvm::sys::fs::createTemporaryFile("calibration", "json", fd, path));
    llvm::raw_fd_ostream(fd, /*shouldClose=*/true) << text;
  }
  ~CalibrationFile() { llvm::sys::fs::remove(path); }
  llvm::SmallString<128> path;
};

std::string text(const llvm::json::Value &value) {
  std::string result;
  llvm::raw_string_ostream(result) << value;
  return result;
}

std::string errorOf(const std::string &content) {
  CalibrationFile file(content);
  auto machine = Machine::read(file.path);
  return machine ? "" : llvm::toString(machine.takeError());
}

} // namespace

TEST(Machine, SurvivesItsFile) {
  Machine typical = Machine::typical(target());
  typical.reference = {{1, 3e-4}, {2, 1.7e-4}};
  CalibrationFile file(text(typical.toJson()));
  auto read = Machine::read(file.path);
  ASSERT_TRUE(bool(read));
  EXPECT_EQ(read->reference, typical.reference);
  EXPECT_TRUE(read->isCalibrated());
  EXPECT_EQ(text(read->toJson()), text(typical.toJson()));
  KernelFeatures kernel = product(128, 384, 384);
  EXPECT_EQ(MachineOracle(*read).price(kernel, 1e6, 2).seconds,
            MachineOracle(typical).price(kernel, 1e6, 2).seconds);
}

TEST(Machine, DamagedFilesAreRefused) {
  EXPECT_NE(errorOf("{").find("attune calibrate"), std::string::npos);
  EXPECT_NE(errorOf("[]").find("attune calibrate"), std::string::npos);
  llvm::json::Object json = *Machine::typical(target()).toJson().getAsObject();
  llvm::json::Object newer = json;
  newer["format"] = 99;
  EXPECT_NE(errorOf(text(std::move(newer))).find("format 99"), std::string::npos);
  llvm::json::Object few = json;
  few["shares"] = llvm::json::Object{{"gemm", llvm::json::Array{1.0}}};
  EXPECT_NE(errorOf(text(std::move(few))).find("shares of `gemm`"), std::string::npos);
  llvm::json::Object slow = json;
  slow["launch_seconds"] = llvm::json::Array{0.0};
  EXPECT_NE(errorOf(text(std::move(slow))), "");
  llvm::json::Object stopped = json;
  stopped["reference"] = llvm::json::Array{llvm::json::Object{{"threads", 1}, {"seconds", 0}}};
  EXPECT_NE(errorOf(text(std::move(stopped))).find("reference"), std::string::npos);
  json["levels"] = llvm::json::Array{};
  EXPECT_NE(errorOf(text(std::move(json))), "");
}

TEST(Oracle, MoreWorkIsNeverCheaper) {
  MachineOracle oracle(Machine::typical(target()));
  for (unsigned threads : {1u, 2u})
    for (double m : {1.0, 6.0, 100.0, 1000.0}) {
      double seconds = oracle.price(product(m, 256, 256), 1e6, threads).seconds;
      EXPECT_LE(seconds, oracle.price(product(m + 1, 256, 256), 1e6, threads).seconds);
      EXPECT_LE(seconds, oracle.price(product(m, 257, 256), 1e6, threads).seconds);
      EXPECT_LE(seconds, oracle.price(product(m, 256, 257), 1e6, threads).seconds);
    }
}

TEST(Oracle, TrafficFollowsTheCaches) {
  MachineOracle oracle(Machine::typical(target()));
  // Constants of a small model stay in the second level, those of a large one come from memory.
  KernelFeatures kernel = product(64, 128, 128);
  EXPECT_EQ(oracle.price(kernel, 2e5, 1).traffic[2], 0);
  EXPECT_EQ(oracle.price(kernel, 5e6, 1).traffic[2], kernel.weightBytes);
  EXPECT_EQ(oracle.price(kernel, 5e6, 1).traffic[3], 0);
  EXPECT_EQ(oracle.price(kernel, 1e9, 1).traffic[3], kernel.weightBytes);
  EXPECT_GT(oracle.price(kernel, 1e9, 1).traffic[0], oracle.price(kernel, 1e9, 1).traffic[1]);
}

TEST(Oracle, CachesLoseTheirContentsGradually) {
  MachineOracle oracle(Machine::typical(target()));
  KernelFeatures kernel = product(1, 128, 128);
  double half = oracle.price(kernel, 1e6, 1).traffic[2], before = -1;
  EXPECT_GT(half, 0);
  for (double resident = 1e5; resident < 1e8; resident *= 1.3) {
    double now = oracle.price(kernel, resident, 1).traffic[2];
    EXPECT_GE(now, before);
    before = now;
  }
  EXPECT_EQ(before, kernel.weightBytes);
}

TEST(Oracle, ResultsAreWhereWhatWasTouchedSinceLeftThem) {
  MachineOracle oracle(Machine::typical(target()));
  KernelFeatures kernel;
  kernel.emitter = "gemm";
  kernel.work.bytes = 2e5;
  kernel.uses = {{BufferUse::Kind::Exchanged, /*written=*/false, 1e5, 2e5},
                 {BufferUse::Kind::Exchanged, /*written=*/true, 1e5, 2e5}};
  EXPECT_EQ(oracle.price(kernel, 1e8, 1).traffic[2], 0);
  kernel.uses[1].distance = 4e6;
  EXPECT_EQ(oracle.price(kernel, 1e8, 1).traffic[2], 1e5);
  kernel.uses[0].distance = 1e8;
  KernelCost far = oracle.price(kernel, 1e8, 1);
  EXPECT_EQ(far.traffic[2], 2e5);
  EXPECT_EQ(far.traffic[3], 1e5);
  // An input that several kernels read is where the one before has left it.
  kernel.uses[0] = {BufferUse::Kind::Distant, /*written=*/false, 1e5, 2e5};
  kernel.uses[1].distance = 2e5;
  EXPECT_EQ(oracle.price(kernel, 1e8, 1).traffic[2], 0);
  kernel.uses[0].kind = BufferUse::Kind::Exchanged;
  // Threads exchange half of what the kernel before wrote, wherever that was.
  kernel.uses[0].distance = kernel.uses[1].distance = 2e5;
  kernel.plan.tasks = 2;
  EXPECT_EQ(oracle.price(kernel, 1e8, 2).traffic[2], 1e5);
}

TEST(Oracle, RowsOfATableWaitForTheirLines) {
  Machine machine = Machine::typical(target());
  KernelFeatures kernel;
  kernel.emitter = "rowwise";
  kernel.work.bytes = kernel.gatheredBytes = kernel.weightBytes = 1e5;
  double cached = MachineOracle(machine).price(kernel, 1e5, 1).seconds;
  EXPECT_GT(MachineOracle(machine).price(kernel, 8e6, 1).seconds, 2 * cached);
}

TEST(Oracle, ThreadsHelpWhereThereAreTasks) {
  Machine machine = Machine::typical(target());
  MachineOracle oracle(machine);
  KernelFeatures kernel = product(512, 512, 512);
  double alone = oracle.price(kernel, 1e6, 1).seconds;
  EXPECT_LT(oracle.price(kernel, 1e6, 2).seconds, 0.6 * alone);
  kernel.plan.tasks = 1;
  EXPECT_EQ(oracle.price(kernel, 1e6, 2).seconds, alone);
  kernel.plan.tasks = 3; // two rounds of which the second is half empty
  EXPECT_NEAR(oracle.price(kernel, 1e6, 2).seconds, alone * 2 / 3, 0.05 * alone);
}

TEST(Oracle, HalfTheBandwidthDoublesWhatMemoryBinds) {
  Machine machine = Machine::typical(target());
  KernelFeatures vector = product(1, 4096, 4096), square = product(512, 512, 512);
  double fast = MachineOracle(machine).price(vector, 1e9, 1).seconds;
  double compute = MachineOracle(machine).price(square, 1e6, 1).seconds;
  for (Machine::Level &level : machine.levels)
    for (double &bandwidth : level.bandwidth)
      bandwidth /= 2;
  EXPECT_NEAR(MachineOracle(machine).price(vector, 1e9, 1).seconds, 2 * fast, 0.05 * fast);
  EXPECT_LT(MachineOracle(machine).price(square, 1e6, 1).seconds, 1.2 * compute);
}

TEST(Energy, OperationsAndTraffic) {
  auto table = EnergyTable::load("horowitz45");
  ASSERT_TRUE(bool(table));
  constexpr double kPico = 1e-12;
  EXPECT_NEAR(table->operation(WorkTerm::Class::Fma, 32), 4.6 * kPico, 1e-18);
  EXPECT_NEAR(table->operation(WorkTerm::Class::Distance, 8), 0.06 * kPico, 1e-18);
  EXPECT_NEAR(table->operation(WorkTerm::Class::Shift, 32), 1.03 * kPico, 1e-18);
  KernelFeatures kernel = product(10, 10, 10);
  KernelCost cost;
  cost.traffic = {100, 0, 0, 10};
  Energy energy = table->of(kernel, cost);
  EXPECT_NEAR(energy.compute, 1000 * 4.6 * kPico, 1e-16);
  EXPECT_NEAR(energy.memory[0], 100 * 2.5 * kPico, 1e-16);
  EXPECT_NEAR(energy.memory[3], 10 * 244 * kPico, 1e-16);
  EXPECT_NEAR(energy.total(), energy.compute + energy.memory[0] + energy.memory[3], 1e-16);
}

TEST(Energy, TablesOfTheUser) {
  auto missing = EnergyTable::load("no-such-table");
  ASSERT_FALSE(bool(missing));
  EXPECT_NE(llvm::toString(missing.takeError()).find("horowitz45, shiftaddnas-32, shiftaddnas-8"),
            std::string::npos);
  auto partial = EnergyTable::parse(R"({"pj_per_operation": {}, "pj_per_byte": {}})");
  ASSERT_FALSE(bool(partial));
  EXPECT_NE(llvm::toString(partial.takeError()).find("`8`"), std::string::npos);
  for (const std::string &name : EnergyTable::names()) {
    auto table = EnergyTable::load(name);
    ASSERT_TRUE(bool(table)) << llvm::toString(table.takeError());
    EXPECT_EQ(table->name, name);
  }
}
