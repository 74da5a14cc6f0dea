//===- Worker.h - Evaluations by other processes ----------------------------------------------===//
//
// Trains candidates with whatever language and library the user likes: a worker is a process that
// speaks JSON lines on its standard input and output (`attune-eval 1`, docs/search.md):
//
//   worker: {"hello": {"protocol": 1}}
//   study:  {"eval": {"id": 3, "genes": [0, 2], "values": {"attn": "linear"}, "seed": 7}}
//   worker: {"progress": {"id": 3, "step": 2, "metrics": {"val_acc": 0.4}}}
//   study:  {"stop": {"id": 3}}                               (only after progress that is too bad)
//   worker: {"result": {"id": 3, "metrics": {"val_acc": 0.9}, "seconds": 12}}
//        or {"error": {"id": 3, "message": "out of memory", "retryable": true}}
//
// Each worker is a process group of its own with a limit on memory; it is killed, with what it
// started, when an evaluation takes too long or the study ends. A crash is a failed candidate, and
// a new worker takes the place. Only a worker that never says hello ends the study.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_WORKER_H
#define ATTUNE_SEARCH_WORKER_H

#include "attune/search/Evaluator.h"

namespace attune::search {

struct WorkerOptions {
  std::vector<std::string> command;
  unsigned count = 1;
  double timeout = 3600;    ///< seconds for one evaluation
  double startTimeout = 60; ///< seconds until hello
  uint64_t memory = 0;      ///< bytes of address space; 0: no limit
  unsigned retries = 2;     ///< of an evaluation whose error is retryable
  std::string logFolder;    ///< for `worker-N.log`, what workers write to standard error
};

/// From `evaluator: {name: worker, command: [...], timeout_s: 600, memory_mb: 4000, ...}`.
llvm::Expected<WorkerOptions> workerOptions(const Spec &spec);

class Worker;

class WorkerEvaluator final : public Evaluator {
public:
  WorkerEvaluator(const Space &space, WorkerOptions options);
  ~WorkerEvaluator() override;
  std::string identity() const override;
  unsigned slots() const override { return options.count; }
  llvm::Error start(const Request &request) override;
  llvm::Expected<std::vector<Outcome>> wait() override;

private:
  WorkerOptions options;
  std::vector<std::unique_ptr<Worker>> workers;
};

} // namespace attune::search
#endif
