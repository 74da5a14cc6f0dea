//===- Convolution.h - Long convolutions that a graph computes by Fourier transforms ----------===//
//
// A product of two spectra, transformed back, is a circular convolution of the signals. The matcher
// finds the signals behind padding, and the part of the result that is read, so that what is left
// is plain: which coefficient takes input m to output t.
//
//   ConvolutionMatch match(sizes, view);          // view: a tensor that shows the inverse DFT
//   if (match.run())
//     ... match.input, match.kernel: scalars of match.elements at `inputPosition`, `kernelPosition`
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_CONVOLUTION_H
#define ATTUNE_PASSES_RAISE_CONVOLUTION_H

#include "attune/dialect/Attune.h"
#include "attune/passes/raise/Match.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace attune {

/// A signal as the transform sees it: element `position` lies `before` zeros into the transform.
struct Signal {
  mlir::Value scalar, position;
  mlir::AffineExpr extent, before;
};

/// The element at `indices`, of which the one along `axis` is a free index, without the zeros that
/// `tensor.pad` put around that axis.
Signal trimmed(Elements &elements, Sizes &sizes, mlir::Value tensor,
               llvm::ArrayRef<mlir::Value> indices, int64_t axis);

class ConvolutionMatch {
public:
  /// `view` must be an f32 or f64 tensor; the op is found behind it.
  ConvolutionMatch(Sizes &sizes, mlir::Value view) : elements(sizes), sizes(sizes), view(view) {}

  /// False if the view shows no inverse transform of a product of spectra; `reason` is set if it
  /// comes close.
  bool run();
  mlir::Value shownView() const { return view; }

  Elements elements;
  std::string reason;

  llvm::SmallVector<mlir::Value> indices; ///< of the view; the constant 0 on axes of extent 1
  int64_t timeAxis = -1;                  ///< of the view
  DftOp inverse;
  Signal input, kernel;    ///< the kernel varies with the fewer indices
  mlir::AffineExpr length, ///< of the transform
      first,               ///< position of the view's first element in the transform
      count;               ///< positions of the view

  /// Indices of the view, other than time, with which the kernel varies.
  llvm::SmallVector<mlir::Value> kernelIndices() { return varying(kernel); }
  llvm::SmallVector<mlir::Value> varying(const Signal &signal);
  /// Whether the kernel's element s takes input t to output t + s, for all of the view, and no
  /// other coefficient counts.
  bool isCausal();

private:
  struct Bin {
    DftOp op;
    llvm::SmallVector<mlir::Value> indices; ///< without the last one
    int64_t part;
    bool operator==(const Bin &other) const { return op == other.op && indices == other.indices; }
  };
  std::optional<Bin> asBin(mlir::Value scalar);
  bool matchView();
  bool matchProduct();
  bool matchProduct(mlir::arith::SubFOp real, mlir::arith::AddFOp imaginary, mlir::Value a);
  std::optional<Signal> signalOf(const Bin &bin);
  llvm::SmallVector<mlir::Value> spectrum; ///< an element of the product, last index excepted
  mlir::Value frequency;
  Sizes &sizes;
  mlir::Value view;
};

/// Whether an expression over extents is never negative.
bool isNonNegative(Sizes &sizes, mlir::AffineExpr expr);

} // namespace attune
#endif
