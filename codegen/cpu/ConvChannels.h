//===- ConvChannels.h - Convolutions of small images: lanes are output channels
//---------------------===//
//
// The positions of a small image fill few vectors, the last of them badly. Where that costs more,
// constant filters lie in panels of 16 output channels (see `prefersChannels`), and a register tile
// is positions times vectors of channels, as in a matrix product. Images are read where they are if
// their planes are contiguous and a window is one element; else as ConvLines copies them. Sums are
// turned around a group of positions at a time, so that epilogues and results are those of Conv.h.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_CONVCHANNELS_H
#define ATTUNE_CODEGEN_CPU_CONVCHANNELS_H

#include "attune/codegen/cpu/ConvLines.h"
#include "attune/codegen/cpu/ConvMicro.h"
#include "attune/codegen/cpu/Emitter.h"
#include "attune/passes/fuse/KernelBackend.h"

namespace attune::codegen {

/// Positions times panels of channels whose sums are in registers, and the positions that are
/// turned around together.
struct ChannelTile {
  int64_t rows, panels, lanes, group;
  int64_t channels() const { return panels * kPanelColumns; }
  /// Elements between channels once they are turned around.
  int64_t line() const { return llvm::alignTo(group, lanes); }
  static ChannelTile of(const CpuTarget &target);
};

/// Multiply-adds per sum between two visits of a register tile: their filters stay in the first
/// level cache for all tiles of a group.
inline constexpr int64_t kChannelSteps = 160;
/// Tasks that are wanted of an image that is read where it is: two threads end together within 8 %.
inline constexpr int64_t kChannelTasks = 12;

/// Whether the image is read where it is.
bool readsInPlace(const ConvMatch &conv);
/// Whether a convolution with these filters should have them in panels of 16.
bool prefersChannels(const FilterUse &use, const CpuTarget &target);
/// How ChannelCode cuts and what its tasks do, at known sizes.
KernelPlan channelPlan(const ConvMatch &conv, const CpuTarget &target, IndexValues valueOf);

class ChannelCode {
public:
  using Value = mlir::Value;
  using Get = std::function<Value(const Size &)>;
  ChannelCode(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb, mlir::ModuleOp module);

  void build(llvm::StringRef symbol);
  /// Elements of scratch per worker; `get` gives sizes where `kb` stands.
  Value scratchElements(const Get &get);
  /// An epilogue could not be built although it was supported.
  bool broken = false;

private:
  struct Task;
  struct Split {
    Value blocks, panels, parts; ///< of an image's positions; of a task; of a block
  };
  /// Least and most positions of a register tile.
  struct Range {
    int64_t least, most;
  };
  ConvLines lines(const Get &get);
  Split split(const Get &get);
  Range tileRange(const Get &get);
  Value task(const KernelArgs &args);
  void place(Task &task, Value block, Value blocks, Value source, Value memory);
  void group(Task &task, Value image, Value column, Value positions);
  void panel(Task &task, Value panel, int64_t panels, Value image, Value column, Value positions);
  void finish(Task &task, Value panel, int64_t panels, Value column, Value positions);

  const ConvMatch &conv;
  const Sizes &sizes;
  KernelBuilder &kb;
  mlir::ModuleOp module;
  ChannelTile tile;
  bool inPlace;
  int64_t taps, panels, channelBlock;
};

} // namespace attune::codegen
#endif
