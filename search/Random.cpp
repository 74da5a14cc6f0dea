#include "attune/search/Random.h"

#include <cmath>

namespace attune::search {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t{0xD2511F53} * c[0], p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return c;
}

Rng::Rng(uint64_t seed, uint64_t candidate, Stage stage)
    : key{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
      counter{0, static_cast<uint32_t>(stage), static_cast<uint32_t>(candidate),
              static_cast<uint32_t>(candidate >> 32)},
      block{} {}

uint32_t Rng::next() {
  if (used == 4) {
    block = philox(counter, key);
    ++counter[0];
    used = 0;
  }
  return block[used++];
}

uint32_t Rng::below(uint32_t n) {
  // Lemire's method: the high half of a product, rejecting what would make some values likelier.
  uint64_t product = uint64_t{next()} * n;
  if (static_cast<uint32_t>(product) < n)
    for (uint32_t threshold = -n % n; static_cast<uint32_t>(product) < threshold;)
      product = uint64_t{next()} * n;
  return product >> 32;
}

double Rng::uniform() {
  uint64_t high = next() >> 5, low = next() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

double Rng::normal() {
  double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(6.283185307179586 * uniform());
}

} // namespace attune::search
