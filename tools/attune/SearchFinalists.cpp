// `attune search finalists`: predictions meet the machine.
#include "attune/runtime/attune.hpp"
#include "attune/search/templates/TemplateCost.h"
#include "attune/support/WriteFile.h"
#include "attune/tools/attune/Inputs.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Search.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>

namespace attune::tools {
namespace {

using namespace attune::search;

struct Finalist {
  size_t rank; ///< on the front
  Genes genes;
  Goals goals;
  MeasuredLatency::Point point;
  MeasuredLatency::Expected expected; ///< before it was measured itself
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

std::string pathIn(llvm::StringRef folder, const llvm::Twine &name) {
  llvm::SmallString<128> path(folder);
  llvm::sys::path::append(path, name);
  return std::string(path);
}

class Finals {
public:
  Finals(Report &found, Template &network, TemplateCost &prices, MeasuredLatency measured,
         unsigned threads, size_t most)
      : found(found), network(network), prices(prices), measured(std::move(measured)),
        threads(threads), front(found.front()), most(std::min(most, front.size())) {}

  ~Finals() {
    for (const Finalist &finalist : finalists)
      if (!finalist.artifact.empty())
        llvm::sys::fs::remove(finalist.artifact);
  }

  /// The first half tells what to expect of the others, and so which others to try.
  llvm::Error run(int64_t runs) {
    for (size_t count : {(most + 1) / 2, most}) {
      if (count == finalists.size())
        continue;
      if (llvm::Error error = prepare(count))
        return error;
      measure(runs);
      for (Finalist &finalist : finalists) {
        finalist.point.measuredMs = finalist.medianMs();
        measured.set(finalist.point);
      }
      if (llvm::Error error = measured.write(inStudy(MeasuredLatency::kFile)))
        return error;
    }
    llvm::sort(finalists, [](const Finalist &a, const Finalist &b) { return a.rank < b.rank; });
    return llvm::Error::success();
  }

  /// A few runs of each in turn, so that what disturbs the machine disturbs all, behind one that
  /// brings into the caches what it keeps there when it is used alone.
  void measure(int64_t runs) {
    constexpr int64_t kInARow = 5;
    for (Finalist &finalist : finalists)
      finalist.times.clear();
    for (int64_t done = 0; done < runs; done += kInARow)
      for (Finalist &finalist : finalists) {
        finalist.session->runInto(finalist.inputs, finalist.outputs);
        for (int64_t run = done; run < std::min(runs, done + kInARow); ++run) {
          auto start = std::chrono::steady_clock::now();
          finalist.session->runInto(finalist.inputs, finalist.outputs);
          std::chrono::duration<double, std::milli> passed =
              std::chrono::steady_clock::now() - start;
          finalist.times.push_back(passed.count());
        }
      }
  }

