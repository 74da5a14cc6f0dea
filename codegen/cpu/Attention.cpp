#include "attune/codegen/cpu/AttentionForms.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

static constexpr double kInf = std::numeric_limits<double>::infinity();

//===- Shared by both forms
//-----------------------------------------------------------------------===//

Value AttentionContext::at(const AttentionTensor &tensor, Value b, Value h, Value row,
                           Value column) const {
  Value offset = kb.add(kb.mul(b, tensor.strides[0]), kb.mul(h, tensor.strides[1]));
  if (tensor.offset)
    offset = kb.add(offset, tensor.offset);
  if (row)
    offset = kb.add(offset, kb.mul(row, tensor.strides[2]));
  if (column)
    offset = kb.add(offset, kb.mul(column, tensor.strides[3]));
  return kb.gep(tensor.base, offset, tensor.element);
}

Value AttentionContext::kvHead(Value h) const {
  if (values.heads == values.kvHeads)
    return h;
  return kb.div(h, kb.div(values.heads, values.kvHeads));
}

Value AttentionContext::queryOffset(Value b) const {
  return values.queryOffset ? values.queryOffset(b) : Value();
}

Value AttentionContext::keyLength(Value b) const {
  if (!values.keyLength)
    return values.keys;
  return kb.max(kb.idx(0), kb.min(values.keys, values.keyLength(b)));
}

KeyRange AttentionContext::range(Value b, Value h, Value first, Value last, Value keys) const {
  KeyRange range{kb.idx(0), keys, kb.idx(0), keys};
  if (spec.range)
    range = spec.range(kb, b, h, first, last, keys);
  else if (spec.mask)
    range.fullHi = kb.idx(0);
  // Full for no key at all must not be read as full for an empty interval at 0.
  if (allKeys()) {
    range.lo = kb.idx(0);
    range.hi = values.keys;
  }
  return range;
}

Value AttentionContext::allowed(const AttentionPoint &point, Value keys) const {
  Value allowed = spec.mask ? spec.mask(kb, point) : Value();
  if (allKeys() && values.keyLength) {
    Value inside;
    if (point.lanesAreKeys) {
      auto type = kb.vec(point.lanes, kb.b.getI32Type());
      Value room = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI32Type(),
                                              kb.min(kb.idx(point.lanes), kb.sub(keys, point.m)));
      inside = arith::CmpIOp::create(kb.b, kb.loc, arith::CmpIPredicate::slt, kb.laneIds(type),
                                     kb.splat(room, point.lanes));
    } else {
      inside = kb.splat(kb.lt(point.m, keys), point.lanes);
    }
    if (allowed && !isa<VectorType>(allowed.getType()))
      allowed = kb.splat(allowed, point.lanes);
    allowed = allowed ? arith::AndIOp::create(kb.b, kb.loc, allowed, inside).getResult() : inside;
  }
  return allowed;
}

Value AttentionContext::disallowed() const { return kb.constF(softmax() ? -kInf : 0, kb.vec()); }

Value AttentionContext::factor(Value sum) const {
  Type type = sum.getType();
  Value one = kb.constF(1, type);
  auto reciprocal = [&](Value x) -> Value { return arith::DivFOp::create(kb.b, kb.loc, one, x); };
  switch (spec.weighting) {
  case Weighting::None:
    return one;
  case Weighting::Sum: {
    Value eps = kb.constF(spec.eps, type);
    if (spec.epsMode == EpsMode::Add)
      return reciprocal(arith::AddFOp::create(kb.b, kb.loc, sum, eps));
    return reciprocal(maxDroppingNaN(kb, eps, sum));
  }
  case Weighting::Count:
    return reciprocal(maxDroppingNaN(kb, one, sum));
  case Weighting::Softmax:
    break;
  }
  Value empty =
      arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, sum, kb.constF(0, type));
  double value = spec.emptyRow == EmptyRow::Zero ? 0 : std::numeric_limits<double>::quiet_NaN();
  return kb.select(empty, kb.constF(value, type), reciprocal(sum));
}

Value AttentionContext::scaled(Value output, Value factor) const {
  Value product = arith::MulFOp::create(kb.b, kb.loc, output, factor);
  if (!softmax() || spec.emptyRow != EmptyRow::Zero)
    return product;
  // Weights of 0 do not silence an infinite value; an empty row has no values at all.
  Value zero = kb.constF(0, output.getType());
  Value empty = arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, factor, zero);
  return kb.select(empty, zero, product);
}

//===- Kernel and tasks
//---------------------------------------------------------------------------===//

AttentionTile AttentionTile::choose(const CpuTarget &target, int64_t headDim, int64_t valueDim) {
  AttentionTile tile =
      target.registers >= 32 ? AttentionTile{2, 8, 8, 128, 4} : AttentionTile{3, 4, 4, 128, 4};
  // Queries and outputs of all panels, and the packed keys and values of a block, stay in L2.
  constexpr int64_t kPanelBytes = 512 * 1024;
  int64_t depth = headDim + valueDim;
  int64_t panel = 4 * std::max<int64_t>(depth, 1) * tile.vectors * target.lanes(32);
  tile.panels = std::clamp<int64_t>(kPanelBytes / panel, 1, tile.panels);
  if (depth > 1024)
    tile.keys = 32;
  return tile;
}

