#include "attune/codegen/cost/FormCost.h"
#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/Lanes.h"
#include "attune/codegen/cpu/LinearAttention.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {

namespace {

/// Rows of features and values are unrolled in part.
constexpr int64_t kMaxKeyDim = 512, kMaxFeatures = 1024, kMaxValueDim = 1024;

/// A tensor of the kernel as strides over one of its buffers.
struct Operand {
  bool output = false;
  int64_t number = 0; ///< of the input or output
  Size offset;
  SmallVector<Size> strides;
  Type element;
};

/// A number that is the same in the whole kernel: a constant, or an element of an operand.
struct Scalar {
  std::optional<double> constant;
  std::optional<Operand> operand; ///< its offset is the element's
};

/// Scratch may start anywhere: so many bytes more.
constexpr int64_t kAlign = 64;

/// Everything about the kernel that code generation needs, found without changing it.
struct Plan {
  explicit Plan(KernelOp kernel) : sizes(kernel) {}
  Sizes sizes;
  LinearAttentionOp op;
  SmallVector<Size> extents; ///< batch, heads, kv heads, queries, keys
  SmallVector<Size> priceSizes;
  LinearAttentionSpec spec;
  std::optional<Operand> query, key, value, queryPos, keyPos, toeplitz, decay, beta, keyMask,
      initState, initNorm, result, finalState, finalNorm;
  std::optional<Scalar> mu, step;

