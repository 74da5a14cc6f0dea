//===- GemmTables.h - Sums of shifted integers ------------------------------------------------===//
//
// A term s (x >> q) takes a shift by a count per lane, a sign and an addition. Here it takes a
// look-up and an addition: what an x can give for each of the 16 or 32 fields of a code is computed
// once per row tile, and a code chooses from it by a permutation of one or two registers. The table
// also settles how terms round, shifts to the left and zeros.
//
// With 16 lanes a table has an entry for every field of 4 or 5 bits; with 8, or for 6 bits, for
// every magnitude, and the sign is applied to what was looked up. For sums in i64 there are two
// tables, of the low and the high half of the terms: both are summed in i32, and joined at the end.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_GEMMTABLES_H
#define ATTUNE_CODEGEN_CPU_GEMMTABLES_H

#include "attune/codegen/cpu/GemmCodes.h"

namespace attune::codegen {

/// Whether codes of so many bits choose from tables in registers of the target. For sums in i64
/// only if they hold signs: the negative of the smallest i32 must wrap before it is split.
bool hasTables(const CpuTarget &target, int64_t bits, bool wide);
/// Entries for one x.
int64_t tableEntries(const CpuTarget &target, int64_t bits);

/// Tables of i32. Arguments: x (i32), destination, how many. `wide`: two for each x.
mlir::func::FuncOp gemmTables(KernelBuilder &kb, mlir::ModuleOp module, const ShiftCodes &codes,
                              bool wide);
/// So many halves have sums that fit.
constexpr int64_t kWideDepth = 65535;
/// The i64 sums of sums of both halves.
mlir::Value joinHalves(KernelBuilder &kb, mlir::Value low, mlir::Value high);

/// The vectors of one table in memory.
Values loadTable(KernelBuilder &kb, int64_t bits, mlir::Value base, mlir::Value number);
/// Terms for fields, which are the low bits of a vector of i32.
mlir::Value lookUp(KernelBuilder &kb, int64_t bits, llvm::ArrayRef<mlir::Value> table,
                   mlir::Value fields);

} // namespace attune::codegen
#endif
