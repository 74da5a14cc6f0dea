// What a call accepts: one test per message, and everything that must pass.
#include "Helpers.h"

using namespace attune;
using namespace attune::test;

namespace {

class Binding : public testing::Test {
protected:
  ArtifactBuilder gather{kGather}, scale{kScale, {1, 2, 3}}, appendFile{kAppend};
  const attune_api *api = attune_get_api(ATTUNE_API_VERSION);
  int64_t index[2] = {3, 1};
  Tensor x = sequence({4}), same = sequence({2});
  Tensor indices = Tensor::view(ATTUNE_I64, {2}, index);
  std::vector<attune_value> in{x.value(), indices.value(), same.value()};
  std::vector<attune_value> out{{sizeof(attune_value), ATTUNE_NONE, {}, nullptr}};
  std::vector<const char *> inNames, outNames;

  /// Runs kGather on `in` and `out`; the message, empty if it succeeds.
  std::string run(attune_code expected = ATTUNE_ERROR_ARGUMENT) { return run(gather, expected); }
  std::string run(const ArtifactBuilder &model, attune_code expected, bool copyStrided = false) {
    attune_session_options options{sizeof options, 0, 0, copyStrided, nullptr, 0, 0};
    attune_session *session = nullptr;
    EXPECT_EQ(api->session_open(model.write().c_str(), &options, &session), nullptr);
    attune_run_args args{sizeof args, 0,          inNames.empty() ? nullptr : inNames.data(),
                         in.data(),   in.size(),  outNames.empty() ? nullptr : outNames.data(),
                         out.data(),  out.size(), nullptr};
    attune_status *status = api->session_run(session, &args);
    std::string message = api->status_message(status);
    if (status) {
      EXPECT_EQ(api->status_code(status), expected) << message;
    }
    api->status_free(status);
    api->session_close(session);
    return message;
  }
  void TearDown() override {
    for (attune_value &value : out)
      api->value_clear(&value);
  }
};

TEST_F(Binding, AcceptsWhatFits) {
  EXPECT_EQ(run(), "");
  EXPECT_EQ(static_cast<float *>(out[0].tensor.data)[0], 3);
}

TEST_F(Binding, Count) {
  in.pop_back();
  EXPECT_EQ(run(), "found 2 inputs, accepted are 3");
}

TEST_F(Binding, OutputCount) {
  out.clear();
  EXPECT_EQ(run(), "found 0 outputs, accepted are 1");
}

TEST_F(Binding, UnknownName) {
  inNames = {"x", "indices", "same"};
  EXPECT_EQ(run(), "there is no input `indices`, accepted are `x`, `index`, `same`");
}

TEST_F(Binding, NameTwice) {
  inNames = {"x", "x", "same"};
  EXPECT_EQ(run(), "input `x` is given twice");
}

TEST_F(Binding, MissingName) {
  in.pop_back();
  inNames = {"same", "x"};
  std::swap(in[0], in[1]);
  EXPECT_EQ(run(), "input `index` is missing");
}

TEST_F(Binding, UnknownOutput) {
  outNames = {"z"};
  EXPECT_EQ(run(), "there is no output `z`, accepted are `y`");
}

TEST_F(Binding, DType) {
  in[1].tensor.dtype = ATTUNE_I32;
  EXPECT_EQ(run(), "input `index`: found i32, accepted is i64");
  in[1].tensor.dtype = 12345;
  EXPECT_EQ(run(), "input `index`: found an unknown dtype, accepted is i64");
}

TEST_F(Binding, Rank) {
  in[0].tensor.ndim = 0;
  EXPECT_EQ(run(), "input `x`: found rank 0, accepted is rank 1");
  in[0].tensor.ndim = -1;
  EXPECT_EQ(run(), "input `x`: found rank -1, accepted is rank 1");
}

TEST_F(Binding, FixedExtent) {
  Tensor wrong = sequence({2, 4});
  in = {wrong.value()};
  out.resize(2, out[0]);
  EXPECT_EQ(run(scale, ATTUNE_ERROR_ARGUMENT), "input `x`: axis 1 has extent 4, accepted is 3");
}

TEST_F(Binding, NegativeExtent) {
  int64_t negative = -1;
  in[0].tensor.shape = &negative;
  EXPECT_EQ(run(), "input `x`: axis 0 has negative extent -1");
}

TEST_F(Binding, HugeExtent) {
  int64_t huge[2] = {int64_t(1) << 61, 3};
  Tensor any = sequence({1, 3});
  in = {any.value()};
  in[0].tensor.shape = huge;
  out.resize(2, out[0]);
  EXPECT_EQ(run(scale, ATTUNE_ERROR_ARGUMENT),
            "input `x`: too many elements: [2305843009213693952, 3]");
}

TEST_F(Binding, Symbol) {
  Tensor longer = sequence({3});
  in[2] = longer.value();
  EXPECT_EQ(run(), "input `same`: axis 0 (`n`) has extent 3, but input `index` has 2 on axis 0");
}

TEST_F(Binding, Check) {
  Tensor many(ATTUNE_I64, {101}), others = sequence({101});
  std::fill_n(many.data<int64_t>(), 101, 0);
  in[1] = many.value();
  in[2] = others.value();
  EXPECT_EQ(run(), "input `index`: at most 100 indices");
}

TEST_F(Binding, NullData) {
  in[0].tensor.data = nullptr;
  EXPECT_EQ(run(), "input `x`: the data is missing (null)");
}

TEST_F(Binding, NullShape) {
  in[0].tensor.shape = nullptr;
  EXPECT_EQ(run(), "input `x`: the shape is missing (null)");
}

TEST_F(Binding, Alignment) {
  in[0].tensor.byte_offset = 2;
  EXPECT_EQ(run(), "input `x`: the address is not a multiple of 4, the alignment of f32");
}

TEST_F(Binding, ByteOffsetAndAnyElementAddress) {
  in[0].tensor.byte_offset = 4;
  int64_t three = 3;
  in[0].tensor.shape = &three;
  index[0] = 0;
  EXPECT_EQ(run(), "");
  EXPECT_EQ(static_cast<float *>(out[0].tensor.data)[0], 1);
}

TEST_F(Binding, Device) {
  in[0].tensor.device.type = 2;
  EXPECT_EQ(run(ATTUNE_ERROR_UNSUPPORTED),
            "unsupported: input `x`: found device type 2, accepted is the CPU (1)");
}

TEST_F(Binding, Kind) {
  in[0].kind = ATTUNE_NONE;
  EXPECT_EQ(run(), "input `x`: found no value, accepted is a tensor");
  in[0].kind = ATTUNE_SEQUENCE;
  EXPECT_EQ(run(ATTUNE_ERROR_UNSUPPORTED),
            "unsupported: input `x`: found a sequence, accepted is a tensor");
  in[0].kind = ATTUNE_OPTIONAL;
  EXPECT_EQ(run(ATTUNE_ERROR_UNSUPPORTED),
            "unsupported: input `x`: found an optional, accepted is a tensor");
  in[0] = x.value();
  out[0].kind = ATTUNE_SEQUENCE;
  EXPECT_EQ(run(ATTUNE_ERROR_UNSUPPORTED),
            "unsupported: output `y`: found a sequence, accepted is a tensor");
  out[0].kind = ATTUNE_NONE;
}

TEST_F(Binding, StructSize) {
  in[0].size = 8;
  EXPECT_EQ(run(), "attune_value.size is 8, accepted is 80");
}

TEST_F(Binding, IndexOutOfRangeNamesTheNode) {
  index[1] = 4;
  EXPECT_EQ(run(ATTUNE_ERROR_KERNEL),
            "ONNX node `/embed/Gather` (kernel `gather`): an index is outside its axis");
  EXPECT_EQ(out[0].kind, uint32_t(ATTUNE_NONE)) << "a failed run gives no outputs";
}

TEST_F(Binding, OutputShape) {
  Tensor y(ATTUNE_F32, {3});
  out[0] = y.value();
  EXPECT_EQ(run(), "output `y`: found shape [3], these inputs give [2]");
}

TEST_F(Binding, OutputDType) {
  Tensor y(ATTUNE_F64, {2});
  out[0] = y.value();
  EXPECT_EQ(run(), "output `y`: found f64, accepted is f32");
}

// The kernel may still read the input when it writes the output: it is set aside first.
TEST_F(Binding, OutputInPlaceOfInput) {
  Tensor small = sequence({2});
  in = {small.value(), indices.value(), small.value()};
  index[0] = 1;
  index[1] = 0;
  out[0] = small.value();
  EXPECT_EQ(run(gather, ATTUNE_OK), "");
  EXPECT_EQ(small.data<float>()[0], 1);
  EXPECT_EQ(small.data<float>()[1], 0);
}

TEST_F(Binding, OutputOverPartOfInput) {
  std::string message =
      "output `y` shares memory with input `x`; accepted is the same address with "
      "the same shape, or with the same strides for an alias pair of the signature";
  int64_t two[1] = {2};
  for (int64_t first : {0, 1, 3}) {
    out[0] = Tensor::view(ATTUNE_F32, {2}, x.data<float>() + first).value();
    out[0].tensor.shape = two;
    EXPECT_EQ(run(), message) << first;
  }
}

TEST_F(Binding, OutputOverOutput) {
  Tensor rows = sequence({2, 3}), memory = sequence({6});
  in = {rows.value()};
  out = {Tensor::view(ATTUNE_F32, {2}, memory.data<float>() + 4).value(),
         Tensor::view(ATTUNE_F32, {2, 3}, memory.data()).value()};
  // The views above are gone: their shapes must be somewhere.
  int64_t two[1] = {2}, twoThree[2] = {2, 3};
  out[0].tensor.shape = two;
  out[1].tensor.shape = twoThree;
  EXPECT_EQ(run(scale, ATTUNE_ERROR_ARGUMENT), "output `y` shares memory with output `scaled`");
}

TEST_F(Binding, StridedInputsAreRefusedOrCopied) {
  // Columns 0..2 of a matrix with 5 columns.
  Tensor wide = sequence({4, 5});
  in = {wide.value()};
  int64_t shape[2] = {4, 3}, strides[2] = {5, 1};
  in[0].tensor.shape = shape;
  in[0].tensor.strides = strides;
  out.resize(2, out[0]);
  EXPECT_EQ(run(scale, ATTUNE_ERROR_ARGUMENT),
            "input `x`: strides [5, 1] of shape [4, 3] are not dense row-major (the session option "
            "`copy_strided` accepts them)");
  EXPECT_EQ(run(scale, ATTUNE_OK, true), "");
  EXPECT_EQ(static_cast<float *>(out[1].tensor.data)[3 * 3 + 1], 16.f * 2 + 1);
  // Backwards: negative strides.
  int64_t backwards[2] = {-5, 1};
  in[0].tensor.strides = backwards;
  in[0].tensor.byte_offset = 15 * sizeof(float);
  EXPECT_EQ(run(scale, ATTUNE_OK, true), "");
  EXPECT_EQ(static_cast<float *>(out[1].tensor.data)[3 * 3 + 1], 1.f * 2 + 1);
}

TEST_F(Binding, StridesOfSingleElementsDoNotMatter) {
  Tensor one = sequence({1, 3});
  in = {one.value()};
  int64_t strides[2] = {-77, 1};
  in[0].tensor.strides = strides;
  out.resize(2, out[0]);
  EXPECT_EQ(run(scale, ATTUNE_OK), "");
}

// kAppend: past [heads, past, 2] grows by add [heads, more, 2].
class Append : public Binding {
protected:
  std::vector<float> buffer = std::vector<float>(2 * 5 * 2);
  Tensor add = Tensor::of<float>({2, 1, 2}, {100, 101, 102, 103});
  int64_t pastShape[3] = {2, 3, 2}, presentShape[3] = {2, 4, 2}, strides[3] = {10, 2, 1};

