#include "attune/runtime/Binding.h"
#include "attune/runtime/DType.h"
#include "attune/runtime/Error.h"
#include <algorithm>
#include <cstring>

namespace attune::rt {

Memory allocate(uint64_t bytes) {
  constexpr uint64_t page = 4096, hugePage = 2 << 20;
  uint64_t align = bytes >= hugePage ? page : 64;
  void *memory = nullptr;
  if (bytes > uint64_t(INT64_MAX) - page ||
      posix_memalign(&memory, align, std::max<uint64_t>(bytes, 1)) != 0)
    fail(ATTUNE_ERROR_SYSTEM, "not enough memory for ", bytes, " bytes");
  return Memory(static_cast<char *>(memory));
}

static std::string quoted(const char *what, const std::string &name) {
  return text(what, " `", name, "`");
}

static std::string shapeText(const int64_t *shape, size_t rank) {
  std::string list = "[";
  for (size_t i = 0; i < rank; ++i)
    list += text(i ? ", " : "", shape[i]);
  return list + "]";
}

static const char *kindText(uint32_t kind) {
  switch (kind) {
  case ATTUNE_NONE:
    return "no value";
  case ATTUNE_TENSOR:
    return "a tensor";
  case ATTUNE_SEQUENCE:
    return "a sequence";
  case ATTUNE_OPTIONAL:
    return "an optional";
  }
  return "an unknown kind of value";
}

/// Elements of a shape whose extents are >= 0.
static uint64_t countElements(const std::string &name, const int64_t *shape, size_t rank) {
  uint64_t count = 1;
  bool overflow = false;
  for (size_t i = 0; i < rank; ++i) {
    if (shape[i] == 0)
      return 0;
    overflow |= __builtin_mul_overflow(count, uint64_t(shape[i]), &count);
  }
  if (overflow || count > uint64_t(INT64_MAX) / 16)
    fail(ATTUNE_ERROR_ARGUMENT, name, ": too many elements: ", shapeText(shape, rank));
  return count;
}

/// Whether the tensor is row-major with room for `capacity` along `axis`; axis < 0: dense. The
/// stride of an axis of extent 1 says nothing, except that it may reveal the capacity.
static bool rowMajor(const attune_tensor &tensor, int axis, int64_t &capacity) {
  const int64_t *shape = tensor.shape, *strides = tensor.strides;
  capacity = axis >= 0 ? shape[axis] : -1;
  if (!strides || std::find(shape, shape + tensor.ndim, 0) != shape + tensor.ndim)
    return true;
  if (axis > 0) {
    // The innermost axis outside decides how far apart the repetitions of `axis` are.
    int outer = axis - 1;
    while (outer > 0 && shape[outer] == 1)
      --outer;
    if (shape[outer] == 1)
      outer = axis - 1;
    int64_t inner = 1;
    for (int i = axis + 1; i < tensor.ndim; ++i)
      inner *= shape[i];
    if (strides[outer] % inner == 0)
      capacity = std::max(capacity, strides[outer] / inner);
  }
  int64_t expected = 1;
  for (int i = tensor.ndim - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[i] != expected)
      return false;
    if (__builtin_mul_overflow(expected, i == axis ? capacity : shape[i], &expected))
      return false;
  }
  return true;
}

/// Bytes from the first to the last element of a row-major tensor with that capacity.
static uint64_t spanOf(const attune_tensor &tensor, int axis, int64_t capacity, uint64_t elements) {
  if (elements && axis >= 0 && capacity > tensor.shape[axis]) {
    uint64_t inner = 1, outer = 1;
    for (int i = 0; i < tensor.ndim; ++i)
      (i < axis ? outer : inner) *= uint64_t(tensor.shape[i]);
    elements = (outer - 1) * (inner / uint64_t(tensor.shape[axis])) * uint64_t(capacity) + inner;
  }
  return dtypeBytes(tensor.dtype, elements);
}

static char *dataOf(const attune_tensor &tensor) {
  return static_cast<char *>(tensor.data) + tensor.byte_offset;
}

/// Makes strided elements dense.
static void gather(const attune_tensor &tensor, int axis, const char *from, char *&to,
                   uint64_t element) {
  if (axis == tensor.ndim) {
    memcpy(to, from, element);
    to += element;
    return;
  }
  for (int64_t i = 0; i < tensor.shape[axis]; ++i)
    gather(tensor, axis + 1, from + i * tensor.strides[axis] * int64_t(element), to, element);
}

