#include "attune/codegen/cpu/Conv.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {

namespace {

double pieces(double whole, double part) { return std::ceil(whole / part); }

/// The cuts of ConvLines and ConvCode at known sizes.
class Counter {
public:
  Counter(const ConvMatch &conv, const CpuTarget &target, IndexValues valueOf)
      : conv(conv), tile(ConvTile::of(target)), valueOf(valueOf) {
    bool dense = conv.kind == ConvMatch::Dense;
    channels = dense ? conv.channels : 1;
    outRows = at(conv.rows.out), outColumns = at(conv.columns.out);
    wide = hasWideLines(conv);
    length = outColumns + (wide ? (conv.columns.taps - 1) * conv.columns.dilation : 0);
    copies = wide ? 1 : conv.columns.taps;
    cut(dense ? kConvTaskElements : kConvPlaneElements);
  }

  KernelPlan plan() { return conv.kind == ConvMatch::Dense ? dense() : planes(); }

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

  /// Lines copied for one block of one channel.
  void addCopies(KernelPlan &plan, double times) const {
    double lines = times * copies * linesOf(rows), vectors = std::ceil(length / tile.lanes);
    plan.copied += lines * length * 4;
    plan.starts += lines;
    if (conv.columns.step.constant() == 1 && conv.columns.stride <= 2)
      plan.instructions += lines * vectors * 2 * conv.columns.stride;
    else
      plan.strided += lines * length;
  }

  KernelPlan dense() {
    KernelPlan plan;
    double taps = conv.rows.taps * conv.columns.taps;
    double images = at(conv.batch) * at(conv.groups) * blocks;
    double panels = pieces(conv.maps, kFilterPanel);
    double wanted = std::max(std::floor(4 / blocks), 1.0);
    double each = pieces(pieces(panels, wanted), tile.panels) * tile.panels;
    double parts = pieces(panels, each);
    plan.tasks = images * parts;
    addCopies(plan, plan.tasks * channels);
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

  KernelPlan planes() {
    KernelPlan plan;
    double taps = conv.rows.taps * conv.columns.taps;
    double planes = at(conv.groups) * conv.maps;
    double chunk = std::floor(kConvPlanePositions / std::max(outRows * outColumns, 1.0)) + 1;
    plan.tasks = at(conv.batch) * pieces(planes, chunk);
    double images = at(conv.batch) * planes * blocks;
    addCopies(plan, images);
    plan.instructions += images * segments * pieces(segment, tile.lanes) * (2 * taps + kEpilogue);
    plan.starts += images * segments * 3;
    return plan;
  }

  static constexpr double kEpilogue = 6;
  const ConvMatch &conv;
  const ConvTile tile;
  IndexValues valueOf;
  double channels, outRows, outColumns, length, copies;
  double blocks, rows, segments, segment; ///< of a channel; of a block, on average
  bool wide;
};

} // namespace

KernelPlan convPlan(const ConvMatch &conv, const CpuTarget &target, IndexValues valueOf) {
  if (conv.rows.out.at(valueOf) * conv.columns.out.at(valueOf) == 0)
    return {};
  return Counter(conv, target, valueOf).plan();
}

} // namespace attune::codegen
