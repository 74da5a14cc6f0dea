#include "attune/codegen/CpuBackend.h"

#include "attune/codegen/cpu/ConvChannels.h"
#include "attune/codegen/halide/Emitter.h"
#include "attune/dialect/Locations.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;

namespace attune::codegen {

/// The value of a size that is not static, for prices only.
static constexpr int64_t kTypicalSize = 256;
/// Kernels that are done sooner are not worth the time that Halide takes to compile them.
static constexpr double kWorthTrying = 5e-5;
/// Steps written one by one merge into kernels of hundreds of operators, each merge priced again.
static constexpr size_t kMaxTried = 48;

/// Two kernels as one, or as they are.

/// Whether something in a kernel reads neighbours of an element.
static bool hasWindows(KernelOp kernel) {
  auto reads = [](Operation *op) {
    auto generic = dyn_cast<linalg::GenericOp>(op);
    return isa<MapMixOp>(op) ||
           (generic && generic.getNumReductionLoops() != 0 &&
            llvm::any_of(generic.getDpsInputOperands(), [&](OpOperand *input) {
              return !generic.getMatchingIndexingMap(input).isProjectedPermutation();
            }));
  };
  return kernel
      .walk([&](Operation *op) {
        return reads(op) ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

CpuBackend::CpuBackend(CpuTarget target, BackendKind kind, std::shared_ptr<const CostOracle> given,
                       Decisions *decisions)
    : cpu(std::move(target)), kind(kind), oracle(std::move(given)), decisions(decisions),
      halide(createHalideEmitter()) {
  if (!oracle)
    oracle = std::make_shared<MachineOracle>(Machine::typical(cpu));
}

double CpuBackend::seconds(KernelOp kernel, const KernelEmitter &emitter) const {
  SmallVector<int64_t> dims(kernel.getDims().size(), kTypicalSize);
  KernelFeatures features =
      describe(kernel, emitter, cpu, dims, /*isWeight=*/[](unsigned) { return false; });
  return oracle->price(features, /*resident=*/features.work.bytes, /*threads=*/1).seconds;
}

/// Without alternatives yet.
Decision CpuBackend::decisionOf(StringRef kind, KernelOp kernel) const {
  Decision decision;
  decision.kind = kind.str();
  decision.what = kernel.getKernelName().value_or("kernel").str();
  decision.key = structureKey(kind, kernel.getOperation());
  decision.measured = decisions && decisions->measured(decision.key);
  collectNodeNames(kernel.getLoc(), decision.nodes);
  return decision;
}

SmallVector<CpuBackend::Price> CpuBackend::prices(KernelOp kernel) const {
  return prices(kernel, kind == BackendKind::Halide ? nullptr : &special.choose(kernel, cpu));
}

SmallVector<CpuBackend::Price> CpuBackend::prices(KernelOp kernel,
                                                  const KernelEmitter *mlir) const {
  SmallVector<Price> list;
  if (mlir)
    list.push_back({mlir->backend(), mlir->name(), seconds(kernel, *mlir)});
  // Without windows MLIR's emitters are as good, where there is one. Where sizes are not known
  // there is no price worth compiling a second time for.
  bool tried =
      kind == BackendKind::Halide ||
      (kind == BackendKind::Auto && kernel.getDims().empty() && list[0].seconds > kWorthTrying &&
       llvm::range_size(kernel.getBody().front()) <= kMaxTried &&
       (list[0].emitter == special.all().back()->name() || hasWindows(kernel)));
  if (tried && halide->matches(kernel, cpu))
    list.push_back({halide->backend(), halide->name(), seconds(kernel, *halide)});
  if (list.size() < 2)
    return list;
  const Tuning::Entry *entry =
      decisions && decisions->hasMeasurements()
          ? decisions->measured(structureKey("emitter", kernel.getOperation()))
          : nullptr;
  if (entry)
    for (Price &price : list)
      if (auto took = entry->seconds.find(price.emitter.str()); took != entry->seconds.end())
        price.seconds = took->second;
  bool second = entry ? list[1].emitter == entry->chosen : list[1].seconds < list[0].seconds;
  if (second)
    std::swap(list[0], list[1]);
  return list;
}

const KernelEmitter &CpuBackend::choose(KernelOp kernel) const {
  if (kind == BackendKind::Halide)
    return *halide;
  const KernelEmitter &mlir = special.choose(kernel, cpu);
  if (kind == BackendKind::Auto && prices(kernel, &mlir).front().emitter == halide->name())
    return *halide;
  return mlir;
}

EmitterList CpuBackend::choose(KernelOp kernel, bool reference) const {
  if (reference)
    return {&generic.choose(kernel, cpu)};
  if (kind != BackendKind::Auto)
    return {&choose(kernel)};
  SmallVector<Price> list = prices(kernel);
  if (decisions && list.size() > 1) {
    Decision decision = decisionOf("emitter", kernel);
    for (const Price &price : list)
      decision.alternatives.push_back({price.emitter.str(), price.seconds});
    decision.chosen = list.front().emitter.str();
    decisions->record(std::move(decision));
  }
  if (list.front().emitter == halide->name())
    return {halide.get(), &special.choose(kernel, cpu)};
  return {&special.choose(kernel, cpu)};
}

StringRef CpuBackend::emitterFor(KernelOp kernel) const {
  const KernelEmitter &emitter = choose(kernel);
  if (&emitter == special.all().back().get() ||
      (kind == BackendKind::Halide && !halide->matches(kernel, cpu)))
    return "";
  return emitter.name();
}

int64_t CpuBackend::filterPanel(const FilterUse &use) const {
  return prefersChannels(use, cpu) ? kPanelColumns : kFilterPanel;
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
  if (!hasWindows(merged))
    return false;
  std::optional<HalideFit> fit = fitHalide(merged, cpu);
  if (!fit || !fit->fused)
    return false;
  double together = whole.front().seconds;
  double apart = prices(producer).front().seconds + prices(consumer).front().seconds;
  Decision decision = decisionOf("merge", merged);
  const Tuning::Entry *entry = decisions ? decisions->measured(decision.key) : nullptr;
  bool merges = entry ? entry->chosen == kTogether : together <= apart;
  if (merges && !compiles(merged))
    return false;
  decision.alternatives = {{kTogether, together}, {kApart, apart}};
  decision.chosen = merges ? kTogether : kApart;
  if (decisions)
    decisions->record(std::move(decision));
  return merges;
}

} // namespace attune::codegen
