//===- GraphEditor.h - Changes nodes of an ONNX model -----------------------------------------===//
//
// The graph as the file has it, with the node names that the importer gives, and what is needed to
// put other nodes in place of some. New nodes are collected in front of a node; what nothing reads
// any more goes when the model is written.
//
//   GraphEditor graph("model.onnx");
//   NodeProto *node = graph.node("/layer.0/Softmax");
//   graph.startBefore(*node);
//   graph.finish(*node, graph.op("Relu", {node->input(0)}));
//   std::string bytes = graph.serialise();
//
// Throws ImportError. Not for models below opset 13, whose operators take axes as attributes.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_GRAPHEDITOR_H
#define ATTUNE_FRONTEND_ONNX_GRAPHEDITOR_H

#include "attune/frontend/onnx/Load.h"

namespace attune::onnx {

class GraphEditor {
public:
  explicit GraphEditor(const std::string &path);

  ::onnx::NodeProto *node(const std::string &name);
  /// Null for inputs and stored tensors.
  ::onnx::NodeProto *producer(const std::string &value);
  int64_t integer(const ::onnx::NodeProto &node, const std::string &attribute,
                  int64_t otherwise) const;
  /// The number that a stored tensor of one float holds.
  std::optional<double> constant(const std::string &value);

  /// As inferred: -1 where not known; `type` throws then. Negative axes count from the end.
  int64_t rank(const std::string &value) const;
  int64_t size(const std::string &value, int64_t axis) const;
  int64_t type(const std::string &value) const;

  using Integers = std::vector<int64_t>;
  /// Adds a node and returns its result. Attributes are lists, or single numbers with `scalar`.
  std::string op(const std::string &kind, const std::vector<std::string> &inputs,
                 const std::vector<std::pair<std::string, Integers>> &attributes = {},
                 bool scalar = false);
  std::string sum(const std::string &value); ///< over the last axis, which stays
  std::string number(double value, int64_t type) { return tensor({}, {value}, type); }
  std::string tensor(const Integers &shape, const std::vector<double> &values, int64_t type);
  std::string integers(const Integers &values);
  std::string scalar(int64_t value);

  void startBefore(::onnx::NodeProto &node) { anchor = &node; }
  /// `value`, just made, takes the place of the node's first result; the node goes.
  void finish(::onnx::NodeProto &node, const std::string &value);
  void rewire(::onnx::NodeProto &node, int input, const std::string &value);

  /// With weights that lay in other files.
  std::string serialise();

private:
  std::string fresh(const std::string &stem);
  ::onnx::TensorProto &stored(const Integers &shape, int64_t type);
  void inlineWeights();
  void eraseDead();

  std::string path;
  ::onnx::ModelProto model;
  std::map<std::string, ::onnx::TypeProto> types;
  std::map<std::string, ::onnx::NodeProto *> byName, byResult;
  std::set<std::string> names;
  std::map<const ::onnx::NodeProto *, std::vector<::onnx::NodeProto>> added;
  std::set<const ::onnx::NodeProto *> removed;
  const ::onnx::NodeProto *anchor = nullptr;
  unsigned count = 0;
};

} // namespace attune::onnx
#endif
