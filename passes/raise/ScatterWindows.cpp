#include "attune/passes/Passes.h"
#include "attune/passes/raise/Match.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_RAISESCATTERWINDOWS
#include "attune/passes/Passes.h.inc"

namespace {

/// Coordinates of a scatter, each a constant plus a leading axis of its own.
class WindowMatch {
public:
  WindowMatch(Sizes &sizes, ScatterOp op) : sizes(sizes), elements(sizes), op(op) {}

  bool match() {
    if (!op.getCombine().empty())
      return false;
    int64_t depth = op.getDepth(), leading = op.getLeading();
    for (int64_t axis = 0; axis < leading; ++axis)
      indices.push_back(elements.addIndex(sizes.of(op.getIndices(), axis)));
    llvm::SmallDenseSet<Value> taken;
    for (int64_t c = 0; c < depth; ++c) {
      std::optional<Window> window = windowOf(coordinate(c), c);
      if (!window || (window->index && !taken.insert(window->index).second))
        return false;
      windows.push_back(*window);
    }
    // An update along an axis that no coordinate follows would be overwritten by the next one.
    for (Value index : indices)
      if (!taken.contains(index) && Sizes::asConstant(elements.extentOf(index)) != 1)
        return false;
    return llvm::count_if(windows, [](const Window &w) { return w.partial; }) <= 1 && readUpdates();
  }

  Value build(OpBuilder &builder) {
    Location loc = op.getLoc();
    Value window = buildLayout(builder, loc, sizes, *layout, groups,
                               [&](Value index) { return elements.extentOf(index); });
    auto partial = llvm::find_if(windows, [](const Window &w) { return w.partial; });
    if (partial != windows.end()) {
      int64_t axis = partial - windows.begin();
      AffineExpr end = partial->extent + partial->offset;
      SmallVector<Value> parts{
          slice(builder, axis, sizes.constant(0), sizes.constant(partial->offset)), window,
          slice(builder, axis, end, sizes.of(op.getData(), axis) - end)};
      llvm::erase(parts, Value());
      window = tensor::ConcatOp::create(builder, loc, axis, parts);
    }
    if (window.getType() != op.getResult().getType())
      window = tensor::CastOp::create(builder, loc, op.getResult().getType(), window);
    return window;
  }

private:
  struct Window {
    int64_t offset;
    Value index; ///< null: one position
    AffineExpr extent;
    bool partial;
  };

  Value coordinate(int64_t c) {
    SmallVector<Value> at(indices);
    at.push_back(elements.constantIndex(c));
    Value place = elements.at(op.getIndices(), at);
    return place ? elements.make<arith::IndexCastOp>(IndexType::get(op.getContext()), place)
                 : Value();
  }

  std::optional<Window> windowOf(Value place, int64_t axis) {
    if (!place)
      return std::nullopt;
    Value index;
    if (llvm::SetVector<Value> free = elements.freeIndices(place); !free.empty()) {
      if (free.size() != 1)
        return std::nullopt;
      index = free.front();
      place = elements.make<arith::SubIOp>(place, index);
    }
    std::optional<int64_t> offset = getConstantIntValue(place);
    if (!offset || *offset < 0)
      return std::nullopt;
    AffineExpr extent = index ? elements.extentOf(index) : sizes.constant(1);
    bool whole = *offset == 0 && sizes.equal(extent, sizes.of(op.getData(), axis));
    return Window{*offset, index, extent, !whole};
  }

  /// Finds the updates in a tensor whose axes the window can have.
  bool readUpdates() {
    SmallVector<Value> at(indices);
    for (const Window &window : windows)
      groups.push_back(window.index ? SmallVector<Value>{window.index} : SmallVector<Value>{});
    for (int64_t axis = op.getDepth(); axis < op.getDataType().getRank(); ++axis) {
      at.push_back(elements.addIndex(sizes.of(op.getData(), axis)));
      groups.push_back({at.back()});
    }
    Value element = elements.at(op.getUpdates(), at);
    if (element)
      layout = findLayout(elements, sizes, element, groups,
                          [&](Value index) { return elements.extentOf(index); });
    return layout.has_value();
  }

  /// `count` positions of the data on `axis`; null if there are none.
  Value slice(OpBuilder &builder, int64_t axis, AffineExpr offset, AffineExpr count) {
    if (sizes.equal(count, sizes.constant(0)))
      return {};
    Location loc = op.getLoc();
    int64_t rank = op.getDataType().getRank();
    SmallVector<OpFoldResult> offsets(rank, builder.getIndexAttr(0)),
        strides(rank, builder.getIndexAttr(1)),
        shape = tensor::getMixedSizes(builder, loc, op.getData());
    offsets[axis] = sizes.get(builder, loc, offset);
    shape[axis] = sizes.get(builder, loc, count);
    return tensor::ExtractSliceOp::create(builder, loc, op.getData(), offsets, shape, strides);
  }

  Sizes &sizes;
  Elements elements;
  ScatterOp op;
  SmallVector<Value> indices;
  SmallVector<Window> windows;
  IndexGroups groups;
  std::optional<Layout> layout;
};

struct RaiseScatterWindows : impl::RaiseScatterWindowsBase<RaiseScatterWindows> {
  using RaiseScatterWindowsBase::RaiseScatterWindowsBase;

  void runOnOperation() override {
    SmallVector<ScatterOp> scatters;
    getOperation().walk([&](ScatterOp op) { scatters.push_back(op); });
    for (ScatterOp op : scatters) {
      Sizes sizes(getOperation());
      WindowMatch match(sizes, op);
      if (!match.match())
        continue;
      OpBuilder builder(op);
      op.getResult().replaceAllUsesWith(match.build(builder));
      op.erase();
      ++numRaised;
    }
  }
};
} // namespace
} // namespace attune
