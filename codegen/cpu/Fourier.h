//===- Fourier.h - Fast Fourier transforms of many signals at once ----------------------------===//
//
// Builds a complex transform whose lanes are independent signals: element t of a buffer is a vector
// of real parts, then one of imaginary parts. Mixed radix 4, 2, 3, 5 in self-sorting passes between
// two buffers; other prime factors r take r multiply-adds per element. The length may be a value.
//
//   Fourier fourier(kb, /*width=*/16, table);
//   Value result = fourier.run(length, /*known=*/std::nullopt, a, b, /*step=*/kb.idx(1));
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_FOURIER_H
#define ATTUNE_CODEGEN_CPU_FOURIER_H

#include "attune/codegen/cpu/KernelBuilder.h"

namespace attune::codegen {

struct ComplexLanes {
  mlir::Value re, im;
};

class Fourier {
public:
  using Value = mlir::Value;
  /// `table`: pairs (cos, -sin) of 2 pi t / T for t < T.
  Fourier(KernelBuilder &kb, int64_t width, Value table) : kb(kb), width(width), table(table) {}

  /// Forward transform of `length` elements, where T = length * step. Overwrites both buffers;
  /// gives the one that holds the result. `known` is the length if it is a constant.
  Value run(Value length, std::optional<int64_t> known, Value source, Value other, Value step);

  ComplexLanes load(Value buffer, Value element);
  void store(ComplexLanes value, Value buffer, Value element);
  ComplexLanes twiddle(Value turn);
  ComplexLanes mul(ComplexLanes a, ComplexLanes b);
  ComplexLanes add(ComplexLanes a, ComplexLanes b);
  ComplexLanes sub(ComplexLanes a, ComplexLanes b);
  ComplexLanes scale(ComplexLanes a, double factor);
  /// a times -i.
  ComplexLanes turn(ComplexLanes a);
  ComplexLanes conj(ComplexLanes a);

private:
  /// One pass: transforms of `n` elements, `stride` of them interleaved.
  void pass(int64_t radix, Value n, Value stride, Value from, Value to);
  void primePass(Value radix, Value n, Value stride, Value from, Value to);
  llvm::SmallVector<ComplexLanes> butterfly(llvm::ArrayRef<ComplexLanes> a);
  Value runDynamic(Value length, Value source, Value other);

  KernelBuilder &kb;
  int64_t width;
  Value table, length, step;
};

} // namespace attune::codegen
#endif
