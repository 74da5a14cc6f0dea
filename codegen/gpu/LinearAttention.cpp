#include "attune/codegen/gpu/LinearAttention.h"

#include "attune/codegen/cpu/LinearAttentionForms.h"
#include "attune/codegen/gpu/Emitter.h"
#include "attune/codegen/gpu/Launches.h"
#include "attune/codegen/gpu/Math.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

bool hasLinearBlocks(LinearAttentionOp op) {
  Type element = getElementTypeOrSelf(op.getQuery().getType());
  bool storage = element.isF32() || element.isF16() || element.isBF16();
  constexpr int64_t kMostFeatures = 128;
  bool gatedPerHead = op.getUpdate() == Update::Gated && !op.hasFeatureGates() &&
                      op.getDen() == Denominator::Weighted;
  auto known = [](int64_t extent) { return !ShapedType::isDynamic(extent) && extent > 0; };
  int64_t depth = op.getKeyDim(), terms = op.getNumPositionTerms();
  return storage && element == getElementTypeOrSelf(op.getKey().getType()) &&
         element == getElementTypeOrSelf(op.getValue().getType()) && op.getAccumType().isF32() &&
         (op.getUpdate() == Update::Sum || gatedPerHead) && !op.getToeplitz() &&
         op.getNorm() != Weighting::Softmax && known(depth) && known(terms) &&
         depth * terms <= kMostFeatures && known(op.getValueDim());
}

namespace {

/// Parts are made until there are this many blocks, of so many chunks at least. Queries that do
/// not wait for each other's keys need no state to start with.
constexpr int64_t kWantedBlocks = 512, kLeastChunks = 4;
constexpr int64_t kScanThreads = 256;
constexpr int64_t kChunk = LinearBlockShape::kChunk;

using Match = std::shared_ptr<LinearAttentionMatch>;

class LinearAttentionKernel {
public:
  LinearAttentionKernel(KernelOp op, ModuleOp module, StringRef symbol, const CpuTarget &host,
                        Match match)
      : op(op), device(Launches::deviceModule(module)), match(match), shape(*match),
        launches(op, module, symbol, host, /*scratch=*/1) {}

  /// Whether the feature maps could be built, and cannot fail.
  bool build() {
    addStates();
    addScan();
    addOutputs();
    if (works)
      launches.finish();
    return works;
  }

  /// Of the states of all parts.
  HostExpr scratchBytes() {
    return onHost([](const Call &call) {
      return call.kb.mul(call.kb.mul(call.keyHeads(), call.parts()),
                         call.shape.slotFloats() * int64_t(sizeof(float)));
    });
  }

private:
  KernelOp op;
  ModuleOp device;
  Match match;
  LinearBlockShape shape;
  Launches launches;
  bool works = true;

  /// Sizes of a call, in any function.
  struct Call {
    KernelBuilder &kb;
    LinearBlockShape shape;
    Value batch, heads, kvHeads, queries, keys;
    Value keyHeads() const { return kb.mul(batch, kvHeads); }
    Value ceilDiv(Value x, Value y) const { return kb.div(kb.sub(kb.add(x, y), kb.idx(1)), y); }
    /// Positions of a part, from the shapes alone.
    Value length() const {
      Value others = kb.max(kb.idx(1), kb.mul(keyHeads(), shape.slabs()));
      Value wanted = ceilDiv(kb.idx(kWantedBlocks), others);
      Value each = ceilDiv(kb.ceilDiv(keys, kChunk), wanted);
      return kb.mul(kb.max(kb.idx(kLeastChunks), each), kChunk);
    }
    Value parts() const { return kb.max(kb.idx(1), ceilDiv(keys, length())); }
  };

  HostExpr onHost(std::function<Value(const Call &)> body) {
    return [op = op, match = match, shape = shape, body](OpBuilder &b, Location loc,
                                                         ValueRange dims, Value threads) {
      DeviceBuilder kb(loc);
      kb.b.setInsertionPoint(b.getInsertionBlock(), b.getInsertionPoint());
      Values sizes;
      for (const Size &size : match->extents)
        sizes.push_back(hostExpr(op, size)(kb.b, loc, dims, threads));
      return body(Call{kb, shape, sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]});
    };
  }

  static Call callOf(KernelBuilder &kb, const LinearBlockShape &shape,
                     const LinearAttentionValues &v) {
    return {kb, shape, v.batch, v.heads, v.kvHeads, v.queries, v.keys};
  }

  bool starts() const { return match->initState || match->initNorm; }

  Value stateAt(DeviceBuilder &kb, Scope &scope, Value keyHead, Value parts, Value part) {
    Value number = kb.add(kb.mul(keyHead, parts), part);
    return kb.gep(scope.scratch(0), kb.mul(number, shape.slotFloats()), kb.f32());
  }

