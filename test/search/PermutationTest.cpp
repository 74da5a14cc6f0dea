#include "attune/search/Permutation.h"
#include "Spaces.h"

#include <gtest/gtest.h>
#include <map>
#include <set>

using namespace attune::search;
namespace order = attune::search::permutation;

namespace {

constexpr const char *kOrders = R"(
attune-space: 1
vars:
  - {name: sandwich, kind: bool}
  - {name: order, kind: perm, values: [attn, conv, ffn], when: "sandwich == 1"}
  - {name: levels, kind: perm, values: [1, 2, 3, 4]}
constraints:
  - {expr: "count(order == conv) <= 1 and max(levels) == 4"}
objectives: [{metric: acc, goal: max}]
)";

Genes levelsOf(const Space &space, llvm::ArrayRef<int32_t> genes) {
  const Variable &variable = *space.find("levels");
  return Genes(order::orderOf(genes.slice(variable.firstGene, variable.geneCount)));
}

TEST(Permutation, GenesAreOrders) {
  std::set<std::vector<int32_t>> seen;
  for (int32_t a = 0; a < 4; ++a)
    for (int32_t b = 0; b < 3; ++b)
      for (int32_t c = 0; c < 2; ++c) {
        int32_t genes[] = {a, b, c, 0};
        order::Order found = order::orderOf(genes);
        seen.insert({found.begin(), found.end()});
        auto back = order::genesOf(found);
        ASSERT_TRUE(back);
        EXPECT_EQ(llvm::ArrayRef(*back), llvm::ArrayRef(genes));
      }
  EXPECT_EQ(seen.size(), 24u);
  EXPECT_FALSE(order::genesOf({0, 0, 1}));
  EXPECT_FALSE(order::genesOf({0, 3, 1}));
}

TEST(Permutation, SamplesAreUniform) {
  Space space = makeSpace(kOrders);
  std::map<std::vector<int32_t>, unsigned> counts;
  Rng rng(1, 0, Stage::Propose);
  constexpr unsigned kSamples = 24000;
  for (unsigned i = 0; i < kSamples; ++i) {
    Genes levels = levelsOf(space, space.sample(rng));
    ++counts[{levels.begin(), levels.end()}];
  }
  EXPECT_EQ(counts.size(), 24u);
  double chi = 0, expected = kSamples / 24.0;
  for (const auto &[levels, count] : counts)
    chi += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi, 50); // 23 degrees of freedom: exceeded once in a thousand
}

TEST(Permutation, MutationSwapsTwoPlaces) {
  Rng rng(2, 0, Stage::Propose);
  for (unsigned i = 0; i < 200; ++i) {
    order::Order genes = *order::genesOf({3, 0, 2, 1, 4});
    order::swapTwo(rng, genes);
    order::Order mutant = order::orderOf(genes);
    unsigned different = 0;
    for (auto [a, b] : llvm::zip_equal(mutant, order::Order{3, 0, 2, 1, 4}))
      different += a != b;
    EXPECT_EQ(different, 2u);
  }
}

// A run of places as in one parent, the others in the order of the second.
TEST(Permutation, Crossover) {
  Rng rng(3, 0, Stage::Propose);
  order::Order a{0, 1, 2, 3, 4, 5}, b{5, 4, 3, 2, 1, 0};
  std::set<std::vector<int32_t>> children;
  for (unsigned i = 0; i < 200; ++i) {
    order::Order genes = *order::genesOf(a);
    order::crossover(rng, genes, *order::genesOf(b));
    order::Order child = order::orderOf(genes);
    unsigned from = 0, to = child.size();
    while (from < to && child[from] != a[from])
      ++from;
    ASSERT_LT(from, to);
    while (child[to - 1] != a[to - 1])
      --to;
    order::Order rest(child.begin(), child.begin() + from);
    rest.append(child.begin() + to, child.end());
    EXPECT_TRUE(std::is_sorted(rest.rbegin(), rest.rend()));
    children.insert({child.begin(), child.end()});
  }
  EXPECT_GT(children.size(), 10u);
}

TEST(Permutation, InSpaces) {
  Space space = makeSpace(kOrders);
  EXPECT_EQ(space.size(), 2.0 * 6 * 24);
  std::set<std::vector<int32_t>> canonical;
  for (uint64_t index = 0; index < space.size(); ++index) {
    Genes genes = space.fromIndex(index);
    ASSERT_TRUE(space.contains(genes));
    ASSERT_EQ(space.indexOf(genes), index);
    Genes clean = space.canonical(genes);
    canonical.insert(std::vector<int32_t>(clean.begin(), clean.end()));
    auto back = space.fromJson(space.toJson(genes));
    ASSERT_TRUE(bool(back)) << llvm::toString(back.takeError());
    ASSERT_EQ(*back, clean);
    llvm::SmallVector<double> values;
    llvm::BitVector active;
    space.decode(genes, values, active);
    EXPECT_TRUE(space.satisfied(values));
  }
  EXPECT_EQ(canonical.size(), (1 + 6) * 24u);
  Genes genes = llvm::cantFail(
      space.fromJson(llvm::json::Object{{"sandwich", true},
                                        {"order", llvm::json::Array{"ffn", "attn", "conv"}},
                                        {"levels", llvm::json::Array{2, 1, 4, 3}}}));
  EXPECT_EQ(levelsOf(space, genes), (Genes{1, 0, 3, 2}));
  for (llvm::json::Value wrong :
       {llvm::json::Value(llvm::json::Array{2, 1, 4, 4}), llvm::json::Value(1),
        llvm::json::Value(llvm::json::Array{2, 1, 4}),
        llvm::json::Value(llvm::json::Array{2, 1, 4, 5})}) {
    auto read = space.fromJson(llvm::json::Object{{"sandwich", false}, {"levels", wrong}});
    ASSERT_FALSE(bool(read));
    EXPECT_EQ(llvm::toString(read.takeError()).find("`levels` cannot be "), 0u);
  }
}

// Mutants and children are members, and orders of numbers are compared as numbers.
TEST(Permutation, Variation) {
  std::string text = kOrders;
  size_t from = text.find("count(order"), to = text.find("\"}", from);
  text.replace(from, to - from, "monotone(levels) or any(order == ffn)");
  Space space = makeSpace(text);
  Rng rng(4, 0, Stage::Propose);
  Genes a = space.sample(rng);
  for (unsigned i = 0; i < 300; ++i) {
    Genes b = space.mutate(rng, a, 0.5), child = space.crossover(rng, a, b);
    ASSERT_TRUE(space.contains(b) && space.contains(child));
    EXPECT_EQ(space.canonical(child), child);
    llvm::SmallVector<double> values;
    llvm::BitVector active;
    space.decode(child, values, active);
    Genes levels = levelsOf(space, child);
    bool sandwich = child[0] != 0;
    EXPECT_EQ(space.satisfied(values), sandwich || llvm::is_sorted(levels) ||
                                           std::is_sorted(levels.rbegin(), levels.rend()));
    a = child;
  }
}

} // namespace
