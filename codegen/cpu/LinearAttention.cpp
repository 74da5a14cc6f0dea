#include "attune/codegen/cpu/LinearAttentionForms.h"

using namespace mlir;

namespace attune::codegen {

/// Bidirectional keys are cut into parts until there are this many tasks.
static constexpr int64_t kWantedTasks = 16;
/// Chunks per part at least, and chunks of queries per task of the read.
static constexpr int64_t kChunksPerTask = 4;

static int64_t scratchBytes(int64_t floats) { return (4 * floats + 63) / 64 * 64; }

namespace {

struct Emitter {
  KernelBuilder &kb;
  ModuleOp module;
  const LinearAttentionSpec &spec;
  int64_t scratchBuffer;
  std::string name;
  LinearTile tile = LinearTile::of(kb.target);

  /// Runs a form in the kernel function; the status.
  using Launch = std::function<Value(const KernelArgs &)>;
  Launch chunked(), recurrent(), quadratic(), linear();
  void emit(ArrayRef<Form> forms);

private:
  using Body = llvm::function_ref<void(const LinearContext &, const KernelArgs &, Value scratch)>;
  func::FuncOp task(StringRef suffix, int64_t scratchFloats, Body body);
  Value aligned(const KernelArgs &args, int64_t buffer);
  Value state(const KernelArgs &args, Value number);
  Value parts(const LinearAttentionValues &v);
  Value splits(const LinearAttentionValues &v);
  Launch launch(Form form);
  Value cheapest(const KernelArgs &args, ArrayRef<Launch> launches, ArrayRef<Value> costs);
};

} // namespace

Value Emitter::aligned(const KernelArgs &args, int64_t buffer) {
  Type i64 = kb.b.getI64Type();
  Value address = LLVM::PtrToIntOp::create(kb.b, kb.loc, i64, kb.buffer(args, buffer));
  address = arith::AddIOp::create(kb.b, kb.loc, address, kb.constI(63, i64));
  address = arith::AndIOp::create(kb.b, kb.loc, address, kb.constI(-64, i64));
  return LLVM::IntToPtrOp::create(kb.b, kb.loc, kb.ptr(), address);
}

Value Emitter::state(const KernelArgs &args, Value number) {
  Value offset = kb.mul(number, ChunkForm::stateFloats(spec, kb.target));
  return kb.gep(aligned(args, scratchBuffer + 1), offset, kb.f32());
}

func::FuncOp Emitter::task(StringRef suffix, int64_t scratchFloats, Body body) {
  return kb.task(module, name + suffix.str(), [&](const KernelArgs &args) {
    LinearAttentionValues values = spec.values(kb, args);
    Value mine = kb.mul(args.worker, scratchBytes(scratchFloats));
    body({kb, spec, values}, args, kb.gep(aligned(args, scratchBuffer), mine, kb.b.getI8Type()));
    return spec.status ? spec.status(kb) : Value();
  });
}

//===- Forms
//--------------------------------------------------------------------------------------===//

Emitter::Launch Emitter::chunked() {
  func::FuncOp run =
      task("_chunks", ChunkForm::scratchFloats(spec, kb.target),
           [&](const LinearContext &ctx, const KernelArgs &args, Value scratch) {
             Value heads = ctx.values.kvHeads;
             ChunkForm(ctx, scratch).causal(kb.div(args.task, heads), kb.rem(args.task, heads));
           });
  return [this, run](const KernelArgs &args) {
    LinearAttentionValues v = spec.values(kb, args);
    return kb.parallelFor(args, kb.mul(v.batch, v.kvHeads), run);
  };
}

/// Tasks that the value columns of a head are cut into, from the shapes alone.
Value Emitter::splits(const LinearAttentionValues &v) {
  // Not where a task could read a normaliser that another has already overwritten.
  if (v.initNorm && v.finalNorm)
    return kb.idx(1);
  int64_t groups = ScanForm::groups(spec, kb.target);
  Value isStep = kb.cmp(arith::CmpIPredicate::sle, v.queries, kb.idx(1));
  Value few = kb.lt(kb.mul(v.batch, v.kvHeads), kb.idx(kWantedTasks / 4));
  Value split = arith::OrIOp::create(kb.b, kb.loc, isStep, few);
  return kb.select(split, kb.idx(groups), kb.idx(1));
}

Emitter::Launch Emitter::recurrent() {
  if (spec.momentum()) {
    func::FuncOp run =
        task("_steps", MomentumForm::scratchFloats(spec, kb.target),
             [&](const LinearContext &ctx, const KernelArgs &args, Value scratch) {
               Value heads = ctx.values.kvHeads;
               MomentumForm(ctx, scratch).run(kb.div(args.task, heads), kb.rem(args.task, heads));
             });
    return [this, run](const KernelArgs &args) {
      LinearAttentionValues v = spec.values(kb, args);
      return kb.parallelFor(args, kb.mul(v.batch, v.kvHeads), run);
    };
  }
  func::FuncOp run =
      task("_steps", ScanForm::scratchFloats(spec, kb.target),
           [&](const LinearContext &ctx, const KernelArgs &args, Value scratch) {
             Value splits = this->splits(ctx.values), head = kb.div(args.task, splits);
             Value heads = ctx.values.kvHeads, groups = kb.idx(ScanForm::groups(spec, kb.target));
             Value each = kb.div(groups, splits), first = kb.mul(kb.rem(args.task, splits), each);
             ScanForm(ctx, scratch)
                 .run(kb.div(head, heads), kb.rem(head, heads), first, kb.add(first, each));
           });
  return [this, run](const KernelArgs &args) {
    LinearAttentionValues v = spec.values(kb, args);
    return kb.parallelFor(args, kb.mul(kb.mul(v.batch, v.kvHeads), splits(v)), run);
  };
}

Emitter::Launch Emitter::quadratic() {
  func::FuncOp run = task(
      "_pairs", ChunkForm::scratchFloats(spec, kb.target),
      [&](const LinearContext &ctx, const KernelArgs &args, Value scratch) {
        const LinearAttentionValues &v = ctx.values;
        Value blocks = kb.ceilDiv(v.queries, tile.chunk);
        Value head = kb.div(args.task, blocks);
        // Later queries first: causal ones have the most keys.
        Value block = kb.sub(kb.sub(blocks, kb.idx(1)), kb.rem(args.task, blocks));
        ChunkForm(ctx, scratch)
            .quadratic(kb.div(head, v.heads), kb.rem(head, v.heads), kb.mul(block, tile.chunk));
      });
  return [this, run](const KernelArgs &args) {
    LinearAttentionValues v = spec.values(kb, args);
    Value blocks = kb.ceilDiv(v.queries, tile.chunk);
    return kb.parallelFor(args, kb.mul(kb.mul(v.batch, v.heads), blocks), run);
  };
}

/// Parts that the keys of a head are cut into, from the shapes alone.
Value Emitter::parts(const LinearAttentionValues &v) {
  Value heads = kb.max(kb.idx(1), kb.mul(v.batch, v.kvHeads));
  Value wanted = kb.div(kb.add(heads, kWantedTasks - 1), heads);
  Value most = kb.ceilDiv(v.keys, kChunksPerTask * tile.chunk);
  return kb.max(kb.idx(1), kb.min(wanted, most));
}

Emitter::Launch Emitter::linear() {
  int64_t floats = ChunkForm::scratchFloats(spec, kb.target);
  func::FuncOp sums =
      task("_sums", floats, [&](const LinearContext &ctx, const KernelArgs &args, Value scratch) {
        const LinearAttentionValues &v = ctx.values;
        Value parts = this->parts(v), head = kb.div(args.task, parts);
        Value chunks = kb.ceilDiv(v.keys, tile.chunk);
        Value length = kb.mul(kb.div(kb.sub(kb.add(chunks, parts), kb.idx(1)), parts), tile.chunk);
        Value first = kb.mul(kb.rem(args.task, parts), length);
        ChunkForm(ctx, scratch)
            .keyState(kb.div(head, v.kvHeads), kb.rem(head, v.kvHeads), first,
                      kb.min(v.keys, kb.add(first, length)), state(args, args.task));
      });
  func::FuncOp merge =
      task("_merge", floats, [&](const LinearContext &ctx, const KernelArgs &args, Value scratch) {
        Value parts = this->parts(ctx.values);
        ChunkForm(ctx, scratch).mergeStates(state(args, kb.mul(args.task, parts)), parts);
      });
  int64_t rows = kChunksPerTask * tile.chunk;
  func::FuncOp reads =
      task("_reads", floats, [&](const LinearContext &ctx, const KernelArgs &args, Value scratch) {
        const LinearAttentionValues &v = ctx.values;
        Value blocks = kb.ceilDiv(v.queries, rows), head = kb.div(args.task, blocks);
        Value b = kb.div(head, v.heads), h = kb.rem(head, v.heads);
        Value kvHead = kb.add(kb.mul(b, v.kvHeads), kb.div(h, ctx.group()));
        Value first = kb.mul(kb.rem(args.task, blocks), rows);
        ChunkForm(ctx, scratch)
            .readState(b, h, first, kb.min(v.queries, kb.add(first, rows)),
                       state(args, kb.mul(kvHead, parts(v))));
      });
  return [=, this](const KernelArgs &args) mutable {
    LinearAttentionValues v = spec.values(kb, args);
    Value heads = kb.mul(v.batch, v.kvHeads), parts = this->parts(v);
    auto isOk = [&](Value status) {
      return kb.eq(arith::IndexCastOp::create(kb.b, kb.loc, kb.index(), status), kb.idx(0));
    };
    Type i32 = kb.b.getI32Type();
    auto next = [&](Value status, Value wanted, llvm::function_ref<Value()> run) {
      Value go = arith::AndIOp::create(kb.b, kb.loc, isOk(status), wanted);
      return kb
          .ifElse(
              go, {i32}, [&]() -> Values { return {run()}; }, [&]() -> Values { return {status}; })
          .front();
    };
    Value always = kb.constI(1, kb.b.getI1Type());
    Value status = kb.parallelFor(args, kb.mul(heads, parts), sums);
    status = next(status, spec.stateMap ? always : kb.lt(kb.idx(1), parts),
                  [&] { return kb.parallelFor(args, heads, merge); });
    return next(status, always, [&] {
      Value blocks = kb.ceilDiv(v.queries, rows);
      return kb.parallelFor(args, kb.mul(kb.mul(v.batch, v.heads), blocks), reads);
    });
  };
}

//===- Choice
//-------------------------------------------------------------------------------------===//

Emitter::Launch Emitter::launch(Form form) {
  switch (form) {
  case Form::Linear:
    return linear();
  case Form::Chunked:
    return chunked();
  case Form::Recurrent:
    return recurrent();
  default:
    return quadratic();
  }
}

/// Runs the first of the forms with the lowest cost.
Value Emitter::cheapest(const KernelArgs &args, ArrayRef<Launch> launches, ArrayRef<Value> costs) {
  if (launches.size() == 1)
    return launches[0](args);
  Value least = costs[1];
  for (Value cost : costs.drop_front(2))
    least = arith::MinimumFOp::create(kb.b, kb.loc, least, cost);
  Value isFirst = arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OLE, costs[0], least);
  return kb
      .ifElse(
          isFirst, {kb.b.getI32Type()}, [&]() -> Values { return {launches[0](args)}; },
          [&]() -> Values { return {cheapest(args, launches.drop_front(), costs.drop_front())}; })
      .front();
}

