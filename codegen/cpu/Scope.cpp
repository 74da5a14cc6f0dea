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

//===--------------------------------------------------------------------------------------------===//
// Size
//===--------------------------------------------------------------------------------------------===//

/// Block arguments by number, then results in program order: the same for every run.
bool Size::Order::operator()(const Value &x, const Value &y) const {
  if (x == y)
    return false;
  auto argX = dyn_cast<BlockArgument>(x), argY = dyn_cast<BlockArgument>(y);
  if (argX && argY)
    return argX.getArgNumber() < argY.getArgNumber();
  if (argX || argY)
    return static_cast<bool>(argX);
  Operation *opX = x.getDefiningOp(), *opY = y.getDefiningOp();
  if (opX == opY)
    return cast<OpResult>(x).getResultNumber() < cast<OpResult>(y).getResultNumber();
  if (opX->getBlock() == opY->getBlock())
    return opX->isBeforeInBlock(opY);
  return x.getAsOpaquePointer() < y.getAsOpaquePointer();
}

bool Size::Order::operator()(const Product &x, const Product &y) const {
  return std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end(),
                                      [&](Value a, Value b) { return (*this)(a, b); });
}

Size::Size(int64_t constant) {
  if (constant != 0)
    terms[{}] = constant;
}

Size Size::atom(Value value) {
  Size size;
  size.terms[{value}] = 1;
  return size;
}

Size Size::operator+(const Size &other) const {
  Size sum = *this;
  for (const auto &[product, factor] : other.terms)
    if ((sum.terms[product] += factor) == 0)
      sum.terms.erase(product);
  return sum;
}

Size Size::operator-(const Size &other) const { return *this + other * Size(-1); }

Size Size::operator*(const Size &other) const {
  Size result;
  for (const auto &[x, fx] : terms)
    for (const auto &[y, fy] : other.terms) {
      Product product = x;
      product.append(y);
      llvm::sort(product, [](Value a, Value b) { return Order()(a, b); });
      if ((result.terms[product] += fx * fy) == 0)
        result.terms.erase(product);
    }
  return result;
}

std::optional<int64_t> Size::constant() const {
  if (terms.empty())
    return 0;
  if (terms.size() == 1 && terms.begin()->first.empty())
    return terms.begin()->second;
  return std::nullopt;
}

bool Size::multipleOf(int64_t factor) const {
  return llvm::all_of(terms, [&](auto &term) { return term.second % factor == 0; });
}

int64_t Size::at(llvm::function_ref<int64_t(Value)> valueOf) const {
  int64_t sum = 0;
  for (const auto &[product, factor] : terms) {
    int64_t term = factor;
    for (Value atom : product)
      term *= valueOf(atom);
    sum += term;
  }
  return sum;
}

std::optional<Size> Size::dividedBy(const Size &divisor) const {
  if (divisor.terms.size() != 1)
    return std::nullopt;
  const auto &[below, factor] = *divisor.terms.begin();
  Size quotient;
  for (const auto &[product, coefficient] : terms) {
    Product rest = product;
    for (Value atom : below) {
      auto *it = llvm::find(rest, atom);
      if (it == rest.end())
        return std::nullopt;
      rest.erase(it);
    }
    if (coefficient % factor != 0)
      return std::nullopt;
    quotient.terms[rest] = coefficient / factor;
  }
  return quotient;
}

SmallVector<Size> rowMajorStrides(ArrayRef<Size> extents) {
  SmallVector<Size> strides(extents.size());
  Size stride(1);
  for (int64_t axis = static_cast<int64_t>(extents.size()) - 1; axis >= 0; --axis) {
    strides[axis] = stride;
    stride = stride * extents[axis];
  }
  return strides;
}

Size product(ArrayRef<Size> sizes) {
  Size result(1);
  for (const Size &size : sizes)
    result = result * size;
  return result;
}

//===--------------------------------------------------------------------------------------------===//
// Sizes
//===--------------------------------------------------------------------------------------------===//

std::optional<int64_t> Sizes::inputNumber(Value value) const {
  auto arg = dyn_cast<BlockArgument>(value);
  KernelOp op = kernel;
  if (!arg || arg.getOwner() != &op.getBody().front() ||
      arg.getArgNumber() >= op.getInputs().size())
    return std::nullopt;
  return arg.getArgNumber();
}

MaybeSize Sizes::of(OpFoldResult index) const {
  if (std::optional<int64_t> constant = getConstantIntValue(index))
    return Size(*constant);
  if (auto value = dyn_cast<Value>(index))
    return of(value);
  return std::nullopt;
}

MaybeSize Sizes::of(Value index) const {
  auto it = memo.find(index);
  if (it != memo.end())
    return it->second;
  MaybeSize size = compute(index);
  memo[index] = size;
  return size;
}

