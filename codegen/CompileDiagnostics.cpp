#include "attune/codegen/CompileDiagnostics.h"

#include "attune/dialect/Locations.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace attune {

/// Whether a message has the name between quotes; a short name may be part of any word.
static bool names(StringRef message, const std::string &node) {
  return message.contains("'" + node + "'") || message.contains("`" + node + "`");
}

CompileDiagnostics::CompileDiagnostics(MLIRContext &context)
    : handler(&context, [this](Diagnostic &diagnostic) {
        if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
          return;
        if (!text.empty())
          text += '\n';
        std::vector<std::string> nodes;
        collectNodeNames(diagnostic.getLocation(), nodes);
        std::string message = diagnostic.str();
        if (!nodes.empty() && !names(message, nodes.front()))
          text += "node `" + nodes.front() + "`: ";
        text += message;
      }) {}

llvm::Error CompileDiagnostics::take(StringRef stage) {
  bool user = StringRef(text).contains("unsupported:");
  std::string message = text.empty() ? "the " + stage.str() + " stage failed" : text;
  text.clear();
  return llvm::make_error<CompileError>(
      user ? CompileError::Kind::User : CompileError::Kind::Internal, std::move(message));
}

namespace {

/// Keeps remarks for the report.
class RemarkCollector : public remark::detail::MLIRRemarkStreamerBase {
public:
  explicit RemarkCollector(std::vector<CompileRemark> &remarks) : remarks(remarks) {}

  void streamOptimizationRemark(const remark::detail::Remark &remark) override {
    CompileRemark entry;
    entry.kind = llvm::StringSwitch<CompileRemark::Kind>(remark.getRemarkTypeString())
                     .Case("Passed", CompileRemark::Kind::Passed)
                     .Case("Missed", CompileRemark::Kind::Missed)
                     .Case("Failure", CompileRemark::Kind::Failed)
                     .Default(CompileRemark::Kind::Analysis);
    entry.name = remark.getRemarkName().str();
    entry.category = remark.getCombinedCategoryName().str();
    llvm::raw_string_ostream os(entry.message);
    for (const auto &arg : remark.getArgs()) {
      entry.arguments.emplace_back(arg.key, arg.val);
      os << (entry.message.empty() ? "" : "; ")
         << (arg.key == "Remark" || arg.key.empty() ? "" : arg.key + ": ") << arg.val;
    }
    collectNodeNames(remark.getLocation(), entry.nodes);
    remarks.push_back(std::move(entry));
  }

private:
  std::vector<CompileRemark> &remarks;
};

} // namespace

void collectRemarks(MLIRContext &context, std::vector<CompileRemark> &remarks) {
  remark::RemarkCategories all;
  all.passed = all.missed = all.analysis = all.failed = ".*";
  auto policy = std::make_unique<remark::RemarkEmittingPolicyAll>();
  (void)remark::enableOptimizationRemarks(context, std::make_unique<RemarkCollector>(remarks),
                                          std::move(policy), all);
}

} // namespace attune
