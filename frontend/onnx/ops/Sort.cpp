// Operators that order or pick elements by their values: ranks are counted, never swapped, so that
// every element is computed on its own.
#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {
namespace {

/// For every loop of `shape`, folds `steps` values of `body` into an i64 that starts at `start`.
Tensor count(Node &node, const Shape &shape, const Extent &steps, int64_t start,
             llvm::function_ref<Value(OpBuilder &, Location, ValueRange loops, Value)> body) {
  MLIRContext *context = node.context();
  int64_t rank = shape.size();
  SmallVector<AffineMap> maps{
      AffineMap::get(rank + 1, 0, {getAffineDimExpr(rank, context)}, context),
      AffineMap::getMultiDimIdentityMap(rank + 1, context).getMajorSubMap(rank)};
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  iterators.push_back(utils::IteratorType::reduction);
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  Type i64 = b.getI64Type();
  Value extent = empty(node, {steps}, i64), init = filled(node, shape, b.getI64IntegerAttr(start));
  auto op = linalg::GenericOp::create(b, loc, init.getType(), ValueRange{extent}, ValueRange{init},
                                      maps, iterators);
  OpBuilder::InsertionGuard guard(b);
  Block *block = b.createBlock(&op.getRegion(), {}, {i64, i64}, {loc, loc});
  SmallVector<Value> loops;
  for (int64_t i = 0; i <= rank; ++i)
    loops.push_back(linalg::IndexOp::create(b, loc, i));
  linalg::YieldOp::create(b, loc, body(b, loc, loops, block->getArgument(1)));
  return node.tensor(op.getResult(0), kInt64, shape);
}

/// Whether x comes before y: NaN is the greatest.
Value precedes(OpBuilder &b, Location loc, DType dtype, bool largest, Value x, Value y) {
  if (!largest)
    std::swap(x, y);
  if (!dtype.isFloat())
    return arith::CmpIOp::create(b, loc,
                                 dtype.isUnsigned() || dtype.isBool() ? arith::CmpIPredicate::ugt
                                                                      : arith::CmpIPredicate::sgt,
                                 x, y);
  Value greater = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, x, y);
  Value xNaN = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, x, x);
  Value yNumber = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ORD, y, y);
  return arith::OrIOp::create(b, loc, greater, arith::AndIOp::create(b, loc, xNaN, yNumber));
}

void convertTopK(Node &node) {
  Tensor x = node.input(0);
  node.check(x.rank() > 0, "the input is a scalar; accepted: rank 1 or more");
  int64_t axis = node.normaliseAxis(node.intAttr("axis", -1), x.rank());
  bool largest = node.version() < 11 || node.flagAttr("largest", 1);
  // Sorted or not, the result may be sorted.
  node.dropAttr("sorted");
  if (x.dtype().isFloat() && x.dtype().bits() == 8)
    node.unsupported("element type " + x.dtype().name() + "; accepted: integers and floats");
  Shape k = node.version() < 10 ? Shape{node.intAttr("k")} : node.extentsOf(1);
  node.check(k.size() == 1, "input 'K' is not one number");
  Extents &extents = node.extents();
  node.require(extents.less(k[0], x.dim(axis) + 1), "K is larger than the axis");
  node.require(extents.less(-1, k[0]), "K is negative");
  Value source = node.value(x), size = node.index(x.dim(axis));
  DType dtype = x.dtype();
  // rank[i] = how many elements come before element i: equal ones in their order.
  Tensor ranks = count(node, x.shape(), x.dim(axis), 0,
                       [&](OpBuilder &b, Location loc, ValueRange loops, Value sum) -> Value {
                         SmallVector<Value> here(loops.drop_back()), there = here;
                         there[axis] = loops.back();
                         Value v = tensor::ExtractOp::create(b, loc, source, here);
                         Value other = tensor::ExtractOp::create(b, loc, source, there);
                         Value before = precedes(b, loc, dtype, largest, other, v);
                         Value after = precedes(b, loc, dtype, largest, v, other);
                         Value earlier = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                                               there[axis], here[axis]);
                         Value mine = arith::SelectOp::create(
                             b, loc, after, arith::ConstantIntOp::create(b, loc, 0, 1), earlier);
                         Value counts = arith::OrIOp::create(b, loc, before, mine);
                         return arith::AddIOp::create(
                             b, loc, sum, arith::ExtUIOp::create(b, loc, b.getI64Type(), counts));
                       });
  Shape out = x.shape();
  out[axis] = k[0];
  Value table = node.value(ranks);
  // The element of each rank.
  Tensor places =
      count(node, out, x.dim(axis), 0,
            [&](OpBuilder &b, Location loc, ValueRange loops, Value found) -> Value {
              SmallVector<Value> at(loops.drop_back());
              Value wanted = arith::IndexCastOp::create(b, loc, b.getI64Type(), at[axis]);
              at[axis] = loops.back();
              Value rank = tensor::ExtractOp::create(b, loc, table, at);
              Value hit = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, rank, wanted);
              Value i = arith::IndexCastOp::create(b, loc, b.getI64Type(), loops.back());
              Value none = arith::ConstantIntOp::create(b, loc, 0, 64);
              Value mine = arith::SelectOp::create(b, loc, hit, i, none);
              return arith::MaxSIOp::create(b, loc, found, mine);
            });
  AffineMap identity = AffineMap::getMultiDimIdentityMap(x.rank(), node.context());
  Value values =
      generic(node, {node.value(places)}, {identity}, out, dtype.type(node.context()),
              [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                SmallVector<Value> at;
                for (int64_t i = 0; i < x.rank(); ++i)
                  at.push_back(i == axis ? checkedIndex(node, b, loc, args[0], size, false)
                                         : linalg::IndexOp::create(b, loc, i).getResult());
                return tensor::ExtractOp::create(b, loc, source, at);
              });
  node.setOutput(0, node.tensor(values, dtype, out));
  node.setOutput(1, places);
}

