// What the blocks of linear attention have in common: chunks of queries, keys and values in shared
// memory, as features where the kernel maps or weighs them, and the states in memory.
#include "attune/codegen/cpu/AttentionVector.h"
#include "attune/codegen/cpu/LinearAttentionForms.h"
#include "attune/codegen/gpu/LinearAttention.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

#include <numbers>

using namespace mlir;

namespace attune::codegen {

/// Bytes of a table of gates, of all with the logarithm of a part.
static constexpr int64_t kTable = LinearBlockShape::kChunk * sizeof(float);
static constexpr int64_t kGateBytes = 4 * kTable + 16;

LinearBlockShape::LinearBlockShape(const LinearAttentionMatch &match)
    : element(match.query->element), features(match.spec.features()),
      rows((features + 63) / 64 * 64), valueDim(match.spec.valueDim), columns(64),
      causal(match.spec.causal), sums(match.spec.hasNorm()), gated(match.spec.gated()) {
  // A state of 128 features and 64 columns leaves too few registers.
  if (tensorCores() && (valueDim <= 32 || rows > 64))
    columns = 32;
}

int64_t LinearBlockShape::sharedBytes() const {
  int64_t stage = kChunk * (2 * rows + columns) * bytes();
  int64_t others = tensorCores() ? stage + tensorLinearBytes(*this) : floatLinearBytes(*this);
  return stage + others + (gated ? kGateBytes : 0);
}

LinearBlock::LinearBlock(const LinearAttentionMatch &match, const LinearBlockShape &shape,
                         DeviceBuilder &kb, const KernelArgs &args, Value shared)
    : scope(match.sizes, kb, args), lanes(scope, 1), values(match.values(scope)), match(match),
      shape(shape), kb(kb), shared(shared) {}

bool LinearBlock::broken() const {
  return failed || !isConstantIntValue(const_cast<Lanes &>(lanes).error(), 0);
}

//===- Chunks
//-------------------------------------------------------------------------------------===//

TileLayout LinearBlock::layout(Tile tile) const {
  return {kChunk, tile == Columns ? shape.columns : shape.rows, shape.bytes(),
          /*depthInside=*/false, /*swizzled=*/true};
}

int64_t LinearBlock::stageBytes() const {
  return 2 * layout(Keys).bytes() + layout(Columns).bytes();
}

Value LinearBlock::tileAt(Value place, Tile tile) {
  return kb.sharedAt(place, kb.idx(tile * layout(Keys).bytes()));
}

/// Rows of a tile are positions, columns features.
TileSource LinearBlock::source(Tile tile) const {
  const LinearAttentionMatch::Operand &from = tile == Queries ? *match.query
                                              : tile == Keys  ? *match.key
                                                              : *match.value;
  ArrayRef<Size> strides = from.strides;
  int64_t width = tile == Columns ? match.spec.valueDim : match.spec.keyDim;
  const Size &heads = match.extents[tile == Queries ? 1 : 2];
  const Size &positions = match.extents[tile == Queries ? 3 : 4];
  return {from.number,
          from.offset,
          Size(width),
          positions,
          {{match.extents[0], strides[0]}, {heads, strides[1]}},
          {{Size(width), strides[3]}},
          {{positions, strides[2]}}};
}

void LinearBlock::makeLoaders(const LinearBlockTask &task, bool queries, bool keys) {
  auto add = [&](Tile tile, bool wanted) {
    if (!wanted)
      return;
    auto loader = std::make_unique<Loader>(Loader{tile, layout(tile), nullptr});
    bool own = tile == Queries;
    Value head = kb.add(kb.mul(task.batch, own ? values.heads : values.kvHeads),
                        own ? task.head : task.kvHead);
    Value first = tile == Columns ? firstColumn(task) : kb.idx(0);
    loader->loader = std::make_unique<TileLoader>(kb, scope, source(tile), loader->layout,
                                                  shape.element, head, first, shape.threads());
    loaders.push_back(std::move(loader));
  };
  add(Queries, queries);
  add(Keys, keys);
  add(Columns, keys);
}

void LinearBlock::start(Value position, Value place) {
  for (auto &loader : loaders)
    loader->loader->load(position, tileAt(place, loader->tile));
}

//===- Features
//-----------------------------------------------------------------------------------===//

bool LinearBlock::isMapped(Tile tile) const {
  LinearAttentionOp op = match.op;
  if (tile == Columns)
    return false;
  bool table = bool(values.queryPos);
  return tile == Queries ? table || !op.getPhiQ().empty()
                         : table || !op.getPhiK().empty() || values.keyMask;
}

Value LinearBlock::mapped(Region &region, Value x) {
  if (region.empty())
    return x;
  FailureOr<SmallVector<Lane>> made = lanes.clone(region.front(), {Lane(x)});
  failed |= mlir::failed(made);
  if (mlir::failed(made))
    return x;
  Value feature = lanes.vector(made->front());
  if (!shape.tensorCores())
    return feature;
  // Features are rounded to 16 bits: exponentials need no polynomial.
  SetVector<Operation *> slice;
  BackwardSliceOptions options;
  options.inclusive = true;
  options.filter = [&](Operation *op) { return op->getBlock() == kb.b.getInsertionBlock(); };
  if (mlir::failed(getBackwardSlice(feature, &slice, options)))
    return feature;
  for (Operation *op : slice) {
    if (!isa<math::ExpOp, math::ExpM1Op>(op) || !op->getResult(0).getType().isF32())
      continue;
    OpBuilder::InsertionGuard guard(kb.b);
    kb.b.setInsertionPoint(op);
    Value x = op->getOperand(0), fast = isa<math::ExpOp>(op) ? fastExp(x) : fastExpM1(x);
    if (op == feature.getDefiningOp())
      feature = fast;
    op->replaceAllUsesWith(ValueRange{fast});
    op->erase();
  }
  return feature;
}

/// Near 0, where the difference would lose digits, by two terms of the series.
Value LinearBlock::fastExpM1(Value x) {
  Value half = math::FmaOp::create(kb.b, kb.loc, x, kb.constF(0.5), kb.constF(1));
  Value series = arith::MulFOp::create(kb.b, kb.loc, x, half);
  Value rest = arith::SubFOp::create(kb.b, kb.loc, fastExp(x), kb.constF(1));
  Value size = math::AbsFOp::create(kb.b, kb.loc, x);
  Value small =
      arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OLT, size, kb.constF(0.01));
  return kb.select(small, series, rest);
}

