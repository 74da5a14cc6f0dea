// Matrix products with whatever follows them element by element. Several tiles may fit a product
// whose sizes are not all known: all are emitted, and the host launches one.
#include "attune/codegen/gpu/Emitter.h"
#include "attune/codegen/gpu/GemmResults.h"
#include "attune/codegen/gpu/Math.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace attune::codegen {

bool GemmKernel::cutsDepth() const {
  return llvm::any_of(choices, [](const GemmChoice &choice) { return choice.mostParts > 1; });
}

GemmExtents GemmKernel::extents(Scope &scope) const {
  return {scope.get(g.batch), scope.get(g.m), scope.get(g.n), scope.get(g.k)};
}

/// Quotient and remainder of numbers that fit into 32 bits, which divide much faster.
static std::pair<Value, Value> divide(DeviceBuilder &kb, Value x, Value y) {
  auto narrow = [&](Value value) {
    return kb.b.createOrFold<arith::IndexCastOp>(kb.loc, kb.b.getI32Type(), value);
  };
  auto wide = [&](Value value) {
    return kb.b.createOrFold<arith::IndexCastUIOp>(kb.loc, kb.index(), value);
  };
  Value a = narrow(x), b = narrow(y);
  return {wide(kb.b.createOrFold<arith::DivUIOp>(kb.loc, a, b)),
          wide(kb.b.createOrFold<arith::RemUIOp>(kb.loc, a, b))};
}

GemmBlock GemmBlock::of(DeviceBuilder &kb, Scope &scope, const GemmKernel &kernel,
                        const GemmChoice &choice) {
  // Rows of tiles whose blocks are neighbours: those of a wave then need about as many rows of A as
  // columns of B.
  constexpr int64_t kRowsTogether = 16;
  const GemmShape &shape = choice.shape;
  GemmExtents extents = kernel.extents(scope);
  Value down = kb.ceilDiv(extents.m, shape.rows), across = kb.ceilDiv(extents.n, shape.columns);
  auto [band, inBand] = divide(kb, kb.block(0), kb.mul(across, kRowsTogether));
  Value first = kb.mul(band, kRowsTogether);
  Value height = kb.min(kb.sub(down, first), kb.idx(kRowsTogether));
  auto [column, row] = divide(kb, inBand, height);

  GemmBlock block;
  block.row = kb.mul(kb.add(first, row), shape.rows);
  block.column = kb.mul(column, shape.columns);
  block.batch = kb.block(2);
  block.firstTile = kb.idx(0);
  block.endTile = kb.ceilDiv(extents.k, shape.depth);
  if (choice.mostParts > 1) {
    Value count = NVVM::GridDimYOp::create(kb.b, kb.loc, kb.b.getI32Type());
    count = arith::IndexCastUIOp::create(kb.b, kb.loc, kb.index(), count);
    Value perPart = divide(kb, kb.sub(kb.add(block.endTile, count), kb.idx(1)), count).first;
    block.part = kb.block(1);
    block.firstTile = kb.min(kb.mul(block.part, perPart), block.endTile);
    block.endTile = kb.min(kb.add(block.firstTile, perPart), block.endTile);
  }
  return block;
}

int64_t reductionLanes(const GemmKernel &kernel) { return GemmResults::lanesOf(kernel); }

bool buildGemmReduction(DeviceBuilder &kb, const KernelArgs &args, const GemmKernel &kernel,
                        int64_t threads) {
  Scope scope(kernel.sizes, kb, args);
  GemmResults results(kb, scope, kernel, /*columns=*/0);
  GemmExtents extents = kernel.extents(scope);
  Value number = kb.mul(kb.globalThread(threads), reductionLanes(kernel));
  Value all = kb.mul(kb.mul(extents.batch, extents.m), extents.n);
  Value chosen = GemmChoices::chosen(kb.b, kb.loc, kernel.choices, extents), parts = kb.idx(1);
  for (auto [i, choice] : llvm::enumerate(kernel.choices))
    if (choice.mostParts > 1)
      parts = kb.select(kb.eq(chosen, kb.idx(i)), GemmChoices::parts(kb.b, kb.loc, choice, extents),
                        parts);
  kb.ifThen(kb.lt(number, all), [&] { results.finishParts(number, parts); });
  return results.valid();
}

