// Files that are not what they should be give an error before any code of theirs runs.
#include "Helpers.h"
#include <sys/stat.h>

using namespace attune;
using namespace attune::test;

namespace {

class Artifact : public testing::Test {
protected:
  ArtifactBuilder builder{kScale, {1, 2, 3}};

  /// The message with which opening fails; the folder's name is left out.
  std::string open(const std::string &path, attune_code code = ATTUNE_ERROR_ARTIFACT) {
    std::string message = failure([&] { Session session(path); }, code);
    if (size_t at = message.find(builder.folder + "/"); at != std::string::npos)
      message.erase(at, builder.folder.size() + 1);
    return message;
  }
  std::string open() { return open(builder.write()); }
};

TEST_F(Artifact, Intact) { EXPECT_EQ(open(), ""); }

TEST_F(Artifact, Missing) {
  EXPECT_EQ(open(builder.folder + "/none.so", ATTUNE_ERROR_SYSTEM),
            "cannot open `none.so`: No such file or directory");
}

TEST_F(Artifact, Folder) {
  EXPECT_NE(open(builder.folder).find("is not a regular file"), std::string::npos);
}

TEST_F(Artifact, Pipe) {
  std::string path = builder.folder + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(open(path), "`pipe` is not a regular file");
}

TEST_F(Artifact, Empty) {
  EXPECT_EQ(open(builder.write("")), "`model.so` is not an Attune artifact: it is too short");
}

TEST_F(Artifact, Text) {
  EXPECT_EQ(open(builder.write(std::string(1000, 'x'))),
            "`model.so` is not an Attune artifact: it is not an ELF file");
}

TEST_F(Artifact, AnotherSharedObject) {
  EXPECT_EQ(open("libattune_runtime.so", ATTUNE_ERROR_SYSTEM),
            "cannot open `libattune_runtime.so`: No such file or directory")
      << "paths are not searched";
  EXPECT_NE(open(ATTUNE_TEST_RUNTIME).find("it has no note named `Attune`"), std::string::npos);
}

TEST_F(Artifact, NotFilledNote) {
  EXPECT_EQ(open(builder.write(builder.code)),
            "`model.so` is not an Attune artifact: wrong magic number");
}

TEST_F(Artifact, OtherMachine) {
  std::string content = builder.content();
  content[18] = char(0xf3); // RISC-V
  content[19] = 0;
  EXPECT_NE(open(builder.write(content)).find("is for another kind of machine"), std::string::npos);
}

TEST_F(Artifact, OtherFormat) {
  builder.note.format = 2;
  EXPECT_EQ(open(), "`model.so` has artifact format 2, this runtime reads format 1; compile the "
                    "model again");
}

TEST_F(Artifact, OtherAbi) {
  builder.note.abi = 9;
  EXPECT_EQ(open(), "`model.so` has kernel ABI 9, this runtime has 2; compile the model again");
}

TEST_F(Artifact, MissingCpuFeature) {
  builder.note.cpuFeatures = uint64_t(1) << 63;
  EXPECT_EQ(open(), "`model.so` was compiled for a CPU with feature 63, which this machine lacks; "
                    "compile it with --cpu=host on this machine");
}

TEST_F(Artifact, WrongSize) {
  builder.note.fileSize += 1;
  EXPECT_NE(open().find("is damaged: it has"), std::string::npos);
}

TEST_F(Artifact, WrongHash) {
  builder.metadata[builder.metadata.find("by hand")] = 'B';
  EXPECT_EQ(open(), "`model.so`: the metadata is damaged (its hash differs from the one in the "
                    "note)");
}

TEST_F(Artifact, PartsOutsideTheFile) {
  artifact::Note good = builder.note;
  for (uint64_t wrong : {uint64_t(1) << 20, UINT64_MAX, uint64_t(INT64_MAX)}) {
    builder.note.metaOffset = wrong;
    EXPECT_NE(open().find("the metadata lies outside the file"), std::string::npos);
    builder.note = good;
    builder.note.weightsOffset = wrong & ~uint64_t(4095);
    EXPECT_NE(open().find("the weights lie outside the file"), std::string::npos);
    builder.note = good;
  }
  builder.note.weightsOffset -= 64;
  EXPECT_NE(open().find("no page boundary"), std::string::npos);
}

TEST_F(Artifact, TruncatedAnywhere) {
  std::string content = builder.content();
  for (size_t size = 0; size < content.size(); size += 1 + content.size() / 300)
    EXPECT_NE(open(builder.write(content.substr(0, size))), "") << size;
}

TEST_F(Artifact, MissingFunction) {
  builder.metadata.replace(builder.metadata.find("\"sumRows\""), 9, "\"sumCols\"");
  builder.layOut();
  EXPECT_EQ(open(), "`model.so` is damaged: it has no function `sumCols`");
}

// A note in the file's header region with random damage: error or not, but never a crash.
TEST_F(Artifact, DamagedHeaders) {
  std::string content = builder.content();
  uint32_t random = 12345;
  auto next = [&] { return random = random * 1664525 + 1013904223, random >> 8; };
  for (int i = 0; i < 500; ++i) {
    std::string damaged = content;
    // ELF header, program headers. Loading needs more than these, so it is not reached often.
    for (unsigned n = 1 + next() % 3; n; --n)
      damaged[next() % 64] = char(next());
    damaged[56] = char(next() % 32); // number of program headers
    damaged[20] = 9;                 // ELF version: the dynamic linker refuses what we let pass
    EXPECT_NE(open(builder.write(damaged)), "");
  }
}

} // namespace
