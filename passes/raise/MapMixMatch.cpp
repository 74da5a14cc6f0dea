#include "attune/passes/raise/MapMixMatch.h"

#include "attune/passes/canonicalize/ConstantEval.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;

namespace attune {

static bool isNear(double a, double b) { return std::abs(a - b) <= 1e-6 * (1 + std::abs(b)); }

MapMixMatch::Result MapMixMatch::match() {
  auto type = cast<RankedTensorType>(root.getType());
  if (type.getRank() != 4)
    return Result::NoMix;
  indices = elements.addIndices(root);
  Value score = splitMask(elements, elements.at(root, indices)).score;
  Result result = Result::NoMix;
  std::string refusal;
  // Masks and biases that are added stay behind the mix.
  for (; score; score = withoutMask(score)) {
    mixed = elements.tensorAt(score, indices, type);
    if (!mixed || !mixed.getDefiningOp())
      continue;
    Result here = matchMixed();
    if (here == Result::Matched)
      return here;
    if (here == Result::Refused)
      refusal = reason;
    result = std::max(result, here);
  }
  reason = refusal;
  return result;
}

bool MapMixMatch::mixesProbabilities() const {
  auto softmax = maps.getDefiningOp<linalg::SoftmaxOp>();
  return softmax && softmax.getDimension() == 3 && !previous;
}

/// The part of a choice or a sum that products of maps are in, or null.
MapMixMatch::Value MapMixMatch::withoutMask(Value score) {
  at = indices;
  Operation *op = score.getDefiningOp();
  if (!isa_and_nonnull<arith::SelectOp, arith::AddFOp>(op))
    return {};
  auto isMixed = [&](Value part) {
    return llvm::any_of(elements.loads(part),
                        [&](Value load) { return matchProduct(load).has_value(); });
  };
  unsigned count = op->getNumOperands();
  Value first = op->getOperand(count - 2), second = op->getOperand(count - 1);
  if ((count == 3 && isMixed(op->getOperand(0))) || isMixed(first) == isMixed(second))
    return {};
  return isMixed(first) ? first : second;
}

MapMixMatch::Result MapMixMatch::matchMixed() {
  stages.clear();
  reason.clear();
  alpha = scale = 1;
  at = indices;
  Stage last;
  Terms rest;
  double factor = 1;
  if (!parseStage(mixed, last, factor, rest))
    return reason.empty() ? Result::NoMix : Result::Refused;
  stages.push_back(last);
  // Stages in front that are a stage and nothing else.
  for (;;) {
    Stage stage;
    Terms added;
    double scaled = 1;
    at = indicesOf(stages.back().product.maps);
    if (!parseStage(stages.back().product.maps, stage, scaled, added) || scaled != 1 ||
        !added.empty())
      break;
    stages.push_back(stage);
  }
  reason.clear();
  maps = stages.back().product.maps;
  if (!matchRest(factor, rest))
    return Result::Refused;
  matchBlend();
  return Result::Matched;
}

/// Free indices of maps: those of the mixed maps, but for the channel where its extent differs.
SmallVector<Value> MapMixMatch::indicesOf(Value tensor) {
  SmallVector<Value> result = indices;
  AffineExpr channels = sizes.of(tensor, 1);
  if (!sizes.equal(channels, elements.extentOf(indices[1])))
    result[1] = elements.addIndex(channels);
  return result;
}

bool MapMixMatch::isAt(ArrayRef<Value> got, ArrayRef<Value> wanted) {
  if (got.size() != wanted.size())
    return false;
  for (auto [index, want] : llvm::zip(got, wanted)) {
    bool only = Sizes::asConstant(elements.extentOf(want)) == 1 && matchPattern(index, m_Zero());
    if (index != want && !only)
      return false;
  }
  return true;
}

void MapMixMatch::addTerms(Value scalar, double factor, Terms &terms) {
  factor *= stripFactors(scalar);
  Operation *op = scalar.getDefiningOp();
  if (isa_and_nonnull<arith::AddFOp, arith::SubFOp>(op)) {
    addTerms(op->getOperand(0), factor, terms);
    addTerms(op->getOperand(1), isa<arith::SubFOp>(op) ? -factor : factor, terms);
  } else if (isa_and_nonnull<arith::NegFOp>(op)) {
    addTerms(op->getOperand(0), -factor, terms);
  } else {
    terms.push_back({scalar, factor});
  }
}

bool MapMixMatch::parseStage(Value tensor, Stage &stage, double &factor, Terms &rest) {
  Value scalar = elements.at(tensor, at), load;
  for (Value candidate : elements.loads(scalar))
    if (std::optional<Product> product = matchProduct(candidate)) {
      if (load)
        return refuse("two products of maps are added");
      load = candidate;
      stage.product = *product;
    }
  if (!load)
    return false;
  if (cast<RankedTensorType>(tensor.getType()).getDimSize(1) != channelsOf(stage.product))
    return refuse("only some of the mixed maps are read");
  Terms all;
  addTerms(scalar, 1, all);
  std::optional<Term> product;
  for (const Term &term : all) {
    if (!elements.depends(term.scalar, load)) {
      rest.push_back(term);
      continue;
    }
    if (product)
      return refuse("the product of the maps is used twice");
    product = term;
  }
  factor = product->factor;
  Value inner;
  if (!matchActivation(product->scalar, load, stage, inner))
    return false;
  if (stage.act == MapAct::None)
    return matchBias(rest, load, factor, stage);
  Terms sum;
  addTerms(inner, 1, sum);
  auto own = llvm::find_if(sum, [&](const Term &term) { return term.scalar == load; });
  if (own == sum.end() || own->factor != 1)
    return refuse("the product of the maps is scaled before its activation");
  sum.erase(own);
  return matchBias(sum, load, 1, stage) &&
         (sum.empty() || refuse("what is added before the activation is no bias"));
}

/// The argument of max(z, 0), of a choice between z and slope * z by its sign, or the load.
bool MapMixMatch::matchActivation(Value scalar, Value load, Stage &stage, Value &inner) {
  inner = scalar;
  if (scalar == load)
    return true;
  Operation *op = scalar.getDefiningOp();
  auto isZero = [](Value value) { return asFloat(value) == 0.0; };
  if (isa_and_nonnull<arith::MaximumFOp, arith::MaxNumFOp>(op)) {
    for (unsigned side : {0, 1}) {
      if (!isZero(op->getOperand(side)))
        continue;
      stage.act = MapAct::Relu;
      inner = op->getOperand(1 - side);
      return true;
    }
  } else if (auto select = dyn_cast_or_null<arith::SelectOp>(op)) {
    auto compare = select.getCondition().getDefiningOp<arith::CmpFOp>();
    if (compare && isZero(compare.getRhs())) {
      using P = arith::CmpFPredicate;
      bool below = compare.getPredicate() == P::OLT || compare.getPredicate() == P::OLE;
      bool above = compare.getPredicate() == P::OGT || compare.getPredicate() == P::OGE;
      Value negative = below ? select.getTrueValue() : select.getFalseValue();
      Value positive = below ? select.getFalseValue() : select.getTrueValue();
      double slope = isZero(negative) ? 0 : stripFactors(negative);
      if ((below || above) && positive == compare.getLhs() &&
          (slope == 0 || negative == positive)) {
        stage.act = slope == 0 ? MapAct::Relu : MapAct::LeakyRelu;
        stage.slope = slope;
        inner = positive;
        return true;
      }
    }
  }
  return refuse("the function behind the product of the maps is not known");
}

int64_t MapMixMatch::channelsOf(const Product &product) {
  auto weight = cast<RankedTensorType>(product.weight.getType());
  return weight.getRank() == 5 ? weight.getDimSize(0) * weight.getDimSize(1)
                               : weight.getDimSize(product.transposed ? 1 : 0);
}

/// Takes the one term that depends on the channel alone.
bool MapMixMatch::matchBias(Terms &terms, Value load, double factor, Stage &stage) {
  llvm::erase_if(terms, [](const Term &term) { return asFloat(term.scalar) == 0.0; });
  for (auto *term = terms.begin(); term != terms.end(); ++term) {
    llvm::SetVector<Value> free = elements.freeIndices(term->scalar);
    bool byChannel = llvm::all_of(free, [&](Value index) { return index == at[1]; });
    if (!byChannel)
      continue;
    int64_t channels = channelsOf(stage.product);
    // A vector over the channels, whatever unit axes stand around it.
    std::optional<ElementOf> element = elements.load(term->scalar);
    auto isVector = [&](RankedTensorType type) {
      unsigned along = llvm::count(element->indices, at[1]);
      return type.hasStaticShape() && type.getNumElements() == channels &&
             (along == 1 || channels == 1) && llvm::all_of(element->indices, [&](Value index) {
               return index == at[1] || matchPattern(index, m_Zero());
             });
    };
    if (!element || !isVector(cast<RankedTensorType>(element->tensor.getType())) ||
        !isNear(term->factor, factor))
      return refuse("the bias of a product of maps is no vector over the maps");
    stage.bias = element->tensor;
    terms.erase(term);
    return true;
  }
  return true;
}

std::optional<MapMixMatch::Product> MapMixMatch::matchProduct(Value load) {
  std::optional<ElementOf> element = elements.load(load);
  if (!element || !isa_and_nonnull<linalg::LinalgOp>(element->tensor.getDefiningOp()))
    return std::nullopt;
  if (std::optional<Product> product = matchConvolution(*element, load))
    return product;
  return matchHeadProduct(*element);
}

/// sum x[n, g, c, h + i * d, w + j * d] * weight[g, m, c, i, j], with or without g.
std::optional<MapMixMatch::Product> MapMixMatch::matchConvolution(const ElementOf &element,
                                                                  Value load) {
  auto op = element.tensor.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 2 || !isZeroTensor(op.getDpsInits()[0]))
    return std::nullopt;
  Block &body = *op.getBody();
  auto sum = body.getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (llvm::range_size(body.without_terminator()) != 2 || !sum ||
      !(sum.getLhs() == body.getArgument(2) || sum.getRhs() == body.getArgument(2)) ||
      !isa<arith::MulFOp>(body.front()) || body.front().getOperand(0) == body.front().getOperand(1))
    return std::nullopt;
  AffineMap x = op.getIndexingMapsArray()[0], w = op.getIndexingMapsArray()[1],
            y = op.getIndexingMapsArray()[2];
  bool grouped = y.getNumResults() == 5;
  unsigned g = 1, m = g + grouped, h = m + 1, c = h + 2, loops = c + 3;
  MLIRContext *context = op.getContext();
  auto d = [&](unsigned loop) { return getAffineDimExpr(loop, context); };
  if (x.getNumDims() != loops || x.getNumResults() != 4 + grouped || op.getNumReductionLoops() != 3)
    return std::nullopt;
  Product product;
  // The dilation is the factor of the tap.
  if (auto taps = dyn_cast<AffineBinaryOpExpr>(x.getResult(2 + grouped)))
    if (auto scaled = dyn_cast<AffineBinaryOpExpr>(taps.getRHS()))
      if (auto constant = dyn_cast<AffineConstantExpr>(scaled.getRHS()))
        product.dilation = constant.getValue();
  SmallVector<AffineExpr> wantX{d(0)}, wantW, wantY{d(0)};
  if (grouped)
    for (auto *exprs : {&wantX, &wantW, &wantY})
      exprs->push_back(d(g));
  wantX.append({d(c), d(h) + d(c + 1) * product.dilation, d(h + 1) + d(c + 2) * product.dilation});
  wantW.append({d(m), d(c), d(c + 1), d(c + 2)});
  wantY.append({d(m), d(h), d(h + 1)});
  if (x != AffineMap::get(loops, 0, wantX, context) ||
      w != AffineMap::get(loops, 0, wantW, context) ||
      y != AffineMap::get(loops, 0, wantY, context))
    return std::nullopt;

