#include "attune/codegen/cpu/SplitModule.h"

#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Transforms/Utils/Cloning.h"

#include <algorithm>

using llvm::GlobalValue;

namespace attune::codegen {
namespace {

/// More parts than most machines have processors for, so that all of them end at about one time.
constexpr unsigned kParts = 16;
/// Instructions from which on a part is worth its own thread.
constexpr size_t kLeastSize = 500;

using Groups = llvm::EquivalenceClasses<const GlobalValue *>;

/// How a definition names another one: whoever calls it may take its body in, and whoever lists it
/// for the linker (`llvm.used`) speaks of its own part only.
enum class Mention { Call, List, Address };

bool isApart(const GlobalValue &value, Mention mention) {
  if (value.hasLocalLinkage() || mention == Mention::List)
    return false;
  const auto *function = llvm::dyn_cast<llvm::Function>(&value);
  return mention == Mention::Address ||
         (function && function->hasFnAttribute(llvm::Attribute::NoInline));
}

/// Joins `user` with what `constant` names.
void join(const GlobalValue &user, const llvm::Constant &constant, Mention mention,
          Groups &groups) {
  if (const auto *value = llvm::dyn_cast<GlobalValue>(&constant)) {
    if (!value->isDeclaration() && !isApart(*value, mention))
      groups.unionSets(&user, value);
    return;
  }
  for (const llvm::Use &operand : constant.operands())
    if (const auto *part = llvm::dyn_cast<llvm::Constant>(operand))
      join(user, *part, mention == Mention::List ? mention : Mention::Address, groups);
}

Groups groupsOf(const llvm::Module &module) {
  Groups groups;
  for (const llvm::GlobalVariable &variable : module.globals())
    if (variable.hasInitializer()) {
      groups.insert(&variable);
      join(variable, *variable.getInitializer(),
           variable.hasAppendingLinkage() ? Mention::List : Mention::Address, groups);
    }
  for (const llvm::GlobalAlias &alias : module.aliases()) {
    groups.insert(&alias);
    join(alias, *alias.getAliasee(), Mention::List, groups);
  }
  for (const llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    groups.insert(&function);
    for (const llvm::BasicBlock &block : function)
      for (const llvm::Instruction &instruction : block)
        for (const llvm::Use &operand : instruction.operands())
          if (const auto *constant = llvm::dyn_cast<llvm::Constant>(operand)) {
            const auto *call = llvm::dyn_cast<llvm::CallBase>(&instruction);
            join(function, *constant,
                 call && call->isCallee(&operand) ? Mention::Call : Mention::Address, groups);
          }
  }
  return groups;
}

size_t sizeOf(const GlobalValue &value) {
  const auto *function = llvm::dyn_cast<llvm::Function>(&value);
  return function ? function->getInstructionCount() : 1;
}

/// The part of every group: the largest first, each into the part that is smallest so far.
llvm::DenseMap<const GlobalValue *, unsigned> partition(const llvm::Module &module,
                                                        const Groups &groups, unsigned &parts) {
  llvm::MapVector<const GlobalValue *, size_t> sizes; // in the order of the module
  size_t all = 0;
  for (const GlobalValue &value : module.global_values())
    if (!value.isDeclaration()) {
      sizes[groups.getLeaderValue(&value)] += sizeOf(value);
      all += sizeOf(value);
    }
  parts = std::max<size_t>(1, std::min({all / kLeastSize, size_t(kParts), sizes.size()}));
  std::vector<std::pair<size_t, size_t>> order; // what is missing to all, place
  for (auto [place, group] : llvm::enumerate(sizes))
    order.emplace_back(all - group.second, place);
  llvm::sort(order);
  llvm::DenseMap<const GlobalValue *, unsigned> partOf;
  std::vector<size_t> taken(parts, 0);
  for (auto [missing, place] : order) {
    auto least = llvm::min_element(taken);
    partOf[sizes.begin()[place].first] = least - taken.begin();
    *least += all - missing;
  }
  return partOf;
}

/// Declarations that nothing refers to.
void eraseUnused(llvm::Module &module) {
  for (llvm::GlobalVariable &variable : llvm::make_early_inc_range(module.globals()))
    if (variable.isDeclaration() && variable.use_empty())
      variable.eraseFromParent();
  for (llvm::Function &function : llvm::make_early_inc_range(module))
    if (function.isDeclaration() && function.use_empty())
      function.eraseFromParent();
}

std::string bitcodeOf(const llvm::Module &module) {
  std::string bytes;
  llvm::raw_string_ostream stream(bytes);
  llvm::WriteBitcodeToFile(module, stream);
  return bytes;
}

} // namespace

std::vector<std::string> splitModule(std::unique_ptr<llvm::Module> module) {
  Groups groups = groupsOf(*module);
  unsigned parts;
  auto partOf = partition(*module, groups, parts);
  std::vector<std::string> bitcodes;
  if (parts == 1)
    return {bitcodeOf(*module)};
  for (unsigned part = 0; part < parts; ++part) {
    llvm::ValueToValueMapTy values;
    auto own = llvm::CloneModule(*module, values, [&](const GlobalValue *value) {
      return partOf.lookup(groups.getLeaderValue(value)) == part;
    });
    eraseUnused(*own);
    bitcodes.push_back(bitcodeOf(*own));
  }
  return bitcodes;
}

} // namespace attune::codegen
