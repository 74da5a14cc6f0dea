#include "attune/codegen/cpu/GemmMatch.h"

#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {

namespace {

bool isF32(Value tensor) { return getElementTypeOrSelf(tensor.getType()).isF32(); }

class Matcher {
public:
  Matcher(KernelOp op, const Sizes &sizes) : op(op), sizes(sizes) {}

  std::optional<GemmMatch> run() {
    Block &body = op.getBody().front();
    for (Operation &inner : body)
      if (auto contract = dyn_cast<linalg::ContractOp>(inner)) {
        if (g.contract)
          return std::nullopt;
        g.contract = contract;
      }
    if (!g.contract || !matchContract())
      return std::nullopt;
    std::optional<Epilogue> epilogue =
        matchEpilogue(op, sizes, g.contract->getResult(0), point);
    if (!epilogue)
      return std::nullopt;
    g.epilogue = *epilogue;
    return g;
  }

private:
  //===------------------------------------------------------------------------------------------===//
  // The product
  //===------------------------------------------------------------------------------------------===//

  bool isZero(Value init) {
    auto fill = init.getDefiningOp<linalg::FillOp>();
    return fill && matchPattern(fill.value(), m_PosZeroFloat());
  }

  MaybeSize loopExtent(unsigned loop) {
    SmallVector<AffineMap> maps = g.contract.getIndexingMapsArray();
    for (unsigned side : {0u, 1u})
      for (auto [axis, expr] : llvm::enumerate(maps[side].getResults()))
        if (expr == getAffineDimExpr(loop, op.getContext()))
          return sizes.extent(g.contract.getInputs()[side], axis);
    return std::nullopt;
  }

  /// Loops of one kind in the order of the result (of A for `k`), with their extents.
  bool order(ArrayRef<unsigned> kind, AffineMap map, SmallVectorImpl<unsigned> &loops,
             SmallVectorImpl<Size> &extents) {
    for (AffineExpr expr : map.getResults()) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      if (!dim)
        return false;
      if (!llvm::is_contained(kind, dim.getPosition()))
        continue;
      MaybeSize extent = loopExtent(dim.getPosition());
      if (!extent)
        return false;
      loops.push_back(dim.getPosition());
      extents.push_back(*extent);
    }
    return loops.size() == kind.size();
  }

  /// An operand of the product: what each of its axes consists of in memory.
  struct Operand {
    Size offset;
    SmallVector<GemmAxisSizes> axes;
  };

  /// The axes of memory that `loops` run over; neighbours that are evenly spaced become one.
  static GemmAxisSizes axes(ArrayRef<unsigned> loops, ArrayRef<Size> extents, AffineMap map,
                            const Operand &operand) {
    GemmAxisSizes result;
    auto append = [&](const Size &extent, const Size &stride) {
      if (extent.is(1))
        return;
      if (!result.empty() && result.back().stride == stride * extent)
        result.back() = {result.back().extent * extent, stride};
      else
        result.push_back({extent, stride});
    };
    for (auto [loop, extent] : llvm::zip(loops, extents)) {
      bool found = false;
      for (auto [axis, expr] : llvm::enumerate(map.getResults()))
        if (cast<AffineDimExpr>(expr).getPosition() == loop) {
          found = true;
          for (const GemmAxisSize &part : operand.axes[axis])
            append(part.extent, part.stride);
        }
      if (!found)
        append(extent, Size(0));
    }
    if (result.empty())
      result.push_back({Size(1), Size(1)});
    return result;
  }

  void addCoords(GemmCoord::Base base, ArrayRef<unsigned> loops, ArrayRef<Size> extents) {
    SmallVector<Size> divisors = rowMajorStrides(extents);
    bool first = true;
    for (unsigned i = 0; i < loops.size(); ++i) {
      if (extents[i].is(1))
        continue;
      byLoop[loops[i]] = {base, divisors[i], extents[i], first};
      first = false;
    }
  }