  // The result at our indices; groups side by side.
  Value result = element.tensor, weight = op.getDpsInputs()[1], image = op.getDpsInputs()[0];
  auto collapsed = [](Value value) -> Value {
    auto collapse = value.getDefiningOp<tensor::CollapseShapeOp>();
    return collapse ? collapse.getSrc() : Value();
  };
  if (!grouped && !isAt(element.indices, at))
    return std::nullopt;
  if (grouped && llvm::none_of(elements.sources(load), [&](const ElementOf &source) {
        return collapsed(source.tensor) == result && isAt(source.indices, at);
      }))
    return std::nullopt;
  auto stored = cast<RankedTensorType>(weight.getType());
  if (!stored.hasStaticShape())
    return std::nullopt;
  if (grouped) {
    product.groups = stored.getDimSize(0);
    auto expand = image.getDefiningOp<tensor::ExpandShapeOp>();
    if (expand) {
      if (expand.getSrcType().getRank() != 4 || expand.getReassociationIndices()[1].size() != 2)
        return std::nullopt;
      image = expand.getSrc();
    } else {
      // Maps that were never side by side; without a use, the view goes away again.
      OpBuilder builder(op);
      image = tensor::CollapseShapeOp::create(
          builder, op.getLoc(), image, ArrayRef<ReassociationIndices>{{0}, {1, 2}, {3}, {4}});
    }
  }
  int64_t taps[] = {stored.getDimSize(2 + grouped), stored.getDimSize(3 + grouped)};
  int64_t border[] = {taps[0] / 2 * product.dilation, taps[1] / 2 * product.dilation};
  auto pad = image.getDefiningOp<tensor::PadOp>();
  if (taps[0] % 2 == 0 || taps[1] % 2 == 0 || bool(pad) != (border[0] || border[1]))
    return std::nullopt;
  if (pad) {
    int64_t wanted[] = {0, 0, border[0], border[1]};
    Value fill = pad.getConstantPaddingValue();
    if (!fill || asFloat(fill) != 0.0 || pad.getStaticLow() != ArrayRef<int64_t>(wanted) ||
        pad.getStaticHigh() != ArrayRef<int64_t>(wanted))
      return std::nullopt;
    image = pad.getSource();
  }
  product.maps = image;
  product.weight = weight;
  return product;
}

