#include "attune/tools/attune/CostReport.h"
#include "attune/tools/attune/CostServer.h"
#include "attune/tools/attune/Options.h"

#include "llvm/Support/Threading.h"

#include <iostream>

namespace attune::tools {

int costCommand(Args args) {
  CompileOptions options;
  options.onlyPredict = true;
  bool json = false, server = false;
  int64_t threads = llvm::hardware_concurrency().compute_thread_count();
  EnergyChoice energy;
  std::vector<std::string> positional;
  Options parser("cost", "MODEL.onnx | --stdin [options]");
  parser.addCompileOptions(options);
  parser.addInteger("threads", "N", "threads (default: all that the process may use)", 1, threads);
  energy.addOptions(parser);
  parser.addSwitch("json", "print one JSON object", json);
  parser.addSwitch("stdin", "answer requests, a JSON object per line, until the input ends",
                   server);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != (server ? 0 : 1)) {
    llvm::errs() << "attune cost: expects " << (server ? "no model with --stdin" : "one model")
                 << ", found " << positional.size() << "\n";
    return kUsage;
  }
  if (llvm::Error error = energy.load())
    return report(std::move(error));
  // Sizes are those of the call, as in `attune bench`.
  CostRequest request = takeSizes(options, threads);
  request.layers = energy.isArray();
  options.threads = threads;
  if (server) {
    serveCosts(std::cin, llvm::outs(), options, request, energy);
    return kOk;
  }
  options.predict.push_back(std::move(request));
  CompileReport result;
  if (llvm::Error error = compileModel(positional[0], "", options, &result))
    return report(std::move(error));
  CostReport cost(result, result.predictions.front(), energy);
  if (json)
    llvm::outs() << cost.toJson() << "\n";
  else
    cost.print(llvm::outs());
  return kOk;
}

} // namespace attune::tools
