#include "attune/codegen/Compiler.h"

#include "attune/codegen/Artifact.h"
#include "attune/codegen/CpuBackend.h"
#include "attune/codegen/CudaBackend.h"
#include "attune/codegen/ExportProgram.h"
#include "attune/codegen/Kernels.h"
#include "attune/codegen/OpenClBackend.h"
#include "attune/codegen/cost/FormCost.h"
#include "attune/codegen/cpu/Emit.h"
#include "attune/dialect/Locations.h"
#include "attune/frontend/onnx/Import.h"
#include "attune/passes/Passes.h"
#include "attune/passes/Pipelines.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Remarks.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/Threading.h"
#include "llvm/Support/ToolOutputFile.h"

#include <chrono>
#include <set>

using namespace mlir;

namespace attune {

char CompileError::ID = 0;

namespace {

using Clock = std::chrono::steady_clock;

/// Collects the diagnostics of a compilation into one message.
class Diagnostics {
public:
  explicit Diagnostics(MLIRContext &context)
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

  /// Whatever goes wrong after import is not the user's fault, unless the message says so.
  llvm::Error take(StringRef stage) {
    bool user = StringRef(text).contains("unsupported:");
    std::string message = text.empty() ? "the " + stage.str() + " stage failed" : text;
    text.clear();
    return llvm::make_error<CompileError>(
        user ? CompileError::Kind::User : CompileError::Kind::Internal, std::move(message));
  }

private:
  /// Whether a message has the name between quotes; a short name may be part of any word.
  static bool names(StringRef message, const std::string &node) {
    return message.contains("'" + node + "'") || message.contains("`" + node + "`");
  }

  std::string text;
  ScopedDiagnosticHandler handler;
};

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

class Compilation {
public:
  Compilation(const CompileOptions &options, CompileReport &report)
      : options(options), report(report), context(registry()), diagnostics(context) {
    context.disableMultithreading();
    context.loadAllAvailableDialects();
    remark::RemarkCategories all;
    all.passed = all.missed = all.analysis = all.failed = ".*";
    auto policy = std::make_unique<remark::RemarkEmittingPolicyAll>();
    (void)remark::enableOptimizationRemarks(
        context, std::make_unique<RemarkCollector>(report.remarks), std::move(policy), all);
  }

  llvm::Error run(StringRef model, StringRef output) {
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
      return writeText(output);

    auto machine = codegen::Machine::of(*target);
    if (!machine)
      return userError(machine.takeError());
    report.calibration = machine->source;
    auto oracle = std::make_shared<codegen::MachineOracle>(std::move(*machine));
    if (llvm::Error error = loadTuning(*target))
      return error;
    std::unique_ptr<codegen::TargetBackend> backend = makeBackend(*target, *gpu, oracle);
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
        return writeText(output);
    }
    if (llvm::Error error = checkForm())
      return error;
    module->walk(
        [&](Operation *op) { report.attentions += isa<AttentionOp, LinearAttentionOp>(op); });
    if (llvm::Error error = stage("fuse", [&](OpPassManager &pm) {
          if (!options.reference)
            backend->prepare(pm);
          addFuseStage(pm, options.reference ? nullptr : backend.get(), &prices);
        }))
      return error;
    if (options.stopAfter == "fuse" || options.emit == EmitKind::MLIR)
      return writeText(output);
    llvm::Error error = emit(*backend, *oracle, output);
    report.decisions = decisions.list();
    return error;
  }

