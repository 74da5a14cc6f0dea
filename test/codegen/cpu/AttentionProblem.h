//===- AttentionProblem.h - One attention problem, its kernel and its exact answer ------------===//
//
// Operands end at a page that may not be touched, so that a read or a write past the end kills the
// test.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_CODEGEN_CPU_ATTENTIONPROBLEM_H
#define ATTUNE_TEST_CODEGEN_CPU_ATTENTIONPROBLEM_H

#include "TestJit.h"
#include "attune/codegen/cpu/Attention.h"

#include <optional>

namespace attune::test {

/// Elements of `bytes` bytes, followed by an inaccessible page.
class Guarded {
public:
  explicit Guarded(size_t bytes);
  ~Guarded();
  Guarded(Guarded &&other);
  Guarded(const Guarded &) = delete;
  void *data = nullptr;
  float *floats() { return static_cast<float *>(data); }
  int64_t *ints() { return static_cast<int64_t *>(data); }

private:
  void *map = nullptr;
  size_t mapped = 0;
};

enum class Storage { F32, F16, BF16 };
enum class MaskKind { None, AllFalse, OneKey, Tail, Causal, Window, OneRow };
enum class ScoresKind { None, Full, Keys, Rows };

/// What is compiled.
struct AttentionCase {
  int64_t headDim = 8, valueDim = 8;
  bool interleaved = false; ///< [b, n, h, d] instead of [b, h, n, d]
  bool mined = true;        ///< give the kernel the key range of the mask
  Storage storage = Storage::F32;
  MaskKind mask = MaskKind::None;
  ScoresKind scores = ScoresKind::None;
  bool score = false, sink = false, keyLength = false, queryOffset = false;
  bool lse = false, logits = false;
  Weighting weighting = Weighting::Softmax;
  EpsMode epsMode = EpsMode::Add;
  EmptyRow emptyRow = EmptyRow::Zero;
  std::optional<codegen::AttentionTile> tile;
};

/// What it is run on.
struct AttentionShape {
  int64_t batch = 1, heads = 1, kvHeads = 1, queries = 1, keys = 1;
};

/// One parameter of the masks: the key, the length, the offset, the width or the row.
inline constexpr int64_t kMaskNumber = 5;
bool maskAllows(MaskKind kind, int64_t i, int64_t j, int64_t n);

class AttentionProblem {
public:
  AttentionProblem(const AttentionCase &what, const AttentionShape &shape, unsigned seed = 1);
  void run(attune_kernel_fn kernel, const codegen::AttentionScratch &scratch, unsigned threads);
  /// Largest difference from a plain loop in double, per row relative to its largest number; rows
  /// of NaN must agree. Covers results, lse and logits.
  double error();

  AttentionCase what;
  AttentionShape shape;
  std::vector<float> query, key, value, scores, sink;
  std::vector<int64_t> keyLength, queryOffset;
  std::vector<float> result, lse, logits;

private:
  size_t at(int64_t b, int64_t h, int64_t n, int64_t d, int64_t heads, int64_t rows,
            int64_t width) const;
  float scoreAt(int64_t b, int64_t h, int64_t n, int64_t m) const;
};

codegen::AttentionScratch emitCase(mlir::ModuleOp module, const codegen::CpuTarget &target,
                                   const AttentionCase &what, llvm::StringRef symbol);

} // namespace attune::test
#endif