/// Puts dense elements where the strides say.
static void scatter(const attune_tensor &tensor, int axis, const char *&from, char *to,
                    uint64_t element) {
  if (axis == tensor.ndim) {
    memcpy(to, from, element);
    from += element;
    return;
  }
  for (int64_t i = 0; i < tensor.shape[axis]; ++i)
    scatter(tensor, axis + 1, from, to + i * tensor.strides[axis] * int64_t(element), element);
}

/// What holds for every tensor, whatever its sizes: kind, dtype, rank, device, address.
static void checkTensor(const std::string &name, const Port &port, const attune_value &value,
                        Target target) {
  if (value.kind != ATTUNE_TENSOR)
    fail(value.kind == ATTUNE_NONE ? ATTUNE_ERROR_ARGUMENT : ATTUNE_ERROR_UNSUPPORTED,
         value.kind == ATTUNE_NONE ? "" : "unsupported: ", name, ": found ", kindText(value.kind),
         ", accepted is a tensor");
  const attune_tensor &tensor = value.tensor;
  if (tensor.dtype != port.dtype)
    fail(ATTUNE_ERROR_ARGUMENT, name, ": found ", dtypeText(tensor.dtype), ", accepted is ",
         dtypeText(port.dtype));
  if (tensor.ndim < 0 || size_t(tensor.ndim) != port.shape.size())
    fail(ATTUNE_ERROR_ARGUMENT, name, ": found rank ", tensor.ndim, ", accepted is rank ",
         port.shape.size());
  if (tensor.ndim > 0 && !tensor.shape)
    fail(ATTUNE_ERROR_ARGUMENT, name, ": the shape is missing (null)");
  bool cuda = target == Target::Cuda;
  if (tensor.device.type != ATTUNE_CPU && !(cuda && tensor.device.type == ATTUNE_CUDA))
    fail(ATTUNE_ERROR_UNSUPPORTED, "unsupported: ", name, ": found device type ",
         tensor.device.type, cuda ? ", accepted are the CPU (" : ", accepted is the CPU (",
         int(ATTUNE_CPU), cuda ? text(") and CUDA (", int(ATTUNE_CUDA), ")") : ")");
  for (int i = 0; i < tensor.ndim; ++i) {
    if (tensor.shape[i] < 0)
      fail(ATTUNE_ERROR_ARGUMENT, name, ": axis ", i, " has negative extent ", tensor.shape[i]);
    if (port.shape[i] >= 0 && tensor.shape[i] != port.shape[i])
      fail(ATTUNE_ERROR_ARGUMENT, name, ": axis ", i, " has extent ", tensor.shape[i],
           ", accepted is ", port.shape[i]);
  }
  if (countElements(name, tensor.shape, port.shape.size()) && !tensor.data)
    fail(ATTUNE_ERROR_ARGUMENT, name, ": the data is missing (null)");
  if (reinterpret_cast<uintptr_t>(dataOf(tensor)) % dtypeAlign(tensor.dtype))
    fail(ATTUNE_ERROR_ARGUMENT, name, ": the address is not a multiple of ",
         dtypeAlign(tensor.dtype), ", the alignment of ", dtypeText(tensor.dtype));
}

/// The part of a larger buffer is not copied to where kernels could take it.
static void checkFront(const std::string &name, const Bound &bound, bool front) {
  if (front && bound.onDevice() && reinterpret_cast<uintptr_t>(bound.data) % kDeviceAlign)
    fail(ATTUNE_ERROR_ARGUMENT, name,
         ": the front of a larger buffer on a device begins at no "
         "multiple of ",
         kDeviceAlign);
}

static int aliasAxis(const Program &program, bool input, size_t i) {
  for (const Alias &alias : program.aliases)
    if ((input ? alias.input : alias.output) == i)
      return int(alias.axis);
  return -1;
}

