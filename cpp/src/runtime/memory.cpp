#include "tenfold/memory.h"

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

}  // namespace tenfold