bool Sizes::isScalarCode(Value value) const {
  if (isa<ShapedType>(value.getType()))
    return false;
  KernelOp op = kernel;
  if (auto arg = dyn_cast<BlockArgument>(value))
    return arg.getOwner() == &op.getBody().front();
  Operation *producer = value.getDefiningOp();
  if (auto dim = dyn_cast<tensor::DimOp>(producer))
    return dim.getConstantIndex() && extent(dim.getSource(), *dim.getConstantIndex());
  if (!isa<arith::ArithDialect, affine::AffineDialect>(producer->getDialect()) ||
      producer->getNumRegions() != 0)
    return false;
  return llvm::all_of(producer->getOperands(), [&](Value v) { return isScalarCode(v); });
}

/// An affine expression as a polynomial, if it is one.
static MaybeSize polynomial(AffineExpr expr, ArrayRef<MaybeSize> dims,
                            ArrayRef<MaybeSize> symbols) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return Size(constant.getValue());
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return dims[dim.getPosition()];
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return symbols[symbol.getPosition()];
  auto binary = cast<AffineBinaryOpExpr>(expr);
  MaybeSize x = polynomial(binary.getLHS(), dims, symbols);
  MaybeSize y = polynomial(binary.getRHS(), dims, symbols);
  if (!x || !y)
    return std::nullopt;
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return *x + *y;
  case AffineExprKind::Mul:
    return *x * *y;
  case AffineExprKind::FloorDiv:
  case AffineExprKind::CeilDiv:
    return x->dividedBy(*y);
  default:
    return std::nullopt;
  }
}

MaybeSize Sizes::compute(Value index) const {
  if (std::optional<int64_t> constant = getConstantIntValue(index))
    return Size(*constant);
  Operation *op = index.getDefiningOp();
  if (!op)
    return isScalarCode(index) ? MaybeSize(Size::atom(index)) : std::nullopt;
  auto operand = [&](unsigned i) { return of(op->getOperand(i)); };
  if (auto dim = dyn_cast<tensor::DimOp>(op))
    return dim.getConstantIndex() ? extent(dim.getSource(), *dim.getConstantIndex()) : std::nullopt;
  if (!isScalarCode(index))
    return std::nullopt;
  MaybeSize size;
  if (isa<arith::IndexCastOp>(op) && op->getOperand(0).getType().isIndex())
    return index.getType().isInteger(64) ? operand(0) : Size::atom(index);
  if (index.getType().isIndex() || index.getType().isInteger(64)) {
    if (isa<arith::AddIOp>(op))
      size = *operand(0) + *operand(1);
    else if (isa<arith::SubIOp>(op))
      size = *operand(0) - *operand(1);
    else if (isa<arith::MulIOp>(op))
      size = *operand(0) * *operand(1);
    else if (isa<arith::DivSIOp, arith::DivUIOp, arith::FloorDivSIOp, arith::CeilDivSIOp>(op))
      size = operand(0)->dividedBy(*operand(1));
    else if (isa<arith::IndexCastOp>(op) && op->getOperand(0).getType().isInteger(64))
      size = operand(0);
  }
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op)) {
    SmallVector<MaybeSize> values;
    for (Value value : apply.getMapOperands())
      values.push_back(of(value));
    AffineMap map = apply.getAffineMap();
    ArrayRef<MaybeSize> all(values);
    size = polynomial(map.getResult(0), all.take_front(map.getNumDims()),
                      all.drop_front(map.getNumDims()));
  }
  return size ? size : Size::atom(index);
}

