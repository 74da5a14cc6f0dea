//===- Random.h - Counter-based random numbers ------------------------------------------------===//
//
// Every random decision of a search draws from a stream that is named by (seed of the study, id of
// the candidate, stage), never from a shared generator: what is drawn for a candidate does not
// depend on how many workers run or in which order they finish.
//
// Philox 4x32 with 10 rounds: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_RANDOM_H
#define ATTUNE_SEARCH_RANDOM_H

#include <array>
#include <cstdint>

namespace attune::search {

/// What a stream of one candidate is for.
enum class Stage : uint32_t { Propose, Model, Seed, Table };

class Rng {
public:
  Rng(uint64_t seed, uint64_t candidate, Stage stage);

  uint32_t next();
  /// Uniform in [0, n), without bias; n > 0.
  uint32_t below(uint32_t n);
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Standard normal.
  double normal();

private:
  std::array<uint32_t, 2> key;
  std::array<uint32_t, 4> counter, block;
  unsigned used = 4;
};

/// One block of Philox 4x32-10.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

} // namespace attune::search
#endif
