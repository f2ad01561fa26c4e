// Counter-based random numbers: the value at (seed, stream, step, i) is a pure function of the four, so any thread can
// make any part of a sequence and a run can be resumed anywhere.
//
// Philox 4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
#pragma once

#include <cstdint>

namespace tenfold {

struct Philox {
  std::uint64_t seed;    // the user's seed
  std::uint32_t stream;  // who draws (one number per node of a graph)
  std::uint64_t step;    // how often it has drawn before

  // Four independent 32-bit words for block `block` (32 bits of it are used).
  void block(std::uint64_t block_index, std::uint32_t out[4]) const {
    std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
    std::uint32_t c0 = static_cast<std::uint32_t>(block_index);
    std::uint32_t c1 = stream;
    std::uint32_t c2 = static_cast<std::uint32_t>(step), c3 = static_cast<std::uint32_t>(step >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c0, p1 = std::uint64_t{0xCD9E8D57} * c2;
      const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
      const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c1 = static_cast<std::uint32_t>(p1);
      c3 = static_cast<std::uint32_t>(p0);
      c0 = n0;
      c2 = n2;
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
  }

  // Word i of the sequence, uniform on [0, 1) with 24 bits.
  static float uniform(std::uint32_t word) { return static_cast<float>(word >> 8) * (1.0f / 16777216.0f); }
};

}  // namespace tenfold
