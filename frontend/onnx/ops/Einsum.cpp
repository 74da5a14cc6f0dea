#include "attune/frontend/onnx/Build.h"

#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace attune::onnx {

namespace {

/// A tensor with one label per axis.
struct Term {
  Tensor tensor;
  std::string labels;
  bool has(char label) const { return labels.find(label) != std::string::npos; }
};

class Einsum {
public:
  explicit Einsum(Node &node) : node(node) {}

  Tensor run() {
    parse();
    Term result = terms.front();
    for (size_t i = 1; i < terms.size(); ++i)
      result = product(result, terms[i], i + 1);
    return arrange(result);
  }

private:
  Node &node;
  std::vector<Term> terms;
  std::string output;
  std::map<char, Extent> sizes;

  /// `...` becomes upper-case-free private labels, aligned at its last axis.
  std::string expand(llvm::StringRef text, int64_t rank) {
    std::string labels;
    size_t dots = text.find("...");
    if (dots == llvm::StringRef::npos)
      return text.str();
    int64_t covered = rank - static_cast<int64_t>(text.size() - 3);
    node.check(covered >= 0 && covered <= 9, "the equation does not fit an input's rank");
    for (int64_t i = covered; i > 0; --i)
      labels += static_cast<char>('0' + i);
    return (text.take_front(dots) + labels + text.drop_front(dots + 3)).str();
  }

  void parse() {
    std::string equation = node.stringAttr("equation");
    llvm::erase(equation, ' ');
    auto [left, right] = llvm::StringRef(equation).split("->");
    llvm::SmallVector<llvm::StringRef> parts;
    left.split(parts, ',');
    node.check(static_cast<int>(parts.size()) == node.numInputs(),
               "the equation has " + llvm::Twine(parts.size()) + " terms for " +
                   llvm::Twine(node.numInputs()) + " inputs");
    int64_t dotsRank = 0;
    for (auto [i, part] : llvm::enumerate(parts)) {
      Term term{node.input(i), expand(part, node.input(i).rank())};
      node.check(static_cast<int64_t>(term.labels.size()) == term.tensor.rank(),
                 "term " + llvm::Twine(i) + " of the equation has " +
                     llvm::Twine(term.labels.size()) + " labels for rank " +
                     llvm::Twine(term.tensor.rank()));
      if (part.contains("..."))
        dotsRank = std::max<int64_t>(dotsRank, term.tensor.rank() - (part.size() - 3));
      term = diagonal(term);
      for (auto [axis, label] : llvm::enumerate(term.labels)) {
        auto [size, fresh] = sizes.try_emplace(label, term.tensor.dim(axis));
        if (!fresh)
          node.requireEqual(size->second, term.tensor.dim(axis),
                            "label '" + llvm::Twine(label) + "' has different sizes");
      }
      terms.push_back(term);
    }
    if (equation.find("->") != std::string::npos) {
      output = expand(right, right.contains("...") ? dotsRank + right.size() - 3 : right.size());
    } else {
      // Implicit form: broadcast axes, then the labels that occur once, in alphabetical order.
      std::map<char, int> counts;
      for (const Term &term : terms)
        for (char label : term.labels)
          ++counts[label];
      for (int64_t i = dotsRank; i > 0; --i)
        output += static_cast<char>('0' + i);
      for (auto [label, count] : counts)
        if (count == 1 && !llvm::isDigit(label))
          output += label;
    }
    for (char label : output)
      node.check(sizes.count(label),
                 "the output has label '" + llvm::Twine(label) + "' that no input has");
  }

  /// A label that occurs twice in one term reads the diagonal.
  Term diagonal(const Term &term) {
    llvm::SmallVector<AffineExpr> exprs;
    std::string labels;
    Shape shape;
    for (auto [axis, label] : llvm::enumerate(term.labels)) {
      size_t loop = labels.find(label);
      if (loop == std::string::npos) {
        loop = labels.size();
        labels += label;
        shape.push_back(term.tensor.dim(axis));
      } else {
        node.requireEqual(shape[loop], term.tensor.dim(axis),
                          "label '" + llvm::Twine(label) + "' has different sizes");
      }
      exprs.push_back(getAffineDimExpr(loop, node.context()));
    }
    if (labels == term.labels)
      return term;
    DType dtype = term.tensor.dtype();
    Value value = generic(node, {node.value(term.tensor)},
                          {AffineMap::get(labels.size(), 0, exprs, node.context())}, shape,
                          dtype.type(node.context()),
                          [](OpBuilder &, Location, ValueRange args) { return args[0]; });
    return {node.tensor(value, dtype, shape), labels};
  }

