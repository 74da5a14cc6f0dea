#include "attune/runtime/Call.h"
#include "attune/runtime/DType.h"
#include "attune/runtime/Error.h"
#include <algorithm>
#include <cstring>
#include <sys/mman.h>

namespace attune::rt {

void Call::run() {
  begin = std::chrono::steady_clock::now();
  if (profile)
    profile->step_count = 0;
  prepareSizes();
  prepareOutputs(kStart);
  if (!arena.stream) {
    runSteps();
  } else {
    try {
      arena.stream->begin(uint32_t(program.steps.size()));
      if (binding.usesDevice())
        arena.stream->followDefault();
      uploadInputs();
      runSteps();
      downloadOutputs();
    } catch (...) {
      // Copies still read and write what is the caller's.
      try {
        arena.stream->finish();
      } catch (const Error &) {
      }
      throw;
    }
  }
  if (profile) {
    profile->total_ns = now();
    profile->arena_bytes = arena.capacity;
  }
}

void Call::runSteps() {
  bool anyDynamic =
      std::any_of(program.values.begin(), program.values.end(),
                  [](const Value &value) { return value.kind == ValueKind::Dynamic; });
  if (anyDynamic && !arena.stream)
    dynamic.resize(program.values.size());
  for (size_t i = 0; anyDynamic && arena.stream && i < program.values.size(); ++i)
    deviceDynamic.emplace_back(*arena.stream);

  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step &step = program.steps[i];
    arena.context.step = uint32_t(i);
    if (anyDynamic)
      allocateDynamic(i);
    uint64_t start = profile ? now() : 0;
    switch (step.kind) {
    case ATTUNE_STEP_KERNEL:
      runKernel(step);
      break;
    case ATTUNE_STEP_LOAD:
      runLoad(step, Phase(i));
      break;
    case ATTUNE_STEP_COPY:
      runCopy(step);
      break;
    }
    if (profile) {
      if (arena.stream)
        wait();
      record(step, start);
    }
    if (anyDynamic)
      freeDynamic(i);
  }
}

void Call::wait() {
  if (std::optional<StepFailure> failed = arena.stream->finish())
    failKernel(program.kernels[program.steps[failed->step].kernel], failed->code);
}

uint64_t Call::now() const {
  return uint64_t(std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count());
}

void Call::prepareSizes() {
  if (arena.valid && arena.sizes == binding.sizes)
    return;
  arena.valid = false;
  arena.evaluation.reset(program.scalars.size());
  arena.evaluation.evaluate(program, program.evaluatedAtStart, binding.sizes);
  arena.evaluation.check(program, kStart);
  layOut();
  arena.sizes = binding.sizes;
  arena.valid = true;
}

/// Places the slots one after the other and finds the address of every value that has one by now.
void Call::layOut() {
  constexpr uint64_t align = 64, limit = uint64_t(INT64_MAX) / 2;
  std::vector<uint64_t> offsets, sizes;
  uint64_t total = 0;
  for (const auto &slot : program.slots) {
    uint64_t size = 0;
    for (uint32_t bytes : slot)
      size = std::max(size, arena.evaluation.size(bytes));
    if (size > limit || total > limit)
      fail(ATTUNE_ERROR_ARGUMENT, "these input sizes are too large: intermediate results need more "
                                  "than 2^62 bytes");
    offsets.push_back(total);
    sizes.push_back(size);
    total += (size + align - 1) / align * align;
  }
  if (arena.stream) {
    arena.capacity = total;
  } else if (total > arena.capacity) {
    arena.memory.reset();
    arena.capacity = 0;
    arena.memory = allocate(total);
    arena.capacity = total;
#ifdef MADV_HUGEPAGE
    if (uint64_t start = (reinterpret_cast<uintptr_t>(arena.memory.get()) + 4095) / 4096 * 4096,
        stop = reinterpret_cast<uintptr_t>(arena.memory.get()) + total;
        total >= 4 << 20)
      madvise(reinterpret_cast<void *>(start), stop - start, MADV_HUGEPAGE);
#endif
  }
  arena.addresses.assign(program.values.size(), nullptr);
  for (size_t i = 0; i < program.values.size(); ++i) {
    const Value &value = program.values[i];
    if (value.kind == ValueKind::Weight) {
      // Kernels do not write to weights: the pages are mapped read-only.
      arena.addresses[i] = arena.stream ? static_cast<char *>(deviceWeights[i])
                                        : const_cast<char *>(weights) + value.offset;
    } else if (value.kind == ValueKind::Arena) {
      if (arena.evaluation.size(value.bytes) > sizes[value.index])
        fail(ATTUNE_ERROR_ARTIFACT, "damaged metadata: value ", i, " does not fit into slot ",
             value.index);
      arena.addresses[i] =
          arena.stream ? static_cast<char *>(arena.slots[value.index].get(sizes[value.index]))
                       : arena.memory.get() + offsets[value.index];
    }
  }
}

