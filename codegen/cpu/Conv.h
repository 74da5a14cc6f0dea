//===- Conv.h - Convolutions that sum over channels: tasks, tiles, epilogues ------------------===//
//
// A task computes a block of output rows of one image (of some of its channels): it copies the
// lines behind them (ConvLines), then fills register tiles of channels times positions. What a task
// is follows from the sizes only, so that results do not depend on the number of threads.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_CONV_H
#define ATTUNE_CODEGEN_CPU_CONV_H

#include "attune/codegen/cpu/ConvLines.h"
#include "attune/codegen/cpu/ConvMicro.h"
#include "attune/codegen/cpu/Emitter.h"

namespace attune::codegen {

/// Elements of the first level cache that the image of one micro-kernel call should take.
inline constexpr int64_t kConvCallElements = 6144;
/// Elements of the second level cache that a task's lines should take.
inline constexpr int64_t kConvTaskElements = 1 << 16;

/// How ConvCode or PlaneCode cut and what their tasks do, at known sizes.
KernelPlan convPlan(const ConvMatch &conv, const CpuTarget &target, IndexValues valueOf);

class ConvCode {
public:
  using Value = mlir::Value;
  using Get = std::function<Value(const Size &)>;
  ConvCode(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb, mlir::ModuleOp module);

  void build(llvm::StringRef symbol);
  /// Elements of scratch per worker; `get` gives sizes where `kb` stands.
  Value scratchElements(const Get &get);
  /// Elements of packed filters per group.
  int64_t filterElements() const { return panels * depth * kFilterPanel; }
  /// An epilogue could not be built although it was supported.
  bool broken = false;

private:
  struct Split {
    Value panels, count; ///< of a task; tasks
  };
  struct Task;
  ConvLines lines(const Get &get);
  Split split(const ConvLines &lines);
  void packFilters(const KernelArgs &args);
  Value workerScratch(Scope &scope);
  Value task(const KernelArgs &args);
  void positionTile(Task &task, Value segment, Value position);
  void fetchTile(Task &task, Value panel, Value column);
  void finishTile(Task &task, Value memory, Value panel, Value valid, Value column);

  const ConvMatch &conv;
  const Sizes &sizes;
  KernelBuilder &kb;
  mlir::ModuleOp module;
  ConvTile tile;
  int64_t panels = 0, depth = 0, channelBlock = 1;
};

} // namespace attune::codegen
#endif
