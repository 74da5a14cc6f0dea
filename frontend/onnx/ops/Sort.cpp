// Operators that order or pick elements by their values: ranks are counted or the greatest found
// again and again, never swapped, so that every element is computed on its own.
#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <limits>

using namespace mlir;

namespace attune::onnx {
namespace {

/// For every loop of `shape`, folds `steps` values of `body` into an integer that starts at
/// `start`.
Tensor count(Node &node, const Shape &shape, const Extent &steps, int64_t start,
             llvm::function_ref<Value(OpBuilder &, Location, ValueRange loops, Value)> body,
             DType dtype = kInt64) {
  MLIRContext *context = node.context();
  int64_t rank = shape.size();
  SmallVector<AffineMap> maps{
      AffineMap::get(rank + 1, 0, {getAffineDimExpr(rank, context)}, context),
      AffineMap::getMultiDimIdentityMap(rank + 1, context).getMajorSubMap(rank)};
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  iterators.push_back(utils::IteratorType::reduction);
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  Type type = dtype.type(context);
  Value extent = empty(node, {steps}, type);
  Value init = filled(node, shape, b.getIntegerAttr(type, start));
  auto op = linalg::GenericOp::create(b, loc, init.getType(), ValueRange{extent}, ValueRange{init},
                                      maps, iterators);
  OpBuilder::InsertionGuard guard(b);
  Block *block = b.createBlock(&op.getRegion(), {}, {type, type}, {loc, loc});
  SmallVector<Value> loops;
  for (int64_t i = 0; i <= rank; ++i)
    loops.push_back(linalg::IndexOp::create(b, loc, i));
  linalg::YieldOp::create(b, loc, body(b, loc, loops, block->getArgument(1)));
  return node.tensor(op.getResult(0), dtype, shape);
}

/// Signed integers in the order of the elements; NaN is the greatest, and both zeros are equal.
Value sortKeys(Node &node, const Tensor &x, bool largest) {
  DType dtype = x.dtype();
  bool wide = dtype.bits() > 32;
  Type type = node.builder().getIntegerType(wide ? 64 : 32);
  auto body = [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
    Value key = args[0];
    auto constant = [&](const APInt &value) -> Value {
      return arith::ConstantOp::create(b, loc, b.getIntegerAttr(type, value));
    };
    unsigned bits = type.getIntOrFloatBitWidth();
    if (dtype.isFloat()) {
      Type real = wide ? b.getF64Type() : b.getF32Type();
      if (key.getType() != real)
        key = arith::ExtFOp::create(b, loc, real, key);
      Value isNaN = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, key, key);
      // -0 + 0 is 0.
      Value zero = arith::ConstantOp::create(b, loc, b.getFloatAttr(real, 0));
      key = arith::BitcastOp::create(b, loc, type, arith::AddFOp::create(b, loc, key, zero));
      // Of negative numbers, the one with the greater magnitude is less.
      Value sign = arith::ShRSIOp::create(b, loc, key, constant(APInt(bits, bits - 1)));
      Value greatest = constant(APInt::getSignedMaxValue(bits));
      key = arith::XOrIOp::create(b, loc, key, arith::AndIOp::create(b, loc, sign, greatest));
      key = arith::SelectOp::create(b, loc, isNaN, greatest, key);
    } else {
      bool isUnsigned = dtype.isUnsigned() || dtype.isBool();
      if (dtype.bits() < bits)
        key = isUnsigned ? arith::ExtUIOp::create(b, loc, type, key).getResult()
                         : arith::ExtSIOp::create(b, loc, type, key).getResult();
      else if (isUnsigned)
        key = arith::XOrIOp::create(b, loc, key, constant(APInt::getSignMask(bits)));
    }
    return largest ? key : arith::XOrIOp::create(b, loc, key, constant(APInt::getAllOnes(bits)));
  };
  AffineMap identity = AffineMap::getMultiDimIdentityMap(x.rank(), node.context());
  return generic(node, {node.value(x)}, {identity}, x.shape(), type, body);
}

/// As many of the first elements are found one after the other: k n steps instead of n n.
constexpr int64_t kMaxPasses = 32;

/// The greatest number along the axis that is less than `previous` (absent: any), without the axis.
Tensor greatestBelow(Node &node, const Tensor &numbers, int64_t axis,
                     const std::optional<Tensor> &previous) {
  MLIRContext *context = node.context();
  OpBuilder &b = node.builder();
  int64_t rank = numbers.rank();
  SmallVector<AffineExpr> rows;
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  iterators[axis] = utils::IteratorType::reduction;
  Shape shape = numbers.shape();
  shape.erase(shape.begin() + axis);
  for (int64_t i = 0; i < rank; ++i)
    if (i != axis)
      rows.push_back(getAffineDimExpr(i, context));
  AffineMap row = AffineMap::get(rank, 0, rows, context);
  SmallVector<AffineMap> maps{AffineMap::getMultiDimIdentityMap(rank, context)};
  SmallVector<Value> inputs{node.value(numbers)};
  if (previous) {
    maps.push_back(row);
    inputs.push_back(node.value(*previous));
  }
  maps.push_back(row);
  int64_t least = std::numeric_limits<int64_t>::min();
  Value init = filled(node, shape, b.getI64IntegerAttr(least));
  auto body = [&](OpBuilder &b, Location loc, ValueRange args) {
    Value own = args[0];
    if (previous) {
      Value none = arith::ConstantIntOp::create(b, loc, least, 64);
      Value below = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, own, args[1]);
      own = arith::SelectOp::create(b, loc, below, own, none);
    }
    linalg::YieldOp::create(b, loc, arith::MaxSIOp::create(b, loc, args.back(), own).getResult());
  };
  auto op = linalg::GenericOp::create(b, node.loc(), init.getType(), inputs, ValueRange{init}, maps,
                                      iterators, body);
  return node.tensor(op.getResult(0), kInt64, shape);
}

