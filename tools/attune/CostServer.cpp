#include "attune/tools/attune/CostServer.h"
#include "attune/tools/attune/CostReport.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Chrono.h"
#include "llvm/Support/FileSystem.h"

#include <istream>
#include <list>
#include <tuple>

namespace attune::tools {

namespace json = llvm::json;

namespace {

constexpr llvm::StringRef kKeys[] = {"id", "model", "dims", "shapes", "threads"};

struct Request {
  std::string model;
  CostRequest call;
};

/// Sizes of the request are put over the defaults.
llvm::Expected<Request> readRequest(const json::Object &object, const CostRequest &defaults) {
  for (const auto &entry : object)
    if (!llvm::is_contained(kKeys, llvm::StringRef(entry.first)))
      return llvm::createStringError("unknown key `" + entry.first.str() +
                                     "`: a request has model, dims, shapes, threads and id");
  Request request{"", defaults};
  if (std::optional<llvm::StringRef> model = object.getString("model"))
    request.model = model->str();
  if (request.model.empty())
    return llvm::createStringError("expected `model`, the path of a model");
  int64_t threads = defaults.threads;
  std::map<std::string, int64_t> dims;
  std::map<std::string, std::vector<int64_t>> shapes;
  json::Path::Root root("request");
  auto take = [&](llvm::StringRef key, auto &target) {
    const json::Value *value = object.get(key);
    return !value || json::fromJSON(*value, target, json::Path(root).field(key));
  };
  if (!take("dims", dims) || !take("shapes", shapes) || !take("threads", threads))
    return root.getError();
  auto isNegative = [](int64_t size) { return size < 0; };
  if (llvm::any_of(dims, [&](const auto &dim) { return isNegative(dim.second); }) ||
      llvm::any_of(shapes, [&](const auto &s) { return llvm::any_of(s.second, isNegative); }))
    return llvm::createStringError("a size is negative");
  if (threads < 1 || threads > std::numeric_limits<int32_t>::max())
    return llvm::createStringError("`threads` is at least 1");
  for (auto &[name, size] : dims)
    request.call.dims[name] = size;
  for (auto &[name, shape] : shapes)
    request.call.shapes[name] = std::move(shape);
  request.call.threads = threads;
  return request;
}

/// The models that were asked for last, compiled up to their kernels.
class KnownModels {
public:
  explicit KnownModels(const CompileOptions &options) : options(options) {}

  /// What was measured of alternatives is kept by number of threads, so a model may differ by it.
  llvm::Expected<const ModelCosts *> find(const std::string &path, unsigned threads) {
    llvm::sys::fs::file_status status;
    if (llvm::sys::fs::status(path, status))
      status = llvm::sys::fs::file_status(); // compiling it says what is wrong
    Key key{path, status.getLastModificationTime(), status.getSize(), threads};
    auto known = llvm::find_if(models, [&](const Model &model) { return model.key == key; });
    if (known == models.end()) {
      CompileOptions own = options;
      own.threads = threads;
      auto costs = ModelCosts::open(path, std::move(own));
      if (!costs)
        return costs.takeError();
      models.push_front({std::move(key), std::move(*costs)});
      if (models.size() > kMost)
        models.pop_back();
    } else {
      models.splice(models.begin(), models, known);
    }
    return &models.front().costs;
  }

private:
  static constexpr size_t kMost = 4; // their weights are in memory
  using Key = std::tuple<std::string, llvm::sys::TimePoint<>, uint64_t, unsigned>;
  struct Model {
    Key key;
    ModelCosts costs;
  };
  const CompileOptions &options;
  std::list<Model> models; // last used first
};

llvm::Expected<json::Value> answer(const json::Object &object, KnownModels &models,
                                   const CostRequest &defaults, EnergyChoice energy) {
  auto request = readRequest(object, defaults);
  if (!request)
    return request.takeError();
  auto costs = models.find(request->model, request->call.threads);
  if (!costs)
    return costs.takeError();
  auto cost = (*costs)->predict(request->call);
  if (!cost)
    return cost.takeError();
  return CostReport((*costs)->report(), *cost, energy).toJson();
}

} // namespace

void serveCosts(std::istream &in, llvm::raw_ostream &out, const CompileOptions &options,
                const CostRequest &defaults, const EnergyChoice &energy) {
  KnownModels models(options);
  for (std::string line; std::getline(in, line);) {
    if (llvm::StringRef(line).trim().empty())
      continue;
    auto parsed = json::parse(line);
    const json::Object *object = parsed ? parsed->getAsObject() : nullptr;
    auto result = object    ? answer(*object, models, defaults, energy)
                  : !parsed ? llvm::Expected<json::Value>(parsed.takeError())
                            : llvm::createStringError("expected a JSON object");
    json::Object reply;
    if (result)
      reply = std::move(*result->getAsObject());
    else
      reply["error"] = json::fixUTF8(llvm::toString(result.takeError()));
    if (const json::Value *id = object ? object->get("id") : nullptr)
      reply["id"] = *id;
    out << json::Value(std::move(reply)) << "\n";
    out.flush();
  }
}

} // namespace attune::tools
