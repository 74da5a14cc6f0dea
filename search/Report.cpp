#include "attune/search/Report.h"
#include "attune/search/Document.h"
#include "attune/search/Permutation.h"
#include "attune/search/Study.h"

#include "llvm/Support/Format.h"

#include <cmath>
#include <limits>

namespace attune::search {

using llvm::createStringError;

double Report::value(size_t objective, llvm::ArrayRef<double> goals) const {
  return space.objectives[objective].maximise ? -goals[objective] : goals[objective];
}

/// The number of an objective's cost among those of the journal, as findCost has it.
static std::optional<size_t> costOf(const Report &report, const Objective &objective) {
  for (auto [i, cost] : llvm::enumerate(report.costs)) {
    auto [name, threads] = llvm::StringRef(cost).split('@');
    if (cost == objective.cost.str() ||
        (name == objective.cost.name && (threads.empty() || !objective.cost.threads)))
      return i;
  }
  return std::nullopt;
}

std::optional<unsigned> Report::latencyThreads(const Objective &objective) const {
  std::optional<size_t> cost = costOf(*this, objective);
  if (!objective.metric.empty() || !cost)
    return std::nullopt;
  auto [name, count] = llvm::StringRef(costs[*cost]).split('@');
  unsigned threads = 0;
  if (name != "latency_ms" || count.getAsInteger(10, threads))
    return std::nullopt;
  return threads;
}

/// Goals from metrics and the costs that the journal holds.
static Goals goalsOf(const Report &report, const ReportEntry &entry) {
  Goals goals;
  for (const Objective &objective : report.space.objectives) {
    double value = std::nan("");
    if (!objective.metric.empty()) {
      auto metric = entry.outcome->metrics.find(objective.metric);
      if (metric != entry.outcome->metrics.end())
        value = metric->second;
    } else if (std::optional<size_t> cost = costOf(report, objective);
               cost && *cost < entry.candidate.cost.values.size()) {
      value = entry.candidate.cost.values[*cost];
    }
    goals.push_back(objective.maximise ? -value : value);
  }
  return goals;
}

static void addHistory(Report &report) {
  Archive archive;
  double best = std::numeric_limits<double>::infinity();
  size_t goals = report.space.objectives.size();
  for (const ReportEntry &entry : report.entries) {
    if (!entry.outcome || entry.outcome->status != Status::Ok)
      continue;
    bool kept = archive.add({entry.candidate.id, {}, entry.outcome->goals});
    if (goals == 1) {
      best = std::min(best, entry.outcome->goals[0]);
      report.history.push_back(report.space.objectives[0].maximise ? -best : best);
      continue;
    }
    if (!kept && !report.history.empty()) {
      report.history.push_back(report.history.back());
      continue;
    }
    std::vector<Goals> points;
    for (const Archive::Entry &member : archive.entries())
      points.push_back(member.goals);
    report.history.push_back(hypervolume(points, report.reference).value_or(0));
  }
}

llvm::Expected<Report> Report::read(llvm::StringRef folder) {
  auto content = Journal::read(folder);
  if (!content)
    return content.takeError();
  if (content->lines.empty())
    return createStringError("the journal in " + folder + " is empty");
  const llvm::json::Object &header = content->lines.front();
  if (header.getInteger("attune-study") != 1)
    return createStringError("the journal in " + folder +
                             " is not of an attune-study of version 1");
  auto space = Space::parse(header.getString("text").value_or(""), "the space of " + folder.str());
  if (!space)
    return space.takeError();
  Report report;
  report.space = std::move(*space);
  report.space.folder = header.getString("folder").value_or("").str();
  report.folder = folder.str();
  report.strategy = header.getString("strategy").value_or("").str();
  report.evaluator = header.getString("evaluator").value_or("").str();
  report.seed = header.getString("seed").value_or("").str();
  if (const llvm::json::Array *costs = header.getArray("costs"))
    for (const llvm::json::Value &name : *costs)
      report.costs.push_back(name.getAsString().value_or("").str());

  std::map<uint64_t, ReportEntry> byId;
  for (const llvm::json::Object &line : llvm::drop_begin(content->lines)) {
    if (std::optional<int64_t> id = line.getInteger("ask")) {
      std::optional<Genes> genes = genesOf(line);
      if (!genes || !report.space.contains(*genes))
        return createStringError("the journal in " + folder + " is damaged: candidate " +
                                 llvm::Twine(*id) + " has no genes of its space");
      Candidate &candidate = byId[*id].candidate;
      candidate.id = *id;
      candidate.genes = std::move(*genes);
      candidate.origin = line.getString("origin").value_or("").str();
      candidate.parent = line.getInteger("parent").value_or(-1);
      if (const llvm::json::Array *costs = line.getArray("cost"))
        for (const llvm::json::Value &cost : *costs)
          candidate.cost.values.push_back(cost.getAsNumber().value_or(0));
    } else if (line.get("tell")) {
      std::optional<Outcome> outcome = outcomeOf(line);
      auto entry = outcome ? byId.find(outcome->id) : byId.end();
      if (entry == byId.end())
        return createStringError("the journal in " + folder +
                                 " is damaged: an outcome has no candidate");
      report.seconds = std::max(report.seconds, line.getNumber("at").value_or(0));
      entry->second.outcome = std::move(outcome);
    }
  }
  Goals epsilon;
  for (const Objective &objective : report.space.objectives)
    epsilon.push_back(objective.epsilon);
  report.archive = Archive(epsilon);
  for (auto &[id, entry] : byId) {
    if (!entry.outcome) {
      ++report.pending;
    } else if (entry.outcome->status == Status::Ok) {
      ++report.ok;
      entry.outcome->goals = goalsOf(report, entry);
      if (llvm::any_of(entry.outcome->goals, [](double goal) { return std::isnan(goal); }))
        return createStringError("the journal in " + folder + " is damaged: candidate " +
                                 llvm::Twine(id) + " lacks an objective");
      report.archive.add({id, entry.candidate.genes, entry.outcome->goals});
      report.reference.resize(entry.outcome->goals.size(),
                              -std::numeric_limits<double>::infinity());
      for (size_t i = 0; i < report.reference.size(); ++i)
        report.reference[i] = std::max(report.reference[i], entry.outcome->goals[i]);
    } else {
      report.failed += entry.outcome->status == Status::Failed;
      report.stopped += entry.outcome->status == Status::Stopped;
      if (entry.outcome->status == Status::Failed)
        report.lastFailure = entry.outcome->reason;
    }
    report.entries.push_back(std::move(entry));
  }
  addHistory(report);
  return std::move(report);
}

std::vector<Archive::Entry> Report::front() const {
  std::vector<Archive::Entry> entries = archive.entries().vec();
  llvm::sort(entries, [](const Archive::Entry &a, const Archive::Entry &b) {
    return std::pair(a.goals[0], a.id) < std::pair(b.goals[0], b.id);
  });
  return entries;
}

const ReportEntry *Report::find(uint64_t id) const {
  auto entry = llvm::lower_bound(entries, id, [](const ReportEntry &known, uint64_t wanted) {
    return known.candidate.id < wanted;
  });
  return entry != entries.end() && entry->candidate.id == id ? &*entry : nullptr;
}

void Report::printText(llvm::raw_ostream &os, size_t most) const {
  os << folder << ": " << ok << " results";
  if (failed)
    os << ", " << failed << " failed (last: " << lastFailure << ")";
  if (stopped)
    os << ", " << stopped << " stopped early";
  if (pending)
    os << ", " << pending << " not finished";
  os << "; " << strategy << ", seed " << seed << llvm::format(", %.1f s\n", seconds);
  if (archive.entries().empty())
    return;
  std::vector<Archive::Entry> entries = front();
  os << (space.objectives.size() > 1 ? "front" : "best") << ":\n" << llvm::right_justify("id", 8);
  for (const Objective &objective : space.objectives)
    os << "  " << llvm::right_justify(objective.name(), 12);
  os << "  candidate\n";
  for (size_t i = 0; i < entries.size() && i < most; ++i) {
    os << llvm::format("%8llu", static_cast<unsigned long long>(entries[i].id));
    for (size_t objective = 0; objective < space.objectives.size(); ++objective)
      os << llvm::format("  %12.6g", value(objective, entries[i].goals));
    os << "  " << llvm::json::Value(space.toJson(entries[i].genes)) << "\n";
  }
  if (entries.size() > most)
    os << "   and " << entries.size() - most << " more\n";
}

static std::string quoted(llvm::StringRef text) {
  if (text.find_first_of(",\"\n\r") == llvm::StringRef::npos)
    return text.str();
  std::string result = "\"";
  for (char c : text)
    result += c == '"' ? "\"\"" : std::string(1, c);
  return result + "\"";
}

void Report::printCsv(llvm::raw_ostream &os) const {
  std::vector<std::string> metrics;
  for (const ReportEntry &entry : entries)
    if (entry.outcome)
      for (const auto &[name, number] : entry.outcome->metrics)
        if (!llvm::is_contained(metrics, name))
          metrics.push_back(name);
  os << "id,status,origin,parent,seconds,front";
  for (const Variable &variable : space.variables)
    for (unsigned i = 0; i < variable.geneCount; ++i)
      os << "," << variable.name << (variable.geneCount > 1 ? "." + std::to_string(i) : "");
  for (const std::string &name : costs)
    os << "," << quoted(name);
  for (const std::string &name : metrics)
    os << "," << quoted(name);
  os << ",reason\n";
  for (const ReportEntry &entry : entries) {
    const Candidate &candidate = entry.candidate;
    bool onFront = llvm::any_of(
        archive.entries(), [&](const Archive::Entry &member) { return member.id == candidate.id; });
    llvm::StringRef status = !entry.outcome                             ? "pending"
                             : entry.outcome->status == Status::Ok      ? "ok"
                             : entry.outcome->status == Status::Stopped ? "stopped"
                                                                        : "failed";
    os << candidate.id << "," << status << "," << quoted(candidate.origin) << ",";
    if (candidate.parent >= 0)
      os << candidate.parent;
    os << "," << spelled(entry.outcome ? entry.outcome->seconds : 0) << "," << onFront;
    llvm::SmallVector<double> decoded;
    llvm::BitVector active;
    space.decode(candidate.genes, decoded, active);
    for (const Variable &variable : space.variables) {
      Genes choices(llvm::ArrayRef(candidate.genes).slice(variable.firstGene, variable.geneCount));
      if (variable.isOrder())
        choices = Genes(permutation::orderOf(choices));
      for (auto [i, choice] : llvm::enumerate(choices)) {
        os << ",";
        if (active[variable.firstGene + i])
          os << (variable.path ? std::to_string(choice) : quoted(variable.labels[choice]));
      }
    }
    for (size_t i = 0; i < costs.size(); ++i) {
      os << ",";
      if (i < candidate.cost.values.size())
        os << spelled(candidate.cost.values[i]);
    }
    for (const std::string &name : metrics) {
      os << ",";
      if (entry.outcome)
        if (auto metric = entry.outcome->metrics.find(name); metric != entry.outcome->metrics.end())
          os << spelled(metric->second);
    }
    os << "," << quoted(entry.outcome ? entry.outcome->reason : "") << "\n";
  }
}

} // namespace attune::search
