//===- ConvLines.h - The part of an image that a task of a dense convolution reads ------------===//
//
// A task copies the lines behind its output rows into scratch, padded and with strides taken out,
// so that every tap reads contiguous lanes and nothing is read beyond the borders. Two layouts:
//
// - flat: a copy per tap column, shifted, lines as long as the output's: the positions of several
//   output rows follow one another, so that short rows waste no lanes;
// - wide: one copy, which all tap columns read at a shift: for long rows of stride 1.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_CONVLINES_H
#define ATTUNE_CODEGEN_CPU_CONVLINES_H

#include "attune/codegen/cpu/ConvMatch.h"

namespace attune::codegen {

/// Whether whole rows are worth tiles of their own.
bool hasWideLines(const ConvMatch &conv);

class ConvLines {
public:
  using Value = mlir::Value;
  /// `budget`: elements that the lines of a task should stay below; `channels`: that it reads.
  ConvLines(KernelBuilder &kb, const ConvMatch &conv, std::function<Value(const Size &)> get,
            int64_t channels, int64_t budget);

  Value rowsPerTask, blocks; ///< output rows of a task, tasks of an image
  /// Elements that `rows` output rows take.
  Value elements(Value rows);

  /// A task's lines in memory: steps as the micro-kernel takes them.
  struct Block {
    Value memory, firstRow, rows;
    Value channelStep, rowStep, columnStep;
    Value segments, segment, segmentStep; ///< runs of contiguous positions: count, length, distance
  };
  Block block(Value memory, Value firstRow, Value rows);
  /// Copies all channels of a group; `source` is the first one's first element.
  void copyChannels(mlir::ModuleOp module, const Block &block, Value source);
  /// Copies one channel: `plane` is its first element in the image.
  void copy(mlir::ModuleOp module, const Block &block, Value plane, Value dst);

private:
  Value channelElements(Value rows);
  Value linesOf(Value rows);
  KernelBuilder &kb;
  const ConvMatch &conv;
  std::function<Value(const Size &)> get;
  int64_t channels;
  bool wide;
  Value length; ///< of a line
};

} // namespace attune::codegen
#endif