Binding::Binding(const Program &program, const attune_run_args &args, bool copyStrided)
    : inputs(program.inputs.size()), outputs(program.outputs.size()), program(program),
      outputShapes(program.outputs.size()) {
  sizes.dims.resize(inputs.size());
  sizes.inCapacities.assign(inputs.size(), -1);
  sizes.outCapacities.assign(outputs.size(), -1);

  std::vector<uint32_t> in = order(program.inputs, args.input_names, args.input_count, "input");
  if (in.size() != inputs.size()) {
    std::vector<bool> given(inputs.size());
    for (uint32_t i : in)
      given[i] = true;
    size_t missing = size_t(std::find(given.begin(), given.end(), false) - given.begin());
    fail(ATTUNE_ERROR_ARGUMENT, quoted("input", program.inputs[missing].name), " is missing");
  }
  std::vector<uint32_t> out =
      order(program.outputs, args.output_names, args.output_count, "output");
  if ((!in.empty() && !args.inputs) || (!out.empty() && !args.outputs))
    fail(ATTUNE_ERROR_ARGUMENT, "the array of ", in.empty() || args.inputs ? "outputs" : "inputs",
         " is missing (null)");
  for (size_t i = 0; i < in.size(); ++i)
    bindInput(in[i], args.inputs[i], copyStrided);
  checkSymbols();
  for (size_t i = 0; i < out.size(); ++i)
    bindOutput(out[i], args.outputs[i]);
}

/// Positions in `ports` of the caller's values, in the caller's order.
std::vector<uint32_t> Binding::order(const std::vector<Port> &ports, const char *const *names,
                                     uint64_t count, const char *what) const {
  std::vector<uint32_t> positions;
  if (!names) {
    if (count != ports.size())
      fail(ATTUNE_ERROR_ARGUMENT, "found ", count, " ", what, "s, accepted are ", ports.size());
    for (uint32_t i = 0; i < count; ++i)
      positions.push_back(i);
    return positions;
  }
  for (uint64_t i = 0; i < count; ++i) {
    const char *name = names[i] ? names[i] : "";
    auto found = std::find_if(ports.begin(), ports.end(),
                              [&](const Port &port) { return port.name == name; });
    if (found == ports.end()) {
      std::string accepted;
      for (const Port &port : ports)
        accepted += text(accepted.empty() ? "" : ", ", "`", port.name, "`");
      fail(ATTUNE_ERROR_ARGUMENT, "there is no ", what, " `", name, "`, accepted are ",
           accepted.empty() ? "none" : accepted);
    }
    uint32_t position = uint32_t(found - ports.begin());
    if (std::find(positions.begin(), positions.end(), position) != positions.end())
      fail(ATTUNE_ERROR_ARGUMENT, quoted(what, name), " is given twice");
    positions.push_back(position);
  }
  return positions;
}

static void checkSize(const attune_value &value) {
  if (value.size != sizeof(attune_value))
    fail(ATTUNE_ERROR_ARGUMENT, "attune_value.size is ", value.size, ", accepted is ",
         sizeof(attune_value));
}

void Binding::bindInput(size_t i, const attune_value &value, bool copies) {
  const Port &port = program.inputs[i];
  std::string name = quoted("input", port.name);
  checkSize(value);
  checkTensor(name, port, value, program.target);
  const attune_tensor &tensor = value.tensor;
  sizes.dims[i].assign(tensor.shape, tensor.shape + tensor.ndim);
  uint64_t elements = countElements(name, tensor.shape, port.shape.size());

  Bound &bound = inputs[i];
  bound.data = dataOf(tensor);
  bound.device = tensor.device;
  int axis = program.stridedInputs[i] ? aliasAxis(program, true, i) : -1;
  int64_t capacity;
  if (rowMajor(tensor, axis, capacity)) {
    bool front = axis >= 0 && capacity > tensor.shape[axis];
    if (front && program.target != Target::Cpu && !bound.onDevice())
      return packFront(bound, tensor, i, axis, elements);
    checkFront(name, bound, front);
    sizes.inCapacities[i] = capacity;
    bound.span = spanOf(tensor, axis, capacity, elements);
    return;
  }
  if (bound.onDevice())
    fail(ATTUNE_ERROR_UNSUPPORTED, "unsupported: ", name, ": strides ",
         shapeText(tensor.strides, port.shape.size()), " of shape ",
         shapeText(tensor.shape, port.shape.size()), " on a device, accepted is dense row-major");
  if (!copies)
    fail(ATTUNE_ERROR_ARGUMENT, name, ": strides ", shapeText(tensor.strides, port.shape.size()),
         " of shape ", shapeText(tensor.shape, port.shape.size()),
         " are not dense row-major (the session option `copy_strided` accepts them)");
  if (dtypeBits(tensor.dtype) % 8)
    fail(ATTUNE_ERROR_UNSUPPORTED, "unsupported: ", name, ": strides with elements of ",
         dtypeBits(tensor.dtype), " bits");
  // The caller's memory is read here and never again: span 0, nothing can overlap with it.
  bound.storage = allocate(dtypeBytes(tensor.dtype, elements));
  char *to = bound.storage.get();
  gather(tensor, 0, dataOf(tensor), to, dtypeBits(tensor.dtype) / 8);
  bound.data = bound.storage.get();
}

