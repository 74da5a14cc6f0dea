#include "attune/codegen/ExportProgram.h"
#include "attune/codegen/ScalarProgram.h"
#include "attune/codegen/cost/Work.h"
#include "attune/passes/fuse/ShareCaches.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace attune::codegen {

std::string dtypeName(Type type) {
  if (type.isInteger(1))
    return "bool";
  if (type.isIndex())
    return "i64";
  if (auto integer = dyn_cast<IntegerType>(type))
    return (integer.isUnsigned() ? "u" : "i") + std::to_string(integer.getWidth());
  std::string name;
  llvm::raw_string_ostream os(name);
  type.print(os);
  return llvm::StringRef(name).lower();
}

namespace {

class Exporter {
public:
  Exporter(func::FuncOp func, ArrayRef<ProgramKernel> kernels,
           const DenseMap<Operation *, int64_t> &kernelOf)
      : func(func), kernels(kernels), kernelOf(kernelOf), scalars(program, func) {}

  FailureOr<Program> run() {
    for (const ProgramKernel &kernel : kernels)
      program.kernels.push_back(kernel.info);
    if (failed(addInputs()) || failed(addOutputs()))
      return failure();
    for (Operation &op : func.getBody().front())
      if (failed(addOp(op)))
        return failure();
    planMemory(program);
    return std::move(program);
  }

private:
  func::FuncOp func;
  ArrayRef<ProgramKernel> kernels;
  const DenseMap<Operation *, int64_t> &kernelOf;
  Program program;
  ScalarProgram scalars;
  DenseMap<Value, int64_t> values;
  DenseMap<Attribute, int64_t> weightOf;
  DenseMap<std::pair<Type, StringRef>, int64_t> resourceOf; ///< by what they hold
  /// Kernel results that are written straight into an output.
  DenseMap<Value, int64_t> outputOf;

  /// The tensor whose memory `value` is: reshapes, casts and fronts of buffers move nothing.
  static Value storage(Value value) {
    while (Operation *op = value.getDefiningOp()) {
      if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp,
               tensor::ExtractSliceOp>(op))
        break;
      value = op->getOperand(0);
    }
    return value;
  }

  FailureOr<std::vector<int64_t>> shape(Value tensor) {
    std::vector<int64_t> extents;
    auto type = cast<RankedTensorType>(tensor.getType());
    ValueRange dynamic;
    unsigned next = 0;
    SmallVector<Value> found;
    if (auto kernel = tensor.getDefiningOp<KernelOp>()) {
      for (Value result : kernel.getResults()) {
        if (result == tensor)
          break;
        next += cast<RankedTensorType>(result.getType()).getNumDynamicDims();
      }
      dynamic = kernel.getResultDims();
    }
    for (int64_t axis = 0; axis < type.getRank(); ++axis) {
      if (!type.isDynamicDim(axis))
        extents.push_back(scalars.constant(type.getDimSize(axis)));
      else if (auto arg = dyn_cast<BlockArgument>(tensor))
        extents.push_back(scalars.argumentDim(arg.getArgNumber(), axis));
      else {
        FailureOr<int64_t> extent = scalars.get(dynamic[next++]);
        if (failed(extent))
          return failure();
        extents.push_back(*extent);
      }
    }
    return extents;
  }

  int64_t bytes(const std::vector<int64_t> &shape, Type element) {
    int64_t total = scalars.constant((element.getIntOrFloatBitWidth() + 7) / 8);
    for (int64_t extent : shape)
      total = scalars.instruction("mul", {total, extent});
    return total;
  }

