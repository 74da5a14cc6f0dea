#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {
namespace {

enum class Padding { Zeros, Border, Reflection };

/// Code of one output element.
struct Sampler {
  OpBuilder &b;
  Location loc;
  Type type; ///< of positions and weights
  Padding padding;
  bool alignCorners;

  Value c(double v) const { return scalar(b, loc, type, v); }
  Value add(Value x, Value y) const { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) const { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) const { return arith::MulFOp::create(b, loc, x, y); }
  Value floor(Value x) const { return math::FloorOp::create(b, loc, x); }
  Value lt(Value x, Value y) const {
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x, y);
  }
  Value select(Value condition, Value x, Value y) const {
    return arith::SelectOp::create(b, loc, condition, x, y);
  }
  Value clamp(Value x, Value low, Value high) const {
    Value below = select(lt(x, low), low, x);
    return select(lt(high, below), high, below);
  }

  /// From [-1, 1] to positions along an axis of `size` elements.
  Value position(Value n, Value size) const {
    Value one = c(1), half = c(0.5);
    if (alignCorners)
      return mul(mul(add(n, one), half), sub(size, one));
    return mul(sub(mul(add(n, one), size), one), half);
  }

  /// The nearest element for a position outside the borders; inside them cubic weights still count.
  Value bounded(Value x, Value size) const {
    Value low = c(alignCorners ? 0 : -0.5), high = sub(size, c(alignCorners ? 1 : 0.5));
    Value outside = arith::OrIOp::create(b, loc, lt(x, low), lt(high, x));
    return select(outside, clamp(x, c(0), sub(size, c(1))), x);
  }

  /// Mirrored at the borders until it lies between them.
  Value reflect(Value x, Value size) const {
    Value low = c(alignCorners ? 0 : -0.5), high = sub(size, c(alignCorners ? 1 : 0.5));
    Value range = sub(high, low), zero = c(0);
    Value distance = select(lt(x, low), sub(low, x), sub(x, high));
    Value turns = floor(arith::DivFOp::create(b, loc, distance, range));
    Value rest = sub(distance, mul(turns, range));
    Value half = mul(turns, c(0.5));
    Value odd = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNE, half, floor(half));
    // An even number of turns behind the border means: from that border back.
    Value fromLow = arith::XOrIOp::create(b, loc, lt(x, low), odd);
    Value mirrored = select(fromLow, add(low, rest), sub(high, rest));
    Value outside = arith::OrIOp::create(b, loc, lt(x, low), lt(high, x));
    // One element: there is nothing to mirror in.
    Value single = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLE, range, zero);
    return select(single, zero, select(outside, mirrored, x));
  }

  /// A whole position as an index inside the axis; `inside` loses those that padding hides.
  Value index(Value x, Value size, Value &inside) const {
    Value last = sub(size, c(1)), zero = c(0);
    if (padding == Padding::Zeros) {
      Value out = arith::OrIOp::create(b, loc, lt(x, zero), lt(last, x));
      Value in = arith::XOrIOp::create(b, loc, out, arith::ConstantIntOp::create(b, loc, 1, 1));
      inside = inside ? arith::AndIOp::create(b, loc, inside, in).getResult() : in;
    } else if (padding == Padding::Reflection) {
      x = reflect(x, size);
    }
    // Also a NaN becomes a position.
    Value ordered = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ORD, x, x);
    Value safe = select(ordered, clamp(x, zero, last), zero);
    Value i = arith::FPToSIOp::create(b, loc, b.getI64Type(), safe);
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), i);
  }

  /// Weights of the two or four neighbours of a position that is `t` behind the one below it.
  SmallVector<Value> weights(Value t, bool cubic) const {
    Value one = c(1);
    if (!cubic)
      return {sub(one, t), t};
    double a = -0.75;
    auto near = [&](Value d) { return add(mul(mul(sub(mul(c(a + 2), d), c(a + 3)), d), d), one); };
    auto far = [&](Value d) {
      Value first = add(mul(sub(mul(c(a), d), c(5 * a)), d), c(8 * a));
      return sub(mul(first, d), c(4 * a));
    };
    Value rest = sub(one, t);
    return {far(add(t, one)), near(t), near(rest), far(add(rest, one))};
  }
};

class GridSampleConverter {
public:
  explicit GridSampleConverter(Node &node) : node(node), x(node.input(0)), grid(node.input(1)) {}