KernelPlan attentionPlan(const AttentionTile &tile, const CpuTarget &target, int64_t heads,
                         int64_t kvHeads, int64_t queries, int64_t keys,
                         llvm::function_ref<int64_t(int64_t first, int64_t last)> seen) {
  KernelPlan plan;
  if (heads * queries * keys == 0)
    return plan;
  int64_t lanes = target.lanes(32), width = tile.vectors * lanes;
  if (queries <= lanes / 2) { // rows: keys are cut, not queries
    plan.tasks = kvHeads * std::max<int64_t>(1, std::min<int64_t>(keys / 256, 128 / kvHeads));
    plan.visited = static_cast<double>(seen(0, queries - 1)) / keys;
    return plan;
  }
  int64_t narrow = queries % width != 0 && queries % width <= lanes && tile.vectors > 1;
  int64_t wide = (queries + width - 1) / width - narrow;
  int64_t panels = std::clamp<int64_t>(heads * wide / 96, 1, tile.panels);
  plan.tasks = heads * ((wide + panels - 1) / panels + narrow);
  plan.rows = tile.keyRows;
  plan.columns = width;
  // Some panels stand for all.
  constexpr int64_t kSamples = 64;
  double computed = 0, asked = 0;
  for (int64_t sample = 0; sample < std::min(kSamples, wide + narrow); ++sample) {
    int64_t panel = sample * (wide + narrow) / std::min(kSamples, wide + narrow);
    int64_t first = panel * width, last = std::min(first + width, queries) - 1;
    int64_t part = seen(first, last);
    computed += static_cast<double>(panel < wide ? width : lanes) *
                llvm::alignTo(std::max<int64_t>(part, 0), tile.keyRows);
    asked += static_cast<double>(last - first + 1) * keys;
  }
  plan.visited = std::max(computed / asked, 1e-3);
  return plan;
}

namespace {

/// How the queries of a head are cut, from the shapes alone.
struct Split {
  Value wide;   ///< panels of full width
  Value narrow; ///< 1 if a last panel is one register wide
  Value panels; ///< wide panels per task
  Value tasks;  ///< per head
};

Split splitQueries(KernelBuilder &kb, const AttentionValues &values, const AttentionTile &tile) {
  int64_t lanes = kb.lanes(), width = tile.vectors * lanes;
  Split split;
  Value rest = kb.rem(values.queries, kb.idx(width));
  Value short_ = arith::AndIOp::create(
      kb.b, kb.loc, kb.lt(kb.idx(0), rest),
      kb.cmp(arith::CmpIPredicate::sle, rest, kb.idx(tile.vectors > 1 ? lanes : 0)));
  split.narrow = kb.select(short_, kb.idx(1), kb.idx(0));
  split.wide = kb.sub(kb.ceilDiv(values.queries, width), split.narrow);
  Value all = kb.mul(kb.mul(values.batch, values.heads), split.wide);
  split.panels = kb.max(kb.idx(1), kb.min(kb.idx(tile.panels), kb.div(all, 96)));
  split.tasks = kb.add(kb.div(kb.sub(kb.add(split.wide, split.panels), kb.idx(1)), split.panels),
                       split.narrow);
  return split;
}

struct Emitter {
  KernelBuilder &kb;
  ModuleOp module;
  const AttentionSpec &spec;
  AttentionTile tile;
  int64_t scratchBuffer, sharedBytes, workerBytes;
  bool hasRows = false; ///< known once the first task is built

  func::FuncOp panelTask(const std::string &name);
  func::FuncOp rowTask(const std::string &name);
  func::FuncOp mergeTask(const std::string &name);
  /// The worker's own part of the scratch buffer, and the part that all tasks share.
  Value workerScratch(const KernelArgs &args);
  Value partials(const KernelArgs &args);
};

} // namespace

Value Emitter::partials(const KernelArgs &args) {
  Type i64 = kb.b.getI64Type();
  Value address = LLVM::PtrToIntOp::create(kb.b, kb.loc, i64, kb.buffer(args, scratchBuffer));
  address = arith::AndIOp::create(kb.b, kb.loc,
                                  arith::AddIOp::create(kb.b, kb.loc, address, kb.constI(63, i64)),
                                  kb.constI(-64, i64));
  return LLVM::IntToPtrOp::create(kb.b, kb.loc, kb.ptr(), address);
}

Value Emitter::workerScratch(const KernelArgs &args) {
  return kb.gep(partials(args), kb.add(kb.mul(args.worker, workerBytes), sharedBytes),
                kb.b.getI8Type());
}

