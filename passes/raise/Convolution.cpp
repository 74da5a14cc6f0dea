#include "attune/passes/raise/Convolution.h"
#include "attune/passes/raise/ConstantSpectrum.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

bool isNonNegative(Sizes &sizes, AffineExpr expr) {
  expr = simplifyAffineExpr(expr, 0, sizes.numSymbols());
  if (std::optional<int64_t> value = Sizes::asConstant(expr))
    return *value >= 0;
  if (Value symbol = sizes.symbolValue(expr))
    return symbol.getDefiningOp<tensor::DimOp>() != nullptr;
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  return binary &&
         llvm::is_contained({AffineExprKind::Add, AffineExprKind::Mul, AffineExprKind::FloorDiv},
                            binary.getKind()) &&
         isNonNegative(sizes, binary.getLHS()) && isNonNegative(sizes, binary.getRHS());
}

bool ConvolutionMatch::run() { return matchView() && matchProduct(); }

/// The view's element as the element of a real inverse transform.
bool ConvolutionMatch::matchView() {
  indices = elements.addIndices(view);
  auto type = cast<RankedTensorType>(view.getType());
  for (auto [axis, index] : llvm::enumerate(indices))
    if (type.getDimSize(axis) == 1)
      index = elements.constantIndex(0);
  std::optional<ElementOf> element = elements.load(elements.at(view, indices));
  inverse = element && element->tensor ? element->tensor.getDefiningOp<DftOp>() : DftOp();
  if (!inverse || !inverse.getInverse())
    return false;
  // Two-sided transforms of spectra of real signals are real, too: their imaginary part is 0.
  Value part = element->indices.back();
  if (!matchPattern(part, m_Zero()))
    return false;
  length = sizes.of(inverse.getLength());
  first = sizes.constant(0);
  for (auto [axis, index] : llvm::enumerate(ArrayRef(element->indices).drop_back())) {
    Value base = index;
    if (axis == inverse.getAxis()) {
      if (auto sum = index.getDefiningOp<arith::AddIOp>()) {
        base = sum.getLhs();
        if (std::optional<int64_t> start = getConstantIntValue(sum.getRhs()))
          first = sizes.constant(*start);
        else if (Value outside = elements.outside(sum.getRhs()))
          first = sizes.of(outside);
        else
          return false;
      }
      auto place = llvm::find(indices, base);
      if (place == indices.end() || !elements.isIndex(base))
        return false;
      timeAxis = place - indices.begin();
      frequency = elements.addIndex(sizes.of(inverse.getInput(), axis));
      continue;
    }
    if (!matchPattern(base, m_Zero()) && !elements.isIndex(base))
      return false;
  }
  count = sizes.of(view, timeAxis);
  SmallVector<Value> at(element->indices);
  at[inverse.getAxis()] = frequency;
  for (auto [axis, index] : llvm::enumerate(indices))
    if (int64_t(axis) != timeAxis && elements.isIndex(index) && !llvm::is_contained(at, index))
      return false;
  spectrum = at;
  return true;
}

std::optional<ConvolutionMatch::Bin> ConvolutionMatch::asBin(Value scalar) {
  std::optional<ElementOf> element = elements.load(scalar);
  auto op = element && element->tensor ? element->tensor.getDefiningOp<DftOp>() : DftOp();
  if (!op || op.getInverse())
    return std::nullopt;
  std::optional<int64_t> part = getConstantIntValue(element->indices.back());
  if (!part || element->indices[op.getAxis()] != frequency)
    return std::nullopt;
  return Bin{op, SmallVector<Value>(ArrayRef(element->indices).drop_back()), *part};
}

/// (a + ib)(c + id), written out as ac - bd and ad + bc in any order, where a and b are the parts
/// of one bin of a transform, and c and d those of another one or constants.
bool ConvolutionMatch::matchProduct() {
  SmallVector<Value> at(spectrum);
  at.back() = elements.constantIndex(0);
  auto real = elements.at(inverse.getInput(), at).getDefiningOp<arith::SubFOp>();
  at.back() = elements.constantIndex(1);
  auto imaginary = elements.at(inverse.getInput(), at).getDefiningOp<arith::AddFOp>();
  if (!real || !imaginary)
    return false;
  auto first = real.getLhs().getDefiningOp<arith::MulFOp>();
  for (unsigned side : {0, 1})
    if (first && matchProduct(real, imaginary, first->getOperand(side)))
      return true;
  return false;
}

