#include "attune/codegen/cpu/Conv.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {
namespace {

/// Elements that a task copies, about.
constexpr double kTask = 1 << 13;

class ConvEmitter : public KernelEmitter {
public:
  StringRef name() const override { return "conv"; }

  bool matches(KernelOp op, const CpuTarget &) const override {
    return matchConv(op, Sizes(op)).has_value();
  }

  KernelPlan plan(KernelOp op, const CpuTarget &target, IndexValues valueOf) const override {
    Sizes sizes(op);
    std::optional<ConvMatch> conv = matchConv(op, sizes);
    if (!conv)
      return {};
    auto at = [&](const Size &size) -> double { return size.at(valueOf); };
    ConvTile tile = ConvTile::of(target);
    double images = at(conv->batch) * at(conv->groups), taps = conv->columns.taps;
    double positions = at(conv->rows.out) * at(conv->columns.out);
    double lines = images * conv->channels * at(conv->rows.in) * at(conv->columns.out) * 4;
    KernelPlan plan;
    if (positions == 0)
      return plan;
    plan.tasks = std::max(1.0, images * std::floor(positions * conv->channels * taps / kTask));
    plan.copied = lines * (conv->columns.stride == 1 ? 1 : taps);
    double vectors = images * positions * conv->maps * taps * conv->rows.taps / target.lanes(32);
    plan.scratch = scratchOf(op, *conv, sizes, target, valueOf);
    if (conv->kind == ConvMatch::Dense) {
      plan.rows = std::min<double>(conv->maps, tile.channels());
      plan.columns = tile.positions();
      plan.padding = padded(conv->maps, kFilterPanel) / conv->maps *
                     (padded(positions, plan.columns) / positions);
      plan.instructions = vectors * conv->channels * plan.padding;
    } else {
      double width = at(conv->columns.out), lanes = target.lanes(32);
      plan.instructions = vectors * planeWeight(*conv, width, lanes);
      if (width >= lanes)
        plan.instructions *= padded(width, lanes) / width;
    }
    return plan;
  }

  static double padded(double extent, double step) { return std::ceil(extent / step) * step; }

  /// Multiply-adds that a vector of a tap takes as long as, in one plane: its load lies in two
  /// lines mostly. Lines are copied once, short ones for every tap column, those of a stride for
  /// every tap.
  static double planeWeight(const ConvMatch &conv, double width, double lanes) {
    constexpr double kSum = 2.2, kExtremum = 2.4, kCopy = 12, kShort = 35, kStrided = 10,
                     kLine = 16;
    double taps = conv.rows.taps * conv.columns.taps, copies = kCopy / taps;
    if (conv.columns.stride != 1 || conv.rows.stride != 1)
      copies = kStrided + kLine * lanes / width;
    else if (width < 16)
      copies = kShort / conv.rows.taps;
    return (conv.kind == ConvMatch::Max ? kExtremum : kSum) + copies;
  }

  static SmallVector<KernelPlan::Scratch, 2> scratchOf(KernelOp op, const ConvMatch &conv,
                                                       const Sizes &sizes, const CpuTarget &target,
                                                       IndexValues valueOf) {
    OwningOpRef<ModuleOp> place(ModuleOp::create(op.getLoc()));
    KernelBuilder kb(op.getLoc(), target);
    kb.b.setInsertionPointToStart(place->getBody());
    ConvCode code(conv, sizes, kb, *place);
    Value elements =
        code.scratchElements([&](const Size &size) { return kb.idx(size.at(valueOf)); });
    SmallVector<KernelPlan::Scratch, 2> scratch;
    // All sizes are constants here, which fold.
    scratch.push_back({0, 4.0 * getConstantIntValue(elements).value_or(0)});
    if (conv.kind == ConvMatch::Dense && !conv.packed)
      scratch.push_back({4.0 * code.filterElements() * conv.groups.at(valueOf), 0});
    return scratch;
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Sizes sizes(op);
    std::optional<ConvMatch> conv = matchConv(op, sizes);
    if (!conv)
      return op.emitError("internal: not a kernel of the conv emitter");
    KernelBuilder kb(op.getLoc(), target);
    ConvCode code(*conv, sizes, kb, module);
    code.build(symbol);
    if (code.broken)
      return op.emitError("internal: the body of an epilogue is not supported");

    EmittedKernel emitted;
    auto shared = std::make_shared<ConvMatch>(*conv);
    emitted.scratch.push_back([=](OpBuilder &b, Location loc, ValueRange dims, Value threads) {
      KernelBuilder host(loc, target);
      host.b.setInsertionPoint(b.getInsertionBlock(), b.getInsertionPoint());
      Sizes sizes(op);
      ConvCode sized(*shared, sizes, host, ModuleOp());
      Value elements = sized.scratchElements(
          [&](const Size &size) { return hostExpr(op, size)(host.b, loc, dims, threads); });
      return host.mul(host.mul(elements, 4), threads);
    });
    if (conv->kind == ConvMatch::Dense && !conv->packed)
      emitted.scratch.push_back(hostExpr(op, Size(4 * code.filterElements()) * conv->groups));
    return emitted;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createConvEmitter() { return std::make_unique<ConvEmitter>(); }

} // namespace attune::codegen
