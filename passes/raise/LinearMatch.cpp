#include "attune/passes/raise/LinearMatch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

/// Sums that may be expanded behind one root: those of output, scores or state, and what they read.
static constexpr unsigned kMaxDepth = 4;

/// Scalars that `scalar` is a map of, itself first: every path to data goes through them.
static SmallVector<Value> cuts(Value scalar, llvm::function_ref<bool(Value)> isEnd) {
  SmallVector<Value> result{scalar};
  llvm::SetVector<Value> frontier;
  frontier.insert(scalar);
  while (true) {
    // Operators come after their operands in the block of scalars.
    Value last = frontier[0];
    for (Value value : frontier) {
      Operation *op = value.getDefiningOp();
      if (!op)
        return result;
      if (last.getDefiningOp()->isBeforeInBlock(op))
        last = value;
    }
    if (isEnd(last))
      return result;
    frontier.remove(last);
    for (Value operand : last.getDefiningOp()->getOperands())
      if (!matchPattern(operand, m_Constant()))
        frontier.insert(operand);
    if (frontier.empty())
      return result;
    if (frontier.size() == 1 && isa<FloatType>(frontier[0].getType()))
      result.push_back(frontier[0]);
  }
}

bool LinearMatch::match(Kind kind) {
  needsNorm = kind == Kind::Normalised;
  indices = elements.addIndices(root);
  Value scalar = elements.at(root, indices);
  Product product = products.flatten(scalar);
  if (kind == Kind::Steps
          ? !rollSteps(scalar, product)
          : !joinChunks(product) && !joinSplitRows(product) && kind == Kind::ChunkedSum)
    return false;
  for (Value &index : indices)
    if (Sizes::asConstant(elements.extentOf(index)) == 1)
      index = {};
  return search(product, 0);
}

/// Joins chunks where the root has one axis for the chunk and the next for the place in it.
bool LinearMatch::joinSplitRows(Product &product) {
  SmallVector<Value> own(indices);
  for (unsigned axis = 0; axis + 1 < own.size(); ++axis) {
    auto length = Sizes::asConstant(elements.extentOf(own[axis + 1]));
    if (!length || *length < 2)
      continue;
    Value position = elements.addIndex(elements.extentOf(own[axis]) * *length);
    Value size = elements.constantIndex(*length);
    indices[axis] = elements.make<arith::DivUIOp>(position, size);
    indices[axis + 1] = elements.make<arith::RemUIOp>(position, size);
    Product split = products.flatten(elements.at(root, indices));
    indices[axis] = position;
    indices.erase(indices.begin() + axis + 1);
    if (joinChunks(split)) {
      product = split;
      splitAxis = axis;
      return true;
    }
    indices = own;
  }
  return false;
}

/// Replaces what steps sum up, where the queries are steps that are written one by one.
bool LinearMatch::rollSteps(Value scalar, Product &product) {
  // Recurrences that are not understood are said to be so by the raise of moving averages.
  Value rolled = unrolled.roll(scalar);
  unrolled.reason.clear();
  if (!rolled)
    return false;
  Product steps = products.flatten(rolled);
  for (auto [position, factor] : llvm::enumerate(steps.factors)) {
    if (!unrolled.isUnknown(factor))
      continue;
    std::optional<Product> sum = unrolled.product(factor);
    reason = unrolled.reason;
    if (!sum)
      return false;
    steps.factors.erase(steps.factors.begin() + position);
    llvm::append_range(sum->factors, steps.factors);
    llvm::append_range(sum->conditions, steps.conditions);
    sum->factor *= steps.factor;
    product = *sum;
    return true;
  }
  return false;
}

/// Replaces a factor that sums over the own chunk and earlier ones by one sum over all keys.
bool LinearMatch::joinChunks(Product &product) {
  // There are at least two terms.
  auto isSum = [](Value factor) {
    return isa_and_nonnull<arith::AddFOp, arith::SubFOp>(factor.getDefiningOp());
  };
  if (llvm::none_of(product.factors, isSum))
    return false;
  Value scalar = products.multiply(product.factors);
  for (Value index : indices) {
    int64_t length = chunkLength(scalar, index);
    if (length < 2)
      continue;
    chunks.emplace(sizes, elements, products, index, length);
    for (auto [position, factor] : llvm::enumerate(product.factors)) {
      if (!isSum(factor) || !elements.depends(factor, index))
        continue;
      std::optional<Product> joined = chunks->join(factor);
      if (!joined) {
        if (!chunks->reason.empty())
          reason = chunks->reason;
        continue;
      }
      joined->factor *= product.factor;
      product.factors.erase(product.factors.begin() + position);
      llvm::append_range(joined->factors, product.factors);
      llvm::append_range(joined->conditions, product.conditions);
      product = *joined;
      return true;
    }
  }
  chunks.reset();
  return false;
}