  Program::Port port(DictionaryAttr attrs, Type type, unsigned number, StringRef fallback) {
    Program::Port port;
    auto name = attrs ? attrs.getAs<StringAttr>(kNameAttr) : StringAttr();
    port.name = name ? name.str() : (fallback + llvm::Twine(number)).str();
    auto tensor = cast<RankedTensorType>(type);
    auto dtype = attrs ? attrs.getAs<StringAttr>(kDtypeAttr) : StringAttr();
    port.dtype = dtype ? dtype.str() : dtypeName(tensor.getElementType());
    auto dims = attrs ? attrs.getAs<ArrayAttr>(kDimsAttr) : ArrayAttr();
    for (int64_t axis = 0; axis < tensor.getRank(); ++axis) {
      bool dynamic = tensor.isDynamicDim(axis);
      std::string symbol = dims ? cast<StringAttr>(dims[axis]).str() : std::string();
      if (dynamic && symbol.empty())
        symbol = port.name + "." + std::to_string(axis);
      port.symbols.push_back(dynamic ? symbol : "");
      port.extents.push_back(dynamic ? -1 : tensor.getDimSize(axis));
    }
    return port;
  }

  LogicalResult addInputs() {
    for (BlockArgument arg : func.getArguments()) {
      unsigned number = arg.getArgNumber();
      if (auto buffer = func.getArgAttrOfType<DenseI64ArrayAttr>(number, kInputBufferAttr)) {
        values[arg] = program.inputs[buffer[0]].value;
        program.aliases.push_back({buffer[0], buffer[1], buffer[2]});
        continue;
      }
      if (func.getArgAttr(number, kOutputBufferAttr))
        continue;
      Program::Port input = port(func.getArgAttrDict(number), arg.getType(), number, "input_");
      input.value = program.values.size();
      FailureOr<std::vector<int64_t>> extents = shape(arg);
      if (failed(extents))
        return failure();
      values[arg] = input.value;
      program.values.push_back(
          {.kind = Program::Kind::Input, .dtype = input.dtype, .shape = *extents, .index = number});
      program.inputs.push_back(std::move(input));
    }
    return success();
  }

  LogicalResult addOutputs() {
    auto terminator = cast<func::ReturnOp>(func.getBody().front().getTerminator());
    for (auto [number, operand] : llvm::enumerate(terminator.getOperands())) {
      Program::Port output =
          port(func.getResultAttrDict(number), operand.getType(), number, "output_");
      output.value = -1;
      program.outputs.push_back(std::move(output));
      Value source = storage(operand);
      if (source.getDefiningOp<KernelOp>())
        outputOf.try_emplace(source, number);
    }
    return success();
  }

  int64_t addOutputValue(unsigned number, std::vector<int64_t> shape) {
    Program::Port &output = program.outputs[number];
    output.value = program.values.size();
    program.values.push_back({.kind = Program::Kind::Output,
                              .dtype = output.dtype,
                              .shape = std::move(shape),
                              .index = static_cast<int64_t>(number)});
    return output.value;
  }

