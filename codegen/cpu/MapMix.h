//===- MapMix.h - Mixing of attention maps: a tile of all maps at a time ----------------------===//
//
// A task takes a block of rows and columns of one batch entry. The maps of the block, with the halo
// of the whole chain of stages, are copied (and blended) into scratch; every stage then reads one
// buffer and writes the next, smaller by its own halo, and the last writes the result. Positions
// beyond the maps are zero in front of every stage. The inner loops are those of convolutions.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_MAPMIX_H
#define ATTUNE_CODEGEN_CPU_MAPMIX_H

#include "attune/codegen/cpu/ConvMicro.h"
#include "attune/codegen/cpu/Views.h"

namespace attune::codegen {

struct MapMixMatch {
  struct Operand {
    int64_t input = 0;
    View view;
  };
  struct Stage {
    Operand weight;
    std::optional<Operand> bias;
    double everyBias = 0;                ///< without `bias`: that of all channels
    int64_t groups = 1, out = 1, in = 1; ///< channels of a group
    int64_t rows = 1, columns = 1, dilation = 1;
    MapAct act = MapAct::None;
    double slope = 0;
    int64_t rowHalo() const { return rows / 2 * dilation; }
    int64_t columnHalo() const { return columns / 2 * dilation; }
  };
  MapMixOp op;
  Operand maps, previous;
  bool hasPrevious = false;
  Size batch, rows, columns;
  int64_t channels = 1;
  double alpha = 1, beta = 0;
  std::vector<Stage> stages;
  Placement result;
};

std::optional<MapMixMatch> matchMapMix(KernelOp op, const Sizes &sizes);

class MapMixCode {
public:
  using Value = mlir::Value;
  using Get = std::function<Value(const Size &)>;
  MapMixCode(const MapMixMatch &mix, const Sizes &sizes, KernelBuilder &kb, mlir::ModuleOp module);

  void build(llvm::StringRef symbol);
  /// Elements of scratch: per worker, and for packed weights.
  Value workerElements(const Get &get);
  int64_t weightElements() const;

private:
  /// What a stage reads (the last one: nothing): channels, halo around the block, place in scratch.
  struct Buffer {
    int64_t channels, rowHalo, columnHalo;
    Value memory, rows, width, pitch, channelStep;
  };
  struct Block {
    Value rows, columns; ///< of a whole block
    Value rowBlocks, columnBlocks;
  };
  struct Task;
  Block block(const Get &get);
  Buffer buffer(unsigned stage, Value rows, Value columns);
  int64_t panels(const MapMixMatch::Stage &stage) const;
  int64_t weightOffset(unsigned stage) const;
  void packWeights(Scope &scope, unsigned stage);
  Value buildTask(const KernelArgs &args);
  void loadMaps(Task &task);
  void runStage(Task &task, unsigned stage);
  void finishTile(Task &task, unsigned stage, Value group, Value panel, Value row, Value column,
                  Value valid);
  void clearBorders(Task &task, unsigned stage);

  const MapMixMatch &mix;
  const Sizes &sizes;
  KernelBuilder &kb;
  mlir::ModuleOp module;
  ConvTile tile;
};

} // namespace attune::codegen
#endif
