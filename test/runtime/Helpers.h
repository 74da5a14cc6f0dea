//===- Helpers.h - Shared by the tests of the runtime -----------------------------------------===//
#ifndef ATTUNE_TEST_RUNTIME_HELPERS_H
#define ATTUNE_TEST_RUNTIME_HELPERS_H

#include "ArtifactBuilder.h"
#include "Models.h"
#include "attune/runtime/attune.hpp"
#include <gtest/gtest.h>

namespace attune::test {

/// 0, 1, 2, ...
inline Tensor sequence(std::vector<int64_t> shape) {
  Tensor tensor(ATTUNE_F32, std::move(shape));
  for (uint64_t i = 0; i < tensor.elements(); ++i)
    tensor.data<float>()[i] = float(i);
  return tensor;
}

inline std::vector<float> floats(const Tensor &tensor) {
  return {tensor.data<float>(), tensor.data<float>() + tensor.elements()};
}

/// What kScale gives for sequence({batch, 3}).
inline void expectScaled(const std::vector<Tensor> &outputs, int64_t batch) {
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].shape(), std::vector<int64_t>{batch});
  EXPECT_EQ(outputs[1].shape(), (std::vector<int64_t>{batch, 3}));
  for (int64_t i = 0; i < batch; ++i) {
    float sum = 0;
    for (int64_t j = 0; j < 3; ++j) {
      float value = float(i * 3 + j) * float(j + 1) + 1;
      ASSERT_EQ(outputs[1].data<float>()[i * 3 + j], value);
      sum += value;
    }
    ASSERT_EQ(outputs[0].data<float>()[i], sum);
  }
}

/// The message with which `body` fails; empty if it does not.
template <class Body> std::string failure(Body body, attune_code code) {
  try {
    body();
  } catch (const Error &error) {
    EXPECT_EQ(error.code, code) << error.what();
    return error.what();
  }
  return "";
}

} // namespace attune::test
#endif
