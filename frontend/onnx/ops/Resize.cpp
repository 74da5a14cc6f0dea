#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {
namespace {

/// Short names for f64 arithmetic: positions are computed in it, as their floors decide.
struct F64 {
  OpBuilder &b;
  Location loc;

  Value c(double v) const { return scalar(b, loc, b.getF64Type(), v); }
  Value add(Value x, Value y) const { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) const { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) const { return arith::MulFOp::create(b, loc, x, y); }
  Value div(Value x, Value y) const { return arith::DivFOp::create(b, loc, x, y); }
  Value floor(Value x) const { return math::FloorOp::create(b, loc, x); }
  Value abs(Value x) const { return math::AbsFOp::create(b, loc, x); }
  Value eq(Value x, Value y) const { return cmp(arith::CmpFPredicate::OEQ, x, y); }
  Value lt(Value x, Value y) const { return cmp(arith::CmpFPredicate::OLT, x, y); }
  Value cmp(arith::CmpFPredicate p, Value x, Value y) const {
    return arith::CmpFOp::create(b, loc, p, x, y);
  }
  Value select(Value condition, Value x, Value y) const {
    return arith::SelectOp::create(b, loc, condition, x, y);
  }
  Value ofIndex(Value i) const {
    return arith::SIToFPOp::create(b, loc, b.getF64Type(),
                                   arith::IndexCastOp::create(b, loc, b.getI64Type(), i));
  }
  /// Of a value that is whole and small, or is brought into range by the caller.
  Value toIndex(Value x) const {
    Value i = castElement(b, loc, x, DType(11), kInt64);
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), i);
  }
};

class ResizeConverter {
public:
  explicit ResizeConverter(Node &node) : node(node), x(node.input(0)) {}

  void run() {
    readAttributes();
    readAxes();
    readSizes();
    Tensor result = mode == "nearest" ? x : castTo(node, x, wide());
    for (Axis &axis : axes)
      if (!axis.identity)
        result = mode == "nearest" ? nearest(result, axis) : interpolate(result, axis);
    node.setOutput(0, castTo(node, result, x.dtype()));
  }

private:
  struct Axis {
    int64_t axis;
    Extent out;
    Value scale, from, to; ///< tensor<f64>; the last two bound the region of interest
    bool identity = false;
  };

  Node &node;
  Tensor x;
  std::string mode, coordinates, nearestMode, policy;
  bool antialias = false, excludeOutside = false;
  double cubic = -0.75, extrapolation = 0;
  std::vector<Axis> axes;

  DType wide() const { return x.dtype().bits() == 64 ? DType(11) : kFloat; }

