//===- Networks.h - The models that calibration measures --------------------------------------===//
//
// Small networks whose kernels cover what models are made of: products with epilogues, softmax and
// linear attention, norms, elementwise chains, convolutions, gathers, at several widths; their
// batch and sequence length are free, so that one compilation serves many sizes. Weights are
// random.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_CALIBRATE_NETWORKS_H
#define ATTUNE_TOOLS_ATTUNE_CALIBRATE_NETWORKS_H

#include <cstdint>
#include <string>
#include <vector>

namespace attune::tools {

struct Network {
  struct Size {
    int64_t batch, length; ///< values of its symbols `batch` and `seq`
  };
  std::string name;
  std::string model;       ///< a serialised ONNX model
  std::vector<Size> sizes; ///< empty: it has no symbols
  /// `--backend` of each measurement: both, where the compiler chooses between them.
  std::vector<std::string> backends{"auto"};
  /// Its integer inputs are numbers of rows of tables that have as many rows.
  static constexpr int64_t kRows = 1000;
};

/// The most telling ones first.
std::vector<Network> calibrationNetworks();

/// One operator again and again, `times`: (m, d) elements, no constants.
enum class ChainOp { Multiply, Add, Exp };
Network chain(ChainOp op, int64_t times, int64_t m, int64_t d);
/// `times` products of `size` x `size` matrices with constants, one after the other.
Network products(int64_t times, int64_t rows, int64_t size);
/// Sums of distances between m and n vectors of k elements.
Network distances(int64_t m, int64_t n, int64_t k);

} // namespace attune::tools
#endif
