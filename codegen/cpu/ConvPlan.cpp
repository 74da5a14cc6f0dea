#include "attune/codegen/cpu/Conv.h"
#include "attune/codegen/cpu/ConvChannels.h"
#include "attune/codegen/cpu/ConvPlaneChannels.h"
#include "attune/codegen/cpu/ConvPlanes.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {

namespace {

double pieces(double whole, double part) { return std::ceil(whole / part); }

/// Operands and arithmetic of an epilogue, per vector.
constexpr double kEpilogue = 6;
/// A loop begun or a function called is worth so many instructions.
constexpr double kStart = 10;

/// Vectors loaded, shuffled and stored to transpose as many vectors as they have lanes.
double turnOf(double lanes) { return lanes * (2 + std::log2(lanes)); }

/// Copies of a number of lines, `length` long each.
void addCopies(KernelPlan &plan, const ConvAxis &columns, double lines, double length,
               int64_t lanes) {
  plan.copied += lines * length * 4;
  plan.starts += lines;
  if (columns.step.constant() == 1 && columns.stride <= 2)
    plan.instructions += lines * std::ceil(length / lanes) * 2 * columns.stride;
  else
    plan.strided += lines * length;
}

/// The cuts of ConvLines and ConvCode at known sizes.
class Counter {
public:
  Counter(const ConvMatch &conv, const CpuTarget &target, IndexValues valueOf)
      : conv(conv), tile(ConvTile::of(target)), valueOf(valueOf) {
    channels = conv.channels;
    outRows = at(conv.rows.out), outColumns = at(conv.columns.out);
    wide = hasWideLines(conv);
    length = outColumns + (wide ? (conv.columns.taps - 1) * conv.columns.dilation : 0);
    copies = wide ? 1 : conv.columns.taps;
    cut(kConvTaskElements);
  }

  KernelPlan plan() {
    KernelPlan plan;
    double taps = conv.rows.taps * conv.columns.taps;
    double images = at(conv.batch) * at(conv.groups) * blocks;
    double panels = pieces(conv.maps, kFilterPanel);
    double wanted = std::max(std::floor(4 / blocks), 1.0);
    double each = pieces(pieces(panels, wanted), tile.panels) * tile.panels;
    double parts = pieces(panels, each);
    plan.tasks = images * parts;
    addCopies(plan, conv.columns, plan.tasks * channels * copies * linesOf(rows), length,
              tile.lanes);
    double tiles = pieces(segment, tile.positions()), vectors = pieces(segment, tile.lanes);
    double calls = pieces(conv.maps, tile.channels());
    double channelBlock =
        std::clamp<double>(kConvCallElements / (taps * (tile.positions() + 8)), 1, channels);
    double passes = pieces(channels, std::floor(channelBlock));
    plan.instructions +=
        images * segments * vectors * calls * tile.channels() * (channels * taps + 2 * passes);
    plan.starts += images * segments * tiles * calls * passes;
    // Operands and arithmetic of the epilogue.
    plan.instructions += images * segments * vectors * conv.maps * kEpilogue;
    if (!conv.packed)
      plan.strided += at(conv.groups) * panels * kFilterPanel * channels * taps;
    plan.rows = std::min<double>(conv.maps, tile.channels());
    plan.columns = tile.positions();
    return plan;
  }

private:
  double at(const Size &size) const { return size.at(valueOf); }
  double linesOf(double rows) const {
    return conv.rows.stride != 1 ? rows * conv.rows.taps
                                 : rows + (conv.rows.taps - 1) * conv.rows.dilation;
  }

  void cut(double budget) {
    double line = std::max(length * channels * copies, 1.0);
    double lines = conv.rows.stride == 1
                       ? std::floor(budget / line) - (conv.rows.taps - 1) * conv.rows.dilation
                       : std::floor(budget / (line * conv.rows.taps));
    double eighth = std::max(std::ceil(outRows / 8), 4.0);
    double most = std::max(std::min({lines, eighth, outRows}), 1.0);
    blocks = pieces(outRows, most);
    rows = outRows / blocks;
    segments = wide ? rows : 1;
    segment = wide ? outColumns : rows * length;
  }

