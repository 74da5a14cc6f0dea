//===- ConvChannels.h - Convolutions of small images: lanes are output channels ---------------===//
//
// The positions of a small image fill few vectors, the last of them badly, and lanes of positions
// ask for copies of images that have strides. Where that costs more, constant filters lie in panels
// of 16 output channels (see `prefersChannels`), and a register tile is positions times vectors of
// channels, as in a matrix product. Images without borders are read where they are; else lines are
// copied once, padded. Sums are turned around a group of positions at a time, so that epilogues and
// results are those of Conv.h.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_CONVCHANNELS_H
#define ATTUNE_CODEGEN_CPU_CONVCHANNELS_H

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

/// Whether the image is read where it is: no window reaches beyond it.
bool readsInPlace(const ConvMatch &conv);
/// Whether rows of such an image follow one another without gaps, as one.
bool hasOneRow(const ConvMatch &conv);
/// Elements of a padded line, and lines behind so many output rows.
inline int64_t linesBehind(const ConvAxis &axis, int64_t positions) {
  return (positions - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1;
}
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
  /// A block's image, in steps of elements, and its positions: rows times columns.
  struct Block {
    Value memory, channelStep, tapRowStep, tapColumnStep, rowStep;
    Value firstPosition, rows, columns;
  };
  /// Consecutive positions of a block: part of a row or whole rows.
  struct Group {
    Value row, rows, column, columns;
  };
  Value lineElements(const Get &get);
  Value rowsPerBlock(const Get &get);
  Split split(const Get &get);
  Range tileRange(const Get &get);
  Value task(const KernelArgs &args);
  void place(Task &task, Value number, Value blocks, Value source, Value memory);
  void copy(Task &task, Value firstRow, Value source);
  void channels(Task &task, const Group &group);
  void panel(Task &task, const Group &group, Value panel, int64_t panels);
  void finish(Task &task, const Group &group, Value panel, int64_t panels);

  const ConvMatch &conv;
  const Sizes &sizes;
  KernelBuilder &kb;
  mlir::ModuleOp module;
  ChannelTile tile;
  bool inPlace, oneRow;
  int64_t step; ///< elements between positions
  int64_t taps, panels, channelBlock;
};

} // namespace attune::codegen
#endif
