#include "attune/codegen/cost/Eyeriss.h"

#include "attune/codegen/cost/IndexValue.h"
#include "attune/codegen/cost/Work.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/OwningOpRef.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {
namespace {

// The array of the published model.
constexpr int64_t kElements = 192, kBufferWords = 65536, kFilterWords = 960, kRowWords = 12,
                  kRowMaps = 16;
constexpr double kClock = 250e6, kPico = 1e-12;

/// Picojoules: per operation, and per 16 bits moved.
struct Units {
  double multiply, add, shift;
};
constexpr Units kUnits32{3.7, 0.9, 0.13}, kUnits8{0.2, 0.03, 0.024};
constexpr double kDram = 200, kBuffer = 6 * 3.7, kNetwork = 2 * 3.7, kPartial = 1 * 3.7,
                 kRegister = 1 * 3.7, kRegisterWeight = 2 * 3.7;

std::vector<int64_t> divisors(int64_t x) {
  std::vector<int64_t> list;
  for (int64_t d = 1; d <= x; ++d)
    if (x % d == 0)
      list.push_back(d);
  return list;
}

struct Split {
  int64_t n0, n3, m0, m1, m2, m3, c0, c1, c2, e1, e3;
};

template <class Body> void forSplits(const RsLayer &l, Body body) {
  auto inN = divisors(l.n), inM = divisors(l.m), inC = divisors(l.c), inE = divisors(l.e);
  for (int64_t m0 : inM)
    for (int64_t m1 : inM)
      for (int64_t c0 : inC) {
        if (m0 > kRowMaps || c0 * l.s >= kRowWords || m0 * c0 * l.s >= kFilterWords ||
            l.m % (m0 * m1) || m1 * l.r >= kElements)
          continue;
        for (int64_t c1 : inC)
          for (int64_t e1 : inE) {
            if (l.c % (c0 * c1) || m1 * c1 * e1 * l.r >= kElements)
              continue;
            for (int64_t n0 : inN) {
              // Rows of inputs behind e1 rows of outputs.
              double rows = std::ceil(1.0 * l.h * e1 / l.e + (e1 < l.e ? l.r - 1 : 0));
              double in = n0 * c0 * c1 * rows * l.w, out = 1.0 * n0 * m0 * m1 * e1 * l.f;
              if (in + out >= kBufferWords)
                continue;
              for (int64_t m2 : inM)
                if (l.m % (m0 * m1 * m2) == 0)
                  body(Split{n0, l.n / n0, m0, m1, m2, l.m / (m0 * m1 * m2), c0, c1,
                             l.c / (c0 * c1), e1, l.e / e1});
            }
          }
      }
}

RsCost costOf(const RsLayer &l, const RsOptions &options, const Split &x) {
  const Units &unit = options.bits == 8 ? kUnits8 : kUnits32;
  bool shift = l.kind == WorkTerm::Class::Shift, add = l.kind == WorkTerm::Class::Distance;
  unsigned bits = shift && options.shiftWordBits ? options.shiftWordBits : options.bits;
  double images = 1.0 * l.n * l.c * l.h * l.w, filters = 1.0 * l.m * l.c * l.r * l.s;
  double outputs = 1.0 * l.n * l.m * l.e * l.f;
  auto most = [](double a) { return std::max(a, 1.0); };

  double networkIn = 1.0 * x.m3 * x.m2 * x.m1 * l.r * l.e / l.h * images;
  double dram = x.m3 * images + 1.0 * x.n3 * x.e3 * filters + outputs;
  double buffer = 1.0 * x.m3 * x.m2 * images + most(2.0 * (x.c2 - 1)) * outputs;
  double networkFilters = 1.0 * x.n3 * x.e3 * x.e1 * filters;
  double partial = most(x.c2 * (x.c1 * l.r - 1.0)) * outputs;
  double registersIn = networkIn * x.m0 * l.s * l.f / l.w;
  double registersOut = most(2.0 * x.c2 * x.c1 * l.r * (x.c0 * l.s - 1.0)) * outputs;
  double registersFilters = networkFilters * l.f * x.n0;
  if (add && options.assumeOnchipAdd)
    dram = buffer = networkIn = 0;

  RsCost cost;
  double perWord = kPico * bits / 16;
  double operation = add ? 2 * unit.add : (shift ? unit.shift : unit.multiply) + unit.add;
  cost.compute = kPico * operation * l.macs();
  cost.dram = perWord * kDram * dram;
  cost.buffer = perWord * kBuffer * buffer;
  cost.network = perWord * (kNetwork * (networkIn + networkFilters) + kPartial * partial);
  cost.registers =
      perWord * (kRegister * (registersIn + registersOut) + kRegisterWeight * registersFilters);
  cost.joules = cost.compute + cost.dram + cost.buffer + cost.network + cost.registers;
  double cycles = 1.0 * x.n3 * x.n0 * x.m3 * x.m2 * x.m0 * x.c2 * x.c0 * x.e3 * l.f * l.s;
  if (shift && options.shiftWordBits)
    cycles *= bits / 32.0;
  cost.seconds = cycles / kClock;
  cost.n0 = x.n0, cost.m0 = x.m0, cost.m1 = x.m1, cost.m2 = x.m2;
  cost.c0 = x.c0, cost.c1 = x.c1, cost.e1 = x.e1;
  return cost;
}

} // namespace

