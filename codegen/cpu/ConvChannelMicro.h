//===- ConvChannelMicro.h - Register tiles of positions times output channels -----------------===//
//
// Private functions of the kernels' module, made on first use. Filters are vectors of a panel of 16
// output channels, elements of the image are broadcast.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_CONVCHANNELMICRO_H
#define ATTUNE_CODEGEN_CPU_CONVCHANNELMICRO_H

#include "attune/codegen/cpu/ConvMicro.h"

namespace attune::codegen {

/// tile (+)= image * filters for `rows` positions, `step` elements apart in the image, and `panels`
/// panels, with filters [channels][rows][columns][16]. Positions of the tile are ChannelTile's
/// channels() apart.
void callChannelMicro(KernelBuilder &kb, mlir::ModuleOp module, int64_t tapRows, int64_t tapColumns,
                      int64_t rows, int64_t step, int64_t panels, const ConvMicroCall &call);

/// turned[channel][position] = sums[position][channel]: positions of `sums` are ChannelTile's
/// channels() apart, channels of `turned` its line(). Whole vectors are turned in both directions.
void turnChannels(KernelBuilder &kb, mlir::ModuleOp module, mlir::Value sums, mlir::Value positions,
                  mlir::Value channels, mlir::Value turned);

} // namespace attune::codegen
#endif
