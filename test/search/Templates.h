// Prices of templates against what the compiler says of their models.
#ifndef ATTUNE_TEST_SEARCH_TEMPLATES_H
#define ATTUNE_TEST_SEARCH_TEMPLATES_H

#include "Spaces.h"
#include "attune/codegen/Compiler.h"
#include "attune/search/templates/TemplateCost.h"

#include "llvm/Support/FileSystem.h"
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

} // namespace attune::search
#endif
