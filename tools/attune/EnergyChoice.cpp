#include "attune/tools/attune/EnergyChoice.h"
#include "attune/tools/attune/Options.h"

namespace attune::tools {

void EnergyChoice::addOptions(Options &options) {
  options.addString(
      "energy-table", "NAME",
      "horowitz45 (default), shiftaddnas-32, shiftaddnas-8, a JSON file, or eyeriss-rs "
      "(a row-stationary array)",
      table);
  options.addSwitch("assume-onchip-add",
                    "eyeriss-rs: addition layers cost no DRAM and buffer energy (default: they do)",
                    array.assumeOnchipAdd);
  options.addInteger("shift-word-bits", "N",
                     "eyeriss-rs: width of words of shift layers (default: as of others)", 1,
                     shiftWordBits);
  options.addInteger("word-bits", "N", "eyeriss-rs: width of words, 32 (default) or 8", 8,
                     wordBits);
}

llvm::Error EnergyChoice::load() {
  array.shiftWordBits = shiftWordBits;
  array.bits = wordBits;
  if (wordBits != 8 && wordBits != 32)
    return llvm::createStringError("--word-bits accepts 8 or 32");
  if (isArray())
    return llvm::Error::success();
  if (array.assumeOnchipAdd || shiftWordBits || wordBits != 32)
    return llvm::createStringError("--assume-onchip-add, --shift-word-bits and --word-bits are "
                                   "switches of --energy-table=eyeriss-rs");
  auto loaded = codegen::EnergyTable::load(table);
  if (!loaded)
    return loaded.takeError();
  chosen = std::move(*loaded);
  return llvm::Error::success();
}

codegen::Energy EnergyChoice::of(const ModelCost::Call &call) {
  if (chosen)
    return chosen->of(call.features, call.cost);
  codegen::Energy energy;
  for (codegen::RsLayer layer : call.layers) {
    double count = std::exchange(layer.count, 1);
    std::array<int64_t, 10> key{static_cast<int64_t>(layer.kind),
                                layer.n,
                                layer.m,
                                layer.c,
                                layer.e,
                                layer.f,
                                layer.r,
                                layer.s,
                                layer.h,
                                layer.w};
    auto [place, fresh] = known.try_emplace(key);
    // A layer that no split fits stays at zero.
    if (fresh)
      place->second = codegen::rsCost(layer, array).value_or(codegen::RsCost());
    const codegen::RsCost &cost = place->second;
    energy.compute += count * cost.compute;
    energy.memory[0] += count * cost.registers;
    energy.memory[1] += count * cost.network;
    energy.memory[2] += count * cost.buffer;
    energy.memory[3] += count * cost.dram;
    seconds += count * cost.seconds;
  }
  return energy;
}

} // namespace attune::tools
