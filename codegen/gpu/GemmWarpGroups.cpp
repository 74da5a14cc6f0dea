// sm_90a: one warp starts copies of tiles, which the GPU's engine for tensor maps makes; groups of
// four warps multiply 64 rows of the tile each, straight from shared memory. Two memory barriers
// per stage pass it on: `full` when its bytes have come, `empty` when all warps have read it.
#include "attune/codegen/gpu/GemmResults.h"
#include "attune/codegen/gpu/WarpGroups.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace attune::codegen {
namespace {

constexpr int64_t kRowBytes = WarpGroups::kRowBytes, kGroupRows = WarpGroups::kRows;
/// Outer indices of a row of 128 bytes, where the depth is not inside.
constexpr int64_t kOuterOfRow = 64;
/// The barrier of the warps that multiply.
constexpr int64_t kMultipliers = 1;

int64_t stageBytes(const GemmShape &shape) { return (shape.rows + shape.columns) * kRowBytes; }

class WarpGroupCode {
public:
  WarpGroupCode(DeviceBuilder &kb, const KernelArgs &args, const GemmKernel &kernel,
                const GemmChoice &choice)
      : kb(kb), kernel(kernel), shape(choice.shape), scope(kernel.sizes, kb, args),
        results(kb, scope, kernel, shape.columns), groups(kb, kernel.element),
        block(GemmBlock::of(kb, scope, kernel, choice)) {}

  bool build() {
    memory = kb.dynamicShared(kernel.device);
    Value warp = uniform(kb.div(kb.thread(), DeviceBuilder::kWarp));
    lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp));
    kb.ifThen(kb.eq(kb.thread(), kb.idx(0)), [&] {
      for (int64_t stage = 0; stage < shape.stages; ++stage) {
        groups.initBarrier(full(kb.idx(stage)), 1);
        groups.initBarrier(empty(kb.idx(stage)), multiplyingWarps());
      }
      groups.publishBarriers();
    });
    kb.barrier();
    kb.ifElse(
        kb.eq(warp, kb.idx(multiplyingWarps())), {},
        [&] {
          kb.ifThen(kb.eq(lane, kb.idx(0)), [&] { copyTiles(); });
          return Values();
        },
        [&] {
          multiplyTiles(kb.div(warp, 4));
          return Values();
        });
    return results.valid();
  }

