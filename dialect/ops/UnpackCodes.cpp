#include "attune/dialect/ops/Lowering.h"

using namespace mlir;
using namespace attune;

int64_t UnpackCodesOp::getDepth() {
  return ShapedType::getNumElements(getCodesType().getShape().drop_back());
}

RankedTensorType UnpackCodesOp::wordsType(MLIRContext *context, int64_t depth, int64_t columns,
                                          int64_t bits) {
  return RankedTensorType::get({llvm::divideCeilSigned(columns, kPanel),
                                llvm::divideCeilSigned(depth, codesPerWord(bits)), kPanel},
                               IntegerType::get(context, 32));
}

LogicalResult UnpackCodesOp::verify() {
  int64_t bits = getBits();
  if (bits < 2 || bits > 8)
    return emitOpError("bits must be in [2, 8], found ") << bits;
  RankedTensorType codes = getCodesType();
  if (codes.getRank() < 1 || !codes.getElementType().isSignlessInteger(8))
    return emitOpError("the result must be i8 with at least one axis, found ") << codes;
  RankedTensorType words = wordsType(getContext(), getDepth(), codes.getShape().back(), bits);
  if (getWords().getType() != words)
    return emitOpError("the words of ")
           << codes << " must be " << words << ", found " << getWords().getType();
  return success();
}

//===-- Reference lowering --------------------------------------------------------------------===//

FailureOr<SmallVector<Value>> UnpackCodesOp::decompose(OpBuilder &builder) {
  Lowering l(builder, getLoc());
  RankedTensorType type = getCodesType();
  Type i32 = builder.getI32Type(), i8 = builder.getI8Type();
  int64_t bits = getBits(), perWord = codesPerWord(bits);
  SmallVector<OpFoldResult> shape;
  for (int64_t extent : type.getShape())
    shape.push_back(builder.getIndexAttr(extent));
  Value result = l.elementwise({}, {}, shape, i8, [&](ValueRange) {
    Value k = l.index(0), n = l.loop(type.getRank() - 1), panel = l.index(kPanel);
    for (int64_t axis = 0; axis + 1 < type.getRank(); ++axis)
      k = l.op<arith::AddIOp>(l.op<arith::MulIOp>(k, l.index(type.getDimSize(axis))), l.loop(axis));
    Value per = l.index(perWord);
    Value at[] = {l.op<arith::DivUIOp>(n, panel), l.op<arith::DivUIOp>(k, per),
                  l.op<arith::RemUIOp>(n, panel)};
    Value word = l.op<tensor::ExtractOp>(getWords(), ValueRange(at));
    Value shift = l.op<arith::IndexCastOp>(
        i32, l.op<arith::MulIOp>(l.op<arith::RemUIOp>(k, per), l.index(bits)));
    Value field = l.op<arith::ShRUIOp>(word, shift);
    Value magnitude = l.op<arith::AndIOp>(field, l.constant(i32, (1 << (bits - 1)) - 1));
    Value sign = l.op<arith::AndIOp>(field, l.constant(i32, 1 << (bits - 1)));
    Value zero = l.constant(i32, 0);
    Value negative = l.compare(arith::CmpIPredicate::ne, sign, zero);
    Value code = l.select(negative, l.op<arith::SubIOp>(zero, magnitude), magnitude);
    return l.op<arith::TruncIOp>(i8, code);
  });
  return SmallVector<Value>{result};
}

//===-- Shapes and work -----------------------------------------------------------------------===//

LogicalResult UnpackCodesOp::reifyResultShapes(OpBuilder &builder,
                                               ReifiedRankedShapedTypeDims &dims) {
  dims.emplace_back();
  for (int64_t extent : getCodesType().getShape())
    dims.back().push_back(builder.getIndexAttr(extent));
  return success();
}

/// A shift and a choice per code.
SmallVector<WorkTerm> UnpackCodesOp::getWork(ExtentOf extent) {
  SmallVector<WorkTerm> terms;
  addWork(terms, WorkTerm::Class::Arithmetic, 2, getExtents(getResult(), extent));
  return terms;
}
