#include "attune/passes/canonicalize/ConstantEval.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>
#include <cstring>

using namespace mlir;

namespace attune {

/// Constants up to this many bytes stand in the IR.
static constexpr int64_t kInlineBytes = 1024;

Cell readCell(const ConstantData &data, int64_t position) {
  Cell cell;
  if (isa<FloatType>(data.getType().getElementType()))
    cell.f = data.getFloat(position);
  else
    cell.i = data.getInt(position);
  return cell;
}

static double roundTo(double value, Type type) {
  if (type.isF64())
    return value;
  if (type.isF32())
    return float(value);
  APFloat narrow(value);
  bool lossy;
  narrow.convert(cast<FloatType>(type).getFloatSemantics(), APFloat::rmNearestTiesToEven, &lossy);
  narrow.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lossy);
  return narrow.convertToDouble();
}

static int64_t wrapTo(int64_t value, Type type) {
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  if (width == 1)
    return value & 1;
  return width == 64 ? value : llvm::SignExtend64(value, width);
}

static uint64_t bitsOf(int64_t value, Type type) {
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  return width == 64 ? value : uint64_t(value) & ((uint64_t(1) << width) - 1);
}

static std::optional<double> floatResult(Operation *op, ArrayRef<Cell> a) {
  auto x = [&](unsigned n) { return a[n].f; };
  auto nan = std::numeric_limits<double>::quiet_NaN();
  return llvm::TypeSwitch<Operation *, std::optional<double>>(op)
      .Case<arith::AddFOp>([&](auto) { return x(0) + x(1); })
      .Case<arith::SubFOp>([&](auto) { return x(0) - x(1); })
      .Case<arith::MulFOp>([&](auto) { return x(0) * x(1); })
      .Case<arith::DivFOp>([&](auto) { return x(0) / x(1); })
      .Case<arith::NegFOp>([&](auto) { return -x(0); })
      .Case<arith::MaximumFOp>(
          [&](auto) { return std::isnan(x(0)) || std::isnan(x(1)) ? nan : std::max(x(0), x(1)); })
      .Case<arith::MinimumFOp>(
          [&](auto) { return std::isnan(x(0)) || std::isnan(x(1)) ? nan : std::min(x(0), x(1)); })
      .Case<arith::ExtFOp, arith::TruncFOp>([&](auto) { return x(0); })
      .Case<arith::SIToFPOp>([&](auto cast) {
        bool isBool = cast.getIn().getType().isInteger(1);
        return double(isBool ? -a[0].i : a[0].i);
      })
      .Case<arith::UIToFPOp>(
          [&](auto cast) { return double(bitsOf(a[0].i, cast.getIn().getType())); })
      .Case<math::AbsFOp>([&](auto) { return std::abs(x(0)); })
      .Case<math::SqrtOp>([&](auto) { return std::sqrt(x(0)); })
      .Case<math::RsqrtOp>([&](auto) { return 1 / std::sqrt(x(0)); })
      .Case<math::ExpOp>([&](auto) { return std::exp(x(0)); })
      .Case<math::LogOp>([&](auto) { return std::log(x(0)); })
      .Case<math::PowFOp>([&](auto) { return std::pow(x(0), x(1)); })
      .Case<math::TanhOp>([&](auto) { return std::tanh(x(0)); })
      .Case<math::ErfOp>([&](auto) { return std::erf(x(0)); })
      .Case<math::SinOp>([&](auto) { return std::sin(x(0)); })
      .Case<math::CosOp>([&](auto) { return std::cos(x(0)); })
      .Case<math::FloorOp>([&](auto) { return std::floor(x(0)); })
      .Case<math::CeilOp>([&](auto) { return std::ceil(x(0)); })
      .Case<math::RoundEvenOp>([&](auto) { return std::nearbyint(x(0)); })
      .Default([](Operation *) { return std::nullopt; });
}

static std::optional<int64_t> compare(arith::CmpFOp op, double a, double b) {
  using P = arith::CmpFPredicate;
  bool unordered = std::isnan(a) || std::isnan(b);
  switch (op.getPredicate()) {
  case P::OEQ:
    return !unordered && a == b;
  case P::OGT:
    return !unordered && a > b;
  case P::OGE:
    return !unordered && a >= b;
  case P::OLT:
    return !unordered && a < b;
  case P::OLE:
    return !unordered && a <= b;
  case P::ONE:
    return !unordered && a != b;
  case P::ORD:
    return !unordered;
  case P::UNO:
    return unordered;
  case P::UEQ:
    return unordered || a == b;
  case P::UNE:
    return unordered || a != b;
  default:
    return std::nullopt;
  }
}

