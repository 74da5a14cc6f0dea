#include "attune/dialect/Locations.h"

#include "llvm/ADT/STLExtras.h"

void attune::collectNodeNames(mlir::Location loc, std::vector<std::string> &names) {
  loc->walk([&](mlir::Location part) {
    if (auto name = llvm::dyn_cast<mlir::NameLoc>(part))
      if (!llvm::is_contained(names, name.getName().str()))
        names.push_back(name.getName().str());
    return mlir::WalkResult::advance();
  });
}