private:
  DeviceBuilder &kb;
  const GemmKernel &kernel;
  const GemmShape &shape;
  Scope scope;
  GemmResults results;
  WarpGroups groups;
  GemmBlock block;
  Value memory, lane;

  int64_t multiplyingWarps() const { return 4 * shape.rows / kGroupRows; }
  int64_t multiplyingThreads() const { return DeviceBuilder::kWarp * multiplyingWarps(); }
  Value full(Value stage) { return barrier(stage); }
  Value empty(Value stage) { return barrier(kb.add(stage, shape.stages)); }
  Value barrier(Value number) {
    Value offset = kb.mul(number, WarpGroups::kBarrierBytes);
    return kb.sharedAt(memory, kb.add(offset, shape.stages * stageBytes(shape)));
  }

  /// The same value, of which the compiler knows that a warp agrees.
  Value uniform(Value index) {
    Type i32 = kb.b.getI32Type();
    Value word = arith::IndexCastOp::create(kb.b, kb.loc, i32, index);
    word = NVVM::ShflOp::create(kb.b, kb.loc, i32, kb.constI(-1, i32), word, kb.constI(0, i32),
                                kb.constI(DeviceBuilder::kWarp - 1, i32), NVVM::ShflKind::idx,
                                UnitAttr());
    return arith::IndexCastOp::create(kb.b, kb.loc, kb.index(), word);
  }

  /// Calls f(tile, stage, parity of the phase) for all tiles of the depth.
  Values forTiles(ValueRange init,
                  llvm::function_ref<Values(Value, Value, Value, ValueRange)> body) {
    Value count = kb.sub(block.endTile, block.firstTile), stages = kb.idx(shape.stages);
    return kb.forLoop(kb.idx(0), count, 1, init, [&](Value number, ValueRange carried) {
      Value phase = kb.rem(kb.div(number, shape.stages), kb.idx(2));
      Value parity = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI32Type(), phase);
      return body(kb.add(block.firstTile, number), kb.rem(number, stages), parity, carried);
    });
  }

  void copyTiles() {
    forTiles({}, [&](Value tile, Value stage, Value parity, ValueRange) {
      // Before the first phase the one of parity 1 counts as over: all stages are empty.
      Value other = arith::XOrIOp::create(kb.b, kb.loc, parity, kb.constI(1, parity.getType()));
      groups.wait(empty(stage), other);
      groups.expect(full(stage), stageBytes(shape));
      Value at = kb.sharedAt(memory, kb.mul(stage, stageBytes(shape)));
      Value depth = kb.mul(tile, shape.depth);
      copy(0, *kernel.aMap, shape.rows, block.row, depth, at, full(stage));
      copy(1, *kernel.bMap, shape.columns, block.column, depth,
           kb.sharedAt(at, kb.idx(shape.rows * kRowBytes)), full(stage));
      return Values();
    });
  }

  void copy(int64_t number, const TileMap &map, int64_t extent, Value outer, Value depth, Value to,
            Value barrier) {
    int64_t box = map.depthInside ? extent : kOuterOfRow;
    for (int64_t i = 0; i < extent; i += box)
      groups.copyTile(kb.tensorMap(number),
                      map.coordinates(kb, scope, block.batch, kb.add(outer, i), depth),
                      kb.sharedAt(to, kb.idx(i * kRowBytes)), barrier);
  }

  void multiplyTiles(Value group) {
    bool aInside = kernel.aMap->depthInside, bInside = kernel.bMap->depthInside;
    Value ownRows = kb.mul(group, kGroupRows * kRowBytes);
    Value zeros = groups.zeroSums(shape.columns);
    Value sums = forTiles(zeros, [&](Value, Value stage, Value parity, ValueRange carried) {
      groups.wait(full(stage), parity);
      Value at = kb.sharedAt(memory, kb.mul(stage, stageBytes(shape)));
      int64_t apart = shape.depth * kRowBytes;
      Value a = groups.descriptor(kb.sharedAt(at, ownRows), aInside, apart);
      Value b = groups.descriptor(kb.sharedAt(at, kb.idx(shape.rows * kRowBytes)), bInside, apart);
      Value sums = carried[0];
      groups.fence();
      for (int64_t step = 0; step < shape.depth / WarpGroups::kDepth; ++step)
        sums = groups.multiply(groups.atDepth(a, aInside, step), aInside,
                               groups.atDepth(b, bInside, step), bInside, sums, shape.columns);
      groups.commit();
      groups.waitForProducts();
      kb.ifThen(kb.eq(lane, kb.idx(0)), [&] { groups.arrive(empty(stage)); });
      return Values{sums};
    })[0];
    // The tiles become the place of the sums.
    groups.barrierOf(kMultipliers, multiplyingThreads());
    putSums(sums);
    groups.barrierOf(kMultipliers, multiplyingThreads());
    results.finish(memory, kb.thread(), multiplyingThreads(), shape.rows, block,
                   /*partial=*/false, [&](Value row) { return kb.add(block.row, row); });
  }

  void putSums(Value sums) {
    Value warp = kb.div(kb.thread(), DeviceBuilder::kWarp);
    Value row = kb.add(kb.mul(warp, 16), kb.div(lane, 4));
    Value column = kb.mul(kb.rem(lane, kb.idx(4)), 2);
    for (int64_t j = 0; j < shape.columns / 8; ++j)
      for (int64_t half = 0; half < 2; ++half) {
        Value pair[] = {groups.sum(sums, 4 * j + 2 * half), groups.sum(sums, 4 * j + 2 * half + 1)};
        results.put(memory, kb.add(row, 8 * half), kb.add(column, 8 * j), pair);
      }
  }
};

} // namespace

int64_t warpGroupGemmBytes(const GemmShape &shape) {
  int64_t barriers = 2 * shape.stages * WarpGroups::kBarrierBytes;
  return std::max(shape.stages * stageBytes(shape) + barriers,
                  GemmResults::bytes(shape.rows, shape.columns));
}

SmallVector<TensorMapShape> warpGroupGemmMaps(const GemmKernel &kernel, const GemmShape &shape) {
  auto shapeOf = [&](const TileMap &map, int64_t extent) {
    return map.shape(kernel.op, map.depthInside ? extent : kOuterOfRow, shape.depth);
  };
  return {shapeOf(*kernel.aMap, shape.rows), shapeOf(*kernel.bMap, shape.columns)};
}

bool buildWarpGroupGemm(DeviceBuilder &kb, const KernelArgs &args, const GemmKernel &kernel,
                        const GemmChoice &choice) {
  return WarpGroupCode(kb, args, kernel, choice).build();
}

} // namespace attune::codegen
