#include "attune/codegen/cpu/GemmColumns.h"

using namespace mlir;

namespace attune::codegen {

ColumnReader::ColumnReader(KernelBuilder &kb, GemmTerm term, int64_t panels, ValueRange args)
    : kb(kb), term(term), lanes(GemmTile::lanes(kb.target, term)), panels(panels), b(args[1]),
      stride(args[2]), next(args[6]) {
  if (int64_t bits = codeBits(term))
    codes.emplace(kb, bits, isShift(term) ? Value() : args[7]);
  for (int64_t panel = 0; panel < panels; ++panel) {
    starts.push_back(kb.mul(stride, panel));
    if (isShift(term))
      starts.back() = kb.min(starts.back(), args[7]);
  }
}

Values ColumnReader::read(Value k, int64_t step, bool aligned) {
  if (!codes)
    return llvm::map_to_vector(offsets(kb.add(k, step)),
                               [&](Value offset) { return load(offset); });
  int64_t perWord = codes->perWord;
  if (!aligned) {
    Value at = kb.add(k, step), number = kb.rem(at, kb.idx(perWord));
    return llvm::map_to_vector(offsets(kb.div(at, perWord)), [&](Value offset) {
      return codes->read(loadWords(offset), number);
    });
  }
  if (step % perWord == 0)
    words = llvm::map_to_vector(offsets(kb.add(kb.div(k, perWord), step / perWord)),
                                [&](Value offset) { return loadWords(offset); });
  return llvm::map_to_vector(words, [&](Value word) { return codes->read(word, step % perWord); });
}

void ColumnReader::fetch(Value k, int64_t step, int64_t rows, bool aligned) {
  if (codes && (!aligned || step % codes->perWord))
    return;
  Value line = codes ? kb.add(kb.div(k, codes->perWord), step / codes->perWord) : kb.add(k, step);
  Value at = kb.mul(line, kPanelColumns);
  kb.prefetch(next, at, element(), 2);
  if (rows <= 4 && panels > 1)
    kb.prefetch(next, kb.add(at, stride), element(), 2);
}

Type ColumnReader::element() {
  return codes                         ? Type(kb.b.getI32Type())
         : term == GemmTerm::ProductI8 ? Type(kb.b.getI8Type())
                                       : kb.f32();
}

/// Of the vectors of one line of 16 in each panel.
Values ColumnReader::offsets(Value line) {
  int64_t perPanel = kPanelColumns / lanes;
  Values result;
  for (int64_t v = 0; v < perPanel * panels; ++v) {
    Value offset = kb.add(kb.mul(line, kPanelColumns), v % perPanel * lanes);
    if (v >= perPanel)
      offset = kb.add(offset, starts[v / perPanel]);
    result.push_back(offset);
  }
  return result;
}

Value ColumnReader::load(Value offset) {
  if (term != GemmTerm::ProductI8)
    return kb.load(kb.vec(lanes), b, offset);
  Value narrow = kb.load(kb.vec(lanes, kb.b.getI8Type()), b, offset);
  Value wide = arith::ExtSIOp::create(kb.b, kb.loc, kb.vec(lanes, kb.b.getI32Type()), narrow);
  return arith::SIToFPOp::create(kb.b, kb.loc, kb.vec(lanes), wide);
}

Value ColumnReader::loadWords(Value offset) {
  return kb.load(kb.vec(lanes, kb.b.getI32Type()), b, offset);
}

} // namespace attune::codegen
