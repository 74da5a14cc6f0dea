#include "attune/runtime/Program.h"
#include "attune/runtime/DType.h"
#include "attune/runtime/Error.h"
#include "attune/runtime/artifact.h"
#include <algorithm>
#include <nlohmann/json.hpp>

namespace attune::rt {
namespace {

using nlohmann::json;

constexpr size_t kMaxRank = 64;

/// One place in the metadata: the JSON value and how to name it in a message.
class Node {
public:
  Node(const json &value, std::string where) : value(value), where(std::move(where)) {}

  template <class... Parts> [[noreturn]] void damaged(const Parts &...parts) const {
    fail(ATTUNE_ERROR_ARTIFACT, "damaged metadata: ", where, ": ", parts...);
  }

  bool has(const char *key) const { return value.is_object() && value.contains(key); }
  Node operator[](const char *key) const {
    if (!has(key))
      damaged("`", key, "` is missing");
    return {value[key], where + "." + key};
  }
  size_t size() const {
    if (!value.is_array())
      damaged("expected a list");
    return value.size();
  }
  Node operator[](size_t i) const {
    if (i >= size())
      damaged("expected more than ", i, " entries, found ", size());
    return {value[i], text(where, "[", i, "]")};
  }
  template <class Visit> void forEach(Visit visit) const {
    for (size_t i = 0, n = size(); i < n; ++i)
      visit((*this)[i]);
  }
  std::string string() const {
    if (!value.is_string())
      damaged("expected a string");
    return value.get<std::string>();
  }
  bool isString() const { return value.is_string(); }
  int64_t integer() const {
    if (!value.is_number_integer() ||
        (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t(INT64_MAX)))
      damaged("expected a 64-bit integer");
    return value.get<int64_t>();
  }
  uint64_t natural() const {
    int64_t number = integer();
    if (number < 0)
      damaged("expected a number >= 0, found ", number);
    return uint64_t(number);
  }
  uint32_t below(size_t limit, const char *what) const {
    int64_t number = integer();
    if (number < 0 || uint64_t(number) >= limit || number > INT32_MAX)
      damaged("there is no ", what, " ", number, " (there are ", limit, ")");
    return uint32_t(number);
  }

private:
  const json &value;
  std::string where;
};

class Parser {
public:
  Parser(const json &root, uint64_t weightsSize) : root(root, "root"), weightsSize(weightsSize) {}
  Program parse();

private:
  Port parsePort(const Node &node);
  Scalar parseScalar(const Node &node, size_t position);
  Value parseValue(const Node &node);
  Step parseStep(const Node &node);
  void parseAlias(const Node &node);
  void definePhases();
  void checkPorts(const std::vector<Port> &ports, ValueKind kind, const char *what);
  void checkPlan();
  void checkSteps();

  uint32_t scalar(const Node &node) const { return node.below(program.scalars.size(), "scalar"); }
  std::vector<uint32_t> scalarList(const Node &node) const;

