#include "attune/codegen/cost/Reuse.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <optional>

namespace attune::codegen {
namespace {

/// What a place of memory is: a slot of the plan, else the value itself.
using Place = std::pair<bool, int64_t>;

Place placeOf(const Program &program, int64_t value) {
  bool planned = program.values[value].kind == Program::Kind::Arena;
  return {planned, planned ? program.values[value].slot : value};
}

/// Places by the step that touched them last, the latest at the end.
class Touched {
public:
  /// Bytes of the places that were touched since, and by the same step, whose order is not known;
  /// of all if it never was.
  double since(Place place) const {
    double bytes = 0;
    std::optional<size_t> last;
    for (const Entry &entry : llvm::reverse(entries)) {
      if ((last && entry.step != *last) || bytes > kFar)
        break;
      if (entry.place == place)
        last = entry.step;
      else
        bytes += entry.bytes;
    }
    return bytes;
  }
  void touch(Place place, double bytes, size_t step) {
    llvm::erase_if(entries, [&](const Entry &entry) { return entry.place == place; });
    entries.push_back({place, bytes, step});
  }

private:
  /// No cache holds more; this bounds the time for large models.
  static constexpr double kFar = 1e9;
  struct Entry {
    Place place;
    double bytes;
    size_t step;
  };
  std::vector<Entry> entries;
};

} // namespace

void setReuse(const Program &program, llvm::ArrayRef<int64_t> scalars,
              llvm::ArrayRef<KernelFeatures *> calls) {
  Touched touched;
  size_t number = 0;
  // The first pass finds what the call before leaves.
  for (unsigned pass = 0; pass < 2; ++pass) {
    auto next = calls.begin();
    for (const Program::Step &step : program.steps) {
      if (step.kind != Program::Step::Kind::Kernel)
        continue;
      KernelFeatures &call = **next++;
      ++number;
      for (auto [buffer, use] : llvm::zip(step.buffers, call.uses))
        use.distance = touched.since(placeOf(program, buffer)) + call.work.bytes;
      for (auto [place, buffer] : llvm::enumerate(step.buffers)) {
        const Program::Value &value = program.values[buffer];
        bool isScratch = place >= call.uses.size();
        double bytes = !isScratch                            ? call.uses[place].bytes
                       : value.kind == Program::Kind::Weight ? value.bytes
                                                             : scalars[value.bytes];
        touched.touch(placeOf(program, buffer), std::max(bytes, 0.0), number);
      }
    }
  }
}

} // namespace attune::codegen
