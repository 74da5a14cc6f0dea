// The dialect through the installed headers and libraries: parse, verify, print.
#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

int main() {
  mlir::DialectRegistry registry;
  registry.insert<attune::AttuneDialect, mlir::func::FuncDialect>();
  mlir::MLIRContext context(registry);
  auto module = mlir::parseSourceString<mlir::ModuleOp>("func.func private @f()", &context);
  return module ? 0 : 1;
}
