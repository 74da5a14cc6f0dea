#include "attune/frontend/onnx/Importer.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "onnx/defs/schema.h"

using namespace mlir;
using ::onnx::AttributeProto;

namespace attune::onnx {

Node::Node(Importer &importer, const ::onnx::NodeProto &proto, int version, std::string path)
    : importer(importer), proto(proto), sinceVersion(version), nodeName(path + proto.name()),
      location(NameLoc::get(StringAttr::get(&importer.context, nodeName))),
      results(proto.output_size()) {
  // In a function body, unnamed nodes go by their call.
  if (proto.name().empty() && !path.empty()) {
    nodeName = path + proto.op_type();
    location = NameLoc::get(StringAttr::get(&importer.context, nodeName));
  }
  for (const std::string &input : proto.input())
    operands.push_back(input.empty() ? Tensor() : importer.scope->find(input));
}

OpBuilder &Node::builder() { return importer.builder; }
MLIRContext *Node::context() { return &importer.context; }
Extents &Node::extents() { return *importer.extents; }

static std::string describe(const Node &node) {
  return "node '" + node.name() + "' (" + node.op() + ", version " +
         std::to_string(node.version()) + "): ";
}

void Node::fail(const llvm::Twine &message) const {
  throw ImportError(describe(*this) + message.str());
}

void Node::unsupported(const llvm::Twine &message) const {
  throw ImportError("unsupported: " + describe(*this) + message.str());
}

//===--------------------------------------------------------------------------------------------===//
// Attributes
//===--------------------------------------------------------------------------------------------===//

const AttributeProto *Node::attribute(llvm::StringRef name, int type) {
  used.insert(name.str());
  const AttributeProto *found = nullptr;
  for (const auto &attribute : proto.attribute())
    if (attribute.name() == name)
      found = &attribute;
  if (!found) {
    const auto *schema = ::onnx::OpSchemaRegistry::Schema(
        proto.op_type(), sinceVersion, proto.domain() == "ai.onnx" ? "" : proto.domain());
    if (schema) {
      auto it = schema->attributes().find(name.str());
      if (it != schema->attributes().end() && !it->second.default_value.name().empty())
        found = &it->second.default_value;
    }
  }
  if (found && found->type() != type)
    fail("attribute '" + name + "' has type " + AttributeProto::AttributeType_Name(found->type()) +
         "; accepted: " +
         AttributeProto::AttributeType_Name(static_cast<AttributeProto::AttributeType>(type)));
  return found;
}

bool Node::hasAttr(llvm::StringRef name) const {
  return llvm::any_of(proto.attribute(), [&](const auto &a) { return a.name() == name; });
}

template <typename T>
static T orFallback(const Node &node, llvm::StringRef name, std::optional<T> fallback) {
  if (!fallback)
    node.fail("attribute '" + name + "' is missing");
  return *fallback;
}

int64_t Node::intAttr(llvm::StringRef name, std::optional<int64_t> fallback) {
  auto *a = attribute(name, AttributeProto::INT);
  return a ? a->i() : orFallback(*this, name, fallback);
}

bool Node::flagAttr(llvm::StringRef name, std::optional<int64_t> fallback) {
  int64_t flag = intAttr(name, fallback);
  check(flag == 0 || flag == 1,
        "attribute '" + name + "' is " + llvm::Twine(flag) + "; accepted: 0 or 1");
  return flag;
}

double Node::floatAttr(llvm::StringRef name, std::optional<double> fallback) {
  auto *a = attribute(name, AttributeProto::FLOAT);
  return a ? a->f() : orFallback(*this, name, fallback);
}

std::string Node::stringAttr(llvm::StringRef name, std::optional<std::string> fallback) {
  auto *a = attribute(name, AttributeProto::STRING);
  return a ? a->s() : orFallback(*this, name, fallback);
}

std::vector<int64_t> Node::intsAttr(llvm::StringRef name,
                                    std::optional<std::vector<int64_t>> fallback) {
  auto *a = attribute(name, AttributeProto::INTS);
  return a ? std::vector<int64_t>(a->ints().begin(), a->ints().end())
           : orFallback(*this, name, fallback);
}

std::vector<double> Node::floatsAttr(llvm::StringRef name,
                                     std::optional<std::vector<double>> fallback) {
  auto *a = attribute(name, AttributeProto::FLOATS);
  return a ? std::vector<double>(a->floats().begin(), a->floats().end())
           : orFallback(*this, name, fallback);
}

std::vector<std::string>
Node::stringsAttr(llvm::StringRef name, std::optional<std::vector<std::string>> fallback) {
  auto *a = attribute(name, AttributeProto::STRINGS);
  return a ? std::vector<std::string>(a->strings().begin(), a->strings().end())
           : orFallback(*this, name, fallback);
}

Tensor Node::tensorAttr(llvm::StringRef name) {
  auto *a = attribute(name, AttributeProto::TENSOR);
  if (!a)
    fail("attribute '" + name + "' is missing");
  Weight weight = readTensor(a->t(), "attribute '" + name.str() + "' of node '" + nodeName + "'");
  return Tensor::ofConstant(toAttr(*context(), weight, nodeName), weight.dtype);
}

const ::onnx::GraphProto &Node::graphAttr(llvm::StringRef name) {
  auto *a = attribute(name, AttributeProto::GRAPH);
  if (!a)
    fail("attribute '" + name + "' is missing");
  return a->g();
}

void Node::finish() const {
  for (const auto &attribute : proto.attribute())
    if (!used.count(attribute.name()))
      unsupported("attribute '" + attribute.name() + "'");
  for (int i = 0; i < proto.output_size(); ++i)
    if (wants(i) && !results[i])
      unsupported("output " + llvm::Twine(i) + " ('" + proto.output(i) + "')");
}

//===--------------------------------------------------------------------------------------------===//
// Inputs and outputs
//===--------------------------------------------------------------------------------------------===//

Tensor Node::input(int i) const {
  check(has(i), "input " + llvm::Twine(i) + " is missing");
  check(bool(operands[i]), "input '" + proto.input(i) + "' is not defined");
  return operands[i];
}

std::vector<Tensor> Node::inputs(int first) const {
  std::vector<Tensor> all;
  for (int i = first; i < numInputs(); ++i)
    all.push_back(input(i));
  return all;
}

Shape Node::extentsOf(const Tensor &tensor, const llvm::Twine &what) {
  if (!tensor.dtype().isInteger())
    fail(what + " has element type " + tensor.dtype().name() + "; accepted: integers");
  if (tensor.contents())
    return Shape(tensor.contents()->begin(), tensor.contents()->end());
  if (auto constants = tensor.constantInts())
    return Shape(constants->begin(), constants->end());
  auto count = tensor.staticSize();
  if (!count || *count > 64 || tensor.rank() > 1)
    unsupported(what +
                " gives sizes or positions, but its own length is not known; accepted: a static "
                "length of at most 64");
  Shape elements;
  Value data = value(tensor);
  for (int64_t k = 0; k < *count; ++k) {
    SmallVector<Value> at;
    if (tensor.rank() == 1)
      at.push_back(arith::ConstantIndexOp::create(builder(), loc(), k));
    Value element = tensor::ExtractOp::create(builder(), loc(), data, at);
    Type indexType = builder().getIndexType();
    bool zeroExtend = tensor.dtype().isUnsigned() || tensor.dtype().isBool();
    Value index =
        zeroExtend ? arith::IndexCastUIOp::create(builder(), loc(), indexType, element).getResult()
                   : arith::IndexCastOp::create(builder(), loc(), indexType, element).getResult();
    elements.push_back(extents().opaque(index, zeroExtend ? 0 : Extents::kNegInf));
  }
  return elements;
}

std::vector<int64_t> Node::constantInts(int i) const {
  auto values = input(i).constantInts();
  if (!values)
    unsupported("input " + llvm::Twine(i) + " depends on data; accepted: a constant");
  return *values;
}

double Node::constantFloat(int i) const {
  auto values = input(i).constantFloats();
  if (!values || values->size() != 1)
    unsupported("input " + llvm::Twine(i) + " is not a constant scalar; accepted: a constant");
  return values->front();
}

void Node::setOutput(int i, Tensor tensor) {
  if (!wants(i))
    return;
  int64_t elements = std::max(1u, tensor.dtype().bits() / 8);
  for (const Extent &e : tensor.shape()) {
    if (extents().high(e) < 0)
      fail("output " + llvm::Twine(i) + " has a negative size: " + extents().str(e));
    if (auto c = e.constant(); c && *c > 1 && llvm::MulOverflow(elements, *c, elements))
      fail("output " + llvm::Twine(i) + " has a shape whose number of bytes overflows 64 bits");
  }
  results[i] = std::move(tensor);
}

SmallVector<OpFoldResult> Node::ofrs(ArrayRef<Extent> shape) {
  SmallVector<OpFoldResult> sizes;
  for (const Extent &e : shape)
    sizes.push_back(ofr(e));
  return sizes;
}

int64_t Node::normaliseAxis(int64_t axis, int64_t rank) const {
  if (axis < -rank || axis >= rank)
    fail("axis " + llvm::Twine(axis) + " is outside a tensor of rank " + llvm::Twine(rank));
  return axis < 0 ? axis + rank : axis;
}

std::vector<int64_t> Node::normaliseAxes(ArrayRef<int64_t> axes, int64_t rank) const {
  std::vector<int64_t> result;
  for (int64_t axis : axes)
    result.push_back(normaliseAxis(axis, rank));
  llvm::sort(result);
  check(std::adjacent_find(result.begin(), result.end()) == result.end(), "an axis is named twice");
  return result;
}

//===--------------------------------------------------------------------------------------------===//
// Run-time checks
//===--------------------------------------------------------------------------------------------===//

void Node::require(const Extent &condition, const llvm::Twine &message) {
  if (auto known = condition.constant()) {
    check(*known != 0, message);
    return;
  }
  bool early = extents().fromSymbols(condition);
  if (!importer.required.insert({early ? nullptr : builder().getInsertionBlock(), condition})
           .second)
    return;
  OpBuilder header(extents().header());
  OpBuilder &place = early ? header : builder();
  Value holds = extents().condition(place, loc(), condition);
  cf::AssertOp::create(place, loc(), holds, describe(*this) + message.str());
}

void Node::requireEqual(const Extent &a, const Extent &b, const llvm::Twine &message) {
  Extent equal = extents().equal(a, b);
  if (equal.is(1))
    return;
  require(equal, message + " (" + extents().str(a) + " and " + extents().str(b) + ")");
  extents().assumeEqual(a, b);
}

} // namespace attune::onnx