static int64_t compare(arith::CmpIOp op, int64_t a, int64_t b) {
  using P = arith::CmpIPredicate;
  Type type = op.getLhs().getType();
  uint64_t x = bitsOf(a, type), y = bitsOf(b, type);
  if (type.isInteger(1)) {
    a = -a;
    b = -b;
  }
  switch (op.getPredicate()) {
  case P::eq:
    return a == b;
  case P::ne:
    return a != b;
  case P::slt:
    return a < b;
  case P::sle:
    return a <= b;
  case P::sgt:
    return a > b;
  case P::sge:
    return a >= b;
  case P::ult:
    return x < y;
  case P::ule:
    return x <= y;
  case P::ugt:
    return x > y;
  case P::uge:
    return x >= y;
  }
  return 0;
}

/// The smallest integer over -1, and anything over 0, is undefined: left to run time.
static bool divides(Type type, int64_t x, int64_t y) {
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  return y != 0 && !(y == -1 && x == llvm::minIntN(width));
}

static std::optional<int64_t> integerResult(Operation *op, ArrayRef<Cell> a) {
  using Result = std::optional<int64_t>;
  auto x = [&](unsigned n) { return a[n].i; };
  auto unsignedOf = [&](unsigned n) { return bitsOf(a[n].i, op->getOperand(n).getType()); };
  Type type = op->getResult(0).getType();
  auto isCount = [&] {
    return unsignedOf(1) < (type.isIndex() ? 64 : type.getIntOrFloatBitWidth());
  };
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case<arith::AddIOp>([&](auto) { return int64_t(uint64_t(x(0)) + uint64_t(x(1))); })
      .Case<arith::SubIOp>([&](auto) { return int64_t(uint64_t(x(0)) - uint64_t(x(1))); })
      .Case<arith::MulIOp>([&](auto) { return int64_t(uint64_t(x(0)) * uint64_t(x(1))); })
      .Case<arith::AndIOp>([&](auto) { return x(0) & x(1); })
      .Case<arith::OrIOp>([&](auto) { return x(0) | x(1); })
      .Case<arith::XOrIOp>([&](auto) { return x(0) ^ x(1); })
      .Case<arith::MaxSIOp>([&](auto) { return std::max(x(0), x(1)); })
      .Case<arith::MinSIOp>([&](auto) { return std::min(x(0), x(1)); })
      .Case<arith::MaxUIOp>([&](auto) { return int64_t(std::max(unsignedOf(0), unsignedOf(1))); })
      .Case<arith::MinUIOp>([&](auto) { return int64_t(std::min(unsignedOf(0), unsignedOf(1))); })
      .Case<arith::ShLIOp>(
          [&](auto) { return isCount() ? Result(uint64_t(x(0)) << unsignedOf(1)) : Result(); })
      .Case<arith::ShRSIOp>(
          [&](auto) { return isCount() ? Result(x(0) >> unsignedOf(1)) : Result(); })
      .Case<arith::ShRUIOp>(
          [&](auto) { return isCount() ? Result(unsignedOf(0) >> unsignedOf(1)) : Result(); })
      .Case<arith::DivSIOp>(
          [&](auto) { return divides(type, x(0), x(1)) ? Result(x(0) / x(1)) : Result(); })
      .Case<arith::RemSIOp>(
          [&](auto) { return divides(type, x(0), x(1)) ? Result(x(0) % x(1)) : Result(); })
      .Case<arith::DivUIOp>(
          [&](auto) { return x(1) != 0 ? Result(unsignedOf(0) / unsignedOf(1)) : Result(); })
      .Case<arith::RemUIOp>(
          [&](auto) { return x(1) != 0 ? Result(unsignedOf(0) % unsignedOf(1)) : Result(); })
      .Case<math::AbsIOp>([&](auto) { return x(0) < 0 ? int64_t(-uint64_t(x(0))) : x(0); })
      .Case<arith::CmpIOp>([&](auto cmp) { return compare(cmp, x(0), x(1)); })
      .Case<arith::CmpFOp>([&](auto cmp) { return compare(cmp, a[0].f, a[1].f); })
      .Case<arith::ExtSIOp>(
          [&](auto cast) { return cast.getIn().getType().isInteger(1) ? -x(0) : x(0); })
      .Case<arith::ExtUIOp>([&](auto) { return int64_t(unsignedOf(0)); })
      .Case<arith::TruncIOp, arith::IndexCastOp>([&](auto) { return x(0); })
      .Case<arith::IndexCastUIOp>([&](auto) { return int64_t(unsignedOf(0)); })
      .Case<arith::FPToSIOp>([&](auto cast) -> Result {
        // Out of range is undefined: left to run time.
        double limit = std::ldexp(1.0, cast.getType().getIntOrFloatBitWidth() - 1);
        if (!(a[0].f > -limit - 1 && a[0].f < limit))
          return std::nullopt;
        return int64_t(a[0].f);
      })
      .Default([](Operation *) { return std::nullopt; });
}