Value LinearBlock::fastExp(Value x) {
  x = arith::MulFOp::create(kb.b, kb.loc, x, kb.constF(std::numbers::log2e));
  auto name = kb.b.getStringAttr("llvm.nvvm.ex2.approx.ftz.f");
  return LLVM::CallIntrinsicOp::create(kb.b, kb.loc, kb.f32(), name, ValueRange{x}).getResult(0);
}

void LinearBlock::finish(const LinearBlockTask &task, Value position, Value place) {
  auto changes = [&](auto &loader) { return isMapped(loader->tile); };
  if (!llvm::any_of(loaders, changes))
    return;
  for (auto &loader : loaders)
    if (changes(loader))
      mapFeatures(loader->tile, task, position, tileAt(place, loader->tile));
  kb.barrier();
}

/// The thread that reads an element writes the features made of it: the first ones in its place.
void LinearBlock::mapFeatures(Tile tile, const LinearBlockTask &task, Value position, Value place) {
  LinearAttentionOp op = match.op;
  TileLayout tiles = layout(tile);
  bool ofQueries = tile == Queries;
  Region &map = ofQueries ? op.getPhiQ() : op.getPhiK();
  const AttentionTensor &table = ofQueries ? values.queryPos : values.keyPos;
  int64_t depth = match.spec.keyDim, wide = tiles.perChunk();
  wide = depth % wide ? 1 : wide;
  Value count = ofQueries ? values.queries : values.keys;
  auto type = kb.vec(wide, shape.element);
  LinearContext context{kb, match.spec, values};
  int64_t perRow = depth / wide;
  kb.forLoop(kb.thread(), kb.idx(kChunk * perRow), shape.threads(), [&](Value number) {
    Value row = kb.div(number, perRow), column = kb.mul(kb.rem(number, kb.idx(perRow)), wide);
    Value there = kb.add(position, row), exists = kb.lt(there, count);
    Value inside = kb.select(exists, there, kb.idx(0)); // there is a key, or no block
    auto address = [&](int64_t term) {
      Value element = kb.add(column, term * depth);
      return kb.sharedAt(place, wide == 1 ? tiles.element(kb, row, element)
                                          : tiles.chunk(kb, row, kb.div(element, wide)));
    };
    unsigned align = unsigned(wide * shape.bytes());
    Value x = LLVM::LoadOp::create(kb.b, kb.loc, type, address(0), align);
    Values features;
    for (int64_t i = 0; i < wide; ++i) {
      Value one = vector::ExtractOp::create(kb.b, kb.loc, x, i);
      if (!one.getType().isF32())
        one = arith::ExtFOp::create(kb.b, kb.loc, kb.f32(), one);
      features.push_back(mapped(map, one));
    }
    Value mask;
    if (!ofQueries && values.keyMask)
      mask = context.number(values.keyMask, {task.batch, inside});
    for (int64_t term = 0; term < match.spec.terms; ++term) {
      Value scale = mask;
      if (table) {
        scale = context.number(table, {kb.idx(term), inside});
        if (mask)
          scale = arith::MulFOp::create(kb.b, kb.loc, scale, mask);
      }
      Values weighed;
      for (Value feature : features) {
        if (scale)
          feature = arith::MulFOp::create(kb.b, kb.loc, feature, scale);
        feature = kb.select(exists, feature, kb.constF(0));
        if (!shape.element.isF32())
          feature = arith::TruncFOp::create(kb.b, kb.loc, shape.element, feature);
        weighed.push_back(feature);
      }
      Value vector = vector::FromElementsOp::create(kb.b, kb.loc, type, weighed);
      LLVM::StoreOp::create(kb.b, kb.loc, vector, address(term), align);
    }
  });
}

