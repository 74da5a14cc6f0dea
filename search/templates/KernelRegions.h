//===- KernelRegions.h - Kernels of transformer blocks, straight in the dialect ---------------===//
//
// Builds the `attune.kernel` ops that the fuse stage leaves of the usual blocks: matrix products
// with what follows them, norms, attention. Nothing is folded, raised or merged here;
// test/search/TemplateTest.cpp holds them against what the compiler makes of the ONNX model.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_KERNELREGIONS_H
#define ATTUNE_SEARCH_TEMPLATES_KERNELREGIONS_H

#include "attune/dialect/Attune.h"
#include "attune/passes/rewrite/FormPrices.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace attune::search {

struct BuiltKernel {
  KernelOp op;
  llvm::SmallVector<unsigned, 4> weights;      ///< inputs that are constants of the model
  llvm::StringRef emitter = {};                ///< where no other comes into question
  llvm::SmallVector<unsigned, 1> distant = {}; ///< inputs, then results, of the model's caller
};

class KernelRegions {
public:
  /// `prices` choose forms. What is built lives as long as this.
  KernelRegions(mlir::MLIRContext &context, const FormPrices &prices);

  /// What is done to the sums of a product.
  enum class Then {
    Bias,    ///< + b
    Table,   ///< + b + a constant of the result's shape
    Gelu,    ///< gelu(x + b)
    Residual ///< + b + a tensor of the result's shape
  };
  /// [1, rows, k] x [k, n]; rows 0: [1, k] x [k, n]. `heads`: as [1, heads, rows, n / heads].
  BuiltKernel product(int64_t rows, int64_t k, int64_t n, Then then, int64_t heads = 0);
  /// Of [1, rows, width] over the last axis; `mean`: then the mean of the rows.
  BuiltKernel norm(int64_t rows, int64_t width, bool mean);
  /// Softmax attention of the parts of [1, rows, 3 * width]; `reach`: over so many rows to both
  /// sides, 0: over all; `causal`: not over later ones.
  BuiltKernel attention(int64_t rows, int64_t width, int64_t heads, int64_t reach, bool causal);
  /// Softmax attention of [1, heads, rows, width / heads] to the first two parts of
  /// [1, sources, packed].
  BuiltKernel cross(int64_t rows, int64_t width, int64_t heads, int64_t sources, int64_t packed);
  /// Linear attention with relu features, in the cheapest form.
  BuiltKernel linearAttention(int64_t rows, int64_t width, int64_t heads, bool causal);

private:
  using Value = mlir::Value;
  mlir::RankedTensorType f32(llvm::ArrayRef<int64_t> shape);
  /// A kernel with these inputs; building goes on inside.
  KernelOp begin(mlir::TypeRange inputs, mlir::Type result);
  void yield(Value result);
  Value number(float value);
  Value zeros(llvm::ArrayRef<int64_t> shape);
  /// One head's view of a third of `packed`, [1, heads, rows, width / heads].
  Value part(Value packed, int64_t number, int64_t rows, int64_t width, int64_t heads, bool flat);
  /// [1, rows, width] as [1, heads, rows, width / heads].
  Value split(Value x, int64_t rows, int64_t width, int64_t heads);
  Value transpose(Value x, llvm::ArrayRef<int64_t> permutation);
  Value scale(int64_t channels);
  void addMask(AttentionOp op, int64_t reach, bool causal);
  void chooseForm(FormOpInterface op);

  const FormPrices &prices;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::OpBuilder b;
  mlir::Location loc;
};

} // namespace attune::search
#endif
