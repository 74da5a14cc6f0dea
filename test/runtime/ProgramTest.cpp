// Metadata: every reference is checked, whatever the file says.
#include "attune/runtime/Program.h"
#include "Models.h"
#include "attune/runtime/Error.h"
#include <functional>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace attune::rt;
using namespace attune::test;
using nlohmann::json;

namespace {

std::string parse(const json &metadata) {
  try {
    Program::parse(metadata.dump(), 64);
  } catch (const Error &error) {
    EXPECT_EQ(error.code, ATTUNE_ERROR_ARTIFACT);
    return error.message;
  }
  return "";
}

/// kScale with one place replaced.
std::string parse(const char *pointer, json value, const char *model = kScale) {
  json metadata = json::parse(model);
  metadata[json::json_pointer(pointer)] = std::move(value);
  return parse(metadata);
}

TEST(Program, AcceptsTheModels) {
  for (const char *model : {kScale, kGather, kCompact, kAppend, kProduct})
    EXPECT_EQ(parse(json::parse(model)), "");
}

TEST(Program, RefusesWithThePlace) {
  EXPECT_EQ(parse("/format", 2), "damaged metadata: root.format: expected 1");
  EXPECT_EQ(parse("/scalars/2", {"mul", 0, 2}),
            "damaged metadata: root.scalars[2][2]: there is no earlier scalar 2 (there are 2)");
  EXPECT_EQ(parse("/scalars/2", {"pow", 0, 1}),
            "damaged metadata: root.scalars[2]: unknown instruction `pow`");
  EXPECT_EQ(parse("/scalars/2", {"mul", 0}),
            "damaged metadata: root.scalars[2]: `mul` takes 2 operands");
  EXPECT_EQ(parse("/scalars/1", {"dim", 1, 0}),
            "damaged metadata: root.scalars[1][1]: there is no input 1 (there are 1)");
  EXPECT_EQ(parse("/scalars/1", {"dim", 0, 2}),
            "damaged metadata: root.scalars[1][2]: there is no axis 2 (there are 2)");
  EXPECT_EQ(parse("/scalars/1", {"in_capacity", 0, 0}),
            "damaged metadata: root.scalars[1]: there is no alias of input 0");
  EXPECT_EQ(parse("/scalars/1", json::array({"loaded"})),
            "damaged metadata: root.scalars[1]: no step loads this scalar");
  EXPECT_EQ(parse("/values/1/offset", 60),
            "damaged metadata: root.values[1]: weight at 60 of 12 bytes is not aligned or not "
            "inside the 64 bytes of weights");
  EXPECT_EQ(parse("/values/1/bytes", 65),
            "damaged metadata: root.values[1]: weight at 0 of 65 bytes is not aligned or not "
            "inside the 64 bytes of weights");
  EXPECT_EQ(parse("/values/2/slot", 1),
            "damaged metadata: root.values[2].slot: there is no slot 1 (there are 1)");
  EXPECT_EQ(parse("/values/2/dtype", "f31"),
            "damaged metadata: root.values[2]: unknown dtype `f31`");
  EXPECT_EQ(parse("/values/2/kind", "stack"),
            "damaged metadata: root.values[2]: unknown kind `stack`");
  EXPECT_EQ(parse("/steps/0/kernel", 2),
            "damaged metadata: root.steps[0].kernel: there is no kernel 2 (there are 2)");
  EXPECT_EQ(parse("/steps/0/buffers/1", 5),
            "damaged metadata: root.steps[0].buffers[1]: there is no value 5 (there are 5)");
  EXPECT_EQ(parse("/steps/2/copy", {2, 0}),
            "damaged metadata: root.steps[2]: `copy` into an input or a weight");
  EXPECT_EQ(parse("/outputs/0/value", 4),
            "damaged metadata: root.outputs[0]: its value is of another kind, position, dtype or "
            "rank");
  EXPECT_EQ(parse("/outputs/1/name", "y"),
            "damaged metadata: root.outputs[1]: the name `y` occurs twice");
  EXPECT_EQ(parse("/inputs/0/shape/1", -3),
            "damaged metadata: root.inputs[0].shape[1]: expected a number >= 0, found -3");
  EXPECT_EQ(parse("/scalars/0/1", 1.5),
            "damaged metadata: root.scalars[0][1]: expected a 64-bit integer");
  EXPECT_EQ(parse("/scalars/0/1", UINT64_MAX),
            "damaged metadata: root.scalars[0][1]: expected a 64-bit integer");
  // What depends on a load is known after it only.
  EXPECT_EQ(parse("/slots/0/0", 4, kCompact),
            "damaged metadata: root.slots[0]: a size depends on a `load`");
  EXPECT_EQ(parse("/steps/0/dims/0", 2, kCompact),
            "damaged metadata: root.steps[0]: uses a size that is loaded later");
  EXPECT_EQ(parse("/steps/0/buffers/1", 3, kCompact),
            "damaged metadata: root.steps[0]: uses a size that is loaded later");
  EXPECT_EQ(parse("/aliases/0/axis", 3, kAppend),
            "damaged metadata: root.aliases[0].axis: there is no axis 3 (there are 3)");
}

TEST(Program, RefusesTextThatIsNotJson) {
  for (const char *text : {"", "{", "[1, 2", "\xff\xfe", "nul", "{\"format\": 1}{}"})
    EXPECT_THROW(Program::parse(text, 0), Error) << text;
  EXPECT_THROW(Program::parse(std::string(1000000, '['), 0), Error);
}

// Every place in turn is removed or replaced: an error or a program, never a crash.
TEST(Program, SurvivesAnyReplacement) {
  const json replacements[] = {nullptr,        -1,         0,   1,   1000000,
                               INT64_MIN,      UINT64_MAX, 0.5, "x", json::array(),
                               json::object(), {"loaded"}, true};
  size_t accepted = 0, refused = 0;
  for (const char *model : {kScale, kGather, kCompact, kAppend}) {
    json metadata = json::parse(model);
    auto attempt = [&] { parse(metadata).empty() ? ++accepted : ++refused; };
    std::function<void(json &)> visit = [&](json &place) {
      for (auto &entry : place) {
        json original = entry;
        for (const json &replacement : replacements) {
          entry = replacement;
          attempt();
        }
        entry = original;
        if (entry.is_structured())
          visit(entry);
      }
      if (!place.is_structured() || place.empty())
        return;
      json original = place;
      for (size_t i = 0; i < original.size(); ++i) {
        if (place.is_array())
          place.erase(i);
        else
          place.erase(std::next(original.begin(), long(i)).key());
        attempt();
        place = original;
      }
    };
    visit(metadata);
  }
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(accepted, 100u) << "names and numbers that nothing depends on";
}

} // namespace