/// Whether kernels work on the caller's memory.
static bool isInPlace(const Bound &bound) {
  return bound.onDevice() && !bound.setAside &&
         reinterpret_cast<uintptr_t>(bound.data) % kDeviceAlign == 0;
}

void Call::prepareOutputs(Phase phase) {
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const Value &value = program.values[program.outputs[i].value];
    if (value.phase != phase)
      continue;
    std::vector<int64_t> shape;
    for (uint32_t extent : value.shape)
      shape.push_back(int64_t(arena.evaluation.size(extent)));
    binding.shapeOutput(i, shape, arena.stream.get());
    bool given = !arena.stream || isInPlace(binding.outputs[i]);
    arena.addresses[program.outputs[i].value] =
        given ? binding.outputs[i].data
              : static_cast<char *>(arena.outputs[i].get(arena.evaluation.bytes(value)));
  }
  // Now, because an input may have made room for an output; the first upload is still to come.
  for (size_t i = 0; i < binding.inputs.size(); ++i) {
    char *&address = arena.addresses[program.inputs[i].value];
    if (!arena.stream)
      address = binding.inputs[i].data;
    else if (phase != kStart && binding.inputs[i].setAside && address == binding.inputs[i].data)
      uploadInput(i);
  }
}

void Call::uploadInputs() {
  for (size_t i = 0; i < binding.inputs.size(); ++i)
    uploadInput(i);
}

void Call::uploadInput(size_t i) {
  const Bound &input = binding.inputs[i];
  char *&address = arena.addresses[program.inputs[i].value];
  address = input.data;
  if (isInPlace(input))
    return;
  uint64_t bytes = arena.evaluation.bytes(program.values[program.inputs[i].value]);
  if (input.onDevice())
    bytes = input.span; // which may have room, as the caller's
  address = static_cast<char *>(arena.inputs[i].get(bytes));
  if (input.onDevice())
    arena.stream->copy(address, input.data, bytes);
  else
    arena.stream->write(address, input.data, bytes);
}

void Call::downloadOutputs() {
  for (size_t i = 0; i < binding.outputs.size(); ++i) {
    const Bound &output = binding.outputs[i];
    char *address = arena.addresses[program.outputs[i].value];
    if (!output.data || address == output.data)
      continue;
    uint64_t bytes = arena.evaluation.bytes(program.values[program.outputs[i].value]);
    if (output.onDevice())
      arena.stream->copy(output.data, address, bytes);
    else
      arena.stream->read(output.spread ? output.storage.get() : output.data, address, 0, bytes);
  }
  wait();
}

void Call::allocateDynamic(size_t step) {
  for (uint32_t number : program.steps[step].buffers) {
    const Value &value = program.values[number];
    if (value.kind != ValueKind::Dynamic || value.firstUse != int32_t(step))
      continue;
    uint64_t bytes = arena.evaluation.size(value.bytes);
    if (arena.stream) {
      arena.addresses[number] = static_cast<char *>(deviceDynamic[number].get(bytes));
    } else if (!dynamic[number]) {
      dynamic[number] = allocate(bytes);
      arena.addresses[number] = dynamic[number].get();
    }
  }
}

void Call::freeDynamic(size_t step) {
  for (uint32_t number : program.steps[step].buffers)
    if (program.values[number].lastUse == int32_t(step)) {
      if (arena.stream)
        deviceDynamic[number].clear();
      else
        dynamic[number].reset();
    }
}

void Call::runKernel(const Step &step) {
  arena.buffers.clear();
  for (uint32_t number : step.buffers)
    arena.buffers.push_back(arena.addresses[number]);
  arena.dims.clear();
  for (uint32_t scalar : step.dims)
    arena.dims.push_back(arena.evaluation[scalar]);
  int32_t code = functions[step.kernel](&arena.context, arena.buffers.data(), arena.dims.data());
  if (arena.stream)
    if (std::optional<std::string> failure = arena.stream->takeFailure())
      fail(ATTUNE_ERROR_SYSTEM, nameOf(program.kernels[step.kernel]), ": ", *failure);
  if (code)
    failKernel(program.kernels[step.kernel], code);
}

uint64_t Call::bytesOf(const Value &value) const {
  switch (value.kind) {
  case ValueKind::Weight:
    return value.weightBytes;
  case ValueKind::Arena:
  case ValueKind::Dynamic:
    return arena.evaluation.size(value.bytes);
  case ValueKind::Input:
  case ValueKind::Output:
    break;
  }
  return arena.evaluation.bytes(value);
}