  const Finalist *print() const {
    const Finalist *winner = nullptr;
    llvm::outs() << "      id  predicted ms  expected ms  measured ms";
    for (const Objective &objective : found.space.objectives)
      llvm::outs() << "  " << llvm::right_justify(objective.name(), 12);
    llvm::outs() << "\n";
    for (const Finalist &finalist : finalists) {
      const MeasuredLatency::Point &point = finalist.point;
      bool meets = withinLimits(point.measuredMs, 0);
      llvm::outs() << llvm::format("%8llu  %12.4f  %11.4f  %11.4f",
                                   static_cast<unsigned long long>(point.id), point.predicted.ms,
                                   finalist.expected.ms, point.measuredMs);
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
    if (llvm::Error error = compile(network.whole(winner.genes), inStudy("winner.so")))
      return error;
    auto text = network.onnx(winner.genes);
    if (!text) {
      llvm::errs() << "attune search finalists: no winner.onnx: "
                   << llvm::toString(text.takeError()) << "\n";
      return llvm::Error::success();
    }
    exported = true;
    return writeFile(inStudy("winner.onnx"), [&](llvm::raw_ostream &os) { os << *text; });
  }
  bool hasOnnx() const { return exported; }

  std::string inStudy(const llvm::Twine &name) const { return pathIn(found.folder, name); }

private:
  /// Compiles more of the front, up to `count`: its best first, but those last that are expected to
  /// miss a limit.
  llvm::Error prepare(size_t count) {
    std::vector<Finalist> candidates, late;
    for (auto [rank, member] : llvm::enumerate(front)) {
      if (llvm::any_of(finalists, [&](const Finalist &other) { return other.rank == rank; }))
        continue;
      auto predicted = prices.predict(member.genes, threads);
      if (!predicted)
        return predicted.takeError();
      MeasuredLatency::Expected expected = measured.expect(*predicted, threads);
      Finalist finalist;
      finalist.rank = rank;
      finalist.genes = member.genes;
      finalist.goals = member.goals;
      finalist.point = {member.id, threads, std::move(*predicted)};
      finalist.expected = expected;
      (withinLimits(expected.ms, expected.sigma) ? candidates : late)
          .push_back(std::move(finalist));
    }
    llvm::move(late, std::back_inserter(candidates));
    candidates.resize(count - finalists.size());
    for (Finalist &candidate : candidates) {
      Finalist &finalist = finalists.emplace_back(std::move(candidate));
      finalist.artifact = inStudy("candidate-" + llvm::Twine(finalist.point.id) + ".so");
      if (llvm::Error error = compile(network.whole(finalist.genes), finalist.artifact))
        return error;
      finalist.session =
          std::make_unique<Session>(finalist.artifact, SessionOptions{.threads = threads});
      auto inputs = makeInputs(*finalist.session, {});
      if (!inputs)
        return inputs.takeError();
      finalist.inputs = std::move(*inputs);
      finalist.outputs = finalist.session->run(finalist.inputs);
      llvm::errs() << "compiled " << finalists.size() << " of " << most << "\n";
    }
    return llvm::Error::success();
  }

  /// Of the space, on latency at this number of threads, with the margin that each asks for.
  bool withinLimits(double ms, double sigma) const {
    return llvm::all_of(found.space.constraints, [&](const Constraint &limit) {
      return !limit.cost || limit.cost->name != "latency_ms" || !limit.atMost ||
             (limit.cost->threads && limit.cost->threads != threads) ||
             ms * (1 + limit.z * sigma) <= *limit.atMost;
    });
  }

  Report &found;
  Template &network;
  TemplateCost &prices;
  MeasuredLatency measured;
  unsigned threads;
  bool exported = false;
  std::vector<Archive::Entry> front;
  size_t most; ///< finalists
  std::vector<Finalist> finalists;
};

} // namespace

int searchFinalists(Args args) {
  int64_t top = 10, threads = 1, runs = 50;
  std::vector<std::string> positional;
  Options parser("search finalists", "STUDY [options]");
  parser.addInteger("top", "N", "the best N of the front (default 10)", 1, top);
  parser.addInteger("threads", "N", "threads (default 1)", 1, threads);
  parser.addInteger("runs", "N", "timed runs of each, a few in turn (default 50)", 1, runs);
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
  // By the prices of the study; what `--tune` measured has no part in them.
  if (auto files = calibrationOf(positional[0], /*resumed=*/true); !files)
    return report(files.takeError());
  auto network = makeTemplate(found->space);
  if (!network)
    return report(network.takeError());
  auto prices = TemplateCost::create(found->space);
  if (!prices)
    return report(prices.takeError());
  auto measured =
      MeasuredLatency::read(pathIn(found->folder, MeasuredLatency::kFile), (*prices)->identity());
  if (!measured)
    return report(measured.takeError());
  try {
    Finals finals(*found, **network, **prices, std::move(*measured), threads, top);
    if (llvm::Error error = finals.run(runs))
      return report(std::move(error));
    const Finalist *winner = finals.print();
    if (!winner)
      return report(
          llvm::createStringError("no finalist meets the limit on latency when measured"));
    if (llvm::Error error = finals.keep(*winner))
      return report(std::move(error));
    llvm::outs() << "winner: " << winner->point.id
                 << (finals.hasOnnx() ? ", " + finals.inStudy("winner.onnx") : "") << ", "
                 << finals.inStudy("winner.so") << "\n";
  } catch (const std::exception &error) {
    return report(llvm::createStringError(error.what()));
  }
  return kOk;
}

} // namespace attune::tools
