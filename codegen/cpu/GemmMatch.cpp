#include "attune/codegen/cpu/GemmMatch.h"

#include "attune/codegen/cpu/ByteDistance.h"
#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {

bool GemmProduct::bytes() const {
  return distance && getElementTypeOrSelf(lhs.getType()).isInteger(8);
}

bool GemmProduct::sumsWide() const {
  return shiftsIntegers() && getElementTypeOrSelf(result.getType()).isInteger(64);
}

namespace {

bool isF32(Value tensor) { return getElementTypeOrSelf(tensor.getType()).isF32(); }
bool isI32(Value tensor) { return getElementTypeOrSelf(tensor.getType()).isInteger(32); }

class Matcher {
public:
  Matcher(KernelOp op, const Sizes &sizes, GemmFloats floats)
      : op(op), sizes(sizes), floats(floats) {}

  std::optional<GemmMatch> run() {
    Block &body = op.getBody().front();
    for (Operation &inner : body)
      if (std::optional<GemmProduct> product = readProduct(&inner)) {
        if (g.product.result)
          return std::nullopt;
        g.product = *product;
      }
    if (!g.product.result || !matchProduct())
      return std::nullopt;
    std::optional<Epilogue> epilogue = matchEpilogue(op, sizes, g.product.result, point);
    if (!epilogue)
      return std::nullopt;
    g.epilogue = *epilogue;
    return g;
  }

private:
  //===------------------------------------------------------------------------------------------===//
  // The product
  //===------------------------------------------------------------------------------------------===//

  static std::optional<GemmProduct> readProduct(Operation *op) {
    if (auto contract = dyn_cast<linalg::ContractOp>(op))
      return GemmProduct{contract.getInputs()[0], contract.getInputs()[1], contract.getOutputs()[0],
                         contract->getResult(0), contract.getIndexingMapsArray()};
    if (auto contract = dyn_cast<ContractOp>(op)) {
      GemmProduct product{contract.getInput(), contract.getWeight(), contract.getInit(),
                          contract.getResult(), contract.getMaps()};
      product.distance = !contract.isShift();
      if (contract.hasCodes())
        product.exponentBias = contract.getExponentBias();
      product.rounding = contract.getRounding();
      return product;
    }
    if (auto generic = dyn_cast<linalg::GenericOp>(op); generic && sumsProducts(generic)) {
      GemmProduct product{generic.getInputs()[0], generic.getInputs()[1], generic.getOutputs()[0],
                          generic->getResult(0), generic.getIndexingMapsArray()};
      product.isGeneric = true;
      return product;
    }
    return std::nullopt;
  }

  /// total + a * b
  static bool sumsProducts(linalg::GenericOp op) {
    Block &body = *op.getBody();
    if (op.getNumReductionLoops() == 0 || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 ||
        llvm::range_size(body.without_terminator()) != 2)
      return false;
    auto sum = body.getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
    auto product = dyn_cast<arith::MulFOp>(&body.front());
    return sum && product && llvm::is_contained(sum->getOperands(), Value(body.getArgument(2))) &&
           llvm::is_contained(sum->getOperands(), product.getResult()) &&
           llvm::is_contained(product->getOperands(), Value(body.getArgument(0))) &&
           llvm::is_contained(product->getOperands(), Value(body.getArgument(1)));
  }

  bool isZero(Value init) {
    auto fill = init.getDefiningOp<linalg::FillOp>();
    return fill &&
           (matchPattern(fill.value(), m_PosZeroFloat()) || matchPattern(fill.value(), m_Zero()));
  }

  /// Types that the kernels have; those of a distance agree otherwise by its verifier.
  bool hasTypes() {
    const GemmProduct &product = g.product;
    if (product.shiftsIntegers())
      return isI32(product.lhs) && (isI32(product.result) || product.sumsWide());
    Type a = getElementTypeOrSelf(product.lhs.getType());
    if (floats == GemmFloats::Any && (a.isF16() || a.isBF16()) && isF32(product.result) &&
        a == getElementTypeOrSelf(product.rhs.getType()))
      return true;
    return product.bytes() || (isF32(product.lhs) && (product.hasCodes() || isF32(product.rhs)) &&
                               isF32(product.result));
  }

  MaybeSize loopExtent(unsigned loop) {
    Value values[] = {g.product.lhs, g.product.rhs, g.product.result};
    for (auto [value, map] : llvm::zip(values, g.product.maps))
      for (auto [axis, expr] : llvm::enumerate(map.getResults()))
        if (expr == getAffineDimExpr(loop, op.getContext()))
          return sizes.extent(value, axis);
    return std::nullopt;
  }

  /// Loops of one kind in the order of the result (of A for `k`), with their extents.
  bool order(ArrayRef<unsigned> kind, AffineMap map, SmallVectorImpl<unsigned> &loops,
             SmallVectorImpl<Size> &extents) {
    for (AffineExpr expr : map.getResults())
      for (unsigned loop : kind)
        if (expr.isFunctionOfDim(loop)) {
          MaybeSize extent = loopExtent(loop);
          if (!extent || llvm::is_contained(loops, loop))
            return false;
          loops.push_back(loop);
          extents.push_back(*extent);
        }
    return loops.size() == kind.size();
  }

