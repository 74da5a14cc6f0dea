#include "Tables.h"

#include <fstream>

using namespace attune::search;

namespace {

TEST(Journal, TornAndDamagedLines) {
  TemporaryFolder folder;
  std::string study = folder.in("s");
  {
    auto journal = Journal::create(study);
    ASSERT_TRUE(bool(journal));
    llvm::cantFail(journal->append(llvm::json::Object{{"a", 1}}, true));
    llvm::cantFail(journal->append(llvm::json::Object{{"b", 0.1}}, false));
  }
  std::ofstream(Journal::pathIn(study), std::ios::app) << "{\"c\": 1";
  JournalContent content;
  {
    auto journal = Journal::open(study, content);
    ASSERT_TRUE(bool(journal));
    ASSERT_EQ(content.lines.size(), 2u);
    EXPECT_EQ(content.lines[1].getNumber("b"), 0.1);
    llvm::cantFail(journal->append(llvm::json::Object{{"d", 1}}, true));
  }
  content = llvm::cantFail(Journal::read(study));
  ASSERT_EQ(content.lines.size(), 3u);
  EXPECT_TRUE(content.lines[2].get("d"));
  std::ofstream(Journal::pathIn(study), std::ios::app) << "garbage\n{}\n";
  auto damaged = Journal::read(study);
  ASSERT_FALSE(bool(damaged));
  EXPECT_NE(llvm::toString(damaged.takeError()).find("study.jsonl:4: damaged: "),
            std::string::npos);
}

} // namespace
