#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace attune;

//===-- Building and reading ------------------------------------------------------------------===//

void EmaOp::build(OpBuilder &builder, OperationState &state, Value input, Value decay,
                  Value input_weight, Value output_weight, Value skip, bool bidirectional) {
  build(builder, state, input.getType(), Type(), input, decay, input_weight, output_weight, skip,
        Value(), bidirectional, IntegerAttr(), Form::Auto);
}

FloatType EmaOp::getAccumType() { return getDefaultAccum(getInput()); }

int64_t EmaOp::getNumStates() { return cast<RankedTensorType>(getDecay().getType()).getDimSize(1); }

//===-- Verification --------------------------------------------------------------------------===//

static LogicalResult checkShapes(EmaOp op) {
  ShapeChecker shapes(op);
  // Bidirectional coefficients have 2C rows.
  StringRef coefficients = op.getBidirectional() ? "rk" : "ck";
  if (failed(shapes.check("input", op.getInput(), "blc")) ||
      failed(shapes.check("decay", op.getDecay(), coefficients)) ||
      failed(shapes.check("input_weight", op.getInputWeight(), coefficients)) ||
      failed(shapes.check("output_weight", op.getOutputWeight(), coefficients)) ||
      failed(shapes.check("skip", op.getSkip(), "c")) ||
      failed(shapes.check("init_state", op.getInitState(), "bck")) ||
      failed(shapes.check("result", op.getResult(), "blc")) ||
      failed(shapes.check("final_state", op.getFinalState(), "bck")))
    return failure();
  if (auto channels = shapes.get('c'))
    if (failed(shapes.require('r', 2 * *channels, "coefficients", "2 C")))
      return failure();
  if (int64_t states = op.getNumStates(); states < 1)
    return op.emitOpError("number of states must be static and at least 1, found ")
           << (ShapedType::isDynamic(states) ? "?" : std::to_string(states));
  return success();
}

static LogicalResult checkDecay(EmaOp op) {
  DenseFPElementsAttr values;
  if (!matchPattern(op.getDecay(), m_Constant(&values)))
    return success();
  for (const APFloat &value : values)
    if (!(std::abs(value.convertToDouble()) <= 1))
      return op.emitOpError("decay must be at most 1 in magnitude, found ")
             << value.convertToDouble();
  return success();
}

LogicalResult EmaOp::verify() {
  if (failed(verifyFloats(*this, {{"input", getInput()},
                                  {"decay", getDecay()},
                                  {"input_weight", getInputWeight()},
                                  {"output_weight", getOutputWeight()},
                                  {"skip", getSkip()},
                                  {"init_state", getInitState()},
                                  {"result", getResult()},
                                  {"final_state", getFinalState()}})) ||
      failed(checkShapes(*this)))
    return failure();
  bool carries = getInitState() || getFinalState();
  if (carries && getBidirectional())
    return emitOpError("initial and final states cannot be given with bidirectional");
  if (carries && getTruncation())
    return emitOpError("initial and final states cannot be given with truncation");
  if (getTruncation() && static_cast<int64_t>(*getTruncation()) < 1)
    return emitOpError("truncation must be at least 1, found ")
           << static_cast<int64_t>(*getTruncation());
  return checkDecay(*this);
}

//===-- Reference lowering --------------------------------------------------------------------===//

namespace {

/// The recurrence, or with truncation the sum over a kernel of finite length.
class EmaLowering : Lowering {
public:
  EmaLowering(EmaOp op, OpBuilder &builder);
  SmallVector<Value> run();

private:
  enum Loop : int64_t { B, L, C, Tap };

  Value skipped();
  Value half(Value coefficients, bool second);
  void recur(bool backward);
  void convolve(bool backward);
  Value kernel(bool backward);
  Value product(Value sum, Value lhs, Value rhs) {
    return op<arith::AddFOp>(sum, op<arith::MulFOp>(cast(lhs, accum), cast(rhs, accum)));
  }

  EmaOp ema;
  FloatType accum;
  Shape shape, stateShape; // [B,L,C], [B,C,n]
  Value states;            // n
  Value sum, state;
};

} // namespace

EmaLowering::EmaLowering(EmaOp op, OpBuilder &builder)
    : Lowering(builder, op.getLoc()), ema(op), accum(op.getAccumType()) {
  for (int64_t axis = 0; axis < 3; ++axis)
    shape.push_back(extent(op, {{op.getResult(), axis}, {op.getInput(), axis}}));
  stateShape = {shape[B], shape[C], builder.getIndexAttr(op.getNumStates())};
}

/// `skip` times the input: what the sums start from.
Value EmaLowering::skipped() {
  Value zero = constant(accum, 0);
  if (!ema.getSkip())
    return fill(shape, zero);
  return elementwise({ema.getInput(), ema.getSkip()}, {prefix(3, 3), map(3, d(C))}, shape, accum,
                     [&](ValueRange args) {
                       return op<arith::MulFOp>(cast(args[0], accum), cast(args[1], accum));
                     });
}