  void run() {
    readAttributes();
    rank = x.rank() - 2;
    node.check(rank >= 1 && grid.rank() == x.rank(), "the input has rank " + llvm::Twine(x.rank()) +
                                                         ", the grid " + llvm::Twine(grid.rank()) +
                                                         "; accepted: equal ranks of 3 or more");
    node.requireEqual(grid.shape().back(), rank,
                      "the grid's last axis differs from the spatial axes");
    node.requireEqual(grid.dim(0), x.dim(0), "input and grid differ in batch");
    if (!x.dtype().isFloat() || x.dtype().bits() < 32 || !grid.dtype().isFloat() ||
        grid.dtype().bits() < 32)
      node.unsupported("element types " + x.dtype().name() + " and " + grid.dtype().name() +
                       "; accepted: float, double");
    if (mode == "cubic" && rank > 3)
      node.unsupported("mode 'cubic' over " + llvm::Twine(rank) + " axes; accepted: 1 to 3");
    Shape out = {x.dim(0), x.dim(1)};
    out.append(grid.shape().begin() + 1, grid.shape().end() - 1);
    source = node.value(x);
    places = node.value(castTo(node, grid, x.dtype()));
    for (int64_t i = 0; i < rank; ++i)
      sizes.push_back(node.index(x.dim(2 + i)));
    Value result = generic(node, {}, {}, out, x.dtype().type(node.context()),
                           [&](OpBuilder &b, Location loc, ValueRange) { return element(b, loc); });
    node.setOutput(0, node.tensor(result, x.dtype(), out));
  }

private:
  Node &node;
  Tensor x, grid;
  std::string mode;
  Padding padding = Padding::Zeros;
  bool alignCorners = false;
  int64_t rank = 0;
  Value source, places;
  SmallVector<Value> sizes;

  void readAttributes() {
    mode = node.stringAttr("mode", "linear");
    if (mode == "bilinear" || mode == "bicubic") // before opset 20
      mode = mode == "bilinear" ? "linear" : "cubic";
    node.check(mode == "linear" || mode == "nearest" || mode == "cubic",
               "attribute 'mode' is '" + mode + "'; accepted: linear, nearest, cubic");
    std::string name = node.stringAttr("padding_mode", "zeros");
    node.check(name == "zeros" || name == "border" || name == "reflection",
               "attribute 'padding_mode' is '" + name + "'; accepted: zeros, border, reflection");
    padding = name == "zeros"    ? Padding::Zeros
              : name == "border" ? Padding::Border
                                 : Padding::Reflection;
    alignCorners = node.flagAttr("align_corners", 0);
  }

  Value element(OpBuilder &b, Location loc) {
    Sampler s{b, loc, x.dtype().type(node.context()), padding, alignCorners};
    SmallVector<Value> at;
    for (int64_t i = 0; i < rank + 2; ++i)
      at.push_back(linalg::IndexOp::create(b, loc, i));
    SmallVector<Value> positions, extents;
    for (int64_t i = 0; i < rank; ++i) {
      SmallVector<Value> where(at);
      where.erase(where.begin() + 1);
      // The grid's coordinates run from the last axis to the first.
      where.push_back(arith::ConstantIndexOp::create(b, loc, rank - 1 - i));
      Value n = tensor::ExtractOp::create(b, loc, places, where);
      Value size = arith::SIToFPOp::create(
          b, loc, s.type, arith::IndexCastOp::create(b, loc, b.getI64Type(), sizes[i]));
      Value position = s.position(n, size);
      if (mode == "nearest")
        position = math::RoundEvenOp::create(b, loc, position);
      if (padding == Padding::Border)
        position = s.bounded(position, size);
      else if (padding == Padding::Reflection)
        position = s.reflect(position, size);
      positions.push_back(position);
      extents.push_back(size);
    }
    SmallVector<Value> indices{at[0], at[1]};
    if (mode == "nearest") {
      Value inside;
      for (auto [position, size] : llvm::zip(positions, extents))
        indices.push_back(s.index(position, size, inside));
      return read(s, indices, inside);
    }
    return interpolate(s, indices, positions, extents, {});
  }

  Value read(const Sampler &s, ArrayRef<Value> indices, Value inside) {
    Value v = tensor::ExtractOp::create(s.b, s.loc, source, indices);
    return inside ? s.select(inside, v, s.c(0)) : v;
  }

  /// The weighted sum over the neighbours along every axis that has no index yet.
  Value interpolate(const Sampler &s, ArrayRef<Value> indices, ArrayRef<Value> positions,
                    ArrayRef<Value> extents, Value inside) {
    if (positions.empty())
      return read(s, indices, inside);
    Value below = s.floor(positions[0]);
    bool cubic = mode == "cubic";
    SmallVector<Value> weights = s.weights(s.sub(positions[0], below), cubic);
    Value sum;
    for (auto [k, weight] : llvm::enumerate(weights)) {
      Value visible = inside;
      SmallVector<Value> next(indices);
      next.push_back(s.index(s.add(below, s.c(double(k) - (cubic ? 1 : 0))), extents[0], visible));
      Value v = interpolate(s, next, positions.drop_front(), extents.drop_front(), visible);
      Value product = s.mul(weight, v);
      sum = sum ? s.add(sum, product) : product;
    }
    return sum;
  }
};

void convertGridSample(Node &node) { GridSampleConverter(node).run(); }

} // namespace

void registerGridSample(Registry &registry) { registry.add("GridSample", 16, convertGridSample); }

} // namespace attune::onnx
