#include "TestJit.h"

#include <bit>
#include <cmath>

using namespace mlir;
using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

/// Kernels `extend` and `truncate` over dims[0] elements, a multiple of 8, and the same by scalars.
void build(ModuleOp module, const CpuTarget &target, bool brain) {
  KernelBuilder kb(module.getLoc(), target);
  for (bool extends : {true, false})
    for (int64_t lanes : {1, 8}) {
      std::string name = extends ? "extend" : "truncate";
      kb.kernel(module, name + std::to_string(lanes), [&](const KernelArgs &args) -> Value {
        Type half = brain ? Type(kb.b.getBF16Type()) : kb.b.getF16Type(), single = kb.f32();
        auto type = [&](Type element) {
          return lanes == 1 ? element : Type(kb.vec(lanes, element));
        };
        kb.forLoop(kb.idx(0), kb.dim(args, 0), lanes, [&](Value i) {
          Value x = kb.load(type(extends ? half : single), kb.buffer(args, 0), i), y;
          if (extends)
            y = arith::ExtFOp::create(kb.b, kb.loc, type(single), x);
          else
            y = arith::TruncFOp::create(kb.b, kb.loc, type(half), x);
          kb.store(y, kb.buffer(args, 1), i);
        });
        return {};
      });
    }
}

/// Nearest f16 or bf16, ties to even, found by its neighbours.
uint16_t nearest(float x, bool brain) {
  if (!brain)
    return std::bit_cast<uint16_t>(static_cast<_Float16>(x));
  uint32_t bits = std::bit_cast<uint32_t>(x);
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

float value(uint16_t half, bool brain) {
  return brain ? std::bit_cast<float>(uint32_t(half) << 16)
               : static_cast<float>(std::bit_cast<_Float16>(half));
}

} // namespace

TEST(HalfFloats, EveryValueAndRounding) {
  for (bool brain : {false, true})
    for (const CpuTarget &target : runnableTargets()) {
      SCOPED_TRACE(target.cpu + (brain ? " bf16" : " f16"));
      auto context = makeContext();
      OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(context.get()));
      build(*module, target, brain);
      Library library(*module, target, {"extend1", "extend8", "truncate1", "truncate8"});
      std::vector<uint16_t> halves(1 << 16), narrow(1 << 16);
      std::vector<float> wide(1 << 16), values(1 << 16);
      for (int i = 0; i < 1 << 16; ++i) {
        halves[i] = i;
        values[i] = value(i, brain);
      }
      // Every number that is kept, and points a little off and exactly half way to the next.
      std::vector<float> inputs;
      for (int i = 0; i < 1 << 16; ++i) {
        uint32_t bits = std::bit_cast<uint32_t>(values[i]), half = brain ? 1u << 15 : 1u << 12;
        for (uint32_t off : {0u, 1u, half - 1, half, half + 1})
          inputs.push_back(std::bit_cast<float>(bits + off));
      }
      for (int exponent = -40; exponent < 20; ++exponent)
        for (float mantissa : {1.0f, 1.25f, 1.4999f, 1.5f, 1.9999f})
          inputs.insert(inputs.end(),
                        {std::ldexp(mantissa, exponent), -std::ldexp(mantissa, exponent)});
      inputs.resize(inputs.size() / 8 * 8);
      narrow.resize(inputs.size());
      TestContext ctx;
      for (const char *lanes : {"1", "8"}) {
        int64_t dims[] = {1 << 16};
        void *extend[] = {halves.data(), wide.data()};
        ASSERT_EQ(library[(std::string("extend") + lanes).c_str()](&ctx, extend, dims), 0);
        for (int i = 0; i < 1 << 16; ++i)
          ASSERT_TRUE(std::isnan(values[i]) ? std::isnan(wide[i]) : wide[i] == values[i]) << i;
        dims[0] = inputs.size();
        void *truncate[] = {inputs.data(), narrow.data()};
        ASSERT_EQ(library[(std::string("truncate") + lanes).c_str()](&ctx, truncate, dims), 0);
        for (size_t i = 0; i < inputs.size(); ++i) {
          if (std::isnan(inputs[i]))
            ASSERT_TRUE(std::isnan(value(narrow[i], brain))) << i;
          else
            ASSERT_EQ(narrow[i], nearest(inputs[i], brain)) << inputs[i];
        }
      }
    }
}
