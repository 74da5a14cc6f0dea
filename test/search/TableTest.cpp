#include "attune/search/Table.h"
#include "Spaces.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace attune::search;

namespace {

struct TemporaryFile {
  llvm::SmallString<128> path;
  TemporaryFile() { llvm::sys::fs::createTemporaryFile("attune-table", "jsonl", path); }
  ~TemporaryFile() { llvm::sys::fs::remove(path); }
  void write(llvm::StringRef text) {
    std::error_code code;
    llvm::raw_fd_ostream(path, code) << text;
  }
};

TEST(Table, WritesAndReads) {
  Space space = makeSpace(kMixed);
  Table table = llvm::cantFail(makeSyntheticTable(space, {.seed = 3, .seeds = 2}));
  TemporaryFile file;
  llvm::cantFail(table.write(file.path, space));
  auto again = Table::read(file.path, space);
  ASSERT_TRUE(bool(again)) << llvm::toString(again.takeError());
  EXPECT_TRUE(again->synthetic);
  EXPECT_EQ(again->provenance, table.provenance);
  ASSERT_EQ(again->rows().size(), table.rows().size());
  for (const TableRow &row : table.rows()) {
    const TableRow *found = again->find(row.genes);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->metrics, row.metrics);
    EXPECT_EQ(found->costs, row.costs);
  }
}

TEST(Table, SyntheticScoresDependOnTheSeed) {
  Space space = makeSpace(kMixed);
  Table a = llvm::cantFail(makeSyntheticTable(space, {.seed = 1})),
        b = llvm::cantFail(makeSyntheticTable(space, {.seed = 1})),
        c = llvm::cantFail(makeSyntheticTable(space, {.seed = 2}));
  EXPECT_EQ(a.rows()[7].metrics, b.rows()[7].metrics);
  EXPECT_NE(a.rows()[7].metrics, c.rows()[7].metrics);
  Table flat = llvm::cantFail(makeSyntheticTable(space, {.seed = 1, .noise = 0, .plateaus = 4}));
  for (const TableRow &row : flat.rows())
    EXPECT_EQ(row.metrics[0][0] * 4, std::floor(row.metrics[0][0] * 4));
}

TEST(Table, Errors) {
  Space space = makeSpace(kMixed);
  TemporaryFile file;
  auto error = [&](const llvm::Twine &text) {
    file.write(text.str());
    auto table = Table::read(file.path, space);
    std::string message = table ? "accepted" : llvm::toString(table.takeError());
    size_t at = message.find(std::string(file.path));
    return at == 0 ? message.substr(file.path.size()) : message;
  };
  std::string head = R"({"attune-table": 1, "space": ")" + space.variablesHash() +
                     R"(", "metrics": ["acc"], "costs": ["p"], "seeds": 1})"
                     "\n";
  std::string row = R"({"genes": [0,0,0,0,0,0,0,0,0], "acc": [0.5], "p": 3})"
                    "\n";
  EXPECT_EQ(error(head + row), "accepted");
  EXPECT_EQ(error(""), ":1: a table needs its first line, and metrics in it");
  EXPECT_EQ(error("{}"), ":1: not an attune-table of version 1");
  EXPECT_EQ(error("[]"), ":1: a line is a JSON object");
  EXPECT_NE(error(R"({"attune-table": 1, "space": "0"})").find("of other variables"),
            std::string::npos);
  EXPECT_EQ(error(head + row + row), ":3: these genes are listed twice");
  EXPECT_EQ(error(head + R"({"genes": [0], "acc": [1], "p": 3})"),
            ":2: `genes` are not canonical genes of this space");
  EXPECT_EQ(error(head + R"({"genes": [0,1,1,0,0,0,0,0,0], "acc": [1], "p": 3})"),
            ":2: `genes` are not canonical genes of this space");
  EXPECT_EQ(error(head + R"({"genes": [0,0,0,0,0,0,0,0,0], "acc": [1, 2], "p": 3})"),
            ":2: `acc` is a list with one number for each seed");
  EXPECT_EQ(error(head + R"({"genes": [0,0,0,0,0,0,0,0,0], "acc": [1]})"),
            ":2: the cost `p` is missing");
  EXPECT_EQ(error(head + R"({"genes": [0,0,0,0,0,0,0,0,0], "acc": [1], "p": 1e999})"),
            ":2: the cost `p` is not a finite number");
  EXPECT_NE(error(head + "{"), "accepted");
}

} // namespace
