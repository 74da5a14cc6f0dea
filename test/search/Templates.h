// Prices of templates against what the compiler says of their models.
#ifndef ATTUNE_TEST_SEARCH_TEMPLATES_H
#define ATTUNE_TEST_SEARCH_TEMPLATES_H

#include "Spaces.h"
#include "attune/codegen/Compiler.h"
#include "attune/codegen/cost/Residency.h"
#include "attune/search/templates/TemplateCost.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::search {

/// What was calibrated and tuned here must not matter.
inline void useTypicalMachine() {
  ::setenv("ATTUNE_CALIBRATION", "none", 1);
  ::setenv("ATTUNE_TUNING", "none", 1);
}

inline ModelCost predictWhole(const Model &model) {
  llvm::SmallString<128> path;
  int file;
  llvm::sys::fs::createTemporaryFile("attune-whole", "onnx", file, path);
  llvm::raw_fd_ostream(file, true) << model.onnx;
  CompileOptions options;
  options.onlyPredict = true;
  options.predict.emplace_back();
  CompileReport report;
  llvm::Error error = compileModel(path, "", options, &report);
  llvm::sys::fs::remove(path);
  EXPECT_FALSE(bool(error)) << llvm::toString(std::move(error));
  return report.predictions.empty() ? ModelCost() : report.predictions.front();
}

/// In millijoules, by the table that costs are of.
inline double energyOf(const ModelCost &cost) {
  auto table = llvm::cantFail(codegen::EnergyTable::load("horowitz45"));
  double joules = 0;
  for (const ModelCost::Call &call : cost.calls)
    joules += table.of(call.features, call.cost).total();
  return joules * 1e3;
}

inline void expectSame(const BlockCost &planned, const BlockCost &compiled) {
  EXPECT_EQ(planned.params, compiled.params);
  EXPECT_EQ(planned.flops, compiled.flops);
  EXPECT_EQ(planned.storedBytes, compiled.storedBytes);
  EXPECT_EQ(planned.arenaBytes, compiled.arenaBytes);
  EXPECT_EQ(planned.ioBytes, compiled.ioBytes);
  ASSERT_EQ(planned.kernels.size(), compiled.kernels.size());
  for (size_t i = 0; i < planned.kernels.size(); ++i) {
    SCOPED_TRACE("kernel " + std::to_string(i));
    const codegen::KernelFeatures &a = planned.kernels[i].features,
                                  &b = compiled.kernels[i].features;
    EXPECT_EQ(a.emitter, b.emitter);
    EXPECT_EQ(a.form, b.form);
    EXPECT_EQ(a.work.bytes, b.work.bytes);
    EXPECT_EQ(a.weightBytes, b.weightBytes);
    EXPECT_EQ(a.stridedBytes, b.stridedBytes);
    auto counts = [](const codegen::KernelFeatures &features) {
      std::vector<std::tuple<int, unsigned, double>> list;
      for (const codegen::OpCount &count : features.counts)
        list.push_back({static_cast<int>(count.kind), count.bits, count.count});
      llvm::sort(list);
      return list;
    };
    EXPECT_EQ(counts(a), counts(b));
    EXPECT_EQ(a.plan.tasks, b.plan.tasks);
    EXPECT_EQ(a.plan.padding, b.plan.padding);
    EXPECT_EQ(a.plan.visited, b.plan.visited);
    EXPECT_EQ(a.plan.copied, b.plan.copied);
    EXPECT_EQ(a.plan.rows, b.plan.rows);
    EXPECT_EQ(a.plan.columns, b.plan.columns);
    EXPECT_EQ(a.plan.instructions, b.plan.instructions);
  }
}

/// Blocks are not fused with each other: the sum is what the whole candidate is predicted to take.
inline void expectSumIsTheWhole(const Space &space, CostModel &cost, const Genes &genes,
                                double latencyError = 2e-3, double peakError = 0.12) {
  SCOPED_TRACE(llvm::formatv("{0}", llvm::json::Value(space.toJson(genes))).str());
  auto found = llvm::cantFail(cost.estimate(genes));
  auto value = [&](const char *name) { return found.values[*findCost(cost, {name})]; };
  Model whole = llvm::cantFail(makeTemplate(space))->whole(genes);
  ModelCost predicted = predictWhole(whole);
  EXPECT_EQ(value("params"), whole.params);
  EXPECT_NEAR(value("flops") / predicted.flops, 1, 1e-6);
  // Blocks do not know how wide the block before was, so what was touched since their input was
  // written may differ a little, and with it the caches that hold it.
  EXPECT_NEAR(value("latency_ms") / (predicted.seconds * 1e3), 1, latencyError);
  // The plan of the whole keeps memory for what no block alone has at one time.
  EXPECT_NEAR(value("peak_mb") / (predicted.peakBytes() / 1e6), 1, peakError);
  // Prices know the memory that a call touches in steps: weights may come from farther away by one
  // of the two, which matters most for energy.
  bool sameStep =
      codegen::residency(value("peak_mb") * 1e6) == codegen::residency(predicted.resident);
  EXPECT_NEAR(value("energy_mj") / energyOf(predicted), 1, sameStep ? 0.012 : 0.1);
}

} // namespace attune::search
#endif
