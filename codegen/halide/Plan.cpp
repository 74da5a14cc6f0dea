#include "attune/codegen/halide/Plan.h"

#include "attune/codegen/halide/Access.h"
#include "attune/codegen/halide/Support.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace mlir;

namespace attune::codegen::halide {
namespace {

/// What an extent that is not known is taken for.
constexpr int64_t kTypicalExtent = 256;
/// Bytes of the values that a block may keep: a part of a second-level cache that leaves room for
/// what streams through.
constexpr int64_t kBlockBytes = 192 << 10;
constexpr int64_t kMostBlock = 32;

int64_t extentOf(Value value, int64_t axis) {
  auto type = cast<RankedTensorType>(value.getType());
  return type.isDynamicDim(axis) ? kTypicalExtent : type.getDimSize(axis);
}
int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }
bool isTensor(Value value) { return isa<RankedTensorType>(value.getType()); }
int64_t elementBits(Value value) {
  Type type = getElementTypeOrSelf(value.getType());
  return type.isIndex() ? 32 : std::max(8u, type.getIntOrFloatBitWidth());
}

/// The axes of the group's root that a value has, and of which it also needs neighbours.
struct Carried {
  SmallVector<AxisUse> axes; ///< of each axis of the value
  bool has(int64_t axis) const {
    return llvm::any_of(axes, [&](const AxisUse &use) { return use.axis == axis; });
  }
  bool hasShifted(int64_t axis) const {
    return llvm::any_of(axes, [&](const AxisUse &use) { return use.axis == axis && use.shifted; });
  }
};

class Planner {
public:
  Planner(const Region &region, const CpuTarget &target) : region(region), target(target) {}

  Plan run() {
    for (Operation &op : region.body().without_terminator())
      for (Value result : op.getResults())
        if (isTensor(result))
          plan.stages[result];
    for (Value result : results()) {
      plan.stages[result].place = Place::Root;
      plan.stages[result].root = result;
    }
    for (auto &[value, stage] : plan.stages)
      classify(value, stage);
    placeStages();
    for (auto &entry : llvm::reverse(plan.stages))
      findHost(entry.first, entry.second);
    splitRoots();
    return std::move(plan);
  }

private:
  const Region &region;
  const CpuTarget &target;
  Plan plan;

  OperandRange results() { return region.body().getTerminator()->getOperands(); }

  static linalg::GenericOp reductionOf(Value value) {
    auto op = value.getDefiningOp<linalg::GenericOp>();
    return op && op.getNumReductionLoops() != 0 ? op : nullptr;
  }

  void classify(Value value, Stage &stage) {
    int64_t bits = std::max<int64_t>(32, elementBits(value));
    linalg::GenericOp op = value.getDefiningOp<linalg::GenericOp>();
    if (op)
      for (Value input : op.getDpsInputs())
        bits = std::max(bits, elementBits(input));
    stage.lanes = target.lanes(bits);
    if (!reductionOf(value))
      return;
    stage.reduction = Reduction::Serial;
    AffineMap out = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    SmallVector<utils::IteratorType> loops = op.getIteratorTypesArray();
    std::optional<unsigned> last;
    if (out.getNumResults() != 0)
      last = cast<AffineDimExpr>(out.getResults().back()).getPosition();
    OpOperand *vector = nullptr;
    for (OpOperand *input : op.getDpsInputOperands()) {
      AffineMap map = op.getMatchingIndexingMap(input);
      if (map.getNumResults() == 0)
        continue;
      AffineExpr contiguous = map.getResults().back();
      auto dim = dyn_cast<AffineDimExpr>(contiguous);
      if (last && contiguous.isFunctionOfDim(*last))
        vector = readsReducedLoop(map, loops) ? input : vector;
      else if (dim && loops[dim.getPosition()] == utils::IteratorType::reduction)
        stage.laneLoop = dim.getPosition();
    }
    if (vector && extentOf(value, rankOf(value) - 1) >= stage.lanes)
      return setTile(op, vector, value, stage);
    if (stage.laneLoop >= 0 && getCombiner(op))
      stage.reduction = Reduction::Row;
  }

  static bool readsReducedLoop(AffineMap map, ArrayRef<utils::IteratorType> loops) {
    for (auto [loop, type] : llvm::enumerate(loops))
      if (type == utils::IteratorType::reduction && map.isFunctionOfDim(loop))
        return true;
    return false;
  }

