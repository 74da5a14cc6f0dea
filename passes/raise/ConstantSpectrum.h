//===- ConstantSpectrum.h - Signals behind spectra that are constants -------------------------===//
//
// Exporters fold the transform of a constant kernel. The signal is computed back from it in f64.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_CONSTANTSPECTRUM_H
#define ATTUNE_PASSES_RAISE_CONSTANTSPECTRUM_H

#include "attune/passes/raise/Convolution.h"

namespace attune {

/// The real signal of `length` samples with this spectrum, which varies with `frequency` and at
/// most one more index. Trailing samples that are 0 up to the rounding of the spectrum are left
/// out. Nothing if the parts are no constants.
std::optional<Signal> signalOfConstant(mlir::OpBuilder &builder, mlir::Location loc,
                                       Elements &elements, Sizes &sizes, mlir::Value real,
                                       mlir::Value imaginary, mlir::Value frequency,
                                       int64_t length);

} // namespace attune
#endif
