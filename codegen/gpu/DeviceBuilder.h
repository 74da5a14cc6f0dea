//===- DeviceBuilder.h - Builds the code of a GPU kernel --------------------------------------===//
//
// KernelBuilder (codegen/cpu) in a device function: what a thread is, what it shares with others.
// Blocks have one axis. Buffers are dense, aligned as the driver allocates them; `args` works as on
// a CPU, so that sizes (codegen/cpu/Scope.h) do, too.
//
//   kb.ifThen(kb.lt(kb.globalThread(256), n), [&] { ... });
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_DEVICEBUILDER_H
#define ATTUNE_CODEGEN_GPU_DEVICEBUILDER_H

#include "attune/codegen/cpu/KernelBuilder.h"

namespace attune::codegen {

class DeviceBuilder : public KernelBuilder {
public:
  static constexpr int64_t kWarp = 32;

  explicit DeviceBuilder(mlir::Location loc);

  Value thread();                      ///< in its block
  Value block(int64_t axis = 0);       ///< in the grid
  Value globalThread(int64_t threads); ///< in the grid, of blocks of so many threads along one axis

  void barrier();     ///< of the block
  void warpBarrier(); ///< of the warp: memory of its lanes is in order
  /// Of the lane whose number differs by `mask`, for any scalar; all lanes of the warp take part.
  Value shuffleXor(Value x, int64_t mask);
  /// Combines what the lanes of a warp hold, pairwise; all get the result.
  Value acrossWarp(Value x, llvm::function_ref<Value(Value, Value)> combine);
  /// Shared memory of the block, `bytes` of it, uninitialised, aligned to 16: as an address like
  /// any other, or of the space of shared memory.
  Value shared(mlir::ModuleOp device, llvm::StringRef name, int64_t bytes);
  Value sharedSpace(mlir::ModuleOp device, llvm::StringRef name, int64_t bytes);
  /// The shared memory that a launch asks for (LaunchShape::sharedBytes), aligned to 1024.
  Value dynamicShared(mlir::ModuleOp device);
  /// The address `bytes` behind one of shared memory.
  Value sharedAt(Value base, Value bytes);

  /// Copies 16 bytes to shared memory while the thread goes on, the first `bytes` (i32) of them
  /// from `from`, the others zero.
  void copyAsync(Value to, Value from, Value bytes);
  void commitCopies();                ///< those since the last one are a group
  void waitForCopies(int64_t groups); ///< until at most so many groups of the thread are under way

  using Body = llvm::function_ref<void(const KernelArgs &)>;
  /// A function of a module of device functions that can be launched with `threads` threads in a
  /// block. Its parameters are arrays by value: `buffers` addresses, `dims` 64-bit integers, where
  /// there are some, and where it is `checked` the address of a 32-bit integer: `failure`. Then
  /// `maps` tensor maps (TensorMapShape in Launches.h), whose addresses `tensorMap` gives.
  void entry(mlir::ModuleOp device, llvm::StringRef name, int64_t threads, int64_t buffers,
             int64_t dims, bool checked, int64_t maps, Body body);
  Value failure();
  Value tensorMap(int64_t number) { return tensorMaps[number]; }

private:
  Value failureParameter;
  Values tensorMaps;
};

} // namespace attune::codegen
#endif
