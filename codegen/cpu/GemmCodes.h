//===- GemmCodes.h - Shift weights as B of a matrix product -----------------------------------===//
//
// Panels of words that hold several codes each (attune.unpack_codes): the micro-kernels of few rows
// decode them in registers, for more rows a panel becomes f32 once, in scratch. Both give the
// floats that the codes stand for, in the order of an f32 panel, so that results are the same to
// the bit.
//
// A field of b bits (sign, magnitude m) is decoded to s 2^(m - 127), an f32 whose exponent is m,
// and scaled: by shifts and a mask, or by a table of all values in one or two registers of 16
// lanes.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_GEMMCODES_H
#define ATTUNE_CODEGEN_CPU_GEMMCODES_H

#include "attune/codegen/cpu/KernelBuilder.h"
#include "attune/dialect/Attune.h"

namespace attune::codegen {

/// The weight of a code with magnitude m is s 2^(m - bias), or 0 where m is 0.
struct ShiftCodes {
  int64_t bits = 0, bias = 0;
  ContractRounding rounding = ContractRounding::Exact; ///< others: terms are i32

  /// Codes of these widths have kernels of floats.
  static bool hasKernel(int64_t bits) { return bits == 4 || bits == 5 || bits == 8; }
  int64_t perWord() const { return 32 / bits; }
  /// What decoded fields are multiplied by.
  double scale() const;
};

/// A K that is a multiple of this begins a word of codes of 4, 5 and 8 bits.
constexpr int64_t kWordStep = 48;

/// Decodes fields of words inside one function.
class CodeReader {
public:
  using Value = mlir::Value;
  /// To be made where it dominates all uses. `scale`: an f32, null for fields as they are, with
  /// higher bits above.
  CodeReader(KernelBuilder &kb, int64_t bits, Value scale);

  int64_t perWord;
  /// What field `number` of a vector of words holds.
  Value read(Value words, int64_t number);
  Value read(Value words, Value number);

private:
  bool fromLowest() const { return !scale || !tables.empty(); }
  Value decode(Value fields);
  Value shifted(Value words, Value amount);

  KernelBuilder &kb;
  int64_t bits;
  Value scale;                     ///< vector
  llvm::SmallVector<Value> tables; ///< of the values of all fields, 16 in each
};

/// f32 panel from words. Arguments: words, destination, K, scale. Writes whole words: up to
/// perWord - 1 lines of 16 more than K.
mlir::func::FuncOp gemmDecode(KernelBuilder &kb, mlir::ModuleOp module, int64_t bits);

} // namespace attune::codegen
#endif
