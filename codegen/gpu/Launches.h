//===- Launches.h - The device functions of a kernel and the host function around them --------===//
//
// An emitter adds launches in the order in which they run; `finish` makes the function of the
// kernel ABI that starts them. Device functions of all kernels go into one module beside the
// host's, which becomes one PTX text in the artifact (`embedDeviceCode`).
//
//   Launches launches(op, module, symbol, host, /*scratch=*/0);
//   launches.add({.threads = 256, .grid = {blocks}}, [&](DeviceBuilder &kb, const KernelArgs &args)
//   {
//     ...
//   });
//   launches.finish();
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_LAUNCHES_H
#define ATTUNE_CODEGEN_GPU_LAUNCHES_H

#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/gpu/DeviceBuilder.h"

#include <vector>

namespace attune::codegen {

/// A tensor that a kernel copies tiles of by its engine for that (sm_90a), in elements. The first
/// axis is dense; strides of the others and the offset are multiples of 16 bytes.
struct TensorMapShape {
  struct Axis {
    HostExpr extent, stride;
    int64_t box;
  };
  int64_t buffer;
  HostExpr offset;
  int64_t elementBytes;
  llvm::SmallVector<Axis> axes; ///< at most 5
};

struct LaunchShape {
  int64_t threads = 0; ///< of a block
  /// Blocks along up to three axes; nothing runs where one is 0. Missing ones are 1.
  llvm::SmallVector<HostExpr, 3> grid;
  int64_t sharedBytes = 0; ///< dynamic shared memory of a block
  /// Blocks that a multiprocessor should have room for, in registers; 0: as ptxas likes.
  int64_t blocksTogether = 0;
  /// What `DeviceBuilder::tensorMap` gives, by number.
  llvm::SmallVector<TensorMapShape> maps = {};
};

class Launches {
public:
  /// `scratch`: buffers behind inputs and results that the emitter asks for.
  Launches(KernelOp op, mlir::ModuleOp module, llvm::StringRef symbol, const CpuTarget &host,
           int64_t scratch);

  /// Whether addresses and sizes, with that of a failure, fit into what a launch may hand over (4
  /// KB).
  static bool fitParameters(KernelOp op, int64_t scratch);

  using Body = llvm::function_ref<void(DeviceBuilder &, const KernelArgs &)>;
  void add(const LaunchShape &shape, Body body);

  /// Launches that are added after it may fail: `DeviceBuilder::failure`, 0 when the kernel starts,
  /// is the kernel's result.
  void addChecks() { checked = true; }

  void finish();

  /// The module of device functions in a module of kernels.
  static mlir::ModuleOp deviceModule(mlir::ModuleOp module);

private:
  struct Launch {
    std::string entry;
    LaunchShape shape;
  };
  mlir::Value emit(KernelBuilder &kb, const KernelArgs &args, const Launch &launch);
  mlir::Value encode(KernelBuilder &kb, const KernelArgs &args, mlir::ValueRange dims,
                     const TensorMapShape &map, mlir::Value to);

  KernelOp op;
  mlir::ModuleOp module;
  std::string symbol;
  const CpuTarget &host;
  int64_t buffers;
  bool checked = false;
  std::vector<Launch> launches;
};

/// The number of a constant, as a host expression.
HostExpr hostConstant(int64_t value);
HostExpr hostCeilDiv(HostExpr value, int64_t divisor);

/// Takes the device functions out of `module`; the PTX that `compile` makes of them becomes data of
/// it, and is returned. Empty where there are none.
llvm::Expected<std::string>
embedDeviceCode(mlir::ModuleOp module,
                llvm::function_ref<llvm::Expected<std::string>(mlir::ModuleOp)> compile);

} // namespace attune::codegen
#endif