  /// Registers of a tile: rows times vectors, next to the operands.
  void setTile(linalg::GenericOp op, OpOperand *vector, Value value, Stage &stage) {
    stage.reduction = Reduction::Tile;
    AffineMap out = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    AffineMap read = op.getMatchingIndexingMap(vector);
    int64_t last = rankOf(value) - 1;
    for (int64_t axis = 0; axis < last; ++axis) {
      unsigned loop = cast<AffineDimExpr>(out.getResult(axis)).getPosition();
      if (!read.isFunctionOfDim(loop) && extentOf(value, axis) > 1)
        stage.rowAxis = axis;
    }
    int64_t most = target.registers >= 32 ? 12 : 6;
    if (stage.rowAxis >= 0)
      stage.rows =
          rowsOf(extentOf(value, stage.rowAxis),
                 cast<RankedTensorType>(value.getType()).isDynamicDim(stage.rowAxis), most);
    int64_t fits = (target.registers - 3) / (stage.rows + 1);
    stage.vectors = std::clamp<int64_t>(fits, 1, 4);
    int64_t extent = extentOf(value, last);
    while (stage.vectors > 1 && (stage.vectors - 1) * stage.lanes >= extent)
      --stage.vectors;
    while (stage.vectors > 2 && extent % (stage.vectors * stage.lanes))
      --stage.vectors;
  }

  /// The tallest tile that wastes least of an axis.
  static int64_t rowsOf(int64_t extent, bool dynamic, int64_t most) {
    if (dynamic)
      return most == 12 ? 8 : 4;
    int64_t best = 1, bestWaste = std::numeric_limits<int64_t>::max();
    for (int64_t rows = most; rows >= std::min<int64_t>(most / 2, extent); --rows) {
      int64_t waste = llvm::alignTo(extent, rows) - extent;
      if (waste < bestWaste) {
        best = rows;
        bestWaste = waste;
      }
    }
    return best;
  }

  /// Whether elements come from elsewhere, not from a constant.
  static bool readsTensor(Operation *op) {
    auto generic = dyn_cast<linalg::GenericOp>(op);
    return generic && llvm::any_of(generic.getDpsInputs(), [](Value input) {
             return isTensor(input) && rankOf(input) != 0;
           });
  }

  struct Need {
    unsigned uses = 0;
    bool repeated = false, window = false;
  };

  /// Decides which values are kept, users before producers.
  void placeStages() {
    llvm::DenseMap<Value, Need> needs;
    for (auto &[value, stage] : llvm::reverse(plan.stages)) {
      Operation *op = value.getDefiningOp();
      Need need = needs.lookup(value);
      if (stage.place != Place::Root) {
        bool reads = isa<linalg::GenericOp>(op) || isa<tensor::PadOp>(op);
        bool reduces = stage.reduction == Reduction::Row || stage.reduction == Reduction::Serial;
        bool again = need.repeated && !need.window && readsTensor(op);
        bool kept = reduces ||
                    (stage.reduction == Reduction::Tile &&
                     (need.uses > 1 || need.repeated || need.window)) ||
                    (need.window && reads) || again || (need.uses > 1 && isExpensive(op));
        stage.place = kept ? Place::Stored : Place::Inline;
      }
      bool passesOn = stage.place == Place::Inline && stage.reduction == Reduction::None;
      for (OpOperand &operand : op->getOpOperands()) {
        if (!isTensor(operand.get()))
          continue;
        Access access = getAccess(operand);
        Need &source = needs[operand.get()];
        source.uses += passesOn ? std::max(1u, need.uses) : 1;
        source.repeated |= access.repeated || (passesOn && need.repeated);
        source.window |= access.window || (passesOn && need.window);
      }
    }
  }

  /// A tile lives in the loops of the one value that uses its sums element by element, else of its
  /// own.
  void findHost(Value value, Stage &stage) {
    if (stage.reduction != Reduction::Tile)
      return;
    Value at = value;
    while (plan.stages[at].place == Place::Inline) {
      if (!at.hasOneUse())
        break;
      OpOperand &use = *at.use_begin();
      auto user = dyn_cast<linalg::GenericOp>(use.getOwner());
      if (!user || user.getNumReductionLoops() != 0 || user->getNumResults() != 1 ||
          !user.getMatchingIndexingMap(&use).isIdentity() ||
          !user.getMatchingIndexingMap(user.getDpsInitOperand(0)).isIdentity())
        break;
      at = user->getResult(0);
    }
    Stage &end = plan.stages[at];
    if (end.place == Place::Inline) {
      stage.place = Place::Stored;
      at = value;
    } else if (at != value && (end.host || end.reduction != Reduction::None)) {
      stage.place = Place::Stored;
      at = value;
    }
    stage.host = at;
    plan.stages[at].host = at;
    if (at != value) {
      plan.stages[at].rowAxis = stage.rowAxis;
      plan.stages[at].rows = stage.rows;
      plan.stages[at].vectors = stage.vectors;
      plan.stages[at].lanes = stage.lanes;
    }
  }