  const ConvMatch &conv;
  const ConvTile tile;
  IndexValues valueOf;
  double channels, outRows, outColumns, length, copies;
  double blocks, rows, segments, segment; ///< of a channel; of a block, on average
  bool wide;
};

double price(const KernelPlan &plan) { return plan.instructions + kStart * plan.starts; }

/// What PlaneChannelCode does.
KernelPlan planeChannelsPlan(const ConvMatch &conv, const PlaneChannelShape &shape, double batch,
                             int64_t lanes) {
  KernelPlan plan;
  double blocks = batch * shape.blocks, taps = conv.rows.taps * conv.columns.taps;
  plan.tasks = batch * shape.tasks();
  double vectors = pieces(shape.positions(), lanes);
  double turns = pieces(shape.copied, lanes) + vectors;
  if (!conv.combine)
    turns += pieces(taps, lanes);
  // Where an element of a plane goes takes about as long as its way there.
  plan.instructions = blocks * (turns * turnOf(lanes) + shape.copied * 4.0);
  plan.instructions += plan.tasks * shape.rows * shape.columns;
  double tiles =
      pieces(shape.outRows, shape.tileRows) * pieces(shape.outColumns, shape.tileColumns);
  double columns = tileReads(conv.columns, shape.tileColumns).size();
  double loads = conv.rows.taps * columns * shape.tileRows + taps;
  double sums = shape.tileRows * shape.tileColumns;
  plan.instructions += blocks * tiles * (taps * sums + loads + 2 * sums);
  plan.instructions += batch * shape.channels * vectors * kEpilogue;
  plan.copied = batch * shape.channels * 4.0 * (shape.copied + shape.positions());
  plan.starts = blocks * (tiles + 2 * vectors) + batch * shape.channels * vectors;
  return plan;
}

/// The cuts of PlaneCode at known sizes.
KernelPlan planesPlan(const ConvMatch &conv, const CpuTarget &target, IndexValues valueOf) {
  int64_t lanes = target.lanes(32);
  PlaneAxis rowAxis(conv.rows), columnAxis(conv.columns);
  PlaneTile tile = PlaneTile::of(conv, lanes);
  double outRows = conv.rows.out.at(valueOf), outColumns = conv.columns.out.at(valueOf);
  double length = outColumns + columnAxis.reach;
  double slots = rowAxis.phases.size() * columnAxis.phases.size();
  double fit = std::floor(kConvPlaneElements / (length * slots)) - rowAxis.reach;
  double rows = std::max<double>(std::floor(fit / tile.rows), 1) * tile.rows;
  double blocks = pieces(outRows, rows);

  KernelPlan plan;
  double planes = conv.groups.at(valueOf) * conv.maps, batch = conv.batch.at(valueOf);
  double chunk = std::floor(kConvPlanePositions / (outRows * outColumns)) + 1;
  plan.tasks = batch * pieces(planes, chunk);
  planes *= batch;
  double lines = planes * slots * (outRows + blocks * rowAxis.reach);
  addCopies(plan, conv.columns, lines, length, lanes);
  // Both lines of a pair share loads.
  if (columnAxis.hasPairs() && conv.columns.step.is(1))
    plan.instructions -= lines * std::ceil(length / lanes);
  double tiles = planes * pieces(outRows, tile.rows) * pieces(outColumns, tile.vectors * lanes);
  // Of a column of taps: what the rows of a tile load between them, weights, sums.
  double phases = rowAxis.phases.size();
  double loads = std::min<double>(tile.rows * rowAxis.taps, (tile.rows + rowAxis.reach) * phases);
  double column = loads * tile.vectors + rowAxis.taps * (1.0 + tile.rows * tile.vectors);
  plan.instructions += tiles * (columnAxis.taps * column + 2 * tile.rows * tile.vectors);
  plan.instructions += planes * outRows * pieces(outColumns, lanes) * kEpilogue;
  plan.starts += tiles + planes * outRows * pieces(outColumns, tile.vectors * lanes);
  return plan;
}

} // namespace

