// Small files made by hand in the published formats.
#include "attune/search/NasBench.h"
#include "Tables.h"
#include "attune/search/TfRecord.h"

#include "llvm/Support/Base64.h"

#include <cstring>
#include <fstream>

using namespace attune::search;

namespace {

template <typename T> std::string little(T value) {
  std::string bytes(sizeof value, 0);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string frame(const std::string &payload) {
  std::string length = little(uint64_t(payload.size()));
  return length + little(maskedCrc32c(length)) + payload + little(maskedCrc32c(payload));
}

std::string number(unsigned field, double value) {
  return std::string(1, field << 3 | 1) + little(value);
}
std::string bytes(unsigned field, const std::string &text) {
  return std::string(1, field << 3 | 2) + std::string(1, text.size()) + text;
}

std::string record(const char *adjacency, const char *ops, double accuracy, unsigned epochs = 108) {
  std::string metrics;
  for (double part : {0.0, 0.5, 1.0})
    metrics += bytes(1, number(1, part * 108) + number(2, part * 1000) + number(3, part) +
                            number(4, part * accuracy) + number(5, part * (accuracy - 0.01)) +
                            bytes(6, "/ckpt"));
  metrics += std::string("\x10\xc0\x84\x3d", 4); // field 2, varint 1,000,000
  return frame("[\"hash\", " + std::to_string(epochs) + ", \"" + adjacency + "\", \"" + ops +
               "\", \"" + llvm::encodeBase64(metrics) + "\"]");
}

constexpr const char *kChain = "0100001000010000";
constexpr const char *kChainOps = "input,conv3x3-bn-relu,maxpool3x3,output";

struct NasBenchTest : testing::Test {
  TemporaryFolder folder;
  std::string file = folder.in("n.tfrecord");
  std::string error(const std::string &content) {
    std::ofstream(file, std::ios::binary) << content;
    auto bench = NasBench101::read(file);
    std::string message = bench ? "accepted" : llvm::toString(bench.takeError());
    return message.substr(message.find(file) == 0 ? file.size() : 0);
  }
};

TEST(TfRecord, CrcOfThePublishedExample) {
  // CRC-32C of "123456789" is e3069283.
  uint32_t crc = 0xe3069283;
  EXPECT_EQ(maskedCrc32c("123456789"), ((crc >> 15) | (crc << 17)) + 0xa282ead8);
}

TEST_F(NasBenchTest, Reads101) {
  std::ofstream(file, std::ios::binary)
      << record(kChain, kChainOps, 0.9) << record(kChain, kChainOps, 0.92)
      << record(kChain, kChainOps, 0.5, 4) << record("0100000100000000", kChainOps, 0.7);
  auto bench = NasBench101::read(file);
  ASSERT_TRUE(bool(bench)) << llvm::toString(bench.takeError());
  EXPECT_EQ(bench->cells.size(), 2u);

  // The same chain among seven vertices, of which three hang loose.
  Space space = makeSpace(nasBench101Space());
  EXPECT_EQ(space.geneCount(), 26u);
  Genes genes(26, 0);
  genes[1] = 1;  // 0 -> 2
  genes[12] = 1; // 2 -> 4
  genes[19] = 1; // 4 -> 6
  genes[21 + 1] = 1;
  genes[21 + 3] = 2;
  genes[6] = 1; // 1 -> 2: vertex 1 has no input
  NasBench101Evaluator evaluator(*bench);
  llvm::cantFail(evaluator.start({.id = 7, .genes = genes}));
  Outcome outcome = llvm::cantFail(evaluator.wait())[0];
  EXPECT_EQ(outcome.status, Status::Ok) << outcome.reason;
  EXPECT_NEAR(outcome.metrics["val_acc"], 0.91, 1e-12);
  EXPECT_NEAR(outcome.metrics["test_acc"], 0.90, 1e-12);
  EXPECT_EQ(outcome.seconds, 1000);
  EXPECT_EQ(llvm::cantFail(NasBench101Cost(*bench).estimate(genes)).values[0], 1000000);
}

TEST_F(NasBenchTest, HashOfIsomorphicCells) {
  CellGraph a{{"input", "x", "y", "output"}, {0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}};
  CellGraph b{{"input", "y", "x", "output"}, {0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}};
  CellGraph c{{"input", "x", "y", "output"}, {0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0}};
  EXPECT_EQ(graphHash(a), graphHash(b));
  EXPECT_NE(graphHash(a), graphHash(c));
  CellGraph loose{{"input", "x", "output"}, {0, 1, 0, 0, 0, 0, 0, 0, 0}};
  EXPECT_FALSE(pruned(loose));
}

TEST_F(NasBenchTest, DamagedFiles) {
  std::string good = record(kChain, kChainOps, 0.9);
  EXPECT_EQ(error(good), "accepted");
  EXPECT_EQ(error(good.substr(0, 5)), ": the record at byte 0 is cut off");
  EXPECT_EQ(error(good + good.substr(0, good.size() - 1)),
            ": the record at byte " + std::to_string(good.size()) + " is cut off");
  std::string changed = good;
  changed[20] ^= 1;
  EXPECT_EQ(error(changed), ": the record at byte 0 is damaged");
  EXPECT_NE(error("{\"json\": 1234567890}").find("no TFRecord file"), std::string::npos);
  EXPECT_NE(error(frame("[1, 2]")).find("is no list of hash"), std::string::npos);
  EXPECT_NE(
      error(frame("[\"h\", 108, \"01\", \"input,output\", \"\"]")).find("2 digits of adjacency"),
      std::string::npos);
  EXPECT_NE(
      error(frame("[\"h\", 108, \"0010\", \"input,output\", \"\"]")).find("do not go forward"),
      std::string::npos);
  EXPECT_NE(
      error(frame("[\"h\", 108, \"0100\", \"input,output\", \"CP8=\"]")).find("cannot be read"),
      std::string::npos);
  EXPECT_EQ(error(record(kChain, kChainOps, 0.9, 4)), ": holds no runs of 108 epochs");
  // Whatever byte is damaged, reading ends with a message.
  for (size_t at = 0; at < good.size(); ++at) {
    std::string other = good;
    other[at] ^= 0x55;
    EXPECT_NE(error(other), "accepted");
  }
}

TEST_F(NasBenchTest, Strings201) {
  std::string text =
      "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|";
  auto genes = nasBench201Genes(text);
  ASSERT_TRUE(bool(genes));
  EXPECT_EQ(*genes, (Genes{3, 0, 1, 4, 2, 0}));
  EXPECT_EQ(nasBench201String(*genes), text);
  Space space = makeSpace(nasBench201Space());
  EXPECT_EQ(space.size(), 15625);
  for (uint64_t index = 0; index < 15625; index += 97)
    EXPECT_EQ(llvm::cantFail(nasBench201Genes(nasBench201String(space.fromIndex(index)))),
              space.fromIndex(index));
  for (const char *bad : {"", "|none~0|", "|none~0|+|none~0|none~1|+|none~0|none~1|none~1|",
                          "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|",
                          "none~0+|none~0|none~1|+|none~0|none~1|none~2|",
                          "|none~0|none~1|+|none~0|none~1|+|none~0|none~1|none~2|"}) {
    auto refused = nasBench201Genes(bad);
    EXPECT_FALSE(bool(refused)) << bad;
    llvm::consumeError(refused.takeError());
  }
}

TEST_F(NasBenchTest, Table201) {
  Space space = makeSpace(nasBench201Space());
  std::string arch = "|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|";
  std::ofstream(file) << "{\"arch\": \"" << arch << "\", \"val_acc\": [0.1, 0.3], \"flops\": 7}\n";
  auto table = readNasBench201(file, space);
  ASSERT_TRUE(bool(table)) << llvm::toString(table.takeError());
  const TableRow *row = table->find({0, 0, 0, 0, 0, 3});
  ASSERT_TRUE(row);
  EXPECT_EQ(Table::mean(row->metrics[0]), 0.2);
  EXPECT_EQ(row->costs[0], 7);
  std::ofstream(file, std::ios::app) << "{\"arch\": \"x\"}\n";
  auto bad = readNasBench201(file, space);
  ASSERT_FALSE(bool(bad));
  EXPECT_NE(llvm::toString(bad.takeError()).find(":2: `x` is no architecture"), std::string::npos);
}

} // namespace
