#include "attune/codegen/Program.h"

using namespace attune::codegen;
namespace json = llvm::json;

static json::Array numbers(const std::vector<int64_t> &values) {
  json::Array array;
  for (int64_t value : values)
    array.push_back(value);
  return array;
}

static json::Array ports(const std::vector<Program::Port> &list) {
  json::Array array;
  for (const Program::Port &port : list) {
    json::Array shape;
    for (auto [symbol, extent] : llvm::zip(port.symbols, port.extents)) {
      if (symbol.empty())
        shape.push_back(extent);
      else
        shape.push_back(symbol);
    }
    array.push_back(json::Object{{"name", port.name},
                                 {"dtype", port.dtype},
                                 {"value", port.value},
                                 {"shape", std::move(shape)}});
  }
  return array;
}

static json::Object value(const Program::Value &v) {
  json::Object object{{"dtype", v.dtype}, {"shape", numbers(v.shape)}};
  switch (v.kind) {
  case Program::Kind::Input:
    object["kind"] = "input";
    object["index"] = v.index;
    break;
  case Program::Kind::Output:
    object["kind"] = "output";
    object["index"] = v.index;
    break;
  case Program::Kind::Weight:
    object["kind"] = "weight";
    object["offset"] = v.offset;
    object["bytes"] = v.bytes;
    break;
  case Program::Kind::Arena:
    object["kind"] = "arena";
    object["slot"] = v.slot;
    object["bytes"] = v.bytes;
    break;
  case Program::Kind::Dynamic:
    object["kind"] = "dynamic";
    object["bytes"] = v.bytes;
    break;
  }
  return object;
}

static json::Object step(const Program::Step &s) {
  switch (s.kind) {
  case Program::Step::Kind::Load:
    return json::Object{{"load", s.buffers[0]}, {"index", s.index}, {"scalar", s.scalar}};
  case Program::Step::Kind::Copy:
    return json::Object{{"copy", numbers(s.buffers)}, {"bytes", s.scalar}};
  case Program::Step::Kind::Kernel:
    break;
  }
  return json::Object{{"kernel", s.kernel},
                      {"buffers", numbers(s.buffers)},
                      {"dims", numbers(s.dims)},
                      {"flops", s.flops},
                      {"bytes", s.bytes}};
}

json::Value Program::toJson(llvm::StringRef compiler, llvm::StringRef cpu) const {
  json::Array scalarList, valueList, stepList, kernelList, checkList, aliasList, slotList;
  for (const Scalar &scalar : scalars) {
    json::Array entry{scalar.op};
    for (int64_t operand : scalar.operands)
      entry.push_back(operand);
    scalarList.push_back(std::move(entry));
  }
  for (const Value &v : values)
    valueList.push_back(value(v));
  for (const Step &s : steps)
    stepList.push_back(step(s));
  for (const Kernel &kernel : kernels) {
    json::Array nodes;
    for (const std::string &node : kernel.nodes)
      nodes.push_back(json::fixUTF8(node));
    kernelList.push_back(json::Object{{"symbol", kernel.symbol},
                                      {"name", kernel.name},
                                      {"emitter", kernel.emitter},
                                      {"backend", kernel.backend},
                                      {"hash", kernel.hash},
                                      {"nodes", std::move(nodes)}});
  }
  for (const Check &check : checks)
    checkList.push_back(json::Object{{"scalar", check.scalar}, {"message", check.message}});
  for (const Alias &alias : aliases)
    aliasList.push_back(
        json::Object{{"input", alias.input}, {"output", alias.output}, {"axis", alias.axis}});
  for (const std::vector<int64_t> &slot : slots)
    slotList.push_back(numbers(slot));
  return json::Object{{"format", 1},
                      {"compiler", compiler},
                      {"cpu", cpu},
                      {"target", target},
                      {"model", json::fixUTF8(model)},
                      {"inputs", ports(inputs)},
                      {"outputs", ports(outputs)},
                      {"aliases", std::move(aliasList)},
                      {"scalars", std::move(scalarList)},
                      {"checks", std::move(checkList)},
                      {"values", std::move(valueList)},
                      {"slots", std::move(slotList)},
                      {"kernels", std::move(kernelList)},
                      {"steps", std::move(stepList)}};
}
