#include "attune/codegen/cpu/Epilogue.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::codegen {

void EpilogueCode::run(const GemmPoint &point, Value product, llvm::function_ref<Lane()> value) {
  if (point.partial)
    lanes.below(point.partial, [&] { evaluate(point, product, value()); });
  else
    evaluate(point, product, value());
}

void EpilogueCode::evaluate(const GemmPoint &point, Value product, const Lane &value) {
  llvm::DenseMap<Value, Lane> values;
  values[product] = value;
  // Views of a computed value are the value.
  auto known = [&](Value value) -> std::optional<Lane> {
    for (;;) {
      if (auto it = values.find(value); it != values.end())
        return it->second;
      Operation *op = value.getDefiningOp();
      if (!op ||
          !isa<tensor::CastOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp, linalg::TransposeOp>(
              op))
        return std::nullopt;
      value = op->getOperand(0);
    }
  };
  for (const Epilogue::Step &step : epilogue.steps) {
    linalg::GenericOp generic = step.op;
    SmallVector<Lane> args, indices;
    for (OpOperand *input : generic.getDpsInputOperands()) {
      std::optional<Lane> value = known(input->get());
      args.push_back(
          value ? *value
                : load(input->get(), generic.getMatchingIndexingMap(input), step.loops, point));
    }
    args.resize(generic.getBody()->getNumArguments());
    if (!generic.getBody()->getOps<linalg::IndexOp>().empty())
      for (const GemmCoord &coord : step.loops)
        indices.push_back(coordinate(coord, point));
    FailureOr<SmallVector<Lane>> results = lanes.clone(*generic.getBody(), args, indices);
    if (failed(results)) {
      broken = true;
      return;
    }
    for (auto [result, lane] : llvm::zip(generic->getResults(), *results))
      values[result] = lane;
  }
  for (auto [number, output] : llvm::enumerate(epilogue.outputs)) {
    std::optional<Lane> value = known(output.place.value);
    lanes.store(*value, scope.output(number),
                offsetOf(output.point, output.place.offset, output.place.strides, point));
  }
}

void EpilogueCode::fetch(const GemmPoint &point) {
  for (auto [number, output] : llvm::enumerate(epilogue.outputs)) {
    Lane at = offsetOf(output.point, output.place.offset, output.place.strides, point);
    if (at.scalar)
      kb.prefetchWrite(scope.output(number), at.scalar,
                       storageType(getElementTypeOrSelf(output.place.value.getType())));
  }
}

Lane EpilogueCode::load(Value tensor, AffineMap map, ArrayRef<GemmCoord> loops,
                        const GemmPoint &point) {
  View view = *readView(scope.sizes, tensor);
  Lane at = offsetOf(*mapCoords(map, loops), view.offset, view.strides, point);
  return lanes.load(getElementTypeOrSelf(tensor.getType()),
                    scope.input(*scope.sizes.inputNumber(view.root)), at, /*constant=*/true);
}

/// offset + sum(coordinate * stride); parts of one index that are evenly spaced are not taken
/// apart, which saves the divisions.
Lane EpilogueCode::offsetOf(GemmCoords point, const Size &offset, SmallVector<Size> strides,
                            const GemmPoint &at) {
  for (size_t i = 0; i < point.size(); ++i)
    for (size_t j = 0; j < point.size();) {
      const GemmCoord outer = point[i], inner = point[j];
      if (i != j && outer.base == inner.base && outer.base != GemmCoord::Zero &&
          outer.divisor == inner.divisor * inner.extent &&
          strides[i] == strides[j] * inner.extent) {
        point[i] = {outer.base, inner.divisor, outer.extent * inner.extent, outer.outermost};
        strides[i] = strides[j];
        point[j] = GemmCoord();
        strides[j] = Size(0);
        j = 0;
        continue;
      }
      ++j;
    }
  Lane sum(scope.get(offset));
  for (auto [coord, stride] : llvm::zip(point, strides))
    if (coord.base != GemmCoord::Zero && !stride.is(0))
      sum = lanes.add(sum, lanes.mul(coordinate(coord, at), scope.get(stride)));
  return sum;
}

Lane EpilogueCode::coordinate(const GemmCoord &coord, const GemmPoint &point) {
  if (coord.base == GemmCoord::Zero)
    return Lane(kb.idx(0));
  Value divisor = scope.get(coord.divisor), extent = scope.get(coord.extent);
  auto part = [&](Value base) {
    if (!coord.divisor.is(1))
      base = kb.div(base, divisor);
    return coord.outermost ? base : kb.rem(base, extent);
  };
  if (coord.base == GemmCoord::Batch)
    return Lane(part(point.batch));
  if (coord.base == GemmCoord::Row)
    return Lane(part(point.row));
  // A vector starts at a multiple of its lanes: it stays within blocks that are multiples, too.
  if (coord.divisor.is(1) && (coord.outermost || (aligned && coord.extent.multipleOf(lanes.count))))
    return Lane::linear(part(point.column));
  if (aligned && coord.divisor.multipleOf(lanes.count))
    return Lane(part(point.column));
  Value columns = lanes.vector(Lane::linear(point.column));
  if (!coord.divisor.is(1))
    columns = arith::DivUIOp::create(kb.b, kb.loc, columns, kb.splat(divisor, lanes.count));
  if (!coord.outermost)
    columns = arith::RemUIOp::create(kb.b, kb.loc, columns, kb.splat(extent, lanes.count));
  return Lane(columns);
}

} // namespace attune::codegen
