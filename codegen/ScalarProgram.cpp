#include "attune/codegen/ScalarProgram.h"
#include "attune/passes/fuse/ShareCaches.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace attune::codegen {

ScalarProgram::ScalarProgram(Program &program, func::FuncOp func)
    : program(program), func(func), extents(func) {}

/// The instruction of a binary operator on index values, or "".
static StringRef mnemonic(Operation *op) {
  return llvm::TypeSwitch<Operation *, StringRef>(op)
      .Case<arith::AddIOp>([](auto) { return "add"; })
      .Case<arith::SubIOp>([](auto) { return "sub"; })
      .Case<arith::MulIOp>([](auto) { return "mul"; })
      .Case<arith::FloorDivSIOp, arith::DivSIOp, arith::DivUIOp>([](auto) { return "floordiv"; })
      .Case<arith::CeilDivSIOp, arith::CeilDivUIOp>([](auto) { return "ceildiv"; })
      .Case<arith::RemSIOp, arith::RemUIOp>([](auto) { return "mod"; })
      .Case<arith::MinSIOp, arith::MinUIOp>([](auto) { return "min"; })
      .Case<arith::MaxSIOp, arith::MaxUIOp>([](auto) { return "max"; })
      // Logical, not bitwise.
      .Case<arith::AndIOp>([](auto op) { return op.getType().isInteger(1) ? "and" : ""; })
      .Case<arith::OrIOp>([](auto op) { return op.getType().isInteger(1) ? "or" : ""; })
      .Default([](auto) { return ""; });
}

/// Arithmetic that canonicalisation made bit operations of: shifts and masks by constants.
struct PowerOfTwo {
  StringRef op;
  int64_t operand;
};
static std::optional<PowerOfTwo> asPowerOfTwo(Operation *op) {
  if (op->getNumOperands() != 2)
    return std::nullopt;
  std::optional<int64_t> constant = getConstantIntValue(op->getOperand(1));
  if (!constant || *constant < 0)
    return std::nullopt;
  bool shift = *constant < 62;
  if (shift && isa<arith::ShRUIOp, arith::ShRSIOp>(op))
    return PowerOfTwo{"floordiv", int64_t(1) << *constant};
  if (shift && isa<arith::ShLIOp>(op))
    return PowerOfTwo{"mul", int64_t(1) << *constant};
  if (isa<arith::AndIOp>(op) && !op->getResult(0).getType().isInteger(1) &&
      llvm::isPowerOf2_64(*constant + 1))
    return PowerOfTwo{"mod", *constant + 1};
  return std::nullopt;
}

/// `x xor true`.
static bool isNegation(Operation *op) {
  return isa<arith::XOrIOp>(op) && op->getResult(0).getType().isInteger(1) &&
         isConstantIntValue(op->getOperand(1), -1);
}

static bool isCast(Operation *op) {
  return isa<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtSIOp, arith::ExtUIOp,
             arith::TruncIOp>(op);
}

bool ScalarProgram::accepts(Operation *op) {
  return op->hasTrait<OpTrait::ConstantLike>() || !mnemonic(op).empty() || isCast(op) ||
         asPowerOfTwo(op) || isNegation(op) ||
         isa<affine::AffineApplyOp, affine::AffineMinOp, affine::AffineMaxOp, arith::CmpIOp,
             arith::SelectOp, tensor::DimOp, UnrealizedConversionCastOp>(op);
}

int64_t ScalarProgram::emit(StringRef op, std::vector<int64_t> operands) {
  auto [it, fresh] = numbered.try_emplace({op.str(), operands}, program.scalars.size());
  if (!fresh)
    return it->second;
  // The first operands of these are no scalars.
  ArrayRef<int64_t> read = operands;
  read = read.drop_front(op == "const" || op == "dim" ? read.size() : op.ends_with("_capacity"));
  if (llvm::any_of(read, [&](int64_t operand) { return loads.count(operand) != 0; }))
    loads.insert(it->second);
  program.scalars.push_back({op.str(), std::move(operands)});
  return it->second;
}

int64_t ScalarProgram::constant(int64_t value) { return emit("const", {value}); }