/// q k^T v can also be read as the transpose of v^T k q^T. The number of features is known.
bool LinearMatch::prefersFirstAsKey(const Product &product) {
  std::optional<int64_t> extents[2];
  for (unsigned n : {0, 1})
    extents[n] = Sizes::asConstant(elements.extentOf(product.sums[n]));
  if (extents[0].has_value() != extents[1].has_value())
    return !extents[0];
  // Rows come before channels.
  if (!assignRoles(product, product.sums[0], product.sums[1]) || !row)
    return false;
  return llvm::find(indices, row) < llvm::find(indices, valueDepth);
}

bool LinearMatch::search(const Product &product, unsigned depth) {
  if (product.sums.size() == 2) {
    bool swapped = !prefersFirstAsKey(product);
    for (unsigned n : {0, 1}) {
      unsigned key = swapped ? 1 - n : n;
      if (!assignRoles(product, product.sums[key], product.sums[1 - key]) || !looksLikeAttention())
        continue;
      if (matchConditions(product) && matchDivisors(product) && matchRelative() &&
          !isNestedSoftmax() && matchOperands() && onlyUsers(product)) {
        replaced.insert(product.expanded.begin(), product.expanded.end());
        return true;
      }
      // Without a norm, both choices of keys are the same sum; the better one has decided.
      decided = !needsNorm;
      if (decided)
        return false;
    }
  }
  if (decided)
    return false;
  if (product.sums.size() == 1 && searchState(product))
    return true;
  if (depth == kMaxDepth)
    return false;
  for (auto [position, factor] : llvm::enumerate(product.factors)) {
    auto extents = products.summed(factor);
    if (!extents || extents->size() + product.sums.size() > 2)
      continue;
    SmallVector<Value> inner;
    for (AffineExpr extent : *extents)
      inner.push_back(elements.addIndex(extent));
    std::optional<Product> next = products.expand(product, position, inner);
    if (next && search(*next, depth + 1))
      return true;
  }
  return false;
}

/// The product of features with a map of sum_j y(j,f) v(j,e), e.g. a clamped state.
bool LinearMatch::searchState(const Product &product) {
  if (needsNorm)
    return false;
  for (Value factor : product.factors) {
    SmallVector<Value> maps = cuts(factor, [&](Value value) { return isLoad(value); });
    Value sum = maps.back();
    auto extents = products.summed(sum);
    if (maps.size() == 1 || !extents || extents->size() != 1 ||
        !elements.depends(sum, product.sums[0]))
      continue;
    // Every factor that reads the sum belongs to its map.
    SmallVector<Value> mapped;
    Product inner;
    inner.sums = product.sums;
    inner.expanded = product.expanded;
    for (Value other : product.factors)
      (elements.depends(other, sum) ? mapped : inner.factors).push_back(other);
    if (!product.conditions.empty() || llvm::any_of(mapped, [&](Value other) {
          return cuts(other, [&](Value value) { return isLoad(value); }).back() != sum;
        }))
      continue;
    SmallVector<Value> outside(inner.factors);
    inner.factors.push_back(sum);
    Value column = elements.addIndex((*extents)[0]);
    std::optional<Product> next = products.expand(inner, inner.factors.size() - 1, column);
    // Nothing may be moved out of the map.
    auto isOutside = [&](Value other) { return llvm::is_contained(outside, other); };
    if (!next || !next->conditions.empty() || !assignRoles(*next, column, product.sums[0]) ||
        !looksLikeAttention() || !relative.empty() || llvm::any_of(valueFactors, isOutside) ||
        llvm::any_of(next->factors, [&](Value other) {
          return !elements.depends(other, column) && !isOutside(other);
        }))
      continue;
    state = {};
    state.scalar = products.multiply(mapped);
    if (auto whole = products.whole(mapped)) {
      state.scalar = whole->first;
      state.factor = 1 / whole->second;
    }
    state.base = sum;
    // A constant inside of the map stays with the keys, one outside with the queries.
    norm = Weighting::None;
    scale = product.factor;
    keyFactor = next->factor;
    if (!matchOperands())
      continue;
    replaced.insert(next->expanded.begin(), next->expanded.end());
    return true;
  }
  return false;
}

