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
    MLIRContext *context = node.context();
    Shape shape = resized(input, axis), table = {axis.out};
    Value source = node.value(input), size = node.index(input.dim(axis.axis));
    Value outSize = node.index(axis.out);
    auto at = [&](const F64 &f, Value y, Value &outside) {
      return place(f, axis, f.ofIndex(y), f.ofIndex(size), f.ofIndex(outSize), outside);
    };
    Type i64 = IntegerType::get(context, 64);
    Value places =
        generic(node, {}, {}, table, i64, [&](OpBuilder &b, Location loc, ValueRange) -> Value {
          F64 f{b, loc};
          Value outside, where = at(f, linalg::IndexOp::create(b, loc, 0), outside);
          Value half = f.c(0.5), chosen;
          if (nearestMode == "floor")
            chosen = f.floor(where);
          else if (nearestMode == "ceil")
            chosen = math::CeilOp::create(b, loc, where);
          else if (nearestMode == "round_prefer_floor")
            chosen = math::CeilOp::create(b, loc, f.sub(where, half));
          else
            chosen = f.floor(f.add(where, half));
          Value inside = clampedIndex(f, chosen, f.ofIndex(size));
          return arith::IndexCastOp::create(b, loc, i64, inside);
        });
    int64_t rank = shape.size();
    AffineMap along = AffineMap::get(rank, 0, getAffineDimExpr(axis.axis, context));
    Value chosen = generic(node, places, along, shape, input.dtype().type(context),
                           [&](OpBuilder &b, Location loc, ValueRange args) {
                             return tapAt(b, loc, source, axis, rank, args[0]);
                           });
    Tensor result = node.tensor(chosen, input.dtype(), shape);
    return coordinates == "tf_crop_and_resize" ? extrapolated(result, axis, at) : result;
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
    // A row of the tables for each tap.
    Shape table = {taps, axis.out};
    MLIRContext *context = node.context();
    auto tabulate = [&](Type type, llvm::function_ref<Value(const F64 &, Value, Value)> entry) {
      return generic(node, {}, {}, table, type, [&](OpBuilder &nb, Location loc, ValueRange) {
        F64 g{nb, loc};
        Value outside, where = at(g, linalg::IndexOp::create(nb, loc, 1), outside);
        Value offset = g.add(read(g, firstValue), g.ofIndex(linalg::IndexOp::create(nb, loc, 0)));
        return entry(g, where, g.add(below(g, where), offset));
      });
    };
    Value weights =
        tabulate(Float64Type::get(context), [&](const F64 &g, Value where, Value position) {
          Value weight = kernelAt(g, g.abs(g.mul(read(g, shrinkValue), g.sub(position, where))));
          if (!excludeOutside)
            return weight;
          Value out =
              arith::OrIOp::create(g.b, g.loc, g.lt(position, g.c(0)),
                                   g.cmp(arith::CmpFPredicate::OGE, position, g.ofIndex(size)));
          return g.select(out, g.c(0), weight);
        });
    Value places =
        tabulate(IntegerType::get(context, 64), [&](const F64 &g, Value, Value position) -> Value {
          Value inside = clampedIndex(g, position, g.ofIndex(size));
          return arith::IndexCastOp::create(g.b, g.loc, g.b.getI64Type(), inside);
        });
    Tensor w = node.tensor(weights, DType(11), table), p = node.tensor(places, kInt64, table);
    if (antialias || excludeOutside)
      w = normalised(w);
    w = castTo(node, w, wide());
    Tensor result = antialias ? summed(input, axis, w, p) : unrolled(input, axis, w, p, 2 * reach);
    return coordinates == "tf_crop_and_resize" ? extrapolated(result, axis, at) : result;
  }

  Tensor normalised(const Tensor &w) {
    Tensor sum = reduce(node, w, {0}, w.dtype(), scalarAttr(node.context(), w.dtype(), 0),
                        [](OpBuilder &b, Location loc, Value v, Value acc) -> Value {
                          return arith::AddFOp::create(b, loc, acc, v);
                        });
    return elementwise(node, {w, keepDims(node, sum, {0})}, w.dtype(),
                       [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                         F64 f{b, loc};
                         Value none = f.eq(a[1], f.c(0));
                         return f.div(a[0], f.select(none, f.c(1), a[1]));
                       });
  }

  /// `where` is the tap's place along the axis; other indices are those of the result.
  Value tapAt(OpBuilder &b, Location loc, Value source, const Axis &axis, int64_t rank,
              Value where) {
    SmallVector<Value> indices;
    for (int64_t i = 0; i < rank; ++i)
      indices.push_back(linalg::IndexOp::create(b, loc, i));
    indices[axis.axis] = arith::IndexCastOp::create(b, loc, b.getIndexType(), where);
    return tensor::ExtractOp::create(b, loc, source, indices);
  }

  /// A sum of `taps` terms.
  Tensor unrolled(const Tensor &input, const Axis &axis, const Tensor &weights,
                  const Tensor &places, int64_t taps) {
    MLIRContext *context = node.context();
    Shape shape = resized(input, axis);
    int64_t rank = shape.size();
    AffineMap along = AffineMap::get(rank, 0, getAffineDimExpr(axis.axis, context));
    SmallVector<Value> rows;
    for (const Tensor &table : {weights, places})
      for (int64_t tap = 0; tap < taps; ++tap)
        rows.push_back(node.value(
            reshape(node, slice(node, table, {{tap, 1, 1}, {0, axis.out, 1}}), {axis.out})));
    Value source = node.value(input);
    Value result =
        generic(node, rows, SmallVector<AffineMap>(rows.size(), along), shape,
                input.dtype().type(context), [&](OpBuilder &b, Location loc, ValueRange args) {
                  Value sum;
                  for (int64_t tap = 0; tap < taps; ++tap) {
                    Value x = tapAt(b, loc, source, axis, rank, args[taps + tap]);
                    Value term = arith::MulFOp::create(b, loc, x, args[tap]);
                    sum = sum ? arith::AddFOp::create(b, loc, sum, term) : term;
                  }
                  return sum;
                });
    return node.tensor(result, input.dtype(), shape);
  }

  /// A reduction over the taps, whose number depends on the scale.
  Tensor summed(const Tensor &input, const Axis &axis, const Tensor &weights,
                const Tensor &places) {
    // Loops: the result's, then the taps.
    MLIRContext *context = node.context();
    Shape shape = resized(input, axis);
    int64_t rank = shape.size();
    AffineMap table = AffineMap::get(
        rank + 1, 0, {getAffineDimExpr(rank, context), getAffineDimExpr(axis.axis, context)},
        context);
    SmallVector<AffineMap> maps{
        table, table, AffineMap::getMultiDimIdentityMap(rank + 1, context).getMajorSubMap(rank)};
    SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
    loops.push_back(utils::IteratorType::reduction);
    OpBuilder &b = node.builder();
    Value source = node.value(input);
    Value init = filled(node, shape, scalarAttr(context, input.dtype(), 0));
    auto op = linalg::GenericOp::create(
        b, node.loc(), init.getType(), ValueRange{node.value(weights), node.value(places)},
        ValueRange{init}, maps, loops, [&](OpBuilder &b, Location loc, ValueRange args) {
          Value x = tapAt(b, loc, source, axis, rank, args[1]);
          Value product = arith::MulFOp::create(b, loc, x, args[0]);
          Value sum = arith::AddFOp::create(b, loc, args[2], product);
          linalg::YieldOp::create(b, loc, sum);
        });
    return node.tensor(op.getResult(0), input.dtype(), shape);
  }

  using PlaceFn = llvm::function_ref<Value(const F64 &, Value, Value &)>;

  Tensor extrapolated(const Tensor &result, const Axis &axis, PlaceFn at) {
    Type element = result.dtype().type(node.context());
    AffineMap identity = AffineMap::getMultiDimIdentityMap(result.rank(), node.context());
    Value chosen = generic(node, {node.value(result)}, {identity}, result.shape(), element,
                           [&](OpBuilder &b, Location loc, ValueRange args) {
                             F64 f{b, loc};
                             Value outside;
                             at(f, linalg::IndexOp::create(b, loc, axis.axis), outside);
                             Value instead = arith::ConstantOp::create(
                                 b, loc, scalarAttr(node.context(), result.dtype(), extrapolation));
                             return f.select(outside, instead, args[0]);
                           });
    return node.tensor(chosen, result.dtype(), result.shape());
  }
};

void convertResize(Node &node) { ResizeConverter(node).run(); }

} // namespace

void registerResize(Registry &registry) { registry.add("Resize", 10, convertResize); }

} // namespace attune::onnx
