//===- attune.hpp - The runtime for C++ programs ----------------------------------------------===//
//
// A header-only layer over attune.h: sessions and tensors that own what they hold, errors as
// exceptions. Everything that attune.h promises and demands holds here as well.
//
//   attune::Session session("model.so");
//   attune::Tensor ids = attune::Tensor::of<int64_t>({1, 3}, {101, 7592, 102});
//   std::vector<attune::Tensor> outputs = session.run({ids});
//   const float *embedding = outputs[0].data<float>();
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_ATTUNE_HPP
#define ATTUNE_RUNTIME_ATTUNE_HPP

#include "attune/runtime/attune.h"
#include <algorithm>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace attune {

class Error : public std::runtime_error {
public:
  Error(attune_code code, const std::string &message) : std::runtime_error(message), code(code) {}
  attune_code code;
};

namespace detail {

inline const attune_api &api() {
  static const attune_api *const table = attune_get_api(ATTUNE_API_VERSION);
  if (!table)
    throw Error(ATTUNE_ERROR_UNSUPPORTED, "the Attune runtime library has another version");
  return *table;
}

inline void check(attune_status *status) {
  if (!status)
    return;
  Error error(api().status_code(status), api().status_message(status));
  api().status_free(status);
  throw error;
}

template <class T> constexpr attune_dtype dtypeOf() {
  if constexpr (std::is_same_v<T, bool>)
    return ATTUNE_BOOL;
  else if constexpr (std::is_floating_point_v<T>)
    return sizeof(T) == 4 ? ATTUNE_F32 : ATTUNE_F64;
  else {
    static_assert(std::is_integral_v<T>, "give the dtype of this element type");
    return 0x010000 | sizeof(T) * 8 << 8 | (std::is_signed_v<T> ? 0 : 1);
  }
}

} // namespace detail

/// Name of an element type: "f32".
inline std::string dtypeName(attune_dtype dtype) {
  const char *name = detail::api().dtype_name(dtype);
  return name ? name : "unknown";
}

/// A dense tensor, or the front of one (`first`); copies share the memory.
class Tensor {
public:
  Tensor() = default;

  /// Uninitialised memory of its own.
  Tensor(attune_dtype dtype, std::vector<int64_t> shape)
      : Tensor(dtype, std::move(shape), nullptr) {
    uint64_t bytes = size();
    block->storage.reset(new char[bytes + 64]);
    uintptr_t at = reinterpret_cast<uintptr_t>(block->storage.get());
    block->data = block->storage.get() + (64 - at % 64) % 64;
  }

  /// The caller's memory, on the host or on the device of a session, which must outlive every copy
  /// of the tensor.
  static Tensor view(attune_dtype dtype, std::vector<int64_t> shape, void *data,
                     attune_device device = {ATTUNE_CPU, 0}) {
    Tensor tensor(dtype, std::move(shape), data);
    tensor.block->device = device;
    return tensor;
  }

  template <class T> static Tensor of(std::vector<int64_t> shape, std::initializer_list<T> values) {
    return of<T>(std::move(shape), std::span(values.begin(), values.size()));
  }
  template <class T> static Tensor of(std::vector<int64_t> shape, std::span<const T> values) {
    Tensor tensor(detail::dtypeOf<T>(), std::move(shape));
    if (values.size() != tensor.elements())
      throw Error(ATTUNE_ERROR_ARGUMENT, "the number of values differs from the shape's");
    std::copy(values.begin(), values.end(), tensor.data<T>());
    return tensor;
  }

  /// The first `extent` elements along `axis` of a dense tensor, in its memory: the part of a cache
  /// that is filled. `data` then is spaced by `strides`.
  Tensor first(int64_t axis, int64_t extent) const {
    if (!strides().empty() || axis < 0 || axis >= int64_t(shape().size()) || extent < 0 ||
        extent > shape()[axis])
      throw Error(ATTUNE_ERROR_ARGUMENT, "there is no such front of the tensor");
    std::vector<int64_t> shape = block->shape, strides(shape.size(), 1);
    for (size_t i = shape.size() - 1; i > 0; --i)
      strides[i - 1] = strides[i] * shape[i];
    shape[axis] = extent;
    Tensor front = view(dtype(), std::move(shape), data(), device());
    front.block->strides = std::move(strides);
    front.block->whole = block;
    return front;
  }

  explicit operator bool() const { return block != nullptr; }
  attune_dtype dtype() const { return block->dtype; }
  const std::vector<int64_t> &shape() const { return block->shape; }
  const std::vector<int64_t> &strides() const { return block->strides; } ///< empty: dense
  uint64_t elements() const {
    uint64_t count = 1;
    for (int64_t extent : shape())
      if (extent < 0 || __builtin_mul_overflow(count, uint64_t(extent), &count))
        throw Error(ATTUNE_ERROR_ARGUMENT, "negative extent, or too many elements");
    return count;
  }
  /// In bytes.
  uint64_t size() const {
    uint64_t bytes = detail::api().dtype_bytes(dtype(), elements());
    if (bytes > uint64_t(INT64_MAX))
      throw Error(ATTUNE_ERROR_ARGUMENT, "unknown dtype, or too many elements");
    return bytes;
  }
  void *data() const { return block->data; }
  /// Where `data` lies.
  attune_device device() const { return block->device; }
  /// Throws if T is not the tensor's element type.
  template <class T> T *data() const {
    if (detail::dtypeOf<T>() != dtype())
      throw Error(ATTUNE_ERROR_ARGUMENT, "the tensor's elements are " + dtypeName(dtype()));
    return static_cast<T *>(block->data);
  }