/// Positions of the true elements of a vector, in order: [their number].
Tensor positionsOf(Node &node, const Tensor &flags) {
  Value source = node.value(flags);
  Extent length = flags.dim(0);
  auto isSet = [&](OpBuilder &b, Location loc, Value i) -> Value {
    Value flag = tensor::ExtractOp::create(b, loc, source, ValueRange{i});
    return arith::ExtUIOp::create(b, loc, b.getI64Type(), flag);
  };
  Tensor all = count(node, {1}, length, 0,
                     [&](OpBuilder &b, Location loc, ValueRange loops, Value sum) -> Value {
                       return arith::AddIOp::create(b, loc, sum, isSet(b, loc, loops[1]));
                     });
  Extent found = node.extents().max(node.extentsOf(all, "a count")[0], 0);
  // before[i] = how many are set before i.
  Tensor before = count(node, {length}, length, 0,
                        [&](OpBuilder &b, Location loc, ValueRange loops, Value sum) -> Value {
                          Value earlier = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                                                loops[1], loops[0]);
                          Value more = arith::AddIOp::create(b, loc, sum, isSet(b, loc, loops[1]));
                          return arith::SelectOp::create(b, loc, earlier, more, sum);
                        });
  Value prefix = node.value(before);
  return count(node, {found}, length, 0,
               [&](OpBuilder &b, Location loc, ValueRange loops, Value place) -> Value {
                 Value mine = tensor::ExtractOp::create(b, loc, prefix, ValueRange{loops[1]});
                 Value wanted = arith::IndexCastOp::create(b, loc, b.getI64Type(), loops[0]);
                 Value same = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, mine, wanted);
                 Value set =
                     arith::TruncIOp::create(b, loc, b.getI1Type(), isSet(b, loc, loops[1]));
                 Value hit = arith::AndIOp::create(b, loc, same, set);
                 Value i = arith::IndexCastOp::create(b, loc, b.getI64Type(), loops[1]);
                 return arith::SelectOp::create(b, loc, hit, i, place);
               });
}

void convertNonZero(Node &node) {
  Tensor x = node.input(0);
  node.check(x.rank() > 0, "the input is a scalar; accepted: rank 1 or more");
  if (x.dtype().isFloat() && x.dtype().bits() == 8)
    node.unsupported("element type " + x.dtype().name() + "; accepted: integers and floats");
  Tensor flat = reshape(node, castTo(node, x, kBool), {x.size()});
  Tensor places = positionsOf(node, flat);
  // Row-major positions taken apart, the last axis first.
  SmallVector<Tensor> rows(x.rank());
  Tensor rest = places;
  for (int64_t axis = x.rank() - 1; axis >= 0; --axis) {
    Tensor size = node.contents({node.extents().max(x.dim(axis), 1)}, kInt64, {});
    Tensor row = elementwise(node, {rest, size}, kInt64,
                             [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                               return arith::RemUIOp::create(b, loc, a[0], a[1]);
                             });
    rest = elementwise(node, {rest, size}, kInt64,
                       [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                         return arith::DivUIOp::create(b, loc, a[0], a[1]);
                       });
    rows[axis] = keepDims(node, row, {0});
  }
  node.setOutput(0, concat(node, rows, 0));
}

void convertCompress(Node &node) {
  Tensor x = node.input(0), condition = node.input(1);
  node.check(condition.rank() == 1 && condition.dtype().isBool(),
             "the condition is not a vector of bool");
  bool flat = !node.hasAttr("axis");
  if (flat)
    x = reshape(node, x, {x.size()});
  int64_t axis = flat ? 0 : node.normaliseAxis(node.intAttr("axis"), x.rank());
  node.require(node.extents().less(condition.dim(0), x.dim(axis) + 1),
               "the condition is longer than the axis");
  Tensor places = positionsOf(node, condition);
  Shape out = x.shape();
  out[axis] = places.dim(0);
  Value size = node.index(x.dim(axis)), table = node.value(places);
  node.setOutput(0, remap(node, x, out, [&](OpBuilder &b, Location loc, ValueRange i) {
                   SmallVector<Value> at(i);
                   Value raw = tensor::ExtractOp::create(b, loc, table, ValueRange{i[axis]});
                   at[axis] = checkedIndex(node, b, loc, raw, size, false);
                   return at;
                 }));
}

} // namespace

void registerSort(Registry &registry) {
  registry.add("Compress", 9, convertCompress);
  registry.add("NonZero", 9, convertNonZero);
  registry.add("TopK", 1, convertTopK);
}

} // namespace attune::onnx
