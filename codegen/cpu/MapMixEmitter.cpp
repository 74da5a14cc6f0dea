#include "attune/codegen/cpu/MapMix.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {

/// The kernel input that an f32 tensor is a view of.
static bool readOperand(const Sizes &sizes, Value tensor, MapMixMatch::Operand &operand) {
  std::optional<View> view = readView(sizes, tensor);
  std::optional<int64_t> input = view ? sizes.inputNumber(view->root) : std::nullopt;
  if (!input || !getElementTypeOrSelf(tensor.getType()).isF32())
    return false;
  operand = {*input, *view};
  return true;
}

/// A bias that is the same for all channels lies in the kernel itself.
static bool readBias(const Sizes &sizes, Value tensor, MapMixMatch::Stage &stage) {
  DenseFPElementsAttr constant;
  if (matchPattern(tensor, m_Constant(&constant)) && constant.isSplat()) {
    stage.everyBias = constant.getSplatValue<APFloat>().convertToDouble();
    return constant.getElementType().isF32();
  }
  return readOperand(sizes, tensor, stage.bias.emplace());
}

/// Stages that keep to one position need no rows: all positions are one long row, if they lie so.
static void flattenRows(MapMixMatch &mix) {
  for (const MapMixMatch::Stage &stage : mix.stages)
    if (stage.rows != 1 || stage.columns != 1)
      return;
  SmallVector<SmallVector<Size> *> strides{&mix.maps.view.strides, &mix.result.strides};
  if (mix.hasPrevious)
    strides.push_back(&mix.previous.view.strides);
  for (SmallVector<Size> *s : strides)
    if ((*s)[2] != (*s)[3] * mix.columns)
      return;
  mix.columns = mix.columns * mix.rows;
  mix.rows = 1;
}

std::optional<MapMixMatch> matchMapMix(KernelOp op, const Sizes &sizes) {
  MapMixMatch mix;
  Block &body = op.getBody().front();
  for (Operation &inner : body.without_terminator())
    if (auto found = dyn_cast<MapMixOp>(inner)) {
      if (mix.op)
        return std::nullopt;
      mix.op = found;
    }
  if (!mix.op || body.getTerminator()->getNumOperands() != 1)
    return std::nullopt;
  MapMixOp found = mix.op;
  mix.hasPrevious = bool(found.getPrevious());
  if (!readOperand(sizes, found.getMaps(), mix.maps) ||
      (mix.hasPrevious && !readOperand(sizes, found.getPrevious(), mix.previous)) ||
      !getElementTypeOrSelf(found.getResult().getType()).isF32())
    return std::nullopt;
  std::optional<SmallVector<Size>> extents = sizes.extents(found.getMaps());
  std::optional<SmallVector<Placement>> places =
      writeViews(sizes, body.getTerminator()->getOperand(0));
  if (!extents || !(*extents)[1].constant() || !places || places->size() != 1 ||
      places->front().value != found.getResult() || !places->front().strides[3].is(1))
    return std::nullopt;
  mix.batch = (*extents)[0];
  mix.channels = *(*extents)[1].constant();
  mix.rows = (*extents)[2];
  mix.columns = (*extents)[3];
  mix.result = places->front();
  mix.alpha = found.getAlpha().convertToDouble();
  mix.beta = found.getBeta().convertToDouble();
  int64_t channels = mix.channels;
  for (int64_t n = 0; n < found.getNumStages(); ++n) {
    MapMixMatch::Stage stage;
    auto type = cast<RankedTensorType>(found.getWeights()[n].getType());
    if (!type.hasStaticShape() || type.getNumElements() == 0 ||
        !readOperand(sizes, found.getWeights()[n], stage.weight) ||
        !readBias(sizes, found.getBiases()[n], stage))
      return std::nullopt;
    stage.groups = found.getGroups()[n];
    stage.out = type.getDimSize(0) / stage.groups;
    stage.in = type.getDimSize(1);
    stage.rows = type.getDimSize(2);
    stage.columns = type.getDimSize(3);
    stage.dilation = found.getDilations()[n];
    stage.act = found.getAct(n);
    stage.slope = found.getSlopes()[n];
    if (stage.groups * stage.in != channels)
      return std::nullopt;
    channels = stage.groups * stage.out;
    mix.stages.push_back(stage);
  }
  flattenRows(mix);
  return mix;
}

namespace {

class MapMixEmitter : public KernelEmitter {
public:
  StringRef name() const override { return "map_mix"; }

  bool matches(KernelOp op, const CpuTarget &) const override {
    return matchMapMix(op, Sizes(op)).has_value();
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Sizes sizes(op);
    std::optional<MapMixMatch> mix = matchMapMix(op, sizes);
    if (!mix)
      return op.emitError("internal: not a kernel of the map_mix emitter");
    KernelBuilder kb(op.getLoc(), target);
    MapMixCode code(*mix, sizes, kb, module);
    code.build(symbol);

    EmittedKernel emitted;
    auto shared = std::make_shared<MapMixMatch>(*mix);
    emitted.scratch.push_back([=](OpBuilder &b, Location loc, ValueRange dims, Value threads) {
      KernelBuilder host(loc, target);
      host.b.setInsertionPoint(b.getInsertionBlock(), b.getInsertionPoint());
      Sizes sizes(op);
      MapMixCode sized(*shared, sizes, host, ModuleOp());
      Value elements = sized.workerElements(
          [&](const Size &size) { return hostExpr(op, size)(host.b, loc, dims, threads); });
      return host.mul(host.mul(elements, 4), threads);
    });
    emitted.scratch.push_back(hostExpr(op, Size(4 * code.weightElements())));
    return emitted;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createMapMixEmitter() { return std::make_unique<MapMixEmitter>(); }

} // namespace attune::codegen
