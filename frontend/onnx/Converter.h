//===- Converter.h - What a converter of an ONNX operator gets --------------------------------===//
//
// A converter is a function `void convert(Node &node)` in `ops/<Family>.cpp`, registered with the
// operator's name and the first version it handles. It reads attributes and inputs from the node,
// builds IR with the helpers of Build.h, and sets every output. An attribute that is present but
// was not read refuses the model, so none can be ignored by mistake.
//
// Anything wrong is thrown by `fail` (the model is wrong) or `unsupported`; both name the node, the
// operator and the opset. Never throw inside a callback that MLIR itself calls.
//
//   static void convertTranspose(Node &node) {
//     auto perm = node.intsAttr("perm", reversed(node.input(0).rank()));
//     node.setOutput(0, transpose(node, node.input(0), perm));
//   }
//   void registerMovement(Registry &registry) { registry.add("Transpose", 1, convertTranspose); }
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_CONVERTER_H
#define ATTUNE_FRONTEND_ONNX_CONVERTER_H

#include "attune/frontend/onnx/Tensor.h"
#include "onnx/onnx_pb.h"
#include "llvm/ADT/Twine.h"
#include <set>

namespace attune::onnx {

class Importer;

/// Thrown by `Node::useFunctionBody`.
struct UseFunctionBody {};

class Node {
public:
  Node(Importer &importer, const ::onnx::NodeProto &proto, int version, std::string path);

  const std::string &name() const { return nodeName; }
  const std::string &op() const { return proto.op_type(); }
  /// The since-version of the operator in the model's opset.
  int version() const { return sinceVersion; }

  [[noreturn]] void fail(const llvm::Twine &message) const;
  [[noreturn]] void unsupported(const llvm::Twine &message) const;
  /// For a case that the operator's function body covers and the converter does not.
  [[noreturn]] void useFunctionBody() const { throw UseFunctionBody(); }
  void check(bool condition, const llvm::Twine &message) const {
    if (!condition)
      fail(message);
  }

  // Attributes. Without a fallback the operator schema's default is used; none: the model is wrong.
  bool hasAttr(llvm::StringRef name) const;
  int64_t intAttr(llvm::StringRef name, std::optional<int64_t> fallback = {});
  double floatAttr(llvm::StringRef name, std::optional<double> fallback = {});
  std::string stringAttr(llvm::StringRef name, std::optional<std::string> fallback = {});
  std::vector<int64_t> intsAttr(llvm::StringRef name,
                                std::optional<std::vector<int64_t>> fallback = {});
  std::vector<double> floatsAttr(llvm::StringRef name,
                                 std::optional<std::vector<double>> fallback = {});
  std::vector<std::string> stringsAttr(llvm::StringRef name,
                                       std::optional<std::vector<std::string>> fallback = {});
  Tensor tensorAttr(llvm::StringRef name);
  const ::onnx::GraphProto &graphAttr(llvm::StringRef name);
  bool flagAttr(llvm::StringRef name, std::optional<int64_t> fallback = {});
  /// For an attribute that changes nothing in inference.
  void dropAttr(llvm::StringRef name) { used.insert(name.str()); }

  // Inputs.
  int numInputs() const { return proto.input_size(); }
  bool has(int i) const { return i < proto.input_size() && !proto.input(i).empty(); }
  /// Fails if the input is absent.
  Tensor input(int i) const;
  /// Empty if the input is absent.
  Tensor optionalInput(int i) const { return has(i) ? input(i) : Tensor(); }
  /// All inputs from `first` on.
  std::vector<Tensor> inputs(int first = 0) const;
  DType dtype(int i) const { return input(i).dtype(); }
  mlir::Value value(int i) { return value(input(i)); }
  /// The elements of an integer tensor of static length: known contents, or read from the tensor.
  Shape extentsOf(int i) { return extentsOf(input(i), "input " + llvm::Twine(i)); }
  Shape extentsOf(const Tensor &tensor, const llvm::Twine &what);
  /// The elements of a tensor that must be a compile-time constant.
  std::vector<int64_t> constantInts(int i) const;
  double constantFloat(int i) const;

  // Outputs.
  int numOutputs() const { return proto.output_size(); }
  bool wants(int i) const { return i < proto.output_size() && !proto.output(i).empty(); }
  /// Checks the rank and the sizes that inference found.
  void setOutput(int i, Tensor tensor);
  const std::vector<Tensor> &outputs() const { return results; }

