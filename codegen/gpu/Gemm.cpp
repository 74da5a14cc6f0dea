// Matrix products with whatever follows them element by element. A block computes a tile: operands
// come in tiles of shared memory, three of them in flight; f16 and bf16 are multiplied by tensor
// cores, f32 by fused multiply-add. Sums go back through shared memory, so that the epilogue reads
// and writes neighbouring columns.
#include "attune/codegen/gpu/Emitter.h"
#include "attune/codegen/gpu/Fragments.h"
#include "attune/codegen/gpu/Launches.h"
#include "attune/codegen/gpu/Math.h"
#include "attune/codegen/gpu/Tiles.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {
namespace {

constexpr int64_t kStages = 3;
/// Sums of a slab of the tile lie in shared memory with so many more columns, against conflicts.
constexpr int64_t kSlabPadding = 8;
constexpr int64_t kFloat = sizeof(float);

/// How a block works. Tensor cores: 2 x 2 warps, each on a quarter of the tile. Otherwise threads
/// have 4 x 4 sums.
struct Shape {
  bool tensorCores;
  int64_t rows, columns, depth, threads;
  int64_t patch = 4;

  int64_t warpRows() const { return rows / 2; }
  int64_t warpColumns() const { return columns / 2; }
  /// The part of the tile whose sums are stored at a time.
  int64_t slabs() const { return tensorCores ? warpRows() / 16 : 1; }
  int64_t slabRows() const { return rows / slabs(); }
};

class GemmKernel {
public:
  GemmKernel(KernelOp op, ModuleOp module, StringRef symbol, const CpuTarget &host,
             const Sizes &sizes, const GemmMatch &g)
      : op(op), device(Launches::deviceModule(module)), symbol(symbol), sizes(sizes), g(g),
        element(getElementTypeOrSelf(g.product.lhs.getType())),
        launches(op, module, symbol, host, /*scratch=*/0) {
    chooseShape();
    int64_t bytes = element.getIntOrFloatBitWidth() / 8;
    a = {g.a, g.aOffset, g.m, g.k, g.aBatch, g.aRows, g.aDepth};
    b = {g.b, g.bOffset, g.n, g.k, g.bBatch, g.bColumns, g.bDepth};
    aTile = {shape.rows, shape.depth, bytes, /*depthInside=*/true, shape.tensorCores};
    bool inside = shape.tensorCores && b.chunksAlongDepth(16 / bytes);
    bTile = inside ? TileLayout{shape.columns, shape.depth, bytes, true, true}
                   : TileLayout{shape.depth, shape.columns, bytes, false, shape.tensorCores};
  }

  /// Whether the epilogue could be built, and nothing in it can fail.
  bool build() {
    LaunchShape launch;
    launch.threads = shape.threads;
    launch.grid = {hostCeilDiv(hostExpr(op, g.m), shape.rows),
                   hostCeilDiv(hostExpr(op, g.n), shape.columns), hostExpr(op, g.batch)};
    bool works = true;
    launches.add(launch,
                 [&](DeviceBuilder &kb, const KernelArgs &args) { works = buildThread(kb, args); });
    if (works)
      launches.finish();
    return works;
  }

private:
  KernelOp op;
  ModuleOp device;
  StringRef symbol;
  const Sizes &sizes;
  const GemmMatch &g;
  Type element;
  Launches launches;
  Shape shape;
  TileSource a, b;
  TileLayout aTile, bTile;

  /// Small tiles where large ones would be mostly empty.
  void chooseShape() {
    shape.tensorCores = !element.isF32();
    if (!shape.tensorCores) {
      shape = {false, 64, 64, 16, 256};
      return;
    }
    auto small = [](const Size &extent) { return extent.constant().value_or(INT64_MAX) <= 64; };
    bool narrow = small(g.m) || small(g.n);
    shape = {true, narrow ? 64 : 128, narrow ? 64 : 128, 32, 128};
  }