/// sum_c x[b, n, m, c] * weight[c, o], however the axes are arranged.
std::optional<MapMixMatch::Product> MapMixMatch::matchHeadProduct(const ElementOf &element) {
  std::optional<Contraction> contraction = matchContraction(element.tensor.getDefiningOp());
  if (!contraction)
    return std::nullopt;
  for (unsigned side : {0, 1}) {
    Value weight = contraction->operands[side], other = contraction->operands[1 - side];
    auto type = cast<RankedTensorType>(weight.getType());
    AffineMap map = contraction->maps[side];
    if (type.getRank() != 2 || !type.hasStaticShape())
      continue;
    // The loops at our indices; what is summed gets an index of its own.
    SmallVector<Value> loops(map.getNumDims());
    for (auto [axis, expr] : llvm::enumerate(contraction->resultMap.getResults()))
      loops[cast<AffineDimExpr>(expr).getPosition()] = element.indices[axis];
    Value channel;
    unsigned missing = 0;
    for (unsigned loop = 0; loop < loops.size(); ++loop)
      if (!loops[loop]) {
        std::optional<unsigned> axis =
            map.getResultPosition(getAffineDimExpr(loop, weight.getContext()));
        ++missing;
        if (axis)
          loops[loop] = channel = elements.addIndex(sizes.constant(type.getDimSize(*axis)));
      }
    if (missing != 1 || !channel)
      continue;
    Value first = loops[map.getDimPosition(0)], second = loops[map.getDimPosition(1)];
    bool transposed = first == channel && second == at[1];
    if (!transposed && !(first == at[1] && second == channel))
      continue;
    SmallVector<Value> read, wanted = at;
    for (AffineExpr expr : contraction->maps[1 - side].getResults())
      read.push_back(loops[cast<AffineDimExpr>(expr).getPosition()]);
    wanted[1] = channel;
    SmallVector<int64_t> shape(cast<RankedTensorType>(root.getType()).getShape());
    shape[1] = type.getDimSize(transposed ? 0 : 1);
    auto mapsType = RankedTensorType::get(shape, type.getElementType());
    Value maps = elements.tensorAt(elements.at(other, read), wanted, mapsType);
    if (!maps)
      continue;
    return Product{maps, weight, transposed, 1, 1};
  }
  return std::nullopt;
}

