#include "attune/passes/canonicalize/FlattenConcats.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"

using namespace mlir;

namespace attune {
namespace {

int64_t extentOf(Value tensor, int64_t axis) {
  return cast<RankedTensorType>(tensor.getType()).getDimSize(axis);
}

/// Positions of one axis of a concat along this axis.
struct Range {
  tensor::ConcatOp concat;
  int64_t begin, count;
};

/// What `slice` takes of a concat along its axis, if that is known.
std::optional<Range> readRange(tensor::ExtractSliceOp slice) {
  auto concat = slice.getSource().getDefiningOp<tensor::ConcatOp>();
  if (!concat)
    return std::nullopt;
  int64_t axis = concat.getDim();
  std::optional<int64_t> begin = getConstantIntValue(slice.getMixedOffsets()[axis]);
  std::optional<int64_t> count = getConstantIntValue(slice.getMixedSizes()[axis]);
  if (!begin || !count || getConstantIntValue(slice.getMixedStrides()[axis]) != 1)
    return std::nullopt;
  int64_t total = 0;
  for (Value input : concat.getInputs()) {
    if (extentOf(input, axis) < 0)
      return std::nullopt;
    total += extentOf(input, axis);
  }
  if (*begin < 0 || *count < 0 || *begin + *count > total)
    return std::nullopt;
  return Range{concat, *begin, *count};
}

/// The inputs of a concat that hold positions of the range: each with its first position there and
/// how many they are.
struct Piece {
  Value input;
  int64_t begin, count;
};
SmallVector<Piece> piecesOf(Range range) {
  SmallVector<Piece> pieces;
  int64_t first = 0;
  for (Value input : range.concat.getInputs()) {
    int64_t extent = extentOf(input, range.concat.getDim());
    int64_t begin = std::max(range.begin - first, int64_t(0));
    int64_t end = std::min(range.begin + range.count - first, extent);
    if (begin < end)
      pieces.push_back({input, begin, end - begin});
    first += extent;
  }
  return pieces;
}

/// `slice` of a piece instead of its concat.
Value sliceOf(const Piece &piece, tensor::ExtractSliceOp slice, int64_t axis, OpBuilder &b) {
  SmallVector<OpFoldResult> offsets = slice.getMixedOffsets(), sizes = slice.getMixedSizes();
  offsets[axis] = b.getIndexAttr(piece.begin);
  sizes[axis] = b.getIndexAttr(piece.count);
  auto sourceType = cast<RankedTensorType>(piece.input.getType());
  SmallVector<int64_t> shape(slice.getType().getShape());
  // The type of a slice that drops axes does not say which; the caller excludes them.
  shape[axis] = piece.count;
  auto type = RankedTensorType::get(shape, sourceType.getElementType());
  return tensor::ExtractSliceOp::create(b, slice.getLoc(), type, piece.input, offsets, sizes,
                                        slice.getMixedStrides());
}

bool dropsAxes(tensor::ExtractSliceOp slice) {
  return slice.getType().getRank() != slice.getSourceType().getRank();
}

struct SliceOfOneInput : OpRewritePattern<tensor::ExtractSliceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tensor::ExtractSliceOp slice,
                                PatternRewriter &rewriter) const override {
    std::optional<Range> range = readRange(slice);
    if (!range || dropsAxes(slice))
      return failure();
    SmallVector<Piece> pieces = piecesOf(*range);
    if (pieces.size() != 1)
      return failure();
    rewriter.replaceOp(slice, sliceOf(pieces[0], slice, range->concat.getDim(), rewriter));
    return success();
  }
};

struct FlattenConcat : OpRewritePattern<tensor::ConcatOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tensor::ConcatOp concat, PatternRewriter &rewriter) const override {
    SmallVector<Value> inputs;
    for (Value input : concat.getInputs())
      append(input, concat.getDim(), inputs, rewriter);
    if (inputs.empty() || llvm::equal(inputs, concat.getInputs()))
      return failure();
    rewriter.replaceOpWithNewOp<tensor::ConcatOp>(concat, concat.getType(), concat.getDim(),
                                                  inputs);
    return success();
  }

private:
  static void append(Value input, uint64_t axis, SmallVectorImpl<Value> &inputs,
                     PatternRewriter &rewriter) {
    if (auto inner = input.getDefiningOp<tensor::ConcatOp>(); inner && inner.getDim() == axis) {
      llvm::append_range(inputs, inner.getInputs());
      return;
    }
    auto slice = input.getDefiningOp<tensor::ExtractSliceOp>();
    std::optional<Range> range = slice ? readRange(slice) : std::nullopt;
    if (!range || range->concat.getDim() != axis || dropsAxes(slice)) {
      inputs.push_back(input);
      return;
    }
    for (const Piece &piece : piecesOf(*range))
      inputs.push_back(sliceOf(piece, slice, axis, rewriter));
  }
};

} // namespace

void populateFlattenConcats(RewritePatternSet &patterns) {
  patterns.add<SliceOfOneInput, FlattenConcat>(patterns.getContext());
  // What was assembled in many steps was sliced in many.
  tensor::populateMergeConsecutiveInsertExtractSlicePatterns(patterns);
}

} // namespace attune
