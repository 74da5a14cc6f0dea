#include "attune/codegen/halide/Checks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SmallBitVector.h"

using namespace mlir;

namespace attune::codegen::halide {
namespace {

/// The assertions of one operator as an operator of their own, over no more loops than they need.
class CheckOp {
public:
  CheckOp(linalg::GenericOp op, ArrayRef<cf::AssertOp> asserts)
      : op(op), asserts(asserts), operands(op->getNumOperands()), loops(op.getNumLoops()) {}

  /// Null where it cannot be had.
  Value build() {
    for (cf::AssertOp assertion : asserts)
      if (!collect(assertion.getArg()))
        return nullptr;
    addExtents();
    return create();
  }

private:
  linalg::GenericOp op;
  ArrayRef<cf::AssertOp> asserts;
  llvm::SetVector<Operation *> needed; ///< of the body
  llvm::SmallBitVector operands, loops;

  void use(OpOperand &operand) {
    operands.set(operand.getOperandNumber());
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (unsigned loop = 0; loop < loops.size(); ++loop)
      if (map.isFunctionOfDim(loop))
        loops.set(loop);
  }

  bool collect(Value value) {
    if (auto arg = dyn_cast<BlockArgument>(value)) {
      if (arg.getOwner() != op.getBody())
        return true;
      if (arg.getArgNumber() >= op.getNumDpsInputs())
        return false;
      use(op->getOpOperand(arg.getArgNumber()));
      return true;
    }
    Operation *producer = value.getDefiningOp();
    if (producer->getBlock() != op.getBody() || needed.contains(producer))
      return true;
    if (auto index = dyn_cast<linalg::IndexOp>(producer))
      loops.set(index.getDim());
    if (!llvm::all_of(producer->getOperands(), [&](Value operand) { return collect(operand); }))
      return false;
    needed.insert(producer);
    return true;
  }

  /// Every loop needs an operand that it is an axis of.
  void addExtents() {
    auto isAxis = [&](OpOperand &operand, unsigned loop) {
      return llvm::is_contained(op.getMatchingIndexingMap(&operand).getResults(),
                                getAffineDimExpr(loop, op.getContext()));
    };
    for (unsigned loop = 0; loop < loops.size(); ++loop) {
      if (!loops.test(loop) || llvm::any_of(op->getOpOperands(), [&](OpOperand &operand) {
            return operands.test(operand.getOperandNumber()) && isAxis(operand, loop);
          }))
        continue;
      for (OpOperand &operand : op->getOpOperands())
        if (isAxis(operand, loop)) {
          use(operand);
          loop = 0;
          break;
        }
    }
  }

  Value create() {
    OpBuilder b(op);
    b.setInsertionPointAfter(op);
    Location loc = op.getLoc();
    SmallVector<AffineExpr> dims(loops.size(), b.getAffineConstantExpr(0));
    unsigned count = 0;
    for (unsigned loop : loops.set_bits())
      dims[loop] = b.getAffineDimExpr(count++);
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    for (unsigned number : operands.set_bits()) {
      OpOperand &operand = op->getOpOperand(number);
      inputs.push_back(operand.get());
      maps.push_back(op.getMatchingIndexingMap(&operand).replaceDimsAndSymbols(
          dims, {}, count, /*numResultSyms=*/0));
    }
    maps.push_back(AffineMap::get(count, 0, b.getContext()));
    auto type = RankedTensorType::get({}, b.getI32Type());
    Value zero = arith::ConstantIntOp::create(b, loc, 0, 32);
    Value empty = tensor::EmptyOp::create(b, loc, type, ValueRange{});
    Value init = linalg::FillOp::create(b, loc, zero, empty).getResult(0);
    SmallVector<utils::IteratorType> kinds(count, utils::IteratorType::reduction);
    auto check = linalg::GenericOp::create(
        b, loc, type, inputs, init, maps, kinds, [&](OpBuilder &b, Location loc, ValueRange args) {
          IRMapping map;
          for (auto [arg, number] : llvm::zip(args, operands.set_bits()))
            map.map(op.getBody()->getArgument(number), arg);
          cloneBody(b, map);
          Value failed = args.back();
          Value one = arith::ConstantIntOp::create(b, loc, 1, 32);
          Value none = arith::ConstantIntOp::create(b, loc, 0, 32);
          Value any = none;
          for (cf::AssertOp assertion : asserts)
            any =
                arith::SelectOp::create(b, loc, map.lookupOrDefault(assertion.getArg()), any, one);
          failed = arith::MaxSIOp::create(b, loc, failed, any);
          linalg::YieldOp::create(b, loc, failed);
        });
    return check.getResult(0);
  }

  void cloneBody(OpBuilder &b, IRMapping &map) {
    for (Operation &inner : op.getBody()->without_terminator()) {
      if (!needed.contains(&inner))
        continue;
      Operation *copy = b.clone(inner, map);
      if (auto index = dyn_cast<linalg::IndexOp>(copy)) {
        unsigned before = index.getDim(), position = 0;
        for (unsigned loop : loops.set_bits())
          position += loop < before;
        index.setDim(position);
      }
    }
  }
};

/// Both, as a scalar tensor.
Value either(OpBuilder &b, Location loc, Value first, Value second) {
  AffineMap scalar = AffineMap::get(0, 0, b.getContext());
  AffineMap maps[] = {scalar, scalar, scalar};
  Value empty = tensor::EmptyOp::create(b, loc, first.getType(), ValueRange{});
  return linalg::GenericOp::create(b, loc, first.getType(), ValueRange{first, second}, empty, maps,
                                   ArrayRef<utils::IteratorType>(),
                                   [](OpBuilder &b, Location loc, ValueRange args) {
                                     linalg::YieldOp::create(
                                         b, loc,
                                         Value(arith::MaxSIOp::create(b, loc, args[0], args[1])));
                                   })
      .getResult(0);
}

} // namespace

bool moveChecksToResult(func::FuncOp func) {
  SmallVector<linalg::GenericOp> ops(func.getOps<linalg::GenericOp>());
  Operation *end = func.getBody().front().getTerminator();
  Value all;
  for (linalg::GenericOp op : ops) {
    SmallVector<cf::AssertOp> asserts(op.getBody()->getOps<cf::AssertOp>());
    Value failed = asserts.empty() ? nullptr : CheckOp(op, asserts).build();
    if (!failed)
      continue;
    for (cf::AssertOp assertion : asserts)
      assertion.erase();
    OpBuilder b(end);
    all = all ? either(b, op.getLoc(), all, failed) : failed;
  }
  if (!all)
    return false;
  end->insertOperands(end->getNumOperands(), all);
  func.setFunctionType(
      FunctionType::get(func.getContext(), func.getArgumentTypes(), end->getOperandTypes()));
  return true;
}

} // namespace attune::codegen::halide