  bool buildThread(DeviceBuilder &kb, const KernelArgs &args) {
    Scope scope(sizes, kb, args);
    Lanes lanes(scope, 1);
    EpilogueCode epilogue(g.epilogue, scope, lanes);
    Value m0 = kb.mul(kb.block(0), shape.rows), n0 = kb.mul(kb.block(1), shape.columns);
    Value batch = kb.block(2);
    TileLoader aLoader(kb, scope, a, aTile, element, batch, m0, shape.threads);
    TileLoader bLoader(kb, scope, b, bTile, element, batch, n0, shape.threads);
    int64_t stage = aTile.bytes() + bTile.bytes();
    int64_t slab = shape.slabRows() * (shape.columns + kSlabPadding) * kFloat;
    Value memory =
        kb.sharedSpace(device, (symbol + "_tiles").str(), std::max(kStages * stage, slab));
    auto place = [&](Value number) { return kb.sharedAt(memory, kb.mul(number, stage)); };
    auto load = [&](Value tile, Value number) {
      Value at = place(number), depth = kb.mul(tile, shape.depth);
      aLoader.load(depth, at);
      bLoader.load(depth, kb.sharedAt(at, kb.idx(aTile.bytes())));
    };

    Value tiles = kb.ceilDiv(scope.get(g.k), shape.depth);
    for (int64_t i = 0; i < kStages - 1; ++i) {
      load(kb.idx(i), kb.idx(i));
      kb.commitCopies();
    }
    Values zeros(sumsPerThread(), kb.constF(0));
    Values sums = kb.forLoop(kb.idx(0), tiles, 1, zeros, [&](Value tile, ValueRange carried) {
      kb.waitForCopies(kStages - 2);
      kb.barrier();
      // The stage that the block has just left.
      Value next = kb.add(tile, kStages - 1);
      kb.ifThen(kb.lt(next, tiles), [&] { load(next, kb.rem(next, kb.idx(kStages))); });
      kb.commitCopies();
      Value at = place(kb.rem(tile, kb.idx(kStages)));
      Value bAt = kb.sharedAt(at, kb.idx(aTile.bytes()));
      return shape.tensorCores ? multiplyTensors(kb, at, bAt, carried)
                               : multiplyFloats(kb, at, bAt, carried);
    });
    kb.waitForCopies(0);
    for (int64_t number = 0; number < shape.slabs(); ++number) {
      kb.barrier();
      shape.tensorCores ? storeTensors(kb, memory, number, sums) : storeFloats(kb, memory, sums);
      kb.barrier();
      finishSlab(kb, scope, epilogue, memory, number, m0, n0, batch);
    }
    return !epilogue.broken && isConstantIntValue(lanes.error(), 0);
  }

  int64_t sumsPerThread() const { return shape.rows * shape.columns / shape.threads; }

  //===------------------------------------------------------------------------------------------===//
  // Tensor cores
  //===------------------------------------------------------------------------------------------===//

