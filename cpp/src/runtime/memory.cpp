#include "tenfold/memory.h"

#include <new>

namespace tenfold {

Buffer::Buffer(std::size_t bytes)
    : data_(static_cast<std::byte*>(::operator new(align_up(bytes + 1), std::align_val_t{kAlignment}))),
      bytes_(bytes) {}

void Buffer::Free::operator()(std::byte* data) const {
  ::operator delete(data, std::align_val_t{kAlignment});
}

}  // namespace tenfold
