#include "attune/search/Document.h"

#include <gtest/gtest.h>

using namespace attune::search;

namespace {

std::string error(llvm::StringRef text) {
  auto document = Document::parse(text, "f.yaml");
  return document ? "accepted" : llvm::toString(document.takeError());
}

TEST(Document, YamlAndJsonGiveTheSameTree) {
  auto yaml = Document::parse("a: [1, x]\nb:\n  - c: \"3\"\n", "f.yaml");
  auto json = Document::parse(R"({"a": [1, "x"], "b": [{"c": "3"}]})", "f.json");
  ASSERT_TRUE(bool(yaml));
  ASSERT_TRUE(bool(json));
  for (const Document *document : {&*yaml, &*json}) {
    const Node *a = document->root.find("a"), *b = document->root.find("b");
    ASSERT_TRUE(a && b);
    EXPECT_EQ(a->items[0].number(), 1);
    EXPECT_EQ(a->items[1].text, "x");
    const Node *c = b->items[0].find("c");
    ASSERT_TRUE(c);
    EXPECT_FALSE(c->number());
  }
  EXPECT_EQ(yaml->root.find("b")->items[0].find("c")->line, 3u);
  EXPECT_EQ(yaml->root.find("b")->items[0].find("c")->column, 8u);
}

TEST(Document, Errors) {
  EXPECT_EQ(error(""), "f.yaml:1:1: empty");
  EXPECT_EQ(error("a: [1, 2").find("f.yaml:"), 0u);
  EXPECT_NE(error("a: [1, 2"), "accepted");
  EXPECT_NE(error("a: b: c"), "accepted");
  EXPECT_NE(error("a: \"x"), "accepted");
  EXPECT_EQ(error("a: 1\na: 2"), "f.yaml:2:1: `a` is given twice");
  EXPECT_EQ(error("a: &x 1"), "f.yaml:1:7: anchors and aliases are not accepted");
  EXPECT_NE(error("a: *x"), "accepted");
  EXPECT_EQ(error("a: !t 1").find("f.yaml:1:"), 0u);
  EXPECT_NE(error("a: !t 1"), "accepted");
  EXPECT_NE(error("a: 1\n---\nb: 2").find("more than one document"), std::string::npos);
  EXPECT_EQ(error(llvm::StringRef("a: 1\n\0", 6)), "f.yaml:2:1: not a text file");
  EXPECT_NE(error(std::string(100000, '[')).find("levels deep"), std::string::npos);
  std::string nested;
  for (int i = 0; i < 50; ++i)
    nested += std::string(i, ' ') + "a:\n";
  EXPECT_NE(error(nested).find("levels deep"), std::string::npos);
}

TEST(Document, SpelledNumbersReadBack) {
  EXPECT_EQ(spelled(0.1), "0.1");
  EXPECT_EQ(spelled(1e6), "1e+06");
  EXPECT_EQ(spelled(0.1 + 0.2), "0.30000000000000004");
}

} // namespace
