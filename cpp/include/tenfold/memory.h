// Aligned, uninitialised memory that frees itself.
#pragma once

#include <cstddef>
#include <memory>

namespace tenfold {

constexpr std::size_t kAlignment = 64;  // one cache line, one AVX-512 vector

constexpr std::size_t align_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

namespace detail {
struct FreeAligned {
  std::size_t alignment = kAlignment;
  void operator()(std::byte* data) const;
};
}  // namespace detail

// A block of `bytes` aligned to kAlignment; throws std::bad_alloc when there is no memory.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes);

  std::byte* data() const { return data_.get(); }
  std::size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  std::unique_ptr<std::byte, detail::FreeAligned> data_;
  std::size_t bytes_ = 0;
};

// Copies memory that does not overlap, as fast wherever it lies (std::memcpy is not).
void copy_bytes(void* to, const void* from, std::size_t bytes) noexcept;
template <class T>
void copy_elements(const T* from, std::ptrdiff_t n, T* to) noexcept {
  copy_bytes(to, from, static_cast<std::size_t>(n) * sizeof(T));
}

}  // namespace tenfold