/// What goes to a device is dense.
void Binding::packFront(Bound &bound, const attune_tensor &tensor, size_t i, int axis,
                        uint64_t elements) {
  bound.storage = allocate(dtypeBytes(tensor.dtype, elements));
  char *to = bound.storage.get();
  gather(tensor, 0, dataOf(tensor), to, dtypeBits(tensor.dtype) / 8);
  bound.data = bound.storage.get();
  sizes.inCapacities[i] = tensor.shape[axis];
}

void Binding::bindOutput(size_t i, attune_value &value) {
  const Port &port = program.outputs[i];
  std::string name = quoted("output", port.name);
  checkSize(value);
  Bound &bound = outputs[i];
  bound.out = &value;
  if (value.kind == ATTUNE_NONE)
    return;
  checkTensor(name, port, value, program.target);
  const attune_tensor &tensor = value.tensor;
  bound.device = tensor.device;
  int axis = program.stridedOutputs[i] ? aliasAxis(program, false, i) : -1;
  int64_t capacity;
  if (!rowMajor(tensor, axis, capacity))
    fail(ATTUNE_ERROR_ARGUMENT, name, ": strides ", shapeText(tensor.strides, port.shape.size()),
         " of shape ", shapeText(tensor.shape, port.shape.size()), " are not dense row-major");
  bound.data = dataOf(tensor);
  bool front = axis >= 0 && capacity > tensor.shape[axis];
  bound.spread = front && program.target != Target::Cpu && !bound.onDevice();
  checkFront(name, bound, front);
  sizes.outCapacities[i] = bound.spread ? tensor.shape[axis] : capacity;
  bound.span = spanOf(tensor, axis, capacity, countElements(name, tensor.shape, port.shape.size()));
}

void Binding::checkSymbols() const {
  struct Seen {
    const std::string *symbol;
    size_t input, axis;
  };
  std::vector<Seen> seen;
  for (size_t i = 0; i < inputs.size(); ++i)
    for (size_t axis = 0; axis < program.inputs[i].symbols.size(); ++axis) {
      const std::string &symbol = program.inputs[i].symbols[axis];
      if (symbol.empty())
        continue;
      auto first = std::find_if(seen.begin(), seen.end(),
                                [&](const Seen &other) { return *other.symbol == symbol; });
      if (first == seen.end()) {
        seen.push_back({&symbol, i, axis});
        continue;
      }
      if (int64_t found = sizes.dims[i][axis], expected = sizes.dims[first->input][first->axis];
          found != expected)
        fail(ATTUNE_ERROR_ARGUMENT, quoted("input", program.inputs[i].name), ": axis ", axis, " (`",
             symbol, "`) has extent ", found, ", but ",
             quoted("input", program.inputs[first->input].name), " has ", expected, " on axis ",
             first->axis);
    }
}

bool Binding::usesDevice() const {
  auto onDevice = [](const Bound &bound) { return bound.onDevice(); };
  return std::any_of(inputs.begin(), inputs.end(), onDevice) ||
         std::any_of(outputs.begin(), outputs.end(), onDevice);
}

void Binding::checkDevice(const attune_device &accepted) const {
  auto check = [&](const std::vector<Bound> &list, const std::vector<Port> &ports,
                   const char *what) {
    for (size_t i = 0; i < list.size(); ++i)
      if (list[i].onDevice() && list[i].device.id != accepted.id)
        fail(ATTUNE_ERROR_ARGUMENT, quoted(what, ports[i].name), ": found device ",
             list[i].device.id, ", the session runs on ", accepted.id);
  };
  check(inputs, program.inputs, "input");
  check(outputs, program.outputs, "output");
}

