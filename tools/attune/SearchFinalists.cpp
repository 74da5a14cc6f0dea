// `attune search finalists`: predictions meet the machine.
#include "attune/runtime/attune.hpp"
#include "attune/search/templates/Template.h"
#include "attune/tools/attune/Inputs.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Search.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <cmath>

namespace attune::tools {
namespace {

using namespace attune::search;

struct Finalist {
  const ReportEntry *entry;
  Goals goals;
  double predictedMs = std::nan("");
  std::string artifact;
  std::unique_ptr<Session> session;
  std::vector<Tensor> inputs, outputs;
  std::vector<double> times;

  double medianMs() const {
    std::vector<double> sorted = times;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

llvm::Error writeModel(const std::string &path, llvm::StringRef text) {
  llvm::Error error = llvm::writeToOutput(path, [&](llvm::raw_ostream &os) {
    os << text;
    return llvm::Error::success();
  });
  return error ? llvm::createStringError("cannot write " + path + ": " +
                                         llvm::toString(std::move(error)))
               : llvm::Error::success();
}

class Finals {
public:
  Finals(Report &found, Template &network, unsigned threads)
      : found(found), network(network), threads(threads) {}

  ~Finals() {
    for (const Finalist &finalist : finalists)
      if (!finalist.artifact.empty())
        llvm::sys::fs::remove(finalist.artifact);
  }

  llvm::Error prepare(size_t most) {
    for (const Archive::Entry &member : found.front()) {
      if (finalists.size() == most)
        break;
      auto entry = llvm::find_if(found.entries, [&](const ReportEntry &candidate) {
        return candidate.candidate.id == member.id;
      });
      Finalist &finalist = finalists.emplace_back();
      finalist.entry = &*entry;
      finalist.goals = member.goals;
      for (size_t i = 0; i < found.costs.size() && i < entry->candidate.cost.values.size(); ++i)
        if (found.costs[i] == "latency_ms@" + std::to_string(threads))
          finalist.predictedMs = entry->candidate.cost.values[i];
      finalist.artifact = inStudy("candidate-" + std::to_string(member.id) + ".so");
      if (llvm::Error error = compile(network.whole(member.genes), finalist.artifact))
        return error;
      finalist.session =
          std::make_unique<Session>(finalist.artifact, SessionOptions{.threads = threads});
      auto inputs = makeInputs(*finalist.session, {});
      if (!inputs)
        return inputs.takeError();
      finalist.inputs = std::move(*inputs);
      finalist.outputs = finalist.session->run(finalist.inputs);
      llvm::errs() << "compiled " << finalists.size() << " of "
                   << std::min(most, found.archive.entries().size()) << "\n";
    }
    return llvm::Error::success();
  }

  /// One run of each in turn, so that what disturbs the machine disturbs all.
  void measure(int64_t runs) {
    for (int64_t run = 0; run < runs; ++run)
      for (Finalist &finalist : finalists) {
        auto start = std::chrono::steady_clock::now();
        finalist.session->runInto(finalist.inputs, finalist.outputs);
        std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - start;
        finalist.times.push_back(passed.count());
      }
  }

  /// The limit on latency at this number of threads.
  std::optional<double> limitMs() const {
    std::optional<double> limit;
    for (const Constraint &constraint : found.space.constraints)
      if (constraint.cost && constraint.cost->name == "latency_ms" && constraint.atMost &&
          (!constraint.cost->threads || constraint.cost->threads == threads))
        limit = std::min(limit.value_or(*constraint.atMost), *constraint.atMost);
    return limit;
  }

  const Finalist *print() const {
    std::optional<double> limit = limitMs();
    const Finalist *winner = nullptr;
    llvm::outs() << "      id  predicted ms  measured ms";
    for (const Objective &objective : found.space.objectives)
      llvm::outs() << "  " << llvm::right_justify(objective.name(), 12);
    llvm::outs() << "\n";
    for (const Finalist &finalist : finalists) {
      double measured = finalist.medianMs();
      bool meets = !limit || measured <= *limit;
      llvm::outs() << llvm::format("%8llu  %12.4f  %11.4f",
                                   static_cast<unsigned long long>(finalist.entry->candidate.id),
                                   finalist.predictedMs, measured);
      for (size_t i = 0; i < finalist.goals.size(); ++i)
        llvm::outs() << llvm::format("  %12.6g", found.value(i, finalist.goals));
      llvm::outs() << (meets ? "\n" : "  over the limit\n");
      // Finalists come with the best in the first objective first.
      if (meets && !winner)
        winner = &finalist;
    }
    return winner;
  }

  /// winner.so, and winner.onnx where standard operators can say what it is.
  llvm::Error keep(const Finalist &winner) {
    const Genes &genes = winner.entry->candidate.genes;
    if (llvm::Error error = compile(network.whole(genes), inStudy("winner.so")))
      return error;
    auto text = network.onnx(genes);
    if (!text) {
      llvm::errs() << "attune search finalists: no winner.onnx: "
                   << llvm::toString(text.takeError()) << "\n";
      return llvm::Error::success();
    }
    exported = true;
    return writeModel(inStudy("winner.onnx"), *text);
  }
  bool hasOnnx() const { return exported; }

  std::string inStudy(const llvm::Twine &name) const {
    llvm::SmallString<128> path(found.folder);
    llvm::sys::path::append(path, name);
    return std::string(path);
  }

private:
  Report &found;
  Template &network;
  unsigned threads;
  bool exported = false;
  std::vector<Finalist> finalists;
};

} // namespace

int searchFinalists(Args args) {
  int64_t top = 10, threads = 1, runs = 50;
  std::vector<std::string> positional;
  Options parser("search finalists", "STUDY [options]");
  parser.addInteger("top", "N", "the best N of the front (default 10)", 1, top);
  parser.addInteger("threads", "N", "threads (default 1)", 1, threads);
  parser.addInteger("runs", "N", "timed runs of each, in turn (default 50)", 1, runs);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1) {
    llvm::errs() << "attune search finalists: expects the folder of one study\n";
    return kUsage;
  }
  auto found = Report::read(positional[0]);
  if (!found)
    return report(found.takeError());
  if (found->space.templateName.empty())
    return report(llvm::createStringError("the space has no `template` that builds networks"));
  auto network = makeTemplate(found->space);
  if (!network)
    return report(network.takeError());
  try {
    Finals finals(*found, **network, threads);
    if (llvm::Error error = finals.prepare(top))
      return report(std::move(error));
    finals.measure(runs);
    const Finalist *winner = finals.print();
    if (!winner)
      return report(
          llvm::createStringError("no finalist meets the limit on latency when measured"));
    if (llvm::Error error = finals.keep(*winner))
      return report(std::move(error));
    llvm::outs() << "winner: " << winner->entry->candidate.id
                 << (finals.hasOnnx() ? ", " + finals.inStudy("winner.onnx") : "") << ", "
                 << finals.inStudy("winner.so") << "\n";
  } catch (const std::exception &error) {
    return report(llvm::createStringError(error.what()));
  }
  return kOk;
}

} // namespace attune::tools