/// What is added to the last stage must be the maps themselves, (1 - alpha) times.
bool MapMixMatch::matchRest(double factor, const Terms &rest) {
  if (rest.empty()) {
    scale = factor;
  } else {
    Terms input;
    at = indicesOf(maps);
    addTerms(elements.at(maps, at), 1, input);
    std::optional<double> kept;
    for (const Term &term : rest) {
      auto *same = llvm::find_if(input, [&](const Term &t) { return t.scalar == term.scalar; });
      if (same == input.end() || (kept && !isNear(term.factor / same->factor, *kept)))
        return refuse("what is added to the mixed maps are not the maps themselves");
      kept = term.factor / same->factor;
      input.erase(same);
    }
    if (!input.empty() || !(*kept > 0 && *kept < 1))
      return refuse("the maps are not added with a factor between 0 and 1");
    alpha = 1 - *kept;
    scale = factor / alpha;
    if (isNear(scale, 1))
      scale = 1;
  }
  // Factors move through activations that are homogeneous for positive ones.
  const Stage &last = stages.front();
  auto isConstant = [](Value value) { return !value || matchPattern(value, m_Constant()); };
  if (scale != 1 && ((scale < 0 && last.act != MapAct::None) || !isConstant(last.product.weight) ||
                     !isConstant(last.bias)))
    return refuse("the factor of the mixed maps does not fold into constant weights");
  return true;
}

