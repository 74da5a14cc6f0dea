#include "attune/dialect/ops/Lowering.h"

using namespace mlir;
using namespace attune;

FloatType MapMixOp::getAccumType() { return getDefaultAccum(getMaps()); }

MapAct MapMixOp::getAct(int64_t stage) { return cast<MapActAttr>(getActs()[stage]).getValue(); }

std::pair<int64_t, int64_t> MapMixOp::getHalo() {
  int64_t rows = 0, columns = 0;
  for (auto [weight, dilation] : llvm::zip_equal(getWeights(), getDilations())) {
    auto type = cast<RankedTensorType>(weight.getType());
    rows += type.getDimSize(2) / 2 * dilation;
    columns += type.getDimSize(3) / 2 * dilation;
  }
  return {rows, columns};
}

//===-- Verification --------------------------------------------------------------------------===//

static LogicalResult checkLists(MapMixOp op) {
  size_t stages = op.getWeights().size();
  if (stages == 0)
    return op.emitOpError("needs at least one stage");
  for (auto [name, length] :
       {std::pair("biases", op.getBiases().size()), std::pair("groups", op.getGroups().size()),
        std::pair("dilations", op.getDilations().size()), std::pair("acts", op.getActs().size()),
        std::pair("slopes", op.getSlopes().size())})
    if (length != stages)
      return op.emitOpError() << "expects one of " << name << " per stage (" << stages
                              << "), found " << length;
  return success();
}

static LogicalResult checkFactors(MapMixOp op) {
  double alpha = op.getAlpha().convertToDouble(), beta = op.getBeta().convertToDouble();
  for (auto [name, value] : {std::pair("alpha", alpha), std::pair("beta", beta)})
    if (!(value >= 0 && value <= 1))
      return op.emitOpError() << name << " must be in [0, 1], found " << value;
  if (beta != 0 && !op.getPrevious())
    return op.emitOpError("beta is for maps with previous ones only, found ") << beta;
  return success();
}

/// One stage from `channels` maps (if known) to as many as `channels` says afterwards.
static LogicalResult checkStage(MapMixOp op, int64_t stage, std::optional<int64_t> &channels) {
  auto error = [&] { return op.emitOpError() << "stage " << stage << ": "; };
  int64_t groups = op.getGroups()[stage], dilation = op.getDilations()[stage];
  if (groups < 1 || dilation < 1)
    return error() << "groups and dilation must be at least 1, found " << groups << " and "
                   << dilation;
  auto weight = cast<RankedTensorType>(op.getWeights()[stage].getType());
  auto bias = cast<RankedTensorType>(op.getBiases()[stage].getType());
  if (weight.getRank() != 4 || bias.getRank() != 1)
    return error() << "weight and bias must have ranks 4 and 1, found " << weight << " and "
                   << bias;
  for (int64_t extent : weight.getShape().drop_front(2))
    if (ShapedType::isDynamic(extent) || extent % 2 == 0)
      return error() << "the kernel's extents must be static and odd, found " << weight;
  if (failed(verifyCompatibleShape(bias.getShape(), weight.getShape().take_front(1))))
    return error() << "bias " << bias << " does not fit the weight " << weight;
  int64_t out = weight.getDimSize(0), in = weight.getDimSize(1);
  if (channels && ShapedType::isStatic(in) && *channels != in * groups)
    return error() << "weight " << weight << " reads " << in << " channels in each of " << groups
                   << " groups, found " << *channels << " maps";
  if (ShapedType::isStatic(out) && out % groups)
    return error() << groups << " groups do not divide " << out << " channels";
  if (op.getAct(stage) != MapAct::LeakyRelu && op.getSlopes()[stage] != 0)
    return error() << "a slope is for leaky_relu only, found " << op.getSlopes()[stage];
  channels = ShapedType::isStatic(out) ? std::optional(out) : std::nullopt;
  return success();
}

LogicalResult MapMixOp::verify() {
  SmallVector<NamedValue> floats{
      {"maps", getMaps()}, {"previous", getPrevious()}, {"result", getResult()}};
  for (Value weight : getWeights())
    floats.push_back({"weights", weight});
  for (Value bias : getBiases())
    floats.push_back({"biases", bias});
  if (failed(verifyFloats(*this, floats)) || failed(checkLists(*this)) ||
      failed(checkFactors(*this)))
    return failure();
  ShapeChecker shapes(*this);
  if (failed(shapes.check("maps", getMaps(), "bgnm")) ||
      failed(shapes.check("previous", getPrevious(), "bgnm")) ||
      failed(shapes.check("result", getResult(), "bonm")))
    return failure();
  std::optional<int64_t> channels = shapes.get('g');
  for (int64_t stage = 0; stage < getNumStages(); ++stage)
    if (failed(checkStage(*this, stage, channels)))
      return failure();
  if (channels && failed(shapes.require('o', *channels, "result", "channels of the last stage")))
    return failure();
  auto maps = shapes.get('g');
  if (getAlpha().convertToDouble() != 1 && maps && channels && *maps != *channels)
    return emitOpError("alpha != 1 adds the maps (")
           << *maps << " channels) to the last stage (" << *channels << " channels)";
  return success();
}

//===-- Reference lowering --------------------------------------------------------------------===//

namespace {

class MapMixLowering : Lowering {
public:
  MapMixLowering(MapMixOp op, OpBuilder &builder)
      : Lowering(builder, op.getLoc()), mix(op), accum(op.getAccumType()) {}
  Value run();

private:
  enum Loop : int64_t { B, O, N, M, C, P, Q };