bool LinearMatch::assignRoles(const Product &product, Value keyIndex, Value featureIndex) {
  column = keyIndex;
  feature = featureIndex;
  row = valueDepth = {};
  causal = plainDenominator = false;
  mu.reset();
  for (auto *list : {&queryFactors, &keyFactors, &valueFactors, &keyScale, &keyMasks, &relative,
                     &queryTable, &keyTable, &batch, &heads})
    list->clear();
  queryTableValues.clear();
  keyTableValues.clear();
  SmallVector<Value> withColumn, fixed;
  for (Value factor : product.factors) {
    bool onColumn = elements.depends(factor, column), onFeature = elements.depends(factor, feature);
    (onColumn    ? onFeature ? keyFactors : withColumn
     : onFeature ? queryFactors
                 : fixed)
        .push_back(factor);
  }
  if (keyFactors.empty() || queryFactors.empty())
    return false;
  auto any = [&](ArrayRef<Value> list, Value index) {
    return llvm::any_of(list, [&](Value scalar) { return elements.depends(scalar, index); });
  };
  for (Value index : llvm::reverse(indices)) {
    if (!index)
      continue;
    bool inQuery = any(queryFactors, index), inKey = any(keyFactors, index);
    if (!row && inQuery && !inKey && !(valueDepth == index))
      row = index;
    else if (!valueDepth && !inQuery && !inKey && any(withColumn, index))
      valueDepth = index;
    else
      batch.insert(batch.begin(), index);
  }
  if (!valueDepth)
    return false;
  for (Value factor : withColumn) {
    bool onValue = elements.depends(factor, valueDepth);
    bool onRow = row && elements.depends(factor, row);
    if (onRow && onValue)
      return false;
    (onValue ? valueFactors : onRow ? relative : keyScale).push_back(factor);
  }
  for (Value factor : fixed) {
    bool onValue = elements.depends(factor, valueDepth);
    if (onValue && row && elements.depends(factor, row))
      return false;
    (onValue ? valueFactors : queryFactors).push_back(factor);
  }
  return true;
}

/// True if the maximum runs over scores of data and data, or, head by head, of data and weights; a
/// softmax of projected data is a feature map (efficient attention).
static bool isOverScores(linalg::SoftmaxOp softmax) {
  SmallVector<Value> pending{softmax.getInput()};
  llvm::SmallDenseSet<Value> seen;
  while (!pending.empty()) {
    Value tensor = pending.pop_back_val();
    Operation *op = tensor.getDefiningOp();
    if (!op || !seen.insert(tensor).second)
      continue;
    if (std::optional<Contraction> product = matchContraction(op)) {
      unsigned constants = 0, common = 0;
      for (Value operand : product->operands)
        constants += matchPattern(operand, m_Constant());
      for (AffineExpr axis : product->resultMap.getResults())
        common += llvm::is_contained(product->maps[0].getResults(), axis) &&
                  llvm::is_contained(product->maps[1].getResults(), axis);
      if (constants == 0 || common > 0)
        return true;
      continue;
    }
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (linalgOp && linalgOp.getNumReductionLoops() == 0)
      llvm::append_range(pending, linalgOp.getDpsInputs());
    else if (isa<tensor::TensorDialect>(op->getDialect()))
      llvm::append_range(pending, llvm::make_filter_range(op->getOperands(), [](Value operand) {
                           return isa<RankedTensorType>(operand.getType());
                         }));
  }
  return false;
}