  /// For the C interface; valid as long as the tensor.
  attune_value value() const {
    attune_value value{};
    value.size = sizeof value;
    value.kind = ATTUNE_TENSOR;
    value.tensor.data = block->data;
    value.tensor.device = block->device;
    value.tensor.ndim = int32_t(block->shape.size());
    value.tensor.dtype = block->dtype;
    value.tensor.shape = block->shape.data();
    value.tensor.strides = block->strides.empty() ? nullptr : block->strides.data();
    return value;
  }
  /// Takes over what a run has allocated.
  static Tensor adopt(attune_value &value) {
    const attune_tensor &from = value.tensor;
    Tensor tensor = view(from.dtype, std::vector<int64_t>(from.shape, from.shape + from.ndim),
                         static_cast<char *>(from.data) + from.byte_offset, from.device);
    tensor.block->owned = std::exchange(value, attune_value{});
    return tensor;
  }

private:
  struct Block {
    attune_dtype dtype = 0;
    std::vector<int64_t> shape, strides;
    void *data = nullptr;
    attune_device device{ATTUNE_CPU, 0};
    std::shared_ptr<Block> whole; ///< owns the memory of a front
    std::unique_ptr<char[]> storage;
    attune_value owned{};
    ~Block() {
      if (owned.owner)
        detail::api().value_clear(&owned);
    }
  };
  Tensor(attune_dtype dtype, std::vector<int64_t> shape, void *data)
      : block(std::make_shared<Block>()) {
    block->dtype = dtype;
    block->shape = std::move(shape);
    block->data = data;
  }
  std::shared_ptr<Block> block;
};

struct SessionOptions {
  unsigned threads = 0; ///< 0: as many as the process may use
  bool flushDenormals = false;
  bool deviceOutputs = false; ///< outputs that a run allocates lie where kernels run
  /// Runs job(i) for every i in [0, count), at the same time if it can; null: the runtime's
  /// threads.
  std::function<void(uint32_t count, const std::function<void(uint32_t)> &job)> executor = nullptr;
  unsigned executorThreads = 0; ///< the largest `count`
};

/// A loaded model; several threads may run it at once.
class Session {
public:
  explicit Session(const std::string &path, SessionOptions options = {})
      : executor(std::make_unique<decltype(options.executor)>(std::move(options.executor))) {
    attune_executor calls{};
    calls.size = sizeof calls;
    calls.threads = options.executorThreads;
    calls.context = executor.get();
    calls.run = [](void *context, uint32_t count, void (*job)(void *, uint32_t), void *argument) {
      (*static_cast<decltype(options.executor) *>(context))(count,
                                                            [&](uint32_t i) { job(argument, i); });
    };
    attune_session_options c{};
    c.size = sizeof c;
    c.threads = options.threads;
    c.flush_denormals = options.flushDenormals;
    c.device_outputs = options.deviceOutputs;
    c.executor = *executor ? &calls : nullptr;
    attune_session *opened = nullptr;
    detail::check(detail::api().session_open(path.c_str(), &c, &opened));
    session.reset(opened);
  }

  const attune_signature &signature() const {
    return *detail::api().session_signature(session.get());
  }

  /// Inputs in the order of the signature; gives all outputs, newly allocated.
  std::vector<Tensor> run(const std::vector<Tensor> &inputs,
                          attune_profile *profile = nullptr) const {
    return run({}, inputs, profile);
  }
  /// Inputs by name.
  std::vector<Tensor> run(const std::vector<std::pair<std::string, Tensor>> &inputs,
                          attune_profile *profile = nullptr) const {
    std::vector<const char *> names;
    std::vector<Tensor> tensors;
    for (const auto &[name, tensor] : inputs) {
      names.push_back(name.c_str());
      tensors.push_back(tensor);
    }
    names.push_back(nullptr);
    return run(names, tensors, profile);
  }
  /// Into the caller's tensors, which have the right shapes already; allocates nothing. An output
  /// may be the memory of an input: a cache that grows, a state that is replaced.
  void runInto(const std::vector<Tensor> &inputs, const std::vector<Tensor> &outputs,
               attune_profile *profile = nullptr) const {
    std::vector<attune_value> out = values(outputs);
    run({}, values(inputs), out, profile);
  }

private:
  struct Close {
    void operator()(attune_session *session) const { detail::api().session_close(session); }
  };

  static std::vector<attune_value> values(const std::vector<Tensor> &tensors) {
    std::vector<attune_value> list;
    for (const Tensor &tensor : tensors) {
      if (!tensor)
        throw Error(ATTUNE_ERROR_ARGUMENT, "an empty tensor");
      list.push_back(tensor.value());
    }
    return list;
  }
  std::vector<Tensor> run(const std::vector<const char *> &names, const std::vector<Tensor> &inputs,
                          attune_profile *profile) const {
    attune_value none{};
    none.size = sizeof none;
    std::vector<attune_value> out(signature().output_count, none);
    run(names, values(inputs), out, profile);
    std::vector<Tensor> tensors;
    for (attune_value &value : out)
      tensors.push_back(Tensor::adopt(value));
    return tensors;
  }
  void run(const std::vector<const char *> &names, const std::vector<attune_value> &inputs,
           std::vector<attune_value> &outputs, attune_profile *profile) const {
    attune_run_args args{};
    args.size = sizeof args;
    args.input_names = names.empty() ? nullptr : names.data();
    args.inputs = inputs.data();
    args.input_count = inputs.size();
    args.outputs = outputs.data();
    args.output_count = outputs.size();
    args.profile = profile;
    detail::check(detail::api().session_run(session.get(), &args));
  }

  std::unique_ptr<std::function<void(uint32_t, const std::function<void(uint32_t)> &)>> executor;
  std::unique_ptr<attune_session, Close> session;
};

} // namespace attune
#endif
