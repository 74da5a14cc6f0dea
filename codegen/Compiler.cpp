#include "attune/codegen/Compiler.h"

#include "attune/codegen/Compilation.h"

using llvm::StringRef;

namespace attune {

char CompileError::ID = 0;

llvm::Error compileModel(StringRef model, StringRef output, const CompileOptions &options,
                         CompileReport *report) {
  CompileReport unused;
  return Compilation(options, report ? *report : unused).run(model, output);
}

llvm::Expected<std::vector<ModelChoice>> findChoices(StringRef model,
                                                     llvm::ArrayRef<std::string> alternatives,
                                                     const CompileOptions &options,
                                                     CompileReport *report) {
  CompileReport unused;
  return Compilation(options, report ? *report : unused).findChoices(model, alternatives);
}

struct ModelCosts::State {
  State(CompileOptions given) : options(std::move(given)), compilation(options, report) {}
  CompileOptions options;
  CompileReport report;
  Compilation compilation;
};

ModelCosts::ModelCosts(std::unique_ptr<State> state) : state(std::move(state)) {}
ModelCosts::ModelCosts(ModelCosts &&) = default;
ModelCosts::~ModelCosts() = default;

llvm::Expected<ModelCosts> ModelCosts::open(StringRef model, CompileOptions options) {
  auto state = std::make_unique<State>(std::move(options));
  if (llvm::Error error = state->compilation.lower(model))
    return std::move(error);
  return ModelCosts(std::move(state));
}

llvm::Expected<ModelCost> ModelCosts::predict(const CostRequest &request) const {
  return state->compilation.predict(request);
}

const CompileReport &ModelCosts::report() const { return state->report; }

} // namespace attune
