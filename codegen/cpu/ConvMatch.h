//===- ConvMatch.h - Kernel regions that are one convolution or pooling with an epilogue ------===//
//
//   [pad] ─ [split of channels into groups] ─┐
//   filters (packed or views of an input)    ├─ linalg.generic ─ elementwise generics … ─ yield
//
// The analysis behind the conv emitter. It changes nothing and asks for nothing but `Sizes`.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_CONVMATCH_H
#define ATTUNE_CODEGEN_CPU_CONVMATCH_H

#include "attune/codegen/cpu/Epilogue.h"

namespace attune::codegen {

/// Output channels of a panel of packed filters, on every CPU: `[G,] [M / 4][C][taps...][4]`, or
/// panels of kPanelColumns where lanes are output channels (ConvChannels.h).
constexpr int64_t kFilterPanel = 4;

/// One spatial axis: position p reads elements `p * stride + tap * dilation - before`.
struct ConvAxis {
  int64_t taps = 1, stride = 1, dilation = 1;
  Size in = 1, out = 1, before = 0;
  Size step = 0; ///< elements between neighbours of the input
};

struct ConvMatch {
  enum Kind {
    Dense,    ///< sums over the channels of a group
    PerPlane, ///< filters with one input channel
    Max,      ///< pooling
    Sum
  };
  Kind kind = Dense;
  mlir::linalg::GenericOp op;
  mlir::Operation *combine = nullptr; ///< of a pooling
  Size batch = 1, groups = 1;
  /// Channels of a group that are written and read. Pooling: 1.
  int64_t maps = 1, channels = 1;
  ConvAxis rows, columns;
  double fill = 0; ///< beyond the borders

  int64_t input = 0;
  Size offset = 0, batchStep = 0, channelStep = 0;
  int64_t filters = 0;
  bool packed = false, acrossChannels = false; ///< in panels; of kPanelColumns
  View filterView; ///< of filters that are not packed: axes group, map, channel, row, column
  Epilogue epilogue;
};

/// Rows of the grid are the output channels, columns the output positions.
std::optional<ConvMatch> matchConv(KernelOp op, const Sizes &sizes);

} // namespace attune::codegen
#endif
