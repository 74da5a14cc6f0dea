//===- LinearAttention.h - Emits a linear attention kernel ------------------------------------===//
//
// The raw layer below the linear attention emitter: one kernel function of the ABI from a
// description of operands that are already pointers and strides. Semantics as
// attune.linear_attention; arithmetic is f32, f16 and bf16 operands are converted as they are
// loaded.
//
// Forms; one is chosen, or the one whose price is the lowest in a call, or else the usual one:
//  - Recurrent (causal, every update): lanes are value columns. The state S [F, E] stays in cache
//    and is passed over once for four positions, which meet each other by dot products of features:
//    fewer operations than with longer chunks, at the same rate: the usual form. Tasks are (batch,
//    kv head), or parts of its columns where there are few. Momentum goes one position at a time.
//  - Chunked (causal; update sum, gated per head, momentum): inside a chunk of 64 positions the
//    quadratic form on register tiles. Tasks are (batch, kv head). The usual form of momentum.
//  - Linear (bidirectional): S = phi(K)^T V by (batch, kv head, part of the keys), parts added in
//    order, then phi(Q) S by (batch, head, block of queries).
//  - Quadratic (update sum): weights of one block of queries and one chunk of keys at a time.
// The choice and the tasks are functions of the shapes alone, so that any number of threads gives
// the same bits. Scratch does not grow with the number of positions.
//
//   LinearAttentionSpec spec;
//   spec.keyDim = spec.valueDim = 64;
//   spec.values = [](KernelBuilder &kb, const KernelArgs &args) { ...; return v; };
//   LinearAttentionScratch scratch = emitLinearAttention(kb, module, "k0", spec, /*buffer=*/4);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_LINEARATTENTION_H
#define ATTUNE_CODEGEN_CPU_LINEARATTENTION_H

#include "attune/codegen/cpu/Attention.h"

namespace attune::codegen {

/// Operands as values of the function being built. Absent tensors have a null base.
struct LinearAttentionValues {
  mlir::Value batch, heads, kvHeads, queries, keys; ///< heads is a multiple of kvHeads
  AttentionTensor query, key;                       ///< [b, h, n, d], [b, kv head, m, d]
  AttentionTensor value, result;                    ///< [b, kv head, m, e], [b, h, n, e]
  AttentionTensor queryPos, keyPos;                 ///< [r, n], [r, m]
  AttentionTensor toeplitz;                         ///< [h, n + m - 1]
  AttentionTensor decay, beta;                      ///< [b, kv head, m, (d)], [b, kv head, m]
  AttentionTensor keyMask;                          ///< [b, m]
  AttentionTensor initState, finalState;            ///< [b, kv head, f, e]
  AttentionTensor initNorm, finalNorm;              ///< [b, kv head, f]
  mlir::Value mu, step;                             ///< f32
};

struct LinearAttentionSpec {
  int64_t keyDim = 0, valueDim = 0; ///< D, E
  int64_t terms = 1;                ///< R
  bool causal = true;
  bool featureGates = false;
  bool state = false, norms = false; ///< an initial or final S (Z) is among the values
  Update update = Update::Sum;
  Weighting norm = Weighting::None;
  double eps = 0;
  EpsMode epsMode = EpsMode::Add;
  Denominator den = Denominator::Weighted;
  bool toeplitz = false;
  Form form = Form::Auto;
  /// A form and what it costs in this call (f64).
  struct Price {
    Form form;
    std::function<mlir::Value(KernelBuilder &)> cost;
  };
  /// The forms to choose from where `form` is auto; built after `values`. Empty: the usual form.
  llvm::SmallVector<Price> prices;

  std::function<LinearAttentionValues(KernelBuilder &, const KernelArgs &)> values;
  /// Scalar maps on vectors of f32; empty: identity.
  std::function<mlir::Value(KernelBuilder &, mlir::Value)> phiQ, phiK, stateMap;
  /// Result of the task function (i32 error code) once its body is built; empty: 0.
  std::function<mlir::Value(KernelBuilder &)> status;

  int64_t features() const { return keyDim * terms; }
  bool gated() const { return update == Update::Gated || update == Update::GatedDelta; }
  bool delta() const { return update == Update::Delta || update == Update::GatedDelta; }
  bool momentum() const { return update == Update::Momentum || update == Update::AdaptiveMomentum; }
  /// Whether Z is needed.
  bool hasNorm() const { return norm == Weighting::Sum || norms; }
  /// Whether the form computes this update at all.
  bool allows(Form form) const;
  /// What is taken without prices.
  Form usualForm() const;
};

/// Bytes of the two scratch buffers, which may be unaligned: 64 more than perWorker for every
/// thread, and 64 more than perHead for `heads` plus every (batch, kv head) of the call. No second
/// buffer if perHead is 0.
struct LinearAttentionScratch {
  int64_t perWorker = 0, perHead = 0, heads = 0;
};
/// Of a kernel that takes one of these forms.
LinearAttentionScratch linearAttentionScratch(const LinearAttentionSpec &spec,
                                              llvm::ArrayRef<Form> forms, const CpuTarget &target);

/// Adds kernel `symbol` and its task functions to `module`. `scratchBuffer` is the number of the
/// first scratch buffer among the kernel's buffers. `spec.allows(spec.form)`.
LinearAttentionScratch emitLinearAttention(KernelBuilder &kb, mlir::ModuleOp module,
                                           llvm::StringRef symbol, const LinearAttentionSpec &spec,
                                           int64_t scratchBuffer);

} // namespace attune::codegen
#endif