  /// An operand of the product: what each of its axes consists of in memory.
  struct Operand {
    Size offset;
    SmallVector<GemmAxisSizes> axes;
  };

  /// What a sum of loops times constants grows by with a step of `loop`.
  static std::optional<int64_t> factorOf(AffineExpr expr, unsigned loop) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      return dim.getPosition() == loop;
    if (isa<AffineConstantExpr>(expr))
      return 0;
    auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
    if (!binary)
      return std::nullopt;
    std::optional<int64_t> left = factorOf(binary.getLHS(), loop);
    if (binary.getKind() == AffineExprKind::Mul) {
      auto factor = dyn_cast<AffineConstantExpr>(binary.getRHS());
      return left && factor ? std::optional(*left * factor.getValue()) : std::nullopt;
    }
    std::optional<int64_t> right = factorOf(binary.getRHS(), loop);
    return left && right && binary.getKind() == AffineExprKind::Add ? std::optional(*left + *right)
                                                                    : std::nullopt;
  }

  /// Where the first element of all loops lies, for the constants in a map.
  static Size firstElement(AffineMap map, const Operand &operand) {
    Size offset = operand.offset;
    SmallVector<AffineExpr> zeros(map.getNumDims(), getAffineConstantExpr(0, map.getContext()));
    for (auto [axis, expr] : llvm::enumerate(map.getResults()))
      if (auto at = cast<AffineConstantExpr>(expr.replaceDims(zeros)); at.getValue() != 0)
        offset = offset + operand.axes[axis].back().stride * Size(at.getValue());
    return offset;
  }

