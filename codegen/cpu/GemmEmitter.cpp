#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/GemmMatch.h"
#include "attune/codegen/cpu/GemmPack.h"
#include "attune/codegen/cpu/Lanes.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {
namespace {

/// The region's values inside one emitted function.
class Bound {
public:
  Bound(const GemmMatch &g, const Sizes &sizes, KernelBuilder &kb, const KernelArgs &args)
      : g(g), kb(kb), scope(sizes, kb, args), lanes(scope, kb.lanes()) {}

  GemmOperands operands() {
    GemmOperands o;
    o.batch = scope.get(g.batch);
    o.m = scope.get(g.m);
    o.n = scope.get(g.n);
    o.k = scope.get(g.k);
    o.a = scope.input(g.a);
    o.b = scope.input(g.b);
    o.aRows = axes(g.aRows);
    o.aDepth = axes(g.aDepth);
    o.aOffset = offset(g.aOffset, axes(g.aBatch));
    if (g.columns == GemmColumns::Strided) {
      o.bDepth = axes(g.bDepth);
      o.bColumns = axes(g.bColumns);
      o.bOffset = offset(g.bOffset, axes(g.bBatch));
    }
    o.work = scope.scratch(0);
    return o;
  }

  void epilogue(const GemmPoint &point) {
    if (point.partial)
      lanes.below(point.partial, [&] { evaluate(point); });
    else
      evaluate(point);
  }

  Value status() { return lanes.error(); }

private:
  SmallVector<GemmAxis> axes(const GemmAxisSizes &sizes) {
    return llvm::map_to_vector(sizes, [&](const GemmAxisSize &axis) {
      return GemmAxis{scope.get(axis.extent), scope.get(axis.stride)};
    });
  }
  std::function<Value(Value)> offset(const Size &start, SmallVector<GemmAxis> axes) {
    Value first = scope.get(start);
    return [this, first, axes](Value batch) { return kb.add(first, axisOffset(kb, batch, axes)); };
  }

  void evaluate(const GemmPoint &point) {
    llvm::DenseMap<Value, Lane> values;
    Lane product = point.value;
    if (g.scale)
      product =
          arith::MulFOp::create(kb.b, kb.loc, point.value, lanes.vector(scale(point))).getResult();
    values[g.contract->getResult(0)] = product;
    // Views of a computed value are the value.
    auto known = [&](Value value) -> std::optional<Lane> {
      for (;;) {
        if (auto it = values.find(value); it != values.end())
          return it->second;
        Operation *op = value.getDefiningOp();
        if (!op || !isa<tensor::CastOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp,
                        linalg::TransposeOp>(op))
          return std::nullopt;
        value = op->getOperand(0);
      }
    };
    for (const GemmMatch::Step &step : g.steps) {
      linalg::GenericOp generic = step.op;
      SmallVector<Lane> args, indices;
      for (OpOperand *input : generic.getDpsInputOperands()) {
        std::optional<Lane> value = known(input->get());
        args.push_back(
            value ? *value
                  : load(input->get(), generic.getMatchingIndexingMap(input), step.loops, point));
      }
      args.resize(generic.getBody()->getNumArguments());
      if (!generic.getBody()->getOps<linalg::IndexOp>().empty())
        for (const GemmCoord &coord : step.loops)
          indices.push_back(coordinate(coord, point));
      FailureOr<SmallVector<Lane>> results = lanes.clone(*generic.getBody(), args, indices);
      if (failed(results)) {
        broken = true;
        return;
      }
      for (auto [result, lane] : llvm::zip(generic->getResults(), *results))
        values[result] = lane;
    }
    for (auto [number, output] : llvm::enumerate(g.outputs)) {
      std::optional<Lane> value = known(output.place.value);
      lanes.store(*value, scope.output(number),
                  offsetOf(output.point, output.place.offset, output.place.strides, point));
    }
  }

  Lane scale(const GemmPoint &point) {
    linalg::GenericOp generic = g.dequantise;
    auto arg = dyn_cast<BlockArgument>(g.scale);
    if (!arg)
      return Lane(kb.b.clone(*g.scale.getDefiningOp())->getResult(0));
    OpOperand *operand = generic.getMatchingOpOperand(arg);
    return load(operand->get(), generic.getMatchingIndexingMap(operand), g.scaleLoops, point);
  }

  Lane load(Value tensor, AffineMap map, ArrayRef<GemmCoord> loops, const GemmPoint &point) {
    View view = *readView(scope.sizes, tensor);
    Lane at = offsetOf(*mapCoords(map, loops), view.offset, view.strides, point);
    return lanes.load(getElementTypeOrSelf(tensor.getType()),
                      scope.input(*scope.sizes.inputNumber(view.root)), at, /*constant=*/true);
  }

