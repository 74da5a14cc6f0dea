//===- Compiler.h - From a model to an artifact -----------------------------------------------===//
//
// The whole compiler as one call; the command line and embedding programs use the same path.
//
//   attune::CompileOptions options;
//   options.cpu = "x86-64-v3";
//   if (llvm::Error error = attune::compileModel("model.onnx", "model.so", options))
//     ...;
//
// Errors are `CompileError`s: the user's (the model or an option is wrong or unsupported; the
// message says what was found and what is accepted) or internal (a bug of Attune's).
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COMPILER_H
#define ATTUNE_CODEGEN_COMPILER_H

#include "attune/codegen/ModelCost.h"
#include "attune/codegen/cost/Decisions.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace attune {

class CompileError : public llvm::ErrorInfo<CompileError> {
public:
  static char ID;
  enum class Kind { User, Internal };
  CompileError(Kind kind, std::string message) : kind(kind), text(std::move(message)) {}
  void log(llvm::raw_ostream &os) const override { os << text; }
  std::error_code convertToErrorCode() const override { return llvm::inconvertibleErrorCode(); }

  const Kind kind;
  const std::string text;
};

/// What `--emit` writes.
enum class EmitKind { Artifact, Object, Assembly, LLVMIR, MLIR, PTX };

struct CompileOptions {
  /// What kernels run on: cpu, opencl or cuda.
  std::string target = "cpu";
  /// Of the kernels, or of the host code around those of a device.
  std::string cpu = "host";
  /// The GPU of the target cuda: sm_80 or sm_90a.
  std::string gpu = "sm_80";
  /// How its matrix products multiply f32: f32 (fused multiply-add), tf32 or tf32x3.
  std::string gpuMath = "f32";
  EmitKind emit = EmitKind::Artifact;
  /// Stop after this stage and write MLIR: import, canonicalize, raise, rewrite or fuse.
  std::string stopAfter;
  /// Every operator by its reference lowering: the oracle of `attune check`.
  bool reference = false;
  /// Who generates kernels: auto (by cost), mlir or halide.
  std::string backend = "auto";
  /// Dim symbols fixed to a value (`--dim`), and input shapes (`--shape`).
  llvm::StringMap<int64_t> fixedDims;
  llvm::StringMap<std::vector<int64_t>> fixedShapes;
  /// A model whose functions expand operators without a converter.
  std::string functions;
  /// The form (`attune.form`) of every operator that has it; empty: by cost.
  std::string form;
  /// The alternative of every choice, by label, of those that a module in MLIR has or that
  /// `attune-make-choices` makes behind the raise stage; empty: the model as it is.
  std::vector<std::pair<std::string, std::string>> choices;
  /// Calls to price, see CompileReport::predictions; `onlyPredict` generates no code.
  std::vector<CostRequest> predict;
  bool onlyPredict = false;
  /// What was measured on this machine; null: what is kept for `threads` threads (0: all).
  const codegen::Tuning *tuning = nullptr;
  unsigned threads = 0;
  /// Threads that generate code (0: all). What they make does not depend on it.
  unsigned jobs = 0;
};

/// A decision that a pass reported (MLIR remark), e.g. for `attune explain`.
struct CompileRemark {
  enum class Kind { Passed, Missed, Failed, Analysis };
  Kind kind;
  std::string name, category, message;
  std::vector<std::pair<std::string, std::string>> arguments; ///< named parts of the message
  std::vector<std::string> nodes;
};

struct CompileReport {
  /// Predicted milliseconds of a kernel by each code generator that could make it, chosen one
  /// first.
  struct Price {
    std::string backend, emitter;
    double ms;
  };
  struct Kernel {
    std::string name, emitter, backend;
    std::string hash; ///< equal for equal regions
    std::vector<std::string> nodes;
    std::vector<Price> prices;
  };
  std::vector<std::pair<std::string, double>> stageMs; ///< wall time per stage
  std::vector<Kernel> kernels;                         ///< distinct kernels
  std::vector<CompileRemark> remarks;
  std::vector<ModelCost> predictions;       ///< one per `CompileOptions::predict`
  std::string calibration;                  ///< the file behind all prices, "" on a typical machine
  std::vector<codegen::Decision> decisions; ///< between alternatives with a price
  std::string tuning;                       ///< the file behind what was measured, or ""
  int64_t kernelCalls = 0, attentions = 0, weightBytes = 0, fileBytes = 0;
};

/// Compiles an ONNX model (or a module in MLIR text, by the ending `.mlir`) and writes `output`
/// ("-" for standard output of textual kinds).
llvm::Error compileModel(llvm::StringRef model, llvm::StringRef output,
                         const CompileOptions &options, CompileReport *report = nullptr);

/// What any call of a model takes: the model is compiled up to its kernels once.
class ModelCosts {
public:
  /// `options` as for compileModel; what they say of outputs and predictions does not matter.
  static llvm::Expected<ModelCosts> open(llvm::StringRef model, CompileOptions options);
  ModelCosts(ModelCosts &&);
  ~ModelCosts();
  llvm::Expected<ModelCost> predict(const CostRequest &request) const;
  /// Of the compilation; without predictions.
  const CompileReport &report() const;

private:
  struct State;
  explicit ModelCosts(std::unique_ptr<State> state);
  std::unique_ptr<State> state;
};

/// An operator of a model in whose place a search may put another one.
struct ModelChoice {
  std::string label;
  std::vector<std::string> alternatives; ///< the first one is what the model has
  std::vector<std::string> nodes;        ///< ONNX nodes that it stands for
};

/// The choices of a model between what it has and these alternatives, in its order. The report says
/// in remarks (`AlternativeRefused`) which ones are not legal where.
llvm::Expected<std::vector<ModelChoice>> findChoices(llvm::StringRef model,
                                                     llvm::ArrayRef<std::string> alternatives,
                                                     const CompileOptions &options,
                                                     CompileReport *report = nullptr);

} // namespace attune
#endif