/// Softmax of scores applied to a product with another softmax of scores is two attentions; so is a
/// product with values that are the map of another attention over the same keys.
bool LinearMatch::isNestedSoftmax() {
  if (causal || norm != Weighting::None)
    return false;
  auto anyLoad = [&](ArrayRef<Value> factors, llvm::function_ref<bool(const ElementOf &)> test) {
    return llvm::any_of(factors, [&](Value factor) {
      return llvm::any_of(elements.loads(factor), [&](Value load) {
        std::optional<ElementOf> element = elements.load(load);
        return element->tensor && test(*element);
      });
    });
  };
  return anyLoad(weightFactors(),
                 [](const ElementOf &element) {
                   Operation *op = element.tensor.getDefiningOp();
                   auto softmax = dyn_cast_or_null<linalg::SoftmaxOp>(op);
                   return isa_and_nonnull<AttentionOp>(op) || (softmax && isOverScores(softmax));
                 }) ||
         anyLoad(valueFactors, [&](const ElementOf &element) {
           auto softmax = element.tensor.getDefiningOp<linalg::SoftmaxOp>();
           return softmax && element.indices[softmax.getDimension()] == column;
         });
}

/// What varies with queries must not be needed by others too; states and sums of keys may be.
bool LinearMatch::onlyUsers(const Product &product) {
  llvm::SmallPtrSet<Operation *, 16> dead{root.getDefiningOp()};
  SmallVector<Operation *> pending{root.getDefiningOp()};
  while (!pending.empty())
    for (Value operand : pending.pop_back_val()->getOperands()) {
      Operation *producer = operand.getDefiningOp();
      if (producer && !dead.contains(producer) &&
          llvm::all_of(producer->getUsers(), [&](Operation *user) {
            return dead.contains(user) || isa<tensor::DimOp>(user);
          })) {
        dead.insert(producer);
        pending.push_back(producer);
      }
    }
  for (auto [op, load] : llvm::zip(product.expanded, product.loads)) {
    if (!row || !elements.depends(load, row) || dead.contains(op))
      continue;
    for (Operation *user : op->getUsers())
      if (!dead.contains(user))
        return refuse("'" + nodeNames(user->getLoc()) + "' also uses what '" +
                      nodeNames(op->getLoc()) + "' computes for every query");
  }
  return true;
}

/// Queries, keys and values must be data, not weights, and belong to the same batch.
bool LinearMatch::looksLikeAttention() {
  auto isData = [&](ArrayRef<Value> list) {
    return llvm::any_of(list, [&](Value scalar) {
      return llvm::any_of(elements.loads(scalar), [&](Value load) {
        Value tensor = elements.load(load)->tensor;
        return tensor && isa<FloatType>(load.getType()) && !matchPattern(tensor, m_Constant());
      });
    });
  };
  auto onBatch = [&](ArrayRef<Value> list) {
    return batch.empty() || llvm::any_of(batch, [&](Value index) {
             return llvm::any_of(list,
                                 [&](Value scalar) { return elements.depends(scalar, index); });
           });
  };
  for (ArrayRef<Value> list :
       {ArrayRef(queryFactors), ArrayRef(keyFactors), ArrayRef(valueFactors)})
    if (!isData(list) || !onBatch(list))
      return false;
  if (!batch.empty())
    heads.push_back(batch.pop_back_val());
  return true;
}

bool LinearMatch::matchConditions(const Product &product) {
  for (Value condition : product.conditions) {
    auto compare = condition.getDefiningOp<arith::CmpIOp>();
    using Predicate = arith::CmpIPredicate;
    bool below = compare && row &&
                 ((compare.getPredicate() == Predicate::sle && compare.getLhs() == column &&
                   compare.getRhs() == row) ||
                  (compare.getPredicate() == Predicate::sge && compare.getLhs() == row &&
                   compare.getRhs() == column));
    if (below) {
      if (!sizes.equal(elements.extentOf(row), elements.extentOf(column)))
        return refuse("a causal mask on different numbers of queries and keys");
      causal = true;
      continue;
    }
    if ((row && elements.depends(condition, row)) || elements.depends(condition, feature) ||
        elements.depends(condition, valueDepth))
      return refuse("the weights have a mask other than causal or of keys");
    Type type = valueFactors[0].getType();
    keyMasks.push_back(elements.make<arith::SelectOp>(condition, elements.constantFloat(type, 1),
                                                      elements.constantFloat(type, 0)));
  }
  return true;
}