  bool read();

private:
  bool readOperand(Value tensor, std::optional<Operand> &operand);
  bool readScalar(Value value, std::optional<Scalar> &scalar);
  bool readOperands();
  bool readResults();
  bool readShape();
  bool readRegions();
  bool readPrices();
};

bool isStorage(Type type) { return type.isF32() || type.isF16() || type.isBF16(); }

bool Plan::readOperand(Value tensor, std::optional<Operand> &operand) {
  if (!tensor)
    return true;
  Type element = cast<RankedTensorType>(tensor.getType()).getElementType();
  std::optional<View> view = readView(sizes, tensor);
  std::optional<int64_t> number = view ? sizes.inputNumber(view->root) : std::nullopt;
  if (!number || !isStorage(element))
    return false;
  operand = Operand{false, *number, view->offset, view->strides, element};
  return true;
}

bool Plan::readScalar(Value value, std::optional<Scalar> &scalar) {
  if (!value)
    return true;
  scalar.emplace();
  FloatAttr attr;
  if (matchPattern(value, m_Constant(&attr))) {
    scalar->constant = attr.getValueAsDouble();
    return true;
  }
  auto extract = value.getDefiningOp<tensor::ExtractOp>();
  if (!extract || !readOperand(extract.getTensor(), scalar->operand))
    return false;
  for (auto [index, stride] : llvm::zip(extract.getIndices(), scalar->operand->strides)) {
    MaybeSize at = sizes.of(index);
    if (!at)
      return false;
    scalar->operand->offset = scalar->operand->offset + *at * stride;
  }
  return true;
}

/// Every result of the kernel is one of the operator's, and each of those one of the kernel's.
bool Plan::readResults() {
  for (auto [number, yielded] : llvm::enumerate(sizes.kernel.getYield().getOperands())) {
    std::optional<SmallVector<Placement>> places = writeViews(sizes, yielded);
    if (!places || places->size() != 1)
      return false;
    Placement &place = places->front();
    Type element = cast<RankedTensorType>(yielded.getType()).getElementType();
    if (!op && place.value.getDefiningOp())
      op = dyn_cast<LinearAttentionOp>(place.value.getDefiningOp());
    if (!op || place.value.getDefiningOp() != op || !isStorage(element))
      return false;
    std::optional<Operand> &slot = place.value == op.getResult()       ? result
                                   : place.value == op.getFinalState() ? finalState
                                                                       : finalNorm;
    if (slot)
      return false;
    slot = Operand{true, static_cast<int64_t>(number), place.offset, place.strides, element};
  }
  return result.has_value();
}

bool Plan::readOperands() {
  if (!readOperand(op.getQuery(), query) || !readOperand(op.getKey(), key) ||
      !readOperand(op.getValue(), value) || !readOperand(op.getQueryPos(), queryPos) ||
      !readOperand(op.getKeyPos(), keyPos) || !readOperand(op.getToeplitz(), toeplitz) ||
      !readOperand(op.getDecay(), decay) || !readOperand(op.getBeta(), beta) ||
      !readOperand(op.getKeyMask(), keyMask) || !readOperand(op.getInitState(), initState) ||
      !readOperand(op.getInitNorm(), initNorm) || !readScalar(op.getMu(), mu) ||
      !readScalar(op.getStep(), step))
    return false;
  // One vector of coefficients for all heads.
  if (toeplitz && toeplitz->strides.size() == 1)
    toeplitz->strides.insert(toeplitz->strides.begin(), Size(0));
  return true;
}

bool Plan::readShape() {
  for (auto [tensor, axis] : {std::pair<Value, int64_t>(op.getQuery(), 0),
                              {op.getQuery(), 1},
                              {op.getKey(), 1},
                              {op.getQuery(), 2},
                              {op.getKey(), 2}}) {
    MaybeSize extent = sizes.extent(tensor, axis);
    if (!extent)
      return false;
    extents.push_back(*extent);
  }
  auto constant = [&](Value tensor, int64_t axis) {
    MaybeSize extent = sizes.extent(tensor, axis);
    return extent ? extent->constant().value_or(-1) : -1;
  };
  spec.keyDim = constant(op.getKey(), 3);
  spec.valueDim = constant(op.getValue(), 3);
  spec.terms = op.getQueryPos() ? constant(op.getQueryPos(), 0) : 1;
  return spec.keyDim >= 1 && spec.keyDim <= kMaxKeyDim && spec.valueDim >= 1 &&
         spec.valueDim <= kMaxValueDim && spec.terms >= 1 && spec.features() <= kMaxFeatures;
}

bool Plan::readRegions() {
  return llvm::all_of(op->getRegions(), [&](Region &region) {
    return region.empty() || Lanes::supports(region.front(), sizes);
  });
}

bool Plan::read() {
  if (!readResults() || !op.getAccumType().isF32() || !readOperands() || !readShape() ||
      !readRegions())
    return false;
  spec.causal = op.isCausal();
  spec.featureGates = op.hasFeatureGates();
  spec.state = initState || finalState;
  spec.norms = initNorm || finalNorm;
  spec.update = op.getUpdate();
  spec.norm = op.getNorm();
  spec.eps = op.getEps() ? op.getEps()->convertToDouble() : 0;
  spec.epsMode = op.getEpsMode();
  spec.den = op.getDen();
  spec.toeplitz = toeplitz.has_value();
  spec.form = op.getForm();
  if (spec.norm == Weighting::Softmax)
    return false;
  if (spec.form != Form::Auto)
    return spec.allows(spec.form) && (spec.form != Form::Quadratic || op.getState().empty());
  return readPrices();
}

/// Sizes that the prices of forms depend on; forms that only the operator has are left out.
bool Plan::readPrices() {
  FormPricesAttr prices = op.getFormPricesAttr();
  if (!prices)
    return true;
  ArrayRef<int64_t> refs = prices.getSizes();
  for (size_t i = 0; i < refs.size(); i += 2) {
    int64_t number = refs[i] - op->getNumOperands();
    if (number >= static_cast<int64_t>(op->getNumResults()))
      return false;
    Value tensor = number < 0 ? op->getOperand(refs[i]) : Value(op->getResult(number));
    auto type = dyn_cast<RankedTensorType>(tensor.getType());
    MaybeSize size =
        type && refs[i + 1] < type.getRank() ? sizes.extent(tensor, refs[i + 1]) : std::nullopt;
    if (!size)
      return false;
    priceSizes.push_back(*size);
  }
  return llvm::all_of(prices.getForms(), [&](Form form) { return spec.allows(form); });
}

//===- Emission
//-----------------------------------------------------------------------------------===//

/// What belongs to the function being built.
struct Function {
  Function(const Sizes &sizes, KernelBuilder &kb, const KernelArgs &args)
      : scope(sizes, kb, args), lanes(scope, kb.lanes()) {}
  Scope scope;
  Lanes lanes;
};

class Emission {
public:
  Emission(Plan &plan, const CpuTarget &target) : plan(plan), target(target) {}
  FailureOr<EmittedKernel> run(ModuleOp module, StringRef symbol);

private:
  Plan &plan;
  const CpuTarget &target;
  std::unique_ptr<Function> function;
  bool failed = false;