  bool matchContract() {
    linalg::ContractOp contract = g.contract;
    if (contract->getNumResults() != 1 || !isF32(contract.getInputs()[0]) ||
        !isF32(contract.getInputs()[1]) || !isF32(contract->getResult(0)) ||
        !isZero(contract.getOutputs()[0]))
      return false;
    FailureOr<linalg::ContractionDimensions> dims = linalg::inferContractionDims(contract);
    SmallVector<AffineMap> maps = contract.getIndexingMapsArray();
    if (failed(dims) || dims->k.empty() ||
        dims->batch.size() + dims->m.size() + dims->n.size() + dims->k.size() !=
            maps[0].getNumDims())
      return false;

    Value lhs = contract.getInputs()[0], rhs = contract.getInputs()[1];
    SmallVector<unsigned, 2> rowLoops = dims->m, columnLoops = dims->n;
    bool packed = matchPanels(rhs, maps[1], dims->batch.empty());
    // The columns are those of the result's last axis.
    if (!packed && !rowLoops.empty() && maps[2].getNumResults() != 0) {
      auto last = dyn_cast<AffineDimExpr>(maps[2].getResults().back());
      if (last && llvm::is_contained(rowLoops, last.getPosition())) {
        std::swap(lhs, rhs);
        std::swap(maps[0], maps[1]);
        std::swap(rowLoops, columnLoops);
      }
    }
    SmallVector<unsigned> batch, rows, columns, depth;
    SmallVector<Size> batchExtents, rowExtents, columnExtents, depthExtents;
    if (!order(dims->batch, maps[2], batch, batchExtents) ||
        !order(rowLoops, maps[2], rows, rowExtents) ||
        !order(columnLoops, maps[2], columns, columnExtents) ||
        !order(dims->k, maps[0], depth, depthExtents))
      return false;
    g.batch = product(batchExtents);
    g.m = product(rowExtents);
    g.n = product(columnExtents);
    g.k = product(depthExtents);

    std::optional<Operand> a = readOperand(lhs, g.a);
    if (!a || !maps[0].isProjectedPermutation())
      return false;
    g.aOffset = a->offset;
    g.aBatch = axes(batch, batchExtents, maps[0], *a);
    g.aRows = axes(rows, rowExtents, maps[0], *a);
    g.aDepth = axes(depth, depthExtents, maps[0], *a);
    if (!packed) {
      std::optional<Operand> b = readOperand(rhs, g.b);
      if (!b || !maps[1].isProjectedPermutation())
        return false;
      g.bOffset = b->offset;
      g.bBatch = axes(batch, batchExtents, maps[1], *b);
      g.bDepth = axes(depth, depthExtents, maps[1], *b);
      g.bColumns = axes(columns, columnExtents, maps[1], *b);
    }

    byLoop.resize(maps[0].getNumDims());
    addCoords(GemmCoord::Batch, batch, batchExtents);
    addCoords(GemmCoord::Row, rows, rowExtents);
    addCoords(GemmCoord::Column, columns, columnExtents);
    std::optional<GemmCoords> coords = mapCoords(maps[2], byLoop);
    if (!coords)
      return false;
    point = *coords;
    if (g.dequantise)
      g.scaleLoops = {GemmCoord(), {GemmCoord::Column, Size(1), g.n, true}};
    return true;
  }

  std::optional<View> readInput(Value tensor, int64_t &number) {
    std::optional<View> view = readView(sizes, tensor);
    std::optional<int64_t> input = view ? sizes.inputNumber(view->root) : std::nullopt;
    if (!input)
      return std::nullopt;
    number = *input;
    return view;
  }

  /// As readInput; an axis that was collapsed from unevenly spaced ones keeps its parts.
  std::optional<Operand> readOperand(Value tensor, int64_t &number) {
    SmallVector<SmallVector<int64_t, 2>> groups;
    std::optional<View> view = readInput(tensor, number);
    if (!view) {
      auto collapse = tensor.getDefiningOp<tensor::CollapseShapeOp>();
      if (!collapse)
        return std::nullopt;
      tensor = collapse.getSrc();
      view = readInput(tensor, number);
      groups = collapse.getReassociationIndices();
    } else {
      for (int64_t axis = 0; axis < cast<RankedTensorType>(tensor.getType()).getRank(); ++axis)
        groups.push_back({axis});
    }
    std::optional<SmallVector<Size>> extents = sizes.extents(tensor);
    if (!view || !extents)
      return std::nullopt;
    Operand operand{view->offset, {}};
    for (ArrayRef<int64_t> group : groups) {
      operand.axes.emplace_back();
      for (int64_t axis : group)
        operand.axes.back().push_back({(*extents)[axis], view->strides[axis]});
    }
    return operand;
  }

