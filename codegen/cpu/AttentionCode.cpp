#include "attune/codegen/cpu/AttentionPlan.h"
#include "attune/codegen/cpu/AttentionVector.h"

using namespace mlir;

namespace attune::codegen {

/// Elements of a vector of integers or floats; its only element serves for every index.
std::function<Value(Value)> AttentionCode::vectorOf(const std::optional<AttentionOperand> &operand,
                                                    Value extent) {
  if (!operand)
    return {};
  AttentionTensor vector = tensorOf(scope, operand);
  Value last = kb.sub(extent, kb.idx(1));
  return [&kb = kb, vector, last](Value number) -> Value {
    Value at = kb.add(kb.mul(kb.min(number, last), vector.strides[0]), vector.offset);
    Value x =
        kb.load(vector.element.isIndex() ? kb.b.getI64Type() : vector.element, vector.base, at);
    if (isa<IntegerType>(x.getType()))
      return arith::IndexCastOp::create(kb.b, kb.loc, kb.index(), x);
    if (!x.getType().isF32())
      x = arith::ExtFOp::create(kb.b, kb.loc, kb.f32(), x);
    return x;
  };
}

AttentionValues AttentionCode::values() {
  AttentionValues v;
  v.batch = scope.get(plan.extents[0]);
  v.heads = scope.get(plan.extents[1]);
  v.kvHeads = plan.extents[1] == plan.extents[2] ? v.heads : scope.get(plan.extents[2]);
  v.queries = scope.get(plan.extents[3]);
  v.keys = scope.get(plan.extents[4]);
  v.query = tensorOf(scope, plan.query);
  v.key = tensorOf(scope, plan.key);
  v.value = tensorOf(scope, plan.value);
  v.scores = tensorOf(scope, plan.scores);
  v.result = tensorOf(scope, plan.result);
  v.lse = tensorOf(scope, plan.lse);
  v.logits = tensorOf(scope, plan.logits);
  if (plan.scale && *plan.scale != 1)
    v.scale = kb.constF(*plan.scale);
  auto extentOf = [&](Value vector) { return vector ? scope.extent(vector, 0) : Value(); };
  v.queryOffset = vectorOf(plan.queryOffset, extentOf(plan.op.getQOffset()));
  v.keyLength = vectorOf(plan.keyLength, extentOf(plan.op.getKvLen()));
  if (plan.constantSink)
    v.sink = [&kb = kb, sink = *plan.constantSink](Value) { return kb.constF(sink); };
  else
    v.sink = vectorOf(plan.sink, plan.sink ? v.heads : Value());
  return v;
}

Lane AttentionCode::evaluate(AttentionRegion &region, const AttentionPoint &point, Value score) {
  auto along = [&](Value first, bool varies) {
    return varies && lanes.count > 1 ? Lane::linear(first) : Lane(first);
  };
  bool keys = point.lanesAreKeys;
  SmallVector<Lane> args;
  if (region.score)
    args.push_back(Lane(score));
  args.append({Lane(point.b), Lane(point.h), along(point.i, !keys), along(point.j, keys),
               along(point.n, !keys), along(point.m, keys)});
  Lane result;
  for (auto [extract, element] : llvm::zip(plan.tables, point.tables)) {
    tensor::ExtractOp table = extract;
    Value x = element;
    if (!x || table->getBlock() != &region.block)
      continue;
    Type type = table.getType();
    if (type.isInteger(1))
      x = arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::UNE, x,
                                kb.constF(0, x.getType()));
    else
      x = fromF32(kb, x, type);
    lanes.known[table.getResult()] = Lane(x);
  }
  lanes.below(point.valid, [&] {
    FailureOr<SmallVector<Lane>> cloned = lanes.clone(region.block, args);
    failed |= mlir::failed(cloned);
    if (succeeded(cloned))
      result = cloned->front();
    else
      result = region.score ? Lane(score) : Lane(kb.constI(1, kb.b.getI1Type()));
  });
  for (tensor::ExtractOp table : plan.tables)
    lanes.known.erase(table.getResult());
  return result;
}

AttentionTable::Place AttentionCode::place(tensor::ExtractOp extract, const AttentionPoint &point) {
  AttentionRegion &region =
      plan.score && extract->getBlock() == &plan.score->block ? *plan.score : *plan.mask;
  std::optional<Memory> memory = lanes.memory(extract.getTensor());
  SmallVector<Value> indices(extract.getIndices());
  auto offset = [&](int64_t row) -> Value {
    SmallVector<Lane> args;
    if (region.score)
      args.push_back(Lane(kb.constF(0)));
    args.append({Lane(point.b), Lane(point.h), Lane(kb.add(point.i, row)), Lane(point.j),
                 Lane(kb.add(point.n, row)), Lane(point.m)});
    FailureOr<SmallVector<Lane>> cloned = lanes.clone(region.block, args, {}, indices);
    failed |= mlir::failed(cloned);
    Lane sum = mlir::failed(cloned) ? Lane(kb.idx(0)) : lanes.offset(memory->view, *cloned);
    return sum.scalar;
  };
  Value first = offset(0);
  Type element = storageType(extract.getType());
  if (extract.getType().isBF16())
    element = extract.getType();
  return {kb.gep(memory->base, first, element), kb.sub(offset(1), first), element};
}

KeyRange AttentionCode::range(Value b, Value h, Value first, Value last, Value keys) {
  SmallVector<Value> wanted = plan.facts.uniforms(), known;
  if (!wanted.empty()) {
    // Arguments that nothing wanted depends on.
    Lane none(kb.idx(0));
    FailureOr<SmallVector<Lane>> cloned =
        lanes.clone(plan.mask->block, {Lane(b), Lane(h), none, none, none, none}, {}, wanted);
    failed |= mlir::failed(cloned);
    for (size_t i = 0; i < wanted.size(); ++i)
      known.push_back(succeeded(cloned) ? (*cloned)[i].scalar : kb.idx(0));
  }
  Value offset;
  if (plan.queryOffset)
    offset = vectorOf(plan.queryOffset, scope.extent(plan.op.getQOffset(), 0))(b);
  return plan.facts.range(kb, known, first, last, offset, keys);
}

} // namespace attune::codegen
