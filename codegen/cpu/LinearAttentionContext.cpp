#include "attune/codegen/cpu/LinearAttentionForms.h"

using namespace mlir;

namespace attune::codegen {

LinearTile LinearTile::of(const CpuTarget &target) {
  if (target.registers >= 32)
    return {16, 1, 64};
  return {6, 2, 64};
}

bool LinearAttentionSpec::allows(Form form) const {
  switch (form) {
  case Form::Auto:
    return true;
  case Form::Quadratic:
    return update == Update::Sum && !state && !norms && !stateMap;
  case Form::Linear:
    return !causal && !toeplitz;
  case Form::Chunked:
    return causal && !toeplitz && !delta() && !featureGates && update != Update::AdaptiveMomentum;
  case Form::Recurrent:
    return causal && !toeplitz;
  case Form::Fft:
    return false;
  }
  return false;
}

Form LinearAttentionSpec::usualForm() const {
  if (!causal)
    return allows(Form::Linear) ? Form::Linear : Form::Quadratic;
  if (momentum() && allows(Form::Chunked))
    return Form::Chunked;
  return allows(Form::Recurrent) ? Form::Recurrent : Form::Quadratic;
}

//===- Elements
//-----------------------------------------------------------------------------------===//

Value LinearContext::at(const AttentionTensor &tensor, ArrayRef<Value> index) const {
  Value offset = tensor.offset;
  for (auto [axis, i] : llvm::enumerate(index)) {
    if (!i)
      continue;
    Value step = kb.mul(i, tensor.strides[axis]);
    offset = offset ? kb.add(offset, step) : step;
  }
  return kb.gep(tensor.base, offset, tensor.element);
}

Value LinearContext::number(const AttentionTensor &tensor, ArrayRef<Value> index) const {
  return toF32(kb, kb.load(tensor.element, at(tensor, index)));
}

Value LinearContext::group() const {
  return values.heads == values.kvHeads ? kb.idx(1) : kb.div(values.heads, values.kvHeads);
}

void LinearContext::forVectors(int64_t extent,
                               llvm::function_ref<void(int64_t, int64_t)> body) const {
  for (int64_t first = 0; first < extent; first += kb.lanes())
    body(first, std::min(kb.lanes(), extent - first));
}

Value LinearContext::loadRow(const AttentionTensor &tensor, Value address, Value stride,
                             int64_t first, int64_t count) const {
  VectorType type = kb.vec(kb.lanes(), tensor.element);
  if (isStride(stride, 1)) {
    Value x = count == kb.lanes() ? kb.load(type, address, kb.idx(first))
                                  : kb.loadPartial(type, address, kb.idx(first), kb.idx(count));
    return toF32(kb, x);
  }
  Value x = kb.constF(0, kb.vec());
  for (int64_t l = 0; l < count; ++l) {
    Value element = toF32(kb, kb.load(tensor.element, address, kb.mul(stride, first + l)));
    x = vector::InsertOp::create(kb.b, kb.loc, element, x, ArrayRef<int64_t>{l});
  }
  return x;
}

void LinearContext::storeRow(Value vector, const AttentionTensor &tensor, Value address,
                             Value stride, int64_t first, int64_t count) const {
  Value x = fromF32(kb, vector, tensor.element);
  if (!isStride(stride, 1)) {
    for (int64_t l = 0; l < count; ++l)
      kb.store(vector::ExtractOp::create(kb.b, kb.loc, x, ArrayRef<int64_t>{l}), address,
               kb.mul(stride, first + l));
  } else if (count == kb.lanes()) {
    kb.store(x, address, kb.idx(first));
  } else {
    kb.storePartial(x, address, kb.idx(first), kb.idx(count));
  }
}

Value LinearContext::loadColumns(const AttentionTensor &tensor, Value row, Value first,
                                 int64_t columns, int64_t v) const {
  int64_t lanes = kb.lanes();
  Value stride = tensor.strides[3], from = kb.gep(row, kb.mul(first, stride), tensor.element);
  if (spec.valueDim % columns == 0)
    return loadRow(tensor, from, stride, v * lanes, lanes);
  Value left = kb.sub(kb.idx(spec.valueDim - v * lanes), first);
  Value count = kb.max(kb.idx(0), kb.min(kb.idx(lanes), left));
  if (isStride(stride, 1))
    return toF32(kb, kb.loadPartial(kb.vec(lanes, tensor.element), from, kb.idx(v * lanes), count));
  Value x = kb.constF(0, kb.vec()), last = kb.sub(kb.idx(spec.valueDim - 1), first);
  for (int64_t l = 0; l < lanes; ++l) {
    Value at = kb.mul(kb.min(kb.idx(v * lanes + l), last), stride);
    x = vector::InsertOp::create(kb.b, kb.loc, toF32(kb, kb.load(tensor.element, from, at)), x,
                                 ArrayRef<int64_t>{l});
  }
  return x;
}

void LinearContext::storeColumns(Value x, const AttentionTensor &tensor, Value row, Value first,
                                 int64_t columns, int64_t v) const {
  int64_t lanes = kb.lanes();
  Value stride = tensor.strides[3], to = kb.gep(row, kb.mul(first, stride), tensor.element);
  if (spec.valueDim % columns == 0)
    return storeRow(x, tensor, to, stride, v * lanes, lanes);
  Value left = kb.sub(kb.idx(spec.valueDim - v * lanes), first);
  Value out = fromF32(kb, x, tensor.element);
  if (isStride(stride, 1)) {
    Value count = kb.max(kb.idx(0), kb.min(kb.idx(lanes), left));
    return kb.storePartial(out, to, kb.idx(v * lanes), count);
  }
  for (int64_t l = 0; l < lanes; ++l)
    kb.ifThen(kb.lt(kb.idx(l), left), [&] {
      kb.store(vector::ExtractOp::create(kb.b, kb.loc, out, ArrayRef<int64_t>{l}), to,
               kb.mul(stride, v * lanes + l));
    });
}

void LinearContext::features(const AttentionTensor &tensor, Value address,
                             const std::function<Value(KernelBuilder &, Value)> &map,
                             const AttentionTensor &pos, Value position, Value factor,
                             Value dst) const {
  // Ascending addresses: lanes past the end of a term are overwritten by the next one.
  for (int64_t r = 0; r < spec.terms; ++r) {
    Value scale = factor;
    if (pos) {
      scale = number(pos, {kb.idx(r), position});
      if (factor)
        scale = arith::MulFOp::create(kb.b, kb.loc, scale, factor);
    }
    forVectors(spec.keyDim, [&](int64_t first, int64_t count) {
      Value x = loadRow(tensor, address, tensor.strides[3], first, count);
      if (map)
        x = map(kb, x);
      if (scale)
        x = arith::MulFOp::create(kb.b, kb.loc, x, kb.splat(scale));
      kb.store(x, dst, kb.idx(r * spec.keyDim + first));
    });
  }
}

Value LinearContext::sumOf(Value x) const {
  int64_t lanes = cast<VectorType>(x.getType()).getNumElements();
  for (int64_t h = lanes / 2; h >= 1; h /= 2) {
    SmallVector<int64_t> swapped;
    for (int64_t lane = 0; lane < lanes; ++lane)
      swapped.push_back(lane ^ h);
    x = arith::AddFOp::create(kb.b, kb.loc, x,
                              vector::ShuffleOp::create(kb.b, kb.loc, x, x, swapped));
  }
  return vector::ExtractOp::create(kb.b, kb.loc, x, ArrayRef<int64_t>{0});
}

Value LinearContext::factor(Value sum, Value i) const {
  Value one = kb.constF(1), d;
  if (spec.norm == Weighting::Count) {
    Value count = spec.causal ? kb.add(i, 1) : values.keys;
    Value wide = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI64Type(), count);
    d = arith::SIToFPOp::create(kb.b, kb.loc, kb.f32(), wide);
  } else {
    Value eps = kb.constF(spec.eps);
    d = spec.epsMode == EpsMode::Add ? arith::AddFOp::create(kb.b, kb.loc, sum, eps).getResult()
                                     : maxDroppingNaN(kb, eps, sum);
  }
  return arith::DivFOp::create(kb.b, kb.loc, one, d);
}

} // namespace attune::codegen