  /// offset + sum(coordinate * stride); parts of one index that are evenly spaced are not taken
  /// apart, which saves the divisions.
  Lane offsetOf(GemmCoords point, const Size &offset, SmallVector<Size> strides,
                const GemmPoint &at) {
    for (size_t i = 0; i < point.size(); ++i)
      for (size_t j = 0; j < point.size();) {
        const GemmCoord outer = point[i], inner = point[j];
        if (i != j && outer.base == inner.base && outer.base != GemmCoord::Zero &&
            outer.divisor == inner.divisor * inner.extent &&
            strides[i] == strides[j] * inner.extent) {
          point[i] = {outer.base, inner.divisor, outer.extent * inner.extent, outer.outermost};
          strides[i] = strides[j];
          point[j] = GemmCoord();
          strides[j] = Size(0);
          j = 0;
          continue;
        }
        ++j;
      }
    Lane sum(scope.get(offset));
    for (auto [coord, stride] : llvm::zip(point, strides))
      if (coord.base != GemmCoord::Zero && !stride.is(0))
        sum = lanes.add(sum, lanes.mul(coordinate(coord, at), scope.get(stride)));
    return sum;
  }

  Lane coordinate(const GemmCoord &coord, const GemmPoint &point) {
    if (coord.base == GemmCoord::Zero)
      return Lane(kb.idx(0));
    Value divisor = scope.get(coord.divisor), extent = scope.get(coord.extent);
    auto part = [&](Value base) {
      if (!coord.divisor.is(1))
        base = kb.div(base, divisor);
      return coord.outermost ? base : kb.rem(base, extent);
    };
    if (coord.base == GemmCoord::Batch)
      return Lane(part(point.batch));
    if (coord.base == GemmCoord::Row)
      return Lane(part(point.row));
    // A vector starts at a multiple of its lanes: it stays within blocks that are multiples, too.
    if (coord.divisor.is(1) && (coord.outermost || coord.extent.multipleOf(lanes.count)))
      return Lane::linear(part(point.column));
    if (coord.divisor.multipleOf(lanes.count))
      return Lane(part(point.column));
    Value columns = lanes.vector(Lane::linear(point.column));
    if (!coord.divisor.is(1))
      columns = arith::DivUIOp::create(kb.b, kb.loc, columns, kb.splat(divisor, lanes.count));
    if (!coord.outermost)
      columns = arith::RemUIOp::create(kb.b, kb.loc, columns, kb.splat(extent, lanes.count));
    return Lane(columns);
  }

  const GemmMatch &g;
  KernelBuilder &kb;
  Scope scope;
  Lanes lanes;

public:
  bool broken = false; ///< a body could not be cloned, although it was supported
};

class GemmEmitter : public KernelEmitter {
public:
  StringRef name() const override { return "gemm"; }

  bool matches(KernelOp op, const CpuTarget &) const override {
    return matchGemm(op, Sizes(op)).has_value();
  }

  /// `GemmScratch::bytes` as a host expression.
  static HostExpr scratchBytes(KernelOp op, const GemmMatch &g, GemmScratch scratch) {
    HostExpr fixed = hostExpr(op, Size(scratch.fixed) + Size(scratch.perDepth) * g.k);
    HostExpr rows = hostExpr(op, g.m), line = hostExpr(op, Size(4) * (g.k + Size(kPanelColumns)));
    return [=](OpBuilder &b, Location loc, ValueRange dims, Value threads) -> Value {
      auto number = [&](int64_t value) -> Value {
        return arith::ConstantIndexOp::create(b, loc, value);
      };
      Value most = arith::MinSIOp::create(b, loc, rows(b, loc, dims, threads),
                                          number(scratch.rowLimit));
      Value panels = arith::MulIOp::create(b, loc, most, line(b, loc, dims, threads));
      Value worker = arith::AddIOp::create(b, loc, fixed(b, loc, dims, threads), panels);
      Value all = arith::MulIOp::create(b, loc, worker, threads);
      return arith::AddIOp::create(b, loc, all, number(GemmScratch::slack));
    };
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Sizes sizes(op);
    std::optional<GemmMatch> g = matchGemm(op, sizes);
    if (!g)
      return op.emitError("internal: not a kernel of the gemm emitter");
    KernelBuilder kb(op.getLoc(), target);
    bool broken = false;
    GemmSpec spec;
    spec.columns = g->columns;
    spec.m = g->m.constant();
    spec.n = g->n.constant();
    spec.k = g->k.constant();
    std::vector<std::shared_ptr<Bound>> functions;
    spec.bind = [&](KernelBuilder &kb, const KernelArgs &args) {
      functions.push_back(std::make_shared<Bound>(*g, sizes, kb, args));
      Bound *bound = functions.back().get();
      GemmOperands operands = bound->operands();
      operands.epilogue = [bound](KernelBuilder &, const GemmPoint &point) {
        bound->epilogue(point);
      };
      operands.status = [bound] { return bound->status(); };
      return operands;
    };
    emitGemm(kb, module, symbol, spec);
    for (const auto &bound : functions)
      broken |= bound->broken;
    if (broken)
      return op.emitError("internal: the body of an epilogue is not supported");

    EmittedKernel emitted;
    emitted.scratch.push_back(scratchBytes(op, *g, gemmScratch(spec, target)));
    return emitted;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createGemmEmitter() { return std::make_unique<GemmEmitter>(); }

} // namespace attune::codegen
