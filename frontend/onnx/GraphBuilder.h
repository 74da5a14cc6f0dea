//===- GraphBuilder.h - Writes ONNX graphs node by node ---------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_GRAPHBUILDER_H
#define ATTUNE_FRONTEND_ONNX_GRAPHBUILDER_H

#include <onnx/onnx_pb.h>

#include <random>
#include <string>
#include <variant>
#include <vector>

namespace attune::onnx {

class GraphBuilder {
public:
  using Dim = std::variant<int64_t, std::string>; ///< an extent or a symbol
  using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>>;
  using Attributes = std::vector<std::pair<std::string, Attribute>>;

  explicit GraphBuilder(const std::string &name, int64_t opset = 23);

  std::string input(const std::string &name, const std::vector<Dim> &shape, bool integers = false);
  void output(const std::string &value, const std::vector<Dim> &shape);
  /// Normal numbers, of a deviation that keeps products of the first axis near 1; drawn by
  /// `serialise`.
  std::string weight(const std::vector<int64_t> &shape);
  std::string integers(const std::vector<int64_t> &values);
  std::string number(float value);
  std::string tensor(const std::vector<int64_t> &shape, const std::vector<float> &values);
  /// Adds a node and returns its (first) result; others are named `<result>.1` and so on.
  std::string op(const std::string &kind, const std::vector<std::string> &inputs,
                 const Attributes &attributes = {}, unsigned results = 1);
  std::string serialise();
  /// Elements of all weights.
  int64_t weightElements() const { return weights; }

private:
  std::string fresh(const std::string &stem);
  void draw(::onnx::TensorProto &weight);
  ::onnx::TensorProto &initialiser(const std::vector<int64_t> &shape, int32_t type,
                                   const std::string &stem);

  ::onnx::ModelProto model;
  std::mt19937 random{7};
  unsigned count = 0;
  int64_t weights = 0;
};

} // namespace attune::onnx
#endif
