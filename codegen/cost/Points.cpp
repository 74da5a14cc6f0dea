#include "attune/codegen/cost/Points.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cmath>

namespace attune::codegen {

namespace json = llvm::json;

namespace {

/// The numbers of a description, under their names in a file; `visit(name, number)`.
template <class Features, class Visit> void eachNumber(Features &f, Visit visit) {
  visit("fma", f.work.fma);
  visit("arithmetic", f.work.arithmetic);
  visit("transcendental", f.work.transcendental);
  visit("multiply", f.work.multiply);
  visit("shift", f.work.shift);
  visit("distance", f.work.distance);
  visit("bytes", f.work.bytes);
  visit("weight_bytes", f.weightBytes);
  visit("distant_bytes", f.distantBytes);
  visit("strided_bytes", f.stridedBytes);
  visit("gathered_bytes", f.gatheredBytes);
  visit("buffers", f.buffers);
  visit("tasks", f.plan.tasks);
  visit("padding", f.plan.padding);
  visit("visited", f.plan.visited);
  visit("copied", f.plan.copied);
  visit("rows", f.plan.rows);
  visit("columns", f.plan.columns);
  visit("instructions", f.plan.instructions);
  visit("starts", f.plan.starts);
  visit("strided", f.plan.strided);
}

} // namespace

json::Value toJson(const KernelFeatures &features) {
  json::Object object{{"emitter", features.emitter}};
  if (!features.form.empty())
    object["form"] = features.form;
  // What is absent counts as in a description of nothing.
  KernelFeatures nothing;
  std::vector<double> defaults;
  eachNumber(nothing, [&](llvm::StringRef, double value) { defaults.push_back(value); });
  auto usual = defaults.begin();
  eachNumber(features, [&](llvm::StringRef name, double value) {
    if (value != *usual++)
      object[name] = value;
  });
  json::Array counts, uses;
  for (const BufferUse &use : features.uses)
    uses.push_back(
        json::Array{static_cast<int64_t>(use.kind), use.written, use.bytes, use.distance});
  if (!uses.empty())
    object["uses"] = std::move(uses);
  for (const OpCount &count : features.counts)
    counts.push_back(json::Array{static_cast<int64_t>(count.kind), count.bits, count.count});
  if (!counts.empty())
    object["counts"] = std::move(counts);
  return object;
}

llvm::Expected<KernelFeatures> featuresFromJson(const json::Value &value) {
  const json::Object *object = value.getAsObject();
  if (!object || !object->getString("emitter"))
    return llvm::createStringError("a kernel has no emitter");
  KernelFeatures features;
  features.emitter = object->getString("emitter")->str();
  features.form = object->getString("form").value_or("").str();
  bool valid = true;
  eachNumber(features, [&](llvm::StringRef name, double &number) {
    number = object->getNumber(name).value_or(number);
    valid &= std::isfinite(number) && number >= 0;
  });
  if (const json::Array *counts = object->getArray("counts"))
    for (const json::Value &entry : *counts) {
      const json::Array *fields = entry.getAsArray();
      if (!fields || fields->size() != 3)
        return llvm::createStringError("a count is no triple of class, bits, number");
      std::optional<int64_t> kind = (*fields)[0].getAsInteger(), bits = (*fields)[1].getAsInteger();
      std::optional<double> number = (*fields)[2].getAsNumber();
      if (!kind || *kind < 0 || *kind >= int64_t(WorkTerm::kClasses) || !bits || !number)
        return llvm::createStringError("a count is no triple of class, bits, number");
      features.counts.push_back(
          {static_cast<WorkTerm::Class>(*kind), static_cast<unsigned>(*bits), *number});
    }
  if (const json::Array *uses = object->getArray("uses"))
    for (const json::Value &entry : *uses) {
      const json::Array *fields = entry.getAsArray();
      bool complete = fields && fields->size() == 4;
      std::optional<int64_t> kind = complete ? (*fields)[0].getAsInteger() : std::nullopt;
      std::optional<bool> written = complete ? (*fields)[1].getAsBoolean() : std::nullopt;
      std::optional<double> bytes = complete ? (*fields)[2].getAsNumber() : std::nullopt,
                            distance = complete ? (*fields)[3].getAsNumber() : std::nullopt;
      if (!kind || *kind < 0 || *kind > int64_t(BufferUse::Kind::Distant) || !written || !bytes ||
          !distance)
        return llvm::createStringError(
            "a buffer is no quadruple of kind, written, bytes, distance");
      valid &= *bytes >= 0 && *distance >= 0;
      features.uses.push_back({static_cast<BufferUse::Kind>(*kind), *written, *bytes, *distance});
    }
  if (!valid)
    return llvm::createStringError("a number of a kernel is negative or not finite");
  return features;
}

json::Value Points::toJson() const {
  json::Array list;
  for (const MeasuredKernel &kernel : kernels)
    list.push_back(json::Object{{"network", kernel.network},
                                {"sizes", kernel.sizes},
                                {"call", kernel.call},
                                {"resident", kernel.resident},
                                {"threads", kernel.threads},
                                {"seconds", kernel.seconds},
                                {"features", codegen::toJson(kernel.features)}});
  return json::Object{{"machine", machine.toJson()}, {"kernels", std::move(list)}};
}

/// More than any machine has; negative numbers are read as such.
static constexpr unsigned kMostThreads = 1u << 16;

static llvm::Error parse(const json::Value &value, Points &points) {
  const json::Object *object = value.getAsObject();
  const json::Value *machine = object ? object->get("machine") : nullptr;
  const json::Array *kernels = object ? object->getArray("kernels") : nullptr;
  if (!machine || !kernels)
    return llvm::createStringError("it lacks `machine` or `kernels`");
  if (llvm::Error error = Machine::fromJson(*machine).moveInto(points.machine))
    return error;
  for (const json::Value &entry : *kernels) {
    json::Path::Root root("point");
    json::ObjectMapper map(entry, root);
    MeasuredKernel &kernel = points.kernels.emplace_back();
    if (!map || !map.map("network", kernel.network) || !map.map("sizes", kernel.sizes) ||
        !map.map("call", kernel.call) || !map.map("resident", kernel.resident) ||
        !map.map("threads", kernel.threads) || !map.map("seconds", kernel.seconds))
      return root.getError();
    const json::Value *features = entry.getAsObject()->get("features");
    if (!features || !kernel.threads || kernel.threads > kMostThreads || !(kernel.seconds >= 0) ||
        !(kernel.resident >= 0))
      return llvm::createStringError("a point lacks features, threads, bytes or a time");
    if (llvm::Error error = featuresFromJson(*features).moveInto(kernel.features))
      return error;
  }
  return llvm::Error::success();
}

llvm::Expected<Points> Points::read(llvm::StringRef path) {
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return llvm::createStringError(file.getError(), "cannot read the points `" + path +
                                                        "`: " + file.getError().message());
  auto value = json::parse((*file)->getBuffer());
  Points points;
  llvm::Error error = value ? parse(*value, points) : value.takeError();
  if (error)
    return llvm::createStringError("`" + path + "` holds no points of this version (" +
                                   llvm::toString(std::move(error)) + ")");
  return points;
}

} // namespace attune::codegen
