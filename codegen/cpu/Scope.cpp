#include "attune/codegen/cpu/Scope.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {

Value SizeEmitter::get(OpBuilder &b, Location loc, Value value) {
  Value &known = values[value];
  if (known)
    return known;
  Value made;
  if (auto arg = dyn_cast<BlockArgument>(value)) {
    KernelOp kernel = sizes.kernel;
    made = dim(arg.getArgNumber() - kernel.getInputs().size());
  } else if (auto dimOp = dyn_cast<tensor::DimOp>(value.getDefiningOp())) {
    made = get(b, loc, *sizes.extent(dimOp.getSource(), *dimOp.getConstantIndex()));
  } else {
    Operation *op = value.getDefiningOp();
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(get(b, loc, operand));
    if (auto apply = dyn_cast<affine::AffineApplyOp>(op)) {
      made = (*affine::expandAffineMap(b, loc, apply.getAffineMap(), operands))[0];
    } else if (isa<affine::AffineMinOp, affine::AffineMaxOp>(op)) {
      AffineMap map = isa<affine::AffineMinOp>(op) ? cast<affine::AffineMinOp>(op).getMap()
                                                   : cast<affine::AffineMaxOp>(op).getMap();
      auto results = affine::expandAffineMap(b, loc, map, operands);
      for (Value result : *results) {
        if (!made)
          made = result;
        else if (isa<affine::AffineMinOp>(op))
          made = arith::MinSIOp::create(b, loc, made, result);
        else
          made = arith::MaxSIOp::create(b, loc, made, result);
      }
    } else {
      IRMapping map;
      map.map(op->getOperands(), operands);
      made = b.clone(*op, map)->getResult(cast<OpResult>(value).getResultNumber());
    }
  }
  return values[value] = made;
}

Value SizeEmitter::get(OpBuilder &b, Location loc, const Size &size) {
  auto flags = arith::IntegerOverflowFlags::nsw;
  Value sum;
  for (const auto &[atoms, factor] : size.terms) {
    Value term;
    for (Value atom : atoms) {
      Value value = get(b, loc, atom);
      if (!value.getType().isIndex())
        value = arith::IndexCastOp::create(b, loc, b.getIndexType(), value);
      term = term ? b.createOrFold<arith::MulIOp>(loc, term, value, flags) : value;
    }
    if (!term)
      term = arith::ConstantIndexOp::create(b, loc, factor);
    else if (factor != 1)
      term = b.createOrFold<arith::MulIOp>(loc, term,
                                           arith::ConstantIndexOp::create(b, loc, factor), flags);
    sum = sum ? b.createOrFold<arith::AddIOp>(loc, sum, term, flags) : term;
  }
  return sum ? sum : arith::ConstantIndexOp::create(b, loc, 0).getResult();
}

Scope::Scope(const Sizes &sizes, KernelBuilder &kb, const KernelArgs &args)
    : sizes(sizes), kb(kb), args(args), emitter(sizes, [this](int64_t number) {
        Value &known = dims[number];
        if (!known)
          known = this->kb.dim(this->args, number);
        return known;
      }) {
  // A constant without use marks the place; it disappears with the first canonicalisation.
  anchor = kb.idx(0).getDefiningOp();
}

Value Scope::atEntry(llvm::function_ref<Value()> build) {
  OpBuilder::InsertionGuard guard(kb.b);
  kb.b.setInsertionPoint(anchor);
  return build();
}

Value Scope::get(Value value) {
  return atEntry([&] { return emitter.get(kb.b, kb.loc, value); });
}

Value Scope::get(const Size &size) {
  return atEntry([&] { return emitter.get(kb.b, kb.loc, size); });
}

Value Scope::extent(Value tensor, int64_t axis) { return get(*sizes.extent(tensor, axis)); }

Value Scope::buffer(int64_t number) {
  Value &known = buffers[number];
  if (!known)
    known = atEntry([&] { return kb.buffer(args, number); });
  return known;
}

Value Scope::output(int64_t number) {
  KernelOp kernel = sizes.kernel;
  return buffer(kernel.getInputs().size() + number);
}

Value Scope::scratch(int64_t number) {
  KernelOp kernel = sizes.kernel;
  return buffer(kernel.getInputs().size() + kernel.getNumResults() + number);
}

HostExpr hostExpr(KernelOp kernel, const Size &bytes, bool perWorker) {
  return [=](OpBuilder &b, Location loc, ValueRange dims, Value threads) -> Value {
    Sizes sizes(kernel);
    SizeEmitter emitter(sizes, [&](int64_t number) { return dims[number]; });
    Value value = emitter.get(b, loc, bytes);
    return perWorker ? b.createOrFold<arith::MulIOp>(loc, value, threads) : value;
  };
}

} // namespace attune::codegen
