#include "attune/codegen/Compilation.h"

#include "attune/codegen/Artifact.h"
#include "attune/codegen/CudaBackend.h"
#include "attune/codegen/OpenClBackend.h"
#include "attune/codegen/cost/FormCost.h"
#include "attune/dialect/Locations.h"
#include "attune/frontend/onnx/Import.h"
#include "attune/passes/Passes.h"
#include "attune/passes/Pipelines.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Threading.h"

#include <set>

using namespace mlir;

namespace attune {

static llvm::Error userError(const llvm::Twine &why) {
  return llvm::make_error<CompileError>(CompileError::Kind::User, why.str());
}

static llvm::Error userError(llvm::Error error) {
  return userError(llvm::toString(std::move(error)));
}

static DialectRegistry registry() {
  DialectRegistry registry;
  registerAllDialects(registry);
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registry.insert<NVVM::NVVMDialect>();
  return registry;
}

Compilation::Compilation(const CompileOptions &options, CompileReport &report)
    : options(options), report(report), context(registry()), diagnostics(context) {
  context.disableMultithreading();
  context.loadAllAvailableDialects();
  collectRemarks(context, report.remarks);
}

llvm::Error Compilation::checkOptions() const {
  if (options.target == "opencl" && backendKind() == codegen::BackendKind::Mlir)
    return userError("--backend=mlir makes kernels for the CPU only, for opencl there is halide");
  if (options.target == "cuda" && backendKind() == codegen::BackendKind::Halide)
    return userError("--backend=halide makes no kernels for cuda, there is mlir");
  if (options.target != "cuda" && options.emit == EmitKind::PTX)
    return userError("--emit=ptx needs --target=cuda");
  if (options.target != "cuda" && options.gpuMath != CompileOptions().gpuMath)
    return userError("--gpu-math=" + options.gpuMath + " needs --target=cuda");
  return llvm::Error::success();
}

codegen::BackendKind Compilation::backendKind() const {
  return llvm::StringSwitch<codegen::BackendKind>(options.backend)
      .Case("mlir", codegen::BackendKind::Mlir)
      .Case("halide", codegen::BackendKind::Halide)
      .Default(codegen::BackendKind::Auto);
}

llvm::Error Compilation::loadTuning(const codegen::CpuTarget &target) {
  const codegen::Tuning *tuning = options.tuning;
  if (!tuning && !onDevice() && !options.reference) {
    unsigned threads =
        options.threads ? options.threads : llvm::hardware_concurrency().compute_thread_count();
    auto read = codegen::Tuning::of(target, codegen::compilerVersion(), threads);
    if (!read)
      return userError(read.takeError());
    kept = std::move(*read);
    tuning = &*kept;
  }
  decisions = codegen::Decisions(tuning);
  if (decisions.hasMeasurements())
    report.tuning = tuning->file();
  return llvm::Error::success();
}

void Compilation::makeBackend(codegen::CpuTarget target, codegen::GpuTarget gpu) {
  if (options.target == "cuda")
    backend = std::make_unique<codegen::CudaBackend>(std::move(target), std::move(gpu));
  else if (onDevice())
    backend = std::make_unique<codegen::OpenClBackend>(std::move(target));
  else
    backend =
        std::make_unique<codegen::CpuBackend>(std::move(target), backendKind(), oracle, &decisions);
}

llvm::Error Compilation::import(StringRef model) {
  Timer timer(report, "import");
  if (model.ends_with(".mlir")) {
    module = parseSourceFile<ModuleOp>(model, ParserConfig(&context));
    return module ? llvm::Error::success()
                  : llvm::make_error<CompileError>(CompileError::Kind::User,
                                                   "cannot parse `" + model.str() + "`");
  }
  onnx::ImportOptions import;
  for (const auto &entry : options.fixedDims)
    import.fixedDims[entry.getKey().str()] = entry.getValue();
  for (const auto &entry : options.fixedShapes)
    import.fixedShapes[entry.getKey().str()] = entry.getValue();
  if (!options.functions.empty())
    import.functions.push_back(options.functions);
  auto imported = onnx::importModel(model, context, import);
  if (!imported)
    return userError(imported.takeError());
  module = std::move(*imported);
  return llvm::Error::success();
}

llvm::Error Compilation::stage(StringRef name,
                               llvm::function_ref<void(OpPassManager &)> addPasses) {
  // Choices are between raised operators.
  if (options.reference && (name == "rewrite" || (name == "raise" && options.choices.empty())))
    return llvm::Error::success();
  Timer timer(report, name);
  PassManager pm(&context);
  addPasses(pm);
  if (failed(pm.run(*module)))
    return diagnostics.take(name);
  return llvm::Error::success();
}

llvm::Error Compilation::runStages(StringRef model) {
  auto target = codegen::CpuTarget::parse(options.cpu);
  if (!target)
    return userError(target.takeError());
  if (llvm::Error error = checkOptions())
    return error;
  auto gpu = codegen::GpuTarget::parse(options.gpu, options.gpuMath);
  if (!gpu)
    return userError(gpu.takeError());
  if (llvm::Error error = import(model))
    return error;
  if (options.stopAfter == "import")
    return llvm::Error::success();

  auto machine = codegen::Machine::of(*target);
  if (!machine)
    return userError(machine.takeError());
  report.calibration = machine->source;
  oracle = std::make_shared<codegen::MachineOracle>(std::move(*machine));
  if (llvm::Error error = loadTuning(*target))
    return error;
  makeBackend(std::move(*target), std::move(*gpu));
  codegen::OracleFormPrices prices(*oracle, &decisions);
  using AddStage = std::function<void(OpPassManager &)>;
  std::pair<StringRef, AddStage> stages[] = {
      {"canonicalize", addCanonicalizeStage},
      {"raise", addRaiseStage},
      {"rewrite",
       [&](OpPassManager &pm) {
         if (onDevice())
           addRewriteStage(pm, options.form.empty() ? "quadratic" : options.form, nullptr);
         else
           addRewriteStage(pm, options.form, &prices);
       }},
  };
  for (auto &[name, add] : stages) {
    if (llvm::Error error = stage(name, add))
      return error;
    if (name == "raise" && !options.choices.empty())
      if (llvm::Error error = choose())
        return error;
    if (options.stopAfter == name)
      return llvm::Error::success();
  }
  if (llvm::Error error = checkForm())
    return error;
  module->walk(
      [&](Operation *op) { report.attentions += isa<AttentionOp, LinearAttentionOp>(op); });
  return stage("fuse", [&](OpPassManager &pm) {
    if (!options.reference)
      backend->prepare(pm);
    addFuseStage(pm, options.reference ? nullptr : backend.get(), &prices);
  });
}

llvm::Error Compilation::checkForm() const {
  std::optional<Form> wanted = symbolizeForm(options.form);
  if (!wanted || *wanted == Form::Auto || options.reference)
    return llvm::Error::success();
  // An operator in that form may have become others: its remark stays.
  auto isWanted = [&](const CompileRemark &remark) {
    return remark.name == "FormChosen" &&
           llvm::is_contained(remark.arguments, std::pair<std::string, std::string>(
                                                    "form", stringifyForm(*wanted).str()));
  };
  if (llvm::any_of(report.remarks, isWanted))
    return llvm::Error::success();
  return userError("no operator of this model can be computed in the form `" + options.form + "`");
}

llvm::Error Compilation::runUserPasses(PassManager &passes) {
  if (succeeded(passes.run(*module)))
    return llvm::Error::success();
  return userError(diagnostics.take("choices"));
}

llvm::Error Compilation::makeChoices(ArrayRef<std::string> alternatives) {
  PassManager pm(&context);
  MakeChoicesOptions make;
  make.kinds.push_back("attention");
  llvm::append_range(make.alternatives, alternatives);
  pm.addNestedPass<func::FuncOp>(createMakeChoices(std::move(make)));
  return runUserPasses(pm);
}

llvm::Error Compilation::choose() {
  llvm::StringSet<> present;
  module->walk([&](ChoiceOp op) { present.insert(op.getLabel()); });
  std::set<std::string> alternatives;
  SelectChoicesOptions select;
  for (const auto &[label, alternative] : options.choices) {
    select.choose.push_back(label + "=" + alternative);
    if (!present.contains(label))
      alternatives.insert(alternative);
  }
  if (!alternatives.empty())
    if (llvm::Error error = makeChoices(llvm::to_vector(alternatives)))
      return error;
  PassManager pm(&context);
  select.require = true;
  pm.addPass(createSelectChoices(std::move(select)));
  return runUserPasses(pm);
}

llvm::Expected<std::vector<ModelChoice>>
Compilation::findChoices(StringRef model, ArrayRef<std::string> alternatives) {
  if (llvm::Error error = import(model))
    return std::move(error);
  if (llvm::Error error = stage("canonicalize", addCanonicalizeStage))
    return std::move(error);
  if (llvm::Error error = stage("raise", addRaiseStage))
    return std::move(error);
  if (llvm::Error error = makeChoices(alternatives))
    return std::move(error);
  std::vector<ModelChoice> found;
  module->walk([&](ChoiceOp op) {
    ModelChoice &choice = found.emplace_back();
    choice.label = op.getLabel().str();
    for (StringRef name : op.getNames().getAsValueRange<StringAttr>())
      choice.alternatives.push_back(name.str());
    collectNodeNames(op.getLoc(), choice.nodes);
  });
  return found;
}

llvm::Error Compilation::run(StringRef model, StringRef output) {
  if (!options.stopAfter.empty() || options.emit == EmitKind::MLIR) {
    if (llvm::Error error = runStages(model))
      return error;
    return writeText(output);
  }
  if (llvm::Error error = lower(model))
    return error;
  if (!options.predict.empty()) {
    Timer timer(report, "predict");
    for (const CostRequest &request : options.predict) {
      auto cost = predict(request);
      if (!cost)
        return cost.takeError();
      report.predictions.push_back(std::move(*cost));
    }
  }
  return options.onlyPredict ? llvm::Error::success() : generate(output);
}

} // namespace attune