  /// Whether the output or a term from `next` on needs the label.
  bool isNeeded(char label, size_t next) const {
    return output.find(label) != std::string::npos ||
           llvm::any_of(llvm::ArrayRef(terms).drop_front(next),
                        [&](const Term &term) { return term.has(label); });
  }

  /// Sums over labels that nothing else has.
  Term sumAway(Term term, const Term *other, size_t next) {
    llvm::SmallVector<int64_t> axes;
    std::string kept;
    for (auto [axis, label] : llvm::enumerate(term.labels)) {
      if (isNeeded(label, next) || (other && other->has(label)))
        kept += label;
      else
        axes.push_back(axis);
    }
    if (axes.empty())
      return term;
    DType dtype = term.tensor.dtype();
    Tensor sum = reduce(node, term.tensor, axes, dtype, scalarAttr(node.context(), dtype, 0),
                        [&](OpBuilder &b, Location loc, Value v, Value acc) -> Value {
                          return dtype.isFloat()
                                     ? arith::AddFOp::create(b, loc, acc, v).getResult()
                                     : arith::AddIOp::create(b, loc, acc, v).getResult();
                        });
    return {sum, kept};
  }

  Term product(Term a, Term b, size_t next) {
    a = sumAway(a, &b, next);
    b = sumAway(b, &a, next);
    std::string kept, summed;
    for (char label : a.labels + b.labels) {
      if (kept.find(label) != std::string::npos || summed.find(label) != std::string::npos)
        continue;
      (isNeeded(label, next) ? kept : summed) += label;
    }
    // The last product gives the output's order at once.
    if (next == terms.size())
      kept = output;
    std::string loops = kept + summed;
    auto map = [&](const std::string &labels) {
      llvm::SmallVector<AffineExpr> exprs;
      for (char label : labels)
        exprs.push_back(getAffineDimExpr(loops.find(label), node.context()));
      return AffineMap::get(loops.size(), 0, exprs, node.context());
    };
    Shape shape;
    for (char label : kept)
      shape.push_back(sizes.at(label));
    if (summed.empty())
      return {outerProduct(a, b, map, kept, shape), kept};
    return {contract(node, a.tensor, b.tensor, {map(a.labels), map(b.labels), map(kept)}, shape),
            kept};
  }

  /// Nothing is summed: an elementwise product.
  Tensor outerProduct(const Term &a, const Term &b,
                      llvm::function_ref<AffineMap(const std::string &)> map,
                      const std::string &kept, const Shape &shape) {
    DType dtype = a.tensor.dtype();
    Value result =
        generic(node, {node.value(a.tensor), node.value(b.tensor)}, {map(a.labels), map(b.labels)},
                shape, dtype.type(node.context()),
                [&](OpBuilder &builder, Location loc, ValueRange args) -> Value {
                  return dtype.isFloat()
                             ? arith::MulFOp::create(builder, loc, args[0], args[1]).getResult()
                             : arith::MulIOp::create(builder, loc, args[0], args[1]).getResult();
                });
    return node.tensor(result, dtype, shape);
  }

  Tensor arrange(Term term) {
    term = sumAway(term, nullptr, terms.size());
    std::vector<int64_t> perm;
    for (char label : output)
      perm.push_back(term.labels.find(label));
    bool identity = llvm::equal(perm, llvm::seq<int64_t>(0, perm.size()));
    return identity ? term.tensor : transpose(node, term.tensor, perm);
  }
};

} // namespace

static void convertEinsum(Node &node) {
  node.check(node.numInputs() >= 1, "there is no input");
  node.setOutput(0, Einsum(node).run());
}

void registerEinsum(Registry &registry) { registry.add("Einsum", 12, convertEinsum); }

} // namespace attune::onnx