  LinearAttentionValues values(KernelBuilder &kb, const KernelArgs &args);
  AttentionTensor tensor(const std::optional<Operand> &operand);
  Value number(KernelBuilder &kb, const std::optional<Scalar> &scalar);
  Value price(KernelBuilder &kb, AffineExpr price);
  std::function<Value(KernelBuilder &, Value)> map(Region &region);
};

AttentionTensor Emission::tensor(const std::optional<Operand> &operand) {
  AttentionTensor result;
  if (!operand)
    return result;
  Scope &scope = function->scope;
  result.base = operand->output ? scope.output(operand->number) : scope.input(operand->number);
  result.offset = scope.get(operand->offset);
  result.element = operand->element;
  for (auto [axis, stride] : llvm::enumerate(operand->strides))
    result.strides[axis] = scope.get(stride);
  for (size_t axis = operand->strides.size(); axis < 4; ++axis)
    result.strides[axis] = scope.get(Size(0));
  return result;
}

Value Emission::number(KernelBuilder &kb, const std::optional<Scalar> &scalar) {
  if (!scalar)
    return {};
  if (scalar->constant)
    return kb.constF(*scalar->constant);
  return function->scope.atEntry([&]() -> Value {
    AttentionTensor from = tensor(scalar->operand);
    Value x = kb.load(from.element, from.base, from.offset);
    return x.getType().isF32() ? x : arith::ExtFOp::create(kb.b, kb.loc, kb.f32(), x).getResult();
  });
}

LinearAttentionValues Emission::values(KernelBuilder &kb, const KernelArgs &args) {
  function = std::make_unique<Function>(plan.sizes, kb, args);
  Scope &scope = function->scope;
  LinearAttentionValues v;
  v.batch = scope.get(plan.extents[0]);
  v.heads = scope.get(plan.extents[1]);
  v.kvHeads = plan.extents[1] == plan.extents[2] ? v.heads : scope.get(plan.extents[2]);
  v.queries = scope.get(plan.extents[3]);
  v.keys = scope.get(plan.extents[4]);
  for (auto [to, from] : {std::pair(&v.query, &plan.query),
                          {&v.key, &plan.key},
                          {&v.value, &plan.value},
                          {&v.result, &plan.result},
                          {&v.queryPos, &plan.queryPos},
                          {&v.keyPos, &plan.keyPos},
                          {&v.toeplitz, &plan.toeplitz},
                          {&v.decay, &plan.decay},
                          {&v.beta, &plan.beta},
                          {&v.keyMask, &plan.keyMask},
                          {&v.initState, &plan.initState},
                          {&v.finalState, &plan.finalState},
                          {&v.initNorm, &plan.initNorm},
                          {&v.finalNorm, &plan.finalNorm}})
    *to = tensor(*from);
  v.mu = number(kb, plan.mu);
  v.step = number(kb, plan.step);
  return v;
}

Value Emission::price(KernelBuilder &kb, AffineExpr price) {
  SmallVector<Value> sizes;
  for (const Size &size : plan.priceSizes)
    sizes.push_back(function->scope.get(size));
  return emitPrice(kb.b, kb.loc, price, sizes);
}

std::function<Value(KernelBuilder &, Value)> Emission::map(Region &region) {
  if (region.empty())
    return {};
  return [this, &region](KernelBuilder &, Value x) {
    FailureOr<SmallVector<Lane>> cloned = function->lanes.clone(region.front(), {Lane(x)});
    failed |= mlir::failed(cloned);
    return succeeded(cloned) ? function->lanes.vector(cloned->front()) : x;
  };
}

FailureOr<EmittedKernel> Emission::run(ModuleOp module, StringRef symbol) {
  KernelOp kernel = plan.sizes.kernel;
  KernelBuilder kb(plan.op.getLoc(), target);
  LinearAttentionSpec &spec = plan.spec;
  spec.values = [&](KernelBuilder &kb, const KernelArgs &args) { return values(kb, args); };
  spec.status = [&](KernelBuilder &) { return function->lanes.error(); };
  spec.phiQ = map(plan.op.getPhiQ());
  spec.phiK = map(plan.op.getPhiK());
  spec.stateMap = map(plan.op.getState());
  if (FormPricesAttr prices = plan.op.getFormPricesAttr(); prices && spec.form == Form::Auto)
    for (auto [form, expr] : llvm::zip(prices.getForms(), prices.getPrices().getResults()))
      spec.prices.push_back(
          {form, [this, expr = expr](KernelBuilder &kb) { return price(kb, expr); }});
  int64_t scratchBuffer = kernel.getInputs().size() + kernel.getNumResults();
  LinearAttentionScratch scratch = emitLinearAttention(kb, module, symbol, spec, scratchBuffer);
  if (failed)
    return kernel.emitError("internal error: feature map was accepted but cannot be emitted");
  auto bytes = [](OpBuilder &b, Location loc, Value count, int64_t each) -> Value {
    auto constant = [&](int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); };
    Value all = arith::MulIOp::create(b, loc, count, constant(each));
    return arith::AddIOp::create(b, loc, all, constant(kAlign));
  };
  EmittedKernel emitted;
  emitted.scratch.push_back([=](OpBuilder &b, Location loc, ValueRange, Value threads) {
    return bytes(b, loc, threads, scratch.perWorker);
  });
  // A task reads the state of its head, or of some of its columns, before it writes it.
  auto inPlace = [&](const std::optional<Operand> &from, Value init,
                     const std::optional<Operand> &to, Value last) {
    if (from && to && isSameLayout(plan.sizes, init, {last, to->offset, to->strides}))
      emitted.inPlace.push_back({from->number, to->number, 0});
  };
  inPlace(plan.initState, plan.op.getInitState(), plan.finalState, plan.op.getFinalState());
  inPlace(plan.initNorm, plan.op.getInitNorm(), plan.finalNorm, plan.op.getFinalNorm());
  if (scratch.perHead) {
    Size heads = plan.extents[0] * plan.extents[2] + Size(scratch.heads);
    emitted.scratch.push_back(hostExpr(kernel, heads * Size(scratch.perHead) + Size(kAlign)));
  }
  return emitted;
}