MaybeSize Sizes::extent(Value tensor, int64_t axis) const {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(axis))
    return Size(type.getDimSize(axis));
  KernelOp owner = kernel;
  if (std::optional<int64_t> number = inputNumber(tensor)) {
    int64_t position = 0;
    for (int64_t i = 0; i < *number; ++i)
      position += cast<RankedTensorType>(owner.getInputs()[i].getType()).getNumDynamicDims();
    position += type.getDynamicDimIndex(axis);
    int64_t dim = owner.getInputDims()[position];
    return of(owner.getBody().getArgument(owner.getInputs().size() + dim));
  }
  auto result = dyn_cast<OpResult>(tensor);
  if (!result)
    return std::nullopt;
  Operation *op = result.getOwner();
  if (auto empty = dyn_cast<tensor::EmptyOp>(op))
    return of(empty.getDynamicSize(axis));
  if (auto cast = dyn_cast<tensor::CastOp>(op))
    return extent(cast.getSource(), axis);
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
    return of(expand.getMixedOutputShape()[axis]);
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    Size size(1);
    SmallVector<ReassociationIndices> groups = collapse.getReassociationIndices();
    for (int64_t source : groups[axis]) {
      MaybeSize factor = extent(collapse.getSrc(), source);
      if (!factor)
        return std::nullopt;
      size = size * *factor;
    }
    return size;
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    int64_t position = -1;
    for (unsigned i = 0; i < dropped.size(); ++i)
      if (!dropped[i] && ++position == axis)
        return of(slice.getMixedSizes()[i]);
    return std::nullopt;
  }
  if (auto insert = dyn_cast<tensor::InsertSliceOp>(op))
    return extent(insert.getDest(), axis);
  if (auto pad = dyn_cast<tensor::PadOp>(op)) {
    MaybeSize low = of(pad.getMixedLowPad()[axis]), high = of(pad.getMixedHighPad()[axis]);
    MaybeSize source = extent(pad.getSource(), axis);
    return low && high && source ? MaybeSize(*low + *high + *source) : std::nullopt;
  }
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    Size sum(0);
    for (Value input : concat.getInputs()) {
      MaybeSize size = extent(input, axis);
      if (static_cast<int64_t>(concat.getDim()) != axis && size)
        return size;
      if (!size)
        return std::nullopt;
      sum = sum + *size;
    }
    return sum;
  }
  if (auto generate = dyn_cast<tensor::GenerateOp>(op))
    return of(generate.getDynamicExtents()[type.getDynamicDimIndex(axis)]);
  if (auto splat = dyn_cast<tensor::SplatOp>(op))
    return of(splat.getDynamicSizes()[type.getDynamicDimIndex(axis)]);
  if (auto styled = dyn_cast<DestinationStyleOpInterface>(op))
    return extent(styled.getTiedOpOperand(result)->get(), axis);
  if (auto attention = dyn_cast<AttentionOp>(op)) {
    Value rows = attention.getQuery() ? attention.getQuery() : attention.getScores();
    if (axis < 3)
      return extent(rows, axis);
    return result == attention.getResult() ? extent(attention.getValue(), 3)
                                           : extent(attention.getValue(), 2);
  }
  if (auto linear = dyn_cast<LinearAttentionOp>(op)) {
    bool isRows = result == linear.getResult();
    if (axis < 2)
      return extent(isRows ? linear.getQuery() : linear.getKey(), axis);
    if (axis == 3)
      return extent(linear.getValue(), 3);
    if (isRows)
      return extent(linear.getQuery(), 2);
    MaybeSize depth = extent(linear.getKey(), 3), terms = Size(1);
    if (linear.getKeyPos())
      terms = extent(linear.getKeyPos(), 0);
    return depth && terms ? MaybeSize(*depth * *terms) : std::nullopt;
  }
  if (isa<NormOp, ScanOp>(op) && result.getResultNumber() == 0)
    return extent(op->getOperand(0), axis);
  if (auto contract = dyn_cast<ContractOp>(op))
    return extent(contract.getInit(), axis);
  if (auto ema = dyn_cast<EmaOp>(op)) {
    if (result == ema.getResult())
      return extent(ema.getInput(), axis);
    return axis == 2 ? extent(ema.getDecay(), 1) : extent(ema.getInput(), axis * 2);
  }
  if (auto toeplitz = dyn_cast<ToeplitzOp>(op); toeplitz && (axis != 1 || toeplitz.isCausal()))
    return extent(toeplitz.getInput(), axis);
  if (auto dft = dyn_cast<DftOp>(op); dft && axis != static_cast<int64_t>(dft.getAxis()))
    return extent(dft.getInput(), axis);
  return yieldedExtent(result, axis);
}

/// What the kernel says about its own results.
MaybeSize Sizes::yieldedExtent(OpResult result, int64_t axis) const {
  KernelOp owner = kernel;
  int64_t position = 0;
  for (Value yielded : owner.getBody().front().getTerminator()->getOperands()) {
    auto type = cast<RankedTensorType>(yielded.getType());
    if (yielded == result) {
      Value dim = owner.getResultDims()[position + type.getDynamicDimIndex(axis)];
      int64_t number = llvm::find(owner.getDims(), dim) - owner.getDims().begin();
      return of(owner.getBody().getArgument(owner.getInputs().size() + number));
    }
    position += type.getNumDynamicDims();
  }
  return std::nullopt;
}

std::optional<SmallVector<Size>> Sizes::extents(Value tensor) const {
  SmallVector<Size> result;
  for (int64_t axis = 0; axis < cast<RankedTensorType>(tensor.getType()).getRank(); ++axis) {
    MaybeSize size = extent(tensor, axis);
    if (!size)
      return std::nullopt;
    result.push_back(*size);
  }
  return result;
}

std::optional<SmallVector<Size>> Sizes::rowMajor(Value tensor) const {
  std::optional<SmallVector<Size>> sizes = extents(tensor);
  if (!sizes)
    return std::nullopt;
  return rowMajorStrides(*sizes);
}

//===--------------------------------------------------------------------------------------------===//
// Emitted values
//===--------------------------------------------------------------------------------------------===//

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
