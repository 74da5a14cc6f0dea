// Files appear complete or not at all, and what is no file is never replaced.
#include "attune/support/WriteFile.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

#include <sys/stat.h>
#include <unistd.h>

namespace attune {
namespace {

namespace fs = llvm::sys::fs;

class WriteFile : public testing::Test {
protected:
  llvm::SmallString<128> folder;
  void SetUp() override { ASSERT_FALSE(fs::createUniqueDirectory("attune-write", folder)); }
  void TearDown() override { fs::remove_directories(folder); }
  std::string path(llvm::StringRef name) { return (folder + "/" + name).str(); }
  int count() {
    std::error_code code;
    int files = 0;
    for (fs::directory_iterator it(folder, code), end; it != end; it.increment(code))
      ++files;
    return files;
  }
};

std::string write(const std::string &path, llvm::StringRef text, unsigned mode = 0666) {
  auto print = [&](llvm::raw_ostream &os) { os << text; };
  return llvm::toString(writeFile(path, print, mode));
}

std::string read(const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  return buffer ? (*buffer)->getBuffer().str() : "cannot be read";
}

std::string message(llvm::Error error) { return llvm::toString(std::move(error)); }

TEST_F(WriteFile, Replaces) {
  EXPECT_EQ(write(path("a"), "first, longer"), "");
  EXPECT_EQ(write(path("a"), "second", 0755), "");
  EXPECT_EQ(read(path("a")), "second");
  EXPECT_EQ(count(), 1);
  EXPECT_TRUE(fs::can_execute(path("a")));
  EXPECT_EQ(write(path("none/a"), "x"),
            "cannot write `" + path("none/a") + "`: No such file or directory");
}

TEST_F(WriteFile, FollowsLinks) {
  ASSERT_EQ(write(path("a"), "first"), "");
  ASSERT_FALSE(fs::create_link(path("a"), path("link")));
  EXPECT_EQ(write(path("link"), "second"), "");
  EXPECT_EQ(read(path("a")), "second");
  EXPECT_TRUE(fs::is_symlink_file(path("link")));
}

TEST_F(WriteFile, FullDisk) {
  if (::access("/dev/full", W_OK) != 0)
    GTEST_SKIP();
  EXPECT_EQ(write("/dev/full", "x"), "cannot write `/dev/full`: No space left on device");
  // A rename would have put a file there.
  fs::file_status status;
  ASSERT_FALSE(fs::status("/dev/full", status));
  EXPECT_EQ(status.type(), fs::file_type::character_file);
}

TEST_F(WriteFile, ReadOnlyFolder) {
  if (::geteuid() == 0)
    GTEST_SKIP() << "root may write anywhere";
  ASSERT_EQ(::chmod(folder.c_str(), 0500), 0);
  EXPECT_EQ(write(path("a"), "x"), "cannot write `" + path("a") + "`: Permission denied");
  ASSERT_EQ(::chmod(folder.c_str(), 0700), 0);
}

TEST_F(WriteFile, AllOrNone) {
  EXPECT_NE(message(writeFiles({{path("a"), "a"}, {path("none/b"), "b"}})), "");
  EXPECT_EQ(count(), 0);
  ASSERT_FALSE(fs::create_directory(path("b"))); // a file cannot replace it
  EXPECT_NE(message(writeFiles({{path("a"), "a"}, {path("b"), "b"}})), "");
  EXPECT_EQ(count(), 1);
  EXPECT_EQ(message(writeFiles({{path("a"), "a"}, {path("c"), "c"}})), "");
  EXPECT_EQ(read(path("a")) + read(path("c")), "ac");
  EXPECT_EQ(count(), 3);
}

} // namespace
} // namespace attune
