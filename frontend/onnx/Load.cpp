#include "attune/frontend/onnx/Load.h"

#include "llvm/Support/FileSystem.h"
#include <fcntl.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/stubs/logging.h>

namespace attune::onnx {

::onnx::ModelProto parseModel(const std::string &path) {
  uint64_t size = 0;
  if (auto error = llvm::sys::fs::file_size(path, size))
    throw ImportError("cannot read " + path + ": " + error.message());
  if (llvm::sys::fs::is_directory(path))
    throw ImportError("cannot read " + path + ": it is a folder");
  if (size == 0)
    throw ImportError(path + " is empty; an ONNX model is needed");
  if (size > uint64_t(std::numeric_limits<int>::max()))
    throw ImportError(
        path + " has " + std::to_string(size) +
        " bytes; an ONNX file holds at most 2 GB: store the weights as external data");
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    throw ImportError("cannot read " + path + ": " + strerror(errno));
  // In blocks: a mapped file would be in memory a second time.
  google::protobuf::io::FileInputStream blocks(fd);
  blocks.SetCloseOnDelete(true);
  google::protobuf::LogSilencer silent;
  ::onnx::ModelProto model;
  google::protobuf::io::CodedInputStream stream(&blocks);
  stream.SetTotalBytesLimit(std::numeric_limits<int>::max());
  if (!model.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    throw ImportError(path + " cannot be parsed: it is truncated, not an ONNX model, or nests "
                             "subgraphs more than about 30 deep");
  if (!model.has_graph() && model.functions_size() == 0)
    throw ImportError(path + " has no graph; it is truncated or not an ONNX model");
  return model;
}

static void addFunctions(::onnx::ModelProto &model, const std::string &path) {
  ::onnx::ModelProto library = parseModel(path);
  for (const auto &function : library.functions()) {
    bool present = llvm::any_of(model.functions(), [&](const auto &own) {
      return own.name() == function.name() && own.domain() == function.domain();
    });
    if (!present)
      *model.add_functions() = function;
    bool imported = llvm::any_of(model.opset_import(), [&](const auto &import) {
      return import.domain() == function.domain();
    });
    if (!imported) {
      auto *import = model.add_opset_import();
      import->set_domain(function.domain());
      import->set_version(1);
    }
  }
}

static void fixShapes(::onnx::ModelProto &model, const ImportOptions &options) {
  std::map<std::string, int64_t> dims = options.fixedDims;
  std::set<std::string> inputs, symbols;
  for (auto &input : *model.mutable_graph()->mutable_input()) {
    inputs.insert(input.name());
    auto fixed = options.fixedShapes.find(input.name());
    auto *type = input.mutable_type()->mutable_tensor_type();
    for (const auto &dim : type->shape().dim())
      symbols.insert(dim.dim_param());
    if (fixed == options.fixedShapes.end())
      continue;
    if (!type->has_shape())
      for (size_t i = 0; i < fixed->second.size(); ++i)
        type->mutable_shape()->add_dim();
    if (type->shape().dim_size() != int(fixed->second.size()))
      throw ImportError("input '" + input.name() + "' has " +
                        std::to_string(type->shape().dim_size()) + " axes, the given shape has " +
                        std::to_string(fixed->second.size()));
    for (int axis = 0; axis < type->shape().dim_size(); ++axis) {
      auto *dim = type->mutable_shape()->mutable_dim(axis);
      int64_t size = fixed->second[axis];
      bool clash = dim->has_dim_value() && dim->dim_value() != size;
      if (dim->has_dim_param()) {
        auto [it, isNew] = dims.try_emplace(dim->dim_param(), size);
        clash |= it->second != size;
      }
      if (clash)
        throw ImportError("input '" + input.name() + "', axis " + std::to_string(axis) +
                          ": the given size " + std::to_string(size) +
                          " contradicts the model or another given size");
      dim->set_dim_value(size);
    }
  }
  for (const auto &[name, shape] : options.fixedShapes)
    if (!inputs.count(name))
      throw ImportError("the model has no input '" + name + "'");
  for (const auto &[name, size] : options.fixedDims)
    if (!symbols.count(name))
      throw ImportError("no input of the model has a dim symbol '" + name + "'");
  auto *graph = model.mutable_graph();
  for (auto *values :
       {graph->mutable_input(), graph->mutable_output(), graph->mutable_value_info()})
    for (auto &value : *values)
      if (value.type().has_tensor_type() && value.type().tensor_type().has_shape())
        for (auto &dim :
             *value.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim())
          if (auto it = dims.find(dim.dim_param()); dim.has_dim_param() && it != dims.end())
            dim.set_dim_value(it->second);
}

int64_t LoadedModel::opset(const std::string &domain) const {
  for (const auto &import : model.opset_import())
    if (import.domain() == domain || (domain.empty() && import.domain() == "ai.onnx"))
      return import.version();
  return 0;
}

LoadedModel loadModel(const std::string &path, const ImportOptions &options) {
  LoadedModel loaded;
  loaded.model = parseModel(path);
  if (!loaded.model.has_graph())
    throw ImportError(path + " has no graph; it is truncated or not an ONNX model");
  for (const std::string &library : options.functions)
    addFunctions(loaded.model, library);
  nameDomains(loaded.model);
  validate(loaded.model);
  fixShapes(loaded.model, options);
  detachWeights(loaded.model, path, loaded.weights);
  normalise(loaded.model);
  return loaded;
}

} // namespace attune::onnx
