#include "attune/passes/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_TILESTATE
#include "attune/passes/Passes.h.inc"

namespace {
struct TileState : impl::TileStateBase<TileState> {
  using TileStateBase::TileStateBase;

  void runOnOperation() override {
    if (tile < 1) {
      getOperation()->emitError("tile must be at least 1, found ") << int64_t(tile);
      return signalPassFailure();
    }
    SmallVector<StateOpInterface> ops;
    getOperation()->walk([&](StateOpInterface op) { ops.push_back(op); });
    for (StateOpInterface op : ops)
      if (refusal(op))
        ++numRefused;
      else
        lower(op);
  }

  bool refusal(StateOpInterface op) {
    StateInfo info = op.getStateInfo();
    if (info.kind != StateInfo::Kind::None)
      return false;
    remark::missed(op.getLoc(),
                   remark::RemarkOpts::name("StateNotTiled").category("attune-tile-state"))
        << remark::reason("{0}", info.reason);
    return true;
  }

  void lower(StateOpInterface op) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    OpFoldResult extent = op.getCarriedExtent(builder);
    Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
    Value step = arith::ConstantIndexOp::create(builder, loc, tile);
    auto loop = scf::ForOp::create(
        builder, loc, zero, getValueOrCreateConstantIndexOp(builder, loc, extent), step,
        op.buildInitialState(builder),
        [&](OpBuilder &inner, Location, Value offset, ValueRange state) {
          SmallVector<Value> next =
              op.buildTile(inner, offset, size(inner, loc, offset, extent), state);
          scf::YieldOp::create(inner, loc, next);
        });
    op->replaceAllUsesWith(op.buildResults(builder, loop.getResults()));
    op->erase();
    ++numTiled;
  }

  /// The tile, or what is left of the axis.
  OpFoldResult size(OpBuilder &builder, Location loc, Value offset, OpFoldResult extent) {
    if (std::optional<int64_t> known = getConstantIntValue(extent); known && *known % tile == 0)
      return builder.getIndexAttr(tile);
    AffineExpr left = builder.getAffineSymbolExpr(0) - builder.getAffineDimExpr(0);
    AffineExpr whole = builder.getAffineConstantExpr(tile);
    AffineMap map = AffineMap::get(1, 1, {left, whole}, builder.getContext());
    return affine::makeComposedFoldedAffineMin(builder, loc, map, {offset, extent});
  }
};
} // namespace
} // namespace attune
