//===- ConvPlaneChannels.h - Windows of small planes: lanes are channels ----------------------===//
//
// What ConvPlanes does row by row leaves lanes empty where rows are short, and copies lines one by
// one. Here a task turns the planes of a vector of channels around, padded: [position][lane], sums
// them in tiles of positions, whatever stride and dilation are, and turns the sums back.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_CONVPLANECHANNELS_H
#define ATTUNE_CODEGEN_CPU_CONVPLANECHANNELS_H

#include "attune/codegen/cpu/ConvMatch.h"
#include "attune/codegen/cpu/Emitter.h"
#include "llvm/ADT/SetVector.h"

namespace attune::codegen {

/// What follows from the sizes, all known.
struct PlaneChannelShape {
  /// Nothing where a size is not known, rows have gaps, or the turned planes would not stay cached.
  static std::optional<PlaneChannelShape> of(const ConvMatch &conv, int64_t lanes);

  int64_t channels;              ///< that are written, of an image
  int64_t copied, inColumns;     ///< elements of a plane that are turned around
  int64_t rows, columns;         ///< of a turned plane, with what lies beyond its borders
  int64_t top, left;             ///< where the first element goes
  int64_t outRows, outColumns;   ///< positions
  int64_t tileRows, tileColumns; ///< positions whose sums are in registers
  int64_t blocks, blocksPerTask; ///< vectors of channels
  int64_t tasks() const { return llvm::divideCeil(blocks, blocksPerTask); }
  int64_t positions() const { return outRows * outColumns; }
};

/// Of a turned plane, that a tile reads for some taps: those of the first one, without repetition.
llvm::SmallSetVector<int64_t, 16> tileReads(const ConvAxis &axis, int64_t tile);

/// Whether PlaneChannelCode is expected to take less time than PlaneCode.
bool prefersPlaneChannels(const ConvMatch &conv, const CpuTarget &target);

class PlaneChannelCode {
public:
  using Value = mlir::Value;
  using Get = std::function<Value(const Size &)>;
  PlaneChannelCode(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb,
                   mlir::ModuleOp module);

  void build(llvm::StringRef symbol);
  /// Elements of scratch per worker; `get` gives sizes where `kb` stands.
  Value scratchElements(const Get &get);
  /// An epilogue could not be built although it was supported.
  bool broken = false;

private:
  struct Task;
  Value task(const KernelArgs &args);
  void block(Task &task, Value first);
  void fill(Task &task);
  void turnPlanes(Task &task, Value first);
  void turnFilters(Task &task, Value first);
  void tile(Task &task, Value row, Value column);
  Values tapRow(Task &task, Value at, Value tapRow, Values sums);
  void finish(Task &task, Value first);
  void turned(mlir::ValueRange rows, llvm::function_ref<void(int64_t, Value)> store);

  const ConvMatch &conv;
  const Sizes &sizes;
  KernelBuilder &kb;
  mlir::ModuleOp module;
  int64_t lanes;
  PlaneChannelShape shape;
};

} // namespace attune::codegen
#endif
