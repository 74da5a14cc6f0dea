#include "attune/codegen/cost/FormCost.h"
#include "attune/codegen/cost/Work.h"
#include "attune/dialect/Locations.h"
#include "attune/passes/raise/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/OwningOpRef.h"

#include <cmath>
#include <map>

using namespace mlir;

namespace attune::codegen {

static double nominalBytes(TypeRange types) {
  double bytes = 0;
  for (Type type : types)
    if (auto tensor = dyn_cast<RankedTensorType>(type)) {
      double elements = 1;
      for (int64_t axis = 0; axis < tensor.getRank(); ++axis)
        elements *= nominalExtent(tensor, axis);
      bytes += elements * ((tensor.getElementTypeBitWidth() + 7) / 8);
    }
  return bytes;
}

double OracleFormPrices::seconds(const WorkSum &work) const {
  return oracle.price(work, /*threads=*/1).seconds;
}

double OracleFormPrices::seconds(Operation *op) const {
  WorkSum work;
  work.bytes = nominalBytes(op->getOperandTypes()) + nominalBytes(op->getResultTypes());
  auto extentOf = [](Value tensor, int64_t axis) -> OpFoldResult {
    auto type = cast<RankedTensorType>(tensor.getType());
    return Builder(tensor.getContext()).getIndexAttr(nominalExtent(type, axis));
  };
  for (const WorkTerm &term : countWork(op, extentOf))
    addTerm(work, term, [](OpFoldResult extent) {
      return static_cast<double>(getConstantIntValue(extent).value_or(1));
    });
  // What it exchanges with its neighbours comes from the level that holds it.
  KernelFeatures features;
  features.work = work;
  return oracle.price(features, /*resident=*/work.bytes, /*threads=*/1).seconds;
}

/// Kernels of a form: transforms of both signals, their product and the way back; the impulse of an
/// average and what it makes of it.
static unsigned kernelsOf(Operation *op, Form form) {
  unsigned product = form == Form::Fft ? 4 : 1;
  bool convolves = form == Form::Quadratic || form == Form::Fft;
  return isa<EmaOp>(op) && convolves ? product + 2 : product;
}

double OracleFormPrices::seconds(FormOpInterface op, Form form) const {
  OwningOpRef<Operation *> copy(op->clone());
  cast<FormOpInterface>(*copy).setForm(form);
  return seconds(*copy) + (kernelsOf(op, form) - 1) * seconds(WorkSum());
}

static std::string keyOf(FormOpInterface op) {
  return structureKey("form", op.getOperation(), {"form", "form_prices"});
}

std::optional<Form> OracleFormPrices::measured(FormOpInterface op) const {
  if (!decisions || !decisions->hasMeasurements())
    return std::nullopt;
  const Tuning::Entry *entry = decisions->measured(keyOf(op));
  return entry ? symbolizeForm(entry->chosen) : std::nullopt;
}

void OracleFormPrices::chose(FormOpInterface op, ArrayRef<Alternative> alternatives) const {
  if (!decisions)
    return;
  Decision decision;
  decision.kind = "form";
  decision.what = op->getName().getStringRef().str();
  decision.key = keyOf(op);
  collectNodeNames(op->getLoc(), decision.nodes);
  for (const Alternative &alternative : alternatives)
    decision.alternatives.push_back({stringifyForm(alternative.form).str(), alternative.seconds});
  decision.chosen = stringifyForm(op.getForm()).str();
  const Tuning::Entry *entry = decisions->measured(decision.key);
  decision.measured = entry && entry->chosen == decision.chosen;
  decisions->record(std::move(decision));
}

/// None where sizes are left to the call.
static std::string keyOf(const FormPrices::Projections &group) {
  for (Operation *op : group.ops)
    for (Type type : llvm::concat<const Type>(op->getOperandTypes(), op->getResultTypes()))
      if (auto tensor = dyn_cast<RankedTensorType>(type); tensor && !tensor.hasStaticShape())
        return "";
  std::string key = structureKey("projections", group.ops);
  llvm::raw_string_ostream(key) << ":" << group.weight;
  return key;
}

std::optional<bool> OracleFormPrices::measuredTogether(const Projections &group) const {
  if (!decisions || !decisions->hasMeasurements())
    return std::nullopt;
  const Tuning::Entry *entry = decisions->measured(keyOf(group));
  return entry ? std::optional(entry->chosen == kTogether) : std::nullopt;
}

void OracleFormPrices::chose(const Projections &group, bool together) const {
  if (!decisions)
    return;
  Decision decision;
  decision.kind = "projections";
  decision.what = group.ops.front()->getName().getStringRef().str();
  decision.key = keyOf(group);
  for (Operation *op : group.ops)
    collectNodeNames(op->getLoc(), decision.nodes);
  decision.alternatives = {{kTogether, group.together}, {kApart, group.apart}};
  decision.chosen = together ? kTogether : kApart;
  decision.measured = decisions->measured(decision.key);
  decisions->record(std::move(decision));
}

//===-- Prices as functions of sizes ----------------------------------------------------------===//

namespace {
/// Operand or result, and axis.
using SizeRef = std::pair<int64_t, int64_t>;
/// Femtoseconds by the product of sizes that they are multiplied with.
using Polynomial = std::map<SmallVector<unsigned>, double, std::less<>>;
} // namespace

/// What an operation of this class adds to a kernel that is bound by arithmetic.
static double marginalFemtoseconds(const CostOracle &oracle, WorkTerm::Class kind) {
  constexpr double kMany = 1e12;
  WorkSum work;
  addTerm(work, {kind, kMany, {}}, [](OpFoldResult) { return 1.0; });
  return oracle.price(work, /*threads=*/1).seconds / kMany * 1e15;
}

/// Leaves the differences: what all forms cost does not choose.
static void subtractCommon(MutableArrayRef<Polynomial> prices) {
  Polynomial first = prices.front();
  for (auto &[product, unused] : first) {
    double least = std::numeric_limits<double>::infinity();
    for (Polynomial &price : prices) {
      auto place = price.find(product);
      least = std::min(least, place == price.end() ? 0 : place->second);
    }
    for (Polynomial &price : prices)
      if (auto place = price.find(product); place != price.end()) {
        place->second -= least;
        if (std::llround(place->second) == 0)
          price.erase(place);
      }
  }
}

FormPricesAttr OracleFormPrices::atRunTime(FormOpInterface op, ArrayRef<Form> forms) const {
  MLIRContext *context = op.getContext();
  Builder builder(context);
  double unit[WorkTerm::kClasses];
  for (unsigned kind = 0; kind < WorkTerm::kClasses; ++kind)
    unit[kind] = marginalFemtoseconds(oracle, static_cast<WorkTerm::Class>(kind));
  attune::Sizes sizes(op->getParentOfType<func::FuncOp>());
  SmallVector<SizeRef> refs;
  SmallVector<AffineExpr> extents; ///< of `refs`; equal ones are one
  SmallVector<Polynomial> prices;
  for (Form form : forms) {
    OwningOpRef<Operation *> copy(op->clone());
    cast<FormOpInterface>(*copy).setForm(form);
    // A size that is not known stands as its number among `refs`.
    auto extentOf = [&](Value tensor, int64_t axis) -> OpFoldResult {
      auto type = cast<RankedTensorType>(tensor.getType());
      if (!type.isDynamicDim(axis))
        return builder.getIndexAttr(type.getDimSize(axis));
      int64_t number = llvm::find((*copy)->getOperands(), tensor) - (*copy)->operand_begin();
      Value original = tensor;
      if (auto result = dyn_cast<OpResult>(tensor); result && result.getOwner() == *copy) {
        number = (*copy)->getNumOperands() + result.getResultNumber();
        original = op->getResult(result.getResultNumber());
      }
      AffineExpr extent = sizes.of(original, axis);
      size_t known = 0;
      while (known < refs.size() && !sizes.equal(extents[known], extent))
        ++known;
      if (known == refs.size()) {
        refs.emplace_back(number, axis);
        extents.push_back(extent);
      }
      return builder.getDenseI64ArrayAttr({static_cast<int64_t>(known)});
    };
    Polynomial &price = prices.emplace_back();
    for (const WorkTerm &term : countWork(*copy, extentOf)) {
      double femtoseconds = term.perIteration * unit[static_cast<unsigned>(term.kind)];
      SmallVector<unsigned> product;
      for (OpFoldResult extent : term.extents) {
        if (std::optional<int64_t> constant = getConstantIntValue(extent)) {
          femtoseconds *= *constant;
          continue;
        }
        product.push_back(cast<DenseI64ArrayAttr>(cast<Attribute>(extent))[0]);
      }
      llvm::sort(product);
      price[product] += femtoseconds;
    }
  }
  subtractCommon(prices);
  SmallVector<AffineExpr> exprs;
  for (const Polynomial &price : prices) {
    AffineExpr sum = builder.getAffineConstantExpr(0);
    for (const auto &[product, femtoseconds] : price) {
      AffineExpr term = builder.getAffineConstantExpr(std::llround(femtoseconds));
      for (unsigned symbol : product)
        term = builder.getAffineSymbolExpr(symbol) * term;
      sum = sum + term;
    }
    exprs.push_back(sum);
  }
  SmallVector<int64_t> numbers;
  for (auto [number, axis] : refs)
    numbers.append({number, axis});
  return FormPricesAttr::get(context, forms, numbers,
                             AffineMap::get(0, refs.size(), exprs, context));
}

Value emitPrice(OpBuilder &builder, Location loc, AffineExpr price, ValueRange sizes) {
  Type f64 = builder.getF64Type();
  if (auto constant = dyn_cast<AffineConstantExpr>(price))
    return arith::ConstantOp::create(builder, loc, builder.getF64FloatAttr(constant.getValue()));
  if (auto symbol = dyn_cast<AffineSymbolExpr>(price)) {
    Value wide =
        arith::IndexCastOp::create(builder, loc, builder.getI64Type(), sizes[symbol.getPosition()]);
    return arith::SIToFPOp::create(builder, loc, f64, wide);
  }
  auto binary = cast<AffineBinaryOpExpr>(price);
  Value lhs = emitPrice(builder, loc, binary.getLHS(), sizes);
  Value rhs = emitPrice(builder, loc, binary.getRHS(), sizes);
  if (price.getKind() == AffineExprKind::Mul)
    return arith::MulFOp::create(builder, loc, lhs, rhs);
  return arith::AddFOp::create(builder, loc, lhs, rhs);
}

} // namespace attune::codegen
