#include "KernelHarness.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringSwitch.h"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <sys/mman.h>

using namespace mlir;

namespace attune::test {

//===--------------------------------------------------------------------------------------------===//
// Arrays
//===--------------------------------------------------------------------------------------------===//

int64_t Array::elementBytes() const {
  return llvm::StringSwitch<int64_t>(dtype)
      .Cases({"f64", "i64"}, 8)
      .Cases({"f32", "i32"}, 4)
      .Cases({"f16", "bf16", "i16"}, 2)
      .Default(1);
}

int64_t Array::size() const {
  int64_t count = 1;
  for (int64_t extent : shape)
    count *= extent;
  return count;
}

Array Array::zeros(StringRef dtype, std::vector<int64_t> shape) {
  Array array{dtype.str(), std::move(shape), {}};
  array.bytes.resize(array.size() * array.elementBytes());
  return array;
}

Array Array::random(StringRef dtype, std::vector<int64_t> shape, unsigned seed, double low,
                    double high) {
  Array array = zeros(dtype, std::move(shape));
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  bool integer = dtype.starts_with("i");
  for (int64_t i = 0; i < array.size(); ++i) {
    double value = uniform(generator);
    array.set(i, integer ? std::floor(value) : value);
  }
  return array;
}

Array Array::of(StringRef dtype, std::vector<int64_t> shape, std::vector<double> values) {
  Array array = zeros(dtype, std::move(shape));
  for (int64_t i = 0; i < array.size(); ++i)
    array.set(i, values[i]);
  return array;
}

int64_t Array::offset(const std::vector<int64_t> &index) const {
  int64_t result = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis)
    result = result * shape[axis] + index[axis];
  return result;
}

template <typename T> static double read(const char *at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return static_cast<double>(value);
}
template <typename T> static void write(char *at, double number) {
  T value = static_cast<T>(number);
  std::memcpy(at, &value, sizeof(T));
}
static const llvm::fltSemantics &semantics(StringRef dtype) {
  return dtype == "f16" ? llvm::APFloat::IEEEhalf() : llvm::APFloat::BFloat();
}

double Array::operator[](int64_t element) const {
  const char *at = bytes.data() + element * elementBytes();
  if (dtype == "f32")
    return read<float>(at);
  if (dtype == "f64")
    return read<double>(at);
  if (dtype == "i64")
    return read<int64_t>(at);
  if (dtype == "i32")
    return read<int32_t>(at);
  if (dtype == "i16")
    return read<int16_t>(at);
  if (dtype == "i8" || dtype == "i1")
    return read<int8_t>(at);
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  llvm::APFloat value(semantics(dtype), llvm::APInt(16, bits));
  bool inexact;
  value.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &inexact);
  return value.convertToDouble();
}

void Array::set(int64_t element, double value) {
  char *at = bytes.data() + element * elementBytes();
  if (dtype == "f32")
    write<float>(at, value);
  else if (dtype == "f64")
    write<double>(at, value);
  else if (dtype == "i64")
    write<int64_t>(at, value);
  else if (dtype == "i32")
    write<int32_t>(at, value);
  else if (dtype == "i16")
    write<int16_t>(at, value);
  else if (dtype == "i8" || dtype == "i1")
    write<int8_t>(at, value);
  else {
    llvm::APFloat number(value);
    bool inexact;
    number.convert(semantics(dtype), llvm::APFloat::rmNearestTiesToEven, &inexact);
    uint16_t bits = number.bitcastToAPInt().getZExtValue();
    std::memcpy(at, &bits, 2);
  }
}

bool Array::operator==(const Array &other) const {
  return dtype == other.dtype && shape == other.shape && bytes == other.bytes;
}

double error(const Array &got, const Array &expected) {
  if (got.shape != expected.shape)
    return INFINITY;
  double worst = 0;
  for (int64_t i = 0; i < got.size(); ++i) {
    double x = got[i], y = expected[i];
    if (std::isnan(x) != std::isnan(y) || (std::isinf(y) && x != y))
      return INFINITY;
    if (!std::isnan(x) && !std::isinf(y))
      worst = std::max(worst, std::abs(x - y) / (1 + std::abs(y)));
  }
  return worst;
}

//===--------------------------------------------------------------------------------------------===//
// Kernels
//===--------------------------------------------------------------------------------------------===//

namespace {
/// Memory that ends where nothing is mapped; poisoned.
class Guarded {
public:
  explicit Guarded(int64_t bytes) {
    constexpr int64_t page = 4096;
    mapped = (bytes + page - 1) / page * page + page;
    base = static_cast<char *>(
        mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base + mapped - page, page, PROT_NONE);
    data = base + mapped - page - bytes;
    std::memset(base, 0xa5, mapped - page);
  }
  ~Guarded() { munmap(base, mapped); }
  Guarded(const Guarded &) = delete;
  char *data;

private:
  char *base;
  int64_t mapped;
};
} // namespace