  LogicalResult addOp(Operation &op) {
    if (auto kernel = dyn_cast<KernelOp>(op))
      return addKernel(kernel);
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      if (isa<RankedTensorType>(constant.getType()))
        addWeight(constant);
      return success();
    }
    if (auto load = dyn_cast<tensor::ExtractOp>(op))
      return addLoad(load);
    if (auto assertion = dyn_cast<cf::AssertOp>(op))
      return addCheck(assertion);
    if (auto terminator = dyn_cast<func::ReturnOp>(op))
      return addReturn(terminator);
    if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp, tensor::DimOp,
            tensor::ExtractSliceOp>(op) ||
        scalars.accepts(&op))
      return success();
    return op.emitError("internal: the host program cannot express this operator");
  }

  void addWeight(arith::ConstantOp constant) {
    auto contents = cast<ElementsAttr>(constant.getValue());
    auto type = cast<RankedTensorType>(constant.getType());
    auto next = static_cast<int64_t>(program.values.size());
    int64_t value = weightOf.try_emplace(contents, next).first->second;
    // Resources have names: layers with tied weights pack equal ones each for itself.
    if (auto resource = dyn_cast<DenseResourceElementsAttr>(contents); resource && value == next) {
      ArrayRef<char> data = resource.getRawHandle().getBlob()->getData();
      value = weightOf[contents] =
          resourceOf.try_emplace({type, StringRef(data.data(), data.size())}, next).first->second;
    }
    values[constant.getResult()] = value;
    if (value != next)
      return;
    int64_t size = type.getNumElements() * ((type.getElementTypeBitWidth() + 7) / 8);
    std::vector<int64_t> extents;
    for (int64_t extent : type.getShape())
      extents.push_back(scalars.constant(extent));
    program.values.push_back({.kind = Program::Kind::Weight,
                              .dtype = dtypeName(type.getElementType()),
                              .shape = extents,
                              .bytes = size,
                              .offset = program.weightBytes});
    program.weights.push_back(contents);
    program.weightOffsets.push_back(program.weightBytes);
    program.weightBytes += llvm::alignTo(size, 64);
  }

  FailureOr<int64_t> buffer(Value tensor) {
    auto it = values.find(storage(tensor));
    if (it != values.end())
      return it->second;
    return emitError(tensor.getLoc(), "internal: a tensor of the host program has no memory");
  }

  LogicalResult addKernel(KernelOp op) {
    Program::Step step;
    step.kind = Program::Step::Kind::Kernel;
    step.kernel = kernelOf.lookup(op);
    for (Value input : op.getInputs()) {
      FailureOr<int64_t> value = buffer(input);
      if (failed(value))
        return failure();
      step.buffers.push_back(*value);
    }
    bool dynamic =
        llvm::any_of(op.getResultDims(), [&](Value dim) { return scalars.dependsOnLoad(dim); });
    for (Value result : op.getResults()) {
      FailureOr<std::vector<int64_t>> extents = shape(result);
      if (failed(extents))
        return failure();
      auto output = outputOf.find(result);
      if (output != outputOf.end()) {
        FailureOr<std::vector<int64_t>> seen = outputShape(output->second, *extents);
        if (failed(seen))
          return op.emitError("unsupported: the shape of output ")
                 << output->second << " is known only after it is computed";
        values[result] = addOutputValue(output->second, *seen);
      } else {
        Type element = cast<RankedTensorType>(result.getType()).getElementType();
        values[result] = program.values.size();
        program.values.push_back({.kind = dynamic ? Program::Kind::Dynamic : Program::Kind::Arena,
                                  .dtype = dtypeName(element),
                                  .shape = *extents,
                                  .bytes = bytes(*extents, element)});
      }
      step.buffers.push_back(values[result]);
    }
    for (const InPlace &pair : kernels[step.kernel].inPlace)
      shareState(op, op.getInputs()[pair.input], op.getResult(pair.result), pair.axis);
    OpBuilder builder(op);
    for (const HostExpr &expr : kernels[step.kernel].scratch) {
      Value size = expr(builder, op.getLoc(), op.getDims(), scalars.threads());
      FailureOr<int64_t> total = scalars.get(size);
      if (failed(total))
        return failure();
      step.buffers.push_back(program.values.size());
      program.values.push_back(
          {.kind = scalars.dependsOnLoad(size) ? Program::Kind::Dynamic : Program::Kind::Arena,
           .dtype = "u8",
           .shape = {*total},
           .bytes = *total});
    }
    for (Value dim : op.getDims()) {
      FailureOr<int64_t> scalar = scalars.get(dim);
      if (failed(scalar))
        return failure();
      step.dims.push_back(*scalar);
    }
    step.flops = flopsOf(op);
    step.bytes = trafficOf(step);
    program.steps.push_back(std::move(step));
    return success();
  }

  /// Declares that an output may be the memory of an input of the same shape, if nothing reads the
  /// input any more once `kernel` has written the output.
  void shareState(KernelOp kernel, Value input, Value result, int64_t axis) {
    auto arg = dyn_cast<BlockArgument>(storage(input));
    auto output = outputOf.find(result);
    auto terminator = func.getBody().front().getTerminator();
    if (!arg || output == outputOf.end() ||
        arg.getType() != terminator->getOperand(output->second).getType() ||
        cast<RankedTensorType>(arg.getType()).getRank() == 0 || isReadAfter(arg, kernel))
      return;
    for (const Program::Alias &alias : program.aliases)
      if (alias.input == arg.getArgNumber() || alias.output == output->second)
        return;
    // A reshape of the output may have fewer axes; then only those of equal shapes are of one kind.
    if (axis && (input != Value(arg) || result != terminator->getOperand(output->second)))
      return;
    program.aliases.push_back({arg.getArgNumber(), output->second, axis});
  }

  static bool isReadAfter(Value tensor, KernelOp kernel) {
    return llvm::any_of(tensor.getUsers(), [&](Operation *user) {
      if (isa<tensor::DimOp>(user))
        return false;
      if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(user))
        return isReadAfter(user->getResult(0), kernel);
      return kernel->isBeforeInBlock(user);
    });
  }

  /// An output may be a reshape of the kernel's result: the caller sees the function's type.
  FailureOr<std::vector<int64_t>> outputShape(unsigned number,
                                              const std::vector<int64_t> &extents) {
    auto terminator = cast<func::ReturnOp>(func.getBody().front().getTerminator());
    Value operand = terminator.getOperand(number);
    if (operand == storage(operand))
      return extents;
    return scalars.shapeOf(operand);
  }

  int64_t flopsOf(KernelOp op) {
    for (auto [arg, dim] :
         llvm::zip(op.getBody().getArguments().drop_front(op.getInputs().size()), op.getDims()))
      scalars.assume(arg, dim);
    int64_t total = scalars.constant(0);
    for (const WorkTerm &term : countWork(op)) {
      int64_t product = scalars.constant(static_cast<int64_t>(term.perIteration));
      for (OpFoldResult extent : term.extents) {
        FailureOr<int64_t> scalar = scalars.get(extent);
        if (failed(scalar))
          return scalars.constant(0);
        product = scalars.instruction("mul", {product, *scalar});
      }
      total = scalars.instruction("add", {total, product});
    }
    return total;
  }

  int64_t trafficOf(const Program::Step &step) {
    int64_t total = scalars.constant(0);
    for (int64_t number : step.buffers) {
      const Program::Value &value = program.values[number];
      int64_t bytes =
          value.kind == Program::Kind::Weight ? scalars.constant(value.bytes) : value.bytes;
      if (value.kind == Program::Kind::Arena || value.kind == Program::Kind::Weight)
        total = scalars.instruction("add", {total, bytes});
    }
    return total;
  }

  LogicalResult addCheck(cf::AssertOp assertion) {
    FailureOr<int64_t> condition = scalars.get(assertion.getArg());
    if (failed(condition))
      return failure();
    program.checks.push_back({*condition, assertion.getMsg().str()});
    return success();
  }

  LogicalResult addLoad(tensor::ExtractOp load) {
    FailureOr<int64_t> tensor = buffer(load.getTensor());
    if (failed(tensor))
      return failure();
    auto type = cast<RankedTensorType>(load.getTensor().getType());
    int64_t index = 0;
    for (auto [axis, value] : llvm::enumerate(load.getIndices())) {
      std::optional<int64_t> constant = getConstantIntValue(value);
      if (!constant || type.isDynamicDim(axis))
        return load.emitError("internal: the host program reads an element at a computed place");
      index = index * type.getDimSize(axis) + *constant;
    }
    Program::Step step;
    step.kind = Program::Step::Kind::Load;
    step.buffers = {*tensor};
    step.index = index;
    step.scalar = scalars.loaded(load.getResult());
    program.steps.push_back(std::move(step));
    return success();
  }

  LogicalResult addReturn(func::ReturnOp op) {
    for (auto [number, operand] : llvm::enumerate(op.getOperands())) {
      if (program.outputs[number].value >= 0)
        continue;
      FailureOr<int64_t> from = buffer(operand);
      FailureOr<std::vector<int64_t>> extents = scalars.shapeOf(operand);
      if (failed(from) || failed(extents))
        return failure();
      Program::Step step;
      step.kind = Program::Step::Kind::Copy;
      step.buffers = {*from, addOutputValue(number, *extents)};
      step.scalar = bytes(*extents, cast<RankedTensorType>(operand.getType()).getElementType());
      program.steps.push_back(std::move(step));
    }
    return success();
  }
};

} // namespace

FailureOr<Program> exportProgram(func::FuncOp func, ArrayRef<ProgramKernel> kernels,
                                 const DenseMap<Operation *, int64_t> &kernelOf) {
  return Exporter(func, kernels, kernelOf).run();
}

} // namespace attune::codegen