  void addBlocks(HostExpr heads, HostExpr parts,
                 llvm::function_ref<void(DeviceBuilder &, LinearBlock &)> body) {
    LaunchShape launch;
    launch.threads = shape.threads();
    launch.grid = {heads, parts, hostConstant(shape.slabs())};
    launch.sharedBytes = shape.sharedBytes();
    // Two where shared memory has room for them and their registers suffice; nothing is spilled.
    launch.blocksTogether = shape.tensorCores() || shape.rows > LinearBlockShape::kChunk ? 1 : 2;
    launches.add(launch, [&](DeviceBuilder &kb, const KernelArgs &args) {
      Value shared = kb.dynamicShared(device);
      std::unique_ptr<LinearBlock> block =
          shape.tensorCores() ? makeTensorLinearBlock(*match, shape, kb, args, shared)
                              : makeFloatLinearBlock(*match, shape, kb, args, shared);
      body(kb, *block);
      works &= !block->broken();
    });
  }

  /// States of parts. Of a causal kernel nobody reads that of the last one.
  void addStates() {
    bool causal = shape.causal;
    auto heads = onHost([](const Call &call) { return call.keyHeads(); });
    auto parts = onHost([causal](const Call &call) {
      return causal ? call.kb.sub(call.parts(), call.kb.idx(1)) : call.parts();
    });
    addBlocks(heads, parts, [&](DeviceBuilder &kb, LinearBlock &block) {
      const LinearAttentionValues &v = block.values;
      Call call = callOf(kb, shape, v);
      LinearBlockTask task;
      Value length = call.length(), keyHead = kb.block(0), part = kb.block(1);
      task.batch = kb.div(keyHead, v.kvHeads);
      task.kvHead = kb.rem(keyHead, v.kvHeads);
      task.slab = kb.block(2);
      task.first = kb.mul(part, length);
      task.end = kb.min(v.keys, kb.add(task.first, length));
      task.state = stateAt(kb, block.scope, keyHead, call.parts(), part);
      block.states(task);
    });
  }

  void addOutputs() {
    bool causal = shape.causal;
    auto heads = onHost([](const Call &call) { return call.kb.mul(call.batch, call.heads); });
    auto parts = onHost([causal](const Call &call) {
      return causal ? call.parts() : call.kb.ceilDiv(call.queries, kLeastChunks * kChunk);
    });
    addBlocks(heads, parts, [&](DeviceBuilder &kb, LinearBlock &block) {
      const LinearAttentionValues &v = block.values;
      Call call = callOf(kb, shape, v);
      LinearBlockTask task;
      Value head = kb.block(0), part = kb.block(1), all = call.parts();
      Value group = v.heads == v.kvHeads ? kb.idx(1) : kb.div(v.heads, v.kvHeads);
      Value length = causal ? call.length() : kb.idx(kLeastChunks * kChunk);
      task.batch = kb.div(head, v.heads);
      task.head = kb.rem(head, v.heads);
      task.kvHead = kb.div(task.head, group);
      task.slab = kb.block(2);
      task.first = kb.mul(part, length);
      task.end = kb.min(v.queries, kb.add(task.first, length));
      Value keyHead = kb.add(kb.mul(task.batch, v.kvHeads), task.kvHead);
      task.state = stateAt(kb, block.scope, keyHead, all, causal ? part : kb.idx(0));
      task.hasState = !causal || starts() ? kb.constI(1, kb.b.getI1Type()) : kb.lt(kb.idx(1), all);
      if (match->finalState || match->finalNorm) {
        Value last = kb.eq(kb.add(part, 1), all);
        Value first = kb.eq(kb.rem(task.head, group), kb.idx(0));
        task.writesFinal = arith::AndIOp::create(kb.b, kb.loc, last, first);
      }
      block.outputs(task);
    });
  }

  /// The state in front of every part; of all parts, mapped, where every query sees every key.
  void addScan() {
    bool always = !shape.causal || starts();
    int64_t floats = shape.stateFloats();
    LaunchShape launch;
    launch.threads = kScanThreads;
    launch.grid = {onHost([](const Call &call) { return call.keyHeads(); }),
                   onHost([=](const Call &call) {
                     KernelBuilder &kb = call.kb;
                     Value blocks = kb.idx((floats + kScanThreads - 1) / kScanThreads);
                     Value needed = kb.lt(kb.idx(1), call.parts());
                     return always ? blocks : kb.select(needed, blocks, kb.idx(0));
                   })};
    launches.add(launch, [&](DeviceBuilder &kb, const KernelArgs &args) {
      Scope scope(match->sizes, kb, args);
      Lanes lanes(scope, 1);
      LinearAttentionValues v = match->values(scope);
      Value number = kb.add(kb.mul(kb.block(1), kScanThreads), kb.thread());
      kb.ifThen(kb.lt(number, kb.idx(floats)), [&] { scan(kb, scope, lanes, v, number); });
    });
  }

