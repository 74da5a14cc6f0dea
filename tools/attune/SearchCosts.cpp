// `attune search costs`: the costs of a space as sums over choices.
#include "attune/search/CostTable.h"
#include "attune/search/Setup.h"
#include "attune/search/templates/TemplateCost.h"
#include "attune/support/WriteFile.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Search.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::tools {

using namespace attune::search;

int searchCosts(Args args) {
  std::string output;
  int64_t samples = 1000, seed = 0;
  std::vector<std::string> positional;
  Options parser("search costs", "SPACE.yaml -o COSTS.json [options]");
  parser.addString("o", "COSTS.json", "where the table goes (- is standard output)", output);
  parser.addInteger("samples", "N", "random candidates that errors are of (default 1000)", 1,
                    samples);
  parser.addInteger("seed", "N", "of these candidates (default 0)", 0, seed);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1 || output.empty()) {
    llvm::errs() << "attune search costs: expects one space file and -o COSTS.json\n";
    return kUsage;
  }
  auto space = Space::read(positional[0]);
  if (!space)
    return report(space.takeError());
  auto setup = Setup::create(*space, {1, "", TemplateCost::create});
  if (!setup)
    return report(setup.takeError());
  CostTableOptions options;
  options.samples = samples;
  options.seed = seed;
  auto table = CostTable::make(*space, (*setup)->cost(), options);
  if (!table)
    return report(table.takeError());
  llvm::json::Object json = table->toJson();
  json["cost_model"] = (*setup)->cost().identity();
  if (llvm::Error error = writeFile(output, [&](llvm::raw_ostream &os) {
        os << llvm::formatv("{0}\n", llvm::json::Value(std::move(json)));
      }))
    return report(std::move(error));
  if (output == "-")
    return kOk;
  for (size_t i = 0; i < table->costs.size(); ++i)
    llvm::outs() << table->costs[i]
                 << llvm::format(": sums are off by at most %.2g %%, the affine form by %.2g %%\n",
                                 100 * table->tableErrors[i].most,
                                 100 * table->affineErrors[i].most);
  return kOk;
}

} // namespace attune::tools
