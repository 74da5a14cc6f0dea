//===- Gemm.h - Matrix products: packing, tasks, tails, epilogues -----------------------------===//
//
// Emits the kernel C[batch] = epilogue(A[batch] * B[batch]) for any M, N, K, batch >= 0 (values or
// constants) as tasks of a few column panels and a block of rows. A worker packs the rows (and the
// columns of a B that is no constant) of a task into panels, unless its previous task left them.
// What a task is and in which order it adds depends on the sizes only, so that the result is the
// same for any number of threads.
//
//   GemmSpec spec{.columns = GemmColumns::F32Panels, .k = 768};
//   spec.bind = [&](KernelBuilder &kb, const KernelArgs &args) {
//     GemmOperands g;
//     g.m = kb.dim(args, 0);
//     ...
//     g.epilogue = [=](KernelBuilder &kb, const GemmPoint &p) { kb.store(p.value, c, ...); };
//     return g;
//   };
//   emitGemm(kb, module, "attune_k0", spec);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_GEMM_H
#define ATTUNE_CODEGEN_CPU_GEMM_H

#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/GemmCodes.h"
#include "attune/codegen/cpu/GemmMicro.h"
#include "attune/codegen/cpu/GemmTables.h"

#include <functional>
#include <optional>

namespace attune::codegen {

/// How B is given.
enum class GemmColumns {
  F32Panels,  ///< [ceil(N / 16)][K][16] f32, padded with zeros
  I8Panels,   ///< the same as i8; scales are the epilogue's business
  Codes,      ///< [ceil(N / 16)][ceil(K / codes per word)][16] words of shift codes
  BytePanels, ///< of ByteDistance.h: [ceil(N / 16)][ceil(K / 8)][16][8] i8, padded with zeros
  Strided     ///< anywhere, packed at run time
};

/// One dimension of a matrix index, e.g. heads and head size of a K that was never flattened.
struct GemmAxis {
  mlir::Value extent, stride; ///< stride in elements
};

/// One vector of results in the epilogue.
struct GemmPoint {
  mlir::Value value; ///< `lanes` sums (i32 or i64 of shifted integers): columns [column, column +
                     ///< lanes) of `row`
  mlir::Value batch, row, column; ///< index values
  int64_t lanes;
  mlir::Value partial; ///< lanes that count (index), or null if all do
};

/// The operands as values of one function.
struct GemmOperands {
  mlir::Value m, n, k;
  mlir::Value batch; ///< null: one
  mlir::Value a, b;  ///< addresses
  /// Outermost first; the products of their extents are M and K (and K and N).
  llvm::SmallVector<GemmAxis> aRows, aDepth, bDepth, bColumns;
  /// Element offset of a batch, null for none. For panels: of the first panel.
  std::function<mlir::Value(mlir::Value batch)> aOffset, bOffset;
  mlir::Value work; ///< scratch, see GemmScratch; aligned to 64
  std::function<void(KernelBuilder &, const GemmPoint &)> epilogue;
  /// Fetches what `epilogue` will write at a point without a value; null: nothing.
  std::function<void(KernelBuilder &, const GemmPoint &)> fetch;
  /// The task's result (i32), built at its end; null for 0.
  std::function<mlir::Value()> status;
};

struct GemmSpec {
  GemmColumns columns = GemmColumns::F32Panels;
  ShiftCodes codes;               ///< of `Codes`; A is i32 unless its rounding is exact
  bool wide = false;              ///< its terms are summed in i64; K is at most kWideDepth
  bool distance = false;          ///< sums of -|a - b| instead of products; B is f32
  std::optional<int64_t> m, n, k; ///< where known
  /// Called at the start of every function that is made; uses what only dominates there.
  std::function<GemmOperands(KernelBuilder &, const KernelArgs &)> bind;

  // Tuning; the defaults are measured.
  int64_t depthBlock = 768; ///< K per pass over the tiles
  int64_t groupTiles = 0;   ///< column tiles per task; 0: by N
  int64_t rowBlock = 512;   ///< rows per task, at most
};

/// Bytes of scratch that `bind` provides:
/// `threads * (fixed + perDepth * k + 4 * min(m, rowLimit) * (k + 16)) + slack`.
struct GemmScratch {
  static constexpr int64_t slack = 256;
  int64_t fixed = 0, perDepth = 0, rowLimit = 0;

  int64_t bytes(int64_t m, int64_t k, int64_t threads) const {
    int64_t panels = perDepth * k + 4 * std::min(m, rowLimit) * (k + kPanelColumns);
    return threads * (fixed + panels) + slack;
  }
};
GemmScratch gemmScratch(const GemmSpec &spec, const CpuTarget &target);

/// How a problem of these sizes is cut.
KernelPlan gemmPlan(const GemmSpec &spec, const CpuTarget &target, int64_t batch, int64_t m,
                    int64_t n, int64_t k);

void emitGemm(KernelBuilder &kb, mlir::ModuleOp module, llvm::StringRef symbol,
              const GemmSpec &spec);

} // namespace attune::codegen
#endif
