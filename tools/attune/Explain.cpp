#include "attune/tools/attune/Options.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::tools {

namespace {
bool isAboutAttention(const CompileRemark &remark) {
  return llvm::StringRef(remark.category).contains("raise");
}

bool isAboutCaches(const CompileRemark &remark) {
  return llvm::StringRef(remark.category).contains("caches");
}

/// Rewrites that were made or refused, and how weights are stored; forms are told with their
/// regions.
bool isAboutRewrite(const CompileRemark &remark) {
  llvm::StringRef category = remark.category;
  return (category.contains("rewrite") || category == "attune-fuse") &&
         remark.kind != CompileRemark::Kind::Analysis;
}

/// What the rewrite stage said about the operator that a region was raised to, or null.
const CompileRemark *formOf(const CompileReport &report, const CompileRemark &region) {
  for (const CompileRemark &remark : report.remarks)
    if (remark.name == "FormChosen" && remark.nodes == region.nodes)
      return &remark;
  return nullptr;
}

/// The forms of a region with their predicted times; attention has one, tiles of online softmax.
llvm::json::Array alternatives(const CompileRemark *choice, std::string &form) {
  llvm::json::Array list;
  if (!choice)
    return list;
  for (const auto &[key, value] : choice->arguments) {
    double ms;
    if (key == "form")
      form = value;
    else if (llvm::StringRef(value).consume_back(" ms") &&
             !llvm::StringRef(value).drop_back(3).getAsDouble(ms))
      list.push_back(llvm::json::Object{{"form", key}, {"latency_ms", ms}});
  }
  return list;
}

/// Where forms change with the sizes of a call, or null where one is chosen for all.
llvm::json::Value atRunTime(const CompileRemark *choice) {
  if (choice)
    for (const auto &[key, value] : choice->arguments)
      if (key == "at run time")
        return value;
  return nullptr;
}

llvm::json::Array nodesOf(const CompileRemark &remark) {
  llvm::json::Array nodes;
  for (const std::string &node : remark.nodes)
    nodes.push_back(llvm::json::fixUTF8(node));
  return nodes;
}

llvm::json::Object toJson(const codegen::Decision &decision) {
  llvm::json::Array nodes, alternatives;
  for (const std::string &node : decision.nodes)
    nodes.push_back(llvm::json::fixUTF8(node));
  for (const codegen::Decision::Alternative &alternative : decision.alternatives)
    alternatives.push_back(
        llvm::json::Object{{"name", alternative.name}, {"latency_ms", alternative.seconds * 1e3}});
  return llvm::json::Object{{"kind", decision.kind},
                            {"what", llvm::json::fixUTF8(decision.what)},
                            {"nodes", std::move(nodes)},
                            {"times", decision.times},
                            {"chosen", decision.chosen},
                            {"by", decision.measured ? "measurement" : "price"},
                            {"alternatives", std::move(alternatives)}};
}

llvm::json::Value toJson(const CompileReport &report) {
  llvm::json::Array regions;
  for (const CompileRemark &remark : report.remarks) {
    if (!isAboutAttention(remark))
      continue;
    bool raised = remark.kind == CompileRemark::Kind::Passed;
    // Sums say themselves what they are.
    bool isSum = remark.name == "SumRaised" && !remark.arguments.empty();
    std::string form = isSum ? remark.arguments.front().second : "attention";
    llvm::json::Array others = alternatives(raised ? formOf(report, remark) : nullptr, form);
    llvm::json::Object region{
        {"nodes", nodesOf(remark)},
        {"raised", raised},
        {"form", raised ? llvm::json::Value(form) : llvm::json::Value(nullptr)},
        {"alternatives", std::move(others)},
        {"at_run_time", atRunTime(raised ? formOf(report, remark) : nullptr)},
        {"refused", raised ? llvm::json::Value(nullptr) : llvm::json::Value(remark.message)}};
    regions.push_back(std::move(region));
  }
  llvm::json::Array rewrites;
  for (const CompileRemark &remark : report.remarks)
    if (isAboutRewrite(remark))
      rewrites.push_back(llvm::json::Object{{"rewrite", remark.name},
                                            {"applied", remark.kind == CompileRemark::Kind::Passed},
                                            {"nodes", nodesOf(remark)},
                                            {"message", llvm::json::fixUTF8(remark.message)}});
  llvm::json::Array kernels;
  for (const CompileReport::Kernel &kernel : report.kernels) {
    llvm::json::Array prices;
    for (const CompileReport::Price &price : kernel.prices)
      prices.push_back(llvm::json::Object{
          {"backend", price.backend}, {"emitter", price.emitter}, {"latency_ms", price.ms}});
    kernels.push_back(llvm::json::Object{{"name", kernel.name},
                                         {"emitter", kernel.emitter},
                                         {"backend", kernel.backend},
                                         {"alternatives", std::move(prices)}});
  }
  llvm::json::Array decisions;
  for (const codegen::Decision &decision : report.decisions)
    decisions.push_back(toJson(decision));
  auto fileOr = [](const std::string &file) -> llvm::json::Value {
    return file.empty() ? llvm::json::Value(nullptr) : llvm::json::Value(file);
  };
  return llvm::json::Object{
      {"calibration", fileOr(report.calibration)}, {"tuning", fileOr(report.tuning)},
      {"decisions", std::move(decisions)},         {"regions", std::move(regions)},
      {"rewrites", std::move(rewrites)},           {"kernels", std::move(kernels)}};
}

void print(llvm::StringRef verdict, const CompileRemark &remark) {
  llvm::outs() << llvm::left_justify(verdict, 9) << remark.name;
  if (!remark.nodes.empty()) {
    llvm::outs() << " at `" << remark.nodes.front() << "`";
    if (remark.nodes.size() > 1)
      llvm::outs() << " and " << remark.nodes.size() - 1 << " more nodes";
  }
  llvm::outs() << "\n         " << remark.message << "\n";
}

void print(const codegen::Decision &decision) {
  llvm::outs() << "chose    " << decision.kind << " of " << decision.what;
  if (!decision.nodes.empty())
    llvm::outs() << " at `" << decision.nodes.front() << "`";
  if (decision.times > 1)
    llvm::outs() << " and " << decision.times - 1 << " more like it";
  llvm::outs() << ": " << decision.chosen << "\n        ";
  for (const codegen::Decision::Alternative &alternative : decision.alternatives)
    llvm::outs() << " " << alternative.name << llvm::format(" %.3g ms,", alternative.seconds * 1e3);
  llvm::outs() << (decision.measured ? " measured" : " predicted") << "\n";
}

void printText(const CompileReport &report) {
  int64_t raised = 0, refused = 0;
  for (const CompileRemark &remark : report.remarks) {
    bool passed = remark.kind == CompileRemark::Kind::Passed;
    if (isAboutCaches(remark))
      print(passed ? "in place" : "copied", remark);
    if (!isAboutAttention(remark))
      continue;
    (passed ? raised : refused) += 1;
    print(passed ? "raised" : "refused", remark);
    if (const CompileRemark *choice = passed ? formOf(report, remark) : nullptr)
      llvm::outs() << "         " << choice->message << "\n";
  }
  for (const CompileRemark &remark : report.remarks)
    if (isAboutRewrite(remark))
      print(remark.kind == CompileRemark::Kind::Passed ? "rewrote" : "kept", remark);
  llvm::outs() << raised << " regions raised, " << refused << " refused\n";
  for (const CompileReport::Kernel &kernel : report.kernels)
    llvm::outs() << "kernel   " << llvm::left_justify(kernel.emitter, 10) << kernel.name << "\n";
  for (const codegen::Decision &decision : report.decisions)
    print(decision);
  llvm::outs() << "prices   "
               << (report.calibration.empty()
                       ? "of a typical server: this machine is not calibrated (`attune calibrate`)"
                       : "by the calibration " + report.calibration)
               << "\n";
  if (!report.tuning.empty())
    llvm::outs() << "measured by `attune compile --tune`, kept in " << report.tuning << "\n";
}
} // namespace

int explainCommand(Args args) {
  CompileOptions options;
  bool json = false;
  int64_t threads = 0;
  std::vector<std::string> positional;
  Options parser("explain", "MODEL.onnx [options]");
  parser.addCompileOptions(options);
  parser.addInteger("threads", "N", "threads whose measurements apply (default: all)", 1, threads);
  parser.addSwitch("json", "print one JSON object", json);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1) {
    llvm::errs() << "attune explain: expects one model, found " << positional.size() << "\n";
    return kUsage;
  }
  options.threads = threads;
  llvm::SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("attune", "so", path))
    return report(llvm::createStringError(code, "cannot create a temporary file"));
  CompileReport result;
  llvm::Error error = compileModel(positional[0], path, options, &result);
  llvm::sys::fs::remove(path);
  if (error)
    return report(std::move(error));
  if (json)
    llvm::outs() << toJson(result) << "\n";
  else
    printText(result);
  return kOk;
}

} // namespace attune::tools