void Emitter::emit(ArrayRef<Form> forms) {
  SmallVector<Launch> launches;
  for (Form form : forms)
    launches.push_back(launch(form));
  kb.kernel(module, name, [&](const KernelArgs &args) -> Value {
    SmallVector<Value> costs;
    if (forms.size() > 1) {
      spec.values(kb, args);
      for (const LinearAttentionSpec::Price &price : spec.prices)
        costs.push_back(price.cost(kb));
    }
    return cheapest(args, launches, costs);
  });
}

/// The forms that `emit` makes.
static SmallVector<Form> formsOf(const LinearAttentionSpec &spec) {
  if (spec.form != Form::Auto)
    return {spec.form};
  if (spec.prices.empty())
    return {spec.usualForm()};
  return llvm::map_to_vector(spec.prices, [](const auto &price) { return price.form; });
}

LinearAttentionScratch linearAttentionScratch(const LinearAttentionSpec &spec, ArrayRef<Form> forms,
                                              const CpuTarget &target) {
  LinearAttentionScratch scratch;
  for (Form form : forms) {
    int64_t floats = form != Form::Recurrent ? ChunkForm::scratchFloats(spec, target)
                     : spec.momentum()       ? MomentumForm::scratchFloats(spec, target)
                                             : ScanForm::scratchFloats(spec, target);
    scratch.perWorker = std::max(scratch.perWorker, scratchBytes(floats));
    if (form == Form::Linear) {
      scratch.perHead = 4 * ChunkForm::stateFloats(spec, target);
      scratch.heads = kWantedTasks;
    }
  }
  return scratch;
}

LinearAttentionScratch emitLinearAttention(KernelBuilder &kb, ModuleOp module, StringRef symbol,
                                           const LinearAttentionSpec &spec, int64_t scratchBuffer) {
  Emitter emitter{kb, module, spec, scratchBuffer, symbol.str()};
  SmallVector<Form> forms = formsOf(spec);
  emitter.emit(forms);
  return linearAttentionScratch(spec, forms, kb.target);
}

} // namespace attune::codegen
