#include "kernels/random.h"

#include "kernels/vec.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

typedef uint32_t Words __attribute__((vector_size(TENFOLD_VECTOR_BYTES), may_alias));
typedef uint64_t Wide __attribute__((vector_size(TENFOLD_VECTOR_BYTES), may_alias));
constexpr int kWords = TENFOLD_VECTOR_BYTES / 4;

// The 64-bit products of the even words.
TENFOLD_INLINE Wide multiply_even(Words a, Words b) {
#if defined(TENFOLD_ISA_avx512)
  return (Wide)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
#elif defined(TENFOLD_ISA_avx2)
  return (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return ((Wide)a & 0xffffffffu) * ((Wide)b & 0xffffffffu);
#endif
}

// a * b as high and low words.
struct Product {
  Words high, low;
};
TENFOLD_INLINE Product multiply(Words a, Words b) {
  const Wide even = multiply_even(a, b), odd = multiply_even((Words)((Wide)a >> 32), b);
  const Wide upper = Wide{} + 0xffffffff00000000u;
  return {(Words)((even >> 32) | (odd & upper)), (Words)((even & ~upper) | (odd << 32))};
}

// The words of one group, in the order of its elements.
TENFOLD_INLINE void draw(uint64_t group, const PhiloxKey& key, uint32_t* words) {
  Words number = {};
  for (int i = 0; i < kWords; ++i) number[i] = (uint32_t)i;
  for (int block = 0; block < 16; block += kWords) {
    Words c0 = number + ((uint32_t)group * 16u + (uint32_t)block), c1 = Words{} + key.stream,
          c2 = Words{} + (uint32_t)key.step, c3 = Words{} + (uint32_t)(key.step >> 32);
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const Product p0 = multiply(c0, Words{} + 0xD2511F53u), p1 = multiply(c2, Words{} + 0xCD9E8D57u);
      c0 = p1.high ^ c1 ^ k0;
      c2 = p0.high ^ c3 ^ k1;
      c1 = p1.low;
      c3 = p0.low;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    __builtin_memcpy(words + block, &c0, sizeof c0);
    __builtin_memcpy(words + 16 + block, &c1, sizeof c1);
    __builtin_memcpy(words + 32 + block, &c2, sizeof c2);
    __builtin_memcpy(words + 48 + block, &c3, sizeof c3);
  }
}

template <class T>
void dropout(index n, uint64_t first_group, const PhiloxKey& key, uint32_t threshold, T scale, const T* x,
             T* y) {
  uint32_t words[kRandomGroup];
  for (index begin = 0; begin < n; begin += kRandomGroup, ++first_group) {
    draw(first_group, key, words);
    const index count = n - begin < kRandomGroup ? n - begin : kRandomGroup;
    for (index i = 0; i < count; ++i) {
      const T kept = scale * x[begin + i];
      y[begin + i] = words[i] >= threshold ? kept : T(0);
    }
  }
}

template <class T>
constexpr RandomKernels<T> make_table() {
  return {dropout<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(RandomKernels, make_table)
