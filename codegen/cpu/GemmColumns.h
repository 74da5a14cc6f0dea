//===- GemmColumns.h - What the inner loop of a matrix product reads of B ---------------------===//
#ifndef ATTUNE_CODEGEN_CPU_GEMMCOLUMNS_H
#define ATTUNE_CODEGEN_CPU_GEMMCOLUMNS_H

#include "attune/codegen/cpu/GemmCodes.h"
#include "attune/codegen/cpu/GemmTerm.h"

#include <optional>

namespace attune::codegen {

/// Vectors of B inside a micro-kernel, step by step: f32 as stored or made of what is stored; for
/// shifts the fields of codes.
class ColumnReader {
public:
  using Value = mlir::Value;
  /// `args` of the micro-kernel, see gemmMicro.
  ColumnReader(KernelBuilder &kb, GemmTerm term, int64_t panels, mlir::ValueRange args);

  /// Steps of which a loop should take a multiple: the codes of a word.
  int64_t period() const { return codes ? codes->perWord : 1; }
  /// The vectors of step `k + step`. With `aligned`, `k` is a multiple of the period and the steps
  /// of a body come in order.
  Values read(Value k, int64_t step, bool aligned);
  /// Fetches as far into what is next as step `k + step` is into this.
  void fetch(Value k, int64_t step, int64_t rows, bool aligned);

private:
  mlir::Type element();
  Values offsets(Value line);
  Value load(Value offset);
  Value loadWords(Value offset);

  KernelBuilder &kb;
  GemmTerm term;
  int64_t lanes, panels;
  Value b, stride, next;
  Values starts; ///< of the panels
  std::optional<CodeReader> codes;
  Values words; ///< of the current steps
};

} // namespace attune::codegen
#endif