static int64_t loadInteger(attune_dtype dtype, const char *data) {
  auto as = [&](auto zero) {
    memcpy(&zero, data, sizeof zero);
    if constexpr (sizeof zero == 8)
      if (decltype(zero)(-1) > 0 && zero > decltype(zero)(INT64_MAX))
        fail(ATTUNE_ERROR_KERNEL, "a size that the model computes is above 2^63 - 1");
    return int64_t(zero);
  };
  switch (dtype) {
  case ATTUNE_I8:
    return as(int8_t());
  case ATTUNE_I16:
    return as(int16_t());
  case ATTUNE_I32:
    return as(int32_t());
  case ATTUNE_U16:
    return as(uint16_t());
  case ATTUNE_U32:
    return as(uint32_t());
  case ATTUNE_U64:
    return as(uint64_t());
  case ATTUNE_I64:
    return as(int64_t());
  default: // u8, bool: the parser admits no other
    return as(uint8_t());
  }
}

void Call::runLoad(const Step &step, Phase phase) {
  const Value &value = program.values[step.buffers[0]];
  uint64_t width = dtypeBits(value.dtype) / 8, available = bytesOf(value) / width;
  if (value.kind == ValueKind::Arena || value.kind == ValueKind::Dynamic ||
      value.kind == ValueKind::Weight)
    available = std::min(available, arena.evaluation.elements(value));
  if (uint64_t(step.element) >= available)
    fail(ATTUNE_ERROR_KERNEL, "the model reads element ", step.element, " of a tensor of ",
         available, " elements as a size");
  // Later scalars belong to this call only.
  arena.valid = false;
  char element[sizeof(int64_t)];
  char *place = arena.addresses[step.buffers[0]];
  if (arena.stream) {
    arena.stream->read(element, place, step.element * width, width);
    wait();
  } else {
    memcpy(element, place + step.element * width, width);
  }
  arena.evaluation.define(step.scalar, loadInteger(value.dtype, element));
  arena.evaluation.evaluate(program, step.evaluates, binding.sizes);
  arena.evaluation.check(program, phase);
  prepareOutputs(phase);
}

void Call::runCopy(const Step &step) {
  const Value &from = program.values[step.buffers[0]], &to = program.values[step.buffers[1]];
  uint64_t bytes = arena.evaluation.size(uint32_t(step.bytes));
  if (bytes > bytesOf(from) || bytes > bytesOf(to))
    fail(ATTUNE_ERROR_ARTIFACT, "damaged metadata: a copy of ", bytes, " bytes from ",
         bytesOf(from), " to ", bytesOf(to));
  char *source = arena.addresses[step.buffers[0]], *target = arena.addresses[step.buffers[1]];
  if (source == target)
    return;
  if (arena.stream)
    arena.stream->copy(target, source, bytes);
  else if (bytes)
    memmove(target, source, bytes);
}

void Call::record(const Step &step, uint64_t start) {
  uint64_t stop = now(), position = profile->step_count++;
  if (!profile->steps || position >= profile->step_capacity)
    return;
  auto count = [&](int32_t scalar) { return scalar < 0 ? 0 : arena.evaluation[uint32_t(scalar)]; };
  attune_step entry{step.kind, step.kernel, start, stop, count(step.flops), count(step.bytes)};
  auto *place = reinterpret_cast<char *>(profile->steps) + position * profile->step_size;
  memcpy(place, &entry, std::min<size_t>(profile->step_size, sizeof entry));
}

std::string Call::nameOf(const Kernel &kernel) {
  std::string where;
  constexpr size_t most = 4;
  for (size_t i = 0; i < kernel.nodes.size() && i < most; ++i)
    where += text(i ? ", `" : "`", kernel.nodes[i], "`");
  if (kernel.nodes.size() > most)
    where += text(" and ", kernel.nodes.size() - most, " more");
  return kernel.nodes.empty() ? text("kernel `", kernel.name, "`")
                              : text("ONNX node", kernel.nodes.size() > 1 ? "s " : " ", where,
                                     " (kernel `", kernel.name, "`)");
}

void Call::failKernel(const Kernel &kernel, int32_t code) const {
  std::string where = nameOf(kernel);
  switch (code) {
  case ATTUNE_KERNEL_INDEX_OUT_OF_RANGE:
    fail(ATTUNE_ERROR_KERNEL, where, ": an index is outside its axis");
  case ATTUNE_KERNEL_DIVISION_BY_ZERO:
    fail(ATTUNE_ERROR_KERNEL, where, ": integer division by zero");
  case ATTUNE_KERNEL_BAD_SHAPE:
    fail(ATTUNE_ERROR_KERNEL, where, ": the sizes contradict what the model promises");
  case ATTUNE_KERNEL_TOO_LARGE:
    fail(ATTUNE_ERROR_KERNEL, where,
         ": a tensor has more elements than this kernel can address; "
         "compile with --backend=mlir");
  }
  fail(ATTUNE_ERROR_INTERNAL, where, ": unknown error ", code);
}

} // namespace attune::rt
