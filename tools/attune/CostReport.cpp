#include "attune/tools/attune/CostReport.h"
#include "attune/codegen/cost/Points.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::tools {

namespace json = llvm::json;

CostRequest takeSizes(CompileOptions &options, unsigned threads) {
  CostRequest request;
  for (const auto &entry : options.fixedShapes)
    request.shapes[entry.getKey().str()] = entry.getValue();
  for (const auto &entry : options.fixedDims)
    request.dims[entry.getKey().str()] = entry.getValue();
  request.threads = threads;
  options.fixedShapes.clear();
  options.fixedDims.clear();
  return request;
}

CostReport::CostReport(const CompileReport &compiled, const ModelCost &cost, EnergyChoice &energy)
    : compiled(compiled), cost(cost), choice(energy) {
  for (const ModelCost::Call &call : cost.calls) {
    energies.push_back(energy.of(call));
    total += energies.back();
  }
}

static json::Object splitOf(const codegen::Energy &energy) {
  return json::Object{{"compute", energy.compute * 1e3}, {"L1", energy.memory[0] * 1e3},
                      {"L2", energy.memory[1] * 1e3},    {"L3", energy.memory[2] * 1e3},
                      {"DRAM", energy.memory[3] * 1e3},  {"static", energy.fixed * 1e3}};
}

json::Object CostReport::callJson(const ModelCost::Call &call,
                                  const codegen::Energy &energy) const {
  const CompileReport::Kernel &kernel = compiled.kernels[call.kernel];
  json::Array nodes;
  for (const std::string &node : kernel.nodes)
    nodes.push_back(json::fixUTF8(node));
  json::Value form = nullptr;
  if (!call.features.form.empty())
    form = call.features.form;
  return json::Object{{"name", json::fixUTF8(kernel.name)},
                      {"nodes", std::move(nodes)},
                      {"form", std::move(form)},
                      {"backend", kernel.backend},
                      {"emitter", kernel.emitter},
                      {"latency_ms", call.cost.seconds * 1e3},
                      {"sigma", call.cost.sigma},
                      {"flops", call.cost.flops},
                      {"bytes", call.cost.bytes},
                      {"weight_bytes", call.features.weightBytes},
                      {"tasks", call.features.plan.tasks},
                      {"features", codegen::toJson(call.features)},
                      {"energy_mj", energy.total() * 1e3},
                      {"energy_split_mj", splitOf(energy)}};
}

/// The switches of the row-stationary array and the time on it; null for a table.
json::Value CostReport::arrayJson() const {
  if (!choice.isArray())
    return nullptr;
  return json::Object{{"assume_onchip_add", choice.array.assumeOnchipAdd},
                      {"shift_word_bits", choice.array.shiftWordBits},
                      {"word_bits", choice.array.bits},
                      {"latency_ms", choice.arraySeconds() * 1e3}};
}

json::Value CostReport::toJson() const {
  json::Array kernels;
  for (auto [call, energy] : llvm::zip(cost.calls, energies))
    kernels.push_back(callJson(call, energy));
  json::Value calibration = nullptr;
  if (!compiled.calibration.empty())
    calibration = compiled.calibration;
  return json::Object{{"latency_ms", cost.seconds * 1e3},
                      {"sigma", cost.sigma},
                      {"energy_mj", total.total() * 1e3},
                      {"energy_split_mj", splitOf(total)},
                      {"energy_table", choice.name()},
                      {"eyeriss_rs", arrayJson()},
                      {"energy_is", "modelled"},
                      {"peak_mb", cost.peakBytes() / 1048576},
                      {"flops", cost.flops},
                      {"bytes", cost.bytes},
                      {"stored_bytes", cost.storedBytes},
                      {"resident_bytes", cost.resident},
                      {"streamed_bytes", cost.bytes},
                      {"arena_bytes", cost.arenaBytes},
                      {"threads", cost.threads},
                      {"inputs", json::fixUTF8(cost.inputs)},
                      {"calibration", std::move(calibration)},
                      {"kernels", std::move(kernels)}};
}

void CostReport::print(llvm::raw_ostream &os) const {
  auto number = [&](const char *format, double value) { os << llvm::format(format, value); };
  os << cost.inputs << ", " << cost.threads << (cost.threads == 1 ? " thread" : " threads") << "\n"
     << " calls  ms each      mJ   MFLOP      MB  emitter           kernel\n";
  // Calls of one kernel at equal sizes are one line.
  std::map<std::pair<int64_t, double>, unsigned> calls;
  auto key = [](const ModelCost::Call &call) {
    return std::pair(call.kernel, call.cost.flops + call.cost.bytes);
  };
  for (const ModelCost::Call &call : cost.calls)
    ++calls[key(call)];
  for (auto [call, energy] : llvm::zip(cost.calls, energies)) {
    unsigned equal = std::exchange(calls[key(call)], 0);
    if (!equal)
      continue;
    const CompileReport::Kernel &kernel = compiled.kernels[call.kernel];
    os << llvm::format("%6u", equal);
    number("%9.4f", call.cost.seconds * 1e3);
    number("%8.3f", energy.total() * 1e3);
    number("%8.2f", call.cost.flops / 1e6);
    number("%8.3f", call.cost.bytes / 1048576);
    os << "  " << llvm::left_justify(kernel.emitter, 16) << "  " << kernel.name;
    if (!call.features.form.empty())
      os << " (" << call.features.form << ")";
    os << "\n";
  }
  number("latency %.3f ms", cost.seconds * 1e3);
  number(" (standard deviation %.0f %%)", cost.sigma * 100);
  number(", energy %.3f mJ (modelled:", total.total() * 1e3);
  number(" compute %.3f,", total.compute * 1e3);
  for (auto [name, level] :
       llvm::zip(std::initializer_list<const char *>{"L1", "L2", "L3", "DRAM"}, total.memory))
    os << " " << name << llvm::format(" %.3f", level * 1e3) << (name[0] == 'D' ? "" : ",");
  os << "; " << choice.name() << ")\n";
  if (choice.isArray()) {
    os << "eyeriss-rs: L1 is the register files, L2 the network, L3 the buffer; assume_onchip_add "
       << (choice.array.assumeOnchipAdd ? "on" : "off") << ", shift_word_bits ";
    os << (choice.array.shiftWordBits ? llvm::Twine(choice.array.shiftWordBits).str() : "off");
    number("; %.3f ms on the array\n", choice.arraySeconds() * 1e3);
  }
  number("memory %.2f MB: ", cost.peakBytes() / 1048576);
  number("weights %.2f, ", cost.storedBytes / 1048576);
  number("intermediate %.2f, ", cost.arenaBytes / 1048576);
  number("inputs and outputs %.2f\n", cost.ioBytes / 1048576);
  number("%.2f MFLOP, ", cost.flops / 1e6);
  number("%.2f MB moved between kernels and memory\n", cost.bytes / 1048576);
  if (compiled.calibration.empty())
    os << "not calibrated: times are those of a typical server (`attune calibrate` measures this "
          "machine)\n";
  else
    os << "calibration: " << compiled.calibration << "\n";
}

} // namespace attune::tools
