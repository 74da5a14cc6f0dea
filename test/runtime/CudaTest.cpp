// Programs whose kernels are PTX: through the public interface, on the driver that
// ATTUNE_CUDA_DRIVER names.
#include "Helpers.h"
#include <cstdlib>
#include <thread>

using namespace attune;
using namespace attune::test;

namespace {

/// A model's metadata for the target cuda.
std::string onCuda(const char *metadata) {
  std::string text = metadata;
  return text.insert(text.find('{') + 1, R"("target": "cuda", )");
}

TEST(Cuda, RunsAtEverySize) {
  ArtifactBuilder builder(onCuda(kScale), {1, 2, 3});
  Session session(builder.write());
  EXPECT_STREQ(session.signature().target, "cuda");
  for (int64_t batch : {1, 7, 64, 7, 0, 1000, 1})
    expectScaled(session.run({sequence({batch, 3})}), batch);
}

TEST(Cuda, ThreadsShareASession) {
  ArtifactBuilder builder(onCuda(kScale), {1, 2, 3});
  Session session(builder.write());
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int64_t batch = 1; batch < 20; ++batch)
        expectScaled(session.run({sequence({batch + t, 3})}), batch + t);
    });
  for (std::thread &thread : threads)
    thread.join();
}

TEST(Cuda, NamesTheKernelThatIsMissing) {
  std::string metadata = onCuda(kScale);
  metadata.replace(metadata.find(R"("symbol": "sumRows")"), 19, R"("symbol": "product")");
  ArtifactBuilder builder(metadata, {1, 2, 3});
  Session session(builder.write());
  std::string message = failure([&] { session.run({sequence({2, 3})}); }, ATTUNE_ERROR_SYSTEM);
  EXPECT_NE(message.find("`/sum` (kernel `sum`): CUDA: finding kernel `no_such_kernel`"),
            message.npos)
      << message;
}

// Last: on a device the context is lost then.
TEST(CudaFaults, SayWhatTheDriverSays) {
  std::string metadata = onCuda(kScale);
  metadata.replace(metadata.find(R"("symbol": "sumRows")"), 19, R"("symbol": "gather" )");
  ArtifactBuilder builder(metadata, {1, 2, 3});
  Session session(builder.write());
  std::string message = failure([&] { session.run({sequence({2, 3})}); }, ATTUNE_ERROR_KERNEL);
  EXPECT_NE(message.find("CUDA_ERROR_ILLEGAL_ADDRESS"), message.npos) << message;
}

} // namespace
