#include "attune/codegen/ModelCost.h"
#include "attune/codegen/cost/Reuse.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {
namespace {

/// The shapes of all inputs.
llvm::Expected<std::vector<std::vector<int64_t>>> bindInputs(const Program &program,
                                                             const CostRequest &request) {
  std::map<std::string, int64_t> symbols = request.dims;
  for (const Program::Port &port : program.inputs) {
    auto given = request.shapes.find(port.name);
    if (given == request.shapes.end())
      continue;
    if (given->second.size() != port.extents.size())
      return llvm::createStringError("input `" + port.name + "` has " +
                                     llvm::Twine(port.extents.size()) + " axes, --shape gives " +
                                     llvm::Twine(given->second.size()));
    for (auto [symbol, extent] : llvm::zip(port.symbols, given->second))
      if (!symbol.empty())
        symbols[symbol] = extent;
  }
  std::vector<std::vector<int64_t>> shapes;
  for (const Program::Port &port : program.inputs) {
    std::vector<int64_t> &shape = shapes.emplace_back();
    for (size_t axis = 0; axis < port.extents.size(); ++axis) {
      if (port.symbols[axis].empty()) {
        shape.push_back(port.extents[axis]);
        continue;
      }
      auto known = symbols.find(port.symbols[axis]);
      shape.push_back(known != symbols.end() ? known->second : axis == 0 ? 1 : 128);
    }
    auto given = request.shapes.find(port.name);
    if (given != request.shapes.end() && given->second != shape)
      return llvm::createStringError("the shape given for input `" + port.name +
                                     "` does not fit the model");
  }
  return shapes;
}

bool isView(Operation *op) {
  return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp,
             tensor::ExtractSliceOp>(op);
}

/// The tensor whose elements a view has.
Value rootOf(Value tensor) {
  while (Operation *op = tensor.getDefiningOp()) {
    if (!isView(op))
      break;
    tensor = op->getOperand(0);
  }
  return tensor;
}

bool isConstant(Value tensor) {
  return isa_and_nonnull<arith::ConstantOp>(rootOf(tensor).getDefiningOp());
}

/// Whether the caller of the model gets the tensor.
bool isReturned(Value tensor) {
  return llvm::any_of(tensor.getUsers(), [](Operation *user) {
    return user->hasTrait<OpTrait::ReturnLike>() ||
           (isView(user) && isReturned(user->getResult(0)));
  });
}

/// Inputs, then results: whether the model exchanges them with its caller.
bool isDistant(KernelOp kernel, unsigned buffer) {
  unsigned inputs = kernel.getInputs().size();
  return buffer < inputs ? isa<BlockArgument>(rootOf(kernel.getInputs()[buffer]))
                         : isReturned(kernel->getResult(buffer - inputs));
}

std::string describeInputs(const Program &program, ArrayRef<std::vector<int64_t>> shapes) {
  std::string text;
  llvm::raw_string_ostream os(text);
  for (auto [port, shape] : llvm::zip(program.inputs, shapes)) {
    os << (text.empty() ? "" : ", ") << port.name << " ";
    llvm::interleave(shape, os, "x");
  }
  return text;
}

/// Bytes of inputs and outputs, and of the memory plan.
void addMemory(const Program &program, ArrayRef<int64_t> scalars, ModelCost &cost) {
  auto elementBytes = [](StringRef dtype) -> double {
    unsigned bits = 8;
    return dtype.drop_while([](char c) { return !llvm::isDigit(c); }).consumeInteger(10, bits)
               ? 1
               : std::max(1u, bits / 8);
  };
  for (const Program::Value &value : program.values) {
    if (value.kind == Program::Kind::Dynamic)
      cost.arenaBytes += scalars[value.bytes];
    if (value.kind != Program::Kind::Input && value.kind != Program::Kind::Output)
      continue;
    double bytes = elementBytes(value.dtype);
    for (int64_t extent : value.shape)
      bytes *= scalars[extent];
    cost.ioBytes += bytes;
  }
  for (const std::vector<int64_t> &slot : program.slots) {
    int64_t most = 0;
    for (int64_t size : slot)
      most = std::max(most, scalars[size]);
    cost.arenaBytes += most;
  }
  cost.storedBytes = program.weightBytes;
}

} // namespace

llvm::Expected<ModelCost> predict(const Program &program, ArrayRef<PricedKernel> calls,
                                  const CpuTarget &target, const CostOracle &oracle,
                                  const CostRequest &request) {
  auto shapes = bindInputs(program, request);
  if (!shapes)
    return shapes.takeError();
  std::vector<int64_t> scalars = evaluateScalars(
      program, [&](int64_t input, int64_t axis) { return (*shapes)[input][axis]; },
      request.threads);
  ModelCost cost;
  cost.threads = request.threads;
  cost.inputs = describeInputs(program, *shapes);
  addMemory(program, scalars, cost);
  cost.resident = cost.peakBytes();
  auto next = calls.begin();
  for (const Program::Step &step : program.steps) {
    if (step.kind != Program::Step::Kind::Kernel)
      continue;
    const PricedKernel &kernel = *next++;
    auto dims = llvm::map_to_vector(step.dims, [&](int64_t scalar) { return scalars[scalar]; });
    ModelCost::Call &call = cost.calls.emplace_back();
    call.kernel = step.kernel;
    call.features = describe(
        kernel.op, *kernel.emitter, target, dims,
        [&](unsigned input) { return isConstant(KernelOp(kernel.op).getInputs()[input]); },
        [&](unsigned buffer) { return isDistant(kernel.op, buffer); });
    if (request.layers)
      call.layers = rsLayers(kernel.op, dims);
  }
  setReuse(program, scalars,
           llvm::map_to_vector(cost.calls, [](ModelCost::Call &call) { return &call.features; }));
  std::map<int64_t, double> deviations; // calls of one kernel are wrong together
  for (ModelCost::Call &call : cost.calls) {
    call.cost = oracle.price(call.features, cost.resident, request.threads);
    cost.seconds += call.cost.seconds;
    cost.flops += call.cost.flops;
    cost.bytes += call.cost.bytes;
    deviations[call.kernel] += call.cost.sigma * call.cost.seconds;
  }
  double variance = 0;
  for (auto [kernel, deviation] : deviations)
    variance += deviation * deviation;
  cost.sigma = cost.seconds > 0 ? std::hypot(std::sqrt(variance) / cost.seconds, kDrift) : 0;
  return cost;
}

} // namespace attune::codegen
