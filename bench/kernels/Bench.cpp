#include "Bench.h"

#include "attune/codegen/cpu/Emit.h"
#include "attune/codegen/cpu/GemmMicro.h"
#include "attune/codegen/cpu/Link.h"
#include "attune/dialect/Attune.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"

#include <algorithm>
#include <ctime>
#include <dlfcn.h>
#include <sys/mman.h>

using namespace mlir;
using namespace attune::codegen;

namespace attune::bench {

static void relax() { __builtin_ia32_pause(); }

Pool::Pool(unsigned threads) {
  size = sizeof(attune_ctx);
  this->threads = threads;
  parallel_for = run;
  if (threads > 1)
    other = std::thread([this] {
      for (int64_t seen = 0;;) {
        int64_t current;
        while ((current = generation.load(std::memory_order_acquire)) == seen)
          relax();
        seen = current;
        if (seen < 0)
          return;
        work(1);
        finished.store(seen, std::memory_order_release);
      }
    });
}

Pool::~Pool() {
  generation.store(-1, std::memory_order_release);
  if (other.joinable())
    other.join();
}

void Pool::work(int64_t worker) {
  for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < job.n;)
    job.fn(this, job.buffers, job.dims, task, worker);
}

int32_t Pool::run(attune_ctx *ctx, int64_t n, attune_task_fn fn, void *const *buffers,
                  const int64_t *dims) {
  auto *pool = static_cast<Pool *>(ctx);
  if (ctx->threads < 2 || n < 2) {
    for (int64_t task = 0; task < n; ++task)
      fn(ctx, buffers, dims, task, 0);
    return 0;
  }
  pool->job = {n, fn, buffers, dims};
  pool->next.store(0, std::memory_order_relaxed);
  int64_t current = pool->generation.load() + 1;
  pool->generation.store(current, std::memory_order_release);
  pool->work(0);
  while (pool->finished.load(std::memory_order_acquire) != current)
    relax();
  return 0;
}