/// The rows [C,n] of `coefficients` that belong to one direction.
Value EmaLowering::half(Value coefficients, bool second) {
  if (!ema.getBidirectional())
    return coefficients;
  auto type = llvm::cast<RankedTensorType>(coefficients.getType());
  int64_t channels = getConstantIntValue(shape[C]).value_or(ShapedType::kDynamic);
  OpFoldResult start = second ? shape[C] : OpFoldResult(builder.getIndexAttr(0));
  Shape offsets{start, builder.getIndexAttr(0)}, extents{shape[C], stateShape[2]};
  Shape strides(2, builder.getIndexAttr(1));
  return op<tensor::ExtractSliceOp>(type.clone({channels, ema.getNumStates()}), coefficients,
                                    offsets, extents, strides);
}

void EmaLowering::recur(bool backward) {
  Value a = half(ema.getDecay(), backward), b = half(ema.getInputWeight(), backward);
  Value c = half(ema.getOutputWeight(), backward), length = index(shape[L]);
  AffineMap full = prefix(3, 3), ofChannel = map(3, {d(1), d(2)}), ofInput = prefix(3, 2);
  auto loop = scf::ForOp::create(
      builder, loc, index(int64_t(0)), length, index(1), ValueRange{state, sum},
      [&](OpBuilder &, Location, Value step, ValueRange carried) {
        if (backward)
          step = op<arith::SubIOp>(op<arith::SubIOp>(length, index(1)), step);
        Value x = sliceAt(ema.getInput(), L, step);
        Value h = accumulate({a, b, x}, {ofChannel, ofChannel, ofInput}, carried[0], full,
                             [&](ValueRange args) {
                               Value kept = op<arith::MulFOp>(cast(args[0], accum), args[3]);
                               return product(kept, args[1], args[2]);
                             });
        Value y = accumulate({h, c}, {full, ofChannel}, sliceAt(carried[1], L, step), ofInput,
                             [&](ValueRange args) { return product(args[2], args[0], args[1]); });
        scf::YieldOp::create(builder, loc, ValueRange{h, insertAt(y, carried[1], L, step)});
      });
  state = loop.getResult(0);
  sum = loop.getResult(1);
}

/// [T,C]: what an input adds to the result t steps later, `sum_k output_weight decay^t
/// input_weight`.
Value EmaLowering::kernel(bool backward) {
  Shape powers{shape[C], stateShape[2]};
  AffineMap full = prefix(2, 2);
  Value a = half(ema.getDecay(), backward), c = half(ema.getOutputWeight(), backward);
  Value first = elementwise(half(ema.getInputWeight(), backward), full, powers, accum,
                            [&](ValueRange args) { return cast(args[0], accum); });
  OpFoldResult taps = builder.getIndexAttr(*ema.getTruncation());
  auto loop = scf::ForOp::create(
      builder, loc, index(int64_t(0)), index(taps), index(1),
      ValueRange{first, fill({taps, shape[C]}, constant(accum, 0))},
      [&](OpBuilder &, Location, Value step, ValueRange carried) {
        Value row =
            accumulate({carried[0], c}, {full, full}, sliceAt(carried[1], 0, step), prefix(2, 1),
                       [&](ValueRange args) { return product(args[2], args[0], args[1]); });
        Value table = insertAt(row, carried[1], 0, step);
        Value next = accumulate(a, full, carried[0], full, [&](ValueRange args) {
          return op<arith::MulFOp>(cast(args[0], accum), args[1]);
        });
        scf::YieldOp::create(builder, loc, ValueRange{next, table});
      });
  return loop.getResult(1);
}

void EmaLowering::convolve(bool backward) {
  Value length = index(shape[L]), zero = index(int64_t(0));
  sum =
      accumulate(kernel(backward), map(4, {d(Tap), d(C)}), sum, prefix(4, 3), [&](ValueRange args) {
        Value from = backward ? op<arith::AddIOp>(loop(L), loop(Tap))
                              : op<arith::SubIOp>(loop(L), loop(Tap));
        // Unsigned, so that positions before the first are beyond the last.
        Value inside = compare(arith::CmpIPredicate::ult, from, length);
        Value x = op<tensor::ExtractOp>(ema.getInput(),
                                        ValueRange{loop(B), select(inside, from, zero), loop(C)});
        Value next = product(args[1], args[0], x);
        return select(inside, next, args[1]);
      });
}

