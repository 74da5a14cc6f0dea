#include "attune/search/Expression.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace attune::search;

namespace {

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();
const std::vector<std::string> kKinds = {"softmax", "linear"};

// n = 3; xs = 1 5 absent; kind = softmax linear absent (words 10, 11)
const double kValues[] = {3, 1, 5, kAbsent, 10, 11, kAbsent};

std::optional<Reference> scope(llvm::StringRef name) {
  if (name == "n")
    return Reference{0, 0, false, nullptr, 0};
  if (name == "xs")
    return Reference{1, 3, false, nullptr, 0};
  if (name == "kind")
    return Reference{4, 3, false, &kKinds, 10};
  if (name == "two")
    return Reference{0, 2, false, nullptr, 0};
  if (name == "x")
    return Reference{1, 3, true, nullptr, 0};
  return std::nullopt;
}

double value(llvm::StringRef text, unsigned element = 0) {
  auto expression = Expression::parse(text, scope);
  if (!expression) {
    ADD_FAILURE() << llvm::toString(expression.takeError());
    return kAbsent;
  }
  return expression->evaluate(kValues, element);
}

std::string error(llvm::StringRef text) {
  auto expression = Expression::parse(text, scope);
  return expression ? "accepted" : llvm::toString(expression.takeError());
}

TEST(Expression, Values) {
  EXPECT_EQ(value("1 + 2 * 3 - -4 / 2"), 9);
  EXPECT_EQ(value("(1 + 2) * 3"), 9);
  EXPECT_EQ(value("1e-1 * 10"), 1);
  EXPECT_EQ(value("n >= 3 and not n > 3 or n == 7"), 1);
}

TEST(Expression, Arrays) {
  EXPECT_EQ(value("sum(xs)"), 6);
  EXPECT_EQ(value("max(xs, 7)"), 7);
  EXPECT_EQ(value("min(xs)"), 1);
  EXPECT_EQ(value("count(kind == softmax)"), 1);
  EXPECT_EQ(value("count(kind != softmax)"), 1);
  EXPECT_EQ(value("count(not (kind == softmax))"), 1);
  EXPECT_EQ(value("sum(xs * 2 + 1)"), 14);
  EXPECT_EQ(value("all(xs > 0)"), 1);
  EXPECT_EQ(value("any(xs > 5)"), 0);
  EXPECT_EQ(value("monotone(xs)"), 1);
  EXPECT_EQ(value("monotone(xs * (xs - 4))"), 1);
  EXPECT_EQ(value("distinct(kind)"), 2);
}

TEST(Expression, OneElementOfAnArray) {
  EXPECT_EQ(value("x + n", 0), 4);
  EXPECT_EQ(value("x + n", 1), 8);
  EXPECT_TRUE(std::isnan(value("x + n", 2)));
}

TEST(Expression, Errors) {
  EXPECT_EQ(error("kind == local"), "in \"kind == local\": `local` is neither a variable nor one "
                                    "of softmax, linear (at character 14)");
  EXPECT_EQ(error("n +"), "in \"n +\": ends too early (at character 4)");
  EXPECT_EQ(error("n < kind"),
            "in \"n < kind\": `<` takes a number, found a word (at character 9)");
  EXPECT_EQ(error("kind < softmax"),
            "in \"kind < softmax\": words have no order: `<` takes numbers (at character 15)");
  EXPECT_NE(error("system(n)").find("no function `system`; there are sum"), std::string::npos);
  EXPECT_NE(error("xs + two").find("arrays of 3 and 2"), std::string::npos);
  EXPECT_NE(error("n and n").find("takes a condition"), std::string::npos);
  EXPECT_NE(error("(n").find("missing `)`"), std::string::npos);
  EXPECT_NE(error("n $ 2").find("unexpected `$`"), std::string::npos);
  EXPECT_NE(error("'n").find("not closed"), std::string::npos);
  EXPECT_NE(error("softmax").find("`softmax` is no variable"), std::string::npos);
  EXPECT_NE(error(""), "accepted");
  EXPECT_NE(error(std::string(1000, '(')).find("nested too deep"), std::string::npos);
  EXPECT_NE(error(std::string(5000, '-')).find("at most 4096"), std::string::npos);
}

} // namespace