/// True if the divisor is the number of keys that a query sees.
bool LinearMatch::isCount(Value divisor) {
  Operation *cast = divisor.getDefiningOp();
  if (!cast || !isa<arith::SIToFPOp, arith::UIToFPOp>(cast))
    return false;
  Value count = cast->getOperand(0);
  if (auto inner = count.getDefiningOp<arith::IndexCastOp>())
    count = inner.getIn();
  Value wanted = causal ? elements.make<arith::AddIOp>(row, elements.constantIndex(1))
                        : elements.sizeValue(elements.extentOf(column));
  return count == wanted;
}

bool LinearMatch::matchDivisors(const Product &product) {
  norm = Weighting::None;
  scale = product.factor;
  for (Value factor : llvm::to_vector(queryFactors)) {
    Value divisor = inverted(factor);
    if (!divisor || elements.depends(factor, feature))
      continue;
    bool counts = isCount(divisor);
    SmallVector<Value> kept(queryFactors);
    llvm::erase(queryFactors, factor);
    if (!counts && !matchWeightSum(divisor, product)) {
      queryFactors = kept;
      continue;
    }
    if (norm != Weighting::None)
      return refuse("the weights are divided twice");
    norm = counts ? Weighting::Count : Weighting::Sum;
  }
  for (ArrayRef<Value> factors : {ArrayRef(queryFactors), ArrayRef(valueFactors)})
    if (llvm::any_of(factors, [&](Value factor) { return unrolled.hasUnknown(factor); }))
      return refuse("a step divides by what is no sum of the weights");
  if (norm == Weighting::None && needsNorm)
    return reason.empty() ? refuse("no divisor is the sum of the weights") : false;
  return true;
}

SmallVector<Value> LinearMatch::weightFactors() {
  SmallVector<Value> all(queryFactors);
  for (ArrayRef<Value> list : {ArrayRef(keyFactors), ArrayRef(keyScale), ArrayRef(relative)})
    llvm::append_range(all, list);
  return all;
}

bool LinearMatch::matchWeightSum(Value divisor, const Product &product) {
  EpsMode mode = EpsMode::Add;
  double guard = 0;
  Value sum = divisor;
  Operation *op = sum.getDefiningOp();
  if (op && isa<arith::AddFOp, arith::MaximumFOp, arith::MaxNumFOp>(op))
    for (unsigned n : {0, 1})
      if (std::optional<double> constant = asFloat(op->getOperand(n))) {
        mode = isa<arith::AddFOp>(op) ? EpsMode::Add : EpsMode::Clamp;
        guard = *constant;
        sum = op->getOperand(1 - n);
      }
  Product found, weights = products.flatten(sum);
  if (chunks) {
    if (std::optional<Product> joined = chunks->join(sum))
      weights = *joined;
  } else if (unrolled.isUnknown(sum)) {
    if (std::optional<Product> steps = unrolled.product(sum))
      weights = *steps;
  }
  if (!matchSum(weights, product, 0, found))
    return false;
  // What only the numerator has belongs to the values.
  SmallVector<Value> rest = weightFactors();
  removeAll(rest, found.factors);
  if (guard < 0 || (guard > 0 && found.factor <= 0))
    return refuse("the denominator is guarded by a negative number");
  for (Value factor : rest) {
    if (llvm::is_contained(relative, factor)) {
      plainDenominator = true;
      continue;
    }
    llvm::erase(keyScale, factor);
    valueFactors.push_back(factor);
  }
  epsMode = mode;
  eps = guard / found.factor;
  scale = product.factor / found.factor;
  return true;
}

bool LinearMatch::matchSum(const Product &sum, const Product &whole, unsigned depth,
                           Product &found) {
  if (sum.sums.size() == 2) {
    SmallVector<Value> rest = weightFactors(), conditions(whole.conditions);
    if (removeAll(rest, sum.factors) && removeAll(conditions, sum.conditions) &&
        conditions.empty() && llvm::all_of(rest, [&](Value factor) {
          return llvm::is_contained(keyScale, factor) || llvm::is_contained(relative, factor);
        })) {
      found = sum;
      return true;
    }
  }
  if (depth == kMaxDepth)
    return false;
  for (auto [position, factor] : llvm::enumerate(sum.factors)) {
    auto extents = products.summed(factor);
    if (!extents)
      continue;
    auto attempt = [&](ArrayRef<Value> inner) {
      if (inner.size() != extents->size())
        return false;
      for (auto [index, extent] : llvm::zip(inner, *extents))
        if (llvm::is_contained(sum.sums, index) || !sizes.equal(extent, elements.extentOf(index)))
          return false;
      std::optional<Product> next = products.expand(sum, position, inner);
      return next && matchSum(*next, whole, depth + 1, found);
    };
    if (attempt({}) || attempt(column) || attempt(feature) || attempt({column, feature}) ||
        attempt({feature, column}))
      return true;
  }
  return false;
}

