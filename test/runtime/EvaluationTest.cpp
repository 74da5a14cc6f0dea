// Size arithmetic: exact, or an error where the result is used.
#include "attune/runtime/Evaluation.h"
#include "attune/runtime/Error.h"
#include <cmath>
#include <gtest/gtest.h>
#include <optional>

using namespace attune::rt;

namespace {

/// The result of one instruction on constants; none if using it is an error.
std::optional<int64_t> result(ScalarOp op, int64_t x, int64_t y = 0, int64_t z = 0) {
  Program program;
  program.scalars.resize(4);
  int64_t constants[] = {x, y, z};
  for (int i = 0; i < 3; ++i)
    program.scalars[i].a = constants[i];
  program.scalars[3] = {op, kStart, 0, 1, 2};
  Evaluation evaluation;
  evaluation.reset(4);
  uint32_t order[] = {0, 1, 2, 3};
  evaluation.evaluate(program, order, {});
  try {
    return evaluation[3];
  } catch (const Error &error) {
    EXPECT_EQ(error.code, ATTUNE_ERROR_ARGUMENT);
    return std::nullopt;
  }
}

TEST(Evaluation, Arithmetic) {
  EXPECT_EQ(result(ScalarOp::Add, 2, 3), 5);
  EXPECT_EQ(result(ScalarOp::Sub, 2, 3), -1);
  EXPECT_EQ(result(ScalarOp::Mul, -2, 3), -6);
  EXPECT_EQ(result(ScalarOp::Min, -2, 3), -2);
  EXPECT_EQ(result(ScalarOp::Max, -2, 3), 3);
  EXPECT_EQ(result(ScalarOp::Eq, 3, 3), 1);
  EXPECT_EQ(result(ScalarOp::Ne, 3, 3), 0);
  EXPECT_EQ(result(ScalarOp::Lt, 2, 3), 1);
  EXPECT_EQ(result(ScalarOp::Le, 4, 3), 0);
  EXPECT_EQ(result(ScalarOp::And, 4, 0), 0);
  EXPECT_EQ(result(ScalarOp::Or, 4, 0), 1);
  EXPECT_EQ(result(ScalarOp::Not, 4), 0);
  EXPECT_EQ(result(ScalarOp::Select, 0, 1, 2), 2);
  EXPECT_EQ(result(ScalarOp::Select, 5, 1, 2), 1);
}

TEST(Evaluation, DivisionRoundsAsItsNameSays) {
  for (int64_t x = -7; x <= 7; ++x)
    for (int64_t y : {-3, -2, -1, 1, 2, 3}) {
      int64_t down = int64_t(std::floor(double(x) / double(y)));
      EXPECT_EQ(result(ScalarOp::FloorDiv, x, y), down) << x << "/" << y;
      EXPECT_EQ(result(ScalarOp::CeilDiv, x, y), int64_t(std::ceil(double(x) / double(y))));
      EXPECT_EQ(result(ScalarOp::Mod, x, y), x - down * y);
    }
}

TEST(Evaluation, OverflowAndDivisionByZeroAreErrors) {
  EXPECT_EQ(result(ScalarOp::Add, INT64_MAX, 1), std::nullopt);
  EXPECT_EQ(result(ScalarOp::Sub, INT64_MIN, 1), std::nullopt);
  EXPECT_EQ(result(ScalarOp::Mul, INT64_MAX / 2, 3), std::nullopt);
  EXPECT_EQ(result(ScalarOp::FloorDiv, INT64_MIN, -1), std::nullopt);
  EXPECT_EQ(result(ScalarOp::CeilDiv, 1, 0), std::nullopt);
  EXPECT_EQ(result(ScalarOp::Mod, 1, 0), std::nullopt);
  EXPECT_EQ(result(ScalarOp::Mod, INT64_MIN, -1), 0);
}

TEST(Evaluation, ErrorsMatterOnlyWhereUsed) {
  Program program;
  program.scalars = {{ScalarOp::Const, kStart, 0},        {ScalarOp::Const, kStart, 7},
                     {ScalarOp::FloorDiv, kStart, 1, 0},  {ScalarOp::Eq, kStart, 0, 0},
                     {ScalarOp::Select, kStart, 3, 1, 2}, {ScalarOp::Add, kStart, 2, 1}};
  Evaluation evaluation;
  evaluation.reset(6);
  uint32_t order[] = {0, 1, 2, 3, 4, 5};
  evaluation.evaluate(program, order, {});
  EXPECT_EQ(evaluation[4], 7);
  EXPECT_THROW(evaluation[5], Error);
}

TEST(Evaluation, TensorSizes) {
  Program program;
  program.scalars = {{ScalarOp::Const, kStart, int64_t(1) << 40},
                     {ScalarOp::Const, kStart, 0},
                     {ScalarOp::Const, kStart, -1},
                     {ScalarOp::Const, kStart, 3}};
  Evaluation evaluation;
  evaluation.reset(4);
  uint32_t order[] = {0, 1, 2, 3};
  evaluation.evaluate(program, order, {});
  Value value;
  value.dtype = ATTUNE_F32;
  value.shape = {3, 3};
  EXPECT_EQ(evaluation.bytes(value), 36u);
  value.shape = {0, 0, 1};
  EXPECT_EQ(evaluation.bytes(value), 0u) << "an empty tensor, however large the other extents";
  value.shape = {0, 0};
  EXPECT_THROW(evaluation.bytes(value), Error);
  value.shape = {2};
  EXPECT_THROW(evaluation.bytes(value), Error);
  value.shape = {3, 3};
  value.dtype = ATTUNE_I4;
  EXPECT_EQ(evaluation.bytes(value), 5u);
}

} // namespace