std::optional<RsCost> rsCost(const RsLayer &layer, const RsOptions &options) {
  double joules = INFINITY, seconds = INFINITY;
  forSplits(layer, [&](const Split &split) {
    RsCost cost = costOf(layer, options, split);
    joules = std::min(joules, cost.joules);
    seconds = std::min(seconds, cost.seconds);
  });
  std::optional<RsCost> best;
  double least = INFINITY;
  forSplits(layer, [&](const Split &split) {
    RsCost cost = costOf(layer, options, split);
    double sum = cost.joules / joules + cost.seconds / seconds;
    if (sum >= least)
      return;
    least = sum;
    best = cost;
  });
  if (best) {
    for (double *sum : {&best->joules, &best->seconds, &best->compute, &best->dram, &best->buffer,
                        &best->network, &best->registers})
      *sum *= layer.count;
  }
  return best;
}

namespace {

/// The loops of a sum of products as those of a convolution. Loops of both operands and the result
/// are equal layers; of the weight and the result, maps; of both operands only, channels or taps;
/// of the image and the result, images or positions.
RsLayer layerOf(WorkTerm::Class kind, AffineMap image, AffineMap weight, AffineMap result,
                ArrayRef<int64_t> loops) {
  RsLayer layer;
  layer.kind = kind;
  struct Window {
    int64_t outputs = 1, taps = 1, inputs = 1;
  };
  SmallVector<Window> windows; // outermost first
  SmallVector<AffineExpr> last = llvm::map_to_vector(
      loops, [&](int64_t extent) { return getAffineConstantExpr(extent - 1, image.getContext()); });
  llvm::SmallBitVector inWindow(loops.size());
  for (AffineExpr expr : image.getResults()) {
    if (isa<AffineDimExpr, AffineConstantExpr>(expr))
      continue;
    Window window;
    if (auto end = dyn_cast<AffineConstantExpr>(expr.replaceDims(last)))
      window.inputs = end.getValue() + 1;
    for (unsigned loop = 0; loop < loops.size(); ++loop)
      if (expr.isFunctionOfDim(loop)) {
        inWindow.set(loop);
        (result.isFunctionOfDim(loop) ? window.outputs : window.taps) *= loops[loop];
      }
    windows.push_back(window);
  }
  for (unsigned loop = 0; loop < loops.size(); ++loop) {
    bool inImage = image.isFunctionOfDim(loop), inWeight = weight.isFunctionOfDim(loop);
    if (inWindow.test(loop))
      continue;
    if (!result.isFunctionOfDim(loop))
      layer.c *= loops[loop];
    else if (inImage && inWeight)
      layer.count *= loops[loop];
    else if (inWeight)
      layer.m *= loops[loop];
    else if (windows.empty())
      layer.e *= loops[loop];
    else
      layer.n *= loops[loop];
  }
  layer.h = layer.e;
  if (!windows.empty())
    layer.e = windows[0].outputs, layer.r = windows[0].taps, layer.h = windows[0].inputs;
  if (windows.size() > 1)
    layer.f = windows[1].outputs, layer.s = windows[1].taps, layer.w = windows[1].inputs;
  return layer;
}

std::optional<RsLayer> structuredLayer(Operation *op, IndexValue &valueOf) {
  auto loopsOf = [&](ArrayRef<AffineMap> maps, ArrayRef<Value> operands) {
    SmallVector<int64_t> loops(maps.front().getNumDims(), 1);
    for (auto [map, operand] : llvm::zip(maps, operands))
      for (auto [axis, expr] : llvm::enumerate(map.getResults()))
        if (auto dim = dyn_cast<AffineDimExpr>(expr))
          loops[dim.getPosition()] = valueOf.extent(operand, axis);
    return loops;
  };
  if (auto contract = dyn_cast<ContractOp>(op)) {
    SmallVector<AffineMap> maps = contract.getMaps();
    auto loops = loopsOf(maps, {contract.getInput(), contract.getWeight(), contract.getResult()});
    auto kind = contract.isShift() ? WorkTerm::Class::Shift : WorkTerm::Class::Distance;
    return layerOf(kind, maps[0], maps[1], maps[2], loops);
  }
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (!linalgOp || linalgOp.getNumDpsInputs() != 2 || linalgOp.getNumReductionLoops() == 0 ||
      linalgOp->getNumResults() != 1 || linalgOp.getBlock()->getOperations().size() != 3)
    return std::nullopt;
  SmallVector<AffineMap> maps = linalgOp.getIndexingMapsArray();
  SmallVector<Value> operands(linalgOp->getOperands());
  // The operand with windows is the image.
  unsigned image = maps[1].isProjectedPermutation() ? 0 : 1;
  return layerOf(WorkTerm::Class::Fma, maps[image], maps[1 - image], maps[2],
                 loopsOf(maps, operands));
}

} // namespace

std::vector<RsLayer> rsLayers(KernelOp kernel, ArrayRef<int64_t> dims) {
  OwningOpRef<KernelOp> copy(kernel.clone());
  IndexValue valueOf(*copy, dims);
  DimResolver resolver(*copy);
  SmallVector<Operation *> ops =
      llvm::map_to_vector(copy->getBody().front(), [](Operation &op) { return &op; });
  std::vector<RsLayer> layers;
  for (Operation *op : ops) {
    if (std::optional<RsLayer> layer = structuredLayer(op, valueOf)) {
      layers.push_back(*layer);
      continue;
    }
    for (const WorkTerm &term :
         countWork(op, [&](Value tensor, int64_t axis) { return resolver.get(tensor, axis); })) {
      if (term.kind != WorkTerm::Class::Fma)
        continue;
      SmallVector<int64_t> extents =
          llvm::map_to_vector(term.extents, [&](OpFoldResult extent) { return valueOf(extent); });
      RsLayer layer;
      for (int64_t *place : {&layer.c, &layer.m, &layer.e})
        if (!extents.empty())
          *place = extents.pop_back_val();
      layer.h = layer.e;
      for (int64_t extent : extents)
        layer.count *= extent;
      layer.count *= term.perIteration / 2;
      layers.push_back(layer);
    }
  }
  return layers;
}

} // namespace attune::codegen
