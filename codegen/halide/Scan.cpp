#include "attune/codegen/halide/Scan.h"

#include "attune/dialect/Attune.h"
#include "attune/dialect/ops/Lowering.h"

using namespace mlir;

namespace attune::codegen::halide {
namespace {

class Sums : Lowering {
public:
  Sums(ScanOp op, OpBuilder &builder)
      : Lowering(builder, op.getLoc()), scan(op), isSum(op.getKind() == ScanKind::Sum) {
    Type element = op.getInputType().getElementType();
    state = isa<FloatType>(element) ? Type(getDefaultAccum(op.getInput())) : element;
  }

  Value run() {
    int64_t rank = scan.getInputType().getRank(), axis = scan.getAxis();
    Value neutral = constant(state, isSum ? 0 : 1);
    SmallVector<AffineExpr> at;
    for (int64_t loop = 0; loop < rank; ++loop)
      at.push_back(d(loop == axis ? rank : loop));
    Value sums =
        accumulate(scan.getInput(), map(rank + 1, at), fill(sizes(scan.getInput()), neutral),
                   prefix(rank + 1, rank), [&](ValueRange args) {
                     Value term = args[0];
                     if (auto type = dyn_cast<FloatType>(state))
                       term = cast(term, type);
                     Value counts = compare(predicate(), loop(rank), loop(axis));
                     return combine(args[1], select(counts, term, neutral));
                   });
    return castElements(sums, scan.getResult());
  }

private:
  ScanOp scan;
  bool isSum;
  Type state;

  arith::CmpIPredicate predicate() {
    if (scan.getReverse())
      return scan.getExclusive() ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::sge;
    return scan.getExclusive() ? arith::CmpIPredicate::slt : arith::CmpIPredicate::sle;
  }

  Value combine(Value running, Value term) {
    if (isa<FloatType>(state))
      return isSum ? op<arith::AddFOp>(running, term) : op<arith::MulFOp>(running, term);
    return isSum ? op<arith::AddIOp>(running, term) : op<arith::MulIOp>(running, term);
  }
};

struct ScanToSums : OpRewritePattern<ScanOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ScanOp op, PatternRewriter &rewriter) const override {
    rewriter.replaceOp(op, Sums(op, rewriter).run());
    return success();
  }
};

} // namespace

void populateScanPatterns(RewritePatternSet &patterns) {
  patterns.add<ScanToSums>(patterns.getContext());
}

} // namespace attune::codegen::halide