  void scan(DeviceBuilder &kb, Scope &scope, Lanes &lanes, const LinearAttentionValues &v,
            Value number) {
    Call call = callOf(kb, shape, v);
    Value parts = call.parts(), keyHead = kb.block(0);
    Value base = stateAt(kb, scope, keyHead, parts, kb.idx(0));
    auto place = [&](Value part) { return kb.add(kb.mul(part, shape.slotFloats()), number); };
    auto plus = [&](Value x, Value y) -> Value {
      return arith::AddFOp::create(kb.b, kb.loc, x, y);
    };
    Value zero = kb.constF(0);
    if (!shape.causal) {
      Value sum =
          kb.forLoop(kb.idx(0), parts, 1, {zero}, [&](Value part, ValueRange sum) -> Values {
              return {plus(sum[0], kb.load(kb.f32(), base, place(part)))};
            }).front();
      Region &map = match->op.getState();
      if (!map.empty()) {
        FailureOr<SmallVector<Lane>> made = lanes.clone(map.front(), {Lane(sum)});
        works &= succeeded(made) && isConstantIntValue(lanes.error(), 0);
        Value isNorm = kb.lt(kb.idx(shape.features * shape.valueDim - 1), number);
        if (succeeded(made))
          sum = kb.select(isNorm, sum, lanes.vector(made->front()));
      }
      return kb.store(sum, base, number);
    }
    Value before = starts() ? initial(kb, v, keyHead, number) : zero;
    kb.forLoop(kb.idx(0), parts, 1, {before}, [&](Value part, ValueRange sum) -> Values {
      auto next = [&]() -> Values {
        Value mine = kb.load(kb.f32(), base, place(part)), left = sum[0];
        if (shape.gated) {
          Value slot = kb.mul(part, shape.slotFloats());
          Value gate = kb.load(kb.f32(), base, kb.add(slot, shape.stateFloats()));
          left = arith::MulFOp::create(kb.b, kb.loc, left, gate);
        }
        return {plus(left, mine)};
      };
      // Nobody has made, or needs, the last one.
      Values sums = kb.ifElse(kb.lt(kb.add(part, 1), parts), {kb.f32()}, next,
                              [&]() -> Values { return {zero}; });
      kb.store(sum[0], base, place(part));
      return sums;
    });
  }

  Value initial(DeviceBuilder &kb, const LinearAttentionValues &v, Value keyHead, Value number) {
    LinearContext context{kb, match->spec, v};
    Value batch = kb.div(keyHead, v.kvHeads), head = kb.rem(keyHead, v.kvHeads);
    int64_t elements = shape.features * shape.valueDim;
    auto number32 = [&](const AttentionTensor &from, ArrayRef<Value> index) -> Values {
      return {from ? context.number(from, index) : kb.constF(0)};
    };
    return kb
        .ifElse(
            kb.lt(number, kb.idx(elements)), {kb.f32()},
            [&] {
              Value f = kb.div(number, shape.valueDim);
              Value e = kb.rem(number, kb.idx(shape.valueDim));
              return number32(v.initState, {batch, head, f, e});
            },
            [&] { return number32(v.initNorm, {batch, head, kb.sub(number, kb.idx(elements))}); })
        .front();
  }
};

class GpuLinearAttentionEmitter final : public KernelEmitter {
public:
  StringRef name() const override { return "gpu-linear-attention"; }

  bool matches(KernelOp op, const CpuTarget &host) const override {
    OwningOpRef<ModuleOp> trial(ModuleOp::create(op.getLoc()));
    Match match = makeMatch(op);
    return match && LinearAttentionKernel(op, *trial, "trial", host, match).build() &&
           !findRefused(*trial);
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &host) const override {
    LinearAttentionKernel kernel(op, module, symbol, host, makeMatch(op));
    if (!kernel.build())
      return op.emitError("internal: the linear attention emitter does not take this kernel");
    EmittedKernel emitted;
    emitted.scratch.push_back(kernel.scratchBytes());
    return emitted;
  }

private:
  static Match makeMatch(KernelOp op) {
    if (!Launches::fitParameters(op, /*scratch=*/1))
      return nullptr;
    auto match = std::make_shared<LinearAttentionMatch>(op);
    return match->read() && hasLinearBlocks(match->op) ? match : nullptr;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createGpuLinearAttentionEmitter(const GpuTarget &) {
  return std::make_unique<GpuLinearAttentionEmitter>();
}

} // namespace attune::codegen