  void SetUp() override {
    for (size_t i = 0; i < buffer.size(); ++i)
      buffer[i] = float(i);
    attune_value past = add.value();
    past.tensor.data = buffer.data();
    past.tensor.shape = pastShape;
    past.tensor.strides = strides;
    in = {past, add.value()};
    out = {past};
    out[0].tensor.shape = presentShape;
  }
};

TEST_F(Append, InPlace) {
  EXPECT_EQ(run(appendFile, ATTUNE_OK), "");
  EXPECT_EQ(buffer, (std::vector<float>{0,  1,  2,  3,  4,  5,  100, 101, 8,  9,
                                        10, 11, 12, 13, 14, 15, 102, 103, 18, 19}));
}

TEST_F(Append, IntoSeparateMemory) {
  out[0] = {sizeof(attune_value), ATTUNE_NONE, {}, nullptr};
  EXPECT_EQ(run(appendFile, ATTUNE_OK), "");
  auto *data = static_cast<float *>(out[0].tensor.data);
  EXPECT_EQ(std::vector<float>(data, data + 16),
            (std::vector<float>{0, 1, 2, 3, 4, 5, 100, 101, 10, 11, 12, 13, 14, 15, 102, 103}));
}

TEST_F(Append, OtherStridesAreRefused) {
  int64_t tight[3] = {8, 2, 1};
  out[0].tensor.strides = tight;
  EXPECT_NE(run(appendFile, ATTUNE_ERROR_ARGUMENT).find("output `present` shares memory"),
            std::string::npos);
}

TEST_F(Append, ShiftedMemoryIsRefused) {
  out[0].tensor.byte_offset = 4;
  EXPECT_NE(run(appendFile, ATTUNE_ERROR_ARGUMENT).find("output `present` shares memory"),
            std::string::npos);
}

TEST_F(Append, CapacityIsTooSmall) {
  int64_t dense[3] = {6, 2, 1};
  in[0].tensor.strides = out[0].tensor.strides = dense;
  EXPECT_EQ(run(appendFile, ATTUNE_ERROR_ARGUMENT),
            "output `present`: strides [6, 2, 1] of shape [2, 4, 2] are not dense row-major");
}

} // namespace