  llvm::Expected<std::vector<ModelChoice>> findChoices(StringRef model,
                                                       ArrayRef<std::string> alternatives) {
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

private:
  const CompileOptions &options;
  CompileReport &report;
  MLIRContext context;
  Diagnostics diagnostics;
  OwningOpRef<ModuleOp> module;
  std::optional<codegen::Tuning> kept;
  codegen::Decisions decisions;

  /// Devices are not measured, and a reference has no alternatives.
  llvm::Error loadTuning(const codegen::CpuTarget &target) {
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

  static DialectRegistry registry() {
    DialectRegistry registry;
    registerAllDialects(registry);
    registerBuiltinDialectTranslation(registry);
    registerLLVMDialectTranslation(registry);
    registry.insert<NVVM::NVVMDialect>();
    return registry;
  }

  static llvm::Error userError(llvm::Error error) {
    return llvm::make_error<CompileError>(CompileError::Kind::User,
                                          llvm::toString(std::move(error)));
  }

  /// Passes whose errors are the user's: what is wrong are labels and names.
  llvm::Error runUserPasses(PassManager &pm) {
    if (succeeded(pm.run(*module)))
      return llvm::Error::success();
    return llvm::make_error<CompileError>(CompileError::Kind::User,
                                          llvm::toString(diagnostics.take("choices")));
  }

  llvm::Error makeChoices(ArrayRef<std::string> alternatives) {
    PassManager pm(&context);
    MakeChoicesOptions make;
    make.kinds.push_back("attention");
    llvm::append_range(make.alternatives, alternatives);
    pm.addNestedPass<func::FuncOp>(createMakeChoices(std::move(make)));
    return runUserPasses(pm);
  }

  /// Makes the choices that the module does not have yet, and has them all decided.
  llvm::Error choose() {
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

  /// Options that do not go together.
  llvm::Error checkOptions() {
    auto refuse = [](const llvm::Twine &why) {
      return llvm::make_error<CompileError>(CompileError::Kind::User, why.str());
    };
    if (options.target == "opencl" && backendKind() == codegen::BackendKind::Mlir)
      return refuse("--backend=mlir makes kernels for the CPU only, for opencl there is halide");
    if (options.target == "cuda" && backendKind() == codegen::BackendKind::Halide)
      return refuse("--backend=halide makes no kernels for cuda, there is mlir");
    if (options.target != "cuda" && options.emit == EmitKind::PTX)
      return refuse("--emit=ptx needs --target=cuda");
    if (options.target != "cuda" && options.gpuMath != CompileOptions().gpuMath)
      return refuse("--gpu-math=" + options.gpuMath + " needs --target=cuda");
    return llvm::Error::success();
  }

  /// A form that was asked for must be that of some operator.
  llvm::Error checkForm() {
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
    return llvm::make_error<CompileError>(
        CompileError::Kind::User,
        "no operator of this model can be computed in the form `" + options.form + "`");
  }

  codegen::BackendKind backendKind() const {
    return llvm::StringSwitch<codegen::BackendKind>(options.backend)
        .Case("mlir", codegen::BackendKind::Mlir)
        .Case("halide", codegen::BackendKind::Halide)
        .Default(codegen::BackendKind::Auto);
  }

  bool onDevice() const { return options.target != "cpu"; }

  std::unique_ptr<codegen::TargetBackend>
  makeBackend(codegen::CpuTarget target, codegen::GpuTarget gpu,
              std::shared_ptr<const codegen::CostOracle> oracle) {
    if (options.target == "cuda")
      return std::make_unique<codegen::CudaBackend>(std::move(target), std::move(gpu));
    if (onDevice())
      return std::make_unique<codegen::OpenClBackend>(std::move(target));
    return std::make_unique<codegen::CpuBackend>(std::move(target), backendKind(),
                                                 std::move(oracle), &decisions);
  }

  void priceOf(const codegen::TargetBackend &backend, KernelOp kernel,
               std::vector<CompileReport::Price> &prices) {
    if (!options.reference)
      for (const codegen::TargetBackend::Price &price : backend.prices(kernel))
        prices.push_back({price.backend.str(), price.emitter.str(), price.seconds * 1e3});
  }

  /// Records the wall time of one stage.
  class Timer {
  public:
    Timer(CompileReport &report, StringRef name)
        : report(report), name(name), start(Clock::now()) {}
    ~Timer() {
      std::chrono::duration<double, std::milli> passed = Clock::now() - start;
      report.stageMs.emplace_back(name.str(), passed.count());
    }

  private:
    CompileReport &report;
    StringRef name;
    Clock::time_point start;
  };

  llvm::Error import(StringRef model) {
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

  llvm::Error stage(StringRef name, llvm::function_ref<void(OpPassManager &)> add) {
    // Choices are between raised operators.
    if (options.reference && (name == "rewrite" || (name == "raise" && options.choices.empty())))
      return llvm::Error::success();
    Timer timer(report, name);
    PassManager pm(&context);
    add(pm);
    if (failed(pm.run(*module)))
      return diagnostics.take(name);
    return llvm::Error::success();
  }

  llvm::Error predict(const codegen::Program &program, func::FuncOp func,
                      const codegen::TargetBackend &backend, const codegen::CostOracle &oracle,
                      const codegen::EmittedKernels &kernels) {
    if (options.predict.empty())
      return llvm::Error::success();
    Timer timer(report, "predict");
    std::vector<codegen::PricedKernel> calls;
    for (KernelOp kernel : func.getOps<KernelOp>()) {
      int64_t number = kernels.kernelOf.lookup(kernel);
      const codegen::KernelEmitter *emitter = backend.named(kernels.kernels[number].info.emitter);
      if (!emitter)
        return llvm::make_error<CompileError>(CompileError::Kind::User,
                                              "unsupported: predictions are for CPUs");
      calls.push_back({kernel, emitter});
    }
    for (const CostRequest &request : options.predict) {
      auto cost = codegen::predict(program, calls, backend.target(), oracle, request);
      if (!cost)
        return userError(cost.takeError());
      report.predictions.push_back(std::move(*cost));
    }
    return llvm::Error::success();
  }

  llvm::Error emit(const codegen::TargetBackend &backend, const codegen::CostOracle &oracle,
                   StringRef output) {
    auto func = module->lookupSymbol<func::FuncOp>("main");
    if (!func)
      return llvm::make_error<CompileError>(CompileError::Kind::User,
                                            "the module has no function `main`");
    codegen::EmittedKernels kernels;
    std::vector<std::vector<CompileReport::Price>> prices;
    {
      Timer timer(report, "lower");
      auto choose = [&](KernelOp kernel) {
        priceOf(backend, kernel, prices.emplace_back());
        return backend.choose(kernel, options.reference);
      };
      auto emitted = codegen::emitKernels(func, choose, backend.target());
      if (failed(emitted))
        return diagnostics.take("lower");
      kernels = std::move(*emitted);
      codegen::addNote(*kernels.module);
      if (failed(verify(*kernels.module)))
        return diagnostics.take("lower");
    }
    auto program = codegen::exportProgram(func, kernels.kernels, kernels.kernelOf);
    if (failed(program))
      return diagnostics.take("lower");
    program->model = module->getName().value_or("").str();
    program->target = backend.machine().str();
    report.kernelCalls = llvm::count_if(program->steps, [](const auto &step) {
      return step.kind == codegen::Program::Step::Kind::Kernel;
    });
    auto nextPrices = prices.begin();
    for (const codegen::Program::Kernel &kernel : program->kernels)
      report.kernels.push_back({kernel.name, kernel.emitter, kernel.backend, kernel.hash,
                                kernel.nodes, std::move(*nextPrices++)});
    report.weightBytes = program->weightBytes;
    if (llvm::Error error = predict(*program, func, backend, oracle, kernels))
      return error;
    if (options.onlyPredict)
      return llvm::Error::success();

    Timer timer(report, "emit");
    llvm::Expected<std::string> device = backend.finish(*kernels.module);
    if (!device)
      return internalError(device.takeError());
    if (options.emit == EmitKind::PTX)
      return writeFile(output, *device);
    // Passes before this one report remarks, in order.
    std::unique_ptr<llvm::ThreadPoolInterface> pool;
    if (options.jobs != 1) {
      pool = std::make_unique<llvm::DefaultThreadPool>(llvm::hardware_concurrency(options.jobs));
      context.setThreadPool(*pool);
    }
    llvm::scope_exit alone([&] { context.disableMultithreading(); });
    if (llvm::Error error = codegen::lowerToLLVM(*kernels.module, backend.target()))
      return internalError(std::move(error));
    if (options.emit == EmitKind::Assembly || options.emit == EmitKind::LLVMIR) {
      auto text = options.emit == EmitKind::Assembly
                      ? codegen::emitAssembly(*kernels.module, backend.target(), kernels.bitcode)
                      : codegen::emitLLVMIR(*kernels.module, backend.target(), kernels.bitcode);
      return text ? writeFile(output, *text) : internalError(text.takeError());
    }
    if (options.emit == EmitKind::Object) {
      auto object = codegen::emitObject(*kernels.module, backend.target(), kernels.bitcode);
      return object ? writeFile(output, StringRef(object->data(), object->size()))
                    : internalError(object.takeError());
    }
    auto objects =
        codegen::emitObjects(*kernels.module, backend.target(), kernels.bitcode, pool.get());
    if (!objects)
      return internalError(objects.takeError());
    kernels.module = {};
    if (llvm::Error error = codegen::writeArtifact(*program, *objects, backend.target(), output))
      return userError(std::move(error));
    uint64_t size = 0;
    (void)llvm::sys::fs::file_size(output, size);
    report.fileBytes = size;
    return llvm::Error::success();
  }

  llvm::Error internalError(llvm::Error error) {
    return llvm::make_error<CompileError>(CompileError::Kind::Internal,
                                          llvm::toString(std::move(error)));
  }

  llvm::Error writeText(StringRef output) {
    std::string text;
    llvm::raw_string_ostream os(text);
    OpPrintingFlags flags;
    flags.enableDebugInfo().elideLargeResourceString(64).elideLargeElementsAttrs(64);
    module->print(os, flags);
    return writeFile(output, text);
  }

  llvm::Error writeFile(StringRef path, StringRef contents) {
    std::error_code code;
    llvm::ToolOutputFile file(path, code, llvm::sys::fs::OF_None);
    if (!code) {
      file.os() << contents;
      file.os().flush();
      code = file.os().error();
      file.os().clear_error();
    }
    if (code)
      return userError(
          llvm::createStringError(code, "cannot write `" + path + "`: " + code.message()));
    file.keep();
    return llvm::Error::success();
  }
};

} // namespace

llvm::Error compileModel(StringRef model, StringRef output, const CompileOptions &options,
                         CompileReport *report) {
  CompileReport unused;
  return Compilation(options, report ? *report : unused).run(model, output);
}

llvm::Expected<std::vector<ModelChoice>> findChoices(StringRef model,
                                                     ArrayRef<std::string> alternatives,
                                                     const CompileOptions &options,
                                                     CompileReport *report) {
  CompileReport unused;
  return Compilation(options, report ? *report : unused).findChoices(model, alternatives);
}

} // namespace attune