  Node root;
  uint64_t weightsSize;
  Program program;
};

Port Parser::parsePort(const Node &node) {
  Port port;
  port.name = node["name"].string();
  port.dtype = dtypeParse(node["dtype"].string());
  if (!port.dtype)
    node.damaged("unknown dtype `", node["dtype"].string(), "`");
  port.value = node["value"].below(program.values.size(), "value");
  if (node["shape"].size() > kMaxRank)
    node.damaged("rank ", node["shape"].size(), " is above ", kMaxRank);
  node["shape"].forEach([&](const Node &extent) {
    bool symbolic = extent.isString();
    port.shape.push_back(symbolic ? -1 : int64_t(extent.natural()));
    port.symbols.push_back(symbolic ? extent.string() : "");
  });
  return port;
}

Scalar Parser::parseScalar(const Node &node, size_t position) {
  static constexpr struct {
    const char *name;
    ScalarOp op;
    size_t operands;
  } kOps[] = {{"const", ScalarOp::Const, 1},
              {"dim", ScalarOp::Dim, 2},
              {"threads", ScalarOp::Threads, 0},
              {"in_capacity", ScalarOp::InCapacity, 2},
              {"out_capacity", ScalarOp::OutCapacity, 2},
              {"add", ScalarOp::Add, 2},
              {"sub", ScalarOp::Sub, 2},
              {"mul", ScalarOp::Mul, 2},
              {"floordiv", ScalarOp::FloorDiv, 2},
              {"ceildiv", ScalarOp::CeilDiv, 2},
              {"mod", ScalarOp::Mod, 2},
              {"min", ScalarOp::Min, 2},
              {"max", ScalarOp::Max, 2},
              {"eq", ScalarOp::Eq, 2},
              {"ne", ScalarOp::Ne, 2},
              {"lt", ScalarOp::Lt, 2},
              {"le", ScalarOp::Le, 2},
              {"and", ScalarOp::And, 2},
              {"or", ScalarOp::Or, 2},
              {"not", ScalarOp::Not, 1},
              {"select", ScalarOp::Select, 3},
              {"loaded", ScalarOp::Loaded, 0}};
  std::string name = node[size_t(0)].string();
  const auto *found = std::find_if(std::begin(kOps), std::end(kOps),
                                   [&](const auto &op) { return name == op.name; });
  if (found == std::end(kOps))
    node.damaged("unknown instruction `", name, "`");
  if (node.size() != 1 + found->operands)
    node.damaged("`", name, "` takes ", found->operands, " operands");

  Scalar result;
  result.op = found->op;
  auto operand = [&](size_t i) { return int64_t(node[i].below(position, "earlier scalar")); };
  auto aliasOf = [&](bool input) {
    for (const Alias &alias : program.aliases)
      if ((input ? alias.input : alias.output) == result.a)
        return;
    node.damaged("there is no alias of ", input ? "input " : "output ", result.a);
  };
  switch (result.op) {
  case ScalarOp::Const:
    result.a = node[1].integer();
    break;
  case ScalarOp::Dim:
    result.a = node[1].below(program.inputs.size(), "input");
    result.b = node[2].below(program.inputs[result.a].shape.size(), "axis");
    break;
  case ScalarOp::InCapacity:
    result.a = node[1].below(program.inputs.size(), "input");
    result.b = operand(2);
    aliasOf(true);
    program.stridedInputs[result.a] = true;
    break;
  case ScalarOp::OutCapacity:
    result.a = node[1].below(program.outputs.size(), "output");
    result.b = operand(2);
    aliasOf(false);
    program.stridedOutputs[result.a] = true;
    break;
  default:
    if (found->operands > 0)
      result.a = operand(1);
    if (found->operands > 1)
      result.b = operand(2);
    if (found->operands > 2)
      result.c = operand(3);
  }
  return result;
}

std::vector<uint32_t> Parser::scalarList(const Node &node) const {
  std::vector<uint32_t> list;
  node.forEach([&](const Node &entry) { list.push_back(scalar(entry)); });
  return list;
}

Value Parser::parseValue(const Node &node) {
  Value value;
  value.dtype = dtypeParse(node["dtype"].string());
  if (!value.dtype)
    node.damaged("unknown dtype `", node["dtype"].string(), "`");
  value.shape = scalarList(node["shape"]);
  if (value.shape.size() > kMaxRank)
    node.damaged("rank ", value.shape.size(), " is above ", kMaxRank);
  std::string kind = node["kind"].string();
  if (kind == "input") {
    value.kind = ValueKind::Input;
    value.index = node["index"].below(root["inputs"].size(), "input");
  } else if (kind == "output") {
    value.kind = ValueKind::Output;
    value.index = node["index"].below(root["outputs"].size(), "output");
  } else if (kind == "weight") {
    value.kind = ValueKind::Weight;
    value.offset = node["offset"].natural();
    value.weightBytes = node["bytes"].natural();
    if (value.offset % artifact::kWeightAlign || value.offset > weightsSize ||
        value.weightBytes > weightsSize - value.offset)
      node.damaged("weight at ", value.offset, " of ", value.weightBytes,
                   " bytes is not aligned or not inside the ", weightsSize, " bytes of weights");
  } else if (kind == "arena") {
    value.kind = ValueKind::Arena;
    value.index = node["slot"].below(program.slots.size(), "slot");
    value.bytes = scalar(node["bytes"]);
  } else if (kind == "dynamic") {
    value.kind = ValueKind::Dynamic;
    value.bytes = scalar(node["bytes"]);
  } else {
    node.damaged("unknown kind `", kind, "`");
  }
  return value;
}

Step Parser::parseStep(const Node &node) {
  Step step;
  auto optionalScalar = [&](const char *key) {
    return node.has(key) ? int32_t(scalar(node[key])) : -1;
  };
  auto valueAt = [&](const Node &entry) { return entry.below(program.values.size(), "value"); };
  if (node.has("kernel")) {
    step.kernel = node["kernel"].below(program.kernels.size(), "kernel");
    node["buffers"].forEach([&](const Node &entry) { step.buffers.push_back(valueAt(entry)); });
    step.dims = scalarList(node["dims"]);
    step.flops = optionalScalar("flops");
    step.bytes = optionalScalar("bytes");
  } else if (node.has("load")) {
    step.kind = ATTUNE_STEP_LOAD;
    step.buffers = {valueAt(node["load"])};
    step.element = int64_t(node["index"].natural());
    step.scalar = scalar(node["scalar"]);
    if (!isIntegral(program.values[step.buffers[0]].dtype))
      node.damaged("`load` of a tensor of ", dtypeText(program.values[step.buffers[0]].dtype));
    if (program.scalars[step.scalar].op != ScalarOp::Loaded)
      node.damaged("scalar ", step.scalar, " is not `loaded`");
  } else if (node.has("copy")) {
    step.kind = ATTUNE_STEP_COPY;
    if (node["copy"].size() != 2)
      node.damaged("`copy` takes two values");
    step.buffers = {valueAt(node["copy"][size_t(0)]), valueAt(node["copy"][1])};
    step.bytes = int32_t(scalar(node["bytes"]));
    ValueKind to = program.values[step.buffers[1]].kind;
    if (to == ValueKind::Input || to == ValueKind::Weight)
      node.damaged("`copy` into an input or a weight");
  } else {
    node.damaged("neither `kernel` nor `load` nor `copy`");
  }
  return step;
}

void Parser::parseAlias(const Node &node) {
  Alias alias;
  alias.input = node["input"].below(program.inputs.size(), "input");
  alias.output = node["output"].below(program.outputs.size(), "output");
  const Port &in = program.inputs[alias.input], &out = program.outputs[alias.output];
  alias.axis = node["axis"].below(in.shape.size(), "axis");
  if (in.dtype != out.dtype || in.shape.size() != out.shape.size())
    node.damaged("input and output differ in dtype or rank");
  for (const Alias &other : program.aliases)
    if (other.input == alias.input || other.output == alias.output)
      node.damaged("an input or output has two aliases");
  program.aliases.push_back(alias);
}

/// Finds out when every scalar is known. Scalars refer to earlier ones only, but a `load` step may
/// itself stand on scalars that are known late: phases grow along operands by construction, and
/// checkSteps demands that a step uses only what is known before it.
void Parser::definePhases() {
  std::vector<Phase> loadedBy(program.scalars.size(), kStart);
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step &step = program.steps[i];
    if (step.kind != ATTUNE_STEP_LOAD)
      continue;
    if (loadedBy[step.scalar] != kStart)
      root["steps"][i].damaged("scalar ", step.scalar, " is loaded twice");
    loadedBy[step.scalar] = Phase(i);
  }
  for (size_t i = 0; i < program.scalars.size(); ++i) {
    Scalar &scalar = program.scalars[i];
    auto after = [&](int64_t operand) {
      scalar.phase = std::max(scalar.phase, program.scalars[operand].phase);
    };
    switch (scalar.op) {
    case ScalarOp::Const:
    case ScalarOp::Dim:
    case ScalarOp::Threads:
      break;
    case ScalarOp::Loaded:
      if (loadedBy[i] == kStart)
        root["scalars"][i].damaged("no step loads this scalar");
      scalar.phase = loadedBy[i];
      continue;
    case ScalarOp::InCapacity:
    case ScalarOp::OutCapacity:
      after(scalar.b);
      break;
    default:
      after(scalar.a);
      if (scalar.op != ScalarOp::Not)
        after(scalar.b);
      if (scalar.op == ScalarOp::Select)
        after(scalar.c);
    }
    if (scalar.phase == kStart)
      program.evaluatedAtStart.push_back(uint32_t(i));
    else
      program.steps[scalar.phase].evaluates.push_back(uint32_t(i));
  }
  for (Value &value : program.values) {
    for (uint32_t extent : value.shape)
      value.phase = std::max(value.phase, program.scalars[extent].phase);
    if (value.kind == ValueKind::Arena || value.kind == ValueKind::Dynamic)
      value.phase = std::max(value.phase, program.scalars[value.bytes].phase);
  }
}

void Parser::checkPorts(const std::vector<Port> &ports, ValueKind kind, const char *what) {
  for (size_t i = 0; i < ports.size(); ++i) {
    const Value &value = program.values[ports[i].value];
    if (value.kind != kind || value.index != i || value.dtype != ports[i].dtype ||
        value.shape.size() != ports[i].shape.size())
      root[what][i].damaged("its value is of another kind, position, dtype or rank");
    if (kind == ValueKind::Input && value.phase != kStart)
      root[what][i].damaged("its shape depends on a `load`");
    for (size_t j = 0; j < i; ++j)
      if (ports[i].name == ports[j].name)
        root[what][i].damaged("the name `", ports[i].name, "` occurs twice");
  }
  for (size_t i = 0; i < program.values.size(); ++i) {
    const Value &value = program.values[i];
    if (value.kind == kind && ports[value.index].value != i)
      root["values"][i].damaged("two values stand for one ",
                                kind == ValueKind::Input ? "input" : "output");
  }
}

void Parser::checkPlan() {
  for (size_t i = 0; i < program.slots.size(); ++i)
    for (uint32_t size : program.slots[i])
      if (program.scalars[size].phase != kStart)
        root["slots"][i].damaged("a size depends on a `load`");
  for (size_t i = 0; i < program.values.size(); ++i)
    if (program.values[i].kind == ValueKind::Arena &&
        program.scalars[program.values[i].bytes].phase != kStart)
      root["values"][i].damaged("the size of an `arena` value depends on a `load`");
}

void Parser::checkSteps() {
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step &step = program.steps[i];
    auto known = [&](Phase phase) {
      if (phase >= Phase(i))
        root["steps"][i].damaged("uses a size that is loaded later");
    };
    for (uint32_t number : step.buffers) {
      Value &value = program.values[number];
      known(value.phase);
      if (value.firstUse < 0)
        value.firstUse = int32_t(i);
      value.lastUse = int32_t(i);
    }
    for (uint32_t dim : step.dims)
      known(program.scalars[dim].phase);
    for (int32_t number : {step.flops, step.bytes})
      if (number >= 0)
        known(program.scalars[number].phase);
  }
}