int64_t ScalarProgram::argumentDim(int64_t argument, int64_t axis) {
  FailureOr<int64_t> scalar = failure();
  OpFoldResult extent = extents.get(func.getArgument(argument), axis);
  if (auto value = dyn_cast<Value>(extent))
    scalar = get(value);
  return succeeded(scalar) ? *scalar : emit("dim", {argument, axis});
}

int64_t ScalarProgram::instruction(StringRef op, std::vector<int64_t> operands) {
  auto literal = [&](int64_t scalar) -> std::optional<int64_t> {
    const Program::Scalar &s = program.scalars[scalar];
    return s.op == "const" ? std::optional(s.operands[0]) : std::nullopt;
  };
  if (operands.size() == 2) {
    std::optional<int64_t> a = literal(operands[0]), b = literal(operands[1]);
    int64_t folded;
    if (a && b && op == "mul" && !llvm::MulOverflow(*a, *b, folded))
      return constant(folded);
    if (a && b && op == "add" && !llvm::AddOverflow(*a, *b, folded))
      return constant(folded);
    if (op == "mul" && (a == 1 || b == 1))
      return a == 1 ? operands[1] : operands[0];
    if (op == "add" && (a == 0 || b == 0))
      return a == 0 ? operands[1] : operands[0];
    if ((op == "floordiv" || op == "ceildiv") && b == 1)
      return operands[0];
    if ((op == "min" || op == "max") && operands[0] == operands[1])
      return operands[0];
  }
  return emit(op, std::move(operands));
}

int64_t ScalarProgram::loaded(Value value) {
  int64_t scalar = program.scalars.size();
  program.scalars.push_back({"loaded", {}});
  loads.insert(scalar);
  known[value] = scalar;
  return scalar;
}

bool ScalarProgram::dependsOnLoad(Value value) {
  FailureOr<int64_t> scalar = get(value);
  return succeeded(scalar) && loads.count(*scalar);
}

Value ScalarProgram::threads() {
  if (!threadsValue) {
    OpBuilder builder = OpBuilder::atBlockBegin(&func.getBody().front());
    threadsValue = UnrealizedConversionCastOp::create(builder, func.getLoc(),
                                                      builder.getIndexType(), ValueRange())
                       .getResult(0);
    known[threadsValue] = emit("threads", {});
  }
  return threadsValue;
}

FailureOr<int64_t> ScalarProgram::get(Value value) {
  auto it = known.find(value);
  if (it != known.end())
    return it->second;
  if (std::optional<int64_t> literal = getConstantIntValue(value))
    return known[value] = constant(*literal);
  if (!value.getDefiningOp())
    return emitError(value.getLoc(), "internal: an index value comes from nowhere");
  FailureOr<int64_t> scalar = compute(value.getDefiningOp());
  if (succeeded(scalar))
    known[value] = *scalar;
  return scalar;
}

FailureOr<int64_t> ScalarProgram::get(OpFoldResult value) {
  if (auto index = dyn_cast<Value>(value))
    return get(index);
  return constant(*getConstantIntValue(value));
}

void ScalarProgram::assume(Value argument, Value operand) {
  FailureOr<int64_t> scalar = get(operand);
  if (succeeded(scalar))
    known[argument] = *scalar;
}

static StringRef comparison(arith::CmpIPredicate predicate, bool &swap) {
  using P = arith::CmpIPredicate;
  swap = predicate == P::sgt || predicate == P::sge || predicate == P::ugt || predicate == P::uge;
  switch (predicate) {
  case P::eq:
    return "eq";
  case P::ne:
    return "ne";
  case P::slt:
  case P::sgt:
  case P::ult:
  case P::ugt:
    return "lt";
  default:
    return "le";
  }
}

FailureOr<int64_t> ScalarProgram::outputCapacity(int64_t output, int64_t axis) {
  Operation *terminator = func.getBody().front().getTerminator();
  OpFoldResult extent = extents.get(terminator->getOperand(output), axis);
  FailureOr<int64_t> scalar = extent ? get(extent) : FailureOr<int64_t>(failure());
  if (failed(scalar))
    return failure();
  return emit("out_capacity", {output, *scalar});
}

