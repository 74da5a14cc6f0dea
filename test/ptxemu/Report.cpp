#include "attune/test/ptxemu/Report.h"
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>

namespace attune::ptx {

using Totals = std::map<std::string, uint64_t, std::less<>>;

namespace {
/// Of the last launch, and of all calls; tests ask from any thread.
struct Last {
  std::mutex mutex;
  Totals totals, calls;
};
} // namespace

static Last &last() {
  static Last last;
  return last;
}

static std::string opcodeOf(const std::string &text) {
  size_t begin = text[0] == '@' ? text.find(' ') + 1 : 0;
  return text.substr(begin, text.find_first_of(". ", begin) - begin);
}

static std::string quoted(const std::string &text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    result += c;
  }
  return result + '"';
}

static std::string conflicts(const Program &program, const std::vector<Count> &counts) {
  std::string result;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i].wavefronts <= counts[i].idealWavefronts)
      continue;
    result += text(result.empty() ? "" : ", ", "{\"line\": ", program.sources[i].line,
                   ", \"text\": ", quoted(program.sources[i].text),
                   ", \"wavefronts\": ", counts[i].wavefronts,
                   ", \"ideal\": ", counts[i].idealWavefronts, "}");
  }
  return result;
}

static void write(const char *path, const Launch &launch, const std::vector<Count> &counts,
                  const Totals &totals) {
  std::ofstream file(path, std::ios::app);
  const auto &grid = launch.grid, &block = launch.block;
  file << "{\"kernel\": " << quoted(launch.program->name) << ", \"grid\": [" << grid[0] << ", "
       << grid[1] << ", " << grid[2] << "], \"block\": [" << block[0] << ", " << block[1] << ", "
       << block[2] << "], \"shared_bytes\": " << launch.program->dynamicBase + launch.dynamicShared;
  for (const auto &[name, value] : totals)
    file << ", " << quoted(name) << ": " << value;
  file << ", \"conflicts\": [" << conflicts(*launch.program, counts) << "]}\n";
}

void report(const Launch &launch, const std::vector<Count> &counts) {
  Totals totals{{"instructions", 0},
                {"shared_wavefronts", 0},
                {"shared_ideal_wavefronts", 0},
                {"global_sectors", 0},
                {"global_ideal_sectors", 0}};
  for (size_t i = 0; i < counts.size(); ++i) {
    totals["instructions"] += counts[i].executed;
    totals["shared_wavefronts"] += counts[i].wavefronts;
    totals["shared_ideal_wavefronts"] += counts[i].idealWavefronts;
    totals["global_sectors"] += counts[i].sectors;
    totals["global_ideal_sectors"] += counts[i].idealSectors;
    totals["opcode:" + opcodeOf(launch.program->sources[i].text)] += counts[i].executed;
  }
  if (const char *path = std::getenv("ATTUNE_PTX_REPORT"); path && *path)
    write(path, launch, counts, totals);
  std::lock_guard lock(last().mutex);
  last().totals = std::move(totals);
}

void countCall(const char *function) {
  std::lock_guard lock(last().mutex);
  ++last().calls[function];
}

} // namespace attune::ptx

extern "C" __attribute__((visibility("default"))) uint64_t attune_ptx_count(const char *what) {
  attune::ptx::Last &last = attune::ptx::last();
  std::lock_guard lock(last.mutex);
  std::string_view name = what;
  bool call = name.starts_with("call:");
  const attune::ptx::Totals &counts = call ? last.calls : last.totals;
  auto found = counts.find(call ? name.substr(5) : name);
  return found == counts.end() ? 0 : found->second;
}