struct LinearAttentionEmitter : KernelEmitter {
  StringRef name() const override { return "linear_attention"; }
  bool matches(KernelOp op, const CpuTarget &) const override { return Plan(op).read(); }
  KernelPlan plan(KernelOp op, const CpuTarget &target, IndexValues valueOf) const override {
    KernelPlan result = KernelEmitter::plan(op, target, valueOf);
    Plan plan(op);
    if (!plan.read())
      return result;
    SmallVector<Form> forms{plan.spec.form};
    if (plan.spec.form == Form::Auto) {
      FormPricesAttr prices = plan.op.getFormPricesAttr();
      forms = prices ? SmallVector<Form>(prices.getForms()) : SmallVector{plan.spec.usualForm()};
    }
    LinearAttentionScratch scratch = linearAttentionScratch(plan.spec, forms, target);
    double heads = plan.extents[0].at(valueOf) * plan.extents[2].at(valueOf) + scratch.heads;
    result.scratch.push_back({kAlign, static_cast<double>(scratch.perWorker)});
    if (scratch.perHead)
      result.scratch.push_back({heads * scratch.perHead + kAlign, 0});
    result.visited = visitedPart(plan, valueOf);
    return result;
  }

  /// Where the length is not known, the work counts whole chunks, and a state for the first one.
  static double visitedPart(const Plan &plan, IndexValues valueOf) {
    LinearAttentionOp op = plan.op;
    if (op.getForm() != Form::Chunked || !cast<ShapedType>(op.getKey().getType()).isDynamicDim(2))
      return 1;
    constexpr double kChunk = 64;
    double length = plan.extents[4].at(valueOf), first = std::min(length, kChunk);
    double keyDim = cast<ShapedType>(op.getKey().getType()).getDimSize(3),
           valueDim = cast<ShapedType>(op.getValue().getType()).getDimSize(3);
    if (length <= 0 || keyDim <= 0 || valueDim <= 0)
      return 1;
    double state = 2 * keyDim * valueDim, inside = keyDim + valueDim;
    return (length * (first * inside + 2 * state) - (plan.initState ? 0 : first * state)) /
           (length * (kChunk * inside + 2 * state));
  }
  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Plan plan(op);
    if (!plan.read())
      return op.emitError("internal error: not a linear attention kernel");
    return Emission(plan, target).run(module, symbol);
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createLinearAttentionEmitter() {
  return std::make_unique<LinearAttentionEmitter>();
}

} // namespace attune::codegen
