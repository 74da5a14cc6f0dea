#include "attune/search/templates/LayerPlan.h"

namespace attune::search {

bool LayerPlan::knows(const Mixing &mixing, int64_t rows, int64_t width, int64_t heads) {
  switch (mixing.kind) {
  case Mixing::Kind::Conv:
  case Mixing::Kind::Cosformer:
    return false;
  default:
    return rows > 1 && width / heads > 1 &&
           (mixing.kind != Mixing::Kind::Local || mixing.reach < rows - 1);
  }
}

// Kernels of one block are told apart in bits 48 to 55 of their keys.
const PlannedKernel *LayerPlan::kernel(unsigned number, bool varies,
                                       llvm::function_ref<BuiltKernel(KernelRegions &)> build) {
  BlockName of{name.part};
  if (varies)
    of.a = name.a, of.b = name.b;
  return &planner.kernel(of.key() | static_cast<uint64_t>(number) << 48, build);
}

const PlannedKernel *LayerPlan::norm(unsigned number, bool mean) {
  return kernel(number, /*varies=*/false,
                [&](KernelRegions &regions) { return regions.norm(rows, d, mean); });
}

const PlannedKernel *LayerPlan::product(unsigned number, bool varies, int64_t k, int64_t n,
                                        Then then) {
  return kernel(number, varies,
                [&](KernelRegions &regions) { return regions.product(rows, k, n, then); });
}

BlockCost LayerPlan::stem(int64_t from) {
  const PlannedKernel *only = kernel(0, false, [&](KernelRegions &regions) {
    BuiltKernel built = regions.product(rows, from, d, Then::Table);
    built.distant = {1};
    return built;
  });
  return planner.block({{only, {0}}}, {bytes(from)}, from * d + d + rows * d);
}

// What mixes ends with this.
const PlannedKernel *LayerPlan::output(unsigned number) {
  return product(number, /*varies=*/false, d, d, Then::Residual);
}

BlockCost LayerPlan::feedForward(int64_t inner) {
  return planner.block({{norm(0), {0}},
                        {product(1, true, d, inner, Then::Gelu), {1}},
                        {product(2, true, inner, d, Then::Residual), {2, 0}}},
                       {bytes(d)}, 2 * d + 2 * d * inner + inner + d, output(3));
}

BlockCost LayerPlan::head(int64_t to, bool mean) {
  const PlannedKernel *last = kernel(1, true, [&](KernelRegions &regions) {
    return regions.product(mean ? 0 : rows, d, to, Then::Bias);
  });
  return planner.block({{norm(0, mean), {0}}, {last, {1}}}, {bytes(d)}, 2 * d + d * to + to,
                       output(3));
}

BlockCost LayerPlan::mix(const Mixing &mixing, int64_t heads) {
  const PlannedKernel *mix = kernel(2, true, [&](KernelRegions &regions) {
    return mixing.kind == Mixing::Kind::Linear
               ? regions.linearAttention(rows, d, heads, mixing.causal)
               : regions.attention(rows, d, heads,
                                   mixing.kind == Mixing::Kind::Local ? mixing.reach : 0,
                                   mixing.causal);
  });
  return planner.block({{norm(0), {0}},
                        {product(1, false, d, 3 * d, Then::Bias), {1}},
                        {mix, {2}},
                        {output(3), {3, 0}}},
                       {bytes(d)}, 2 * d + 4 * (d * d + d), output(3));
}

BlockCost LayerPlan::cross(int64_t heads, int64_t sources, int64_t packed) {
  const PlannedKernel *queries = kernel(1, true, [&](KernelRegions &regions) {
    return regions.product(rows, d, d, Then::Bias, heads);
  });
  const PlannedKernel *mix = kernel(2, true, [&](KernelRegions &regions) {
    return regions.cross(rows, d, heads, sources, packed);
  });
  return planner.block({{norm(0), {0}}, {queries, {2}}, {mix, {1, 3}}, {output(3), {4, 0}}},
                       {bytes(d), 4.0 * sources * packed}, 2 * d + 2 * (d * d + d), output(3));
}

} // namespace attune::search
