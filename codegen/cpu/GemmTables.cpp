#include "attune/codegen/cpu/GemmTables.h"

#include "attune/codegen/cpu/GemmMicro.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {

static bool hasSigns(const CpuTarget &target, int64_t bits) {
  return target.lanes() >= 16 && bits <= 5;
}

bool hasTables(const CpuTarget &target, int64_t bits, bool wide) {
  int64_t most = target.lanes() >= 16 ? 6 : 5;
  return target.fma && target.lanes() >= 8 && bits >= 4 && bits <= most &&
         (!wide || hasSigns(target, bits));
}

int64_t tableEntries(const CpuTarget &target, int64_t bits) {
  return int64_t(1) << (hasSigns(target, bits) ? bits : bits - 1);
}

static Value constants(KernelBuilder &kb, ArrayRef<int32_t> values) {
  VectorType type = kb.vec(values.size(), kb.b.getI32Type());
  return arith::ConstantOp::create(kb.b, kb.loc, DenseElementsAttr::get(type, values));
}

/// (x ^ mask) - mask: -x where the mask is -1.
static Value negateWhere(KernelBuilder &kb, Value x, Value mask) {
  Value flipped = arith::XOrIOp::create(kb.b, kb.loc, x, mask);
  return arith::SubIOp::create(kb.b, kb.loc, flipped, mask);
}

/// What the x in all lanes gives for one vector of fields from `first` on.
static Value entries(KernelBuilder &kb, const ShiftCodes &codes, Value x, int64_t first) {
  int64_t signBit = int64_t(1) << (codes.bits - 1);
  bool floors = codes.rounding == ContractRounding::FloorTerms;
  SmallVector<int32_t> right, left, kept, signs;
  for (int64_t field = first; field < first + kb.lanes(); ++field) {
    int64_t magnitude = field % signBit, p = magnitude - codes.bias;
    right.push_back(std::clamp<int64_t>(-p, 0, 31));
    left.push_back(std::clamp<int64_t>(p, 0, 31));
    // All bits but, where it is rounded down, the sign are shifted out.
    bool gone = p > 31 || (p < -31 && !floors);
    kept.push_back(magnitude == 0 || gone ? 0 : -1);
    signs.push_back(field / signBit ? -1 : 0);
  }
  Value term = x, sign;
  if (codes.rounding == ContractRounding::TruncateTerms) {
    sign = arith::ShRSIOp::create(kb.b, kb.loc, x, kb.constI(31, x.getType()));
    term = math::AbsIOp::create(kb.b, kb.loc, x);
  }
  term = floors ? arith::ShRSIOp::create(kb.b, kb.loc, term, constants(kb, right)).getResult()
                : arith::ShRUIOp::create(kb.b, kb.loc, term, constants(kb, right)).getResult();
  if (sign)
    term = negateWhere(kb, term, sign);
  if (llvm::any_of(left, [](int32_t count) { return count != 0; }))
    term = arith::ShLIOp::create(kb.b, kb.loc, term, constants(kb, left));
  if (llvm::is_contained(kept, 0))
    term = arith::AndIOp::create(kb.b, kb.loc, term, constants(kb, kept));
  return llvm::is_contained(signs, -1) ? negateWhere(kb, term, constants(kb, signs)) : term;
}

func::FuncOp gemmTables(KernelBuilder &kb, ModuleOp module, const ShiftCodes &codes, bool wide) {
  std::string name = "attune_gemm_tables_" + std::to_string(codes.bits) + "_" +
                     std::to_string(codes.bias) + "_" +
                     stringifyContractRounding(codes.rounding).str() + (wide ? "_wide" : "");
  return sharedFunction(kb, module, name, {kb.ptr(), kb.ptr(), kb.index()}, [&](ValueRange args) {
    int64_t size = tableEntries(kb.target, codes.bits), parts = wide ? 2 : 1;
    kb.forLoop(kb.idx(0), args[2], 1, [&](Value number) {
      Value x = kb.splat(kb.load(kb.b.getI32Type(), args[0], number), kb.lanes());
      for (int64_t first = 0; first < size; first += kb.lanes()) {
        Value terms = entries(kb, codes, x, first);
        Value at = kb.add(kb.mul(number, size * parts), first);
        if (!wide) {
          kb.store(terms, args[1], at);
          continue;
        }
        Type type = terms.getType();
        kb.store(arith::AndIOp::create(kb.b, kb.loc, terms, kb.constI(0xffff, type)), args[1], at);
        kb.store(arith::ShRSIOp::create(kb.b, kb.loc, terms, kb.constI(16, type)), args[1],
                 kb.add(at, size));
      }
    });
  });
}

Value joinHalves(KernelBuilder &kb, Value low, Value high) {
  auto type = kb.vec(cast<VectorType>(low.getType()).getNumElements(), kb.b.getI64Type());
  Value upper = arith::ShLIOp::create(
      kb.b, kb.loc, arith::ExtSIOp::create(kb.b, kb.loc, type, high), kb.constI(16, type));
  return arith::AddIOp::create(kb.b, kb.loc, upper,
                               arith::ExtUIOp::create(kb.b, kb.loc, type, low));
}

Values loadTable(KernelBuilder &kb, int64_t bits, Value base, Value number) {
  Values table;
  int64_t size = tableEntries(kb.target, bits);
  for (int64_t first = 0; first < size; first += kb.lanes())
    table.push_back(
        kb.load(kb.vec(kb.lanes(), kb.b.getI32Type()), base, kb.add(kb.mul(number, size), first)));
  return table;
}

static Value intrinsic(KernelBuilder &kb, StringRef name, ValueRange args) {
  return LLVM::CallIntrinsicOp::create(kb.b, kb.loc, args.front().getType(),
                                       kb.b.getStringAttr(name), args)
      .getResult(0);
}

/// The entries that the low bits of fields choose.
static Value choose(KernelBuilder &kb, ArrayRef<Value> table, Value fields) {
  if (kb.lanes() >= 16)
    return table.size() == 1
               ? intrinsic(kb, "llvm.x86.avx512.permvar.si.512", {table[0], fields})
               : intrinsic(kb, "llvm.x86.avx512.vpermi2var.d.512", {table[0], fields, table[1]});
  Value low = intrinsic(kb, "llvm.x86.avx2.permd", {table[0], fields});
  if (table.size() == 1)
    return low;
  Type type = fields.getType();
  Value top = arith::ShLIOp::create(kb.b, kb.loc, fields, kb.constI(31 - 3, type));
  Value isHigh =
      arith::CmpIOp::create(kb.b, kb.loc, arith::CmpIPredicate::slt, top, kb.constI(0, type));
  Value high = intrinsic(kb, "llvm.x86.avx2.permd", {table[1], fields});
  return arith::SelectOp::create(kb.b, kb.loc, isHigh, high, low);
}

Value lookUp(KernelBuilder &kb, int64_t bits, ArrayRef<Value> table, Value fields) {
  Value term = choose(kb, table, fields);
  if (hasSigns(kb.target, bits))
    return term;
  Type type = fields.getType();
  Value top = arith::ShLIOp::create(kb.b, kb.loc, fields, kb.constI(32 - bits, type));
  if (kb.lanes() >= 16)
    return negateWhere(kb, term, arith::ShRSIOp::create(kb.b, kb.loc, top, kb.constI(31, type)));
  // Its sign, never 0.
  Value sign = arith::OrIOp::create(kb.b, kb.loc, top, kb.constI(1, type));
  return intrinsic(kb, "llvm.x86.avx2.psign.d", {term, sign});
}

} // namespace attune::codegen
