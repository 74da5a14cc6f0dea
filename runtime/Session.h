//===- Session.h - A loaded model -------------------------------------------------------------===//
//
// Behind `attune_session`: opens the artifact, describes it, and runs its steps. Everything here is
// immutable after construction but the pool of arenas, which is lock-free: a session works in a
// forked child whatever the other threads of the parent were doing. (On a device, which drivers do
// not share with children, the first run adds that.)
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_SESSION_H
#define ATTUNE_RUNTIME_SESSION_H

#include "attune/runtime/ArtifactFile.h"
#include "attune/runtime/Binding.h"
#include "attune/runtime/Device.h"
#include "attune/runtime/Evaluation.h"
#include "attune/runtime/Parallel.h"
#include "attune/runtime/Program.h"
#include <atomic>
#include <memory>
#include <mutex>

namespace attune::rt {

/// Memory and sizes of one running call, kept for the next one.
struct Arena {
  Context context;
  Evaluation evaluation;
  CallSizes sizes;    ///< of the last evaluation
  bool valid = false; ///< `sizes`, `evaluation` and `addresses` belong together
  Memory memory;
  uint64_t capacity = 0;
  std::vector<char *> addresses; ///< per value
  std::vector<void *> buffers;   ///< of the step that runs
  std::vector<int64_t> dims;

  // On a device addresses are handles, and there is a buffer per slot of the memory plan.
  std::unique_ptr<Stream> stream;
  std::vector<Reserved> slots, inputs, outputs;

  explicit Arena(const Context &context) : context(context) {}
  Arena(const Context &context, const Program &program, std::unique_ptr<Stream> stream);
};

class Session {
public:
  Session(const std::string &path, const attune_session_options &options);
  ~Session();
  Session(const Session &) = delete;

  const attune_signature &signature() const { return description; }
  void run(const attune_run_args &args);

private:
  void describe();
  std::unique_ptr<Arena> acquire();
  void release(std::unique_ptr<Arena> arena);
  void openDevice();

  ArtifactFile artifact;
  Program program;
  std::vector<attune_kernel_fn> functions;
  attune_executor executor{};
  bool flushDenormals = false, copyStrided = false, deviceOutputs = false;
  unsigned threads = 1;
  /// Of targets other than the CPU: opened by the first run, with the weights by value.
  std::once_flag deviceOnce;
  std::shared_ptr<Device> device;
  std::unique_ptr<Stream> weightStream;
  std::vector<Reserved> weightBuffers;
  std::vector<Handle> weights;
  std::atomic<Arena *> arenas[64] = {};

  // What the signature points at.
  attune_signature description{};
  std::vector<attune_port> ports;
  std::vector<std::vector<const char *>> strings;
  std::vector<attune_alias> aliases;
  std::vector<attune_kernel> kernels;
  std::vector<const attune_port *> inputList, outputList;
  std::vector<const attune_alias *> aliasList;
  std::vector<const attune_kernel *> kernelList;
};

} // namespace attune::rt
#endif