KernelPlan channelPlan(const ConvMatch &conv, const CpuTarget &target, IndexValues valueOf) {
  ChannelTile tile = ChannelTile::of(target);
  double taps = conv.rows.taps * conv.columns.taps, channels = conv.channels;
  double rows = conv.rows.out.at(valueOf), columns = conv.columns.out.at(valueOf);
  double panels = pieces(conv.maps, kPanelColumns), tiles = pieces(panels, tile.panels);
  double images = conv.batch.at(valueOf) * conv.groups.at(valueOf);
  bool inPlace = readsInPlace(conv), oneRow = hasOneRow(conv);
  KernelPlan plan;
  double blocks, wanted;
  if (inPlace) {
    blocks = std::min(pieces(rows * columns, tile.group), pieces(kChannelTasks, tiles));
    blocks = oneRow ? blocks : std::min(blocks, rows);
    wanted = pieces(kChannelTasks, blocks);
  } else {
    double length = linesBehind(conv.columns, columns), halo = linesBehind(conv.rows, 1);
    double fit = std::max(std::floor(kConvTaskElements / (length * channels)) - halo, 0.0);
    double eighth = std::max(std::ceil(rows / 8), 4.0);
    double most = std::min({std::floor(fit / conv.rows.stride) + 1, eighth, rows});
    blocks = pieces(rows, most);
    wanted = std::max(std::floor(4 / blocks), 1.0);
  }
  double parts = pieces(panels, pieces(tiles, wanted) * tile.panels);
  plan.tasks = images * blocks * parts;
  if (!inPlace) {
    ConvAxis line = conv.columns;
    line.stride = 1;
    double lines =
        rows * conv.rows.stride + blocks * (linesBehind(conv.rows, 1) - conv.rows.stride);
    addCopies(plan, line, images * parts * channels * lines, linesBehind(conv.columns, columns),
              tile.lanes);
  }
  double segments = oneRow ? blocks : rows, segment = rows * columns / segments;
  double rowsEach = std::max(std::floor(tile.group / segment), 1.0);
  double groups =
      images * pieces(segments / blocks, rowsEach) * blocks * pieces(segment, tile.group);
  double vectors = pieces(images * rows * columns / groups, tile.lanes);
  double passes =
      pieces(channels, std::clamp<double>(std::floor(kChannelSteps / taps), 1, channels));
  double perPanel = double(kPanelColumns) / tile.lanes,
         calls = segments * images * passes * tiles * pieces(segment, tile.rows);
  plan.instructions += images * rows * columns * panels * perPanel * (channels * taps + 2 * passes);
  // Loads of filters, which few positions share badly.
  plan.instructions +=
      calls / passes * std::min(panels, double(tile.panels)) * perPanel * channels * taps / 2;
  plan.instructions += groups * panels * perPanel * vectors * turnOf(tile.lanes);
  plan.instructions += groups * conv.maps * vectors * kEpilogue;
  plan.starts += calls + groups * (tiles + conv.maps);
  plan.rows = std::min<double>(segment, tile.rows);
  plan.columns = std::min<double>(tile.channels(), panels * kPanelColumns);
  return plan;
}

bool prefersChannels(const FilterUse &use, const CpuTarget &target) {
  ConvMatch conv;
  conv.maps = use.maps;
  conv.channels = use.channels;
  conv.packed = true;
  auto axis = [](ConvAxis &axis, const FilterUse::Axis &use) {
    axis.taps = use.taps, axis.stride = use.stride, axis.dilation = use.dilation;
    axis.out = use.out;
    // Windows of several elements that do not lie side by side mostly reach beyond the borders.
    bool reaches = use.stride < use.taps;
    axis.before = reaches ? 1 : 0;
    axis.in = use.out == 0 ? 0 : linesBehind(axis, use.out) - (reaches ? 2 : 0);
  };
  axis(conv.rows, use.rows);
  axis(conv.columns, use.columns);
  conv.columns.step = 1;
  conv.rows.step = conv.columns.in;
  auto priceOf = [&](bool across) {
    conv.acrossChannels = across;
    return price(convPlan(conv, target, [](Value) -> int64_t { return 1; }));
  };
  return use.rows.out * use.columns.out > 0 && priceOf(true) < priceOf(false);
}

bool prefersPlaneChannels(const ConvMatch &conv, const CpuTarget &target) {
  int64_t lanes = target.lanes(32);
  std::optional<PlaneChannelShape> shape = PlaneChannelShape::of(conv, lanes);
  if (!shape)
    return false;
  auto none = [](Value) -> int64_t { return 1; };
  ConvMatch one = conv;
  one.batch = 1;
  return price(planeChannelsPlan(one, *shape, 1, lanes)) < price(planesPlan(one, target, none));
}

KernelPlan convPlan(const ConvMatch &conv, const CpuTarget &target, IndexValues valueOf) {
  if (conv.rows.out.at(valueOf) * conv.columns.out.at(valueOf) == 0)
    return {};
  if (conv.acrossChannels)
    return channelPlan(conv, target, valueOf);
  if (conv.kind == ConvMatch::Dense)
    return Counter(conv, target, valueOf).plan();
  if (prefersPlaneChannels(conv, target))
    return planeChannelsPlan(conv, *PlaneChannelShape::of(conv, target.lanes(32)),
                             conv.batch.at(valueOf), target.lanes(32));
  return planesPlan(conv, target, valueOf);
}

} // namespace attune::codegen
