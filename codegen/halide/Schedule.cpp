#include "attune/codegen/halide/Funcs.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace attune::codegen::halide {
namespace {

/// Applies a plan. The loops of a root, outermost first: one parallel loop over its outer axes and
/// blocks, the axes inside a block, the vector axis. Everything kept for it is computed at the
/// parallel loop.
class Scheduler {
public:
  Scheduler(Funcs &funcs, const Plan &plan) : funcs(funcs), plan(plan) {}

  void run() {
    for (const auto &[value, root] : plan.roots)
      scheduleRoot(value, root);
    for (const auto &[value, stage] : plan.stages)
      if (stage.place == Place::Stored)
        scheduleStored(value, stage);
  }

private:
  Funcs &funcs;
  const Plan &plan;
  /// The loop in which what a root needs is computed; undefined: before all of it.
  llvm::DenseMap<Value, std::pair<hl::Func, hl::Var>> levels;

  Computed &computed(Value value) { return funcs.computed.find(value)->second; }
  static int lanesOf(const Stage &stage) { return static_cast<int>(stage.lanes); }

  void computeAt(hl::Func &func, Value root) {
    auto level = levels.find(root);
    if (level == levels.end())
      func.compute_root();
    else
      func.compute_at(level->second.first, level->second.second);
  }

  void scheduleRoot(Value value, const Root &root) {
    const Stage &stage = plan.stages.find(value)->second;
    Computed &own = computed(value);
    hl::Func &func = own.func;
    func.compute_root();
    if (!root.outer.empty()) {
      int64_t along = root.outer.back();
      hl::Var blocks("blocks"), inside("inside"), tasks = blocks;
      func.split(own.axes[along], blocks, inside, static_cast<int>(root.block),
                 hl::TailStrategy::GuardWithIf);
      std::vector<hl::VarOrRVar> order;
      for (size_t axis = own.axes.size(); axis-- > 0;)
        if (!llvm::is_contained(root.outer, static_cast<int64_t>(axis)))
          order.push_back(own.axes[axis]);
        else if (static_cast<int64_t>(axis) == along)
          order.push_back(inside);
      order.push_back(blocks);
      for (size_t i = root.outer.size() - 1; i-- > 0;)
        order.push_back(own.axes[root.outer[i]]);
      func.reorder(order);
      for (size_t i = root.outer.size() - 1; i-- > 0;) {
        hl::Var fused("tasks");
        func.fuse(tasks, own.axes[root.outer[i]], fused);
        tasks = fused;
      }
      func.parallel(tasks);
      levels[value] = {func, tasks};
      own.axes[along] = inside;
    }
    if (own.inner.defined() && stage.host == value) {
      computeAt(own.inner, value);
      std::vector<hl::Var> axes = own.inner.args();
      std::reverse(axes.begin(), axes.end());
      tile(own.inner, axes, {}, value, stage, hl::TailStrategy::RoundUp);
      vectorise(func, own.axes, stage);
    } else if (stage.host == value) {
      tile(func, own.axes, outerOnly(root), value, stage, hl::TailStrategy::GuardWithIf);
    } else {
      vectorise(func, own.axes, stage);
    }
    reduce(value, stage);
  }

  void scheduleStored(Value value, const Stage &stage) {
    Computed &own = computed(value);
    computeAt(own.func, stage.root);
    if (stage.host == value)
      tile(own.func, own.axes, {}, value, stage, hl::TailStrategy::RoundUp);
    else if (stage.reduction != Reduction::Row)
      vectorise(own.func, own.axes, stage);
    reduce(value, stage);
  }

  void vectorise(hl::Func &func, const std::vector<hl::Var> &axes, const Stage &stage) {
    if (axes.empty())
      return;
    func.vectorize(axes.back(), lanesOf(stage), hl::TailStrategy::GuardWithIf);
  }

  /// Axes that are not in the loops of a block at all.
  static llvm::ArrayRef<int64_t> outerOnly(const Root &root) {
    return llvm::ArrayRef(root.outer).drop_back(root.outer.empty() ? 0 : 1);
  }