/// `a` is the real part of one of the spectra.
bool ConvolutionMatch::matchProduct(arith::SubFOp real, arith::AddFOp imaginary, Value a) {
  std::optional<Bin> bin = asBin(a);
  if (!bin || bin->part != 0)
    return false;
  auto partner = [](Value product, Value of) -> Value {
    auto mul = product.getDefiningOp<arith::MulFOp>();
    if (!mul)
      return {};
    return mul.getLhs() == of ? mul.getRhs() : mul.getRhs() == of ? mul.getLhs() : Value();
  };
  SmallVector<Value> at(bin->indices);
  at.push_back(elements.constantIndex(1));
  Value b = elements.at(bin->op.getResult(), at);
  Value c = partner(real.getLhs(), a), d = partner(real.getRhs(), b);
  if (!c || !d)
    return false;
  auto crosses = [&](Value x, Value y) { return partner(x, a) == d && partner(y, b) == c; };
  if (!crosses(imaginary.getLhs(), imaginary.getRhs()) &&
      !crosses(imaginary.getRhs(), imaginary.getLhs()))
    return false;
  AffineExpr bins = inverse.getOnesided() ? length.floorDiv(2) + 1 : length;
  if (!sizes.equal(sizes.of(inverse.getInput(), inverse.getAxis()), bins)) {
    reason = "the spectrum is not complete";
    return false;
  }
  std::optional<Signal> one = signalOf(*bin), other;
  std::optional<Bin> second = asBin(c), secondImaginary = asBin(d);
  if (second && secondImaginary && *second == *secondImaginary && second->part == 0 &&
      secondImaginary->part == 1) {
    other = signalOf(*second);
  } else if (auto samples = Sizes::asConstant(length); samples && !second) {
    OpBuilder builder(inverse);
    other = signalOfConstant(builder, inverse.getLoc(), elements, sizes, c, d, frequency, *samples);
  }
  if (!one || !other)
    return false;
  bool swap = varying(*one).size() < varying(*other).size();
  input = swap ? *other : *one;
  kernel = swap ? *one : *other;
  return true;
}

Signal trimmed(Elements &elements, Sizes &sizes, Value tensor, ArrayRef<Value> indices,
               int64_t axis) {
  Signal signal{elements.at(tensor, indices), indices[axis], elements.extentOf(indices[axis]),
                sizes.constant(0)};
  while (std::optional<ElementOf> element = elements.load(signal.scalar)) {
    auto pad = element->tensor ? element->tensor.getDefiningOp<tensor::PadOp>() : tensor::PadOp();
    Value fill = pad ? pad.getConstantPaddingValue() : Value();
    if (!fill || !matchPattern(fill, m_AnyZeroFloat()))
      break;
    int64_t padded = -1;
    for (auto [place, index] : llvm::enumerate(element->indices)) {
      bool grows = !sizes.equal(sizes.of(pad.getMixedLowPad()[place]), sizes.constant(0)) ||
                   !sizes.equal(sizes.of(pad.getMixedHighPad()[place]), sizes.constant(0));
      if (grows && index != signal.position)
        return signal;
      if (index == signal.position)
        padded = place;
    }
    if (padded < 0)
      break;
    signal.before = signal.before + sizes.of(pad.getMixedLowPad()[padded]);
    signal.extent = sizes.of(pad.getSource(), padded);
    signal.position = elements.addIndex(signal.extent);
    SmallVector<Value> inner(element->indices);
    inner[padded] = signal.position;
    signal.scalar = elements.at(pad.getSource(), inner);
  }
  return signal;
}

/// The real signal behind a transform, without the zeros around it.
std::optional<Signal> ConvolutionMatch::signalOf(const Bin &bin) {
  DftOp op = bin.op;
  int64_t axis = op.getAxis();
  SmallVector<Value> at(bin.indices);
  AffineExpr extent = sizes.of(op.getInput(), axis);
  if (!sizes.equal(sizes.of(op.getLength()), length)) {
    reason = "transforms of different lengths";
    return std::nullopt;
  }
  if (!isNonNegative(sizes, length - extent)) {
    reason = "a transform cuts its signal";
    return std::nullopt;
  }
  at[axis] = elements.addIndex(extent);
  at.push_back(elements.constantIndex(1));
  if (op.getInputType().getShape().back() == 2) {
    std::optional<double> zero = asFloat(elements.at(op.getInput(), at));
    if (zero != 0.0) {
      reason = "a signal is complex";
      return std::nullopt;
    }
  }
  at.back() = elements.constantIndex(0);
  return trimmed(elements, sizes, op.getInput(), at, axis);
}

SmallVector<Value> ConvolutionMatch::varying(const Signal &signal) {
  llvm::SetVector<Value> free = elements.freeIndices(signal.scalar);
  SmallVector<Value> result;
  for (auto [axis, index] : llvm::enumerate(indices))
    if (int64_t(axis) != timeAxis && free.contains(index))
      result.push_back(index);
  return result;
}

bool ConvolutionMatch::isCausal() {
  // Differences that are negative wrap around to the end of the transform.
  return sizes.equal(first, input.before + kernel.before) &&
         isNonNegative(sizes, length + 1 - input.extent - kernel.extent) &&
         sizes.equal(count, input.extent);
}

} // namespace attune
