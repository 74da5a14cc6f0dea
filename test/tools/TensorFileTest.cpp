// .npy and TensorProto files: what is written is read again, and damaged files are refused.
#include "attune/support/WriteFile.h"
#include "attune/tools/attune/TensorFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

#include <onnx/onnx_pb.h>
#include <unistd.h>

using namespace attune;
using namespace attune::tools;

namespace {

const attune_dtype kTypes[] = {
    ATTUNE_F32,    ATTUNE_F64,        ATTUNE_F16,       ATTUNE_BF16,     ATTUNE_I8,
    ATTUNE_I16,    ATTUNE_I32,        ATTUNE_I64,       ATTUNE_U8,       ATTUNE_U16,
    ATTUNE_U32,    ATTUNE_U64,        ATTUNE_BOOL,      ATTUNE_I4,       ATTUNE_U4,
    ATTUNE_I2,     ATTUNE_U2,         ATTUNE_F4E2M1,    ATTUNE_F8E4M3FN, ATTUNE_F8E4M3FNUZ,
    ATTUNE_F8E5M2, ATTUNE_F8E5M2FNUZ, ATTUNE_F8E8M0FNU, ATTUNE_C64,      ATTUNE_C128};

/// All bits matter, but those of a last byte that is not full.
Tensor example(attune_dtype dtype, std::vector<int64_t> shape = {3, 5}) {
  Tensor tensor(dtype, std::move(shape));
  auto *data = static_cast<uint8_t *>(tensor.data());
  for (uint64_t i = 0; i < tensor.size(); ++i)
    data[i] = dtype == ATTUNE_BOOL ? i & 1 : uint8_t(i * 37 + 11);
  if (uint64_t bits = tensor.elements() * (dtype >> 8 & 0xff); bits % 8)
    data[tensor.size() - 1] &= (1 << bits % 8) - 1;
  return tensor;
}

void expectSame(const Tensor &found, const Tensor &expected) {
  EXPECT_EQ(found.dtype(), expected.dtype()) << dtypeName(expected.dtype());
  EXPECT_EQ(found.shape(), expected.shape());
  ASSERT_EQ(found.size(), expected.size());
  EXPECT_EQ(memcmp(found.data(), expected.data(), found.size()), 0) << dtypeName(expected.dtype());
}

std::string message(llvm::Error error) { return llvm::toString(std::move(error)); }

TEST(Npy, RoundTrip) {
  for (attune_dtype dtype : kTypes)
    for (std::vector<int64_t> shape : {std::vector<int64_t>{3, 5}, {}, {1}, {0, 4}, {7}}) {
      Tensor tensor = example(dtype, shape);
      llvm::Expected<std::string> file = encodeNpy(tensor);
      ASSERT_TRUE(bool(file));
      llvm::Expected<Tensor> found = decodeNpy(*file, dtype);
      ASSERT_TRUE(bool(found)) << message(found.takeError());
      expectSame(*found, tensor);
    }
}

TEST(Npy, TypesThatNumPyLacksAreTheirBitsUnlessAskedFor) {
  Tensor tensor = example(ATTUNE_BF16);
  llvm::Expected<Tensor> found = decodeNpy(*encodeNpy(tensor));
  ASSERT_TRUE(bool(found));
  EXPECT_EQ(found->dtype(), attune_dtype(ATTUNE_U16));
  EXPECT_EQ(memcmp(found->data(), tensor.data(), tensor.size()), 0);
  // A type that does not fit is left to the caller's check, never converted.
  llvm::Expected<Tensor> f32 = decodeNpy(*encodeNpy(example(ATTUNE_F32)), ATTUNE_F64);
  ASSERT_TRUE(bool(f32));
  EXPECT_EQ(f32->dtype(), attune_dtype(ATTUNE_F32));
}

TEST(Npy, SmallIntegersKeepTheirSign) {
  llvm::Expected<std::string> file = encodeNpy(Tensor::of<int8_t>({3}, {-8, 7, -1}));
  llvm::Expected<Tensor> found = decodeNpy(*file, ATTUNE_I4);
  ASSERT_TRUE(bool(found));
  EXPECT_EQ(static_cast<uint8_t *>(found->data())[0], 0x78);
  EXPECT_EQ(static_cast<uint8_t *>(found->data())[1], 0x0f);
  EXPECT_EQ(*encodeNpy(*found), *file);
  EXPECT_EQ(message(decodeNpy(*encodeNpy(Tensor::of<int8_t>({2}, {0, 8})), ATTUNE_I4).takeError()),
            "element 1 is 8, which is no i4");
}

TEST(Npy, HeaderIsNumPys) {
  std::string file = *encodeNpy(Tensor::of<float>({2}, {1, 2}));
  EXPECT_EQ(file.size(), 128u + 8) << "data at a multiple of 64";
  EXPECT_EQ(file.substr(10, 61), "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }    ");
  EXPECT_EQ(file[127], '\n');
}

TEST(Npy, Refusals) {
  std::string good = *encodeNpy(Tensor::of<float>({2}, {1, 2}));
  auto refuse = [&](llvm::StringRef from, llvm::StringRef to) {
    std::string bad = good;
    bad.replace(bad.find(from.str()), from.size(), to.str());
    llvm::Expected<Tensor> found = decodeNpy(bad);
    return found ? std::string() : message(found.takeError());
  };
  EXPECT_EQ(refuse("<f4", ">f4"), "unsupported: NumPy dtype `>f4`");
  EXPECT_EQ(refuse("(2,)", "(3,)"), "shape (3,) of `<f4` takes 12 bytes, the file has 8");
  EXPECT_EQ(refuse("'<f4'", "[...]"), "unsupported: a .npy header other than one plain array's");
  EXPECT_EQ(refuse("(2,)", "(-2)"), "unsupported: a .npy header other than one plain array's");
  EXPECT_EQ(
      refuse("False, 'shape': (2,), }  ", "True, 'shape': (1, 2), } "),
      "unsupported: Fortran order; numpy.ascontiguousarray gives the C order that is accepted");
  EXPECT_EQ(refuse("\x01", "\x07"), "unsupported: version 7 of the .npy format");
  EXPECT_NE(refuse("(2,), }       ", "(99999999999,)"), "");
  EXPECT_NE(refuse("(2,), }               ", "(4611686018427387904)"), "");
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(message(decodeNpy(good.substr(0, size)).takeError()), "") << size;
}

TEST(TensorProto, RoundTrip) {
  for (attune_dtype dtype : kTypes)
    for (std::vector<int64_t> shape : {std::vector<int64_t>{3, 5}, {}, {0, 4}}) {
      Tensor tensor = example(dtype, shape);
      llvm::Expected<std::string> file = encodeTensorProto("name", tensor);
      ASSERT_TRUE(bool(file)) << message(file.takeError());
      llvm::Expected<NamedTensor> found = decodeTensorProto(*file);
      ASSERT_TRUE(bool(found)) << message(found.takeError());
      EXPECT_EQ(found->name, "name");
      expectSame(found->tensor, tensor);
    }
}

onnx::TensorProto proto(int type, std::vector<int64_t> shape) {
  onnx::TensorProto proto;
  proto.set_data_type(type);
  for (int64_t extent : shape)
    proto.add_dims(extent);
  return proto;
}

TEST(TensorProto, TypedFields) {
  onnx::TensorProto floats = proto(onnx::TensorProto::FLOAT, {2});
  floats.add_float_data(1.5);
  floats.add_float_data(-2);
  expectSame(decodeTensorProto(floats.SerializeAsString())->tensor,
             Tensor::of<float>({2}, {1.5, -2}));

  onnx::TensorProto bytes = proto(onnx::TensorProto::INT8, {3});
  for (int value : {-128, 127, 0})
    bytes.add_int32_data(value);
  expectSame(decodeTensorProto(bytes.SerializeAsString())->tensor,
             Tensor::of<int8_t>({3}, {-128, 127, 0}));

  onnx::TensorProto longs = proto(onnx::TensorProto::INT64, {1});
  longs.add_int64_data(INT64_MIN);
  expectSame(decodeTensorProto(longs.SerializeAsString())->tensor,
             Tensor::of<int64_t>({1}, {INT64_MIN}));

  onnx::TensorProto half = proto(onnx::TensorProto::FLOAT16, {1});
  half.add_int32_data(0xfc00);
  llvm::Expected<NamedTensor> found = decodeTensorProto(half.SerializeAsString());
  ASSERT_TRUE(bool(found));
  EXPECT_EQ(*static_cast<uint16_t *>(found->tensor.data()), 0xfc00);

  onnx::TensorProto nibbles = proto(onnx::TensorProto::UINT4, {3});
  nibbles.add_int32_data(0x21);
  nibbles.add_int32_data(0x03);
  EXPECT_TRUE(bool(decodeTensorProto(nibbles.SerializeAsString())));
}

TEST(TensorProto, Refusals) {
  auto refuse = [](const onnx::TensorProto &proto) {
    return message(decodeTensorProto(proto.SerializeAsString()).takeError());
  };
  onnx::TensorProto bad = proto(onnx::TensorProto::STRING, {1});
  bad.add_string_data("x");
  EXPECT_EQ(refuse(bad), "unsupported: TensorProto of data_type 8");
  bad = proto(onnx::TensorProto::FLOAT, {-1});
  EXPECT_EQ(refuse(bad), "the shape has a negative extent or too many axes");
  bad = proto(onnx::TensorProto::FLOAT, {3});
  bad.set_raw_data("1234");
  EXPECT_EQ(refuse(bad), "its data does not match its shape and dtype, which need 12 bytes");
  bad = proto(onnx::TensorProto::FLOAT, {3});
  EXPECT_EQ(refuse(bad), "its data does not match its shape and dtype, which need 12 bytes");
  bad = proto(onnx::TensorProto::FLOAT, {int64_t(1) << 40});
  EXPECT_NE(refuse(bad), "");
  bad = proto(onnx::TensorProto::FLOAT, {int64_t(1) << 40, int64_t(1) << 40});
  EXPECT_NE(refuse(bad), "");
  bad = proto(onnx::TensorProto::INT8, {1});
  bad.add_int32_data(300);
  EXPECT_NE(refuse(bad), "");
  bad = proto(onnx::TensorProto::FLOAT, {1});
  bad.set_data_location(onnx::TensorProto::EXTERNAL);
  EXPECT_EQ(refuse(bad), "unsupported: data outside the TensorProto");
  EXPECT_EQ(message(decodeTensorProto("not protobuf").takeError()),
            "it is not a serialised TensorProto");
}

class Files : public testing::Test {
protected:
  llvm::SmallString<128> folder;
  void SetUp() override {
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("attune-tensors", folder));
  }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }
  std::string path(llvm::StringRef name) { return (folder + "/" + name).str(); }
  int count() {
    std::error_code code;
    int files = 0;
    for (llvm::sys::fs::directory_iterator it(folder, code), end; it != end; it.increment(code))
      ++files;
    return files;
  }
};

TEST_F(Files, WriteAndRead) {
  Tensor tensor = example(ATTUNE_BF16);
  EXPECT_FALSE(bool(writeFiles(
      {{path("a.npy"), *encodeNpy(tensor)}, {path("a.pb"), *encodeTensorProto("a", tensor)}})));
  EXPECT_EQ(count(), 2);
  expectSame(readTensorFile(path("a.npy"), ATTUNE_BF16)->tensor, tensor);
  expectSame(readTensorFile(path("a.pb"))->tensor, tensor);
}

TEST_F(Files, Refusals) {
  EXPECT_EQ(message(readTensorFile(path("x.txt")).takeError()),
            "`" + path("x.txt") + "` is neither a .npy nor a .pb file");
  EXPECT_EQ(message(readTensorFile(path("x.npy")).takeError()),
            "cannot read `" + path("x.npy") + "`: No such file or directory");
  ASSERT_FALSE(llvm::sys::fs::create_directory(path("y.pb")));
  EXPECT_EQ(message(readTensorFile(path("y.pb")).takeError()),
            "cannot read `" + path("y.pb") + "`: it is a folder");
}

} // namespace