  void readAttributes() {
    auto oneOf = [&](llvm::StringRef name, std::string fallback,
                     std::initializer_list<llvm::StringRef> accepted) {
      std::string value = node.stringAttr(name, fallback), list;
      for (llvm::StringRef each : accepted)
        list += (list.empty() ? "" : ", ") + each.str();
      node.check(llvm::is_contained(accepted, value),
                 "attribute '" + name + "' is '" + value + "'; accepted: " + list);
      return value;
    };
    mode = oneOf("mode", "nearest", {"nearest", "linear", "cubic"});
    coordinates =
        oneOf("coordinate_transformation_mode", node.version() < 11 ? "asymmetric" : "half_pixel",
              {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
               "asymmetric", "tf_crop_and_resize"});
    nearestMode = oneOf("nearest_mode", node.version() < 11 ? "floor" : "round_prefer_floor",
                        {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"});
    policy = oneOf("keep_aspect_ratio_policy", "stretch", {"stretch", "not_larger", "not_smaller"});
    antialias = node.flagAttr("antialias", 0);
    excludeOutside = node.flagAttr("exclude_outside", 0);
    cubic = node.floatAttr("cubic_coeff_a", -0.75);
    extrapolation = node.floatAttr("extrapolation_value", 0.0);
    if (x.dtype().isBool() || (x.dtype().isFloat() && x.dtype().bits() == 8))
      node.unsupported("element type " + x.dtype().name() + "; accepted: integers and floats");
  }

  void readAxes() {
    std::vector<int64_t> named;
    if (node.hasAttr("axes"))
      for (int64_t axis : node.intsAttr("axes"))
        named.push_back(node.normaliseAxis(axis, x.rank()));
    else
      named.assign(llvm::seq<int64_t>(0, x.rank()).begin(), llvm::seq<int64_t>(0, x.rank()).end());
    for (int64_t axis : named)
      axes.push_back({axis, x.dim(axis), {}, {}, {}});
  }

  /// Element i of a vector as a scalar of f64. Floats are no business of the host program, so that
  /// all of them stay in tensors.
  Tensor element(const Tensor &t, int64_t i) {
    Tensor one = slice(node, t, {{i, 1, 1}});
    return castTo(node, reshape(node, one, {}), DType(11));
  }

  Tensor constant(double v) { return scalarTensor(node, DType(11), v); }
  Tensor ofExtent(const Extent &e) {
    return castTo(node, node.contents({e}, kInt64, {}), DType(11));
  }
  using F64Fn = llvm::function_ref<Value(const F64 &, ValueRange)>;
  Tensor compute(ArrayRef<Tensor> inputs, F64Fn fn) {
    return elementwise(node, inputs, DType(11), [&](OpBuilder &b, Location loc, ValueRange a) {
      return fn(F64{b, loc}, a);
    });
  }
  static Value read(const F64 &f, Value scalar) {
    return tensor::ExtractOp::create(f.b, f.loc, scalar, ValueRange());
  }

  static bool isGiven(const Tensor &t) { return t && !(t.rank() == 1 && t.dim(0).is(0)); }

  void readSizes() {
    bool hasRoi = node.version() >= 11;
    Tensor roi = hasRoi ? node.optionalInput(1) : Tensor();
    Tensor scales = node.optionalInput(hasRoi ? 2 : 1);
    Tensor sizes = hasRoi ? node.optionalInput(3) : Tensor();
    node.check(isGiven(scales) != isGiven(sizes), "one of scales and sizes must be given");
    int64_t count = axes.size();
    const Tensor &given = isGiven(scales) ? scales : sizes;
    node.check(given.rank() == 1 && given.dim(0).is(count),
               "there must be one scale or size for each of " + llvm::Twine(count) + " axes");
    if (isGiven(scales))
      readScales(scales);
    else
      readTargets(3);
    if (coordinates != "tf_crop_and_resize")
      return;
    node.check(isGiven(roi) && roi.rank() == 1 && roi.dim(0).is(2 * count),
               "input 'roi' needs two bounds for each axis");
    for (int64_t i = 0; i < count; ++i) {
      axes[i].from = node.value(element(roi, i));
      axes[i].to = node.value(element(roi, count + i));
      axes[i].identity = false;
    }
  }

  void readScales(const Tensor &scales) {
    auto known = scales.constantFloats();
    for (auto [i, axis] : llvm::enumerate(axes)) {
      const Extent &size = x.dim(axis.axis);
      Tensor scale = known ? constant((*known)[i]) : element(scales, i);
      axis.scale = node.value(scale);
      double value = known ? (*known)[i] : 0;
      node.check(!known || value > 0, "a scale is not positive");
      axis.identity = value == 1;
      if (known && value == std::floor(value))
        axis.out = size * int64_t(value);
      else if (known && size.constant())
        axis.out = int64_t(std::floor(value * double(*size.constant())));
      else
        axis.out = whole(compute({scale, ofExtent(size)}, [](const F64 &f, ValueRange a) {
          return f.floor(f.mul(a[0], a[1]));
        }));
    }
  }

  /// A whole number as an extent.
  Extent whole(const Tensor &value) {
    Extent e = node.extentsOf(castTo(node, value, kInt64), "a size")[0];
    return node.extents().max(e, 0);
  }

  void readTargets(int input) {
    Shape targets = node.extentsOf(input);
    std::vector<Tensor> scales;
    Tensor common;
    bool smallest = policy == "not_larger";
    for (auto [i, axis] : llvm::enumerate(axes)) {
      const Extent &size = x.dim(axis.axis);
      if (node.extents().low(targets[i]) < 0)
        node.require(node.extents().less(-1, targets[i]), "a size is negative");
      axis.out = targets[i];
      axis.identity = targets[i] == size;
      scales.push_back(compute({ofExtent(targets[i]), ofExtent(size)},
                               [](const F64 &f, ValueRange a) { return f.div(a[0], a[1]); }));
      axis.scale = node.value(scales.back());
      if (policy == "stretch")
        continue;
      common = !common
                   ? scales.back()
                   : compute({common, scales.back()}, [&](const F64 &f, ValueRange a) {
                       Value less = f.lt(a[0], a[1]);
                       return smallest ? f.select(less, a[0], a[1]) : f.select(less, a[1], a[0]);
                     });
    }
    if (policy == "stretch")
      return;
    for (Axis &axis : axes) {
      axis.scale = node.value(common);
      axis.out =
          whole(compute({common, ofExtent(x.dim(axis.axis))}, [](const F64 &f, ValueRange a) {
            return f.floor(f.add(f.mul(a[0], a[1]), f.c(0.5)));
          }));
      axis.identity = false;
    }
  }

  /// The place in the input of output position `y`; `outside` is set where it is extrapolated.
  Value place(const F64 &f, const Axis &axis, Value y, Value size, Value outSize, Value &outside) {
    Value one = f.c(1), half = f.c(0.5), scale = read(f, axis.scale);
    Value length = f.mul(scale, size), last = f.sub(size, one);
    Value single = f.eq(length, one);
    Value pixel = f.sub(f.div(f.add(y, half), scale), half);
    if (coordinates == "asymmetric")
      return f.div(y, scale);
    if (coordinates == "align_corners")
      return f.select(single, f.c(0), f.div(f.mul(y, last), f.sub(length, one)));
    if (coordinates == "pytorch_half_pixel")
      return f.select(single, f.c(-0.5), pixel);
    if (coordinates == "half_pixel_symmetric") {
      Value adjustment = f.div(outSize, length);
      return f.add(f.mul(f.mul(size, half), f.sub(one, adjustment)), pixel);
    }
    if (coordinates == "half_pixel")
      return pixel;
    Value from = read(f, axis.from);
    Value region = f.mul(f.sub(read(f, axis.to), from), last);
    Value many = f.div(f.mul(y, region), f.sub(length, one));
    Value at = f.add(f.select(single, f.mul(region, half), many), f.mul(from, last));
    outside = arith::OrIOp::create(f.b, f.loc, f.lt(at, f.c(0)), f.lt(last, at));
    return at;
  }

  Shape resized(const Tensor &input, const Axis &axis) {
    Shape shape = input.shape();
    shape[axis.axis] = axis.out;
    return shape;
  }

  Tensor nearest(const Tensor &input, const Axis &axis) {
    Shape shape = resized(input, axis);
    Value source = node.value(input), size = node.index(input.dim(axis.axis));
    Value outSize = node.index(axis.out);
    Type element = input.dtype().type(node.context());
    Value result =
        generic(node, {}, {}, shape, element, [&](OpBuilder &b, Location loc, ValueRange) {
          F64 f{b, loc};
          SmallVector<Value> at;
          for (size_t i = 0; i < shape.size(); ++i)
            at.push_back(linalg::IndexOp::create(b, loc, i));
          Value outside, width = f.ofIndex(size);
          Value where =
              place(f, axis, f.ofIndex(at[axis.axis]), width, f.ofIndex(outSize), outside);
          Value below = f.floor(where), above = math::CeilOp::create(b, loc, where);
          Value half = f.c(0.5), chosen;
          if (nearestMode == "floor")
            chosen = below;
          else if (nearestMode == "ceil")
            chosen = above;
          else if (nearestMode == "round_prefer_floor")
            chosen = math::CeilOp::create(b, loc, f.sub(where, half));
          else
            chosen = f.floor(f.add(where, half));
          at[axis.axis] = clampedIndex(f, chosen, width);
          Value v = tensor::ExtractOp::create(b, loc, source, at);
          if (!outside)
            return v;
          Value instead = arith::ConstantOp::create(
              b, loc, scalarAttr(node.context(), input.dtype(), extrapolation));
          return f.select(outside, instead, v);
        });
    return node.tensor(result, input.dtype(), shape);
  }

  static Value clampedIndex(const F64 &f, Value position, Value size) {
    Value last = f.sub(size, f.c(1));
    Value inside = f.select(f.lt(last, position), last, position);
    return f.toIndex(f.select(f.lt(inside, f.c(0)), f.c(0), inside));
  }

  /// The kernel at distance `d` (not negative) of a tap.
  Value kernelAt(const F64 &f, Value d) {
    Value one = f.c(1), zero = f.c(0);
    if (mode == "linear")
      return f.select(f.lt(d, one), f.sub(one, d), zero);
    Value square = f.mul(d, d), cube = f.mul(square, d), a = f.c(cubic);
    Value near = f.add(f.sub(f.mul(f.c(cubic + 2), cube), f.mul(f.c(cubic + 3), square)), one);
    Value far =
        f.mul(a, f.sub(f.add(f.sub(cube, f.mul(f.c(5), square)), f.mul(f.c(8), d)), f.c(4)));
    Value outer = f.select(f.lt(d, f.c(2)), far, zero);
    return f.select(f.cmp(arith::CmpFPredicate::OLE, d, one), near, outer);
  }

  /// Weights of taps: an output position reads `taps` neighbours, the first of them `first` from
  /// the one below it. Only antialiasing reads more than the kernel is wide.
  Tensor interpolate(const Tensor &input, const Axis &axis) {
    int64_t reach = mode == "linear" ? 1 : 2;
    Tensor shrink = constant(1), first = constant(1 - reach);
    Extent taps = 2 * reach;
    if (antialias) {
      Tensor scale = node.tensor(axis.scale, DType(11), {});
      shrink = compute({scale}, [](const F64 &f, ValueRange a) {
        return f.select(f.lt(a[0], f.c(1)), a[0], f.c(1));
      });
      first = compute({shrink}, [&](const F64 &f, ValueRange a) {
        return f.add(f.floor(f.div(f.c(-reach), a[0])), f.c(1));
      });
      taps = whole(compute(
          {first}, [](const F64 &f, ValueRange a) { return f.sub(f.c(2), f.mul(f.c(2), a[0])); }));
    }
    Value shrinkValue = node.value(shrink), firstValue = node.value(first);
    Value size = node.index(input.dim(axis.axis)), outSize = node.index(axis.out);
    auto at = [&](const F64 &f, Value y, Value &outside) {
      return place(f, axis, f.ofIndex(y), f.ofIndex(size), f.ofIndex(outSize), outside);
    };
    // A whole position counts as 1 behind the one below it.
    auto below = [&](const F64 &f, Value where) {
      Value floor = f.floor(where);
      return f.select(f.eq(floor, where), f.sub(floor, f.c(1)), floor);
    };
    Shape table = {axis.out, taps};
    Type f64 = node.builder().getF64Type();
    Value weights = generic(node, {}, {}, table, f64, [&](OpBuilder &nb, Location loc, ValueRange) {
      F64 g{nb, loc};
      Value outside, where = at(g, linalg::IndexOp::create(nb, loc, 0), outside);
      Value offset = g.add(read(g, firstValue), g.ofIndex(linalg::IndexOp::create(nb, loc, 1)));
      Value position = g.add(below(g, where), offset);
      Value weight = kernelAt(g, g.abs(g.mul(read(g, shrinkValue), g.sub(position, where))));
      if (!excludeOutside)
        return weight;
      Value out = arith::OrIOp::create(nb, loc, g.lt(position, g.c(0)),
                                       g.cmp(arith::CmpFPredicate::OGE, position, g.ofIndex(size)));
      return g.select(out, g.c(0), weight);
    });
    Tensor w = node.tensor(weights, DType(11), table);
    if (antialias || excludeOutside)
      w = normalised(w);
    Tensor result = weighted(input, axis, castTo(node, w, wide()), firstValue, at, below);
    return coordinates == "tf_crop_and_resize" ? extrapolated(result, axis, at) : result;
  }

  Tensor normalised(const Tensor &w) {
    Tensor sum = reduce(node, w, {1}, w.dtype(), scalarAttr(node.context(), w.dtype(), 0),
                        [](OpBuilder &b, Location loc, Value v, Value acc) -> Value {
                          return arith::AddFOp::create(b, loc, acc, v);
                        });
    return elementwise(node, {w, keepDims(node, sum, {1})}, w.dtype(),
                       [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                         F64 f{b, loc};
                         Value none = f.eq(a[1], f.c(0));
                         return f.div(a[0], f.select(none, f.c(1), a[1]));
                       });
  }

  using PlaceFn = llvm::function_ref<Value(const F64 &, Value, Value &)>;
  using BelowFn = llvm::function_ref<Value(const F64 &, Value)>;

  Tensor weighted(const Tensor &input, const Axis &axis, const Tensor &weights, Value first,
                  PlaceFn at, BelowFn below) {
    // Loops: the result's, then the taps.
    MLIRContext *context = node.context();
    Shape shape = resized(input, axis);
    int64_t rank = shape.size();
    AffineMap table = AffineMap::get(
        rank + 1, 0, {getAffineDimExpr(axis.axis, context), getAffineDimExpr(rank, context)},
        context);
    SmallVector<AffineMap> maps{
        table, AffineMap::getMultiDimIdentityMap(rank + 1, context).getMajorSubMap(rank)};
    SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
    loops.push_back(utils::IteratorType::reduction);
    OpBuilder &b = node.builder();
    Value source = node.value(input), size = node.index(input.dim(axis.axis));
    Value init = filled(node, shape, scalarAttr(context, input.dtype(), 0));
    auto op =
        linalg::GenericOp::create(b, node.loc(), init.getType(), ValueRange{node.value(weights)},
                                  ValueRange{init}, maps, loops);
    OpBuilder::InsertionGuard guard(b);
    Type element = getElementTypeOrSelf(init.getType());
    Block *block = b.createBlock(&op.getRegion(), {}, {element, element}, {node.loc(), node.loc()});
    F64 f{b, node.loc()};
    SmallVector<Value> indices;
    for (int64_t i = 0; i < rank; ++i)
      indices.push_back(linalg::IndexOp::create(b, node.loc(), i));
    Value tap = f.ofIndex(linalg::IndexOp::create(b, node.loc(), rank)), outside;
    Value where = at(f, indices[axis.axis], outside);
    Value position = f.add(f.add(below(f, where), read(f, first)), tap);
    indices[axis.axis] = clampedIndex(f, position, f.ofIndex(size));
    Value v = tensor::ExtractOp::create(b, node.loc(), source, indices);
    Value product = arith::MulFOp::create(b, node.loc(), v, block->getArgument(0));
    Value sum = arith::AddFOp::create(b, node.loc(), block->getArgument(1), product);
    linalg::YieldOp::create(b, node.loc(), sum);
    return node.tensor(op.getResult(0), input.dtype(), shape);
  }

  Tensor extrapolated(const Tensor &result, const Axis &axis, PlaceFn at) {
    Type element = result.dtype().type(node.context());
    AffineMap identity = AffineMap::getMultiDimIdentityMap(result.rank(), node.context());
    Value chosen =
        generic(node, {node.value(result)}, {identity}, result.shape(), element,
                [&](OpBuilder &b, Location loc, ValueRange args) {
                  F64 f{b, loc};
                  Value outside;
                  at(f, linalg::IndexOp::create(b, loc, axis.axis), outside);
                  return f.select(outside, scalar(b, loc, element, extrapolation), args[0]);
                });
    return node.tensor(chosen, result.dtype(), result.shape());
  }
};

void convertResize(Node &node) { ResizeConverter(node).run(); }

} // namespace

void registerResize(Registry &registry) { registry.add("Resize", 10, convertResize); }

} // namespace attune::onnx
