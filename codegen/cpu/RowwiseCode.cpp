#include "attune/codegen/cpu/RowwiseCode.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

/// Stores a root's value at the current point.
void RowwiseCode::finish(Root &root, const Lane &value) {
  if (root.kept)
    storeKept(root.value, value);
  for (int number : root.placements) {
    auto &[output, place] = plan.placements[number];
    View view{place.value, place.offset, place.strides};
    lanes->store(value, scope->output(output), lanes->offset(view, pointOf(place.value)));
  }
}

void RowwiseCode::runRoots(Stage &stage, ArrayRef<Root *> roots) {
  for (Root *root : roots)
    if (updating)
      storeNew(*root, *updating);
    else
      finish(*root, eval(root->value, pointOf(root->value)));
}

int64_t RowwiseCode::unrollOf(Stage &stage) const {
  int64_t most = stage.cost <= 12 ? 4 : stage.cost <= 24 ? 2 : 1;
  if (stage.lane == plan.lane && plan.laneBlock)
    return std::clamp<int64_t>(plan.laneBlock / plan.lanes, 1, most);
  return most;
}

std::pair<Value, Value> RowwiseCode::laneRange(Stage &stage) {
  if (stage.lane == plan.lane && plan.laneBlock)
    return {blockStart, blockEnd};
  return {zero, scope->get(plan.extents.at(stage.lane))};
}

Values RowwiseCode::laneLoop(Value lower, Value upper, int64_t unroll, Values values,
                             llvm::function_ref<Values(Value, int64_t, Values)> build) {
  auto body = [&](Value iv, int64_t copies, Values carried) {
    Values results;
    scoped([&] { results = build(iv, copies, carried); });
    return results;
  };
  int64_t count = plan.lanes;
  std::optional<int64_t> extent;
  if (auto constant = getConstantIntValue(upper); constant && lower == zero)
    extent = *constant;
  auto loop = [&](Value from, Value to, int64_t step, int64_t copies, Values init) {
    // The same loop without a loop-carried value has no results.
    if (init.empty()) {
      kb.forLoop(from, to, step, [&](Value iv) { body(iv, copies, {}); });
      return Values();
    }
    return kb.forLoop(from, to, step, init, [&](Value iv, ValueRange carried) {
      return body(iv, copies, Values(carried));
    });
  };
  auto endOf = [&](Value from, int64_t step) {
    if (extent)
      return kb.idx(*extent / step * step);
    Value length = kb.sub(upper, from);
    return kb.add(from, kb.mul(kb.div(length, step), step));
  };
  if (group)
    return loop(kb.add(lower, group->thread), upper, group->threads, 1, values);
  Value position = lower;
  if (unroll > 1 && (!extent || *extent >= unroll * count)) {
    Value end = endOf(lower, unroll * count);
    values = loop(lower, end, unroll * count, unroll, values);
    position = end;
  }
  if (!extent || (unroll > 1 ? *extent % (unroll * count) : *extent) >= count) {
    Value end = extent ? endOf(lower, count) : endOf(position, count);
    values = loop(position, end, count, 1, values);
    position = end;
  }
  if (extent && *extent % count == 0)
    return values;
  auto rest = [&]() -> Values {
    Values results;
    lanes->below(kb.sub(upper, position), [&] { results = body(position, 1, values); });
    return results;
  };
  if (extent)
    return rest();
  Value some = kb.lt(position, upper);
  if (values.empty()) {
    kb.ifThen(some, [&] { rest(); });
    return {};
  }
  return kb.ifElse(some, ValueRange(values).getTypes(), rest, [&] { return values; });
}

Values RowwiseCode::reductionLoops(Stage &stage, size_t depth, Values init,
                                   llvm::function_ref<Values(Values)> body) {
  if (depth == stage.reduction.size())
    return body(init);
  int axisClass = stage.reduction[depth];
  Value upper = scope->get(plan.extents.at(axisClass));
  Values results = kb.forLoop(zero, upper, 1, init, [&](Value iv, ValueRange carried) {
    Values next;
    at[axisClass] = Lane(iv);
    scoped([&] { next = reductionLoops(stage, depth + 1, Values(carried), body); });
    return next;
  });
  at.erase(axisClass);
  return results;
}

static SmallVector<Root *> rootsOf(Stage &stage, bool reduce) {
  SmallVector<Root *> roots;
  for (Root &root : stage.roots)
    if ((root.kind == Root::Reduce) == reduce)
      roots.push_back(&root);
  return roots;
}

static Reduction reductionOf(Root &root) {
  return *Reduction::match(root.value.getDefiningOp<linalg::LinalgOp>(),
                           cast<OpResult>(root.value).getResultNumber());
}

