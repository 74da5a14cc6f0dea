#include "attune/codegen/cpu/GemmCodes.h"

#include "attune/codegen/cpu/GemmMicro.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {

double ShiftCodes::scale() const { return std::ldexp(1.0, 127 - bias); }

/// The f32 that a field stands for before it is scaled.
static float valueOf(unsigned field, int64_t bits) {
  unsigned signBit = 1u << (bits - 1), magnitude = field & (signBit - 1);
  float value = magnitude ? std::ldexp(1.0f, int(magnitude) - 127) : 0.0f;
  return field & signBit ? -value : value;
}

CodeReader::CodeReader(KernelBuilder &kb, int64_t bits, Value scale)
    : perWord(32 / bits), kb(kb), bits(bits) {
  if (!scale)
    return;
  this->scale = kb.splat(scale);
  // One or two registers that an index of 4 or 5 bits chooses from.
  if (!kb.target.maskedMemory || kb.lanes() != 16 || bits > 5)
    return;
  for (unsigned first = 0; first < 1u << bits; first += 16) {
    SmallVector<float> values;
    for (unsigned field = first; field < first + 16; ++field)
      values.push_back(valueOf(field, bits));
    Value table =
        arith::ConstantOp::create(kb.b, kb.loc, DenseElementsAttr::get(kb.vec(), ArrayRef(values)));
    tables.push_back(arith::MulFOp::create(kb.b, kb.loc, table, this->scale));
  }
}

Value CodeReader::read(Value words, int64_t number) {
  int64_t amount = fromLowest() ? bits * number : 32 - bits * (number + 1);
  return decode(shifted(words, kb.constI(amount, words.getType())));
}

Value CodeReader::read(Value words, Value number) {
  Value amount = kb.mul(number, bits);
  if (!fromLowest())
    amount = kb.sub(kb.idx(32 - bits), amount);
  amount = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI32Type(), amount);
  return decode(shifted(words, kb.splat(amount)));
}

/// Puts a field's lowest bit at bit 0 for tables, else its sign at bit 31.
Value CodeReader::shifted(Value words, Value amount) {
  return fromLowest() ? kb.b.createOrFold<arith::ShRUIOp>(kb.loc, words, amount)
                      : kb.b.createOrFold<arith::ShLIOp>(kb.loc, words, amount);
}

Value CodeReader::decode(Value fields) {
  if (!scale)
    return fields;
  if (!tables.empty()) {
    // Higher bits of an index do not count.
    Values args{tables[0], fields};
    args.append(tables.begin() + 1, tables.end());
    StringRef name =
        tables.size() == 1 ? "llvm.x86.avx512.permvar.sf.512" : "llvm.x86.avx512.vpermi2var.ps.512";
    return LLVM::CallIntrinsicOp::create(kb.b, kb.loc, kb.vec(), kb.b.getStringAttr(name), args)
        .getResult(0);
  }
  // The sign spreads over the bits between it and the magnitude, which the mask clears again.
  Type ints = fields.getType();
  Value spread = arith::ShRSIOp::create(kb.b, kb.loc, fields, kb.constI(9 - bits, ints));
  int64_t mask = (int64_t(1) << 31) | (((int64_t(1) << (bits - 1)) - 1) << 23);
  Value kept = arith::AndIOp::create(kb.b, kb.loc, spread, kb.constI(int32_t(mask), ints));
  Value value = arith::BitcastOp::create(kb.b, kb.loc, kb.vec(), kept);
  return arith::MulFOp::create(kb.b, kb.loc, value, scale);
}

func::FuncOp gemmDecode(KernelBuilder &kb, ModuleOp module, int64_t bits) {
  SmallVector<Type> inputs = {kb.ptr(), kb.ptr(), kb.index(), kb.f32()};
  std::string name = "attune_gemm_decode_" + std::to_string(bits);
  return sharedFunction(kb, module, name, inputs, [&](ValueRange args) {
    CodeReader reader(kb, bits, args[3]);
    Type i32 = kb.b.getI32Type();
    Value lines = kb.ceilDiv(args[2], reader.perWord);
    kb.forLoop(kb.idx(0), lines, 1, [&](Value line) {
      Value from = kb.mul(line, kPanelColumns), to = kb.mul(from, reader.perWord);
      kb.prefetch(args[0], kb.add(from, 512), i32);
      for (int64_t lane = 0; lane < kPanelColumns; lane += kb.lanes()) {
        Value words = kb.load(kb.vec(kb.lanes(), i32), args[0], kb.add(from, lane));
        for (int64_t number = 0; number < reader.perWord; ++number)
          kb.store(reader.read(words, number), args[1], kb.add(to, number * kPanelColumns + lane));
      }
    });
  });
}

} // namespace attune::codegen
