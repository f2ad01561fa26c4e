#include "tenfold/memory.h"

#include <cstdint>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace tenfold {
namespace {

// Large memory lies in large pages where the system has some: the first touch of each page goes through the system, and
// the processor keeps few addresses of pages.
constexpr std::size_t kLargePage = 2 * 1024 * 1024, kLarge = 2 * kLargePage;

std::size_t alignment_of(std::size_t bytes) {
  return bytes >= kLarge ? kLargePage : kAlignment;
}

}  // namespace

Buffer::Buffer(std::size_t bytes)
    : data_(
          static_cast<std::byte*>(::operator new(align_up(bytes + 1), std::align_val_t{alignment_of(bytes)})),
          detail::FreeAligned{alignment_of(bytes)}),
      bytes_(bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes >= kLarge)
    static_cast<void>(madvise(data_.get(), bytes / kLargePage * kLargePage, MADV_HUGEPAGE));
#endif
}

void detail::FreeAligned::operator()(std::byte* data) const {
  ::operator delete(data, std::align_val_t{alignment});
}

void copy_bytes(void* to, const void* from, std::size_t bytes) noexcept {
  // The C library copies from some KB on by one instruction, which AMD's processors take 20 times as long for where the
  // target lies a few bytes behind the source, whole pages aside.
  constexpr std::size_t kShort = 2048, kPage = 4096;
  const std::size_t behind =
      (reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from)) % kPage;
  if (bytes < kShort || behind == 0 || behind >= kAlignment) {
    std::memcpy(to, from, bytes);
    return;
  }
  auto* target = static_cast<std::byte*>(to);
  const auto* source = static_cast<const std::byte*>(from);
  std::size_t i = 0;
  for (std::byte chunk[64]; i + sizeof chunk <= bytes; i += sizeof chunk) {
    std::memcpy(chunk, source + i, sizeof chunk);
    std::memcpy(target + i, chunk, sizeof chunk);
  }
  std::memcpy(target + i, source + i, bytes - i);
}

}  // namespace tenfold