/// Lanes along a parallel class: every lane has its own accumulators.
void RowwiseCode::buildLaneParallel(Stage &stage) {
  SmallVector<Root *> reduces = rootsOf(stage, true), maps = rootsOf(stage, false);
  auto [lower, upper] = laneRange(stage);
  auto setLane = [&](Value iv, int64_t copy) {
    at[stage.lane] = laneAt(kb.add(iv, copy * plan.lanes));
  };
  laneLoop(lower, upper, unrollOf(stage), {}, [&](Value iv, int64_t copies, Values) {
    // The index of a copy is one value for everything that is built at it.
    SmallVector<Lane> indices;
    for (int64_t copy = 0; copy < copies; ++copy) {
      setLane(iv, copy);
      indices.push_back(at[stage.lane]);
    }
    if (reduces.empty() && stage.reduction.empty()) {
      for (const Lane &index : indices) {
        at[stage.lane] = index;
        scoped([&] { runRoots(stage, maps); });
      }
      return Values();
    }
    Values init;
    for (Root *root : reduces)
      for (int64_t copy = 0; copy < copies; ++copy) {
        at[stage.lane] = indices[copy];
        Lane initial = initialOf(*root);
        Reduction reduction = reductionOf(*root);
        if (reduction.idempotent)
          init.push_back(lanes->vector(initial));
        else
          init.push_back(reduction.start(kb, initial.scalar, plan.lanes));
      }
    Values sums = reductionLoops(stage, 0, init, [&](Values carried) {
      for (int64_t copy = 0; copy < copies; ++copy) {
        at[stage.lane] = indices[copy];
        scoped([&] {
          for (Root &root : stage.roots) {
            if (root.kind != Root::Reduce) {
              runRoots(stage, &root);
              continue;
            }
            Value &sum = carried[(llvm::find(reduces, &root) - reduces.begin()) * copies + copy];
            sum = reductionOf(root).combine(kb, sum, lanes->vector(evalElement(root)));
          }
        });
      }
      return carried;
    });
    for (auto [number, root] : llvm::enumerate(reduces))
      for (int64_t copy = 0; copy < copies; ++copy) {
        at[stage.lane] = indices[copy];
        Value sum = sums[number * copies + copy];
        Reduction reduction = reductionOf(*root);
        if (!reduction.idempotent)
          sum = reduction.combine(kb, lanes->vector(initialOf(*root)), sum);
        finish(*root, sum);
      }
    return Values();
  });
  at.erase(stage.lane);
}

/// Lanes along a reduced class: lanes and copies of the body have their own accumulators, which are
/// merged in a fixed order at the end.
void RowwiseCode::buildLaneReduced(Stage &stage) {
  SmallVector<Root *> reduces = rootsOf(stage, true);
  int64_t unroll = group ? 1 : unrollOf(stage);
  Values init;
  SmallVector<Lane> initial;
  for (Root *root : reduces) {
    initial.push_back(initialOf(*root));
    for (int64_t copy = 0; copy < unroll; ++copy)
      init.push_back(reductionOf(*root).start(kb, initial.back().scalar, plan.lanes));
  }
  auto [lower, upper] = laneRange(stage);
  Values sums = reductionLoops(stage, 0, init, [&](Values carried) {
    return laneLoop(lower, upper, unroll, carried, [&](Value iv, int64_t copies, Values sums) {
      for (int64_t copy = 0; copy < copies; ++copy) {
        at[stage.lane] = laneAt(kb.add(iv, copy * plan.lanes));
        scoped([&] {
          for (Root &root : stage.roots) {
            if (root.kind != Root::Reduce) {
              runRoots(stage, &root);
              continue;
            }
            Value &sum = sums[(llvm::find(reduces, &root) - reduces.begin()) * unroll + copy];
            Value next = reductionOf(root).combine(kb, sum, lanes->vector(evalElement(root)));
            if (lanes->active && isa<VectorType>(next.getType()))
              next = arith::SelectOp::create(kb.b, kb.loc, lanes->active, next, sum);
            sum = next;
          }
        });
      }
      return sums;
    });
  });
  at.erase(stage.lane);
  for (auto [number, root] : llvm::enumerate(reduces)) {
    Reduction reduction = reductionOf(*root);
    Value sum = reduction.merge(kb, ArrayRef<Value>(sums).slice(number * unroll, unroll));
    sum = reduction.acrossLanes(kb, sum);
    if (group)
      sum = group->across(reduction, sum);
    if (!reduction.idempotent)
      sum = reduction.combine(kb, initial[number].scalar, sum);
    once([&] { finish(*root, sum); });
    if (!root->kept)
      remember(root->value, pointOf(root->value), Lane(sum));
  }
}

void RowwiseCode::buildOuter(Stage &stage, size_t depth) {
  if (depth == stage.parallel.size())
    return stage.laneReduced ? buildLaneReduced(stage) : buildLaneParallel(stage);
  int axisClass = stage.parallel[depth];
  kb.forLoop(zero, scope->get(plan.extents.at(axisClass)), 1, [&](Value iv) {
    at[axisClass] = Lane(iv);
    scoped([&] { buildOuter(stage, depth + 1); });
  });
  at.erase(axisClass);
}

void RowwiseCode::buildStage(Stage &stage) {
  if (!group && buildInPlace(stage))
    return;
  if (!stage.scalar()) {
    buildOuter(stage, 0);
  } else {
    for (Root &root : stage.roots) {
      if (root.kind != Root::Reduce) {
        once([&] { runRoots(stage, &root); });
        continue;
      }
      Lane sum = reductionOf(root).combine(kb, initialOf(root).scalar, evalElement(root).scalar);
      once([&] { finish(root, sum); });
      remember(root.value, pointOf(root.value), sum);
    }
  }
  bool kept = false;
  for (Root &root : stage.roots)
    if (root.kept) {
      kept = true;
      ready.insert(root.value);
    }
  if (group && kept)
    group->meet();
}

void RowwiseCode::once(llvm::function_ref<void()> body) {
  if (!group)
    return body();
  kb.ifThen(kb.eq(group->thread, zero), [&] { scoped(body); });
}

} // namespace attune::codegen