SmallVector<Value> EmaLowering::run() {
  sum = skipped();
  for (bool backward : {false, true}) {
    if (backward && !ema.getBidirectional())
      break;
    if (ema.getTruncation()) {
      convolve(backward);
      continue;
    }
    Value init = ema.getInitState();
    state = init ? elementwise(init, prefix(3, 3), stateShape, accum,
                               [&](ValueRange args) { return cast(args[0], accum); })
                 : fill(stateShape, constant(accum, 0));
    recur(backward);
  }
  SmallVector<Value> values{castElements(sum, ema.getResult())};
  if (ema.getFinalState())
    values.push_back(castElements(state, ema.getFinalState()));
  return values;
}

FailureOr<SmallVector<Value>> EmaOp::decompose(OpBuilder &builder) {
  return EmaLowering(*this, builder).run();
}

//===-- Shapes and work -----------------------------------------------------------------------===//

LogicalResult EmaOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  dims.push_back(tensor::getMixedSizes(builder, getLoc(), getInput()));
  if (getFinalState())
    dims.push_back({dims[0][0], dims[0][2], builder.getIndexAttr(getNumStates())});
  refineShapes(builder, getOperation(), dims);
  return success();
}

/// Steps of a chunk of a truncated average.
static constexpr int64_t kChunkSteps = 16;

/// Whether an average reaches over a whole chunk before its own.
static bool hasWholeChunks(EmaOp op) {
  return static_cast<int64_t>(*op.getTruncation()) >= 2 * kChunkSteps;
}

/// A forward average from zero is also the convolution with what it makes of an impulse; one that
/// forgets has no recurrence, but chunks.
SmallVector<Form> EmaOp::getForms() {
  if (getBidirectional() || getInitState() || getFinalState())
    return {Form::Recurrent};
  if (getTruncation() && hasWholeChunks(*this))
    return {Form::Quadratic, Form::Chunked, Form::Fft};
  if (getTruncation())
    return {Form::Quadratic, Form::Fft};
  return {Form::Recurrent, Form::Quadratic, Form::Fft};
}

/// Multiply-adds for an element of a truncated average in chunks.
static int64_t chunkedTaps(EmaOp op) {
  int64_t taps = *op.getTruncation(), states = op.getNumStates();
  return 2 * states + taps * states / (kChunkSteps * kChunkSteps) + kChunkSteps + 1 +
         taps % kChunkSteps;
}

Form EmaOp::getTruncatedForm() {
  bool fewer = !getBidirectional() && hasWholeChunks(*this) &&
               chunkedTaps(*this) < static_cast<int64_t>(*getTruncation());
  return fewer ? Form::Chunked : Form::Quadratic;
}

/// Arithmetic for a state of a channel before its first step, and with powers for chunks.
static constexpr double kPrepare = 48, kPreparePowers = 200;

/// Per element and state, one multiply-add for the state and one for the sum. With truncation one
/// per element and tap; in chunks, only the taps of the chunk itself and of what lies before whole
/// chunks are taken one by one. As a convolution: the average of one impulse, and the product.
SmallVector<WorkTerm> EmaOp::getWork(ExtentOf extent) {
  SmallVector<WorkTerm> terms;
  SmallVector<OpFoldResult> elements = getExtents(getInput(), extent), products(elements);
  double directions = getBidirectional() ? 2 : 1;
  Builder builder(getContext());
  bool convolves = getForm() == Form::Quadratic || getForm() == Form::Fft;
  if (convolves) {
    OpFoldResult taps = elements[1];
    if (getTruncation())
      taps = builder.getIndexAttr(*getTruncation());
    OpFoldResult states = builder.getIndexAttr(getNumStates());
    addWork(terms, WorkTerm::Class::Fma, 4, {taps, elements[2], states});
    addWork(terms, WorkTerm::Class::Arithmetic, kPrepare, {elements[2], states});
    addConvolutionWork(terms, getForm(), elements, taps, elements[2]);
    return terms;
  }
  if (getTruncation()) {
    int64_t taps = getForm() == Form::Chunked ? chunkedTaps(*this) : *getTruncation();
    products.push_back(builder.getIndexAttr(taps));
    addWork(terms, WorkTerm::Class::Fma, 2 * directions, products);
  } else {
    products.push_back(builder.getIndexAttr(getNumStates()));
    addWork(terms, WorkTerm::Class::Fma, 4 * directions, products);
  }
  double prepared = getForm() == Form::Chunked ? kPreparePowers : kPrepare * directions;
  addWork(terms, WorkTerm::Class::Arithmetic, prepared,
          {elements[0], elements[2], builder.getIndexAttr(getNumStates())});
  if (getSkip())
    addWork(terms, WorkTerm::Class::Fma, 2, elements);
  return terms;
}

/// Channels; a truncated sum has no state to wait for.
SmallVector<OpFoldResult> EmaOp::getParallelExtents(ExtentOf extent) {
  SmallVector<OpFoldResult> extents = getExtents(getResult(), extent);
  if (!getTruncation())
    extents.erase(extents.begin() + 1);
  return extents;
}