/// Places of the first `count` elements, by keys of 32 bits: key and place make one number.
Tensor firstPlaces(Node &node, const Shape &shape, Value keys, int64_t axis, int64_t count) {
  OpBuilder &b = node.builder();
  AffineMap identity = AffineMap::getMultiDimIdentityMap(shape.size(), node.context());
  constexpr int64_t kLow = 0xffffffff;
  auto number = [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
    Value key = arith::ExtSIOp::create(b, loc, b.getI64Type(), args[0]);
    Value high = arith::ShLIOp::create(b, loc, key, arith::ConstantIntOp::create(b, loc, 32, 64));
    // Of equal elements, the first is the greatest.
    Value place = arith::IndexCastOp::create(b, loc, b.getI64Type(),
                                             linalg::IndexOp::create(b, loc, axis).getResult());
    Value low =
        arith::XOrIOp::create(b, loc, place, arith::ConstantIntOp::create(b, loc, kLow, 64));
    return arith::OrIOp::create(b, loc, high, low);
  };
  Tensor numbers =
      node.tensor(generic(node, {keys}, {identity}, shape, b.getI64Type(), number), kInt64, shape);
  SmallVector<Tensor> places;
  std::optional<Tensor> last;
  for (int64_t n = 0; n < count; ++n) {
    last = greatestBelow(node, numbers, axis, last);
    Tensor place = elementwise(
        node, {*last}, kInt64, [](OpBuilder &b, Location loc, ValueRange args) -> Value {
          Value low = arith::ConstantIntOp::create(b, loc, kLow, 64);
          return arith::XOrIOp::create(b, loc, arith::AndIOp::create(b, loc, args[0], low), low);
        });
    places.push_back(keepDims(node, place, {axis}));
  }
  return concat(node, places, axis);
}

/// Places of the first elements, as many as `out` has along the axis: ranks are counted.
Tensor countedPlaces(Node &node, const Shape &shape, const Shape &out, Value keys, int64_t axis) {
  auto place = [](OpBuilder &b, Location loc, Value index) -> Value {
    return arith::IndexCastOp::create(b, loc, b.getI32Type(), index);
  };
  // rank[i] = how many elements come before element i: equal ones in their order.
  auto rank = [&](OpBuilder &b, Location loc, ValueRange loops, Value sum) -> Value {
    SmallVector<Value> here(loops.drop_back()), there = here;
    there[axis] = loops.back();
    Value mine = tensor::ExtractOp::create(b, loc, keys, here);
    Value other = tensor::ExtractOp::create(b, loc, keys, there);
    using Predicate = arith::CmpIPredicate;
    Value before = arith::CmpIOp::create(b, loc, Predicate::sgt, other, mine);
    Value equal = arith::CmpIOp::create(b, loc, Predicate::eq, other, mine);
    Value earlier = arith::CmpIOp::create(b, loc, Predicate::slt, place(b, loc, there[axis]),
                                          place(b, loc, here[axis]));
    Value counts =
        arith::OrIOp::create(b, loc, before, arith::AndIOp::create(b, loc, equal, earlier));
    return arith::AddIOp::create(b, loc, sum,
                                 arith::ExtUIOp::create(b, loc, sum.getType(), counts));
  };
  Value table = node.value(count(node, shape, shape[axis], 0, rank, kInt32));
  // The element of each rank.
  auto find = [&](OpBuilder &b, Location loc, ValueRange loops, Value found) -> Value {
    SmallVector<Value> at(loops.drop_back());
    Value wanted = place(b, loc, at[axis]);
    at[axis] = loops.back();
    Value rank = tensor::ExtractOp::create(b, loc, table, at);
    Value hit = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, rank, wanted);
    Value none = arith::ConstantIntOp::create(b, loc, 0, 32);
    Value mine = arith::SelectOp::create(b, loc, hit, place(b, loc, loops.back()), none);
    return arith::MaxSIOp::create(b, loc, found, mine);
  };
  return castTo(node, count(node, out, shape[axis], 0, find, kInt32), kInt64);
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
  // Places are counted in lanes of 32 bits.
  node.require(extents.less(x.dim(axis), int64_t(1) << 31), "the axis has 2^31 elements or more");
  Value source = node.value(x), size = node.index(x.dim(axis));
  DType dtype = x.dtype();
  Value keys = sortKeys(node, x, largest);
  Shape out = x.shape();
  out[axis] = k[0];
  std::optional<int64_t> count = k[0].constant();
  bool few = count && *count >= 1 && *count <= kMaxPasses;
  Tensor places = few && getElementTypeOrSelf(keys.getType()).isInteger(32)
                      ? firstPlaces(node, x.shape(), keys, axis, *count)
                      : countedPlaces(node, x.shape(), out, keys, axis);
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