namespace {

constexpr int64_t kReductionThreads = 256;

/// Host expressions of one product. They outlive the emitter.
struct HostSizes {
  KernelOp op;
  Size batch, m, n, k;
  SmallVector<GemmChoice> choices;

  /// `value` of choice `number` where a call takes it, else 0.
  HostExpr ifChosen(int64_t number,
                    std::function<Value(OpBuilder &, Location, const GemmExtents &)> value) const {
    return [own = *this, number, value](OpBuilder &b, Location loc, ValueRange dims,
                                        Value threads) -> Value {
      auto get = [&](const Size &size) { return hostExpr(own.op, size)(b, loc, dims, threads); };
      GemmExtents extents{get(own.batch), get(own.m), get(own.n), get(own.k)};
      Value chosen = GemmChoices::chosen(b, loc, own.choices, extents);
      Value is = b.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, chosen,
                                               arith::ConstantIndexOp::create(b, loc, number));
      return b.createOrFold<arith::SelectOp>(loc, is, value(b, loc, extents),
                                             arith::ConstantIndexOp::create(b, loc, 0));
    };
  }

  HostExpr tiles(int64_t number) const {
    return ifChosen(number, [shape = choices[number].shape](OpBuilder &b, Location loc,
                                                            const GemmExtents &extents) {
      return GemmChoices::tiles(b, loc, shape, extents);
    });
  }
  HostExpr parts(int64_t number) const {
    return ifChosen(
        number, [choice = choices[number]](OpBuilder &b, Location loc, const GemmExtents &extents) {
          return GemmChoices::parts(b, loc, choice, extents);
        });
  }

  /// Sums of all parts of a call, or of one.
  HostExpr sums(bool ofAll) const {
    SmallVector<HostExpr> terms;
    for (auto [i, choice] : llvm::enumerate(choices))
      if (choice.mostParts > 1)
        terms.push_back(ifChosen(i, [choice, ofAll](OpBuilder &b, Location loc,
                                                    const GemmExtents &extents) {
          auto times = [&](Value x, Value y) { return b.createOrFold<arith::MulIOp>(loc, x, y); };
          Value all = times(times(extents.batch, extents.m), extents.n);
          return ofAll ? times(all, GemmChoices::parts(b, loc, choice, extents)) : all;
        }));
    return [terms](OpBuilder &b, Location loc, ValueRange dims, Value threads) {
      Value sum = arith::ConstantIndexOp::create(b, loc, 0);
      for (const HostExpr &term : terms)
        sum = b.createOrFold<arith::AddIOp>(loc, sum, term(b, loc, dims, threads));
      return sum;
    };
  }
  HostExpr scratchBytes() const {
    return
        [sums = sums(/*ofAll=*/true)](OpBuilder &b, Location loc, ValueRange dims, Value threads) {
          Value bytes = arith::ConstantIndexOp::create(b, loc, GemmResults::kSumBytes);
          return b.createOrFold<arith::MulIOp>(loc, sums(b, loc, dims, threads), bytes);
        };
  }
};

GemmKernel describe(KernelOp op, ModuleOp module, const GpuTarget &gpu, const Sizes &sizes,
                    const GemmMatch &g) {
  Type element = getElementTypeOrSelf(g.product.lhs.getType());
  GemmKernel kernel{op,
                    Launches::deviceModule(module),
                    sizes,
                    g,
                    element,
                    gpu.math,
                    {g.a, g.aOffset, g.m, g.k, g.aBatch, g.aRows, g.aDepth},
                    {g.b, g.bOffset, g.n, g.k, g.bBatch, g.bColumns, g.bDepth},
                    std::nullopt,
                    std::nullopt,
                    {}};
  bool halves = element.isF16() || element.isBF16();
  bool rounded = element.isF32() && gpu.math != FloatMath::Exact && !g.product.distance;
  // What wgmma reads from shared memory nobody has rounded to tf32.
  if (gpu.warpGroups && halves) {
    kernel.aMap = TileMap::of(kernel.a, kernel.elementBytes());
    kernel.bMap = TileMap::of(kernel.b, kernel.elementBytes());
  }
  kernel.choices = GemmChoices::of(gpu, g, element, halves || rounded, kernel.aMap && kernel.bMap);
  return kernel;
}