  /// The axes of memory that `loops` run over; neighbours that are evenly spaced become one.
  static std::optional<GemmAxisSizes> axes(ArrayRef<unsigned> loops, ArrayRef<Size> extents,
                                           AffineMap map, const Operand &operand) {
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
      for (auto [axis, expr] : llvm::enumerate(map.getResults())) {
        if (!expr.isFunctionOfDim(loop))
          continue;
        ArrayRef<GemmAxisSize> parts = operand.axes[axis];
        std::optional<int64_t> factor = factorOf(expr, loop);
        if (found || !factor || (parts.size() != 1 && !isa<AffineDimExpr>(expr)))
          return std::nullopt;
        found = true;
        if (isa<AffineDimExpr>(expr))
          for (const GemmAxisSize &part : parts)
            append(part.extent, part.stride);
        else
          append(extent, parts[0].stride * Size(*factor));
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

  /// Loops by the operands that they run over. Those that the result does not have are summed over.
  struct Loops {
    SmallVector<unsigned> batch, rows, columns, depth;
  };
  static Loops classify(ArrayRef<AffineMap> maps) {
    Loops loops;
    for (unsigned loop = 0; loop < maps[0].getNumDims(); ++loop) {
      bool a = maps[0].isFunctionOfDim(loop), b = maps[1].isFunctionOfDim(loop);
      auto &kind = !maps[2].isFunctionOfDim(loop) ? loops.depth
                   : a && b                       ? loops.batch
                   : a                            ? loops.rows
                                                  : loops.columns;
      kind.push_back(loop);
    }
    return loops;
  }

  /// The loop of the result's last axis (in windows: that has more than one element), or a number
  /// beyond all.
  unsigned lastLoop(AffineMap result) {
    bool windows = g.product.isGeneric || g.product.distance;
    for (AffineExpr expr : llvm::reverse(result.getResults())) {
      unsigned loop = cast<AffineDimExpr>(expr).getPosition();
      if (MaybeSize extent = loopExtent(loop); !windows || !extent || !extent->is(1))
        return loop;
    }
    return result.getNumDims();
  }

  bool matchProduct() {
    GemmProduct &product = g.product;
    SmallVector<AffineMap> maps = product.maps;
    if (!hasTypes() || !isZero(product.init) || !maps[2].isProjectedPermutation())
      return false;
    Loops kinds = classify(maps);
    // Every loop of the sum runs over both operands.
    if (kinds.depth.empty() || !llvm::all_of(kinds.depth, [&](unsigned loop) {
          return maps[0].isFunctionOfDim(loop) && maps[1].isFunctionOfDim(loop);
        }))
      return false;

    Value lhs = product.lhs, rhs = product.rhs;
    bool packed = kinds.batch.empty() &&
                  (product.hasCodes() ||
                   (product.bytes() ? matchBytePanels(rhs, maps[1]) : matchPanels(rhs, maps[1])));
    // The columns are those of the result's last axis.
    if (!packed && llvm::is_contained(kinds.rows, lastLoop(maps[2]))) {
      std::swap(lhs, rhs);
      std::swap(maps[0], maps[1]);
      std::swap(kinds.rows, kinds.columns);
    }
    SmallVector<unsigned> batch, rows, columns, depth;
    SmallVector<Size> batchExtents, rowExtents, columnExtents, depthExtents;
    if (!order(kinds.batch, maps[2], batch, batchExtents) ||
        !order(kinds.rows, maps[2], rows, rowExtents) ||
        !order(kinds.columns, maps[2], columns, columnExtents) ||
        !order(kinds.depth, maps[0], depth, depthExtents) ||
        (product.hasCodes() && !matchCodes(rhs, maps[1], depth, columns)))
      return false;
    g.batch = attune::codegen::product(batchExtents);
    g.m = attune::codegen::product(rowExtents);
    g.n = attune::codegen::product(columnExtents);
    g.k = attune::codegen::product(depthExtents);

    std::optional<Operand> a = readOperand(lhs, g.a);
    if (!a || !readAxes(g.aBatch, batch, batchExtents, maps[0], *a) ||
        !readAxes(g.aRows, rows, rowExtents, maps[0], *a) ||
        !readAxes(g.aDepth, depth, depthExtents, maps[0], *a))
      return false;
    g.aOffset = firstElement(maps[0], *a);
    if (!packed) {
      std::optional<Operand> b = readOperand(rhs, g.b);
      if (!b || !readAxes(g.bBatch, batch, batchExtents, maps[1], *b) ||
          !readAxes(g.bDepth, depth, depthExtents, maps[1], *b) ||
          !readAxes(g.bColumns, columns, columnExtents, maps[1], *b))
        return false;
      g.bOffset = firstElement(maps[1], *b);
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

  static bool readAxes(GemmAxisSizes &result, ArrayRef<unsigned> loops, ArrayRef<Size> extents,
                       AffineMap map, const Operand &operand) {
    std::optional<GemmAxisSizes> found = axes(loops, extents, map, operand);
    if (found)
      result = std::move(*found);
    return found.has_value();
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
  bool matchPanels(Value matrix, AffineMap map) {
    auto generic = matrix.getDefiningOp<linalg::GenericOp>();
    linalg::UnPackOp unpack;
    if (generic) {
      for (Value input : generic.getDpsInputs())
        if (auto producer = input.getDefiningOp<linalg::UnPackOp>())
          unpack = producer;
    } else {
      unpack = matrix.getDefiningOp<linalg::UnPackOp>();
    }
    if (!unpack || map.getNumResults() != 2 || unpack.getInnerDimsPos() != ArrayRef<int64_t>{1} ||
        unpack.getStaticInnerTiles() != ArrayRef<int64_t>{kPanelColumns} ||
        unpack.getOuterDimsPerm() != ArrayRef<int64_t>{1, 0})
      return false;
    auto type = cast<RankedTensorType>(unpack.getSource().getType());
    std::optional<int64_t> input = sizes.inputNumber(unpack.getSource());
    auto k = dyn_cast<AffineDimExpr>(map.getResult(0));
    ArrayRef<AffineMap> maps = g.product.maps;
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

  /// unpack(panels) of bytes as [n][k].
  bool matchBytePanels(Value matrix, AffineMap map) {
    auto unpack = matrix.getDefiningOp<linalg::UnPackOp>();
    if (!unpack || map.getNumResults() != 2 ||
        unpack.getInnerDimsPos() != ArrayRef<int64_t>{0, 1} ||
        unpack.getStaticInnerTiles() != ArrayRef<int64_t>{kPanelColumns, kByteGroup} ||
        !unpack.getOuterDimsPerm().empty())
      return false;
    auto type = cast<RankedTensorType>(unpack.getSource().getType());
    std::optional<int64_t> input = sizes.inputNumber(unpack.getSource());
    auto k = dyn_cast<AffineDimExpr>(map.getResult(1));
    if (!input || !k || !type.hasStaticShape() ||
        g.product.maps[2].isFunctionOfDim(k.getPosition()))
      return false;
    g.columns = GemmColumns::BytePanels;
    g.b = *input;
    return true;
  }

  /// unpack_codes(words) whose leading axes are the loops summed over, in the order of A, and whose
  /// last axis are the columns.
  bool matchCodes(Value codes, AffineMap map, ArrayRef<unsigned> depth,
                  ArrayRef<unsigned> columns) {
    auto unpack = codes.getDefiningOp<UnpackCodesOp>();
    std::optional<int64_t> input = unpack ? sizes.inputNumber(unpack.getWords()) : std::nullopt;
    SmallVector<unsigned> axes(depth);
    axes.append(columns.begin(), columns.end());
    bool integers = g.product.shiftsIntegers();
    if (!input || (!integers && !ShiftCodes::hasKernel(unpack.getBits())) || columns.size() != 1 ||
        (g.product.sumsWide() && unpack.getDepth() > kWideDepth) ||
        map != AffineMap::getMultiDimMapWithTargets(map.getNumDims(), axes, map.getContext()))
      return false;
    g.b = *input;
    g.columns = GemmColumns::Codes;
    g.codes = {static_cast<int64_t>(unpack.getBits()), *g.product.exponentBias, g.product.rounding};
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
  GemmFloats floats;
  GemmMatch g;
  GemmCoords byLoop, point; ///< of the loops, of the product's axes
};

} // namespace

std::optional<GemmMatch> matchGemm(KernelOp op, const Sizes &sizes, GemmFloats floats) {
  return Matcher(op, sizes, floats).run();
}

} // namespace attune::codegen
