// A line of the caches, in which memory comes. On a processor with other ones everything is a little slower, not wrong.
#pragma once

#include <stddef.h>

namespace tenfold {

constexpr ptrdiff_t kLineBytes = 64;
template <class T>
constexpr ptrdiff_t kLine = kLineBytes / static_cast<ptrdiff_t>(sizeof(T));  // elements

}  // namespace tenfold
