//===- WarpGroups.h - What sm_90a has for tiles -----------------------------------------------===//
//
// Memory barriers in shared memory, copies of tiles by an engine of the GPU (tensor maps of
// Launches.h), and products of 4 warps with operands in shared memory (PTX ISA, "mbarrier",
// "cp.async.bulk.tensor", "wgmma.mma_async").
//
//   a thread:   groups.expect(full, bytes); groups.copyTile(map, {depth, row}, tile, full);
//   4 warps:    groups.wait(full, parity);
//               groups.fence();
//               sums = groups.multiply(a, true, b, true, sums, 256);
//               groups.commit();
//               groups.waitForProducts();
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_WARPGROUPS_H
#define ATTUNE_CODEGEN_GPU_WARPGROUPS_H

#include "attune/codegen/gpu/DeviceBuilder.h"

namespace attune::codegen {

class WarpGroups {
public:
  using Value = mlir::Value;
  static constexpr int64_t kThreads = 128, kRows = 64, kDepth = 16; ///< of a product
  static constexpr int64_t kBarrierBytes = 8;
  /// A swizzled row of a tile; tiles start at multiples of eight of them.
  static constexpr int64_t kRowBytes = 128;

  /// `element`: f16 or bf16.
  WarpGroups(DeviceBuilder &kb, mlir::Type element) : kb(kb), element(element) {}

  //===------------------------------------------------------------------------------------------===//
  // Barriers in shared memory. A phase ends when all have arrived and all bytes have come.
  //===------------------------------------------------------------------------------------------===//

  void initBarrier(Value barrier, int64_t arrivals);
  void publishBarriers(); ///< by the thread that initialised them, before the block's barrier
  void arrive(Value barrier);
  void expect(Value barrier, int64_t bytes); ///< arrives, too
  /// Until the phase of that parity (i32) is over. Before the first phase, that of parity 1 is.
  void wait(Value barrier, Value parity);
  /// Of `threads` of the block; `number`: one of 15 such barriers, from 1.
  void barrierOf(int64_t number, int64_t threads);

  /// Starts to copy a box, from `coordinates` (index values) on, to `to`; bytes count at `barrier`.
  void copyTile(Value map, mlir::ValueRange coordinates, Value to, Value barrier);

  //===------------------------------------------------------------------------------------------===//
  // Products
  //===------------------------------------------------------------------------------------------===//

  /// Sums of a thread for `columns` columns: warp w of the group has the rows 16 * w and on, lane l
  /// of them l / 4 (sums 0 and 1 of every four) and l / 4 + 8 (sums 2 and 3); every four are the
  /// columns 2 * (l % 4) and the next one of eight.
  Value zeroSums(int64_t columns);
  Value noSums(int64_t columns); ///< any numbers
  Value sum(Value sums, int64_t number);

  /// An operand in shared memory: rows of 64 elements. `depthInside`: a row is 64 depths of an
  /// outer index. Else a row is 64 outer indices of a depth, and the next 64 follow `apart` bytes
  /// further.
  Value descriptor(Value address, bool depthInside, int64_t apart);
  /// That of the depths 16 * `step` and on.
  Value atDepth(Value descriptor, bool depthInside, int64_t step);

  void fence(); ///< in front of the first product after registers of sums were written
  /// `sums` plus the product, or the product alone: then `sums` may be `noSums`.
  Value multiply(Value a, bool aDepthInside, Value b, bool bDepthInside, Value sums,
                 int64_t columns, bool accumulate = true);
  void commit();
  void waitForProducts();

private:
  DeviceBuilder &kb;
  mlir::Type element;
};

} // namespace attune::codegen
#endif