FailureOr<int64_t> ScalarProgram::compute(Operation *op) {
  if (auto dim = dyn_cast<tensor::DimOp>(op)) {
    std::optional<int64_t> axis = dim.getConstantIndex();
    auto arg = dyn_cast<BlockArgument>(dim.getSource());
    if (axis && arg) {
      auto bufferOf = [&](StringRef name) {
        return func.getArgAttrOfType<DenseI64ArrayAttr>(arg.getArgNumber(), name);
      };
      if (auto buffer = bufferOf(kInputBufferAttr))
        return emit("in_capacity", {buffer[0], argumentDim(buffer[0], *axis)});
      if (auto buffer = bufferOf(kOutputBufferAttr))
        return outputCapacity(buffer[1], *axis);
      return emit("dim", {arg.getArgNumber(), *axis});
    }
    OpFoldResult extent = axis ? extents.get(dim.getSource(), *axis) : OpFoldResult();
    if (!extent)
      return op->emitError("internal: the host program asks for an unknown extent");
    if (auto value = dyn_cast<Value>(extent))
      return get(value);
    return constant(*getConstantIntValue(extent));
  }
  SmallVector<int64_t> operands;
  for (Value operand : op->getOperands()) {
    FailureOr<int64_t> scalar = get(operand);
    if (failed(scalar))
      return failure();
    operands.push_back(*scalar);
  }
  if (isCast(op))
    return operands[0];
  if (StringRef name = mnemonic(op); !name.empty())
    return instruction(name, {operands[0], operands[1]});
  if (std::optional<PowerOfTwo> power = asPowerOfTwo(op))
    return instruction(power->op, {operands[0], constant(power->operand)});
  if (isNegation(op))
    return instruction("eq", {operands[0], constant(0)});
  if (auto cmp = dyn_cast<arith::CmpIOp>(op)) {
    bool swap;
    StringRef name = comparison(cmp.getPredicate(), swap);
    if (swap)
      std::swap(operands[0], operands[1]);
    return instruction(name, {operands[0], operands[1]});
  }
  if (isa<arith::SelectOp>(op))
    return instruction("select", {operands[0], operands[1], operands[2]});
  auto affine = [&](AffineMap map, StringRef combine) -> FailureOr<int64_t> {
    ArrayRef<int64_t> all = operands;
    FailureOr<int64_t> total = failure();
    for (AffineExpr expr : map.getResults()) {
      FailureOr<int64_t> part =
          apply(expr, all.take_front(map.getNumDims()), all.drop_front(map.getNumDims()));
      if (failed(part))
        return failure();
      total = failed(total) ? *part : instruction(combine, {*total, *part});
    }
    return total;
  };
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op))
    return affine(apply.getAffineMap(), "");
  if (auto min = dyn_cast<affine::AffineMinOp>(op))
    return affine(min.getAffineMap(), "min");
  if (auto max = dyn_cast<affine::AffineMaxOp>(op))
    return affine(max.getAffineMap(), "max");
  return op->emitError("internal: the host program cannot compute this index value");
}

FailureOr<int64_t> ScalarProgram::apply(AffineExpr expr, ArrayRef<int64_t> dims,
                                        ArrayRef<int64_t> symbols) {
  if (auto literal = dyn_cast<AffineConstantExpr>(expr))
    return constant(literal.getValue());
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return dims[dim.getPosition()];
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return symbols[symbol.getPosition()];
  auto binary = cast<AffineBinaryOpExpr>(expr);
  FailureOr<int64_t> a = apply(binary.getLHS(), dims, symbols);
  FailureOr<int64_t> b = apply(binary.getRHS(), dims, symbols);
  if (failed(a) || failed(b))
    return failure();
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return instruction("add", {*a, *b});
  case AffineExprKind::Mul:
    return instruction("mul", {*a, *b});
  case AffineExprKind::Mod:
    return instruction("mod", {*a, *b});
  case AffineExprKind::FloorDiv:
    return instruction("floordiv", {*a, *b});
  default:
    return instruction("ceildiv", {*a, *b});
  }
}

FailureOr<std::vector<int64_t>> ScalarProgram::shapeOf(Value tensor) {
  std::vector<int64_t> shape;
  for (int64_t axis = 0; axis < cast<RankedTensorType>(tensor.getType()).getRank(); ++axis) {
    OpFoldResult extent = extents.get(tensor, axis);
    if (!extent)
      return failure();
    FailureOr<int64_t> scalar = get(extent);
    if (failed(scalar))
      return failure();
    shape.push_back(*scalar);
  }
  return shape;
}

} // namespace attune::codegen
