// The C interface itself: versions, nulls, struct sizes, dtypes.
#include "Helpers.h"

using namespace attune;
using namespace attune::test;

extern "C" double attune_test_header(const char *path);

namespace {

const attune_api *api() { return attune_get_api(ATTUNE_API_VERSION); }

std::string message(attune_status *status) {
  std::string text = api()->status_message(status);
  api()->status_free(status);
  return text;
}

TEST(Api, ExampleOfTheHeader) {
  ArtifactBuilder builder(kScale, {1, 2, 3});
  EXPECT_EQ(attune_test_header(builder.write().c_str()), 1 + 4 + 9 + 3);
}

TEST(Api, Versions) {
  EXPECT_EQ(attune_get_api(0), nullptr);
  EXPECT_EQ(attune_get_api(ATTUNE_API_VERSION + 1), nullptr);
  ASSERT_NE(api(), nullptr);
  EXPECT_EQ(api()->size, sizeof(attune_api));
  EXPECT_STRNE(api()->version_text(), "");
}

TEST(Api, NullsAreRefused) {
  attune_session *session = nullptr;
  EXPECT_NE(message(api()->session_open(nullptr, nullptr, &session)), "");
  EXPECT_NE(message(api()->session_open("x", nullptr, nullptr)), "");
  EXPECT_NE(message(api()->session_run(nullptr, nullptr)), "");
  EXPECT_EQ(api()->status_code(nullptr), ATTUNE_OK);
  EXPECT_STREQ(api()->status_message(nullptr), "");
  api()->status_free(nullptr);
  api()->session_close(nullptr);
  api()->value_clear(nullptr);
}

TEST(Api, OptionsOfAnOlderCallerAreShorter) {
  ArtifactBuilder builder(kScale, {1, 2, 3});
  std::string path = builder.write();
  attune_session_options options{};
  options.size = offsetof(attune_session_options, flush_denormals);
  options.threads = 2;
  options.executor = reinterpret_cast<const attune_executor *>(1); // beyond the size: not read
  attune_session *session = nullptr;
  ASSERT_EQ(message(api()->session_open(path.c_str(), &options, &session)), "");
  EXPECT_EQ(api()->session_signature(session)->threads, 2u);
  api()->session_close(session);

  options.size = 0;
  EXPECT_EQ(message(api()->session_open(path.c_str(), &options, &session)),
            "attune_session_options.size is 0, it must be sizeof(attune_session_options)");
  options.size = sizeof options;
  options.executor = nullptr;
  options.threads = 100000;
  EXPECT_EQ(message(api()->session_open(path.c_str(), &options, &session)),
            "found 100000 threads, accepted are at most 1024");
}

TEST(Api, DTypes) {
  // DLPack's code, bits and lanes are the bytes of a dtype.
  attune_dtype f32 = ATTUNE_F32;
  EXPECT_EQ(memcmp(&f32, "\x02\x20\x01\x00", 4), 0);
  for (const char *name :
       {"bf16", "bool",     "c128",       "c64",    "f16",        "f32",       "f4e2m1",
        "f64",  "f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz", "f8e8m0fnu", "i16",
        "i2",   "i32",      "i4",         "i64",    "i8",         "string",    "u16",
        "u2",   "u32",      "u4",         "u64",    "u8"}) {
    attune_dtype dtype = api()->dtype_parse(name);
    EXPECT_NE(dtype, 0u) << name;
    EXPECT_STREQ(api()->dtype_name(dtype), name);
  }
  EXPECT_EQ(api()->dtype_parse("f31"), 0u);
  EXPECT_EQ(api()->dtype_name(7), nullptr);
  EXPECT_EQ(api()->dtype_bytes(ATTUNE_I4, 3), 2u);
  EXPECT_EQ(api()->dtype_bytes(ATTUNE_C128, 3), 48u);
  EXPECT_EQ(api()->dtype_bytes(ATTUNE_F32, UINT64_MAX / 8), UINT64_MAX);
}

TEST(Api, WrapperRefusesAnotherElementType) {
  Tensor tensor = sequence({2});
  EXPECT_EQ(failure([&] { tensor.data<int64_t>(); }, ATTUNE_ERROR_ARGUMENT),
            "the tensor's elements are f32");
}

TEST(Api, WrapperRefusesImpossibleShapes) {
  EXPECT_NE(failure([] { Tensor(ATTUNE_F32, {-1}); }, ATTUNE_ERROR_ARGUMENT), "");
  int64_t large = int64_t(1) << 40;
  EXPECT_NE(failure([&] { Tensor(ATTUNE_F32, {large, large}); }, ATTUNE_ERROR_ARGUMENT), "");
}

} // namespace
