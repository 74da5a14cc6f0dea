// `attune search report`, `export`, `build` and `table`.
#include "attune/search/NasBench.h"
#include "attune/search/templates/Template.h"
#include "attune/support/WriteFile.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Search.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::tools {

using namespace attune::search;

static std::string inFolder(llvm::StringRef folder, llvm::StringRef name) {
  llvm::SmallString<128> path(folder);
  llvm::sys::path::append(path, name);
  return std::string(path);
}

/// Writes a file and says where it is.
static int makeFile(llvm::StringRef path, llvm::function_ref<void(llvm::raw_ostream &)> write) {
  if (llvm::Error error = writeFile(path, write))
    return report(std::move(error));
  if (path != "-")
    llvm::outs() << path << "\n";
  return kOk;
}

int searchReport(Args args) {
  std::string output;
  bool html = false;
  std::vector<std::string> positional;
  Options parser("search report", "STUDY [options]");
  parser.addSwitch(
      "html", "write a page with front, history, candidates and what was measured of them", html);
  parser.addString("o", "FILE", "where the page goes (default: STUDY/report.html)", output);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1) {
    llvm::errs() << "attune search report: expects the folder of one study\n";
    return kUsage;
  }
  auto found = Report::read(positional[0]);
  if (!found)
    return report(found.takeError());
  constexpr size_t kShown = 20;
  if (!html) {
    found->printText(llvm::outs(), kShown);
    return kOk;
  }
  if (llvm::Error error = addLatencies(*found))
    llvm::errs() << "attune search report: a page without latencies: "
                 << llvm::toString(std::move(error)) << "\n";
  return makeFile(output.empty() ? inFolder(positional[0], "report.html") : output,
                  [&](llvm::raw_ostream &os) { found->printHtml(os); });
}

int searchExport(Args args) {
  std::string output;
  std::vector<std::string> positional;
  Options parser("search export", "STUDY [options]");
  parser.addString("o", "FILE.csv",
                   "where the table goes (default: STUDY/study.csv; - is standard output)", output);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1) {
    llvm::errs() << "attune search export: expects the folder of one study\n";
    return kUsage;
  }
  auto found = Report::read(positional[0]);
  if (!found)
    return report(found.takeError());
  return makeFile(output.empty() ? inFolder(positional[0], "study.csv") : output,
                  [&](llvm::raw_ostream &os) { found->printCsv(os); });
}

/// The genes of a candidate of a study: `id`, or the first of the front.
static llvm::Expected<Genes> genesIn(const Report &found, int64_t id) {
  std::vector<Archive::Entry> front = found.front();
  if (id < 0 && front.empty())
    return llvm::createStringError("the study has no results yet");
  uint64_t wanted = id < 0 ? front[0].id : id;
  const ReportEntry *entry = found.find(wanted);
  if (!entry)
    return llvm::createStringError("the study has no candidate " + llvm::Twine(wanted));
  return entry->candidate.genes;
}

static llvm::Expected<Genes> genesOf(const Space &space, llvm::StringRef values) {
  auto json = llvm::json::parse(values);
  const llvm::json::Object *object = json ? json->getAsObject() : nullptr;
  if (!json)
    llvm::consumeError(json.takeError());
  if (!object)
    return llvm::createStringError("--values is a JSON object of names and values; found `" +
                                   values + "`");
  return space.fromJson(*object);
}

static int writeChoices(const CompileOptions &options, llvm::StringRef output) {
  llvm::json::Object choices;
  for (const auto &[label, alternative] : options.choices)
    choices[llvm::json::fixUTF8(label)] = alternative;
  if (choices.empty())
    return report(llvm::createStringError("the template of this space has no choices; accepted: "
                                          "FILE.onnx, FILE.so"));
  return makeFile(output, [&](llvm::raw_ostream &os) {
    os << llvm::formatv("{0:2}\n", llvm::json::Value(std::move(choices)));
  });
}

static int buildModel(const Space &space, llvm::Expected<Genes> genes, llvm::StringRef output) {
  if (!genes)
    return report(genes.takeError());
  if (space.templateName.empty())
    return report(llvm::createStringError("the space has no `template` that builds networks"));
  auto made = makeTemplate(space);
  if (!made)
    return report(made.takeError());
  llvm::StringRef ending = llvm::sys::path::extension(output);
  if (ending == ".so") {
    if (llvm::Error error = compile((*made)->whole(*genes), output))
      return report(std::move(error));
    llvm::outs() << output << "\n";
    return kOk;
  }
  if (ending == ".json")
    return writeChoices((*made)->whole(*genes).options, output);
  auto text = (*made)->onnx(*genes);
  if (!text)
    return report(text.takeError());
  return makeFile(output, [&](llvm::raw_ostream &os) { os << *text; });
}

int searchBuild(Args args) {
  std::string output, values;
  int64_t id = -1;
  std::vector<std::string> positional;
  Options parser("search build", "STUDY -o FILE [--id=N] | SPACE.yaml -o FILE --values=JSON");
  parser.addString("o", "FILE.onnx|so|json",
                   "a candidate as ONNX or compiled, with random weights or those of the space's "
                   "model; or what it chose in that model, for --choices",
                   output);
  parser.addInteger("id", "N", "which candidate (default: the best in the first objective)", 0, id);
  parser.addString("values", "JSON", "a member of a space, as workers get it", values);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1 || output.empty() || (id >= 0 && !values.empty())) {
    llvm::errs() << "attune search build: expects -o FILE and either the folder of one study "
                    "or one space file and --values\n";
    return kUsage;
  }
  if (!values.empty()) {
    auto space = Space::read(positional[0]);
    if (!space)
      return report(space.takeError());
    return buildModel(*space, genesOf(*space, values), output);
  }
  auto found = Report::read(positional[0]);
  if (!found)
    return report(found.takeError());
  return buildModel(found->space, genesIn(*found, id), output);
}

int searchTable(Args args) {
  std::string output, bench201;
  bool synthetic = false;
  int64_t seed = 0, seeds = 1;
  std::vector<std::string> positional;
  Options parser("search table", "SPACE.yaml -o TABLE.jsonl --synthetic | --nasbench-201=FILE");
  parser.addString("o", "TABLE.jsonl", "the table to write (attune-table v1)", output);
  parser.addSwitch("synthetic", "scores by a formula, for tests of searches", synthetic);
  parser.addInteger("seed", "N", "seed of the formula (default 0)", 0, seed);
  parser.addInteger("seeds", "N", "noisy scores of each candidate (default 1)", 1, seeds);
  parser.addString("nasbench-201", "FILE", "JSON lines with `arch` and metrics", bench201);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1 || output.empty() || synthetic == !bench201.empty()) {
    llvm::errs() << "attune search table: expects one space file, -o TABLE.jsonl, and either "
                    "--synthetic or --nasbench-201\n";
    return kUsage;
  }
  auto space = Space::read(positional[0]);
  if (!space)
    return report(space.takeError());
  SyntheticOptions options;
  options.seed = seed;
  options.seeds = seeds;
  auto table = synthetic ? makeSyntheticTable(*space, options) : readNasBench201(bench201, *space);
  if (!table)
    return report(table.takeError());
  if (llvm::Error error = table->write(output, *space))
    return report(std::move(error));
  llvm::outs() << output << ": " << table->rows().size() << " rows\n";
  return kOk;
}

} // namespace attune::tools