  // Building.
  mlir::OpBuilder &builder();
  mlir::Location loc() const { return location; }
  mlir::MLIRContext *context();
  Extents &extents();
  mlir::Value value(const Tensor &tensor) { return tensor.value(builder(), location, extents()); }
  mlir::Value index(const Extent &e) { return extents().value(builder(), location, e); }
  mlir::OpFoldResult ofr(const Extent &e) { return extents().ofr(builder(), location, e); }
  llvm::SmallVector<mlir::OpFoldResult> ofrs(llvm::ArrayRef<Extent> shape);
  Tensor contents(llvm::ArrayRef<Extent> values, DType dtype, Shape shape) {
    return Tensor::ofContents(context(), values, dtype, std::move(shape));
  }
  /// A tensor of the given value, whose type gives the static sizes.
  Tensor tensor(mlir::Value value, DType dtype, Shape shape) const {
    return Tensor::ofValue(value, dtype, std::move(shape));
  }
  /// A run-time check, unless it is decided now; a known violation fails. `message` gets the node.
  void require(const Extent &condition, const llvm::Twine &message);
  void requireEqual(const Extent &a, const Extent &b, const llvm::Twine &message);
  /// `axis`, counted from the end if negative; fails outside [-rank, rank).
  int64_t normaliseAxis(int64_t axis, int64_t rank) const;
  std::vector<int64_t> normaliseAxes(llvm::ArrayRef<int64_t> axes, int64_t rank) const;

  /// The outputs of a subgraph whose formal inputs are `inputs`; outer values are visible.
  std::vector<Tensor> inlineGraph(const ::onnx::GraphProto &graph, llvm::ArrayRef<Tensor> inputs);

  /// The outputs of a function body of the newest opset in ONNX's text syntax,
  /// `(x, y) => (z) { z = Add (x, y) }`. An input that is not given, an empty Tensor, is not given
  /// to the body's nodes either.
  std::vector<Tensor> inlineFunction(const std::string &text, llvm::ArrayRef<Tensor> inputs);

  /// For the importer: refuses attributes that no converter read.
  void finish() const;

private:
  friend class Importer;
  const ::onnx::AttributeProto *attribute(llvm::StringRef name, int type);

  Importer &importer;
  const ::onnx::NodeProto &proto;
  int sinceVersion;
  std::string nodeName;
  mlir::Location location;
  std::set<std::string> used;
  std::vector<Tensor> operands, results;
};

using ConvertFn = void (*)(Node &);

/// Operator and version to converter.
class Registry {
public:
  static constexpr int kAnyVersion = 1 << 30;

  /// For versions in [since, until].
  void add(llvm::StringRef op, int since, ConvertFn fn, int until = kAnyVersion) {
    add("", op, since, fn, until);
  }
  void add(llvm::StringRef domain, llvm::StringRef op, int since, ConvertFn fn,
           int until = kAnyVersion);
  ConvertFn find(llvm::StringRef domain, llvm::StringRef op, int version) const;
  /// "opset 7 or newer", for messages; empty if there is no converter at all.
  std::string versions(llvm::StringRef domain, llvm::StringRef op) const;

  /// All families.
  static const Registry &get();

private:
  struct Entry {
    int since, until;
    ConvertFn fn;
  };
  std::map<std::pair<std::string, std::string>, std::vector<Entry>> entries;
};

// One per file in ops/.
void registerActivation(Registry &registry);
void registerArithmetic(Registry &registry);
void registerAttention(Registry &registry);
void registerComposite(Registry &registry);
void registerConstants(Registry &registry);
void registerContrib(Registry &registry);
void registerContribAttention(Registry &registry);
void registerControl(Registry &registry);
void registerConvolution(Registry &registry);
void registerDft(Registry &registry);
void registerEinsum(Registry &registry);
void registerFold(Registry &registry);
void registerGather(Registry &registry);
void registerGridSample(Registry &registry);
void registerLinearAttention(Registry &registry);
void registerLogic(Registry &registry);
void registerMatmul(Registry &registry);
void registerMovement(Registry &registry);
void registerNormalization(Registry &registry);
void registerPooling(Registry &registry);
void registerQuantization(Registry &registry);
void registerRecurrent(Registry &registry);
void registerReduction(Registry &registry);
void registerReshape(Registry &registry);
void registerResize(Registry &registry);
void registerScan(Registry &registry);
void registerScatter(Registry &registry);
void registerSelection(Registry &registry);
void registerSlice(Registry &registry);
void registerSort(Registry &registry);

} // namespace attune::onnx
#endif
