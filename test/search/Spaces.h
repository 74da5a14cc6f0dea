// Spaces that several tests use.
#ifndef ATTUNE_TEST_SEARCH_SPACES_H
#define ATTUNE_TEST_SEARCH_SPACES_H

#include "attune/search/Space.h"

#include <gtest/gtest.h>

namespace attune::search {

inline Space makeSpace(llvm::StringRef text) {
  auto space = Space::parse(text, "space.yaml");
  if (!space) {
    ADD_FAILURE() << llvm::toString(space.takeError());
    std::abort();
  }
  return std::move(*space);
}

/// Repeats, conditions, every kind but paths.
inline constexpr const char *kMixed = R"(
attune-space: 1
fixed: {d: 128}
vars:
  - {name: layers, kind: int, values: [1, 2, 3]}
  - {name: attn, kind: cat, values: [softmax, linear, local16], repeat: layers}
  - {name: heads, kind: int, values: [2, 4], repeat: layers, when: "attn != local16"}
  - {name: tie, kind: bool, when: "layers > 1"}
  - {name: keep, kind: float, range: [0.25, 1, 0.25]}
costs:
  - {name: params, expr: "sum(heads) * 10 + layers * 100"}
constraints:
  - {expr: "count(attn == softmax) <= 2"}
objectives:
  - {metric: acc, goal: max}
)";

} // namespace attune::search
#endif
