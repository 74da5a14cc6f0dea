// One small file per message: where, what was found, what is accepted.
#include "attune/search/Space.h"

#include <gtest/gtest.h>

using namespace attune::search;

namespace {

struct Case {
  const char *key; ///< part of the file that is replaced
  const char *with;
  const char *error;
};

constexpr const char *kValid = R"(attune-space: 1
vars:
  - {name: n, kind: int, values: [1, 2]}
  - {name: a, kind: cat, values: [x, y], repeat: n, when: "n > 1"}
  - {name: p, kind: path, axes: {l: [0, 3]}, length: 4, moves: [[0], [1]]}
costs: [{name: c, expr: "n + 1"}]
constraints:
  - {cost: c, le: 3}
objectives:
  - {metric: acc, goal: max}
budget: {evals: 10}
)";

const Case kCases[] = {
    {"attune-space: 1", "attune-space: 2",
     "space.yaml:1:15: `attune-space`, the version of the format, is a whole number from 1 to 1; "
     "found `2`"},
    {"attune-space: 1", "{}", "space.yaml:"},
    {"budget:", "bugdet:",
     "space.yaml:11:1: a space has no key `bugdet`; accepted: attune-space, template"},
    {"kind: int", "kind: integer",
     "space.yaml:3:21: no kind `integer`; accepted: cat, int, bool, float, path, perm"},
    {"kind: int", "knd: int",
     "space.yaml:3:15: a variable has no key `knd`; accepted: name, kind, values"},
    {"[1, 2]", "[]",
     "space.yaml:3:35: `values` is a list with at least one entry; found an empty list"},
    {"[1, 2]", "[1, 1]", "space.yaml:3:38: the value `1` is listed twice"},
    {"[1, 2]", "[1, 2.5]", "space.yaml:3:38: `n` takes whole numbers; found `2.5`"},
    {"[1, 2]", "[1, two]", "space.yaml:3:38: a value of `n` is a number; found `two`"},
    {"[1, 2]", "[-1, 2]", "space.yaml:4:50: `n` counts elements and can be negative"},
    {"[1, 2]", "[1, 99999]", "space.yaml:4:50: `n` allows 99999 elements; accepted: 1 to 1024"},
    {", values: [1, 2]", "", "space.yaml:3:6: `n` needs either `values` or `range`"},
    {"values: [1, 2]", "range: [1]", "`range` is [first, last] or [first, last, step]"},
    {"values: [1, 2]", "range: [2, 1]", "`range` goes upwards"},
    {"name: n", "name: 3n", "space.yaml:3:12: a name is letters, digits and `_`; found `3n`"},
    {"name: a", "name: n", "space.yaml:4:12: `n` is defined twice"},
    {"repeat: n", "repeat: m",
     "space.yaml:4:50: `repeat` names an int variable above that is not repeated; found `m`"},
    {"repeat: n", "repeat: 0",
     "space.yaml:4:50: `repeat` is a whole number from 1 to 1024; found `0`"},
    {"n > 1", "n >", "space.yaml:4:59: `when`: in \"n >\": ends too early"},
    {"n > 1", "later > 1", "`later` is no variable"},
    {"n > 1", "n", "space.yaml:4:59: `when` is one condition"},
    {"length: 4", "length: 1",
     "`length`, the number of points, is a whole number from 2 to 1024; found `1`"},
    {"[[0], [1]]", "[[0, 1]]",
     "`moves` is a list of points, each with one number for each of 1 axes"},
    {"[[0], [1]]", "[[2]]", "the path `p` has no way from start to end in 4 points"},
    {"[[0], [1]]", "[[1], [1]]", "a move is listed twice"},
    {"n + 1", "a == x", "space.yaml:6:25: a cost is one number"},
    {"le: 3", "le: much", "space.yaml:8:19: a limit is a number; found `much`"},
    {", le: 3", "", "a constraint on a cost has `le` (at most), `ge` (at least), or both"},
    {"cost: c, le: 3", "expr: \"a == x\"", "a constraint is one condition; any(...) and all(...)"},
    {"le: 3", "le: 3, confidence: 2", "`confidence` is a probability"},
    {"le: 3", "le: 3, target: cuda", "unsupported: target `cuda`; accepted: cpu"},
    {"goal: max", "goal: most", "an objective has `goal`: min or max"},
    {"metric: acc, ", "", "an objective has either `metric` (of the evaluator) or `cost`"},
    {"evals: 10", "evals: 0", "`evals` is a whole number from 1"},
    {"budget: {evals: 10}", "early_stop: {metric: loss, rungs: [1]}",
     "`metric` of `early_stop` is a metric among the objectives"},
    {"budget: {evals: 10}", "early_stop: {metric: acc, rungs: [2, 1]}", "`rungs` go upwards"},
    {"budget: {evals: 10}", "budget: {evals: 10", "space.yaml:"},
};

std::string error(llvm::StringRef text) {
  auto space = Space::parse(text, "space.yaml");
  return space ? "accepted" : llvm::toString(space.takeError());
}

TEST(SpaceErrors, FilesThatAreNoText) {
  EXPECT_EQ(error("attune-space: 1\n# caf\xE9\n"),
            "space.yaml: the file is not UTF-8 text (byte 22)");
}

TEST(SpaceErrors, TheFileItselfIsAccepted) { EXPECT_EQ(error(kValid), "accepted"); }

TEST(SpaceErrors, EveryMistakeHasItsMessage) {
  for (const Case &c : kCases) {
    std::string text = kValid;
    size_t at = text.find(c.key);
    ASSERT_NE(at, std::string::npos) << c.key;
    text.replace(at, std::string(c.key).size(), c.with);
    EXPECT_NE(error(text).find(c.error), std::string::npos)
        << c.with << "\n found: " << error(text) << "\nwanted: " << c.error;
    EXPECT_EQ(error(text).find("space.yaml:"), 0u);
  }
}

// Whatever bytes a file holds, reading ends with a space or a message.
TEST(SpaceErrors, DamagedFiles) {
  std::string valid = kValid;
  for (size_t at = 0; at < valid.size(); ++at)
    for (char c : {'\0', '[', '}', ':', '-', '"', '\n', '\xff', '&', '|', '%'}) {
      std::string text = valid;
      text[at] = c;
      error(text);
      error(text.substr(0, at));
    }
}

} // namespace
