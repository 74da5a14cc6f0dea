//===- ConvolutionBuild.h - Ops in place of convolutions by Fourier transforms ----------------===//
//
// What the raises of long convolutions and of position-weighted attention share.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_CONVOLUTIONBUILD_H
#define ATTUNE_PASSES_RAISE_CONVOLUTIONBUILD_H

#include "attune/passes/raise/Convolution.h"

namespace attune {

/// The tensors that show a transform's result to operators other than views.
llvm::SmallVector<mlir::Value> shownBy(DftOp op);

/// Replaces the uses of the matched view by an attune.toeplitz. False, with nothing changed but
/// dead operators, if a signal is in no tensor by itself.
bool buildToeplitz(mlir::OpBuilder &builder, Sizes &sizes, ConvolutionMatch &match);

/// The coefficients that take input m to output t, for all differences d = t - m: `[N + M - 1]`, or
/// `[N + M - 1, C]` with the kernel's index, at d + M - 1; in the opposite order if `reversed`.
mlir::Value buildCoefficients(mlir::OpBuilder &builder, mlir::Location loc, Sizes &sizes,
                              ConvolutionMatch &match, mlir::Value kernel, bool reversed);

/// A tensor with one axis per group of indices as one with the axes `wanted`, each an index of a
/// group or null for an axis of extent 1.
mlir::Value ungroup(mlir::OpBuilder &builder, mlir::Location loc, Elements &elements, Sizes &sizes,
                    mlir::Value tensor, const IndexGroups &groups,
                    llvm::ArrayRef<mlir::Value> wanted);

} // namespace attune
#endif
