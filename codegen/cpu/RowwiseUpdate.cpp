#include "attune/codegen/cpu/RowwiseCode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::codegen {

/// Whether the rest of a result, `old`, has the layout of an input; fills in which and when.
static bool matchOld(const Sizes &sizes, Value old, const Placement &place, RowwiseUpdate &update) {
  if (isSameLayout(sizes, old, place)) {
    update.input = *sizes.inputNumber(readView(sizes, old)->root);
    return true;
  }
  // Dense and padded at the end of one axis.
  auto pad = old.getDefiningOp<tensor::PadOp>();
  std::optional<int64_t> input = pad ? sizes.inputNumber(pad.getSource()) : std::nullopt;
  std::optional<SmallVector<Size>> from = input ? sizes.extents(pad.getSource()) : std::nullopt;
  std::optional<SmallVector<Size>> to = sizes.extents(place.value);
  if (!from || !to || !old.hasOneUse() || !pad.getSource().hasOneUse() || !place.offset.is(0) ||
      place.strides != rowMajorStrides(*to) || !pad.hasZeroLowPad())
    return false;
  update.input = *input;
  bool found = false;
  for (auto [axis, high] : llvm::enumerate(pad.getMixedHighPad())) {
    if (isConstantIntValue(high, 0) && (*from)[axis] == (*to)[axis])
      continue;
    if (found)
      return false;
    found = true;
    update.axis = axis;
    update.extent = (*from)[axis];
    update.grown = (*to)[axis];
  }
  return found;
}

std::optional<RowwiseUpdate> RowwiseUpdate::match(const Sizes &sizes, const Placement &place) {
  auto op = place.value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumResults() != 1 || op.getNumReductionLoops() != 0)
    return std::nullopt;
  auto select = op.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::SelectOp>();
  if (!select || !select.getCondition().getType().isInteger(1))
    return std::nullopt;
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  for (bool isNew : {true, false}) {
    auto old = dyn_cast<BlockArgument>(isNew ? select.getFalseValue() : select.getTrueValue());
    if (!old || old.getOwner() != op.getBody() || !old.hasOneUse())
      continue;
    OpOperand *operand = op.getMatchingOpOperand(old);
    RowwiseUpdate update{op, select.getCondition(), isNew, 0};
    if (op.isDpsInput(operand) && op.getMatchingIndexingMap(operand) == map &&
        matchOld(sizes, operand->get(), place, update))
      return update;
  }
  return std::nullopt;
}

Value RowwiseCode::isSameMemory(int64_t input, const View &view, int64_t output,
                                const Placement &place) {
  return scope->atEntry([&]() -> Value {
    auto address = [&](Value base, const Size &offset) -> Value {
      Type element = storageType(getElementTypeOrSelf(place.value.getType()));
      Value at = kb.gep(base, scope->get(offset), element);
      return LLVM::PtrToIntOp::create(kb.b, kb.loc, kb.b.getI64Type(), at);
    };
    auto equal = [&](Value x, Value y) -> Value {
      return arith::CmpIOp::create(kb.b, kb.loc, arith::CmpIPredicate::eq, x, y);
    };
    Value same = equal(address(scope->input(input), view.offset),
                       address(scope->output(output), place.offset));
    for (auto [axis, strides] : llvm::enumerate(llvm::zip(view.strides, place.strides))) {
      auto [from, to] = strides;
      if (from == to)
        continue;
      Value single = kb.cmp(arith::CmpIPredicate::sle,
                            scope->get(*plan.sizes->extent(place.value, axis)), kb.idx(1));
      Value agree = equal(scope->get(from), scope->get(to));
      agree = arith::OrIOp::create(kb.b, kb.loc, single, agree);
      same = arith::AndIOp::create(kb.b, kb.loc, same, agree);
    }
    return same;
  });
}

/// Stores the root's element where it is new.
void RowwiseCode::storeNew(Root &root, RowwiseUpdate &update) {
  AffineMap map = update.op.getMatchingIndexingMap(update.op.getDpsInitOperand(0));
  SmallVector<Lane> loops(update.op.getNumLoops(), Lane(zero));
  for (auto [axis, index] : llvm::enumerate(pointOf(root.value)))
    loops[cast<AffineDimExpr>(map.getResult(axis)).getPosition()] = index;
  FailureOr<SmallVector<Lane>> found =
      lanes->clone(*update.op.getBody(), evalOperands(update.op, loops), loops, {update.condition});
  if (llvm::failed(found)) {
    failed = true;
    return;
  }
  auto store = [&] { scoped([&] { finish(root, eval(root.value, pointOf(root.value))); }); };
  bool perLane = !found->front().uniform();
  Value isNew = perLane ? lanes->vector(found->front()) : found->front().scalar;
  if (!update.isNew)
    isNew = arith::XOrIOp::create(kb.b, kb.loc, isNew, kb.constI(1, isNew.getType()));
  if (perLane)
    lanes->where(isNew, store);
  else
    kb.ifThen(isNew, store);
}

/// A cache in place: input and output are one buffer, of which most stays as it is. Whether the
/// stage may be of this kind; then it is built.
bool RowwiseCode::buildInPlace(Stage &stage) {
  if (stage.scalar() || stage.roots.size() != 1 || stage.roots[0].kind != Root::Store ||
      stage.roots[0].placements.size() != 1)
    return false;
  auto &[output, place] = plan.placements[stage.roots[0].placements[0]];
  std::optional<View> view = readView(*plan.sizes, place.value);
  std::optional<int64_t> input = view ? plan.sizes->inputNumber(view->root) : std::nullopt;
  std::optional<RowwiseUpdate> update = RowwiseUpdate::match(*plan.sizes, place);
  if (update) {
    input = update->input;
    view = View{Value(), place.offset, place.strides};
  }
  if (!input)
    return false;
  auto build = [&] {
    scoped([&] { buildOuter(stage, 0); });
    return Values();
  };
  Value same = isSameMemory(*input, *view, output, place);
  if (update)
    same = arith::AndIOp::create(kb.b, kb.loc, same,
                                 kb.eq(scope->get(update->extent), scope->get(update->grown)));
  kb.ifElse(
      same, {},
      [&] {
        updating = update ? &*update : nullptr;
        if (updating)
          build();
        updating = nullptr;
        return Values();
      },
      build);
  return true;
}

} // namespace attune::codegen