  struct Place {
    Value warpRow, warpColumn, inEight, low, high; ///< the last two: bits of the matrix number
  };
  Place placeOf(DeviceBuilder &kb) {
    Value lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp));
    Value warp = kb.div(kb.thread(), DeviceBuilder::kWarp), matrix = kb.div(lane, 8);
    return {kb.div(warp, 2), kb.rem(warp, kb.idx(2)), kb.rem(lane, kb.idx(8)),
            kb.rem(matrix, kb.idx(2)), kb.div(matrix, 2)};
  }

  Values multiplyTensors(DeviceBuilder &kb, Value aAt, Value bAt, ValueRange carried) {
    Fragments fragments(kb, element);
    Place at = placeOf(kb);
    Values sums(carried);
    int64_t across = shape.warpColumns() / 8;
    Value wm = kb.mul(at.warpRow, shape.warpRows()),
          wn = kb.mul(at.warpColumn, shape.warpColumns());
    auto eights = [&](Value eight, int64_t start) {
      return kb.add(kb.add(kb.mul(eight, 8), at.inEight), start);
    };
    for (int64_t k = 0; k < shape.depth; k += 16) {
      SmallVector<Values> rows;
      for (int64_t i = 0; i < shape.warpRows(); i += 16) {
        Value row = kb.add(wm, eights(at.low, i)), chunk = kb.add(at.high, k / 8);
        rows.push_back(fragments.load(kb.sharedAt(aAt, aTile.chunk(kb, row, chunk)), false));
      }
      for (int64_t j = 0; j < shape.warpColumns(); j += 16) {
        Value row, chunk;
        if (bTile.depthInside) {
          row = kb.add(wn, eights(at.high, j));
          chunk = kb.add(at.low, k / 8);
        } else {
          row = eights(at.low, k);
          chunk = kb.add(kb.add(kb.div(wn, 8), at.high), j / 8);
        }
        Value address = kb.sharedAt(bAt, bTile.chunk(kb, row, chunk));
        Values columns = fragments.load(address, !bTile.depthInside);
        for (auto [i, row] : llvm::enumerate(rows))
          for (int64_t half = 0; half < 2; ++half) {
            int64_t first = 4 * (int64_t(i) * across + j / 8 + half);
            Values next = fragments.multiply(row, ValueRange(columns).slice(2 * half, 2),
                                             ValueRange(sums).slice(first, 4));
            llvm::copy(next, sums.begin() + first);
          }
      }
    }
    return sums;
  }

  /// The rows 16 * number and on of both rows of warps, one below the other.
  void storeTensors(DeviceBuilder &kb, Value memory, int64_t number, ValueRange sums) {
    Value lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp));
    Place at = placeOf(kb);
    Value row = kb.add(kb.mul(at.warpRow, 16), kb.div(lane, 4));
    Value column =
        kb.add(kb.mul(at.warpColumn, shape.warpColumns()), kb.mul(kb.rem(lane, kb.idx(4)), 2));
    int64_t across = shape.warpColumns() / 8;
    for (int64_t j = 0; j < across; ++j)
      for (int64_t half = 0; half < 2; ++half) {
        ValueRange pair = sums.slice(4 * (number * across + j) + 2 * half, 2);
        store(kb, memory, kb.add(row, 8 * half), kb.add(column, 8 * j), pair);
      }
  }

  //===------------------------------------------------------------------------------------------===//
  // Fused multiply-add
  //===------------------------------------------------------------------------------------------===//

  /// The first row and column of a thread's sums.
  std::pair<Value, Value> patchOf(DeviceBuilder &kb) {
    Value perRow = kb.idx(shape.columns / shape.patch);
    return {kb.mul(kb.div(kb.thread(), perRow), shape.patch),
            kb.mul(kb.rem(kb.thread(), perRow), shape.patch)};
  }

  Values multiplyFloats(DeviceBuilder &kb, Value aAt, Value bAt, ValueRange carried) {
    auto [row, column] = patchOf(kb);
    Type four = kb.vec(4);
    Values sums(carried);
    auto load = [&](Value base, Value offset) {
      return LLVM::LoadOp::create(kb.b, kb.loc, four, kb.sharedAt(base, offset), 16).getResult();
    };
    auto part = [&](Value vector, int64_t i) -> Value {
      return vector::ExtractOp::create(kb.b, kb.loc, vector, i);
    };
    for (int64_t k = 0; k < shape.depth; k += 4) {
      Values rows;
      for (int64_t i = 0; i < shape.patch; ++i)
        rows.push_back(load(aAt, aTile.element(kb, kb.add(row, i), kb.idx(k))));
      for (int64_t d = 0; d < 4; ++d) {
        Value columns = load(bAt, bTile.element(kb, kb.idx(k + d), column));
        for (int64_t i = 0; i < shape.patch; ++i)
          for (int64_t j = 0; j < shape.patch; ++j) {
            Value &sum = sums[shape.patch * i + j];
            sum = math::FmaOp::create(kb.b, kb.loc, part(rows[i], d), part(columns, j), sum);
          }
      }
    }
    return sums;
  }

  void storeFloats(DeviceBuilder &kb, Value memory, ValueRange sums) {
    auto [row, column] = patchOf(kb);
    for (int64_t i = 0; i < shape.patch; ++i)
      store(kb, memory, kb.add(row, i), column, sums.slice(shape.patch * i, shape.patch));
  }

  //===------------------------------------------------------------------------------------------===//
  // Results
  //===------------------------------------------------------------------------------------------===//

  Value slabAddress(DeviceBuilder &kb, Value memory, Value row, Value column) {
    Value element = kb.add(kb.mul(row, shape.columns + kSlabPadding), column);
    return kb.sharedAt(memory, kb.mul(element, kFloat));
  }

  void store(DeviceBuilder &kb, Value memory, Value row, Value column, ValueRange values) {
    auto type = kb.vec(int64_t(values.size()));
    Value vector = vector::FromElementsOp::create(kb.b, kb.loc, type, values);
    LLVM::StoreOp::create(kb.b, kb.loc, vector, slabAddress(kb, memory, row, column),
                          unsigned(values.size() * kFloat));
  }

  void finishSlab(DeviceBuilder &kb, Scope &scope, EpilogueCode &epilogue, Value memory,
                  int64_t number, Value m0, Value n0, Value batch) {
    Value m = scope.get(g.m), n = scope.get(g.n);
    int64_t perWarp = shape.slabRows() / 2;
    kb.forLoop(
        kb.thread(), kb.idx(shape.slabRows() * shape.columns), shape.threads, [&](Value position) {
          Value inSlab = kb.div(position, shape.columns);
          Value inRow = kb.rem(position, kb.idx(shape.columns));
          Value row = kb.add(m0, inSlab);
          if (shape.tensorCores) {
            Value warp = kb.mul(kb.div(inSlab, perWarp), shape.warpRows());
            row = kb.add(kb.add(m0, warp), kb.add(kb.rem(inSlab, kb.idx(perWarp)), 16 * number));
          }
          Value column = kb.add(n0, inRow);
          Value exists = arith::AndIOp::create(kb.b, kb.loc, kb.lt(row, m), kb.lt(column, n));
          kb.ifThen(exists, [&] {
            Value sum = LLVM::LoadOp::create(kb.b, kb.loc, kb.f32(),
                                             slabAddress(kb, memory, inSlab, inRow), kFloat);
            GemmPoint point{sum, batch, row, column, /*lanes=*/1, /*partial=*/{}};
            epilogue.run(point, g.product.result, [&] { return Lane(sum); });
          });
        });
  }
};

class GpuGemmEmitter final : public KernelEmitter {
public:
  StringRef name() const override { return "gpu-gemm"; }

  bool matches(KernelOp op, const CpuTarget &host) const override {
    OwningOpRef<ModuleOp> trial(ModuleOp::create(op.getLoc()));
    return build(op, *trial, "trial", host) && !findRefused(*trial);
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &host) const override {
    if (!build(op, module, symbol, host))
      return op.emitError("internal: the matrix product emitter does not take this kernel");
    return EmittedKernel();
  }

private:
  static bool build(KernelOp op, ModuleOp module, StringRef symbol, const CpuTarget &host) {
    Sizes sizes(op);
    std::optional<GemmMatch> g = matchGemm(op, sizes, GemmFloats::Any);
    // Windows, distances and shifts have other kernels.
    if (!g || g->columns != GemmColumns::Strided || g->product.distance || g->product.isGeneric ||
        g->product.hasCodes() || !getElementTypeOrSelf(g->product.result.getType()).isF32())
      return false;
    return GemmKernel(op, module, symbol, host, sizes, *g).build();
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createGpuGemmEmitter(const GpuTarget &) {
  return std::make_unique<GpuGemmEmitter>();
}

} // namespace attune::codegen