/// True if keys and values depend on the head by its quotient with a constant alone.
bool LinearMatch::findHeadGroups() {
  SmallVector<Value> all(keyFactors);
  llvm::append_range(all, valueFactors);
  Value head = heads.back();
  int64_t size = chunkLength(products.multiply(all), head);
  std::optional<int64_t> count = Sizes::asConstant(elements.extentOf(head));
  if (size < 2 || !count || *count % size != 0)
    return false;
  headGroup = elements.make<arith::DivUIOp>(head, elements.constantIndex(size));
  headGroups = sizes.constant(*count / size);
  return llvm::all_of(all, [&](Value factor) {
    return !elements.depends(substitute(elements, factor, headGroup, elements.constantIndex(0)),
                             head);
  });
}

bool LinearMatch::matchOperands() {
  query = key = value = mask = {};
  key.factor = keyFactor;
  matchPositions();
  llvm::append_range(keyScale, keyMasks);
  bool byHead = !heads.empty() && llvm::any_of(keyScale, [&](Value scalar) {
    return elements.depends(scalar, heads.back());
  });
  if (byHead) {
    llvm::append_range(keyFactors, keyScale);
    keyScale.clear();
  }
  if (mu) {
    // The factor of the weights is step / (1 - mu); it cancels if the denominator has it too.
    bool cancels = norm == Weighting::Sum && !plainDenominator;
    step = (cancels ? 1 : scale) * (1 - *mu);
    if (!cancels)
      scale = 1;
  }
  if (norm == Weighting::Sum)
    value.factor = scale;
  else
    query.factor = scale;
  auto one = [](Value index) { return index ? SmallVector<Value>{index} : SmallVector<Value>{}; };
  auto shared = [&](ArrayRef<Value> list) {
    return heads.empty() ||
           llvm::none_of(list, [&](Value scalar) { return elements.depends(scalar, heads[0]); });
  };
  SmallVector<Value> keyHeads(heads);
  if (shared(keyFactors) && shared(valueFactors))
    keyHeads.clear();
  else if (findHeadGroups())
    keyHeads = {headGroup};
  query.groups = {batch, heads, one(row), one(feature)};
  key.groups = {batch, keyHeads, one(column), one(feature)};
  value.groups = {batch, keyHeads, one(column), one(valueDepth)};
  mask.groups = {batch, one(column)};
  matchOperand(query, queryFactors, true);
  matchOperand(key, keyFactors, true);
  matchOperand(value, valueFactors, false);
  if (!keyScale.empty())
    matchOperand(mask, keyScale, false);
  return true;
}

void LinearMatch::matchOperand(Operand &operand, ArrayRef<Value> factors, bool withMap) {
  operand.scalar = products.multiply(factors);
  if (auto found = products.whole(factors)) {
    operand.scalar = found->first;
    operand.factor /= found->second;
  }
  if (!withMap && operand.factor != 1) {
    Type type = operand.scalar.getType();
    operand.scalar =
        elements.make<arith::MulFOp>(operand.scalar, elements.constantFloat(type, operand.factor));
    operand.factor = 1;
  }
  SmallVector<Value> candidates{operand.scalar};
  if (withMap)
    candidates = cuts(operand.scalar, [&](Value value) { return isLoad(value); });
  SmallVector<IndexGroups, 1> spellings{operand.groups};
  if (chunks)
    spellings.push_back(llvm::map_to_vector(
        operand.groups, [&](const auto &group) { return chunks->inChunks(group); }));
  for (Value candidate : llvm::reverse(candidates))
    for (const IndexGroups &groups : spellings) {
      operand.layout = findLayout(elements, sizes, candidate, groups,
                                  [&](Value index) { return extentOf(index); });
      if (operand.layout) {
        operand.base = candidate;
        operand.groups = groups;
        return;
      }
    }
  operand.base = operand.scalar;
}

} // namespace attune
