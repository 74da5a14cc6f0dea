//===- Importer.h - The state of one import (internal) ----------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_IMPORTER_H
#define ATTUNE_FRONTEND_ONNX_IMPORTER_H

#include "attune/frontend/onnx/Converter.h"
#include "attune/frontend/onnx/Load.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace attune::onnx {

/// The values that nodes of one graph or function body see.
struct Scope {
  const Scope *parent = nullptr;
  std::map<std::string, int64_t> opsets;
  std::map<std::string, Tensor> values;
  std::string path; ///< prefix of node names in function bodies
  unsigned depth = 0;

  Tensor find(const std::string &name) const;
};

class Importer {
public:
  Importer(mlir::MLIRContext &context, LoadedModel &loaded);

  mlir::OwningOpRef<mlir::ModuleOp> run(llvm::StringRef name);

  mlir::OpBuilder builder;
  std::optional<Extents> extents;
  Scope *scope = nullptr;
  std::set<std::pair<mlir::Block *, Extent>> required;

  template <typename Nodes> void convertNodes(const Nodes &nodes, Scope &scope);
  void convertNode(const ::onnx::NodeProto &proto, Scope &scope);
  void addInitializers(const ::onnx::GraphProto &graph, Scope &scope);

private:
  friend class Node;
  void addArguments(mlir::func::FuncOp main);
  void addResults(mlir::func::FuncOp main);
  bool expand(const ::onnx::NodeProto &proto, Scope &scope, int64_t opset);

  mlir::MLIRContext &context;
  LoadedModel &loaded;
  std::vector<const ::onnx::ValueInfoProto *> arguments;
};

/// "f32", "u8", ... as artifacts name element types.
std::string artifactType(DType dtype);
::onnx::TypeProto toProto(const Tensor &tensor);

} // namespace attune::onnx
#endif