class GpuGemmEmitter final : public KernelEmitter {
public:
  explicit GpuGemmEmitter(const GpuTarget &gpu) : gpu(gpu) {}
  StringRef name() const override { return "gpu-gemm"; }

  bool matches(KernelOp op, const CpuTarget &host) const override {
    OwningOpRef<ModuleOp> trial(ModuleOp::create(op.getLoc()));
    return build(op, *trial, "trial", host) && !findRefused(*trial);
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &host) const override {
    std::optional<EmittedKernel> emitted = build(op, module, symbol, host);
    if (!emitted)
      return op.emitError("internal: the matrix product emitter does not take this kernel");
    return *emitted;
  }

private:
  GpuTarget gpu;

  std::optional<EmittedKernel> build(KernelOp op, ModuleOp module, StringRef symbol,
                                     const CpuTarget &host) const {
    Sizes sizes(op);
    std::optional<GemmMatch> g = matchGemm(op, sizes, GemmFloats::Any);
    // Windows, shifts and distances of halves have other kernels.
    if (!g || g->columns != GemmColumns::Strided || g->product.isGeneric || g->product.hasCodes() ||
        g->product.shiftsIntegers())
      return std::nullopt;
    if (g->product.distance && !g->product.bytes() &&
        !getElementTypeOrSelf(g->product.lhs.getType()).isF32())
      return std::nullopt;
    GemmKernel kernel = describe(op, module, gpu, sizes, *g);
    HostSizes extents{op, g->batch, g->m, g->n, g->k, kernel.choices};
    bool cuts = kernel.cutsDepth(), works = true;
    Launches launches(op, module, symbol, host, cuts ? 1 : 0);
    for (auto [i, choice] : llvm::enumerate(kernel.choices)) {
      const GemmChoice &taken = choice;
      bool groups = taken.shape.kind == GemmShape::WarpGroups;
      LaunchShape launch;
      launch.threads = taken.shape.threads();
      launch.grid = {extents.tiles(i), extents.parts(i), hostExpr(op, g->batch)};
      launch.sharedBytes =
          groups ? warpGroupGemmBytes(taken.shape) : tileGemmBytes(kernel, taken.shape);
      launch.blocksTogether = taken.shape.blocksTogether;
      if (groups)
        launch.maps = warpGroupGemmMaps(kernel, taken.shape);
      launches.add(launch, [&](DeviceBuilder &kb, const KernelArgs &args) {
        works &= groups ? buildWarpGroupGemm(kb, args, kernel, taken)
                        : buildTileGemm(kb, args, kernel, taken);
      });
    }
    if (cuts) {
      LaunchShape launch;
      launch.threads = kReductionThreads;
      launch.grid = {
          hostCeilDiv(extents.sums(/*ofAll=*/false), kReductionThreads * reductionLanes(kernel))};
      launches.add(launch, [&](DeviceBuilder &kb, const KernelArgs &args) {
        works &= buildGemmReduction(kb, args, kernel, kReductionThreads);
      });
    }
    if (!works)
      return std::nullopt;
    launches.finish();
    EmittedKernel emitted;
    if (cuts)
      emitted.scratch.push_back(extents.scratchBytes());
    return emitted;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createGpuGemmEmitter(const GpuTarget &gpu) {
  return std::make_unique<GpuGemmEmitter>(gpu);
}

} // namespace attune::codegen