Program Parser::parse() {
  if (root["format"].integer() != artifact::kFormat)
    root["format"].damaged("expected ", artifact::kFormat);
  program.model = root["model"].string();
  program.compiler = root["compiler"].string();
  program.cpu = root["cpu"].string();
  if (root.has("target")) {
    std::string target = root["target"].string();
    if (target == "opencl")
      program.target = Target::OpenCl;
    else if (target == "cuda")
      program.target = Target::Cuda;
    else if (target != "cpu")
      fail(ATTUNE_ERROR_UNSUPPORTED, "unsupported: the model was compiled for the target `", target,
           "`, this runtime knows cpu, opencl and cuda");
  }

  // Sizes first: entries refer to each other in both directions.
  program.scalars.resize(root["scalars"].size());
  program.values.resize(root["values"].size());
  program.slots.resize(root["slots"].size());
  for (size_t i = 0; i < program.slots.size(); ++i)
    program.slots[i] = scalarList(root["slots"][i]);
  for (size_t i = 0; i < program.values.size(); ++i)
    program.values[i] = parseValue(root["values"][i]);
  root["inputs"].forEach([&](const Node &node) { program.inputs.push_back(parsePort(node)); });
  root["outputs"].forEach([&](const Node &node) { program.outputs.push_back(parsePort(node)); });
  program.stridedInputs.resize(program.inputs.size());
  program.stridedOutputs.resize(program.outputs.size());
  if (root.has("aliases"))
    root["aliases"].forEach([&](const Node &node) { parseAlias(node); });
  for (size_t i = 0; i < program.scalars.size(); ++i)
    program.scalars[i] = parseScalar(root["scalars"][i], i);
  if (root.has("checks"))
    root["checks"].forEach([&](const Node &node) {
      program.checks.push_back({scalar(node["scalar"]), node["message"].string()});
    });
  root["kernels"].forEach([&](const Node &node) {
    Kernel kernel;
    auto optional = [&](const char *key) { return node.has(key) ? node[key].string() : ""; };
    kernel.symbol = node["symbol"].string();
    kernel.name = node["name"].string();
    kernel.emitter = optional("emitter");
    kernel.backend = optional("backend");
    kernel.hash = optional("hash");
    if (node.has("nodes"))
      node["nodes"].forEach([&](const Node &name) { kernel.nodes.push_back(name.string()); });
    program.kernels.push_back(std::move(kernel));
  });
  if (root["steps"].size() > INT32_MAX)
    root["steps"].damaged("too many");
  root["steps"].forEach([&](const Node &node) { program.steps.push_back(parseStep(node)); });

  if (program.target == Target::OpenCl && !program.aliases.empty())
    root["aliases"].damaged("tensors of a device do not share memory");
  definePhases();
  checkPorts(program.inputs, ValueKind::Input, "inputs");
  checkPorts(program.outputs, ValueKind::Output, "outputs");
  checkPlan();
  checkSteps();
  return std::move(program);
}

} // namespace

Program Program::parse(const std::string &metadata, uint64_t weightsSize) {
  json root;
  try {
    root = json::parse(metadata);
  } catch (const json::exception &error) {
    fail(ATTUNE_ERROR_ARTIFACT, "damaged metadata: ", error.what());
  }
  try {
    return Parser(root, weightsSize).parse();
  } catch (const json::exception &error) {
    fail(ATTUNE_ERROR_ARTIFACT, "damaged metadata: ", error.what());
  }
}

} // namespace attune::rt
