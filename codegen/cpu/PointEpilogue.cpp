#include "attune/codegen/cpu/PointEpilogue.h"

using namespace mlir;

namespace attune::codegen {

/// Casts of types change nothing that counts here.
static Value throughCasts(Value value) {
  while (auto cast = value.getDefiningOp<tensor::CastOp>())
    value = cast.getSource();
  return value;
}

bool PointEpilogue::addValue(const Sizes &sizes, Value value) {
  value = throughCasts(value);
  if (value == root)
    return true;
  auto generic = value.getDefiningOp<linalg::GenericOp>();
  if (!generic)
    return false;
  if (llvm::is_contained(steps, generic))
    return true;
  auto type = cast<RankedTensorType>(root.getType());
  if (generic.getNumReductionLoops() || int64_t(generic.getNumLoops()) != type.getRank() ||
      !Lanes::supports(*generic.getBody(), sizes) || isCopy(generic))
    return false;
  for (OpResult result : generic->getResults()) {
    if (!generic.getIndexingMapMatchingResult(result).isIdentity())
      return false;
    for (int64_t axis = 0; axis < type.getRank(); ++axis)
      if (sizes.extent(result, axis) != sizes.extent(root, axis))
        return false;
  }
  for (OpOperand *input : generic.getDpsInputOperands()) {
    AffineMap map = generic.getMatchingIndexingMap(input);
    if (isa<RankedTensorType>(input->get().getType()) && isInputView(sizes, input->get())) {
      if (!llvm::all_of(map.getResults(),
                        [](AffineExpr e) { return isa<AffineDimExpr, AffineConstantExpr>(e); }))
        return false;
    } else if (!map.isIdentity() || !addValue(sizes, input->get())) {
      return false;
    }
  }
  for (OpOperand &init : generic.getDpsInitsMutable())
    if (generic.payloadUsesValueFromOperand(&init))
      return false;
  steps.push_back(generic);
  return true;
}

std::optional<PointEpilogue> PointEpilogue::match(const Sizes &sizes, Value root, ValueRange others) {
  PointEpilogue epilogue;
  epilogue.root = root;
  KernelOp kernel = sizes.kernel;
  for (auto [number, yielded] :
       llvm::enumerate(kernel.getBody().front().getTerminator()->getOperands())) {
    std::optional<SmallVector<Placement>> places = writeViews(sizes, yielded);
    if (!places || places->size() != 1)
      return std::nullopt;
    Placement place = places->front();
    if (!llvm::is_contained(others, place.value) && !epilogue.addValue(sizes, place.value))
      return std::nullopt;
    epilogue.outputs.push_back({number, place});
  }
  return epilogue;
}

std::optional<std::pair<int64_t, Placement>> PointEpilogue::placeOf(Value value) const {
  for (const auto &output : outputs)
    if (output.second.value == value)
      return output;
  return std::nullopt;
}

LogicalResult PointEpilogue::emit(Scope &scope, Lanes &lanes, const Lane &value,
                             ArrayRef<Lane> point) const {
  llvm::DenseMap<Value, Lane> values;
  values[root] = value;
  for (linalg::GenericOp generic : steps) {
    SmallVector<Lane> args;
    for (OpOperand *input : generic.getDpsInputOperands()) {
      if (auto known = values.find(throughCasts(input->get())); known != values.end()) {
        args.push_back(known->second);
        continue;
      }
      SmallVector<Lane> at;
      for (AffineExpr expr : generic.getMatchingIndexingMap(input).getResults()) {
        if (auto dim = dyn_cast<AffineDimExpr>(expr))
          at.push_back(point[dim.getPosition()]);
        else
          at.push_back(Lane(scope.kb.idx(cast<AffineConstantExpr>(expr).getValue())));
      }
      View view = *readView(scope.sizes, input->get());
      args.push_back(lanes.load(getElementTypeOrSelf(input->get().getType()),
                                scope.input(*scope.sizes.inputNumber(view.root)),
                                lanes.offset(view, at), /*constant=*/true));
    }
    args.resize(generic.getBody()->getNumArguments());
    FailureOr<SmallVector<Lane>> results = lanes.clone(*generic.getBody(), args, point);
    if (failed(results))
      return failure();
    for (auto [result, lane] : llvm::zip(generic->getResults(), *results))
      values[result] = lane;
  }
  for (const auto &[number, place] : outputs) {
    auto computed = values.find(throughCasts(place.value));
    if (computed == values.end())
      continue;
    View view{place.value, place.offset, place.strides};
    lanes.store(computed->second, scope.output(number), lanes.offset(view, point));
  }
  return success();
}

} // namespace attune::codegen
