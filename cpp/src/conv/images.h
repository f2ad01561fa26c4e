// How the images of a batch are shared out where each is a product of its own.
#pragma once

#include <algorithm>
#include <cstddef>

#include "tenfold/memory.h"
#include "tenfold/parallel.h"

namespace tenfold {

// Room for for_images, where an image takes so much with all threads and with one.
inline std::size_t images_workspace(std::size_t together, std::size_t alone, int threads) {
  return std::max(together, static_cast<std::size_t>(threads) * align_up(alone));
}

// Whether members that take whole images have about as many each: one is an eighth more at most.
inline bool even_shares(index images, index members) {
  return images % members == 0 || images >= 8 * members;
}

// body(members, n, workspace) for every image: whole images to every member where they give even shares, else each image
// to all of them. `multiply_adds` of an image; `alone`: bytes that it takes on one thread.
template <class Body>
void for_images(const Team& team, index images, double multiply_adds, std::size_t alone, std::byte* workspace,
                Body&& body) {
  constexpr double kSmallImage = 3e7;  // multiply-adds that are hardly worth cutting
  if (multiply_adds < kSmallImage && even_shares(images, team.size())) {
    std::byte* const own = workspace + static_cast<std::size_t>(team.rank()) * align_up(alone);
    team.for_each(images, [&](index n) { body(Team::alone(), n, own); });
  } else {
    for (index n = 0; n < images; ++n) body(team, n, workspace);
  }
}

}  // namespace tenfold