  Value add(Value lhs, Value rhs) { return op<arith::AddFOp>(lhs, rhs); }
  Value mul(Value lhs, Value rhs) { return op<arith::MulFOp>(lhs, rhs); }
  Value blend(Value x, double factor, Value y) {
    return add(mul(constant(accum, factor), x), mul(constant(accum, 1 - factor), y));
  }
  Value start();
  Value activate(Value x, int64_t stage);
  Value convolve(Value x, int64_t stage);

  MapMixOp mix;
  FloatType accum;
  AffineMap full = prefix(4, 4);
};

} // namespace

/// The maps that the stages read, in the accumulation type.
Value MapMixLowering::start() {
  SmallVector<Value> inputs{mix.getMaps()};
  if (mix.getPrevious())
    inputs.push_back(mix.getPrevious());
  SmallVector<AffineMap> maps(inputs.size(), full);
  return elementwise(inputs, maps, sizes(mix.getMaps()), accum, [&](ValueRange args) {
    Value x = cast(args[0], accum);
    return mix.getPrevious() ? blend(cast(args[1], accum), mix.getBeta().convertToDouble(), x) : x;
  });
}

Value MapMixLowering::activate(Value x, int64_t stage) {
  if (mix.getAct(stage) == MapAct::None)
    return x;
  Value zero = constant(accum, 0);
  if (mix.getAct(stage) == MapAct::Relu)
    return op<arith::MaximumFOp>(x, zero);
  Value negative = op<arith::CmpFOp>(arith::CmpFPredicate::OLT, x, zero);
  return select(negative, mul(constant(accum, mix.getSlopes()[stage]), x), x);
}

Value MapMixLowering::convolve(Value x, int64_t stage) {
  Value weight = mix.getWeights()[stage], bias = mix.getBiases()[stage];
  Shape shape = sizes(x);
  shape[1] = tensor::getMixedSize(builder, loc, weight, 0);
  auto type = llvm::cast<RankedTensorType>(weight.getType());
  Value extents[] = {op<tensor::DimOp>(x, N), op<tensor::DimOp>(x, M)};
  // The guard keeps the division defined when there are no channels.
  Value outputs = op<arith::MaxUIOp>(
      op<arith::DivUIOp>(index(shape[1]), index(mix.getGroups()[stage])), index(1));
  Value channels = op<tensor::DimOp>(weight, 1), zero = index(int64_t(0));
  Value sums = accumulate(
      weight, map(7, {d(O), d(C), d(P), d(Q)}), fill(shape, constant(accum, 0)), prefix(7, 4),
      [&](ValueRange args) {
        Value group = op<arith::DivUIOp>(loop(O), outputs);
        SmallVector<Value> at{loop(B),
                              op<arith::AddIOp>(op<arith::MulIOp>(group, channels), loop(C))};
        Value inside;
        for (int64_t axis : {0, 1}) {
          Value tap = op<arith::SubIOp>(loop(P + axis), index(type.getDimSize(2 + axis) / 2));
          Value offset = op<arith::MulIOp>(tap, index(mix.getDilations()[stage]));
          Value from = op<arith::AddIOp>(loop(N + axis), offset);
          // Unsigned, so that positions before the first are beyond the last.
          Value here = compare(arith::CmpIPredicate::ult, from, extents[axis]);
          inside = inside ? op<arith::AndIOp>(inside, here) : here;
          at.push_back(select(here, from, zero));
        }
        Value product = mul(cast(args[0], accum), op<tensor::ExtractOp>(x, at));
        return select(inside, add(args[1], product), args[1]);
      });
  return accumulate(bias, map(4, d(O)), sums, full, [&](ValueRange args) {
    return activate(add(args[1], cast(args[0], accum)), stage);
  });
}

Value MapMixLowering::run() {
  Value x = start(), stages = x;
  for (int64_t stage = 0; stage < mix.getNumStages(); ++stage)
    stages = convolve(stages, stage);
  if (double alpha = mix.getAlpha().convertToDouble(); alpha != 1)
    stages = accumulate(x, full, stages, full,
                        [&](ValueRange args) { return blend(args[1], alpha, args[0]); });
  return castElements(stages, mix.getResult());
}

FailureOr<SmallVector<Value>> MapMixOp::decompose(OpBuilder &builder) {
  return SmallVector<Value>{MapMixLowering(*this, builder).run()};
}

//===-- Shapes and work -----------------------------------------------------------------------===//

LogicalResult MapMixOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  dims.push_back(tensor::getMixedSizes(builder, getLoc(), getMaps()));
  dims[0][1] = tensor::getMixedSize(builder, getLoc(), getWeights().back(), 0);
  refineShapes(builder, getOperation(), dims);
  return success();
}

/// Per stage one multiply-add per element of its maps and weight of its channel.
SmallVector<WorkTerm> MapMixOp::getWork(ExtentOf extent) {
  using Class = WorkTerm::Class;
  SmallVector<WorkTerm> terms;
  SmallVector<OpFoldResult> maps = getExtents(getMaps(), extent), result(maps);
  result[1] = extent(getResult(), 1);
  if (getPrevious())
    addWork(terms, Class::Arithmetic, 3, maps);
  for (auto [stage, weight] : llvm::enumerate(getWeights())) {
    SmallVector<OpFoldResult> loops(maps);
    SmallVector<OpFoldResult> taps = getExtents(weight, extent);
    loops[1] = taps[0];
    addWork(terms, Class::Arithmetic, 1 + (getAct(stage) == MapAct::None ? 0 : 1), loops);
    loops.append(taps.begin() + 1, taps.end());
    addWork(terms, Class::Fma, 2, loops);
  }
  if (getAlpha().convertToDouble() != 1)
    addWork(terms, Class::Arithmetic, 3, result);
  return terms;
}

SmallVector<OpFoldResult> MapMixOp::getParallelExtents(ExtentOf extent) {
  return getExtents(getResult(), extent);
}
