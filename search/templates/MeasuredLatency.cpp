#include "attune/search/templates/MeasuredLatency.h"
#include "attune/codegen/cost/Oracle.h"
#include "attune/codegen/cost/UserFile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cmath>

namespace attune::search {

namespace json = llvm::json;

static constexpr int64_t kFormat = 1;

double LatencyPrediction::sigma() const {
  double variance = 0;
  for (const auto &[emitter, deviation] : deviations)
    variance += deviation * deviation;
  return std::hypot(std::sqrt(variance), codegen::kDrift);
}

void MeasuredLatency::set(Point point) {
  auto same = llvm::find_if(list, [&](const Point &other) {
    return other.id == point.id && other.threads == point.threads;
  });
  if (same == list.end())
    list.push_back(std::move(point));
  else
    *same = std::move(point);
}

// log(measured / predicted) of a candidate is the sum, over emitters, of its deviation times an
// unknown of the emitter that is normal with unit variance, plus the drift of one measurement. The
// unknowns' mean and covariance after the points follow in closed form (Bishop, Pattern Recognition
// and Machine Learning, 3.3.1).
MeasuredLatency::Expected MeasuredLatency::expect(const LatencyPrediction &predicted,
                                                  unsigned threads) const {
  std::vector<std::string> emitters;
  auto note = [&](const LatencyPrediction &prediction) {
    for (const auto &[emitter, deviation] : prediction.deviations)
      if (!llvm::is_contained(emitters, emitter))
        emitters.push_back(emitter);
  };
  note(predicted);
  for (const Point &point : list)
    if (point.threads == threads)
      note(point.predicted);
  size_t n = emitters.size();
  auto row = [&](const LatencyPrediction &prediction) {
    std::vector<double> x(n);
    for (auto [value, emitter] : llvm::zip_equal(x, emitters))
      if (auto known = prediction.deviations.find(emitter); known != prediction.deviations.end())
        value = known->second;
    return x;
  };

  constexpr double kNoise = codegen::kDrift * codegen::kDrift;
  std::vector<double> precision(n * n), moment(n);
  for (size_t i = 0; i < n; ++i)
    precision[i * n + i] = 1;
  for (const Point &point : list) {
    if (point.threads != threads)
      continue;
    std::vector<double> x = row(point.predicted);
    double value = std::log(point.measuredMs / point.predicted.ms);
    for (size_t i = 0; i < n; ++i) {
      moment[i] += x[i] * value / kNoise;
      for (size_t j = 0; j < n; ++j)
        precision[i * n + j] += x[i] * x[j] / kNoise;
    }
  }
  std::vector<double> x = row(predicted), mean = codegen::solveRidge(precision, moment, 0),
                      spread = codegen::solveRidge(precision, x, 0);
  double shift = 0, variance = 0;
  for (size_t i = 0; i < n; ++i) {
    shift += x[i] * mean[i];
    variance += x[i] * spread[i];
  }
  return {predicted.ms * std::exp(shift),
          std::hypot(std::sqrt(std::max(variance, 0.0)), codegen::kDrift)};
}

llvm::Error MeasuredLatency::write(const std::string &path) const {
  json::Array finalists;
  for (const Point &point : list) {
    json::Object deviations;
    for (const auto &[emitter, deviation] : point.predicted.deviations)
      deviations[emitter] = deviation;
    finalists.push_back(json::Object{{"id", static_cast<int64_t>(point.id)},
                                     {"threads", point.threads},
                                     {"predicted_ms", point.predicted.ms},
                                     {"deviations", std::move(deviations)},
                                     {"measured_ms", point.measuredMs}});
  }
  return codegen::writeJson(
      path,
      json::Object{{"format", kFormat}, {"prices", prices}, {"finalists", std::move(finalists)}});
}

static bool fromJson(const json::Value &value, MeasuredLatency::Point &point, json::Path path) {
  json::ObjectMapper map(value, path);
  int64_t id = 0, threads = 0;
  if (!map || !map.map("id", id) || !map.map("threads", threads) ||
      !map.map("predicted_ms", point.predicted.ms) ||
      !map.map("deviations", point.predicted.deviations) ||
      !map.map("measured_ms", point.measuredMs))
    return false;
  auto positive = [](double x) { return std::isfinite(x) && x > 0; };
  bool valid = id >= 0 && threads > 0 && threads <= INT32_MAX && positive(point.predicted.ms) &&
               positive(point.measuredMs);
  for (const auto &[emitter, deviation] : point.predicted.deviations)
    valid &= std::isfinite(deviation);
  if (!valid)
    path.report("a number out of range");
  point.id = id;
  point.threads = threads;
  return valid;
}

llvm::Expected<MeasuredLatency> MeasuredLatency::read(const std::string &path,
                                                      const std::string &prices) {
  MeasuredLatency measured;
  measured.prices = prices;
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file) {
    if (file.getError() == std::errc::no_such_file_or_directory)
      return measured;
    return llvm::createStringError("cannot read " + path + ": " + file.getError().message());
  }
  auto refuse = [&](llvm::Error error) {
    return llvm::createStringError(path + " holds no measurements of finalists (" +
                                   llvm::toString(std::move(error)) + ")");
  };
  auto document = json::parse((*file)->getBuffer());
  if (!document)
    return refuse(document.takeError());
  json::Path::Root root("finalists");
  json::ObjectMapper map(*document, root);
  int64_t format = 0;
  std::string of;
  if (!map || !map.map("format", format) || !map.map("prices", of))
    return refuse(root.getError());
  const json::Array *finalists = document->getAsObject()->getArray("finalists");
  if (format != kFormat || !finalists)
    return refuse(llvm::createStringError("another format"));
  if (of != prices)
    return measured;
  for (const json::Value &entry : *finalists)
    if (!fromJson(entry, measured.list.emplace_back(), root))
      return refuse(root.getError());
  return measured;
}

} // namespace attune::search