func::FuncOp Emitter::panelTask(const std::string &name) {
  return kb.task(module, name, [&](const KernelArgs &args) {
    AttentionValues values = spec.values(kb, args);
    AttentionContext context{kb, spec, values};
    hasRows = RowForm::supports(spec, values);
    Split split = splitQueries(kb, values, tile);
    Value head = kb.div(args.task, split.tasks);
    Value b = kb.div(head, values.heads), h = kb.rem(head, values.heads);
    // Later queries first: under a causal mask they have the most keys.
    Value block = kb.sub(kb.sub(split.tasks, kb.idx(1)), kb.rem(args.task, split.tasks));
    int64_t width = tile.vectors * kb.lanes();
    Value first = kb.mul(kb.mul(block, split.panels), width);
    PanelForm form(context, tile, workerScratch(args));
    auto wide = [&] {
      Value end = kb.min(kb.mul(split.wide, width), values.queries);
      Value count = kb.min(kb.mul(split.panels, width), kb.sub(end, first));
      form.run(b, h, first, count, tile.vectors);
      return Values();
    };
    if (tile.vectors == 1) {
      wide();
    } else {
      Value last = kb.eq(kb.add(block, split.narrow), split.tasks);
      kb.ifElse(
          last, {},
          [&] {
            Value start = kb.mul(split.wide, width);
            form.run(b, h, start, kb.sub(values.queries, start), 1);
            return Values();
          },
          wide);
    }
    return spec.status ? spec.status(kb) : Value();
  });
}

func::FuncOp Emitter::rowTask(const std::string &name) {
  return kb.task(module, name, [&](const KernelArgs &args) {
    AttentionValues values = spec.values(kb, args);
    AttentionContext context{kb, spec, values};
    RowForm form(context, workerScratch(args), partials(args));
    Value chunks = form.chunks();
    Value head = kb.div(args.task, chunks);
    form.run(kb.div(head, values.kvHeads), kb.rem(head, values.kvHeads), kb.rem(args.task, chunks));
    return spec.status ? spec.status(kb) : Value();
  });
}

func::FuncOp Emitter::mergeTask(const std::string &name) {
  return kb.task(module, name, [&](const KernelArgs &args) -> Value {
    AttentionValues values = spec.values(kb, args);
    AttentionContext context{kb, spec, values};
    RowForm form(context, workerScratch(args), partials(args));
    form.merge(kb.div(args.task, values.heads), kb.rem(args.task, values.heads));
    return {};
  });
}

static AttentionTile tileOf(const AttentionSpec &spec, const CpuTarget &target) {
  return spec.tile.value_or(AttentionTile::choose(target, spec.headDim, spec.valueDim));
}

/// Behind the partial results, to align them.
static constexpr int64_t kSlack = 64;

AttentionScratch attentionScratch(const AttentionSpec &spec, const CpuTarget &target) {
  auto bytes = [](int64_t floats) { return (4 * floats + 63) / 64 * 64; };
  int64_t lanes = target.lanes();
  int64_t panels = PanelForm::scratchFloats(spec, tileOf(spec, target), lanes);
  return {bytes(std::max(panels, RowForm::scratchFloats(spec, lanes))),
          bytes(RowForm::partialFloats(spec, lanes)) + kSlack};
}

AttentionScratch emitAttention(KernelBuilder &kb, ModuleOp module, StringRef symbol,
                               const AttentionSpec &spec, int64_t scratchBuffer) {
  AttentionScratch scratch = attentionScratch(spec, kb.target);
  AttentionTile tile = tileOf(spec, kb.target);
  int64_t partials = scratch.shared - kSlack;
  Emitter emitter{kb, module, spec, tile, scratchBuffer, partials, scratch.perWorker};
  std::string name = symbol.str();
  func::FuncOp panels = emitter.panelTask(name + "_panels"), rows, merge;
  if (emitter.hasRows) {
    rows = emitter.rowTask(name + "_rows");
    merge = emitter.mergeTask(name + "_merge");
  }
  kb.kernel(module, symbol, [&](const KernelArgs &args) -> Value {
    AttentionValues values = spec.values(kb, args);
    Value heads = kb.mul(values.batch, values.heads);
    auto runPanels = [&] {
      Split split = splitQueries(kb, values, tile);
      return kb.parallelFor(args, kb.mul(heads, split.tasks), panels);
    };
    if (!rows)
      return runPanels();
    auto runRows = [&] {
      AttentionContext context{kb, spec, values};
      Value chunks = RowForm(context, {}, {}).chunks();
      Value kvHeads = kb.mul(values.batch, values.kvHeads);
      Value status = kb.parallelFor(args, kb.mul(kvHeads, chunks), rows);
      Value merges = arith::AndIOp::create(
          kb.b, kb.loc, kb.lt(kb.idx(1), chunks),
          kb.eq(arith::IndexCastOp::create(kb.b, kb.loc, kb.index(), status), kb.idx(0)));
      return kb.ifElse(
          merges, {kb.b.getI32Type()},
          [&]() -> Values { return {kb.parallelFor(args, heads, merge)}; },
          [&]() -> Values { return {status}; });
    };
    return kb
        .ifElse(RowForm::applies(kb, values), {kb.b.getI32Type()}, runRows,
                [&]() -> Values { return {runPanels()}; })
        .front();
  });
  return scratch;
}

} // namespace attune::codegen
