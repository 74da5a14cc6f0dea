//===- LinearChunks.h - Causal sums that are computed chunk by chunk --------------------------===//
//
// Joins a sum of products over the keys of the query's chunk and over earlier chunks to one product
// over all keys. Every term is expanded over one key j and one feature f, where the key at place u
// of a chunk c' is j = c' T + u; what is left besides the data are numbers of the two positions,
// and these must add up, for every pair of places and any distance of chunks, to a law of i - j
// that is 0 for j > i.
//
//   ChunkJoin chunks(sizes, elements, products, i, 64);
//   chunks.join(scalar);         // q(i,f) k(j,f) v(j,e) where j <= i, sum over j, f
//
// Used by the raise of linear attention only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_LINEARCHUNKS_H
#define ATTUNE_PASSES_RAISE_LINEARCHUNKS_H

#include "attune/passes/raise/ChunkNumbers.h"
#include "attune/passes/raise/LinearProduct.h"

namespace attune {

/// The largest constant by which a scalar divides an index; 0 if there is none.
int64_t chunkLength(mlir::Value scalar, mlir::Value index);

class ChunkJoin {
public:
  /// `row` is a free index whose extent is a multiple of `length`.
  ChunkJoin(Sizes &sizes, Elements &elements, Products &products, mlir::Value row, int64_t length);

  /// The scalar as one product over a key and a feature, or nullopt. Keys, and features of the same
  /// number, have the same index for all scalars.
  std::optional<Product> join(mlir::Value scalar);
  /// The group with its query or key index as chunk and place.
  llvm::SmallVector<mlir::Value> inChunks(llvm::ArrayRef<mlir::Value> group);
  /// The extent of a free index, a chunk or a place.
  mlir::AffineExpr extentOf(mlir::Value index);
  /// Why sums that were expanded do not join; empty if they were not.
  std::string reason;

private:
  using Value = mlir::Value;
  struct Term {
    Product product;
    Value feature;
    /// Whether the sums over places and over chunks are expanded.
    bool place = false, chunk = false;
    /// Factors that depend on positions alone; the others stay in the product.
    llvm::SmallVector<Value> numbers;
  };
  using Terms = llvm::SmallVector<Term, 1>;

  bool expand(Terms open, Terms done);
  bool expandSum(const Term &term, unsigned position, const Terms &open, const Terms &done);
  std::optional<unsigned> unfinished(const Term &term);
  std::optional<Term> withoutZeros(const Term &term, unsigned position);
  bool settle(Term &term);
  bool isNumber(Value scalar);
  bool depends(Value scalar, Value index, llvm::ArrayRef<Value> except);
  bool isDatum(Value scalar, Value index, Value chunk, Value place);
  Value inOneChunk(Value scalar);
  Value featureOf(mlir::AffineExpr extent);

  bool findLaw(const Terms &terms);
  std::optional<Powers> weight(const Terms &terms, ChunkOrder order, int64_t rowAt,
                               int64_t columnAt);
  std::optional<Powers> numberAt(Value scalar, ChunkOrder order, int64_t rowAt, int64_t columnAt);

  Sizes &sizes;
  Elements &elements;
  Products &products;
  int64_t length;
  Value row, column, rowChunk, rowPlace, columnChunk, columnPlace;
  ChunkNumbers numbers;
  llvm::SmallVector<Value> features;
  unsigned steps = 0;
  std::optional<Product> joined;
  llvm::DenseMap<std::pair<Value, std::pair<int64_t, int64_t>>, std::optional<Powers>> known[3];
};

} // namespace attune
#endif
