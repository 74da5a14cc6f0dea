//===- Plan.h - Where the values of a region are computed -------------------------------------===//
//
// The schedule of a Halide kernel, decided on the MLIR side by rule. Every axis of a result is one
// of
//
//   outer    every stored value has it: blocks of it run in parallel and share nothing;
//   stencil  an outer axis of which a block also reads neighbours (a halo is computed twice);
//   mixing   some value needs all of it at once (heads that mix, rows that are normalised): inner;
//   vector   the last axis: lanes.
//
// A value is computed where it is used (inline), once per block of its root (stored), or as a whole
// before (a root of its own). Sums keep their partial results in a register tile of the value that
// hosts them.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_PLAN_H
#define ATTUNE_CODEGEN_HALIDE_PLAN_H

#include "attune/codegen/halide/Region.h"
#include "llvm/ADT/MapVector.h"

namespace attune::codegen::halide {

enum class Place { Inline, Stored, Root };

/// How a reduction runs: in register tiles along the result's last axis, in lanes along the reduced
/// axis, or one element after the other.
enum class Reduction { None, Tile, Row, Serial };

struct Stage {
  Place place = Place::Inline;
  Reduction reduction = Reduction::None;
  /// Tile: the stored value in whose loops the sums live, its axis that shares the vector operand
  /// (-1: none), and the extents of the tile.
  mlir::Value host;
  int64_t rowAxis = -1, rows = 1, vectors = 1;
  bool exact = true; ///< of a host: its tiles end where its axes end
  bool wide = true;  ///< on a device: the columns of a tile can be a vector
  /// Row: the reduction loop that runs along the lanes.
  int64_t laneLoop = -1;
  int64_t lanes = 1; ///< of a vector of this value
  mlir::Value root;  ///< in whose blocks it is computed; itself for roots
};

struct Root {
  llvm::SmallVector<int64_t> outer; ///< axes in parallel, the last in blocks
  int64_t block = 1;
};

struct Plan {
  llvm::MapVector<mlir::Value, Stage> stages; ///< every tensor that an operator makes
  llvm::MapVector<mlir::Value, Root> roots;   ///< in an order in which they can be computed
  /// Tiles may end beyond an axis: reads of inputs stay inside by clamping.
  bool clampsInputs = false;
  /// Roots are launches on a device (DevicePlan.h).
  bool onDevice = false;

  /// Whether the operators of the region share blocks, but for tables of weights: less than that is
  /// no gain over a kernel each.
  bool isFused() const;
};

/// A plan, or why the region cannot be translated.
llvm::Expected<Plan> makePlan(const Region &region, const CpuTarget &target);

} // namespace attune::codegen::halide
#endif
