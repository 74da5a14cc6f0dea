#include "attune/codegen/cpu/Attention.h"
#include "attune/codegen/cpu/AttentionMask.h"
#include "attune/codegen/cpu/AttentionVector.h"
#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/Lanes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {

namespace {

// Scratch grows with it.
constexpr int64_t kMaxHeadDim = 8192;

/// A tensor of the kernel as strides over one of its buffers.
struct Operand {
  bool output = false;
  int64_t number = 0; ///< of the input or output
  Size offset;
  SmallVector<Size> strides;
  Type element;
};

/// Everything about the kernel that code generation needs, found without changing it.
struct Plan {
  explicit Plan(KernelOp kernel) : sizes(kernel) {}
  Sizes sizes;
  AttentionOp op;
  SmallVector<Size> extents; ///< batch, heads, kv heads, queries, keys
  int64_t headDim = 0, valueDim = 0;
  std::optional<Operand> query, key, value, scores, sink, queryOffset, keyLength;
  std::optional<Operand> result, lse, logits;
  std::optional<double> scale, constantSink;
  std::unique_ptr<AttentionRegion> score, mask;
  SmallVector<tensor::ExtractOp> tables; ///< of the regions, see AttentionTable
  MaskFacts facts;

  bool read(const CpuTarget &target);

private:
  bool readOperand(Value tensor, std::optional<Operand> &operand);
  bool readOperands();
  bool readResults();
  bool readRegion(bool isScore, std::unique_ptr<AttentionRegion> &region);
  static bool isTable(AttentionRegion &region, tensor::ExtractOp extract, const View &view);
};

bool isStorage(Type type) { return type.isF32() || type.isF16() || type.isBF16(); }

std::optional<double> constantFloat(Value value) {
  FloatAttr attr;
  if (!value || !matchPattern(value, m_Constant(&attr)))
    return std::nullopt;
  return attr.getValueAsDouble();
}

bool Plan::readOperand(Value tensor, std::optional<Operand> &operand) {
  if (!tensor)
    return true;
  std::optional<View> view = readView(sizes, tensor);
  std::optional<int64_t> number = view ? sizes.inputNumber(view->root) : std::nullopt;
  if (!number)
    return false;
  operand = Operand{false, *number, view->offset, view->strides,
                    cast<RankedTensorType>(tensor.getType()).getElementType()};
  return true;
}

bool Plan::readOperands() {
  // A sink may also be one number for all heads.
  Value sinks = op.getSink();
  if (auto fill = sinks ? sinks.getDefiningOp<linalg::FillOp>() : nullptr)
    constantSink = constantFloat(fill.getInputs()[0]);
  if (!readOperand(op.getQuery(), query) || !readOperand(op.getKey(), key) ||
      !readOperand(op.getValue(), value) || !readOperand(op.getScores(), scores) ||
      (!constantSink && !readOperand(sinks, sink)) || !readOperand(op.getQOffset(), queryOffset) ||
      !readOperand(op.getKvLen(), keyLength))
    return false;
  for (const auto *operand : {&query, &key, &value, &scores, &sink})
    if (*operand && !isStorage((*operand)->element))
      return false;
  for (const auto *operand : {&queryOffset, &keyLength})
    if (*operand && !(*operand)->element.isIndex() && !(*operand)->element.isInteger(64) &&
        !(*operand)->element.isInteger(32))
      return false;
  if (op.getScale()) {
    scale = constantFloat(op.getScale());
    if (!scale)
      return false;
  }
  Value rows = op.getQuery() ? op.getQuery() : op.getScores();
  for (auto [tensor, axis] :
       {std::pair(rows, 0), {rows, 1}, {op.getValue(), 1}, {rows, 2}, {op.getValue(), 2}}) {
    MaybeSize extent = sizes.extent(tensor, axis);
    if (!extent)
      return false;
    extents.push_back(*extent);
  }
  auto depth = [&](Value tensor) {
    MaybeSize extent = sizes.extent(tensor, 3);
    return extent ? extent->constant().value_or(-1) : -1;
  };
  headDim = op.getQuery() ? depth(op.getQuery()) : 0;
  valueDim = depth(op.getValue());
  return headDim >= (op.getQuery() ? 1 : 0) && headDim <= kMaxHeadDim &&
         valueDim >= (result ? 1 : 0) && valueDim <= kMaxHeadDim;
}

/// Every result of the kernel is one of the operator's, of which `lse` may be the only one.
bool Plan::readResults() {
  for (auto [number, yielded] : llvm::enumerate(sizes.kernel.getYield().getOperands())) {
    std::optional<SmallVector<Placement>> places = writeViews(sizes, yielded);
    if (!places || places->size() != 1)
      return false;
    Placement &place = places->front();
    Type element = cast<RankedTensorType>(yielded.getType()).getElementType();
    if (!op && place.value.getDefiningOp())
      op = dyn_cast<AttentionOp>(place.value.getDefiningOp());
    if (!op || place.value.getDefiningOp() != op || !isStorage(element))
      return false;
    std::optional<Operand> &slot = place.value == op.getResult() ? result
                                   : place.value == op.getLse()  ? lse
                                                                 : logits;
    if (slot)
      return false;
    slot = Operand{true, static_cast<int64_t>(number), place.offset, place.strides, element};
  }
  return result || lse;
}

bool Plan::readRegion(bool isScore, std::unique_ptr<AttentionRegion> &region) {
  if (isScore ? !op.hasScore() : !op.hasMask())
    return true;
  region = std::make_unique<AttentionRegion>(op, isScore);
  if (!Lanes::supports(region->block, sizes))
    return false;
  for (Operation &inner : region->block)
    if (auto extract = dyn_cast<tensor::ExtractOp>(inner)) {
      std::optional<View> view = readView(sizes, extract.getTensor());
      if (!view || !sizes.inputNumber(view->root))
        return false;
      if (isTable(*region, extract, *view))
        tables.push_back(extract);
    }
  return true;
}

/// Whether neighbouring keys are neighbours in memory and queries are not.
bool Plan::isTable(AttentionRegion &region, tensor::ExtractOp extract, const View &view) {
  if (!isStorage(extract.getType()) && !extract.getType().isInteger(1))
    return false;
  int64_t keys = 0;
  bool queries = false;
  for (auto [value, stride] : llvm::zip(extract.getIndices(), view.strides)) {
    std::optional<LinearIndex> index = readLinear(region, value);
    if (!index)
      return false;
    if (stride.is(0))
      continue;
    if (index->j && (!stride.is(1) || index->j != 1 || keys++))
      return false;
    // Lanes along a diagonal (position i - j) are neighbours too.
    queries |= (index->i || index->n) && !(stride.is(1) && std::abs(index->i + index->n) == 1);
  }
  return keys && queries;
}

bool Plan::read(const CpuTarget &target) {
  if (!readResults() || op.getBlockIndex() || !op.getAccumType().isF32() ||
      !op.getWeightType().isF32())
    return false;
  if (!readOperands() || !readRegion(true, score) || !readRegion(false, mask))
    return false;
  if (mask)
    facts = mineMask(*mask);
  return true;
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

  AttentionValues values(KernelBuilder &kb, const KernelArgs &args);
  AttentionTensor tensor(const std::optional<Operand> &operand);
  std::function<Value(Value)> vectorOf(KernelBuilder &kb, const std::optional<Operand> &operand,
                                       Value extent);
  Lane evaluate(KernelBuilder &kb, AttentionRegion &region, const AttentionPoint &point,
                Value score);
  AttentionTable table(tensor::ExtractOp extract);
  KeyRange range(KernelBuilder &kb, Value b, Value h, Value first, Value last, Value keys);
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

/// Elements of a vector of integers or floats; its only element serves for every index.
std::function<Value(Value)>
Emission::vectorOf(KernelBuilder &kb, const std::optional<Operand> &operand, Value extent) {
  if (!operand)
    return {};
  AttentionTensor vector = tensor(operand);
  Value last = kb.sub(extent, kb.idx(1));
  return [&kb, vector, last](Value number) -> Value {
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

AttentionValues Emission::values(KernelBuilder &kb, const KernelArgs &args) {
  function = std::make_unique<Function>(plan.sizes, kb, args);
  Scope &scope = function->scope;
  AttentionValues v;
  v.batch = scope.get(plan.extents[0]);
  v.heads = scope.get(plan.extents[1]);
  v.kvHeads = plan.extents[1] == plan.extents[2] ? v.heads : scope.get(plan.extents[2]);
  v.queries = scope.get(plan.extents[3]);
  v.keys = scope.get(plan.extents[4]);
  v.query = tensor(plan.query);
  v.key = tensor(plan.key);
  v.value = tensor(plan.value);
  v.scores = tensor(plan.scores);
  v.result = tensor(plan.result);
  v.lse = tensor(plan.lse);
  v.logits = tensor(plan.logits);
  if (plan.scale && *plan.scale != 1)
    v.scale = kb.constF(*plan.scale);
  auto extentOf = [&](Value vector) { return vector ? scope.extent(vector, 0) : Value(); };
  v.queryOffset = vectorOf(kb, plan.queryOffset, extentOf(plan.op.getQOffset()));
  v.keyLength = vectorOf(kb, plan.keyLength, extentOf(plan.op.getKvLen()));
  if (plan.constantSink)
    v.sink = [&kb, sink = *plan.constantSink](Value) { return kb.constF(sink); };
  else
    v.sink = vectorOf(kb, plan.sink, plan.sink ? v.heads : Value());
  return v;
}

Lane Emission::evaluate(KernelBuilder &kb, AttentionRegion &region, const AttentionPoint &point,
                        Value score) {
  auto along = [&](Value first, bool varies) { return varies ? Lane::linear(first) : Lane(first); };
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
    function->lanes.known[table.getResult()] = Lane(x);
  }
  function->lanes.below(point.valid, [&] {
    FailureOr<SmallVector<Lane>> cloned = function->lanes.clone(region.block, args);
    failed |= mlir::failed(cloned);
    if (succeeded(cloned))
      result = cloned->front();
    else
      result = region.score ? Lane(score) : Lane(kb.constI(1, kb.b.getI1Type()));
  });
  for (tensor::ExtractOp table : plan.tables)
    function->lanes.known.erase(table.getResult());
  return result;
}

AttentionTable Emission::table(tensor::ExtractOp extract) {
  AttentionRegion *region =
      plan.score && extract->getBlock() == &plan.score->block ? plan.score.get() : plan.mask.get();
  auto place = [this, extract, region](KernelBuilder &kb, const AttentionPoint &point) mutable {
    Lanes &lanes = function->lanes;
    std::optional<Memory> memory = lanes.memory(extract.getTensor());
    SmallVector<Value> indices(extract.getIndices());
    auto offset = [&](int64_t row) -> Value {
      SmallVector<Lane> args;
      if (region->score)
        args.push_back(Lane(kb.constF(0)));
      args.append({Lane(point.b), Lane(point.h), Lane(kb.add(point.i, row)), Lane(point.j),
                   Lane(kb.add(point.n, row)), Lane(point.m)});
      FailureOr<SmallVector<Lane>> cloned = lanes.clone(region->block, args, {}, indices);
      failed |= mlir::failed(cloned);
      Lane sum = mlir::failed(cloned) ? Lane(kb.idx(0)) : lanes.offset(memory->view, *cloned);
      return sum.scalar;
    };
    Value first = offset(0);
    Type element = storageType(extract.getType());
    if (extract.getType().isBF16())
      element = extract.getType();
    return AttentionTable::Place{kb.gep(memory->base, first, element), kb.sub(offset(1), first),
                                 element};
  };
  return {region->score, !region->score, place};
}

KeyRange Emission::range(KernelBuilder &kb, Value b, Value h, Value first, Value last, Value keys) {
  SmallVector<Value> wanted = plan.facts.uniforms(), known;
  if (!wanted.empty()) {
    // Arguments that nothing wanted depends on.
    Lane none(kb.idx(0));
    FailureOr<SmallVector<Lane>> cloned = function->lanes.clone(
        plan.mask->block, {Lane(b), Lane(h), none, none, none, none}, {}, wanted);
    failed |= mlir::failed(cloned);
    for (size_t i = 0; i < wanted.size(); ++i)
      known.push_back(succeeded(cloned) ? (*cloned)[i].scalar : kb.idx(0));
  }
  Value offset;
  if (plan.queryOffset)
    offset = vectorOf(kb, plan.queryOffset, function->scope.extent(plan.op.getQOffset(), 0))(b);
  return plan.facts.range(kb, known, first, last, offset, keys);
}

FailureOr<EmittedKernel> Emission::run(ModuleOp module, StringRef symbol) {
  KernelOp kernel = plan.sizes.kernel;
  KernelBuilder kb(plan.op.getLoc(), target);
  AttentionSpec spec;
  spec.headDim = plan.headDim;
  spec.valueDim = plan.valueDim;
  spec.weighting = plan.op.getWeighting();
  spec.eps = plan.op.getEps() ? plan.op.getEps()->convertToDouble() : 0;
  spec.epsMode = plan.op.getEpsMode();
  spec.emptyRow = plan.op.getEmptyRow();
  spec.values = [&](KernelBuilder &kb, const KernelArgs &args) { return values(kb, args); };
  spec.status = [&](KernelBuilder &) { return function->lanes.error(); };
  if (plan.score)
    spec.score = [&](KernelBuilder &kb, const AttentionPoint &point, Value x) {
      return function->lanes.vector(evaluate(kb, *plan.score, point, x));
    };
  if (plan.mask) {
    spec.mask = [&](KernelBuilder &kb, const AttentionPoint &point) {
      Lane allowed = evaluate(kb, *plan.mask, point, {});
      return allowed.uniform() ? allowed.scalar : function->lanes.vector(allowed);
    };
    spec.maskOfKeys = !plan.mask->dependsOnQuery();
    spec.range = [&](KernelBuilder &kb, Value b, Value h, Value first, Value last, Value keys) {
      return range(kb, b, h, first, last, keys);
    };
  }
  for (tensor::ExtractOp extract : plan.tables)
    spec.tables.push_back(table(extract));
  int64_t scratchBuffer = kernel.getInputs().size() + kernel.getNumResults();
  AttentionScratch scratch = emitAttention(kb, module, symbol, spec, scratchBuffer);
  if (failed)
    return kernel.emitError("internal error: attention region was accepted but cannot be emitted");
  EmittedKernel emitted;
  emitted.scratch.push_back([scratch](OpBuilder &b, Location loc, ValueRange, Value threads) {
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantIndexOp::create(b, loc, value);
    };
    Value workers = arith::MulIOp::create(b, loc, threads, constant(scratch.perWorker));
    return arith::AddIOp::create(b, loc, workers, constant(scratch.shared)).getResult();
  });
  return emitted;
}

struct AttentionEmitter : KernelEmitter {
  StringRef name() const override { return "attention"; }
  bool matches(KernelOp op, const CpuTarget &target) const override {
    return Plan(op).read(target);
  }
  KernelPlan plan(KernelOp op, const CpuTarget &target, IndexValues valueOf) const override {
    Plan plan(op);
    if (!plan.read(target))
      return {};
    SmallVector<int64_t> at =
        llvm::map_to_vector(plan.extents, [&](const Size &size) { return size.at(valueOf); });
    int64_t batch = at[0], heads = at[1], kvHeads = at[2], queries = at[3], keys = at[4];
    // The queries of a cache come last.
    int64_t offset = plan.queryOffset ? keys - queries : 0;
    auto known = [&](Value value) -> std::optional<int64_t> {
      MaybeSize size = plan.sizes.of(value);
      return size ? std::optional<int64_t>(size->at(valueOf)) : std::nullopt;
    };
    auto seen = [&](int64_t first, int64_t last) {
      return plan.facts.count(first + offset, last + offset, offset, keys, known);
    };
    KernelPlan result = attentionPlan(AttentionTile::choose(target, plan.headDim, plan.valueDim),
                                      target, batch * heads, batch * kvHeads, queries, keys, seen);
    AttentionSpec spec;
    spec.headDim = plan.headDim;
    spec.valueDim = plan.valueDim;
    spec.tables.resize(plan.tables.size());
    AttentionScratch scratch = attentionScratch(spec, target);
    result.scratch.push_back(
        {static_cast<double>(scratch.shared), static_cast<double>(scratch.perWorker)});
    return result;
  }
  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Plan plan(op);
    if (!plan.read(target))
      return op.emitError("internal error: not an attention kernel");
    return Emission(plan, target).run(module, symbol);
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createAttentionEmitter() {
  return std::make_unique<AttentionEmitter>();
}

} // namespace attune::codegen