/// maps = (1 - beta) * a + beta * b
void MapMixMatch::matchBlend() {
  at = indicesOf(maps);
  Operation *sum = elements.at(maps, at).getDefiningOp();
  if (!isa_and_nonnull<arith::AddFOp>(sum))
    return;
  auto type = cast<RankedTensorType>(maps.getType());
  Value parts[2];
  double factors[2];
  for (unsigned n : {0, 1}) {
    auto product = sum->getOperand(n).getDefiningOp<arith::MulFOp>();
    if (!product)
      return;
    unsigned side = asFloat(product.getRhs()) ? 1 : 0;
    std::optional<double> factor = asFloat(product->getOperand(side));
    Value tensor = factor ? elements.tensorAt(product->getOperand(1 - side), at, type) : Value();
    if (!tensor || *factor < 0)
      return;
    parts[n] = tensor;
    factors[n] = *factor;
  }
  if (!isNear(factors[0] + factors[1], 1))
    return;
  maps = parts[0];
  previous = parts[1];
  beta = std::min(factors[1], 1.0);
}

/// A constant of this type with the elements of `tensor` times `scale`.
Value MapMixMatch::constantOf(OpBuilder &builder, Value tensor, RankedTensorType type,
                              bool transposed, double scale) {
  std::optional<ConstantData> data = ConstantData::get(tensor);
  if (!data)
    return {};
  ArrayRef<int64_t> shape = data->getType().getShape();
  std::vector<Cell> cells(data->size());
  for (int64_t n = 0; n < data->size(); ++n) {
    int64_t from = transposed ? n % shape[0] * shape[1] + n / shape[0] : n;
    cells[n].f = data->getFloat(from) * scale;
  }
  return arith::ConstantOp::create(builder, tensor.getLoc(), makeConstant(type, cells));
}

MapMixOp MapMixMatch::build(OpBuilder &builder) {
  builder.setInsertionPointAfter(mixed.getDefiningOp());
  Location loc = mixed.getLoc();
  auto element = cast<RankedTensorType>(mixed.getType()).getElementType();
  SmallVector<Value> weights, biases;
  SmallVector<int64_t> groups, dilations;
  SmallVector<Attribute> acts;
  SmallVector<double> slopes;
  for (const Stage &stage : llvm::reverse(stages)) {
    const Product &product = stage.product;
    bool isLast = &stage == &stages.front();
    double factor = isLast ? scale : 1;
    ArrayRef<int64_t> stored = cast<RankedTensorType>(product.weight.getType()).getShape();
    SmallVector<int64_t> shape;
    if (stored.size() == 2)
      shape = {stored[product.transposed], stored[!product.transposed], 1, 1};
    else if (stored.size() == 5)
      shape = {stored[0] * stored[1], stored[2], stored[3], stored[4]};
    else
      shape.assign(stored.begin(), stored.end());
    auto type = RankedTensorType::get(shape, element);
    auto biasType = RankedTensorType::get({shape[0]}, element);
    Value weight = constantOf(builder, product.weight, type, product.transposed, factor);
    if (!weight) {
      weight = product.weight;
      if (product.transposed) {
        Value init = tensor::EmptyOp::create(builder, loc, {stored[1], stored[0]}, element);
        weight = linalg::TransposeOp::create(builder, loc, weight, init, ArrayRef<int64_t>{1, 0})
                     ->getResult(0);
      }
      if (stored.size() == 2)
        weight = tensor::ExpandShapeOp::create(builder, loc, type, weight,
                                               ArrayRef<ReassociationIndices>{{0}, {1, 2, 3}});
      if (stored.size() == 5)
        weight = tensor::CollapseShapeOp::create(
            builder, loc, weight, ArrayRef<ReassociationIndices>{{0, 1}, {2}, {3}, {4}});
    }
    Value bias = stage.bias;
    if (!bias)
      bias = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(biasType));
    else if (factor != 1)
      bias = constantOf(builder, bias, biasType, false, factor);
    else if (int64_t rank = cast<RankedTensorType>(bias.getType()).getRank(); rank > 1)
      bias = tensor::CollapseShapeOp::create(
          builder, loc, bias,
          ArrayRef<ReassociationIndices>{llvm::to_vector<2>(llvm::seq<int64_t>(0, rank))});
    weights.push_back(weight);
    biases.push_back(bias);
    groups.push_back(product.groups);
    dilations.push_back(product.dilation);
    acts.push_back(MapActAttr::get(builder.getContext(), stage.act));
    slopes.push_back(stage.slope);
  }
  auto op = MapMixOp::create(builder, loc, mixed.getType(), maps, previous, weights, biases,
                             builder.getF64FloatAttr(alpha), builder.getF64FloatAttr(beta),
                             builder.getDenseI64ArrayAttr(groups),
                             builder.getDenseI64ArrayAttr(dilations), builder.getArrayAttr(acts),
                             builder.getDenseF64ArrayAttr(slopes));
  mixed.replaceAllUsesExcept(op.getResult(), op);
  return op;
}

} // namespace attune
