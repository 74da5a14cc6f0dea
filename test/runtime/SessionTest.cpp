#include "ArtifactBuilder.h"
#include "Models.h"
#include "attune/runtime/attune.hpp"
#include <gtest/gtest.h>
#include <thread>

using namespace attune;
using namespace attune::test;

namespace {

Tensor sequence(std::vector<int64_t> shape) {
  Tensor tensor(ATTUNE_F32, std::move(shape));
  for (uint64_t i = 0; i < tensor.elements(); ++i)
    tensor.data<float>()[i] = float(i);
  return tensor;
}

void expectScaled(const std::vector<Tensor> &outputs, int64_t batch) {
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].shape(), std::vector<int64_t>{batch});
  EXPECT_EQ(outputs[1].shape(), (std::vector<int64_t>{batch, 3}));
  for (int64_t i = 0; i < batch; ++i) {
    float sum = 0;
    for (int64_t j = 0; j < 3; ++j) {
      float value = float(i * 3 + j) * float(j + 1) + 1;
      EXPECT_EQ(outputs[1].data<float>()[i * 3 + j], value);
      sum += value;
    }
    EXPECT_EQ(outputs[0].data<float>()[i], sum);
  }
}

TEST(Session, RunsAtEverySize) {
  ArtifactBuilder builder(kScale, {1, 2, 3});
  Session session(builder.write());
  for (int64_t batch : {1, 7, 64, 7, 0, 1000, 1})
    expectScaled(session.run({sequence({batch, 3})}), batch);
}

} // namespace
