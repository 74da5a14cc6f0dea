#include "attune/search/Worker.h"
#include "attune/search/Document.h"
#include "attune/search/Process.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <cerrno>
#include <chrono>
#include <cmath>
#include <limits>
#include <poll.h>

namespace attune::search {

using llvm::createStringError;
using llvm::Error;

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kStopGrace = 5; ///< seconds for a worker to obey a stop
constexpr unsigned kMostFailedStarts = 3;

static double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Python writes NaN and Infinity, which JSON has not: they become null, which is no number either.
static std::string withoutNan(llvm::StringRef line) {
  std::string text;
  bool quoted = false;
  for (size_t i = 0; i < line.size();) {
    if (quoted && line[i] == '\\') {
      text += line.substr(i, 2);
      i += 2;
      continue;
    }
    quoted ^= line[i] == '"';
    llvm::StringRef rest = line.substr(i), word;
    for (llvm::StringRef candidate : {"NaN", "-Infinity", "Infinity"})
      if (!quoted && word.empty() && rest.starts_with(candidate))
        word = candidate;
    text += word.empty() ? rest.take_front(1).str() : "null";
    i += word.empty() ? 1 : word.size();
  }
  return text;
}

/// One process and what it is at: starting, idle, evaluating, or told to stop.
class Worker {
public:
  Worker(const Space &space, const WorkerOptions &options, unsigned number)
      : space(space), options(options), number(number) {}

  bool busy() const { return request.has_value(); }
  int descriptor() const { return process.running() ? process.output() : -1; }
  double deadline() const { return limit; }

  Error give(const Request &next) {
    request = next;
    attempts = 0;
    failedStarts = 0;
    return begin();
  }

  /// Reads what the process says. At most one outcome.
  Error read(std::vector<Outcome> &outcomes) {
    std::vector<std::string> lines;
    bool open = process.receive(lines);
    isConfused = false;
    for (const std::string &line : lines) {
      if (Error error = take(line, outcomes))
        return error;
      // What else the process said is of no interest: it is gone.
      if (isConfused)
        return Error::success();
    }
    return open || !process.running() ? Error::success() : ended(process.kill(), outcomes);
  }

  Error late(std::vector<Outcome> &outcomes) {
    process.kill();
    if (draining) {
      draining = false;
      limit = kNever;
      return request ? begin() : Error::success();
    }
    if (!greeted)
      return ended("did not say hello within " + spelled(options.startTimeout) + " s", outcomes);
    limit = kNever;
    greeted = false;
    return fail("no result within " + spelled(options.timeout) + " s", outcomes);
  }

private:
  Error begin() {
    if (!process.running()) {
      Process::Options start{options.command, space.folder, {}, options.memory};
      if (!options.logFolder.empty())
        start.logFile = options.logFolder + "/worker-" + std::to_string(number) + ".log";
      greeted = draining = false;
      if (Error error = process.start(start))
        return error;
      limit = now() + options.startTimeout;
      return Error::success();
    }
    return greeted && !draining ? send() : Error::success();
  }

  Error send() {
    llvm::json::Object fixed;
    for (const auto &[name, value] : space.fixed)
      fixed[name] = value;
    llvm::json::Object eval{{"id", static_cast<int64_t>(request->id)},
                            {"genes", llvm::json::Array(request->genes)},
                            {"values", space.toJson(request->genes)},
                            {"fixed", std::move(fixed)},
                            {"seed", static_cast<int64_t>(request->seed)}};
    if (space.earlyStop)
      eval["rungs"] = llvm::json::Array(space.earlyStop->rungs);
    partial = Outcome();
    started = now();
    limit = started + options.timeout;
    // A process that is gone is noticed where its output ends.
    process.send(
        llvm::formatv("{0}", llvm::json::Value(llvm::json::Object{{"eval", std::move(eval)}}))
            .str());
    return Error::success();
  }

  void finish(Outcome outcome, std::vector<Outcome> &outcomes) {
    outcome.id = request->id;
    if (!(outcome.seconds > 0) || !std::isfinite(outcome.seconds))
      outcome.seconds = now() - started;
    request.reset();
    outcomes.push_back(std::move(outcome));
  }

