#include "attune/passes/raise/AttentionMatch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include <cmath>

using namespace mlir;

namespace attune {

AffineExpr AttentionMatch::extentOf(Value index) {
  return elements.isIndex(index) ? elements.extentOf(index) : derived.lookup(index);
}

AttentionMatch::Result AttentionMatch::match() {
  end = output.op;
  if (!findColumn())
    return Result::NoAttention;
  bool matched = false;
  if (findSoftmax())
    matched = matchGuard() && matchScores() && matchRoles() && matchOperands() && matchSink() &&
              matchFactors() && matchRegions() && onlyUsers();
  else if (!softmax && findWeights())
    matched = matchRoles() && isWorthwhile() && matchQuotient() && matchOperands() &&
              matchWeightRegions() && matchRegions() && onlyUsers();
  else
    return Result::NoAttention;
  // Why multiples of the scores are no linear attention has been said.
  return matched ? Result::Matched : multiple ? Result::NoAttention : Result::Refused;
}

Location AttentionMatch::getLoc() { return softmax ? softmax.getLoc() : scores->op.getLoc(); }

/// The axis of the weights that is summed over with the values.
bool AttentionMatch::findColumn() {
  Value tensor = output.operands[side];
  AffineMap map = output.maps[side];
  auto type = cast<RankedTensorType>(tensor.getType());
  for (int64_t axis = 0; axis < type.getRank(); ++axis)
    indices.push_back(elements.addIndex(sizes.of(tensor, axis)));
  unsigned reduced = 0;
  for (auto [axis, expr] : llvm::enumerate(map.getResults())) {
    unsigned loop = cast<AffineDimExpr>(expr).getPosition();
    if (output.resultMap.isFunctionOfDim(loop))
      continue;
    column = indices[axis];
    ++reduced;
  }
  weights = elements.at(tensor, indices);
  return reduced == 1;
}

bool AttentionMatch::findSoftmax() {
  for (Value load : elements.loads(weights)) {
    std::optional<ElementOf> element = elements.load(load);
    auto op = element->tensor.getDefiningOp<linalg::SoftmaxOp>();
    if (!op)
      continue;
    if (softmax) {
      combinesProbabilities = true;
      return false;
    }
    softmax = op;
    loaded = load;
  }
  return bool(softmax);
}

bool AttentionMatch::matchScores() {
  ElementOf element = *elements.load(loaded);
  int64_t axis = softmax.getDimension();
  if (element.indices[axis] != column)
    return refuse("the softmax runs over another axis than the sum with the values");
  for (auto [other, index] : llvm::enumerate(element.indices))
    if (int64_t(other) != axis && elements.depends(index, column))
      return refuse("the probabilities are rearranged along the keys");
  AffineExpr width = sizes.of(softmax.getInput(), axis);
  hasSink = sizes.equal(width, extentOf(column) + 1);
  if (!hasSink && !sizes.equal(width, extentOf(column)))
    return refuse("only a part of the probabilities is multiplied with the values");
  score = elements.at(softmax.getInput(), element.indices);
  // Softmax does not see what is subtracted from a whole row.
  if (auto shifted = score.getDefiningOp<arith::SubFOp>();
      shifted && isRowMaximum(shifted.getRhs())) {
    rowShift = shifted.getRhs();
    score = shifted.getLhs();
  }

  // The first contraction that varies with the keys in place; others are captured.
  for (Value load : elements.loads(score)) {
    std::optional<ElementOf> element = elements.load(load);
    std::optional<Contraction> found = matchContraction(element->tensor.getDefiningOp());
    if (!found || !llvm::is_contained(element->indices, column))
      continue;
    dot = load;
    source = element->tensor;
    scores = *found;
    break;
  }
  return true;
}

static unsigned positionOf(AffineExpr expr) { return cast<AffineDimExpr>(expr).getPosition(); }

/// An index for a loop of the contraction, by an operand that varies with it, or null.
static Value addLoopIndex(Elements &elements, Sizes &sizes, const Contraction &contraction,
                          unsigned operand, unsigned loop) {
  for (auto [axis, expr] : llvm::enumerate(contraction.maps[operand].getResults()))
    if (positionOf(expr) == loop)
      return elements.addIndex(sizes.of(contraction.operands[operand], axis));
  return {};
}

static Value operandAt(Elements &elements, const Contraction &contraction, unsigned n,
                       ArrayRef<Value> loops) {
  SmallVector<Value> at;
  for (AffineExpr expr : contraction.maps[n].getResults())
    at.push_back(loops[positionOf(expr)]);
  return elements.at(contraction.operands[n], at);
}

/// What queries and keys are, and the axes that they are contracted over.
bool AttentionMatch::matchContractionRoles() {
  ElementOf element = *elements.load(dot);
  // Indices of the contraction's loops.
  SmallVector<Value> loops(scores->resultMap.getNumDims());
  for (auto [expr, index] : llvm::zip(scores->resultMap.getResults(), element.indices))
    loops[positionOf(expr)] = index;
  for (auto [loop, index] : llvm::enumerate(loops)) {
    if (index)
      continue;
    index = addLoopIndex(elements, sizes, *scores, 0, loop);
    if (!index)
      return refuse("an axis of the scores is summed over one operand alone");
    depth.push_back(index);
  }
  if (depth.empty())
    return refuse("the scores are an outer product");
  auto indexedBy = [&](unsigned n) {
    for (AffineExpr expr : scores->maps[n].getResults())
      if (loops[positionOf(expr)] == column)
        return true;
    return false;
  };
  keySide = indexedBy(1) ? 1 : 0;
  if (indexedBy(1 - keySide))
    return refuse("both operands of the scores vary with the keys");
  query = operandAt(elements, *scores, 1 - keySide, loops);
  key = operandAt(elements, *scores, keySide, loops);
  return true;
}

bool AttentionMatch::matchRoles() {
  if (keepScores)
    scores.reset();
  if (scores && !matchContractionRoles())
    return false;
  // The values, over the loops of the output contraction.
  outputLoops.resize(output.resultMap.getNumDims());
  for (auto [expr, index] : llvm::zip(output.maps[side].getResults(), indices))
    outputLoops[positionOf(expr)] = index;
  for (auto [loop, index] : llvm::enumerate(outputLoops)) {
    if (!index) {
      index = addLoopIndex(elements, sizes, output, 1 - side, loop);
      valueDepth.push_back(index);
    }
  }
  value = operandAt(elements, output, 1 - side, outputLoops);
  // Axes along which the weights are only repeated belong to the values.
  llvm::erase_if(indices, [&](Value index) {
    bool repeated =
        index != column && !elements.depends(weights, index) && elements.depends(value, index);
    if (repeated)
      valueDepth.push_back(index);
    return repeated;
  });
  if (valueDepth.empty())
    return refuse("the values have no axis of their own");
  // In the order of the result, where that leaves least to transpose.
  SmallVector<Value> order;
  for (AffineExpr expr : output.resultMap.getResults())
    order.push_back(outputLoops[positionOf(expr)]);
  llvm::sort(valueDepth,
             [&](Value a, Value b) { return llvm::find(order, a) < llvm::find(order, b); });

  // The row index is the last one that keys and values do not vary with.
  SmallVector<Value> rest;
  for (Value index : llvm::reverse(indices)) {
    if (index == column)
      continue;
    bool isRow = !row && !elements.depends(value, index) &&
                 (scores ? !elements.depends(key, index) && elements.depends(query, index)
                         : elements.depends(score, index));
    if (isRow)
      row = index;
    else
      rest.insert(rest.begin(), index);
  }
  if (!rest.empty()) {
    Value last = rest.pop_back_val();
    heads.push_back(last);
    bool shared = scores && !elements.depends(key, last) && !elements.depends(value, last);
    // Heads in groups that share keys: the group is a separate axis.
    if (shared && !rest.empty() && elements.depends(key, rest.back()) &&
        elements.depends(value, rest.back()) && (rest.size() > 1 || indices.size() > 4))
      heads.insert(heads.begin(), rest.pop_back_val());
  }
  batch = rest;
  return scores || matchGivenScores();
}

/// Scores that are no contraction: of the tensors which they are computed from, one that has them
/// all, or the scores themselves.
bool AttentionMatch::matchGivenScores() {
  if (!row)
    return refuse("the scores do not come from a contraction of queries and keys, and no axis of "
                  "theirs is one of queries");
  scoresGroups = {batch, heads, {row}, {column}};
  auto extents = [&](Value index) { return extentOf(index); };
  SmallVector<Value> candidates;
  for (Value load : elements.loads(score))
    if (llvm::all_of(indices, [&](Value index) {
          return elements.depends(load, index) || !elements.depends(score, index);
        }))
      candidates.push_back(load);
  candidates.push_back(splitMask(elements, score).score);
  candidates.push_back(score);
  for (Value candidate : candidates) {
    if (!candidate || !isa<FloatType>(candidate.getType()))
      continue;
    scoresLayout = findLayout(elements, sizes, candidate, scoresGroups, extents);
    if (!scoresLayout)
      continue;
    dot = candidate;
    source = scoresLayout->element.tensor;
    return true;
  }
  return refuse("the scores are not a view with batch, head, query and key axes");
}

bool AttentionMatch::matchOperands() {
  auto extents = [&](Value index) { return extentOf(index); };
  auto one = [](Value index) { return index ? SmallVector<Value>{index} : SmallVector<Value>{}; };
  if (!scores) {
    valueGroups = {batch, heads, {column}, valueDepth};
    valueLayout = findLayout(elements, sizes, value, valueGroups, extents);
    return valueLayout ||
           refuse("the values are not a view with batch, head, position and channel axes");
  }
  queryGroups = {batch, heads, one(row), depth};
  // Factors on the operands scale the scores, unless only the product is a tensor with those axes.
  auto unscaled = [&](Value &operand, llvm::function_ref<bool()> match) {
    Value whole = operand;
    double factor = stripFactors(operand);
    if (match()) {
      scale *= factor;
      return true;
    }
    operand = whole;
    return factor != 1 && match();
  };
  if (!unscaled(query, [&] {
        queryLayout = findLayout(elements, sizes, query, queryGroups, extents);
        return queryLayout.has_value();
      }))
    return refuse("the queries are not a view with batch, head, position and channel axes");

  // Keys and values have the heads they vary with; `h div g` means g query heads for one of them.
  auto headsOf = [&](Value scalar) {
    SmallVector<Value> own;
    for (Value head : heads)
      if (elements.depends(scalar, head))
        own.push_back(head);
    return own;
  };
  auto grouped = [&]() -> Value {
    if (heads.size() != 1)
      return {};
    for (Value scalar : {key, value}) {
      SmallVector<ElementOf> candidates(elements.sources(scalar));
      if (auto load = elements.load(scalar))
        candidates.push_back(*load);
      for (const ElementOf &element : candidates)
        for (Value index : element.indices) {
          auto quotient = index.getDefiningOp<arith::DivUIOp>();
          std::optional<int64_t> count = Sizes::asConstant(extentOf(heads[0]));
          APInt group;
          if (!quotient || quotient.getLhs() != heads[0] || !count ||
              !matchPattern(quotient.getRhs(), m_ConstantInt(&group)) ||
              *count % group.getSExtValue() != 0)
            continue;
          derived[index] = sizes.constant(*count / group.getSExtValue());
          return index;
        }
    }
    return {};
  };
  auto attempt = [&](SmallVector<Value> keyHeads, SmallVector<Value> valueHeads) {
    keyGroups = {batch, keyHeads, {column}, depth};
    valueGroups = {batch, valueHeads, {column}, valueDepth};
    keyLayout = findLayout(elements, sizes, key, keyGroups, extents);
    valueLayout = findLayout(elements, sizes, value, valueGroups, extents);
    return keyLayout && valueLayout;
  };
  if (unscaled(key, [&] {
        Value index = grouped();
        return index && attempt({index}, {index});
      }))
    return true;
  // Both must have the same number of heads.
  SmallVector<Value> ownKey = headsOf(key), ownValue = headsOf(value);
  if (ownKey != ownValue)
    ownKey = ownValue = heads;
  // A suffix of shared heads is a group; anything else is copied per head.
  if (!ownKey.empty() && ownKey != ArrayRef<Value>(heads).take_front(ownKey.size()))
    ownKey = ownValue = heads;
  if (unscaled(key, [&] { return attempt(ownKey, ownValue); }))
    return true;
  return refuse(keyLayout ? "the values are not a view with batch, head, position and channel axes"
                          : "the keys are not a view with batch, head, position and channel axes");
}

bool AttentionMatch::matchRegions() {
  if (softmax) {
    MaskedScore parts = splitMask(elements, score);
    if (!parts.score || !elements.depends(parts.score, dot))
      return refuse("the mask hides the scores");
    // A mask region does not see the score.
    if (!parts.allowed || !elements.depends(parts.allowed, dot)) {
      score = parts.score;
      allowed = parts.allowed;
    }
    if (readsOtherScores(score) || (allowed && readsOtherScores(allowed)))
      return refuse("score or mask depend on other scores of the row");
  }
  if (keptAfter && !matchKept())
    takeMap();
  if (weighting == Weighting::Softmax && !allowed)
    if (Value kept = finiteMask(score))
      score = kept;
  // A region gets b and h, and splits them where several axes were joined.
  SmallVector<Value> bodies{score};
  for (Value other : {allowed, probability, keptRows})
    if (other)
      bodies.push_back(other);
  llvm::append_range(bodies, resultFactors);
  llvm::append_range(bodies, valueFactors);
  for (const auto &group : {batch, heads})
    for (Value index : ArrayRef<Value>(group).drop_front(group.empty() ? 0 : 1))
      if (!Sizes::asConstant(extentOf(index)) && llvm::any_of(bodies, [&](Value body) {
            return elements.depends(body, index) || elements.depends(body, group[0]);
          }))
        return refuse("bias or mask vary with joined axes of dynamic extent");
  // The innermost factors (and roundings to narrow types) of the scores join the scale; the one of
  // a soft cap stays with it.
  auto factorOf = [&](Value scalar) -> Operation * {
    Operation *user = nullptr;
    SmallVector<Value> pending{score};
    llvm::SmallDenseSet<Value> seen;
    while (!pending.empty()) {
      Value value = pending.pop_back_val();
      Operation *op = value.getDefiningOp();
      if (!op || !seen.insert(value).second || value == scalar)
        continue;
      if (llvm::is_contained(op->getOperands(), scalar)) {
        if (user && user != op)
          return nullptr;
        user = op;
      }
      llvm::append_range(pending, op->getOperands());
    }
    return user;
  };
  Value scaled = dot;
  double factor = 1;
  while (Operation *user = scores ? factorOf(scaled) : nullptr) {
    Value next = user->getResult(0);
    double step = 1;
    if (isa<arith::MulFOp, arith::DivFOp>(user)) {
      Value inner = next;
      step = stripFactors(inner);
      // Only this operator's factor.
      Value operand = user->getOperand(0);
      if (inner == next || (operand != scaled && user->getOperand(1) != scaled))
        break;
      std::optional<double> constant = asFloat(user->getOperand(operand == scaled ? 1 : 0));
      if (!constant)
        break;
      step = isa<arith::DivFOp>(user) ? 1 / *constant : *constant;
    } else if (!isa<arith::ExtFOp, arith::TruncFOp>(user)) {
      break;
    }
    Operation *after = factorOf(next);
    if (after && isa<math::TanhOp>(after))
      break;
    factor *= step;
    scaled = next;
  }
  scale *= factor;
  dot = scaled;
  return true;
}

/// The operators that only the attention needs must have no other user.
bool AttentionMatch::onlyUsers() {
  llvm::SetVector<Operation *> &chain = replaced;
  Operation *base = source.getDefiningOp();
  if (scores)
    chain.insert(base);
  for (auto [op, scalar] : elements.inlined())
    if (softmax && elements.depends(scalar, loaded))
      chain.insert(op);
  SmallVector<Value> pending{softmax ? softmax.getInput() : output.operands[side]};
  if (end != output.op)
    llvm::append_range(pending, end->getOperands());
  // Producers of the scores down to the contraction.
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || value == source || chain.contains(op))
      continue;
    SmallVector<Value> work{value};
    bool reaches = false;
    llvm::SmallDenseSet<Operation *> seen;
    while (!work.empty()) {
      Value from = work.pop_back_val();
      if (from == source) {
        reaches = true;
        break;
      }
      Operation *producer = from.getDefiningOp();
      if (!producer || !seen.insert(producer).second)
        continue;
      if (base && producer->getBlock() == base->getBlock() && producer->isBeforeInBlock(base))
        continue;
      llvm::append_range(work, producer->getOperands());
    }
    if (!reaches)
      continue;
    chain.insert(op);
    llvm::append_range(pending, op->getOperands());
  }
  if (softmax)
    chain.insert(softmax);
  chain.insert(output.op);
  chain.insert(end);
  for (Operation *op : chain) {
    bool ofScores = softmax && op != softmax && !softmax->isBeforeInBlock(op);
    if (op == end || (keepScores && ofScores))
      continue;
    for (Operation *user : op->getUsers())
      if (!chain.contains(user) && !isa<tensor::DimOp>(user) && !isOpTriviallyDead(user)) {
        scoresShared = ofScores;
        return refuse(Twine("'") + nodeNames(user->getLoc()) + "' also uses the " +
                      (!softmax   ? "weights"
                       : ofScores ? "scores"
                                  : "probabilities"));
      }
  }
  return true;
}

} // namespace attune
