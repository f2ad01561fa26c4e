#include "kernels/past.h"

#include <algorithm>
#include <cstring>

#include "tenfold/cpu.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tenfold {

#if defined(__SSE2__)

bool passes_caches(size_t bytes) noexcept {
  return bytes >= cache_bytes();
}

void write_past(void* to, const void* from, ptrdiff_t bytes) noexcept {
  auto* target = static_cast<char*>(to);
  auto* source = static_cast<const char*>(from);
  const auto beyond = static_cast<ptrdiff_t>(reinterpret_cast<uintptr_t>(to) % kLineBytes);
  const ptrdiff_t head = std::min(bytes, beyond == 0 ? 0 : kLineBytes - beyond);
  if (head > 0) std::memcpy(target, source, static_cast<size_t>(head));
  ptrdiff_t i = head;
  for (; i + kLineBytes <= bytes; i += kLineBytes) {
    for (ptrdiff_t k = 0; k < kLineBytes; k += 16) {
      _mm_stream_si128(reinterpret_cast<__m128i*>(target + i + k),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i + k)));
    }
  }
  if (i < bytes) std::memcpy(target + i, source + i, static_cast<size_t>(bytes - i));
}

#else

bool passes_caches(size_t) noexcept {
  return false;
}

void write_past(void* to, const void* from, ptrdiff_t bytes) noexcept {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

#endif

}  // namespace tenfold
