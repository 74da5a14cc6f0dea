#include "attune/passes/Passes.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllPasses();
  attune::registerAllDialects(registry);
  attune::registerAttunePasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "Attune optimiser driver\n", registry));
}
