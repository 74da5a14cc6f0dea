#include "attune/codegen/gpu/TileMaps.h"

using namespace mlir;

namespace attune::codegen {

std::optional<TileMap> TileMap::of(const TileSource &source, int64_t elementBytes) {
  constexpr size_t kMostBatchAxes = 3;
  int64_t perChunk = 16 / elementBytes;
  if (source.outer.size() != 1 || source.depth.size() != 1 || !source.offset.multipleOf(perChunk))
    return std::nullopt;
  const GemmAxisSize &outer = source.outer.front(), &depth = source.depth.front();
  TileMap map;
  map.depthInside = depth.stride.is(1);
  if (!map.depthInside && !outer.stride.is(1))
    return std::nullopt;
  const GemmAxisSize &apart = map.depthInside ? outer : depth;
  if (!apart.extent.is(1) && !apart.stride.multipleOf(perChunk))
    return std::nullopt;
  map.input = source.input;
  map.elementBytes = elementBytes;
  map.offset = source.offset;
  map.outerExtent = outer.extent;
  map.depthExtent = depth.extent;
  map.stride = apart.extent.is(1) ? Size(perChunk) : apart.stride;
  Size divisor(1);
  for (const GemmAxisSize &axis : llvm::reverse(source.batch)) {
    if (!axis.extent.is(1) && !axis.stride.is(0)) {
      if (!axis.stride.multipleOf(perChunk))
        return std::nullopt;
      map.batch.insert(map.batch.begin(), {axis.extent, axis.stride, divisor});
    }
    divisor = divisor * axis.extent;
  }
  if (map.batch.size() > kMostBatchAxes)
    return std::nullopt;
  return map;
}

TensorMapShape TileMap::shape(KernelOp op, int64_t outer, int64_t depth) const {
  TensorMapShape shape{input, hostExpr(op, offset), elementBytes, {}};
  auto add = [&](const Size &extent, const Size &stride, int64_t box) {
    shape.axes.push_back({hostExpr(op, extent), hostExpr(op, stride), box});
  };
  add(depthInside ? depthExtent : outerExtent, Size(1), depthInside ? depth : outer);
  add(depthInside ? outerExtent : depthExtent, stride, depthInside ? outer : depth);
  for (const BatchAxis &axis : llvm::reverse(batch))
    add(axis.extent, axis.stride, 1);
  return shape;
}

Values TileMap::coordinates(DeviceBuilder &kb, Scope &scope, Value number, Value outer,
                            Value depth) const {
  Values all{depthInside ? depth : outer, depthInside ? outer : depth};
  for (const BatchAxis &axis : llvm::reverse(batch)) {
    Value at = axis.divisor.is(1) ? number : kb.div(number, scope.get(axis.divisor));
    all.push_back(kb.rem(at, scope.get(axis.extent)));
  }
  return all;
}

} // namespace attune::codegen