  /// unpack(panels), as f32 or as i8 followed by sitofp [* scale of the column].
  bool matchPanels(Value matrix, AffineMap map, bool noBatch) {
    auto generic = matrix.getDefiningOp<linalg::GenericOp>();
    linalg::UnPackOp unpack;
    if (generic) {
      for (Value input : generic.getDpsInputs())
        if (auto producer = input.getDefiningOp<linalg::UnPackOp>())
          unpack = producer;
    } else {
      unpack = matrix.getDefiningOp<linalg::UnPackOp>();
    }
    if (!unpack || !noBatch || map.getNumResults() != 2 ||
        unpack.getInnerDimsPos() != ArrayRef<int64_t>{1} ||
        unpack.getStaticInnerTiles() != ArrayRef<int64_t>{kPanelColumns} ||
        unpack.getOuterDimsPerm() != ArrayRef<int64_t>{1, 0})
      return false;
    auto type = cast<RankedTensorType>(unpack.getSource().getType());
    std::optional<int64_t> input = sizes.inputNumber(unpack.getSource());
    auto k = dyn_cast<AffineDimExpr>(map.getResult(0));
    SmallVector<AffineMap> maps = g.contract.getIndexingMapsArray();
    if (!input || !k || type.getRank() != 3 || !type.hasStaticShape() ||
        !maps[0].isFunctionOfDim(k.getPosition()) || maps[2].isFunctionOfDim(k.getPosition()))
      return false;
    if (generic) {
      if (!type.getElementType().isInteger(8) || !matchDequantise(generic, unpack.getResult()))
        return false;
      g.columns = GemmColumns::I8Panels;
    } else {
      if (!type.getElementType().isF32())
        return false;
      g.columns = GemmColumns::F32Panels;
    }
    g.b = *input;
    return true;
  }

  bool matchDequantise(linalg::GenericOp generic, Value stored) {
    if (generic.getNumLoops() != 2 || generic.getNumParallelLoops() != 2 ||
        generic->getNumResults() != 1 || !generic.getIndexingMapsArray().back().isIdentity() ||
        !isF32(generic->getResult(0)))
      return false;
    auto isStored = [&](Value value) {
      auto convert = value.getDefiningOp<arith::SIToFPOp>();
      auto arg = convert ? dyn_cast<BlockArgument>(convert.getIn()) : BlockArgument();
      if (!arg || arg.getOwner() != generic.getBody())
        return false;
      OpOperand *operand = generic.getMatchingOpOperand(arg);
      return operand->get() == stored && generic.getMatchingIndexingMap(operand).isIdentity();
    };
    Value result = generic.getBody()->getTerminator()->getOperand(0);
    if (!isStored(result)) {
      auto mul = result.getDefiningOp<arith::MulFOp>();
      if (!mul)
        return false;
      if (isStored(mul.getLhs()))
        g.scale = mul.getRhs();
      else if (isStored(mul.getRhs()))
        g.scale = mul.getLhs();
      else
        return false;
      auto arg = dyn_cast<BlockArgument>(g.scale);
      bool uniform = matchPattern(g.scale, m_Constant());
      if (!uniform && (!arg || arg.getOwner() != generic.getBody()))
        return false;
      if (!uniform) {
        OpOperand *operand = generic.getMatchingOpOperand(arg);
        int64_t number;
        if (generic.getMatchingIndexingMap(operand).isFunctionOfDim(0) ||
            !readInput(operand->get(), number))
          return false;
      }
    }
    g.dequantise = generic;
    return true;
  }

  KernelOp op;
  const Sizes &sizes;
  GemmMatch g;
  GemmCoords byLoop, point; ///< of the loops, of the product's axes
};

} // namespace

std::optional<GemmMatch> matchGemm(KernelOp op, const Sizes &sizes) {
  return Matcher(op, sizes).run();
}

} // namespace attune::codegen
