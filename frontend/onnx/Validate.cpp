#include "attune/frontend/onnx/Load.h"

#include "onnx/defs/schema.h"

namespace attune::onnx {

using ::onnx::GraphProto;
using ::onnx::NodeProto;

namespace {
struct Validator {
  ::onnx::ModelProto &model;
  std::set<std::pair<std::string, std::string>> functions;
  std::map<std::string, int64_t> opsets;
  std::set<std::string> nodeNames;
  int64_t count = 0;

  void run() {
    checkOpsets();
    for (const auto &f : model.functions())
      functions.insert({f.domain(), f.name()});
    checkTypes(model.graph().input(), "input");
    checkTypes(model.graph().output(), "output");
    visit(*model.mutable_graph(), {});
    for (auto &function : *model.mutable_functions()) {
      std::set<std::string> defined(function.input().begin(), function.input().end());
      visitNodes(*function.mutable_node(), defined, "function '" + function.name() + "'",
                 /*inFunction=*/true);
    }
  }

  void checkOpsets() {
    if (model.opset_import_size() == 0)
      throw ImportError("the model names no opset; it is truncated or not an ONNX model");
    const auto &known = ::onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
    for (const auto &import : model.opset_import()) {
      std::string domain = import.domain() == "ai.onnx" ? "" : import.domain();
      opsets[domain] = import.version();
      auto it = known.find(domain);
      if (it != known.end() && import.version() > it->second.second)
        throw ImportError("unsupported: opset " + std::to_string(import.version()) +
                          " of domain '" + (domain.empty() ? "ai.onnx" : domain) +
                          "'; accepted: up to " + std::to_string(it->second.second));
      if (import.version() < 1)
        throw ImportError("opset " + std::to_string(import.version()) +
                          " is not valid; accepted: 1 or more");
    }
    if (model.ir_version() > ::onnx::IR_VERSION)
      throw ImportError("unsupported: ONNX IR version " + std::to_string(model.ir_version()) +
                        "; accepted: up to " + std::to_string(int(::onnx::IR_VERSION)));
    if (model.ir_version() < 1)
      throw ImportError("the model has no IR version; it is truncated or not an ONNX model");
  }

  template <typename Values> void checkTypes(const Values &values, const std::string &kind) {
    for (const auto &value : values) {
      std::string what = kind + " '" + value.name() + "'";
      if (!value.type().has_tensor_type())
        throw ImportError("unsupported: " + what + " is not a tensor");
      int64_t product = 1;
      for (const auto &dim : value.type().tensor_type().shape().dim()) {
        if (!dim.has_dim_value())
          continue;
        if (dim.dim_value() < 0)
          throw ImportError(what + " has the negative size " + std::to_string(dim.dim_value()) +
                            "; accepted: sizes of 0 or more, or a symbol");
        if (llvm::MulOverflow(product, dim.dim_value(), product) || product > (int64_t(1) << 60))
          throw ImportError(what + " has a shape whose number of elements overflows 64 bits");
      }
    }
  }

  void visit(GraphProto &graph, std::set<std::string> defined) {
    if (graph.sparse_initializer_size())
      throw ImportError("unsupported: sparse initialiser '" +
                        graph.sparse_initializer(0).values().name() + "'; accepted: dense ones");
    for (const auto &value : graph.input())
      defined.insert(value.name());
    for (const auto &value : graph.initializer())
      defined.insert(value.name());
    visitNodes(*graph.mutable_node(), defined, "graph '" + graph.name() + "'");
    for (const auto &value : graph.output())
      if (!defined.count(value.name()))
        throw ImportError("output '" + value.name() + "' of graph '" + graph.name() +
                          "' is not computed by any node");
  }

  template <typename Nodes>
  void visitNodes(Nodes &nodes, std::set<std::string> &defined, const std::string &where,
                  bool inFunction = false) {
    std::map<std::string, const NodeProto *> producers;
    for (auto &node : nodes) {
      if (node.name().empty() || !nodeNames.insert(node.name()).second) {
        std::string base = node.name().empty() ? node.op_type() : node.name();
        do
          node.set_name(base + "_" + std::to_string(count++));
        while (!nodeNames.insert(node.name()).second);
      }
      for (const auto &output : node.output())
        producers.try_emplace(output, &node);
    }
    for (auto &node : nodes) {
      // Function bodies have opset imports of their own; they are checked once inlined.
      if (!inFunction)
        checkOperator(node);
      for (const auto &input : node.input()) {
        if (input.empty() || defined.count(input))
          continue;
        auto later = producers.find(input);
        if (later == producers.end())
          throw ImportError(describe(node) + " reads '" + input + "', which nothing in " + where +
                            " defines");
        throw ImportError(describe(node) + " reads '" + input + "', which node '" +
                          later->second->name() + "' computes only later: " + where +
                          " has a cycle or is not sorted");
      }
      for (auto &attribute : *node.mutable_attribute()) {
        if (attribute.has_g())
          visit(*attribute.mutable_g(), defined);
        for (auto &graph : *attribute.mutable_graphs())
          visit(graph, defined);
      }
      for (const auto &output : node.output())
        if (!output.empty())
          defined.insert(output);
    }
  }

  static std::string describe(const NodeProto &node) {
    return "node '" + node.name() + "' (" + node.op_type() + ")";
  }

  void checkOperator(const NodeProto &node) {
    std::string domain = node.domain() == "ai.onnx" ? "" : node.domain();
    if (functions.count({node.domain(), node.op_type()}))
      return;
    auto opset = opsets.find(domain);
    if (opset == opsets.end())
      return;
    const auto &known = ::onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
    if (!known.count(domain))
      return;
    const auto *schema = ::onnx::OpSchemaRegistry::Schema(node.op_type(), opset->second, domain);
    if (schema)
      return checkCall(node, *schema);
    throw ImportError("unsupported: node '" + node.name() + "': operator " + node.op_type() +
                      " does not exist in opset " + std::to_string(opset->second) + " of domain '" +
                      (domain.empty() ? "ai.onnx" : domain) + "'");
  }

  static void checkCall(const NodeProto &node, const ::onnx::OpSchema &schema) {
    auto checkCount = [&](const char *what, int found, int least, int most) {
      if (found < least || found > most)
        throw ImportError(describe(node) + " has " + std::to_string(found) + " " + what +
                          "; accepted: " + std::to_string(least) +
                          (most == least ? ""
                           : most == std::numeric_limits<int>::max()
                               ? " or more"
                               : " to " + std::to_string(most)));
    };
    checkCount("inputs", node.input_size(), schema.min_input(), schema.max_input());
    checkCount("outputs", node.output_size(), schema.min_output(), schema.max_output());
    for (const auto &attribute : node.attribute())
      if (!schema.attributes().count(attribute.name())) {
        std::string known;
        for (const auto &[name, unused] : schema.attributes())
          known += (known.empty() ? "" : ", ") + name;
        throw ImportError(describe(node) + " has an attribute '" + attribute.name() +
                          "'; accepted: " + (known.empty() ? "none" : known));
      }
  }
};
} // namespace

void validate(::onnx::ModelProto &model) { Validator{model, {}, {}, {}}.run(); }

} // namespace attune::onnx