/// The value of an index expression over constants and the function's index arguments.
static int64_t evaluate(Value value, const llvm::DenseMap<Value, int64_t> &known) {
  if (auto it = known.find(value); it != known.end())
    return it->second;
  Operation *op = value.getDefiningOp();
  EXPECT_NE(op, nullptr) << "a size that is not among the function's index arguments";
  if (!op)
    return 0;
  SmallVector<Attribute> operands;
  for (Value operand : op->getOperands())
    operands.push_back(IntegerAttr::get(operand.getType(), evaluate(operand, known)));
  SmallVector<OpFoldResult> results;
  EXPECT_TRUE(succeeded(op->fold(operands, results)) && results.size() == 1);
  if (results.size() != 1)
    return 0;
  if (auto same = dyn_cast<Value>(results[0]))
    return same == value ? 0 : evaluate(same, known);
  return cast<IntegerAttr>(cast<Attribute>(results[0])).getValue().getSExtValue();
}

static std::string dtypeOf(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << getElementTypeOrSelf(type);
  return text;
}

Kernel::Kernel(StringRef text, const codegen::KernelEmitter &emitter,
               const codegen::CpuTarget &target)
    : context(makeContext()) {
  module = parseSourceString<ModuleOp>(text, context.get());
  EXPECT_TRUE(module);
  if (!module)
    return;
  module->walk([&](KernelOp kernel) { op = kernel; });
  EXPECT_TRUE(op) << "no attune.kernel in the module";
  if (!op || !emitter.matches(op, target))
    return;
  OwningOpRef<ModuleOp> code(ModuleOp::create(op.getLoc()));
  FailureOr<codegen::EmittedKernel> result = emitter.emit(op, *code, "kernel", target);
  EXPECT_TRUE(succeeded(result)) << "matched, but failed to emit";
  if (failed(result))
    return;
  emitted = *result;
  if (std::getenv("ATTUNE_TEST_PRINT"))
    code->print(llvm::errs());
  std::vector<std::string> bitcode;
  if (!emitted.bitcode.empty())
    bitcode.push_back(emitted.bitcode);
  library = std::make_unique<Library>(*code, target, StringRef("kernel"), bitcode);
}

Kernel::~Kernel() = default;

KernelRun Kernel::run(std::vector<Array> inputs, std::vector<int64_t> sizes, unsigned threads,
                      int repetitions) const {
  KernelOp kernel = op;
  auto func = kernel->getParentOfType<func::FuncOp>();
  llvm::DenseMap<Value, int64_t> known;
  llvm::DenseMap<Value, Array *> arrays;
  size_t nextArray = 0, nextSize = 0;
  for (BlockArgument arg : func.getArguments()) {
    if (arg.getType().isIndex() && nextSize < sizes.size())
      known[arg] = sizes[nextSize++];
    else if (!arg.getType().isIndex() && nextArray < inputs.size())
      arrays[arg] = &inputs[nextArray++];
  }
  std::vector<std::unique_ptr<Guarded>> memory;
  std::vector<void *> buffers;
  auto allocate = [&](int64_t bytes) {
    memory.push_back(std::make_unique<Guarded>(bytes));
    buffers.push_back(memory.back()->data);
    return memory.back()->data;
  };
  for (Value input : kernel.getInputs()) {
    Array *array = arrays.lookup(input);
    EXPECT_NE(array, nullptr);
    std::memcpy(allocate(array->bytes.size()), array->bytes.data(), array->bytes.size());
  }
  KernelRun run;
  auto resultDim = kernel.getResultDims().begin();
  for (Type type : kernel.getResultTypes()) {
    std::vector<int64_t> shape;
    for (int64_t extent : cast<RankedTensorType>(type).getShape())
      shape.push_back(ShapedType::isDynamic(extent) ? evaluate(*resultDim++, known) : extent);
    run.outputs.push_back(Array::zeros(dtypeOf(type), shape));
    allocate(run.outputs.back().bytes.size());
  }
  OpBuilder builder(kernel);
  SmallVector<Value> dimValues;
  std::vector<int64_t> dims;
  for (Value dim : kernel.getDims()) {
    dims.push_back(evaluate(dim, known));
    dimValues.push_back(arith::ConstantIndexOp::create(builder, kernel.getLoc(), dims.back()));
  }
  Value threadCount = arith::ConstantIndexOp::create(builder, kernel.getLoc(), threads);
  for (const codegen::HostExpr &bytes : emitted.scratch)
    allocate(evaluate(bytes(builder, kernel.getLoc(), dimValues, threadCount), known));

  TestContext ctx(threads);
  attune_kernel_fn fn = (*library)["kernel"];
  EXPECT_NE(fn, nullptr);
  if (!fn)
    return run;
  for (int i = 0; i < repetitions; ++i) {
    auto start = std::chrono::steady_clock::now();
    run.code = fn(&ctx, buffers.data(), dims.data());
    std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    if (i == 0 || time.count() < run.microseconds)
      run.microseconds = time.count();
  }
  for (size_t i = 0; i < run.outputs.size(); ++i)
    std::memcpy(run.outputs[i].bytes.data(), buffers[kernel.getInputs().size() + i],
                run.outputs[i].bytes.size());
  return run;
}

} // namespace attune::test
