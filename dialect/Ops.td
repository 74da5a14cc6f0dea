#ifndef ATTUNE_DIALECT_OPS_TD
#define ATTUNE_DIALECT_OPS_TD
include "attune/dialect/ops/Attention.td"
include "attune/dialect/ops/Choice.td"
include "attune/dialect/ops/Contract.td"
include "attune/dialect/ops/Dft.td"
include "attune/dialect/ops/Ema.td"
include "attune/dialect/ops/Kernel.td"
include "attune/dialect/ops/LinearAttention.td"
include "attune/dialect/ops/MapMix.td"
include "attune/dialect/ops/Norm.td"
include "attune/dialect/ops/Scan.td"
include "attune/dialect/ops/Scatter.td"
include "attune/dialect/ops/Toeplitz.td"
include "attune/dialect/ops/UnpackCodes.td"
include "attune/dialect/ops/Yield.td"
#endif
