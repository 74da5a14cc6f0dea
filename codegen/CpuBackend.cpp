#include "attune/codegen/CpuBackend.h"

#include "attune/codegen/halide/Emitter.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace attune::codegen {

/// The value of a size that is not static, for prices only.
static constexpr int64_t kTypicalSize = 256;
/// Kernels that are done sooner are not worth the time that Halide takes to compile them.
static constexpr double kWorthTrying = 5e-5;

namespace {

/// What a kernel does at the places of a window: a back end's strength differs with it.
enum class Windows { None, Channelwise, Extremum, Mixing };

Windows windowsOf(linalg::GenericOp op) {
  if (op.getNumReductionLoops() == 0)
    return Windows::None;
  OpOperand *image = nullptr;
  for (OpOperand *input : op.getDpsInputOperands())
    if (!op.getMatchingIndexingMap(input).isProjectedPermutation())
      image = input;
  if (!image)
    return Windows::None;
  Operation *last = op.getBody()->getTerminator()->getOperand(0).getDefiningOp();
  if (!isa_and_nonnull<arith::AddFOp, arith::AddIOp>(last))
    return Windows::Extremum;
  AffineMap read = op.getMatchingIndexingMap(image);
  AffineMap written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  for (AffineExpr axis : written.getResults()) {
    unsigned loop = cast<AffineDimExpr>(axis).getPosition();
    if (!read.isFunctionOfDim(loop) && ranges[loop] != 1)
      return Windows::Mixing; // one element of the image goes to several channels
  }
  return Windows::Channelwise;
}

Windows windowsOf(KernelOp kernel) {
  Windows windows = Windows::None;
  kernel.walk([&](Operation *op) {
    if (isa<MapMixOp>(op))
      windows = Windows::Mixing;
    else if (auto generic = dyn_cast<linalg::GenericOp>(op))
      windows = std::max(windows, windowsOf(generic));
  });
  return windows;
}

/// The part of the roofline that kernels of an emitter reach, measured by `make bench-backends`.
double efficiency(StringRef emitter, Windows windows) {
  bool halide = emitter == "halide";
  switch (windows) {
  case Windows::Channelwise:
    return halide ? 0.4 : emitter == "loops" ? 0.04 : 0.3;
  case Windows::Extremum:
    return halide ? 0.25 : emitter == "loops" ? 0.04 : 0.35;
  case Windows::Mixing:
  case Windows::None:
    break;
  }
  return llvm::StringSwitch<double>(emitter)
      .Case("gemm", 0.8)
      .Case("conv", 0.6)
      .Case("attention", 0.4)
      .Case("map_mix", 0.45)
      .Case("rowwise", 0.6)
      .Case("halide", 0.5)
      .Case("loops", 0.04)
      .Default(0.5);
}

} // namespace

CpuBackend::CpuBackend(CpuTarget target, BackendKind kind, std::shared_ptr<const CostOracle> given)
    : cpu(std::move(target)), kind(kind), oracle(std::move(given)), halide(createHalideEmitter()) {
  if (!oracle)
    oracle = std::make_shared<MachineOracle>(Machine::typical(cpu));
}

double CpuBackend::seconds(KernelOp kernel, StringRef emitter) const {
  KernelCost cost = oracle->price(kernel, kTypicalSize, /*threads=*/1);
  return cost.seconds / efficiency(emitter, windowsOf(kernel));
}

SmallVector<CpuBackend::Price> CpuBackend::prices(KernelOp kernel) const {
  SmallVector<Price> list;
  if (kind != BackendKind::Halide) {
    const KernelEmitter &mlir = special.choose(kernel, cpu);
    list.push_back({mlir.backend(), mlir.name(), seconds(kernel, mlir.name())});
  }
  // Without windows MLIR's emitters are as good, where there is one. Where sizes are not known
  // there is no price worth compiling a second time for.
  bool tried =
      kind == BackendKind::Halide ||
      (kind == BackendKind::Auto && kernel.getDims().empty() && list[0].seconds > kWorthTrying &&
       (list[0].emitter == "loops" || windowsOf(kernel) != Windows::None));
  if (tried && halide->matches(kernel, cpu))
    list.push_back({halide->backend(), halide->name(), seconds(kernel, halide->name())});
  if (list.size() == 2 && list[1].seconds < list[0].seconds)
    std::swap(list[0], list[1]);
  return list;
}

const KernelEmitter &CpuBackend::choose(KernelOp kernel) const {
  if (kind == BackendKind::Halide)
    return *halide;
  if (kind == BackendKind::Auto)
    if (SmallVector<Price> list = prices(kernel); list.front().emitter == halide->name())
      return *halide;
  return special.choose(kernel, cpu);
}

EmitterList CpuBackend::choose(KernelOp kernel, bool reference) const {
  if (reference)
    return {&generic.choose(kernel, cpu)};
  EmitterList list{&choose(kernel)};
  if (kind == BackendKind::Auto && list.front() == halide.get())
    list.push_back(&special.choose(kernel, cpu));
  return list;
}

StringRef CpuBackend::emitterFor(KernelOp kernel) const {
  const KernelEmitter &emitter = choose(kernel);
  if (&emitter == special.all().back().get() ||
      (kind == BackendKind::Halide && !halide->matches(kernel, cpu)))
    return "";
  return emitter.name();
}

StringRef CpuBackend::backendOf(StringRef emitter) const {
  return emitter == halide->name() ? halide->backend() : special.all().front()->backend();
}

const KernelEmitter *CpuBackend::named(StringRef emitter) const {
  if (emitter == halide->name())
    return halide.get();
  for (const auto &known : special.all())
    if (known->name() == emitter)
      return known.get();
  return special.all().back().get();
}

unsigned CpuBackend::rank(StringRef emitter) const {
  unsigned position = 0;
  for (const auto &known : special.all()) {
    if (known->name() == emitter)
      break;
    ++position;
  }
  return position;
}

bool CpuBackend::compiles(KernelOp kernel) const {
  ScopedDiagnosticHandler quiet(kernel.getContext(), [](Diagnostic &) { return success(); });
  OwningOpRef<ModuleOp> trial(ModuleOp::create(kernel.getLoc()));
  return succeeded(halide->emit(kernel, *trial, "trial", cpu));
}

bool CpuBackend::prefersMerged(KernelOp merged, KernelOp producer, KernelOp consumer) const {
  if (kind == BackendKind::Mlir)
    return KernelBackend::prefersMerged(merged, producer, consumer);
  if (kind == BackendKind::Halide) {
    std::optional<HalideFit> fit = fitHalide(merged, cpu);
    return fit && fit->fused;
  }
  // Products alone are better off in MLIR's tiles, whatever a block saves in traffic.
  SmallVector<Price> whole = prices(merged);
  if (whole.front().emitter != halide->name())
    return KernelBackend::prefersMerged(merged, producer, consumer);
  if (windowsOf(merged) == Windows::None)
    return false;
  std::optional<HalideFit> fit = fitHalide(merged, cpu);
  return fit && fit->fused &&
         whole.front().seconds <=
             prices(producer).front().seconds + prices(consumer).front().seconds &&
         compiles(merged);
}

} // namespace attune::codegen
