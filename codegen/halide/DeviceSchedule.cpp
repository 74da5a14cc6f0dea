#include "attune/codegen/halide/Funcs.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace attune::codegen::halide {
namespace {

constexpr hl::DeviceAPI kApi = hl::DeviceAPI::OpenCL;
constexpr hl::TailStrategy kTail = hl::TailStrategy::GuardWithIf;
/// Work items of a group, and how many of them lie along the last axis.
constexpr int kGroup = 128, kGroupColumns = 64;
/// Axes beside the last two that the grid takes.
constexpr size_t kMostOuter = 4;

/// Applies a device plan. The loops of a root, outermost first: groups along the other axes, along
/// that of tile rows (else the last but one), along the last; work items of these two; the tile.
class DeviceScheduler {
public:
  DeviceScheduler(Funcs &funcs, const Plan &plan) : funcs(funcs), plan(plan) {}

  void run() {
    for (const auto &entry : plan.roots)
      scheduleRoot(entry.first);
  }

private:
  Funcs &funcs;
  const Plan &plan;

  Computed &computed(Value value) { return funcs.computed.find(value)->second; }

  void scheduleRoot(Value value) {
    const Stage &stage = plan.stages.find(value)->second;
    Computed &own = computed(value);
    hl::Func &func = own.func;
    func.compute_root();
    for (auto [axis, extent] : llvm::zip(own.axes, own.extents))
      func.bound(axis, 0, extent);
    if (own.axes.empty()) {
      func.gpu_single_thread(kApi);
      for (hl::Func &sums : guestsOf(value)) {
        sums.compute_root().gpu_single_thread(kApi);
        sums.update().gpu_single_thread(kApi);
      }
      return;
    }
    hl::Var item = scheduleLoops(func, own.axes, value, stage);
    for (const auto &[guest, guestStage] : plan.stages)
      if (guestStage.host == value && guestStage.reduction != Reduction::None)
        sumInRegisters(guest, guestStage, func, item);
  }

  /// Gives the innermost loop over work items.
  hl::Var scheduleLoops(hl::Func &func, const std::vector<hl::Var> &axes, Value value,
                        const Stage &stage) {
    ArrayRef<int64_t> shape = cast<RankedTensorType>(value.getType()).getShape();
    int64_t last = static_cast<int64_t>(axes.size()) - 1;
    int64_t second = stage.rowAxis >= 0 ? stage.rowAxis : last - 1;
    hl::Var columns, column, rows, row;
    std::vector<hl::VarOrRVar> order;
    // Not as a vector: at the end of an axis it would be stored under a mask, which OpenCL C has
    // not.
    auto tile = [&](hl::Var axis, int64_t size, const hl::Var &outer, const hl::Var &inner) {
      if (size == 1)
        return axis;
      func.split(axis, outer, inner, static_cast<int>(size), kTail).unroll(inner);
      order.push_back(inner);
      return outer;
    };
    std::vector<hl::Var> inner{tile(axes[last], stage.vectors, columns, column)};
    if (second >= 0)
      inner.push_back(tile(axes[second], stage.rows, rows, row));

    // Axes that the grid takes, the inner ones first, and what stays a loop of every work item.
    std::vector<hl::Var> outer;
    for (int64_t axis = last; axis-- > 0;) {
      if (axis == second)
        continue;
      if (shape[axis] != 1 && outer.size() < kMostOuter)
        outer.push_back(axes[axis]);
      else
        order.push_back(axes[axis]);
    }
    order.insert(order.end(), inner.begin(), inner.end());
    order.insert(order.end(), outer.begin(), outer.end());
    func.reorder(order);

    int width = groupWidth(shape[last], stage.vectors);
    std::vector<hl::Var> items{hl::Var(), hl::Var()}, blocks{hl::Var(), hl::Var()};
    items.resize(inner.size());
    blocks.resize(inner.size());
    if (inner.size() == 2)
      func.tile(inner[0], inner[1], blocks[0], blocks[1], items[0], items[1], width, kGroup / width,
                kTail);
    else
      func.split(inner[0], blocks[0], items[0], width, kTail);
    // A grid has three axes, and each takes two loops at most: of a loop in a loop in a loop Halide
    // no longer finds that it stands at one place.
    if (!outer.empty())
      blocks.push_back(outer.front());
    for (size_t i = 1; i < outer.size(); ++i) {
      hl::Var &block = blocks[blocks.size() - i], fused;
      func.fuse(block, outer[i], fused);
      block = fused;
    }
    for (const hl::Var &block : blocks)
      func.gpu_blocks(block, kApi);
    for (const hl::Var &each : items)
      func.gpu_threads(each, kApi);
    return items.front();
  }

  /// Work items along the last axis: no more than it needs.
  static int groupWidth(int64_t extent, int64_t columns) {
    int width = kGroupColumns;
    while (!ShapedType::isDynamic(extent) && width > 1 && (width / 2) * columns >= extent)
      width /= 2;
    return width;
  }

  std::vector<hl::Func> guestsOf(Value host) {
    std::vector<hl::Func> guests;
    for (const auto &[value, stage] : plan.stages)
      if (stage.host == host && stage.reduction != Reduction::None)
        guests.push_back(computed(value).sums);
    return guests;
  }

  void sumInRegisters(Value value, const Stage &stage, hl::Func &host, const hl::Var &item) {
    Computed &own = computed(value);
    std::vector<hl::Var> axes = own.sums.args(); // innermost first
    auto isRow = [&](size_t i) {
      return stage.rowAxis == static_cast<int64_t>(axes.size() - 1 - i);
    };
    own.sums.compute_at(host, item).store_in(hl::MemoryType::Register);
    hl::Stage update = own.sums.update();
    std::vector<hl::VarOrRVar> order;
    for (size_t i = 0; i < axes.size(); ++i) {
      int64_t extent = i == 0 ? stage.vectors : isRow(i) ? stage.rows : 1;
      own.sums.bound_extent(axes[i], static_cast<int>(extent));
      if (i == 0 || isRow(i))
        order.push_back(axes[i]);
    }
    for (int i = 0; i < own.domain.dimensions(); ++i)
      order.push_back(own.domain[i]);
    for (size_t i = 1; i < axes.size(); ++i)
      if (!isRow(i))
        order.push_back(axes[i]);
    update.reorder(order);
    for (size_t i = 0; i < axes.size(); ++i) {
      if (i == 0 && stage.vectors > 1 && stage.wide) {
        own.sums.vectorize(axes[i]);
        update.vectorize(axes[i]);
      } else {
        own.sums.unroll(axes[i]);
        update.unroll(axes[i]);
      }
    }
    if (own.domain.dimensions() != 0 && own.shortLoop.front())
      update.unroll(own.domain[0]);
  }
};

} // namespace

void scheduleOnDevice(Funcs &funcs, const Plan &plan) { DeviceScheduler(funcs, plan).run(); }

} // namespace attune::codegen::halide
