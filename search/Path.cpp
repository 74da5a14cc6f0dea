#include "attune/search/Path.h"

#include <algorithm>

namespace attune::search {

Path::Path(std::vector<Axis> axes, unsigned length, std::vector<Point> moves,
           std::vector<Point> starts, std::optional<Point> end)
    : grid(std::move(axes)), steps(length - 1), moves(std::move(moves)) {
  for (const Axis &axis : grid)
    pointCount *= axis.high - axis.low + 1;
  for (const Point &start : starts)
    this->starts.push_back(pointId(start));
  for (unsigned id = 0; id < pointCount; ++id) {
    if (starts.empty())
      this->starts.push_back(id);
    for (const Point &move : this->moves) {
      Point point = pointOf(id);
      for (size_t axis = 0; axis < point.size(); ++axis)
        point[axis] += move[axis];
      next.push_back(pointId(point));
    }
  }
  std::vector<double> last(pointCount, end ? 0 : 1);
  if (end)
    last[pointId(*end)] = 1;
  ways = countWays(std::move(last), steps);
}

int Path::pointId(llvm::ArrayRef<int> point) const {
  int id = 0;
  for (size_t axis = 0; axis < grid.size(); ++axis) {
    if (point[axis] < grid[axis].low || point[axis] > grid[axis].high)
      return -1;
    id = id * (grid[axis].high - grid[axis].low + 1) + point[axis] - grid[axis].low;
  }
  return id;
}

Path::Point Path::pointOf(unsigned id) const {
  Point point(grid.size());
  for (size_t axis = grid.size(); axis-- > 0;) {
    unsigned extent = grid[axis].high - grid[axis].low + 1;
    point[axis] = grid[axis].low + static_cast<int>(id % extent);
    id /= extent;
  }
  return point;
}

int Path::moved(unsigned id, unsigned move) const { return next[id * moves.size() + move]; }

std::vector<std::vector<double>> Path::countWays(std::vector<double> last, unsigned steps) const {
  std::vector<std::vector<double>> result{std::move(last)};
  for (unsigned step = 0; step < steps; ++step) {
    std::vector<double> counts(pointCount, 0);
    for (unsigned id = 0; id < pointCount; ++id)
      for (unsigned move = 0; move < moves.size(); ++move)
        if (int to = moved(id, move); to >= 0)
          counts[id] += result.back()[to];
    result.push_back(std::move(counts));
  }
  return result;
}

double Path::count() const {
  double total = 0;
  for (unsigned start : starts)
    total += ways[steps][start];
  return total;
}

std::vector<unsigned> Path::visited(llvm::ArrayRef<int32_t> genes) const {
  std::vector<unsigned> ids;
  int at = starts[genes[0]];
  for (unsigned step = 0; at >= 0; ++step) {
    ids.push_back(at);
    if (step == steps)
      return ways[0][at] > 0 ? ids : std::vector<unsigned>();
    at = moved(at, genes[step + 1]);
  }
  return {};
}

std::optional<std::vector<Path::Point>> Path::points(llvm::ArrayRef<int32_t> genes) const {
  std::vector<unsigned> ids = visited(genes);
  if (ids.empty())
    return std::nullopt;
  std::vector<Point> result;
  for (unsigned id : ids)
    result.push_back(pointOf(id));
  return result;
}

std::optional<llvm::SmallVector<int32_t>> Path::genesOf(llvm::ArrayRef<Point> points) const {
  if (points.size() != length())
    return std::nullopt;
  auto start = std::find_if(starts.begin(), starts.end(), [&](unsigned id) {
    return static_cast<int>(id) == pointId(points[0]);
  });
  if (start == starts.end())
    return std::nullopt;
  llvm::SmallVector<int32_t> genes{static_cast<int32_t>(start - starts.begin())};
  for (unsigned step = 0; step < steps; ++step) {
    int from = pointId(points[step]), to = pointId(points[step + 1]);
    unsigned move = 0;
    while (move < moves.size() && (to < 0 || moved(from, move) != to))
      ++move;
    if (move == moves.size())
      return std::nullopt;
    genes.push_back(move);
  }
  return visited(genes).empty() ? std::nullopt : std::optional(genes);
}

/// Draws an index with a probability proportional to its weight; the weights sum to `total`.
template <typename Weight>
static unsigned draw(Rng &rng, unsigned count, double total, Weight weight) {
  double left = rng.uniform() * total;
  unsigned last = 0;
  for (unsigned i = 0; i < count; ++i) {
    double w = weight(i);
    if (w <= 0)
      continue;
    last = i;
    if (left < w)
      return i;
    left -= w;
  }
  return last;
}

void Path::sample(Rng &rng, llvm::MutableArrayRef<int32_t> genes) const {
  genes[0] = draw(rng, starts.size(), count(), [&](unsigned i) { return ways[steps][starts[i]]; });
  unsigned at = starts[genes[0]];
  for (unsigned step = 0; step < steps; ++step) {
    const std::vector<double> &rest = ways[steps - step - 1];
    auto weight = [&](unsigned move) {
      int to = moved(at, move);
      return to < 0 ? 0.0 : rest[to];
    };
    genes[step + 1] = draw(rng, moves.size(), ways[steps - step][at], weight);
    at = moved(at, genes[step + 1]);
  }
}

void Path::resample(Rng &rng, llvm::MutableArrayRef<int32_t> genes, unsigned from,
                    unsigned to) const {
  std::vector<unsigned> ids = visited(genes);
  std::vector<double> last(pointCount, 0);
  if (to == steps)
    last = ways[0];
  else
    last[ids[to]] = 1;
  std::vector<std::vector<double>> between = countWays(std::move(last), to - from);
  unsigned at = ids[from];
  for (unsigned step = from; step < to; ++step) {
    const std::vector<double> &rest = between[to - step - 1];
    auto weight = [&](unsigned move) {
      int point = moved(at, move);
      return point < 0 ? 0.0 : rest[point];
    };
    genes[step + 1] = draw(rng, moves.size(), between[to - step][at], weight);
    at = moved(at, genes[step + 1]);
  }
}

void Path::crossover(Rng &rng, llvm::MutableArrayRef<int32_t> genes,
                     llvm::ArrayRef<int32_t> other) const {
  std::vector<unsigned> mine = visited(genes), theirs = visited(other);
  llvm::SmallVector<unsigned> meetings;
  for (unsigned step = 0; step < steps; ++step)
    if (mine[step] == theirs[step])
      meetings.push_back(step);
  if (meetings.empty()) {
    if (rng.below(2))
      std::copy(other.begin(), other.end(), genes.begin());
    return;
  }
  unsigned step = meetings[rng.below(meetings.size())];
  if (rng.below(2))
    std::copy(other.begin() + step + 1, other.end(), genes.begin() + step + 1);
  else
    std::copy(other.begin(), other.begin() + step + 1, genes.begin());
}

uint64_t Path::rank(llvm::ArrayRef<int32_t> genes) const {
  double number = 0;
  for (int32_t i = 0; i < genes[0]; ++i)
    number += ways[steps][starts[i]];
  unsigned at = starts[genes[0]];
  for (unsigned step = 0; step < steps; ++step) {
    for (int32_t move = 0; move < genes[step + 1]; ++move)
      if (int to = moved(at, move); to >= 0)
        number += ways[steps - step - 1][to];
    at = moved(at, genes[step + 1]);
  }
  return number;
}

void Path::unrank(uint64_t number, llvm::MutableArrayRef<int32_t> genes) const {
  double left = number;
  // The last choice with any way is the one that holds what is left.
  auto choose = [&](unsigned count, auto weight) {
    unsigned choice = 0;
    for (; choice + 1 < count && left >= weight(choice); ++choice)
      left -= weight(choice);
    return choice;
  };
  genes[0] = choose(starts.size(), [&](unsigned i) { return ways[steps][starts[i]]; });
  unsigned at = starts[genes[0]];
  for (unsigned step = 0; step < steps; ++step) {
    genes[step + 1] = choose(moves.size(), [&](unsigned move) {
      int to = moved(at, move);
      return to < 0 ? 0.0 : ways[steps - step - 1][to];
    });
    at = moved(at, genes[step + 1]);
  }
}

} // namespace attune::search
