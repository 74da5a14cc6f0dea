#include "attune/search/Pareto.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace attune::search {

bool dominates(llvm::ArrayRef<double> a, llvm::ArrayRef<double> b) {
  bool better = false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] > b[i])
      return false;
    better |= a[i] < b[i];
  }
  return better;
}

std::vector<unsigned> frontOf(llvm::ArrayRef<Goals> points) {
  constexpr unsigned kNone = ~0u;
  std::vector<unsigned> fronts(points.size(), kNone), dominators(points.size(), 0);
  std::vector<std::vector<unsigned>> dominated(points.size());
  for (unsigned i = 0; i < points.size(); ++i)
    for (unsigned j = 0; j < points.size(); ++j)
      if (dominates(points[i], points[j])) {
        dominated[i].push_back(j);
        ++dominators[j];
      }
  std::vector<unsigned> current;
  for (unsigned i = 0; i < points.size(); ++i)
    if (!dominators[i])
      current.push_back(i);
  for (unsigned front = 0; !current.empty(); ++front) {
    std::vector<unsigned> next;
    for (unsigned i : current) {
      fronts[i] = front;
      for (unsigned j : dominated[i])
        if (--dominators[j] == 0)
          next.push_back(j);
    }
    current = std::move(next);
  }
  return fronts;
}

std::vector<double> crowding(llvm::ArrayRef<Goals> points, llvm::ArrayRef<unsigned> fronts) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  std::vector<double> distance(points.size(), 0);
  unsigned last = points.empty() ? 0 : *std::max_element(fronts.begin(), fronts.end());
  for (unsigned front = 0; front <= last; ++front) {
    std::vector<unsigned> members;
    for (unsigned i = 0; i < points.size(); ++i)
      if (fronts[i] == front)
        members.push_back(i);
    for (size_t goal = 0; !members.empty() && goal < points[members[0]].size(); ++goal) {
      llvm::sort(members, [&](unsigned a, unsigned b) {
        return std::pair(points[a][goal], a) < std::pair(points[b][goal], b);
      });
      double range = points[members.back()][goal] - points[members.front()][goal];
      distance[members.front()] = distance[members.back()] = kInfinite;
      for (size_t i = 1; range > 0 && i + 1 < members.size(); ++i)
        distance[members[i]] +=
            (points[members[i + 1]][goal] - points[members[i - 1]][goal]) / range;
    }
  }
  return distance;
}

/// The area that points sorted by their first goal leave below the reference.
static double area(std::vector<std::pair<double, double>> points, double x, double y) {
  std::sort(points.begin(), points.end());
  double total = 0, lowest = y;
  for (auto [px, py] : points)
    if (py < lowest) {
      total += (x - px) * (lowest - py);
      lowest = py;
    }
  return total;
}

std::optional<double> hypervolume(llvm::ArrayRef<Goals> points, llvm::ArrayRef<double> reference) {
  if (reference.empty() || reference.size() > 3)
    return std::nullopt;
  std::vector<Goals> inside;
  for (const Goals &point : points) {
    bool counts = true;
    for (size_t i = 0; i < reference.size(); ++i)
      counts &= point[i] < reference[i];
    if (counts)
      inside.push_back(point);
  }
  auto last = [&](const Goals &a, const Goals &b) { return a.back() < b.back(); };
  std::sort(inside.begin(), inside.end(), last);
  if (inside.empty())
    return 0;
  if (reference.size() == 1)
    return reference[0] - inside[0][0];
  std::vector<std::pair<double, double>> flat;
  if (reference.size() == 2) {
    for (const Goals &point : inside)
      flat.push_back({point[0], point[1]});
    return area(flat, reference[0], reference[1]);
  }
  // Slices between neighbouring values of the last goal.
  double total = 0;
  for (size_t i = 0; i < inside.size(); ++i) {
    flat.push_back({inside[i][0], inside[i][1]});
    double top = i + 1 < inside.size() ? inside[i + 1][2] : reference[2];
    if (top > inside[i][2])
      total += area(flat, reference[0], reference[1]) * (top - inside[i][2]);
  }
  return total;
}

Goals Archive::box(llvm::ArrayRef<double> goals) const {
  Goals result(goals.begin(), goals.end());
  for (size_t i = 0; i < result.size() && i < epsilon.size(); ++i)
    if (epsilon[i] > 0)
      result[i] = std::floor(result[i] / epsilon[i]);
  return result;
}

bool Archive::beats(const Entry &a, const Entry &b) const {
  Goals boxA = box(a.goals), boxB = box(b.goals);
  if (boxA != boxB)
    return dominates(boxA, boxB);
  // In one box: the one that dominates, else the one nearer to the box's best corner, else the
  // first.
  if (dominates(a.goals, b.goals) || dominates(b.goals, a.goals))
    return dominates(a.goals, b.goals);
  auto distance = [&](const Entry &entry) {
    double sum = 0;
    for (size_t i = 0; i < entry.goals.size() && i < epsilon.size(); ++i)
      if (epsilon[i] > 0)
        sum += std::pow(entry.goals[i] / epsilon[i] - boxA[i], 2);
    return sum;
  };
  double nearA = distance(a), nearB = distance(b);
  return nearA != nearB ? nearA < nearB : a.id < b.id;
}

bool Archive::add(Entry entry) {
  if (llvm::any_of(kept, [&](const Entry &other) { return beats(other, entry); }))
    return false;
  llvm::erase_if(kept, [&](const Entry &other) { return beats(entry, other); });
  auto place = llvm::find_if(kept, [&](const Entry &other) { return other.id > entry.id; });
  kept.insert(place, std::move(entry));
  return true;
}

} // namespace attune::search