double now(bool cpuTime) {
  timespec t;
  clock_gettime(cpuTime ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

float *allocate(size_t floats) {
  size_t bytes = (floats * 4 + 8191) & ~size_t(4095);
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  auto *values = static_cast<float *>(memory);
  for (size_t i = 0; i < bytes / 4; ++i)
    values[i] = float(i * 7919 % 201) / 100 - 1;
  return values;
}

Library::Library(const CpuTarget &target,
                 const std::function<void(KernelBuilder &, ModuleOp)> &build,
                 const std::vector<std::string> &symbols) {
  DialectRegistry registry;
  attune::registerAllDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  KernelBuilder kb(module->getLoc(), target);
  double start = now(true);
  build(kb, *module);
  llvm::ExitOnError orExit("attune-kernel-bench: ");
  orExit(lowerToLLVM(*module, target));
  auto object = orExit(emitObject(*module, target));
  std::vector<llvm::StringRef> names(symbols.begin(), symbols.end());
  llvm::SmallString<128> path;
  llvm::sys::fs::createTemporaryFile("attune-bench", "so", path);
  orExit(linkShared({llvm::StringRef(object.data(), object.size())}, names, path));
  handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  seconds = now(true) - start;
  if (!handle)
    llvm::report_fatal_error(dlerror());
  llvm::sys::fs::remove(path);
  if (getenv("ATTUNE_BENCH_ASM"))
    assembly = orExit(emitAssembly(*module, target));
}

Library::~Library() { dlclose(handle); }

attune_kernel_fn Library::get(const std::string &symbol) const {
  return reinterpret_cast<attune_kernel_fn>(dlsym(handle, symbol.c_str()));
}

static constexpr int64_t kRoofDepth = 128;
static constexpr int64_t kReadVectors = 8;
static constexpr int64_t kReadFloats = 1 << 25; // more than any cache holds

void emitRoofs(KernelBuilder &kb, ModuleOp module) {
  GemmTile tile = GemmTile::of(kb.target);
  int64_t sums = tile.rows * tile.columns() / kb.lanes();
  auto everyThread = [&](StringRef name, func::FuncOp task) {
    kb.kernel(module, name,
              [&](const KernelArgs &args) { return kb.parallelFor(args, kb.dim(args, 1), task); });
  };
  everyThread("peak", kb.task(module, "peak_task", [&](const KernelArgs &args) -> Value {
    Value memory = kb.gep(kb.buffer(args, 0), kb.mul(args.worker, 4096), kb.f32());
    Value x = kb.load(kb.vec(), memory), y = kb.load(kb.vec(), memory, kb.idx(64));
    Values acc(sums, kb.constF(0, kb.vec()));
    acc = kb.forLoop(kb.idx(0), kb.dim(args, 0), 1, acc, [&](Value, ValueRange it) {
      Values next(it.begin(), it.end());
      for (int repeat = 0; repeat < 4; ++repeat)
        for (Value &value : next)
          value = kb.fma(x, y, value);
      return next;
    });
    for (auto [i, value] : llvm::enumerate(acc))
      kb.store(value, memory, kb.idx(128 + i * kb.lanes()));
    return {};
  }));
  everyThread("roof", kb.task(module, "roof_task", [&](const KernelArgs &args) -> Value {
    Value own = kb.mul(args.worker, 16384);
    Value a = kb.gep(kb.buffer(args, 0), own, kb.f32());
    Value b = kb.gep(a, kb.idx(tile.rows * kRoofDepth + 64), kb.f32());
    Value sum = kb.gep(b, kb.idx(tile.columns() * kRoofDepth + 64), kb.f32());
    func::FuncOp micro = gemmMicro(kb, module, tile.rows, GemmTerm::Product);
    kb.forLoop(kb.idx(0), kb.dim(args, 0), 1, [&](Value) {
      func::CallOp::create(kb.b, kb.loc, micro,
                           ValueRange{a, b, kb.idx(kPanelColumns * kRoofDepth), kb.idx(kRoofDepth),
                                      sum, kb.constI(0, kb.b.getI1Type()), a});
    });
    return {};
  }));
  everyThread("read", kb.task(module, "read_task", [&](const KernelArgs &args) -> Value {
    Value memory = kb.gep(kb.buffer(args, 0), kb.mul(args.task, kb.dim(args, 0)), kb.f32());
    int64_t step = kReadVectors * kb.lanes();
    Values acc(kReadVectors, kb.constF(0, kb.vec()));
    acc = kb.forLoop(kb.idx(0), kb.dim(args, 0), step, acc, [&](Value i, ValueRange it) {
      Values next(it);
      for (auto [v, sum] : llvm::enumerate(next))
        sum = arith::AddFOp::create(kb.b, kb.loc, sum,
                                    kb.load(kb.vec(), memory, kb.add(i, v * kb.lanes())));
      return next;
    });
    for (auto [v, sum] : llvm::enumerate(acc))
      kb.store(sum, memory, kb.idx(v * kb.lanes()));
    return {};
  }));
}

Roofs::Roofs(const Library &library, const CpuTarget &target, unsigned threads)
    : peakFn(library.get("peak")), roofFn(library.get("roof")), readFn(library.get("read")),
      threads(threads) {
  GemmTile tile = GemmTile::of(target);
  peakFlops = 2.0 * 4 * tile.rows * tile.columns();
  roofFlops = 2.0 * tile.rows * tile.columns() * kRoofDepth;
  buffers = {allocate(65536)};
}

double Roofs::peak(Pool &pool) {
  int64_t dims[] = {40000, threads};
  double start = now(threads == 1);
  peakFn(&pool, buffers.data(), dims);
  return peakFlops * dims[0] * threads / (now(threads == 1) - start) / 1e9;
}

double Roofs::roof(Pool &pool) {
  int64_t dims[] = {1500, threads};
  double start = now(threads == 1);
  roofFn(&pool, buffers.data(), dims);
  return roofFlops * dims[0] * threads / (now(threads == 1) - start) / 1e9;
}

double Roofs::read(Pool &pool) {
  if (!readBuffer)
    readBuffer = allocate(kReadFloats);
  int64_t dims[] = {kReadFloats / threads / 1024 * 1024, threads};
  double start = now(threads == 1);
  readFn(&pool, &readBuffer, dims);
  return 4.0 * dims[0] * threads / (now(threads == 1) - start) / 1e9;
}

} // namespace attune::bench

int main(int argc, char **argv) {
  namespace cl = llvm::cl;
  std::string cpu = "host";
  unsigned threads = 1;
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef arg = argv[i];
    if (arg.consume_front("--cpu="))
      cpu = arg.str();
    else if (arg.consume_front("--threads="))
      arg.getAsInteger(10, threads);
  }
  auto target = attune::codegen::CpuTarget::parse(cpu);
  if (!target) {
    llvm::errs() << llvm::toString(target.takeError()) << "\n";
    return 1;
  }
  if (argc > 1 && llvm::StringRef(argv[1]) == "attention")
    return attune::bench::benchAttention(*target, threads, argc, argv);
  if (argc > 1 && llvm::StringRef(argv[1]) == "linear")
    return attune::bench::benchLinearAttention(*target, threads, argc, argv);
  return attune::bench::benchGemm(*target, threads, argc, argv);
}
