#include "attune/codegen/cpu/GemmPack.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

Value axisOffset(KernelBuilder &kb, Value index, ArrayRef<GemmAxis> axes) {
  if (axes.empty())
    return kb.idx(0);
  Value offset;
  for (const GemmAxis &axis : llvm::reverse(axes.drop_front())) {
    Value part = kb.mul(kb.rem(index, axis.extent), axis.stride);
    offset = offset ? kb.add(offset, part) : part;
    index = kb.div(index, axis.extent);
  }
  Value part = kb.mul(index, axes.front().stride);
  return offset ? kb.add(offset, part) : part;
}

static bool isOne(Value value) { return getConstantIntValue(value) == 1; }

PanelPacker::PanelPacker(KernelBuilder &kb, ModuleOp module) : kb(kb), module(module) {
  Value count = arith::ConstantOp::create(kb.b, kb.loc, kb.b.getI64IntegerAttr(kb.lanes()));
  pointers = LLVM::AllocaOp::create(kb.b, kb.loc, kb.ptr(), kb.ptr(), count, 8);
}

void PanelPacker::pack(Value source, ArrayRef<GemmAxis> lines, ArrayRef<GemmAxis> depth,
                       Value depthExtent, Value first, Value limit, Value dst, Value stride,
                       int64_t width) {
  int64_t lanes = kb.lanes();
  if (lines.size() == 1 && isOne(lines[0].stride) && !isOne(depth.back().stride)) {
    // Neighbouring lines are neighbours in memory: vectors are copied as they are.
    kb.forLoop(kb.idx(0), depthExtent, 1, [&](Value k) {
      Value from = kb.add(axisOffset(kb, k, depth), first);
      for (int64_t lane = 0; lane < width; lane += lanes) {
        Value left = kb.sub(limit, kb.add(first, lane));
        Value count = kb.max(kb.min(left, kb.idx(lanes)), kb.idx(0));
        Value line = kb.loadPartial(kb.vec(), source, kb.add(from, lane), count);
        kb.store(line, dst, kb.add(kb.mul(k, stride), lane));
      }
    });
    return;
  }
  for (int64_t lane = 0; lane < width; lane += lanes) {
    kb.forLoop(kb.idx(0), kb.idx(lanes), 1, [&](Value i) {
      Value line = kb.min(kb.add(kb.add(first, lane), i), kb.sub(limit, kb.idx(1)));
      Value address = kb.gep(source, axisOffset(kb, line, lines), kb.f32());
      LLVM::StoreOp::create(kb.b, kb.loc, address, kb.gep(pointers, i, kb.ptr()), 8);
    });
    packAcross(source, depth, depthExtent, kb.gep(dst, kb.idx(lane), kb.f32()), stride);
  }
}

/// One vector of lines, whose addresses are in `pointers`.
void PanelPacker::packAcross(Value source, ArrayRef<GemmAxis> depth, Value depthExtent, Value dst,
                             Value stride) {
  if (isOne(depth.back().stride)) {
    func::FuncOp transpose = gemmTranspose(kb, module);
    auto run = [&](Value outer, Value from) {
      Value inner = depth.back().extent;
      Value to = kb.gep(dst, kb.mul(kb.mul(outer, inner), stride), kb.f32());
      func::CallOp::create(kb.b, kb.loc, transpose, ValueRange{pointers, from, inner, to, stride});
    };
    ArrayRef<GemmAxis> outerAxes = depth.drop_back();
    if (outerAxes.empty())
      return run(kb.idx(0), kb.idx(0));
    Value outers = kb.idx(1);
    for (const GemmAxis &axis : outerAxes)
      outers = kb.mul(outers, axis.extent);
    kb.forLoop(kb.idx(0), outers, 1,
               [&](Value outer) { run(outer, axisOffset(kb, outer, outerAxes)); });
    return;
  }
  kb.forLoop(kb.idx(0), depthExtent, 1, [&](Value k) {
    Value from = axisOffset(kb, k, depth);
    Value column = kb.constF(0, kb.vec());
    for (int64_t i = 0; i < kb.lanes(); ++i) {
      Value slot = kb.gep(pointers, kb.idx(i), kb.ptr());
      Value line = LLVM::LoadOp::create(kb.b, kb.loc, kb.ptr(), slot, 8);
      column = vector::InsertOp::create(kb.b, kb.loc, kb.load(kb.f32(), line, from), column,
                                        ArrayRef<int64_t>{i});
    }
    kb.store(column, dst, kb.mul(k, stride));
  });
}

} // namespace attune::codegen
