#include "attune/codegen/gpu/Fragments.h"

using namespace mlir;

namespace attune::codegen {

Values Fragments::call(StringRef intrinsic, ValueRange operands, Type type, int64_t count) {
  auto results =
      LLVM::LLVMStructType::getLiteral(kb.b.getContext(), SmallVector<Type>(count, type));
  Value all =
      LLVM::CallIntrinsicOp::create(kb.b, kb.loc, results, kb.b.getStringAttr(intrinsic), operands)
          .getResult(0);
  Values parts;
  for (int64_t i = 0; i < count; ++i)
    parts.push_back(LLVM::ExtractValueOp::create(kb.b, kb.loc, all, i));
  return parts;
}

Values Fragments::load(Value address, bool transposed) {
  StringRef name = transposed ? "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16"
                              : "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16";
  return call(name, address, kb.b.getI32Type(), 4);
}

Fragments::Operand Fragments::operand(ValueRange words) {
  if (!element.isF32())
    return {Values(words), {}};
  return split(llvm::map_to_vector(words, [&](Value word) -> Value {
    return arith::BitcastOp::create(kb.b, kb.loc, kb.f32(), word);
  }));
}

Fragments::Operand Fragments::split(ValueRange floats) {
  Operand operand;
  auto rounded = [&](Value x) {
    return LLVM::CallIntrinsicOp::create(kb.b, kb.loc, kb.b.getI32Type(),
                                         kb.b.getStringAttr("llvm.nvvm.f2tf32.rna"), x)
        .getResult(0);
  };
  for (Value x : floats) {
    Value high = rounded(x);
    operand.high.push_back(high);
    if (math != FloatMath::Triple)
      continue;
    Value close = arith::BitcastOp::create(kb.b, kb.loc, kb.f32(), high);
    operand.low.push_back(rounded(arith::SubFOp::create(kb.b, kb.loc, x, close)));
  }
  return operand;
}

Values Fragments::multiply(const Operand &a, const Operand &b, ValueRange sums) {
  if (a.low.empty())
    return multiply(a.high, b.high, sums);
  // The small ones first.
  Values next = multiply(a.low, b.high, sums);
  next = multiply(a.high, b.low, next);
  return multiply(a.high, b.high, next);
}

Values Fragments::multiply(ValueRange a, ValueRange b, ValueRange sums) {
  Values operands;
  auto add = [&](Value x) {
    if (element.isF16())
      x = LLVM::BitcastOp::create(kb.b, kb.loc, kb.vec(2, element), x);
    operands.push_back(x);
  };
  llvm::for_each(a, add);
  llvm::for_each(b, add);
  llvm::append_range(operands, sums);
  StringRef name = element.isF32()   ? "llvm.nvvm.mma.m16n8k8.row.col.tf32"
                   : element.isF16() ? "llvm.nvvm.mma.m16n8k16.row.col.f32.f32"
                                     : "llvm.nvvm.mma.m16n8k16.row.col.bf16";
  return call(name, operands, kb.f32(), 4);
}

} // namespace attune::codegen