//===- Gates
//----------------------------------------------------------------------------------------===//

/// The first warp adds logarithms up, two positions a lane, in f64: differences of sums are exact
/// enough as pairs of f32.
void LinearBlock::makeGates(const LinearBlockTask &task, Value position) {
  if (!shape.gated)
    return;
  LinearContext context{kb, match.spec, values};
  constexpr int64_t kWarp = DeviceBuilder::kWarp;
  Type f64 = kb.b.getF64Type();
  auto plus = [&](Value x, Value y) -> Value { return arith::AddFOp::create(kb.b, kb.loc, x, y); };
  auto wide = [&](Value x) -> Value { return arith::ExtFOp::create(kb.b, kb.loc, f64, x); };
  auto narrow = [&](Value x) -> Value {
    return arith::TruncFOp::create(kb.b, kb.loc, kb.f32(), x);
  };
  kb.ifThen(kb.lt(kb.thread(), kb.idx(kWarp)), [&] {
    Value before = kb.constF(0, f64);
    Values sums;
    for (int64_t half = 0; half < kChunk / kWarp; ++half) {
      Value there = kb.add(kb.add(position, kb.thread()), half * kWarp);
      Value exists = kb.lt(there, values.keys);
      Value inside = kb.select(exists, there, kb.idx(0));
      Value g = context.number(values.decay, {task.batch, task.kvHead, inside});
      // Its exponential is 0 in f32; -inf itself would make differences NaN.
      g = maxDroppingNaN(kb, kb.constF(-104), g);
      Value sum = wide(kb.select(exists, g, kb.constF(0))), all = sum;
      for (int64_t step = 1; step < kWarp; step *= 2) {
        Value other = kb.shuffleXor(all, step);
        Value isLater = kb.cmp(arith::CmpIPredicate::ne,
                               kb.rem(kb.div(kb.thread(), step), kb.idx(2)), kb.idx(0));
        sum = kb.select(isLater, plus(sum, other), sum);
        all = plus(all, other);
      }
      sums.push_back(plus(before, sum));
      before = plus(before, all);
    }
    for (auto [half, sum] : llvm::enumerate(sums)) {
      Value high = narrow(sum), rest = arith::SubFOp::create(kb.b, kb.loc, sum, wide(high));
      Value left = narrow(arith::SubFOp::create(kb.b, kb.loc, before, sum));
      Value tables[] = {high, narrow(rest), math::ExpOp::create(kb.b, kb.loc, high),
                        math::ExpOp::create(kb.b, kb.loc, left)};
      Value offset = kb.mul(kb.add(kb.thread(), half * kWarp), sizeof(float));
      for (auto [number, x] : llvm::enumerate(tables)) {
        Value table = at(shape.sharedBytes() - kGateBytes + number * kTable);
        LLVM::StoreOp::create(kb.b, kb.loc, x, kb.sharedAt(table, offset), sizeof(float));
      }
    }
    if (!countsPart)
      return;
    kb.ifThen(kb.eq(kb.thread(), kb.idx(0)), [&] {
      Value part = at(shape.sharedBytes() - 16);
      Value sum = LLVM::LoadOp::create(kb.b, kb.loc, kb.f32(), part, sizeof(float));
      LLVM::StoreOp::create(kb.b, kb.loc, plus(sum, narrow(before)), part, sizeof(float));
    });
  });
}