void Binding::shapeOutput(size_t i, const std::vector<int64_t> &shape, Stream *stream) {
  const Port &port = program.outputs[i];
  std::string name = quoted("output", port.name);
  uint64_t elements = countElements(name, shape.data(), shape.size());
  Bound &bound = outputs[i];
  outputShapes[i] = shape;
  if (bound.out && bound.out->kind == ATTUNE_TENSOR) {
    const int64_t *found = bound.out->tensor.shape;
    if (!std::equal(shape.begin(), shape.end(), found))
      fail(ATTUNE_ERROR_ARGUMENT, name, ": found shape ", shapeText(found, shape.size()),
           ", these inputs give ", shapeText(shape.data(), shape.size()));
    checkOverlap(i);
    if (bound.spread)
      bound.storage = allocate(dtypeBytes(port.dtype, elements));
    return;
  }
  if (resultDevice && bound.out) {
    bound.span = dtypeBytes(port.dtype, elements);
    bound.result =
        std::make_unique<DeviceResult>(resultDevice, stream->allocate(bound.span), shape);
    bound.data = static_cast<char *>(bound.result->memory);
    bound.device = *resultDevice->place();
    return;
  }
  // The shape lies in front of the data, in one block that value_clear frees.
  uint64_t front = (shape.size() * sizeof(int64_t) + 63) / 64 * 64;
  bound.span = dtypeBytes(port.dtype, elements);
  bound.storage = allocate(front + bound.span);
  if (!shape.empty())
    memcpy(bound.storage.get(), shape.data(), shape.size() * sizeof(int64_t));
  bound.data = bound.storage.get() + front;
}

/// The caller wants the output in place of the input, but kernels may still read the one when they
/// write the other.
static void setAside(Bound &input) {
  if (input.onDevice()) {
    input.setAside = true;
    return;
  }
  input.storage = allocate(input.span);
  memcpy(input.storage.get(), input.data, input.span);
  input.data = input.storage.get();
}

void Binding::checkOverlap(size_t output) {
  const Bound &mine = outputs[output];
  auto overlaps = [&](const Bound &other) {
    auto from = [](const Bound &bound) { return reinterpret_cast<uintptr_t>(bound.data); };
    return mine.span && other.span && from(mine) < from(other) + other.span &&
           from(other) < from(mine) + mine.span;
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!overlaps(inputs[i]))
      continue;
    bool inPlace = false;
    for (const Alias &alias : program.aliases)
      if (alias.input == i && alias.output == output && mine.data == inputs[i].data) {
        auto capacity = [](int64_t known, int64_t extent) { return known >= 0 ? known : extent; };
        int64_t in = capacity(sizes.inCapacities[i], sizes.dims[i][alias.axis]);
        int64_t out = capacity(sizes.outCapacities[output], outputShapes[output][alias.axis]);
        bool one =
            std::all_of(outputShapes[output].begin(), outputShapes[output].begin() + alias.axis,
                        [](int64_t extent) { return extent == 1; });
        inPlace = one || in == out;
      }
    if (!inPlace && mine.data == inputs[i].data && mine.span == inputs[i].span &&
        outputShapes[output] == sizes.dims[i])
      setAside(inputs[i]);
    else if (!inPlace)
      fail(ATTUNE_ERROR_ARGUMENT, quoted("output", program.outputs[output].name),
           " shares memory with ", quoted("input", program.inputs[i].name),
           "; accepted is the same address with the same shape, or with the same strides for an "
           "alias pair of the signature");
  }
  for (size_t i = 0; i < outputs.size(); ++i)
    if (i != output && outputs[i].out && overlaps(outputs[i]))
      fail(ATTUNE_ERROR_ARGUMENT, quoted("output", program.outputs[output].name),
           " shares memory with ", quoted("output", program.outputs[i].name));
}

void Binding::deliver() {
  for (size_t i = 0; i < outputs.size(); ++i) {
    Bound &bound = outputs[i];
    if (!bound.out || !(bound.storage || bound.result))
      continue;
    attune_value &value = *bound.out;
    if (bound.spread) {
      const char *from = bound.storage.get();
      scatter(value.tensor, 0, from, dataOf(value.tensor), dtypeBits(value.tensor.dtype) / 8);
      continue;
    }
    value.kind = ATTUNE_TENSOR;
    value.tensor.data = bound.data;
    value.tensor.device = bound.device;
    value.tensor.ndim = int32_t(outputShapes[i].size());
    value.tensor.dtype = program.outputs[i].dtype;
    value.tensor.strides = nullptr;
    value.tensor.byte_offset = 0;
    if (bound.result) {
      value.tensor.shape = bound.result->shape.data();
      value.owner = bound.result.release();
    } else {
      value.tensor.shape = reinterpret_cast<int64_t *>(bound.storage.get());
      value.owner = bound.storage.release();
    }
  }
}

} // namespace attune::rt
