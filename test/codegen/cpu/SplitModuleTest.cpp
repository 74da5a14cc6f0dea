#include "attune/codegen/cpu/SplitModule.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/SourceMgr.h"
#include "gtest/gtest.h"

#include <map>

using namespace attune::codegen;

namespace {

/// A function of `lines` additions with what else its body holds.
std::string function(const std::string &head, unsigned lines, const std::string &body = "") {
  std::string text = "define " + head + " {\n" + body;
  for (unsigned i = 0; i < lines; ++i)
    text += "  %v" + std::to_string(i) + " = add i32 " +
            (i == 0 ? "0" : "%v" + std::to_string(i - 1)) + ", 1\n";
  return text + "  ret void\n}\n";
}

/// The part in which every definition is.
std::map<std::string, size_t> partsOf(const std::string &text, size_t &parts) {
  llvm::LLVMContext context;
  llvm::SMDiagnostic error;
  auto module = llvm::parseAssemblyString(text, error, context);
  EXPECT_TRUE(module) << error.getMessage().str();
  std::vector<std::string> bitcodes = splitModule(std::move(module));
  parts = bitcodes.size();
  std::map<std::string, size_t> found;
  for (size_t part = 0; part < bitcodes.size(); ++part) {
    auto own = llvm::cantFail(
        llvm::parseBitcodeFile(llvm::MemoryBufferRef(bitcodes[part], "part"), context));
    for (const llvm::GlobalValue &value : own->global_values()) {
      if (value.isDeclaration())
        EXPECT_FALSE(value.use_empty()) << value.getName().str() << " is declared for nothing";
      else
        EXPECT_TRUE(found.try_emplace(value.getName().str(), part).second)
            << value.getName().str() << " is defined twice";
    }
  }
  return found;
}

} // namespace

TEST(SplitModule, KeepsTogetherWhatMayBeInlined) {
  size_t parts;
  auto found = partsOf(
      function("void @k0()", 900, "  call void @inlined()\n  call void @shared()\n") +
          function("void @k1()", 900, "  call void @shared()\n  call void @run(ptr @task)\n") +
          function("void @k2()", 900, "  call void @run(ptr @hidden)\n") +
          function("void @inlined()", 100) + function("void @shared() noinline", 600) +
          function("void @task()", 600) + function("internal void @hidden()", 600) +
          "declare void @run(ptr)\n"
          "@name = alias void (), ptr @k1\n"
          "@note = constant i32 1, section \".note.attune\"\n"
          "@llvm.used = appending global [1 x ptr] [ptr @note], section \"llvm.metadata\"\n",
      parts);
  EXPECT_GT(parts, 3u);
  EXPECT_EQ(found.size(), 10u);
  EXPECT_EQ(found.at("k1"), found.at("name"));
  EXPECT_EQ(found.at("k0"), found.at("inlined"));
  EXPECT_EQ(found.at("k2"), found.at("hidden"));
  EXPECT_EQ(found.at("note"), found.at("llvm.used"));
  EXPECT_NE(found.at("k0"), found.at("shared"));
  EXPECT_NE(found.at("k1"), found.at("task"));
}

TEST(SplitModule, LeavesSmallModulesWhole) {
  size_t parts;
  auto found = partsOf(function("void @k0()", 10) + function("void @k1()", 10), parts);
  EXPECT_EQ(parts, 1u);
  EXPECT_EQ(found.size(), 2u);
  EXPECT_TRUE(partsOf("", parts).empty());
  EXPECT_EQ(parts, 1u);
}

TEST(SplitModule, MakesPartsOfOneSize) {
  std::string text;
  for (int i = 0; i < 40; ++i)
    text += function("void @f" + std::to_string(i) + "()", i % 4 == 0 ? 700 : 100);
  size_t parts;
  std::vector<size_t> large(16);
  for (auto [name, part] : partsOf(text, parts))
    large[part] += std::stoi(name.substr(1)) % 4 == 0;
  EXPECT_EQ(parts, 16u);
  for (size_t count : large)
    EXPECT_LE(count, 1u);
}