  Carried through(OpOperand &operand, const Carried &result) {
    Carried carried;
    for (AxisUse use : getAccess(operand).axes) {
      if (use.axis < 0 || use.axis >= static_cast<int64_t>(result.axes.size())) {
        carried.axes.emplace_back();
        continue;
      }
      AxisUse outer = result.axes[use.axis];
      outer.shifted |= use.shifted && outer.axis >= 0;
      carried.axes.push_back(outer);
    }
    return carried;
  }

  static void meet(Carried &known, const Carried &other) {
    for (auto [a, b] : llvm::zip(known.axes, other.axes)) {
      if (a.axis != b.axis)
        a = AxisUse();
      a.shifted |= b.shifted && a.axis >= 0;
    }
  }

  /// Everything that a root's blocks compute, with the axes that it has in common with the root.
  llvm::MapVector<Value, Carried> membersOf(Value root) {
    llvm::MapVector<Value, Carried> members;
    Carried &own = members[root];
    for (int64_t axis = 0; axis < rankOf(root); ++axis)
      own.axes.push_back({axis, false});
    Block &block = region.body();
    for (Operation &op : llvm::reverse(block.without_terminator()))
      for (Value result : op.getResults()) {
        auto found = members.find(result);
        if (found == members.end())
          continue;
        Carried carried = found->second;
        for (OpOperand &operand : op.getOpOperands()) {
          Value source = operand.get();
          if (!isTensor(source) || !source.getDefiningOp() ||
              plan.stages[source].place == Place::Root)
            continue;
          Carried next = through(operand, carried);
          auto [it, fresh] = members.try_emplace(source, next);
          if (!fresh)
            meet(it->second, next);
        }
      }
    return members;
  }

  /// Whether a value takes memory of a block.
  bool isKept(Value value) {
    const Stage &stage = plan.stages[value];
    return stage.place == Place::Stored || stage.reduction != Reduction::None;
  }

  void splitRoots() {
    SmallVector<Value> todo(results());
    SmallVector<Value> done;
    while (!todo.empty()) {
      Value root = todo.pop_back_val();
      while (std::optional<Value> far = planRoot(root)) {
        Stage &stage = plan.stages[*far];
        stage.place = Place::Root;
        todo.push_back(*far);
      }
      done.push_back(root);
    }
    // What others read comes first.
    auto before = [&](Value a, Value b) {
      return a.getDefiningOp()->isBeforeInBlock(b.getDefiningOp());
    };
    llvm::sort(done, before);
    llvm::MapVector<Value, Root> ordered;
    for (Value root : done)
      ordered[root] = plan.roots[root];
    plan.roots = std::move(ordered);
  }

  /// Chooses the outer axes of a root, or gives a member that shares none and so is to be computed
  /// as a whole before.
  std::optional<Value> planRoot(Value root) {
    llvm::MapVector<Value, Carried> members = membersOf(root);
    int64_t rank = rankOf(root);
    Root &chosen = plan.roots[root];
    chosen = Root();
    SmallVector<int64_t> axes, tileRows;
    for (int64_t axis = 0; axis < rank; ++axis) {
      bool shared = llvm::all_of(
          members, [&](auto &member) { return !isKept(member.first) || member.second.has(axis); });
      bool vector = axis + 1 == rank && rank > 1 && hasInner(root);
      if (shared && !vector && extentOf(root, axis) != 1)
        axes.push_back(axis);
    }
    if (axes.empty() && rank > 1 && extentOf(root, rank - 1) != 1 &&
        llvm::all_of(members, [&](auto &member) {
          return !isKept(member.first) || member.second.has(rank - 1);
        }))
      axes.push_back(rank - 1);
    if (axes.empty() || (rank > 1 && axes.back() == rank - 1 && members.size() > 1))
      if (std::optional<Value> far = farthest(root, members))
        return far;
    dropTileRows(root, members, axes);
    chosen.outer = axes;
    chosen.block = blockOf(root, members, axes);
    for (auto &[value, carried] : members) {
      plan.stages[value].root = root;
      checkTile(value, carried, chosen);
    }
    return std::nullopt;
  }

  /// Whether any axis but the last has more than one element.
  static bool hasInner(Value root) {
    for (int64_t axis = 0; axis + 1 < rankOf(root); ++axis)
      if (extentOf(root, axis) != 1)
        return true;
    return false;
  }

