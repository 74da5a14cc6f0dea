//===- LinearAttention.h - The blocks of a linear attention kernel ----------------------------===//
//
// Internal to codegen/gpu/LinearAttention*.cpp. Positions go by chunks of 64. A block has a head, a
// slab of up to 64 value columns and some neighbouring chunks, a part; the state S [features,
// columns] stays with it. Inside a chunk queries meet keys by their products, across chunks by S.
//
//   states   S of a part's keys alone, to memory             (scan, in LinearAttention.cpp: of all
//   outputs  results of a part's queries, from the state      parts before each part)
//            that memory holds for it
//
// f16 and bf16: four warps with `mma.sync`, each 16 positions of a chunk and 1 / 4 of the features
// of S, which lies in registers as f32. f32: 256 threads with patches of 4x4, S in shared memory.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_LINEARATTENTION_H
#define ATTUNE_CODEGEN_GPU_LINEARATTENTION_H

#include "attune/codegen/cpu/Lanes.h"
#include "attune/codegen/cpu/LinearAttentionMatch.h"
#include "attune/codegen/gpu/DeviceBuilder.h"
#include "attune/codegen/gpu/Tiles.h"

namespace attune::codegen {

/// Whether an operator is computed by blocks, if its operands lie in memory as a kernel's do.
bool hasLinearBlocks(LinearAttentionOp op);

/// What is known of a kernel when it is compiled.
struct LinearBlockShape {
  static constexpr int64_t kChunk = 64;
  mlir::Type element;   ///< of queries, keys and values
  int64_t features = 0; ///< F
  int64_t rows = 0;     ///< F in whole tiles of 64
  int64_t valueDim = 0; ///< E
  int64_t columns = 0;  ///< of a slab
  bool causal = false;
  bool sums = false;  ///< Z, the sum of the keys' features, takes part
  bool gated = false; ///< positions let go of the state

  LinearBlockShape() = default;
  explicit LinearBlockShape(const LinearAttentionMatch &match);
  bool tensorCores() const { return !element.isF32(); }
  int64_t threads() const { return tensorCores() ? 128 : 256; }
  int64_t bytes() const { return tensorCores() ? 2 : 4; }
  int64_t slabs() const { return (valueDim + columns - 1) / columns; }
  /// Floats of S and Z in memory.
  int64_t stateFloats() const { return features * valueDim + (sums ? features : 0); }
  /// With what is left at the end of a part of a state from before it.
  int64_t slotFloats() const { return stateFloats() + (gated ? 2 : 0); }
  /// Dynamic shared memory of a block.
  int64_t sharedBytes() const;
};

/// What a block works on.
struct LinearBlockTask {
  using Value = mlir::Value;
  Value batch, head, kvHead, slab;
  Value first, end;  ///< positions
  Value state;       ///< S [F, E] and Z [F] of f32 in memory: written by `states`
  Value hasState;    ///< i1: `outputs` start from `state`, otherwise from 0
  Value writesFinal; ///< i1, where a final state is asked for
};

/// The code of one device function.
class LinearBlock {
public:
  using Value = mlir::Value;
  virtual ~LinearBlock() = default;
  virtual void states(const LinearBlockTask &task) = 0;
  virtual void outputs(const LinearBlockTask &task) = 0;
  /// Whether a feature map could not be built, or can fail.
  bool broken() const;

  Scope scope;
  Lanes lanes;
  const LinearAttentionValues values;

protected:
  LinearBlock(const LinearAttentionMatch &match, const LinearBlockShape &shape, DeviceBuilder &kb,
              const KernelArgs &args, Value shared);

  static constexpr int64_t kChunk = LinearBlockShape::kChunk;
  enum Tile { Queries, Keys, Columns };
  Value at(int64_t bytes) { return kb.sharedAt(shared, kb.idx(bytes)); }
  TileLayout layout(Tile tile) const;
  /// Loads that belong to `task`; to be made before loops.
  void makeLoaders(const LinearBlockTask &task, bool queries, bool keys);
  /// Starts to bring a chunk to `place`, where tiles lie one behind the other.
  void start(Value position, Value place);
  /// Replaces what has come by features; threads meet before and after. Nothing if there is nothing
  /// to do.
  void finish(const LinearBlockTask &task, Value position, Value place);
  Value tileAt(Value place, Tile tile);
  int64_t stageBytes() const;

  /// What is left of the state at a chunk's positions, in tables behind everything else: to be
  /// called before threads meet; nothing without gates.
  void makeGates(const LinearBlockTask &task, Value position);
  enum Gate { High, Low, UpTo, Ahead };
  /// Of a position of the chunk: logarithms since the chunk's start as two summands, the factor
  /// since then, that until its end. `count` neighbours.
  Value gate(Gate which, Value position, int64_t count = 1);
  /// The factor over the whole chunk.
  Value wholeGate() { return gate(UpTo, kb.idx(kChunk - 1)); }
  /// The logarithm of the factor between two positions of a chunk.
  Value gateBetween(Value high, Value low, Value key);
  /// Around the chunks of `states`: of a part.
  void startPartGate();
  void storePartGate(const LinearBlockTask &task);

  /// By the processor's 2^x, to about 2^-21.
  Value fastExp(Value x);
  Value fastExpM1(Value x);

  /// Of an element in a state in memory.
  Value stateOffset(Value f, Value e) { return kb.add(kb.mul(f, shape.valueDim), e); }
  /// Element of a state in memory, as f32: a given one, or that of this part.
  Value loadState(const LinearBlockTask &task, Value f, Value e);
  Value loadNorm(const LinearBlockTask &task, Value f);
  void storeState(const LinearBlockTask &task, bool isFinal, Value f, Value e, Value x);
  void storeNorm(const LinearBlockTask &task, bool isFinal, Value f, Value x);
  /// The first column of the slab.
  Value firstColumn(const LinearBlockTask &task) { return kb.mul(task.slab, shape.columns); }
  /// 1 / denominator of a query.
  Value factor(Value sum, Value query);
  bool normalised() const { return match.spec.norm == Weighting::Sum; }
  /// Results come in whole chunks of 16 bytes.
  bool storesChunks() const;
  Value resultAt(const LinearBlockTask &task, Value query, Value column);

  const LinearAttentionMatch &match;
  const LinearBlockShape &shape;
  DeviceBuilder &kb;
  Value shared;

private:
  void mapFeatures(Tile tile, const LinearBlockTask &task, Value position, Value place);
  bool isMapped(Tile tile) const;
  TileSource source(Tile tile) const;
  Value mapped(mlir::Region &region, Value x);
  struct Loader {
    Tile tile;
    TileLayout layout;
    std::unique_ptr<TileLoader> loader;
  };
  llvm::SmallVector<std::unique_ptr<Loader>, 3> loaders;
  bool failed = false, countsPart = false;
};

std::unique_ptr<LinearBlock> makeTensorLinearBlock(const LinearAttentionMatch &match,
                                                   const LinearBlockShape &shape, DeviceBuilder &kb,
                                                   const KernelArgs &args, mlir::Value shared);
std::unique_ptr<LinearBlock> makeFloatLinearBlock(const LinearAttentionMatch &match,
                                                  const LinearBlockShape &shape, DeviceBuilder &kb,
                                                  const KernelArgs &args, mlir::Value shared);
/// Shared memory behind two stages (tensor cores), or one.
int64_t tensorLinearBytes(const LinearBlockShape &shape);
int64_t floatLinearBytes(const LinearBlockShape &shape);

} // namespace attune::codegen
#endif