std::optional<Cell> evaluateScalar(Operation *op, ArrayRef<Cell> operands) {
  Cell cell;
  if (isa<arith::SelectOp>(op))
    return operands[0].i ? operands[1] : operands[2];
  Type type = op->getResult(0).getType();
  if (isa<FloatType>(type)) {
    std::optional<double> value = floatResult(op, operands);
    if (!value)
      return std::nullopt;
    cell.f = roundTo(*value, type);
    return cell;
  }
  std::optional<int64_t> value = integerResult(op, operands);
  if (!value)
    return std::nullopt;
  cell.i = wrapTo(*value, type);
  return cell;
}

static std::optional<Cell> constantCell(Value value) {
  Attribute attr;
  if (!matchPattern(value, m_Constant(&attr)))
    return std::nullopt;
  Cell cell;
  if (auto number = dyn_cast<FloatAttr>(attr)) {
    APFloat wide = number.getValue();
    bool lossy;
    wide.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lossy);
    cell.f = wide.convertToDouble();
    return cell;
  }
  auto number = dyn_cast<IntegerAttr>(attr);
  if (!number)
    return std::nullopt;
  bool isBool = number.getType().isInteger(1);
  cell.i = isBool ? number.getValue().getZExtValue() : number.getValue().getSExtValue();
  return cell;
}

namespace {

/// The body of a linalg operator as steps over numbered cells.
class Program {
public:
  std::optional<std::vector<Cell>> run(linalg::LinalgOp op, int64_t maxSteps);

private:
  struct Step {
    Operation *op;
    SmallVector<unsigned, 3> operands;
  };
  struct Operand {
    std::optional<ConstantData> data;
    SmallVector<int64_t> strides;
    int64_t offset = 0;
  };

  bool compile(linalg::LinalgOp op);
  bool readInputs(linalg::LinalgOp op);
  static bool readMap(AffineMap map, ArrayRef<int64_t> shape, Operand &into);

  SmallVector<int64_t> ranges;
  SmallVector<Operand> operands;
  SmallVector<Step> steps;
  std::vector<Cell> cells;
  std::vector<Cell> result;
  unsigned yielded = 0;
};

} // namespace

bool Program::readMap(AffineMap map, ArrayRef<int64_t> shape, Operand &into) {
  into.strides.assign(map.getNumDims(), 0);
  int64_t stride = 1;
  for (int64_t axis = shape.size(); axis-- > 0;) {
    AffineExpr expr = map.getResult(axis);
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      into.strides[dim.getPosition()] += stride;
    else if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      into.offset += constant.getValue() * stride;
    else
      return false;
    stride *= shape[axis];
  }
  return true;
}

bool Program::readInputs(linalg::LinalgOp op) {
  for (OpOperand &operand : op->getOpOperands()) {
    auto type = dyn_cast<RankedTensorType>(operand.get().getType());
    if (!type || !type.hasStaticShape())
      return false;
    Operand &into = operands.emplace_back();
    if (!readMap(op.getMatchingIndexingMap(&operand), type.getShape(), into))
      return false;
    if (op.isDpsInit(&operand)) {
      result.assign(type.getNumElements(), Cell{.i = 0});
      auto fill = operand.get().getDefiningOp<linalg::FillOp>();
      if (fill) {
        std::optional<Cell> start = constantCell(fill.getInputs()[0]);
        if (!start)
          return false;
        result.assign(type.getNumElements(), *start);
      } else if (std::optional<ConstantData> data = ConstantData::get(operand.get())) {
        for (auto [position, cell] : llvm::enumerate(result))
          cell = readCell(*data, position);
      } else if (!operand.get().getDefiningOp<tensor::EmptyOp>()) {
        return false;
      }
      continue;
    }
    into.data = ConstantData::get(operand.get());
    if (!into.data)
      return false;
  }
  return true;
}

bool Program::compile(linalg::LinalgOp op) {
  llvm::DenseMap<Value, unsigned> slots;
  auto slotOf = [&](Value value) -> std::optional<unsigned> {
    auto known = slots.find(value);
    if (known != slots.end())
      return known->second;
    std::optional<Cell> constant = constantCell(value);
    if (!constant)
      return std::nullopt;
    slots[value] = cells.size();
    cells.push_back(*constant);
    return cells.size() - 1;
  };
  for (BlockArgument arg : op.getBlock()->getArguments()) {
    slots[arg] = cells.size();
    cells.push_back(Cell{.i = 0});
  }
  for (Operation &inner : op.getBlock()->without_terminator()) {
    if (inner.hasTrait<OpTrait::ConstantLike>())
      continue;
    if (inner.getNumResults() != 1 || inner.getNumRegions())
      return false;
    Step step{&inner, {}};
    for (Value operand : inner.getOperands()) {
      std::optional<unsigned> slot = slotOf(operand);
      if (!slot)
        return false;
      step.operands.push_back(*slot);
    }
    slots[inner.getResult(0)] = cells.size();
    cells.push_back(Cell{.i = 0});
    // Operators without operands other than loop indices are not understood here.
    if (!isa<linalg::IndexOp>(inner) && inner.getNumOperands() == 0)
      return false;
    step.operands.push_back(slots[inner.getResult(0)]);
    steps.push_back(std::move(step));
  }
  std::optional<unsigned> slot = slotOf(op.getBlock()->getTerminator()->getOperand(0));
  if (!slot)
    return false;
  yielded = *slot;
  return true;
}