  /// The first kept member, from the root backwards, that has fewest axes in common with it.
  std::optional<Value> farthest(Value root, llvm::MapVector<Value, Carried> &members) {
    std::optional<Value> far;
    int64_t fewest = std::numeric_limits<int64_t>::max();
    for (auto &[value, carried] : members) {
      if (value == root || !isKept(value))
        continue;
      int64_t common =
          llvm::count_if(carried.axes, [](const AxisUse &use) { return use.axis >= 0; });
      if (common < fewest) {
        far = value;
        fewest = common;
      }
    }
    return far;
  }

  /// An axis of register tiles stays inside the blocks, or is the one that blocks are made of.
  void dropTileRows(Value root, llvm::MapVector<Value, Carried> &members,
                    SmallVector<int64_t> &axes) {
    llvm::SmallDenseSet<int64_t> rows;
    for (auto &[value, carried] : members) {
      const Stage &stage = plan.stages[value];
      if (stage.host == value && stage.rowAxis >= 0)
        rows.insert(carried.axes[stage.rowAxis].axis);
    }
    for (size_t i = axes.size(); i-- > 0 && axes.size() > 1;)
      if (rows.contains(axes[i]))
        axes.erase(axes.begin() + i);
  }

  int64_t blockOf(Value root, llvm::MapVector<Value, Carried> &members, ArrayRef<int64_t> axes) {
    if (axes.empty())
      return 1;
    int64_t along = axes.back(), extent = extentOf(root, along);
    int64_t perRow = 0;
    bool shifted = false, tiled = false;
    for (auto &[value, carried] : members) {
      if (!isKept(value) && value != root)
        continue;
      int64_t bytes = llvm::divideCeil(elementBits(value), 8);
      for (int64_t axis = 0; axis < rankOf(value); ++axis)
        if (!llvm::is_contained(axes, carried.axes[axis].axis))
          bytes *= extentOf(value, axis);
      perRow += bytes;
      shifted |= carried.hasShifted(along);
      const Stage &stage = plan.stages[value];
      tiled |=
          stage.host == value && stage.rowAxis >= 0 && carried.axes[stage.rowAxis].axis == along;
    }
    bool vector = along + 1 == rankOf(root);
    int64_t most = vector ? 4096 : shifted || tiled ? kMostBlock : kMostBlock / 2;
    int64_t block = 1;
    while (block * 2 <= most && block * 2 * perRow <= kBlockBytes && block < extent)
      block *= 2;
    int64_t others = 1;
    for (int64_t axis : axes.drop_back())
      others *= extentOf(root, axis);
    int64_t least = vector ? plan.stages[root].lanes * 4 : shifted ? 4 : 1;
    while (block > least && others * llvm::divideCeil(extent, block) < 8)
      block /= 2;
    if (tiled)
      block = std::max(llvm::alignTo(block, tileRowsAlong(members, along)), uint64_t(1));
    return std::max<int64_t>(block, 1);
  }

  int64_t tileRowsAlong(llvm::MapVector<Value, Carried> &members, int64_t along) {
    int64_t rows = 1;
    for (auto &[value, carried] : members) {
      const Stage &stage = plan.stages[value];
      if (stage.host == value && stage.rowAxis >= 0 && carried.axes[stage.rowAxis].axis == along)
        rows = std::max(rows, stage.rows);
    }
    return rows;
  }

  /// Tiles that do not divide their axes, or the blocks of them, end beyond them.
  void checkTile(Value value, const Carried &carried, const Root &root) {
    Stage &stage = plan.stages[value];
    if (stage.host != value)
      return;
    auto type = cast<RankedTensorType>(value.getType());
    auto divides = [&](int64_t axis, int64_t tile) {
      if (type.isDynamicDim(axis) || type.getDimSize(axis) % tile)
        return false;
      bool blocks = !root.outer.empty() && carried.axes[axis].axis == root.outer.back();
      return !blocks || (root.block % tile == 0 && type.getDimSize(axis) % root.block == 0);
    };
    stage.exact = divides(type.getRank() - 1, stage.vectors * stage.lanes) &&
                  (stage.rowAxis < 0 || divides(stage.rowAxis, stage.rows));
    plan.clampsInputs |= !stage.exact;
  }
};

} // namespace

bool Plan::isFused() const {
  constexpr int64_t kTable = 4096; // elements
  return llvm::count_if(roots, [](const auto &entry) {
           auto type = cast<RankedTensorType>(entry.first.getType());
           return !type.hasStaticShape() || type.getNumElements() > kTable;
         }) <= 1;
}

llvm::Expected<Plan> makePlan(const Region &region, const CpuTarget &target) {
  if (llvm::Error error = checkSupported(region))
    return std::move(error);
  return Planner(region, target).run();
}

} // namespace attune::codegen::halide
