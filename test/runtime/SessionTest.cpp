// What a loaded model does: sizes, results, threads, profile.
#include "Helpers.h"
#include <limits>
#include <sys/wait.h>
#include <thread>

using namespace attune;
using namespace attune::test;

namespace {

TEST(Session, RunsAtEverySize) {
  ArtifactBuilder builder(kScale, {1, 2, 3});
  Session session(builder.write());
  for (int64_t batch : {1, 7, 64, 7, 0, 1000, 1})
    expectScaled(session.run({sequence({batch, 3})}), batch);
}

TEST(Session, DescribesTheModel) {
  ArtifactBuilder builder(kScale, {1, 2, 3});
  Session session(builder.write(), {.threads = 3});
  const attune_signature &signature = session.signature();
  EXPECT_STREQ(signature.model, "scale");
  EXPECT_STREQ(signature.compiler, "by hand");
  EXPECT_EQ(signature.threads, 3u);
  EXPECT_EQ(signature.weights_bytes, 12u);
  EXPECT_EQ(signature.step_count, 3u);
  ASSERT_EQ(signature.input_count, 1u);
  const attune_port &input = *signature.inputs[0];
  EXPECT_STREQ(input.name, "x");
  EXPECT_EQ(input.kind, uint32_t(ATTUNE_TENSOR));
  EXPECT_EQ(input.dtype, attune_dtype(ATTUNE_F32));
  ASSERT_EQ(input.rank, 2);
  EXPECT_EQ(input.shape[0], -1);
  EXPECT_EQ(input.shape[1], 3);
  EXPECT_STREQ(input.symbols[0], "batch");
  EXPECT_EQ(input.symbols[1], nullptr);
  ASSERT_EQ(signature.output_count, 2u);
  EXPECT_STREQ(signature.outputs[1]->name, "scaled");
  ASSERT_EQ(signature.kernel_count, 2u);
  EXPECT_STREQ(signature.kernels[0]->backend, "mlir");
  ASSERT_EQ(signature.kernels[0]->node_count, 2u);
  EXPECT_STREQ(signature.kernels[0]->nodes[1], "/add");
  EXPECT_EQ(signature.alias_count, 0u);
}

TEST(Session, TakesInputsAndOutputsByName) {
  ArtifactBuilder builder(kGather);
  Session session(builder.write());
  auto outputs = session.run({{"same", Tensor::of<float>({2}, {0, 0})},
                              {"index", Tensor::of<int64_t>({2}, {3, 1})},
                              {"x", sequence({4})}});
  EXPECT_EQ(floats(outputs[0]), (std::vector<float>{3, 1}));

  ArtifactBuilder scale(kScale, {1, 2, 3});
  attune_session *c = nullptr;
  const attune_api *api = attune_get_api(ATTUNE_API_VERSION);
  ASSERT_EQ(api->session_open(scale.write().c_str(), nullptr, &c), nullptr);
  // One output of two.
  Tensor x = sequence({2, 3});
  attune_value in = x.value(), out{sizeof out, ATTUNE_NONE, {}, nullptr};
  const char *name = "scaled";
  attune_run_args args{sizeof args, 0, nullptr, &in, 1, &name, &out, 1, nullptr};
  ASSERT_EQ(api->session_run(c, &args), nullptr);
  EXPECT_EQ(static_cast<float *>(out.tensor.data)[5], 16);
  // A result of an earlier run is a place to write to.
  void *before = out.tensor.data;
  ASSERT_EQ(api->session_run(c, &args), nullptr);
  EXPECT_EQ(out.tensor.data, before);
  api->value_clear(&out);
  EXPECT_EQ(out.kind, uint32_t(ATTUNE_NONE));
  api->session_close(c);
}

TEST(Session, WritesIntoTheCallersTensors) {
  ArtifactBuilder builder(kScale, {1, 2, 3});
  Session session(builder.write());
  std::vector<Tensor> outputs{Tensor(ATTUNE_F32, {5}), Tensor(ATTUNE_F32, {5, 3})};
  session.runInto({sequence({5, 3})}, outputs);
  expectScaled(outputs, 5);
}

TEST(Session, SameBitsForAnyNumberOfThreads) {
  ArtifactBuilder builder(kScale, {0.1f, 0.7f, 1e-3f});
  std::string path = builder.write();
  std::vector<float> expected = floats(Session(path, {.threads = 1}).run({sequence({501, 3})})[1]);
  for (unsigned threads : {2, 3, 8}) {
    Session session(path, {.threads = threads});
    for (int i = 0; i < 20; ++i)
      ASSERT_EQ(floats(session.run({sequence({501, 3})})[1]), expected) << threads;
  }
}

TEST(Session, ServesSeveralThreadsAtOnce) {
  ArtifactBuilder builder(kScale, {1, 2, 3});
  Session session(builder.write(), {.threads = 2});
  std::vector<std::thread> threads;
  for (int64_t id = 0; id < 4; ++id)
    threads.emplace_back([&, id] {
      for (int64_t i = 0; i < 50; ++i)
        expectScaled(session.run({sequence({1 + (i * 7 + id) % 40, 3})}), 1 + (i * 7 + id) % 40);
    });
  for (std::thread &thread : threads)
    thread.join();
}

TEST(Session, UsesTheCallersExecutor) {
  ArtifactBuilder builder(kScale, {1, 2, 3});
  std::string path = builder.write();
  std::atomic<unsigned> jobs{0};
  Session parallel(path, {.executor =
                              [&](uint32_t count, const std::function<void(uint32_t)> &job) {
                                std::vector<std::thread> threads;
                                for (uint32_t i = 0; i < count; ++i)
                                  threads.emplace_back([&, i] { job(i), ++jobs; });
                                for (std::thread &thread : threads)
                                  thread.join();
                              },
                          .executorThreads = 3});
  EXPECT_EQ(parallel.signature().threads, 3u);
  expectScaled(parallel.run({sequence({100, 3})}), 100);
  EXPECT_EQ(jobs, 3u);

  // One after the other, in any order, is allowed; so much the more one that does nothing.
  Session serial(path, {.executor =
                            [](uint32_t count, const std::function<void(uint32_t)> &job) {
                              while (count--)
                                job(count);
                            },
                        .executorThreads = 8});
  expectScaled(serial.run({sequence({100, 3})}), 100);
  Session idle(path, {.executor = [](uint32_t, const auto &) {}, .executorThreads = 2});
  expectScaled(idle.run({sequence({100, 3})}), 100);
}

TEST(Session, SizesMayDependOnData) {
  ArtifactBuilder builder(kCompact);
  Session session(builder.write());
  auto positive = [&](std::vector<float> x) {
    return floats(
        session.run({Tensor::of<float>({int64_t(x.size())}, std::span<const float>(x))})[0]);
  };
  EXPECT_EQ(positive({1, -1, 2, 0, 3}), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(positive({-1, -1, -1, -1, 5}), std::vector<float>{5});
  EXPECT_EQ(positive({-1}), std::vector<float>{});
  EXPECT_EQ(positive({1, 2, 3, 4, 5, 6}), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(failure([&] { positive({1, 2, 3, 4, 5, 6, 7}); }, ATTUNE_ERROR_ARGUMENT),
            "more than 6 elements are positive");
  EXPECT_EQ(positive({1}), std::vector<float>{1}) << "after an error the session goes on";

  Tensor right(ATTUNE_F32, {2}), wrong(ATTUNE_F32, {3});
  session.runInto({Tensor::of<float>({3}, {4, -1, 5})}, {right});
  EXPECT_EQ(floats(right), (std::vector<float>{4, 5}));
  EXPECT_EQ(failure([&] { session.runInto({Tensor::of<float>({3}, {4, -1, 5})}, {wrong}); },
                    ATTUNE_ERROR_ARGUMENT),
            "output `y`: found shape [3], these inputs give [2]");
}

TEST(Session, ProfilesItsSteps) {
  ArtifactBuilder builder(kScale, {1, 2, 3});
  Session session(builder.write());
  attune_step steps[3];
  attune_profile profile{};
  profile.size = sizeof profile;
  profile.steps = steps;
  profile.step_size = sizeof steps[0];
  profile.step_capacity = 3;
  session.run({sequence({9, 3})}, &profile);
  ASSERT_EQ(profile.step_count, 3u);
  EXPECT_EQ(profile.arena_bytes, 128u) << "108 bytes, rounded up to 64";
  EXPECT_EQ(steps[0].flops, 27);
  EXPECT_EQ(steps[0].bytes, 108);
  EXPECT_EQ(steps[1].kernel, 1u);
  EXPECT_EQ(steps[2].kind, uint32_t(ATTUNE_STEP_COPY));
  for (int i = 0; i < 3; ++i)
    EXPECT_LE(steps[i].start_ns, steps[i].stop_ns);
  EXPECT_LE(steps[0].stop_ns, steps[1].start_ns);
  EXPECT_LE(steps[2].stop_ns, profile.total_ns);

  profile.step_capacity = 1;
  steps[1].kernel = 77;
  session.run({sequence({9, 3})}, &profile);
  EXPECT_EQ(profile.step_count, 3u) << "tells how much room is needed";
  EXPECT_EQ(steps[1].kernel, 77u) << "writes no further than the room given";
}

TEST(Session, FlushesDenormalsOnDemandOnly) {
  ArtifactBuilder builder(kProduct);
  std::string path = builder.write();
  Tensor x = Tensor::of<float>({2}, {1e-30f, 1e-12f});
  EXPECT_GT(Session(path).run({x})[0].data<float>()[0], 0);
  EXPECT_EQ(Session(path, {.flushDenormals = true}).run({x})[0].data<float>()[0], 0);
  volatile float small = 1e-30f;
  EXPECT_GT(small * 1e-12f, 0) << "the caller's environment is as before";
}

TEST(Session, WorksInAForkedChild) {
#if __has_feature(thread_sanitizer)
  GTEST_SKIP() << "ThreadSanitizer refuses threads after a fork";
#endif
  ArtifactBuilder builder(kScale, {1, 2, 3});
  Session session(builder.write(), {.threads = 2});
  expectScaled(session.run({sequence({100, 3})}), 100);
  std::atomic<bool> stop{false};
  std::thread other([&] { // forks meet a session that is at work
    while (!stop)
      session.run({sequence({40, 3})});
  });
  for (int i = 0; i < 5; ++i) {
    pid_t child = fork();
    if (child == 0) {
      alarm(20);
      for (int j = 0; j < 3; ++j)
        expectScaled(session.run({sequence({100, 3})}), 100);
      _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  stop = true;
  other.join();
}

TEST(Session, LoadsWhatReplacedAnOpenFile) {
  ArtifactBuilder builder(kScale, {1, 2, 3});
  std::string path = builder.write();
  Session first(path);
  // Another file under the same path: a session on it must not meet the code of the first.
  ArtifactBuilder other(kGather);
  std::filesystem::rename(other.write(), path);
  Session second(path);
  EXPECT_EQ(floats(second.run({sequence({4}), Tensor::of<int64_t>({1}, {2}), sequence({1})})[0]),
            std::vector<float>{2});
  expectScaled(first.run({sequence({2, 3})}), 2);
}

TEST(Session, GrowsACacheInPlace) {
  ArtifactBuilder builder(kAppend);
  Session session(builder.write());
  Tensor cache = sequence({2, 5, 2});
  for (int64_t past = 0; past < 5; ++past)
    session.runInto({cache.first(1, past), Tensor::of<float>({2, 1, 2}, {1, 2, 3, 4})},
                    {cache.first(1, past + 1)});
  for (int64_t i = 0; i < 20; ++i)
    EXPECT_EQ(cache.data<float>()[i], float(i / 10 * 2 + i % 2 + 1));
  EXPECT_EQ(failure([&] { cache.first(1, 6); }, ATTUNE_ERROR_ARGUMENT),
            "there is no such front of the tensor");
}

} // namespace
