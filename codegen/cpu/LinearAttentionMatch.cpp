#include "attune/codegen/cpu/LinearAttentionMatch.h"

#include "attune/codegen/cpu/Lanes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {

/// Rows of features and values are unrolled in part.
static constexpr int64_t kMaxKeyDim = 512, kMaxFeatures = 1024, kMaxValueDim = 1024;

bool LinearAttentionMatch::readStored(Value tensor, std::optional<Operand> &operand) {
  return readOperand(sizes, tensor, operand) && (!operand || isStorage(operand->element));
}

bool LinearAttentionMatch::readScalar(Value value, std::optional<Scalar> &scalar) {
  if (!value)
    return true;
  scalar.emplace();
  FloatAttr attr;
  if (matchPattern(value, m_Constant(&attr))) {
    scalar->constant = attr.getValueAsDouble();
    return true;
  }
  auto extract = value.getDefiningOp<tensor::ExtractOp>();
  if (!extract || !readStored(extract.getTensor(), scalar->operand))
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
bool LinearAttentionMatch::readResults() {
  auto slotOf = [&](OpResult value) -> std::optional<AttentionOperand> * {
    auto owner = dyn_cast<LinearAttentionOp>(value.getOwner());
    if (!owner || (op && op != owner))
      return nullptr;
    op = owner;
    return value == op.getResult()       ? &result
           : value == op.getFinalState() ? &finalState
                                         : &finalNorm;
  };
  return codegen::readResults(sizes, slotOf) && result.has_value();
}

bool LinearAttentionMatch::readOperands() {
  if (!readStored(op.getQuery(), query) || !readStored(op.getKey(), key) ||
      !readStored(op.getValue(), value) || !readStored(op.getQueryPos(), queryPos) ||
      !readStored(op.getKeyPos(), keyPos) || !readStored(op.getToeplitz(), toeplitz) ||
      !readStored(op.getDecay(), decay) || !readStored(op.getBeta(), beta) ||
      !readStored(op.getKeyMask(), keyMask) || !readStored(op.getInitState(), initState) ||
      !readStored(op.getInitNorm(), initNorm) || !readScalar(op.getMu(), mu) ||
      !readScalar(op.getStep(), step))
    return false;
  // One vector of coefficients for all heads.
  if (toeplitz && toeplitz->strides.size() == 1)
    toeplitz->strides.insert(toeplitz->strides.begin(), Size(0));
  return true;
}

bool LinearAttentionMatch::readShape() {
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

bool LinearAttentionMatch::readRegions() {
  return llvm::all_of(op->getRegions(), [&](Region &region) {
    return region.empty() || Lanes::supports(region.front(), sizes);
  });
}

bool LinearAttentionMatch::read() {
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
bool LinearAttentionMatch::readPrices() {
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

static Value numberOf(Scope &scope, const std::optional<LinearAttentionMatch::Scalar> &scalar) {
  KernelBuilder &kb = scope.kb;
  if (!scalar)
    return {};
  if (scalar->constant)
    return kb.constF(*scalar->constant);
  return scope.atEntry([&]() -> Value {
    AttentionTensor from = tensorOf(scope, scalar->operand);
    Value x = kb.load(from.element, from.base, from.offset);
    return x.getType().isF32() ? x : arith::ExtFOp::create(kb.b, kb.loc, kb.f32(), x).getResult();
  });
}

LinearAttentionValues LinearAttentionMatch::values(Scope &scope) const {
  LinearAttentionValues v;
  v.batch = scope.get(extents[0]);
  v.heads = scope.get(extents[1]);
  v.kvHeads = extents[1] == extents[2] ? v.heads : scope.get(extents[2]);
  v.queries = scope.get(extents[3]);
  v.keys = scope.get(extents[4]);
  for (auto [to, from] : {std::pair(&v.query, &query),
                          {&v.key, &key},
                          {&v.value, &value},
                          {&v.result, &result},
                          {&v.queryPos, &queryPos},
                          {&v.keyPos, &keyPos},
                          {&v.toeplitz, &toeplitz},
                          {&v.decay, &decay},
                          {&v.beta, &beta},
                          {&v.keyMask, &keyMask},
                          {&v.initState, &initState},
                          {&v.finalState, &finalState},
                          {&v.initNorm, &initNorm},
                          {&v.finalNorm, &finalNorm}})
    *to = tensorOf(scope, *from);
  v.mu = numberOf(scope, mu);
  v.step = numberOf(scope, step);
  return v;
}

} // namespace attune::codegen
