#include "attune/codegen/gpu/GemmShapes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace attune::codegen {

/// Blocks that keep a large GPU busy.
static constexpr int64_t kEnoughBlocks = 256;
/// Tiles of depth that a part should have at least.
static constexpr int64_t kTilesOfPart = 4;
static constexpr int64_t kMostParts = 16;

int64_t GemmShape::threads() const {
  if (kind == Warps)
    return 32 * down * across;
  if (kind == WarpGroups)
    return 128 * (rows / 64) + 32;
  return rows * columns / (patch * patch);
}

namespace {
struct Rule {
  GemmShape shape;
  int64_t mostRows, fewestTiles;
  bool cutsDepth;
};
} // namespace

// H100 and A100 have 132 and 108 multiprocessors. 128x256: one block of each, as much arithmetic
// per byte of shared memory as wgmma needs for its full rate; 128x128: two blocks hide each other's
// start and end. Few rows: time goes into reading B, which many blocks have to ask for at once.
// Depths on tensor cores are those of 16-bit elements; f32 has half of them, in as many bytes.
static constexpr Rule kRules[] = {
    {{GemmShape::Warps, 16, 128, 64, 4, 1, 4, 0, 2}, 32, 0, true},
    {{GemmShape::WarpGroups, 128, 256, 64, 4}, 0, 132, false},
    {{GemmShape::WarpGroups, 128, 128, 64, 3}, 0, 66, false},
    {{GemmShape::Warps, 128, 128, 32, 3, 2, 2}, 0, 108, false},
    {{GemmShape::Warps, 64, 64, 32, 3, 2, 2}, 0, 0, true},
    {{GemmShape::Floats, 16, 64, 32, 4, 1, 1, 4, 2}, 32, 0, true},
    {{GemmShape::Floats, 128, 64, 16, 3, 1, 1, 8, 3}, 0, 216, false},
    {{GemmShape::Floats, 64, 64, 16, 3, 1, 1, 4, 2}, 0, 0, true},
    {{GemmShape::Bytes, 16, 64, 128, 4, 1, 1, 4, 2}, 32, 0, true},
    {{GemmShape::Bytes, 128, 64, 64, 3, 1, 1, 8, 3}, 0, 216, false},
    {{GemmShape::Bytes, 64, 64, 64, 3, 1, 1, 4, 2}, 0, 0, true},
};

static int64_t tilesOf(const GemmShape &shape, int64_t batch, int64_t m, int64_t n) {
  return batch * llvm::divideCeil(m, shape.rows) * llvm::divideCeil(n, shape.columns);
}

static bool takes(GemmShape::Kind kind, Type element, bool tensorCores) {
  if (tensorCores)
    return kind == GemmShape::Warps || kind == GemmShape::WarpGroups;
  return kind == (element.isInteger() ? GemmShape::Bytes : GemmShape::Floats);
}

SmallVector<GemmChoice> GemmChoices::of(const GpuTarget &gpu, const GemmMatch &g, Type element,
                                        bool tensorCores, bool mapped) {
  std::optional<int64_t> batch = g.batch.constant(), m = g.m.constant(), n = g.n.constant(),
                         k = g.k.constant();
  SmallVector<GemmChoice> choices;
  for (const Rule &rule : kRules) {
    GemmShape shape = rule.shape;
    if (tensorCores && element.isF32())
      shape.depth /= 2;
    if (!takes(shape.kind, element, tensorCores))
      continue;
    if (shape.kind == GemmShape::WarpGroups && !(gpu.warpGroups && mapped))
      continue;
    // Large tiles would be mostly empty, and where there is wgmma, it has the large products.
    if (shape.rows >= 128 && ((m && *m <= 64) || (n && *n <= shape.columns / 2) ||
                              (shape.kind == GemmShape::Warps && gpu.warpGroups && mapped)))
      continue;
    if (rule.mostRows && m && *m > rule.mostRows)
      continue;
    if (rule.fewestTiles && batch && m && n && tilesOf(shape, *batch, *m, *n) < rule.fewestTiles)
      continue;
    int64_t parts = 1;
    if (rule.cutsDepth && k)
      while (2 * parts <= std::min(kMostParts, *k / (kTilesOfPart * shape.depth)))
        parts *= 2;
    choices.push_back({shape, rule.mostRows, rule.fewestTiles, parts});
    bool always = (!rule.mostRows || m) && (!rule.fewestTiles || (batch && m && n));
    if (always)
      break;
  }
  return choices;
}

Value GemmChoices::tiles(OpBuilder &b, Location loc, const GemmShape &shape,
                         const GemmExtents &extents) {
  auto count = [&](Value extent, int64_t tile) {
    Value up = arith::ConstantIndexOp::create(b, loc, tile - 1);
    Value by = arith::ConstantIndexOp::create(b, loc, tile);
    return b.createOrFold<arith::DivUIOp>(loc, b.createOrFold<arith::AddIOp>(loc, extent, up), by);
  };
  return b.createOrFold<arith::MulIOp>(loc, count(extents.m, shape.rows),
                                       count(extents.n, shape.columns));
}

/// Whether x <= y.
static Value atMost(OpBuilder &b, Location loc, Value x, int64_t y) {
  Value limit = arith::ConstantIndexOp::create(b, loc, y);
  return b.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::sle, x, limit);
}

static Value allTiles(OpBuilder &b, Location loc, const GemmShape &shape,
                      const GemmExtents &extents) {
  return b.createOrFold<arith::MulIOp>(loc, GemmChoices::tiles(b, loc, shape, extents),
                                       extents.batch);
}

Value GemmChoices::chosen(OpBuilder &b, Location loc, ArrayRef<GemmChoice> choices,
                          const GemmExtents &extents) {
  Value number = arith::ConstantIndexOp::create(b, loc, choices.size() - 1);
  for (size_t i = choices.size() - 1; i-- > 0;) {
    const GemmChoice &choice = choices[i];
    Value own = arith::ConstantIndexOp::create(b, loc, i), other = number;
    if (choice.mostRows)
      number = b.createOrFold<arith::SelectOp>(loc, atMost(b, loc, extents.m, choice.mostRows), own,
                                               other);
    else
      number = b.createOrFold<arith::SelectOp>(
          loc, atMost(b, loc, allTiles(b, loc, choice.shape, extents), choice.fewestTiles - 1),
          other, own);
  }
  return number;
}

Value GemmChoices::parts(OpBuilder &b, Location loc, const GemmChoice &choice,
                         const GemmExtents &extents) {
  Value parts = arith::ConstantIndexOp::create(b, loc, 1);
  if (choice.mostParts == 1)
    return parts;
  Value tiles = allTiles(b, loc, choice.shape, extents);
  for (int64_t count = 2; count <= choice.mostParts; count *= 2) {
    Value more = arith::ConstantIndexOp::create(b, loc, count);
    parts = b.createOrFold<arith::SelectOp>(loc, atMost(b, loc, tiles, kEnoughBlocks / count), more,
                                            parts);
  }
  return parts;
}

} // namespace attune::codegen
