#include "attune/codegen/cost/Tuning.h"
#include "attune/codegen/cost/UserFile.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

namespace attune::codegen {

namespace json = llvm::json;

static constexpr int64_t kFormat = 1;

std::string Tuning::defaultPath(const CpuTarget &target) { return userFile("tuning", target); }

llvm::Expected<Tuning> Tuning::of(const CpuTarget &target, llvm::StringRef version,
                                  unsigned threads, bool writes) {
  Tuning tuning;
  tuning.cpu = target.cpu;
  tuning.vectorBits = target.vectorBits;
  tuning.version = version.str();
  tuning.threads = threads;
  const char *named = std::getenv("ATTUNE_TUNING");
  bool isNamed = named && *named;
  if (isNamed && llvm::StringRef(named) == "none")
    return tuning;
  tuning.path = isNamed ? named : defaultPath(target);
  if (tuning.path.empty() || (!llvm::sys::fs::exists(tuning.path) && (writes || !isNamed)))
    return tuning;
  Tuning found = tuning;
  if (llvm::Error error = found.read())
    return std::move(error);
  if (found.cpu == tuning.cpu && found.vectorBits == tuning.vectorBits &&
      found.version == tuning.version)
    return found;
  if (isNamed)
    return llvm::createStringError(
        "the tuning `" + tuning.path + "` is for " + found.cpu + " with vectors of " +
        llvm::Twine(found.vectorBits) + " bits by " + found.version + ", this is " + tuning.cpu +
        " with " + llvm::Twine(tuning.vectorBits) + " bits by " + tuning.version);
  return tuning;
}

const Tuning::Entry *Tuning::find(llvm::StringRef key) const {
  auto list = entries.find(threads);
  if (list == entries.end())
    return nullptr;
  auto entry = list->second.find(key.str());
  return entry == list->second.end() ? nullptr : &entry->second;
}

bool Tuning::isEmpty() const { return !entries.count(threads); }

static llvm::Error readEntry(const json::Value &value, Tuning::Entry &entry) {
  json::Path::Root root("tuning");
  json::ObjectMapper map(value, root);
  if (!map || !map.map("what", entry.what) || !map.map("chosen", entry.chosen) ||
      !map.map("seconds", entry.seconds))
    return root.getError();
  if (!entry.seconds.count(entry.chosen))
    return llvm::createStringError("`" + entry.chosen + "` was chosen, but not measured");
  return llvm::Error::success();
}

llvm::Error Tuning::read() {
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return llvm::createStringError(file.getError(), "cannot read the tuning `" + path +
                                                        "`: " + file.getError().message());
  auto parse = [&]() -> llvm::Error {
    auto value = json::parse((*file)->getBuffer());
    if (!value)
      return value.takeError();
    json::Path::Root root("tuning");
    json::ObjectMapper map(*value, root);
    int64_t format = 0;
    if (!map || !map.map("format", format) || !map.map("cpu", cpu) ||
        !map.map("vector_bits", vectorBits) || !map.map("version", version))
      return root.getError();
    if (format != kFormat)
      return llvm::createStringError("it has format " + llvm::Twine(format));
    const json::Object *lists = value->getAsObject()->getObject("by_threads");
    if (!lists)
      return llvm::createStringError("there is no object `by_threads`");
    for (const auto &[number, list] : *lists) {
      unsigned count;
      if (number.str().empty() || llvm::StringRef(number).getAsInteger(10, count) ||
          !list.getAsObject())
        return llvm::createStringError("`" + number.str() + "` is no number of threads");
      for (const auto &[key, entry] : *list.getAsObject())
        if (llvm::Error error = readEntry(entry, entries[count][key.str()]))
          return error;
    }
    return llvm::Error::success();
  };
  if (llvm::Error error = parse())
    return llvm::createStringError("`" + path + "` is no tuning (" +
                                   llvm::toString(std::move(error)) +
                                   "): remove it, or tune again into another file");
  return llvm::Error::success();
}

llvm::Error Tuning::write() const {
  json::Object lists;
  for (const auto &[count, list] : entries) {
    json::Object object;
    for (const auto &[key, entry] : list) {
      json::Object seconds;
      for (const auto &[name, value] : entry.seconds)
        seconds[name] = value;
      object[key] = json::Object{{"what", json::fixUTF8(entry.what)},
                                 {"chosen", entry.chosen},
                                 {"seconds", std::move(seconds)}};
    }
    lists[std::to_string(count)] = std::move(object);
  }
  return writeJson(path, json::Object{{"format", kFormat},
                                      {"cpu", cpu},
                                      {"vector_bits", vectorBits},
                                      {"version", version},
                                      {"by_threads", std::move(lists)}});
}

} // namespace attune::codegen