  Error fail(const llvm::Twine &reason, std::vector<Outcome> &outcomes) {
    if (request) {
      partial.status = Status::Failed;
      partial.reason = reason.str();
      finish(std::move(partial), outcomes);
    }
    return Error::success();
  }

  /// The process is gone.
  Error ended(const std::string &how, std::vector<Outcome> &outcomes) {
    bool spoke = greeted;
    limit = kNever;
    greeted = false;
    if (draining) {
      draining = false;
      return request ? begin() : Error::success();
    }
    if (spoke)
      return fail("the worker " + llvm::Twine(how), outcomes);
    if (++failedStarts < kMostFailedStarts)
      return begin();
    std::string log = options.logFolder.empty() ? ""
                                                : "; see " + options.logFolder + "/worker-" +
                                                      std::to_string(number) + ".log";
    return createStringError("the worker `" + llvm::join(options.command, " ") +
                             "` does not start: it " + how + log);
  }

  Error take(llvm::StringRef line, std::vector<Outcome> &outcomes) {
    auto value = llvm::json::parse(withoutNan(line));
    const llvm::json::Object *message = value ? value->getAsObject() : nullptr;
    if (!value)
      llvm::consumeError(value.takeError());
    if (!message)
      return confused(line, outcomes);
    if (!greeted) {
      const llvm::json::Object *hello = message->getObject("hello");
      if (!hello || hello->getInteger("protocol") != 1)
        return confused(line, outcomes);
      greeted = true;
      failedStarts = 0;
      limit = kNever;
      return request ? send() : Error::success();
    }
    for (llvm::StringRef kind : {"progress", "result", "error", "stopped"})
      if (const llvm::json::Object *content = message->getObject(kind))
        return answer(kind, *content, outcomes);
    return confused(line, outcomes);
  }

  /// What is no message of the protocol: the process cannot be relied on.
  Error confused(llvm::StringRef line, std::vector<Outcome> &outcomes) {
    process.kill();
    isConfused = true;
    constexpr size_t kShown = 80;
    std::string shown = llvm::json::fixUTF8(line.take_front(kShown));
    if (!greeted)
      return ended("said `" + shown + "` instead of hello (protocol 1)", outcomes);
    return ended("said what is no message of the protocol: `" + shown + "`", outcomes);
  }

  Error answer(llvm::StringRef kind, const llvm::json::Object &content,
               std::vector<Outcome> &outcomes) {
    std::optional<int64_t> id = content.getInteger("id");
    if (draining) {
      // Whatever ends the evaluation that was stopped.
      if (kind != "progress") {
        draining = false;
        limit = kNever;
        return request ? send() : Error::success();
      }
      return Error::success();
    }
    if (!request || id != static_cast<int64_t>(request->id))
      return Error::success(); // late words about something else
    if (const llvm::json::Object *metrics = content.getObject("metrics"))
      for (const auto &[name, value] : *metrics)
        partial.metrics[llvm::StringRef(name).str()] = value.getAsNumber().value_or(std::nan(""));
    if (kind == "progress")
      return progress(content.getNumber("step").value_or(0), outcomes);
    limit = kNever;
    if (kind == "result") {
      partial.status = Status::Ok;
      partial.seconds = content.getNumber("seconds").value_or(0);
      finish(std::move(partial), outcomes);
      return Error::success();
    }
    std::string reason = content.getString("message").value_or("the worker gave no reason").str();
    if (kind == "error" && content.getBoolean("retryable").value_or(false) &&
        attempts < options.retries) {
      ++attempts;
      return send();
    }
    return fail(reason, outcomes);
  }

