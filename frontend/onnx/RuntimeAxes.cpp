#include "attune/frontend/onnx/RuntimeAxes.h"

#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"

using namespace mlir;

namespace attune::onnx {

/// `axis` as an index in [0, rank), checked.
static Value place(Node &node, const Extent &axis, int64_t rank) {
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  Value raw = node.index(axis), size = arith::ConstantIndexOp::create(b, loc, rank);
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  Value negative = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, raw, zero);
  Value wrapped = arith::AddIOp::create(b, loc, raw, size);
  Value at = arith::SelectOp::create(b, loc, negative, wrapped, raw);
  Value valid = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, at, size);
  cf::AssertOp::create(b, loc, valid,
                       "node '" + node.name() + "' (" + node.op() +
                           "): an axis is outside a tensor of rank " + std::to_string(rank));
  return at;
}

RuntimeAxes::RuntimeAxes(Node &node, ArrayRef<Extent> axes, int64_t rank)
    : node(node), rank(rank) {
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  for (const Extent &axis : axes)
    places.push_back(place(node, axis, rank));
  Value count = arith::ConstantIndexOp::create(b, loc, 0);
  for (int64_t axis = 0; axis < rank; ++axis) {
    Value here = arith::ConstantIndexOp::create(b, loc, axis);
    Value any = arith::ConstantIntOp::create(b, loc, 0, 1);
    for (Value at : places) {
      Value equal = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, at, here);
      any = arith::OrIOp::create(b, loc, any, equal);
    }
    named.push_back(any);
    Value one = arith::IndexCastUIOp::create(b, loc, b.getIndexType(), any);
    count = arith::AddIOp::create(b, loc, count, one);
  }
  Value expected = arith::ConstantIndexOp::create(b, loc, axes.size());
  Value distinct = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, count, expected);
  cf::AssertOp::create(b, loc, distinct,
                       "node '" + node.name() + "' (" + node.op() + "): an axis is named twice");
}

Extent RuntimeAxes::opaque(Value index) const { return node.extents().opaque(index, 0); }

Extent RuntimeAxes::select(int64_t axis, const Extent &ifNamed, const Extent &other) const {
  if (ifNamed == other)
    return other;
  return opaque(arith::SelectOp::create(node.builder(), node.loc(), named[axis],
                                        node.index(ifNamed), node.index(other)));
}

Extent RuntimeAxes::pick(int64_t axis, ArrayRef<Extent> values, const Extent &other) const {
  OpBuilder &b = node.builder();
  Value here = arith::ConstantIndexOp::create(b, node.loc(), axis), result = node.index(other);
  for (auto [at, value] : llvm::zip_equal(places, values)) {
    Value mine = arith::CmpIOp::create(b, node.loc(), arith::CmpIPredicate::eq, at, here);
    result = arith::SelectOp::create(b, node.loc(), mine, node.index(value), result);
  }
  return node.extents().opaque(result);
}

Value RuntimeAxes::keptBefore(int64_t axis) const {
  OpBuilder &b = node.builder();
  Value count = arith::ConstantIndexOp::create(b, node.loc(), axis);
  for (int64_t before = 0; before < axis; ++before) {
    Value one = arith::IndexCastUIOp::create(b, node.loc(), b.getIndexType(), named[before]);
    count = arith::SubIOp::create(b, node.loc(), count, one);
  }
  return count;
}

Shape RuntimeAxes::removedFrom(const Shape &full) const {
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  Shape result;
  for (int64_t axis = 0; axis < rank - int64_t(places.size()); ++axis) {
    Value here = arith::ConstantIndexOp::create(b, loc, axis);
    Value size = arith::ConstantIndexOp::create(b, loc, 1);
    for (int64_t from = axis; from < rank; ++from) {
      Value same =
          arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, keptBefore(from), here);
      // Of the axes before which `axis` are kept, only the last one is kept itself.
      Value gone = arith::SelectOp::create(b, loc, named[from],
                                           arith::ConstantIntOp::create(b, loc, 0, 1), same);
      size = arith::SelectOp::create(b, loc, gone, node.index(full[from]), size);
    }
    result.push_back(opaque(size));
  }
  return result;
}

Shape RuntimeAxes::insertedInto(const Shape &kept) const {
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  Shape result;
  Value one = arith::ConstantIndexOp::create(b, loc, 1);
  for (int64_t axis = 0; axis < rank; ++axis) {
    Value before = keptBefore(axis), size = one;
    for (auto [from, extent] : llvm::enumerate(kept)) {
      Value here = arith::ConstantIndexOp::create(b, loc, from);
      Value same = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, before, here);
      size = arith::SelectOp::create(b, loc, same, node.index(extent), size);
    }
    result.push_back(opaque(arith::SelectOp::create(b, loc, named[axis], one, size)));
  }
  return result;
}

Tensor swapAxes(Node &node, const Tensor &input, const Extent &axis, int64_t other) {
  Extents &extents = node.extents();
  RuntimeAxes axes(node, {axis}, input.rank());
  Value at = place(node, axis, input.rank());
  Shape shape;
  for (int64_t i = 0; i < input.rank(); ++i)
    shape.push_back(axes.select(i, input.dim(other), input.dim(i)));
  // The exchanged axis has the size that `axis` has, which is at most one of all.
  Value picked = node.index(input.dim(0));
  OpBuilder &b = node.builder();
  for (int64_t i = 1; i < input.rank(); ++i) {
    Value here = arith::ConstantIndexOp::create(b, node.loc(), i);
    Value same = arith::CmpIOp::create(b, node.loc(), arith::CmpIPredicate::eq, at, here);
    picked = arith::SelectOp::create(b, node.loc(), same, node.index(input.dim(i)), picked);
  }
  shape[other] = extents.opaque(picked, 0);
  return remap(node, input, shape, [&](OpBuilder &b, Location loc, ValueRange i) {
    // Along `axis` stands the index of `other`, and the other way round.
    Value theirs = i[0];
    SmallVector<Value> is;
    for (int64_t k = 0; k < input.rank(); ++k) {
      Value here = arith::ConstantIndexOp::create(b, loc, k);
      is.push_back(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, at, here));
      theirs = arith::SelectOp::create(b, loc, is.back(), i[k], theirs);
    }
    SmallVector<Value> from;
    for (int64_t k = 0; k < input.rank(); ++k)
      from.push_back(k == other ? theirs
                                : arith::SelectOp::create(b, loc, is[k], i[other], i[k]));
    return from;
  });
}

} // namespace attune::onnx