Value LinearBlock::gate(Gate which, Value position, int64_t count) {
  Value table = at(shape.sharedBytes() - kGateBytes + which * kTable);
  Value address = kb.sharedAt(table, kb.mul(position, sizeof(float)));
  Type type = count == 1 ? kb.f32() : Type(kb.vec(count));
  return LLVM::LoadOp::create(kb.b, kb.loc, type, address, unsigned(count * sizeof(float)));
}

Value LinearBlock::gateBetween(Value high, Value low, Value key) {
  Value x = arith::SubFOp::create(kb.b, kb.loc, high, gate(High, key));
  Value y = arith::SubFOp::create(kb.b, kb.loc, low, gate(Low, key));
  return arith::AddFOp::create(kb.b, kb.loc, x, y);
}

void LinearBlock::startPartGate() {
  if (!shape.gated)
    return;
  countsPart = true;
  kb.ifThen(kb.eq(kb.thread(), kb.idx(0)), [&] {
    LLVM::StoreOp::create(kb.b, kb.loc, kb.constF(0), at(shape.sharedBytes() - 16), 4);
  });
}

void LinearBlock::storePartGate(const LinearBlockTask &task) {
  if (!shape.gated)
    return;
  Value mine = arith::AndIOp::create(kb.b, kb.loc, kb.eq(kb.thread(), kb.idx(0)),
                                     kb.eq(task.slab, kb.idx(0)));
  kb.ifThen(mine, [&] {
    Value sum = LLVM::LoadOp::create(kb.b, kb.loc, kb.f32(), at(shape.sharedBytes() - 16), 4);
    kb.store(math::ExpOp::create(kb.b, kb.loc, sum), task.state, kb.idx(shape.stateFloats()));
  });
}

//===- States and results
//-------------------------------------------------------------------------===//

Value LinearBlock::loadState(const LinearBlockTask &task, Value f, Value e) {
  return kb.load(kb.f32(), task.state, stateOffset(f, e));
}

Value LinearBlock::loadNorm(const LinearBlockTask &task, Value f) {
  return kb.load(kb.f32(), task.state, kb.add(f, shape.features * shape.valueDim));
}

void LinearBlock::storeState(const LinearBlockTask &task, bool isFinal, Value f, Value e, Value x) {
  if (!isFinal)
    return kb.store(x, task.state, stateOffset(f, e));
  LinearContext context{kb, match.spec, values};
  const AttentionTensor &to = values.finalState;
  Value row = context.at(to, {task.batch, task.kvHead, f, e});
  if (!to.element.isF32())
    x = arith::TruncFOp::create(kb.b, kb.loc, to.element, x);
  kb.store(x, row);
}

void LinearBlock::storeNorm(const LinearBlockTask &task, bool isFinal, Value f, Value x) {
  if (!isFinal)
    return kb.store(x, task.state, kb.add(f, shape.features * shape.valueDim));
  LinearContext context{kb, match.spec, values};
  const AttentionTensor &to = values.finalNorm;
  if (!to.element.isF32())
    x = arith::TruncFOp::create(kb.b, kb.loc, to.element, x);
  kb.store(x, context.at(to, {task.batch, task.kvHead, f}));
}

Value LinearBlock::factor(Value sum, Value query) {
  return LinearContext{kb, match.spec, values}.factor(sum, query);
}

bool LinearBlock::storesChunks() const {
  const LinearAttentionMatch::Operand &to = *match.result;
  TileSource like = source(Columns);
  like.offset = to.offset;
  like.batch = {{match.extents[0], to.strides[0]}, {match.extents[1], to.strides[1]}};
  like.outer = {{Size(shape.valueDim), to.strides[3]}};
  like.depth = {{match.extents[3], to.strides[2]}};
  return to.element == shape.element && like.chunksAlongOuter(16 / shape.bytes());
}

Value LinearBlock::resultAt(const LinearBlockTask &task, Value query, Value column) {
  LinearContext context{kb, match.spec, values};
  return context.at(values.result, {task.batch, task.head, query, column});
}

} // namespace attune::codegen