  Error progress(double step, std::vector<Outcome> &outcomes) {
    if (!space.earlyStop)
      return Error::success();
    auto metric = partial.metrics.find(space.earlyStop->metric);
    if (metric == partial.metrics.end())
      return Error::success();
    const std::vector<double> &rungs = space.earlyStop->rungs;
    while (partial.rungs.size() < rungs.size() && step >= rungs[partial.rungs.size()]) {
      size_t rung = partial.rungs.size();
      bool number = std::isfinite(metric->second);
      if (number)
        partial.rungs.push_back(metric->second);
      bool bad = rung < request->thresholds.size() &&
                 isTooBad(space, metric->second, request->thresholds[rung]);
      if (!number || bad) {
        process.send(llvm::formatv("{\"stop\": {\"id\": {0}}}", request->id).str());
        draining = true;
        limit = now() + kStopGrace;
        partial.status = number ? Status::Stopped : Status::Failed;
        if (!number)
          partial.reason = "the metric `" + space.earlyStop->metric + "` is not a finite number";
        finish(std::move(partial), outcomes);
        return Error::success();
      }
    }
    return Error::success();
  }

  const Space &space;
  const WorkerOptions &options;
  unsigned number;
  Process process;
  std::optional<Request> request;
  Outcome partial;
  bool greeted = false;
  bool draining = false;   ///< told to stop, has not ended yet
  bool isConfused = false; ///< said what is no message, and was ended
  unsigned attempts = 0, failedStarts = 0;
  double limit = kNever, started = 0;
};

WorkerEvaluator::WorkerEvaluator(const Space &space, WorkerOptions given)
    : options(std::move(given)) {
  for (unsigned i = 0; i < options.count; ++i)
    workers.push_back(std::make_unique<Worker>(space, options, i));
}

WorkerEvaluator::~WorkerEvaluator() = default;

std::string WorkerEvaluator::identity() const {
  return "worker " + llvm::join(options.command, " ");
}

Error WorkerEvaluator::start(const Request &request) {
  for (const std::unique_ptr<Worker> &worker : workers)
    if (!worker->busy())
      return worker->give(request);
  return createStringError("all workers are busy");
}

llvm::Expected<std::vector<Outcome>> WorkerEvaluator::wait() {
  std::vector<Outcome> outcomes;
  std::vector<pollfd> descriptors;
  double next = now() + 1; // now and then the study looks whether it shall end
  for (const std::unique_ptr<Worker> &worker : workers) {
    descriptors.push_back({worker->descriptor(), POLLIN, 0}); // -1 is skipped
    next = std::min(next, worker->deadline());
  }
  int milliseconds = std::max(0.0, std::ceil((next - now()) * 1000));
  if (::poll(descriptors.data(), descriptors.size(), milliseconds) < 0) {
    if (errno == EINTR)
      return outcomes;
    return createStringError("cannot wait for workers");
  }
  for (size_t i = 0; i < workers.size(); ++i) {
    Worker &worker = *workers[i];
    if (descriptors[i].revents)
      if (Error error = worker.read(outcomes))
        return std::move(error);
    if (now() >= worker.deadline())
      if (Error error = worker.late(outcomes))
        return std::move(error);
  }
  return outcomes;
}

llvm::Expected<WorkerOptions> workerOptions(const Spec &spec) {
  WorkerOptions options;
  options.command = spec.command;
  if (options.command.empty())
    return createStringError("an evaluator `worker` needs `command`, a list of words");
  struct Number {
    llvm::StringRef name;
    double least;
    std::function<void(double)> set;
  };
  const Number numbers[] = {
      {"timeout_s", 0.001, [&](double value) { options.timeout = value; }},
      {"start_s", 0.001, [&](double value) { options.startTimeout = value; }},
      {"memory_mb", 1, [&](double value) { options.memory = value * 1048576; }},
      {"retries", 0, [&](double value) { options.retries = value; }}};
  for (const auto &[name, text] : spec.options) {
    auto known = llvm::find_if(numbers, [&](const Number &number) { return number.name == name; });
    if (known == std::end(numbers))
      return createStringError("the evaluator `worker` has no option `" + name +
                               "`; accepted: command, timeout_s, start_s, memory_mb, retries");
    double value;
    constexpr double kMost = 1e9;
    if (llvm::StringRef(text).getAsDouble(value) || !(value >= known->least) || value > kMost)
      return createStringError("`" + name + "` of the evaluator `worker` is a number from " +
                               spelled(known->least) + "; found `" + text + "`");
    known->set(value);
  }
  return options;
}

} // namespace attune::search
