//===- Machine.h - The numbers of a machine that the cost model stands on ---------------------===//
//
// Rates of one core by class of operation, sizes and bandwidths of the cache levels, the time to
// start a kernel, and the residuals of measured kernels. `attune calibrate` measures them and keeps
// one file per CPU; machines that were not calibrated count as typical servers.
//
//   Machine machine = Machine::of(target, threads);   // the calibration of this CPU, if there is
//   one MachineOracle oracle(machine);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_MACHINE_H
#define ATTUNE_CODEGEN_COST_MACHINE_H

#include "attune/codegen/cost/Residual.h"
#include "attune/codegen/cpu/Target.h"
#include "attune/dialect/Work.h"

#include <array>
#include <map>

namespace attune::codegen {

/// Parts that the time of a kernel is the weighted sum of (`MachineOracle::parts`).
inline constexpr unsigned kTimeParts = 14;

struct Machine {
  struct Level {
    std::string name;              ///< L1, L2, L3, DRAM
    double bytes;                  ///< capacity; of one core for L1 and L2
    std::vector<double> bandwidth; ///< bytes per second by 1, 2, ... threads
  };
  std::string cpu;        ///< LLVM's name
  int64_t vectorBits = 0; ///< that kernels use
  unsigned threads = 1;   ///< measured
  std::string version;    ///< of the compiler
  std::string source;     ///< the file, "" for a typical machine
  /// Operations of 32 bits per second and core, by WorkTerm::Class.
  std::array<double, WorkTerm::kClasses> rate{};
  std::vector<Level> levels;  ///< L1, L2, L3, DRAM
  std::vector<double> launch; ///< seconds to start a kernel by 1, 2, ... threads
  /// Seconds of the calibration's reference products by threads
  /// (tools/attune/calibrate/Reference.h): how fast the machine was. Empty: not known.
  std::map<unsigned, double> reference;
  /// How much each part of a kernel's time counts, by emitter; where there is none, the roofline
  /// and the start do.
  std::map<std::string, std::vector<double>> shares;
  std::map<std::string, Residual> residuals; ///< by emitter

  bool isCalibrated() const { return !source.empty(); }
  double bandwidth(unsigned level, unsigned threads) const;
  double launchSeconds(unsigned threads) const;

  /// A server core of this instruction set.
  static Machine typical(const CpuTarget &target);
  /// The calibration that fits the target, or a typical machine: the file that ATTUNE_CALIBRATION
  /// names (`none`: none), else that of `defaultPath`. An error if a file that is named explicitly
  /// cannot be used.
  static llvm::Expected<Machine> of(const CpuTarget &target);
  /// Where `attune calibrate` keeps what it measured for this target; "" without a home folder.
  static std::string defaultPath(const CpuTarget &target);

  static llvm::Expected<Machine> read(llvm::StringRef path);
  static llvm::Expected<Machine> fromJson(const llvm::json::Value &json);
  llvm::json::Value toJson() const;
};

} // namespace attune::codegen
#endif