  /// The host's loops in tiles, and the sums of a tile in registers: the operand that goes with the
  /// rows of a tile stays in the first-level cache while all others pass by.
  void tile(hl::Func &host, std::vector<hl::Var> axes, llvm::ArrayRef<int64_t> outside, Value value,
            const Stage &stage, hl::TailStrategy tail) {
    hl::Var columns("columns"), column("column"), rows("rows"), row("row");
    int width = static_cast<int>(stage.vectors * stage.lanes);
    host.split(axes.back(), columns, column, width, tail);
    std::vector<hl::VarOrRVar> order{column};
    if (stage.rowAxis >= 0) {
      host.split(axes[stage.rowAxis], rows, row, static_cast<int>(stage.rows), tail);
      order.push_back(row);
    }
    order.push_back(columns);
    for (int64_t axis = static_cast<int64_t>(axes.size()) - 2; axis >= 0; --axis)
      if (axis != stage.rowAxis && !llvm::is_contained(outside, axis))
        order.push_back(axes[axis]);
    if (stage.rowAxis >= 0)
      order.push_back(rows);
    host.reorder(order);
    host.vectorize(column, lanesOf(stage)).unroll(column);
    if (stage.rowAxis >= 0)
      host.unroll(row);
    for (const auto &[guest, guestStage] : plan.stages)
      if (guestStage.reduction == Reduction::Tile && guestStage.host == value)
        sumInRegisters(guest, guestStage, host, columns);
  }

  void sumInRegisters(Value value, const Stage &stage, hl::Func &host, const hl::Var &tile) {
    hl::Func &sums = computed(value).sums;
    std::vector<hl::Var> axes = sums.args(); // innermost first
    hl::Var column = axes.front();
    std::optional<hl::Var> row;
    if (stage.rowAxis >= 0)
      row = axes[axes.size() - 1 - stage.rowAxis];
    sums.compute_at(host, tile).store_in(hl::MemoryType::Stack);
    sums.bound_extent(column, static_cast<int>(stage.vectors * stage.lanes));
    if (row)
      sums.bound_extent(*row, static_cast<int>(stage.rows));
    sums.vectorize(column, lanesOf(stage)).unroll(column);
    if (row)
      sums.unroll(*row);
    hl::Stage update = sums.update();
    const hl::RDom &domain = computed(value).domain;
    std::vector<hl::VarOrRVar> order{column};
    if (row)
      order.push_back(*row);
    for (int i = 0; i < domain.dimensions(); ++i)
      order.push_back(domain[i]);
    for (const hl::Var &axis : axes)
      if (axis.name() != column.name() && (!row || axis.name() != row->name()))
        order.push_back(axis);
    update.reorder(order).vectorize(column, lanesOf(stage)).unroll(column);
    if (row)
      update.unroll(*row);
    if (domain.dimensions() != 0 && computed(value).shortLoop.front())
      update.unroll(domain[0]);
  }

  /// Row and serial reductions.
  void reduce(Value value, const Stage &stage) {
    Computed &own = computed(value);
    if (stage.reduction == Reduction::Serial) {
      if (stage.place == Place::Root)
        computeAt(own.sums, value);
      else
        computeAt(own.sums, stage.root);
      return;
    }
    if (stage.reduction != Reduction::Row)
      return;
    hl::Func &rows = own.inner.defined() ? own.inner : own.func;
    if (own.inner.defined())
      computeAt(own.inner, value);
    std::vector<hl::Var> axes = rows.args();
    computePerRow(own.partial, rows);
    if (own.folded.defined()) {
      computePerRow(own.folded, rows);
      own.folded.bound_extent(own.lane, lanesOf(stage)).vectorize(own.lane);
    }
    own.partial.bound_extent(own.lane, static_cast<int>(own.partialLanes));
    own.partial.vectorize(own.lane, lanesOf(stage)).unroll(own.lane);
    hl::Stage update = own.partial.update();
    std::vector<hl::VarOrRVar> order{own.lane};
    for (int i = 0; i < own.domain.dimensions(); ++i)
      order.push_back(own.domain[i]);
    for (const hl::Var &axis : axes)
      order.push_back(axis);
    update.reorder(order).vectorize(own.lane, lanesOf(stage)).unroll(own.lane);
    if (rows.has_update_definition())
      rows.update().unscheduled();
  }

  static void computePerRow(hl::Func &func, const hl::Func &row) {
    if (row.args().empty())
      func.compute_root();
    else
      func.compute_at(row, row.args().front());
    func.store_in(hl::MemoryType::Stack);
  }
};

} // namespace

void schedule(Funcs &funcs, const Plan &plan) { Scheduler(funcs, plan).run(); }

} // namespace attune::codegen::halide