std::optional<std::vector<Cell>> Program::run(linalg::LinalgOp op, int64_t maxSteps) {
  ranges = op.getStaticLoopRanges();
  int64_t iterations = 1;
  for (int64_t range : ranges) {
    if (ShapedType::isDynamic(range))
      return std::nullopt;
    if (range == 0)
      iterations = 0;
    else if (iterations > maxSteps / range)
      return std::nullopt;
    else
      iterations *= range;
  }
  if (op->getNumResults() != 1 || op.getNumDpsInits() != 1 || !op.hasPureTensorSemantics() ||
      !readInputs(op) || !compile(op) || iterations > maxSteps / int64_t(steps.size() + 1))
    return std::nullopt;
  SmallVector<int64_t> loops(ranges.size(), 0);
  SmallVector<Cell> arguments;
  Operand &out = operands.back();
  for (int64_t iteration = 0; iteration < iterations; ++iteration) {
    auto positionOf = [&](const Operand &operand) {
      int64_t position = operand.offset;
      for (auto [stride, loop] : llvm::zip(operand.strides, loops))
        position += stride * loop;
      return position;
    };
    for (size_t n = 0; n + 1 < operands.size(); ++n)
      cells[n] = readCell(*operands[n].data, positionOf(operands[n]));
    int64_t target = positionOf(out);
    cells[operands.size() - 1] = result[target];
    for (const Step &step : steps) {
      unsigned to = step.operands.back();
      if (auto index = dyn_cast<linalg::IndexOp>(step.op)) {
        cells[to].i = loops[index.getDim()];
        continue;
      }
      arguments.clear();
      for (unsigned from : ArrayRef(step.operands).drop_back())
        arguments.push_back(cells[from]);
      std::optional<Cell> value = evaluateScalar(step.op, arguments);
      if (!value)
        return std::nullopt;
      cells[to] = *value;
    }
    result[target] = cells[yielded];
    for (int64_t loop = loops.size(); loop-- > 0;) {
      if (++loops[loop] < ranges[loop])
        break;
      loops[loop] = 0;
    }
  }
  return std::move(result);
}

std::optional<std::vector<Cell>> evaluate(linalg::LinalgOp op, int64_t maxSteps) {
  return Program().run(op, maxSteps);
}

TypedAttr makeConstant(RankedTensorType type, ArrayRef<Cell> cells) {
  Type element = type.getElementType();
  unsigned width = element.isIndex() ? 64 : element.getIntOrFloatBitWidth();
  size_t bytesEach = (width + 7) / 8;
  auto bitsAt = [&](Cell cell) -> uint64_t {
    if (!isa<FloatType>(element))
      return bitsOf(cell.i, element);
    if (element.isF32())
      return llvm::bit_cast<uint32_t>(float(cell.f));
    if (element.isF64())
      return llvm::bit_cast<uint64_t>(cell.f);
    APFloat value(cell.f);
    bool lossy;
    value.convert(cast<FloatType>(element).getFloatSemantics(), APFloat::rmNearestTiesToEven,
                  &lossy);
    return value.bitcastToAPInt().getZExtValue();
  };
  if (int64_t(cells.size() * bytesEach) <= kInlineBytes || width < 8) {
    if (isa<FloatType>(element)) {
      auto &semantics = cast<FloatType>(element).getFloatSemantics();
      SmallVector<APFloat> values;
      for (Cell cell : cells)
        values.emplace_back(semantics, APInt(width, bitsAt(cell)));
      return DenseElementsAttr::get(type, values);
    }
    SmallVector<APInt> values;
    for (Cell cell : cells)
      values.emplace_back(width, bitsAt(cell));
    return DenseElementsAttr::get(type, values);
  }
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(cells.size() * bytesEach, 64);
  char *data = blob.getMutableData().data();
  for (auto [position, cell] : llvm::enumerate(cells)) {
    uint64_t bits = bitsAt(cell);
    std::memcpy(data + position * bytesEach, &bits, bytesEach);
  }
  return DenseResourceElementsAttr::get(type, "folded", std::move(blob));
}

} // namespace attune
