//===- Extent.h - Symbolic sizes of tensors ---------------------------------------------------===//
//
// An `Extent` is a polynomial with integer coefficients over atoms (dim symbols such as `batch`,
// floor divisions, minima, values read from a tensor). Two extents are equal for every size exactly
// if their canonical forms are the same, so `==` decides. `Extents` owns the atoms of one import
// and turns an extent into index arithmetic.
//
// Overflow of a coefficient throws std::overflow_error, which the importer reports with the node.
//
//   Extent n = extents.symbol("seq", arg, 1);
//   Extent rows = n * 12;                     // polynomial arithmetic
//   Extent tiles = extents.ceilDiv(rows, 32); // an atom
//   mlir::Value size = extents.value(builder, loc, tiles);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_EXTENT_H
#define ATTUNE_FRONTEND_ONNX_EXTENT_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/SmallVector.h"
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace attune::onnx {

class Extent {
public:
  Extent(int64_t value = 0);
  static Extent atom(unsigned id);

  std::optional<int64_t> constant() const;
  bool is(int64_t value) const { return constant() == value; }

  friend Extent operator+(const Extent &a, const Extent &b);
  friend Extent operator-(const Extent &a, const Extent &b);
  friend Extent operator*(const Extent &a, const Extent &b);
  bool operator==(const Extent &other) const = default;
  auto operator<=>(const Extent &other) const = default;

  /// A product of atoms (sorted, with repetition) and its coefficient (never 0).
  struct Term {
    std::vector<unsigned> atoms;
    int64_t factor;
    bool operator==(const Term &) const = default;
    auto operator<=>(const Term &) const = default;
  };
  /// Sorted by atoms.
  const std::vector<Term> &terms() const { return list; }

private:
  friend class Extents;
  void add(const std::vector<unsigned> &atoms, int64_t factor);
  std::vector<Term> list;
};

using Shape = llvm::SmallVector<Extent, 4>;

/// The atoms of one import, what is known about them, and their index values.
class Extents {
public:
  static constexpr int64_t kNegInf = std::numeric_limits<int64_t>::min();
  static constexpr int64_t kPosInf = std::numeric_limits<int64_t>::max();

  /// Index arithmetic over dim symbols goes before `headerEnd`, an operator of the entry block.
  explicit Extents(mlir::Operation *headerEnd) : headerEnd(headerEnd) {}

  /// The size of axis `axis` of the function argument `tensor`; one extent per name.
  Extent symbol(llvm::StringRef name, mlir::Value tensor, int64_t axis);
  /// An index value whose size depends on data; `low` and `high` bound it.
  Extent opaque(mlir::Value index, int64_t low = kNegInf, int64_t high = kPosInf);

  Extent floorDiv(const Extent &a, const Extent &b);
  Extent ceilDiv(const Extent &a, const Extent &b) { return floorDiv(a + b - 1, b); }
  /// Sign of the divisor, as Python's %.
  Extent mod(const Extent &a, const Extent &b) { return a - b * floorDiv(a, b); }
  Extent max(const Extent &a, const Extent &b);
  Extent min(const Extent &a, const Extent &b);
  /// 1 or 0.
  Extent equal(const Extent &a, const Extent &b);
  Extent less(const Extent &a, const Extent &b);
  Extent select(const Extent &condition, const Extent &a, const Extent &b);

  /// a / b if b divides a as polynomials.
  std::optional<Extent> divideExactly(const Extent &a, const Extent &b) const;

  int64_t low(const Extent &e) const { return bounds(e).first; }
  int64_t high(const Extent &e) const { return bounds(e).second; }
  bool nonNegative(const Extent &e) const { return low(e) >= 0; }
  /// True, false, or unknown.
  std::optional<bool> knownEqual(const Extent &a, const Extent &b) const;
  std::optional<bool> knownLess(const Extent &a, const Extent &b) const;
  /// Sizes where broadcasting can only mean equality: min(n, c) with c > 1 against n.
  bool onlyEqualBroadcasts(const Extent &a, const Extent &b) const;
  /// A run-time check guards the rest of the function.
  void assumeEqual(const Extent &a, const Extent &b);
  /// The one that is easier to work with: constant, then symbol, then shallow.
  const Extent &simpler(const Extent &a, const Extent &b) const;

  /// Where constants and arithmetic over dim symbols go.
  mlir::Operation *header() const { return headerEnd; }
  mlir::Value value(mlir::OpBuilder &builder, mlir::Location loc, const Extent &e);
  /// `e` != 0 as an i1.
  mlir::Value condition(mlir::OpBuilder &builder, mlir::Location loc, const Extent &e);
  mlir::OpFoldResult ofr(mlir::OpBuilder &builder, mlir::Location loc, const Extent &e);
  std::string str(const Extent &e) const;
  /// True if the extent is computed from dim symbols only.
  bool fromSymbols(const Extent &e) const;

private:
  enum class Kind { Symbol, Opaque, FloorDiv, Max, Min, Equal, Less };
  struct Atom {
    Kind kind;
    std::string name;
    Extent a, b;
    mlir::Value tensor;
    int64_t axis, low, high;
    unsigned depth;
    bool fromSymbols;
  };

  Extent intern(Kind kind, const Extent &a, const Extent &b, int64_t low, int64_t high);
  std::pair<int64_t, int64_t> bounds(const Extent &e) const;
  unsigned depth(const Extent &e) const;
  using ValueMap = std::map<Extent, mlir::Value>;
  mlir::Value build(mlir::OpBuilder &builder, mlir::Location loc, const Extent &e, ValueMap &known);
  mlir::Value buildAtom(mlir::OpBuilder &builder, mlir::Location loc, unsigned id);
  std::string strAtom(unsigned id) const;

  mlir::Operation *headerEnd;
  std::vector<Atom> atoms;
  std::map<std::string, unsigned> symbols;
  std::set<Extent> assumedZero;
  std::map<std::tuple<Kind, Extent, Extent>, unsigned> interned;
  ValueMap values;
  std::map<mlir::Block *, ValueMap> local;
};

} // namespace attune::onnx
#endif
