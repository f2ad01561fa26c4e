#include "kernels/lanes_sparse.h"

#include "kernels/lanes_common.h"
#include "kernels/line.h"
#include "kernels/shuffle.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// What is loaded, multiplied and stored at once: 8 elements, or as many as a vector holds.
template <class T>
constexpr index kPart = kLanes<T> < kRunPart ? kLanes<T> : kRunPart;
template <class T>
using PartVec = Vec<T, kPart<T>>;

// Parts of a run whose r rows stay in registers.
template <int r>
constexpr int kParts = kManyRegisters ? (r == 3 ? 6 : 5) : (r == 3 ? 4 : 3);

// Parts of a run in the input gradient of its own, whose rows need not all stay there.
constexpr int kInputParts = 5;

// A pixel's gradient, and where its looks begin in the rows of its group of samples.
template <class T>
struct Entry {
  T value;
  int32_t place;
};

// The pixels with a gradient of one filter, some rows of windows and a group of samples.
template <class T>
struct List {
  index count;
  const Entry<T>* entries;
};

// dw[i][..] += sum of value * x[place + i * row + ..]
template <class T, int r, int Parts>
TENFOLD_INLINE void add_weight(const SampleRows& rows, const List<T>& list, const T* x, T* dw) {
  PartVec<T> acc[r][Parts];
  const T* look[r];
  TENFOLD_UNROLL
  for (int i = 0; i < r; ++i) {
    look[i] = x + i * rows.row;
    TENFOLD_UNROLL
    for (int j = 0; j < Parts; ++j) acc[i][j] = load<T, kPart<T>>(dw + i * rows.run + j * kPart<T>);
  }
  index e = 0;
  if constexpr (r * Parts < 8) {  // two sums at a time, for the latency of a multiply-add
    PartVec<T> odd[r][Parts] = {};
    for (; e + 2 <= list.count; e += 2) {
      const Entry<T>* const at = list.entries + e;
      const index place = at[0].place, next = at[1].place;
      const PartVec<T> g = splat<T, kPart<T>>(at[0].value), h = splat<T, kPart<T>>(at[1].value);
      TENFOLD_UNROLL
      for (int i = 0; i < r; ++i) {
        TENFOLD_UNROLL
        for (int j = 0; j < Parts; ++j) {
          acc[i][j] += g * load<T, kPart<T>>(look[i] + place + j * kPart<T>);
          odd[i][j] += h * load<T, kPart<T>>(look[i] + next + j * kPart<T>);
        }
      }
    }
    TENFOLD_UNROLL
    for (int i = 0; i < r; ++i) {
      TENFOLD_UNROLL
      for (int j = 0; j < Parts; ++j) acc[i][j] += odd[i][j];
    }
  }
  TENFOLD_UNROLL_SUM
  for (; e < list.count; ++e) {
    const index place = list.entries[e].place;
    const PartVec<T> g = splat<T, kPart<T>>(list.entries[e].value);
    TENFOLD_UNROLL
    for (int i = 0; i < r; ++i) {
      TENFOLD_UNROLL
      for (int j = 0; j < Parts; ++j) acc[i][j] += g * load<T, kPart<T>>(look[i] + place + j * kPart<T>);
    }
  }
  TENFOLD_UNROLL
  for (int i = 0; i < r; ++i) {
    TENFOLD_UNROLL
    for (int j = 0; j < Parts; ++j) store<T, kPart<T>>(dw + i * rows.run + j * kPart<T>, acc[i][j]);
  }
}

// dx[place + i * row + ..] += value * w[i][..]
template <class T, int r, int Parts>
TENFOLD_INLINE void add_input(const SampleRows& rows, const List<T>& list, const T* w, T* dx) {
  constexpr int kFit = 12 / Parts, kKept = kFit < r ? kFit : r;  // rows of weights in registers
  const index pitch = rows.row;                                  // a copy: no store can change it
  PartVec<T> weight[r][Parts];
  const T* weights[r];
  TENFOLD_UNROLL
  for (int i = 0; i < r; ++i) {
    weights[i] = w + i * rows.run;
    TENFOLD_UNROLL
    for (int j = 0; i < kKept && j < Parts; ++j) weight[i][j] = load<T, kPart<T>>(weights[i] + j * kPart<T>);
  }
  for (index e = 0; e < list.count; ++e) {
    T* into = dx + list.entries[e].place;
    const PartVec<T> g = splat<T, kPart<T>>(list.entries[e].value);
    TENFOLD_UNROLL
    for (int i = 0; i < r; ++i, into += pitch) {
      TENFOLD_UNROLL
      for (int j = 0; j < Parts; ++j) {
        const PartVec<T> factor = i < kKept ? weight[i][j] : load<T, kPart<T>>(weights[i] + j * kPart<T>);
        store<T, kPart<T>>(into + j * kPart<T>, load<T, kPart<T>>(into + j * kPart<T>) + g * factor);
      }
    }
  }
}

// Both for some rows of a window: one is bound by loads, the other by stores. It takes many registers.
template <class T, int Rows, int Parts>
TENFOLD_INLINE void add_both(const SampleRows& rows, const List<T>& list, const T* x, T* dw, const T* w,
                             T* dx) {
  const index pitch = rows.row, run = rows.run;
  PartVec<T> acc[Rows][Parts], weight[Rows][Parts];
  TENFOLD_UNROLL
  for (int i = 0; i < Rows; ++i) {
    TENFOLD_UNROLL
    for (int j = 0; j < Parts; ++j) {
      acc[i][j] = load<T, kPart<T>>(dw + i * run + j * kPart<T>);
      weight[i][j] = load<T, kPart<T>>(w + i * run + j * kPart<T>);
    }
  }
  const Entry<T>* entry = list.entries;
  for (const Entry<T>* const end = entry + list.count; entry != end; ++entry) {
    const T* look = x + entry->place;
    T* into = dx + entry->place;
    const PartVec<T> g = splat<T, kPart<T>>(entry->value);
    TENFOLD_UNROLL
    for (int i = 0; i < Rows; ++i, look += pitch, into += pitch) {
      TENFOLD_OPAQUE(into);
      TENFOLD_UNROLL
      for (int j = 0; j < Parts; ++j) {
        store<T, kPart<T>>(into + j * kPart<T>, load<T, kPart<T>>(into + j * kPart<T>) + g * weight[i][j]);
        acc[i][j] += g * load<T, kPart<T>>(look + j * kPart<T>);
      }
    }
  }
  TENFOLD_UNROLL
  for (int i = 0; i < Rows; ++i) {
    TENFOLD_UNROLL
    for (int j = 0; j < Parts; ++j) store<T, kPart<T>>(dw + i * run + j * kPart<T>, acc[i][j]);
  }
}
// Rows of both that stay in registers.
template <int r, int Parts>
constexpr int kBothRows = 15 / Parts < r ? 15 / Parts : r;

constexpr int kGroup = kListedSamples, kGroups = kBlock / kGroup;

// Where the lists of a strip lie: those of a group of samples one filter after the other.
template <class T>
struct Lists {
  Entry<T>* entries;
  int32_t* counts;
  index capacity, filters;

  index number(index group, index f) const { return group * filters + f; }
  List<T> of(index group, index f) const {
    const index list = number(group, f);
    return {counts[list], entries + list * capacity};
  }
};

#if defined(TENFOLD_ISA_avx512) || defined(TENFOLD_ISA_avx2)
// The entries of four whose bit is set, from the left, as halves of them.
#define TENFOLD_HALVES(a, b, c, d) {2 * a, 2 * a + 1, 2 * b, 2 * b + 1, 2 * c, 2 * c + 1, 2 * d, 2 * d + 1}
alignas(32) constexpr int32_t kPicked[16][8] = {
    TENFOLD_HALVES(0, 0, 0, 0), TENFOLD_HALVES(0, 0, 0, 0), TENFOLD_HALVES(1, 0, 0, 0),
    TENFOLD_HALVES(0, 1, 0, 0), TENFOLD_HALVES(2, 0, 0, 0), TENFOLD_HALVES(0, 2, 0, 0),
    TENFOLD_HALVES(1, 2, 0, 0), TENFOLD_HALVES(0, 1, 2, 0), TENFOLD_HALVES(3, 0, 0, 0),
    TENFOLD_HALVES(0, 3, 0, 0), TENFOLD_HALVES(1, 3, 0, 0), TENFOLD_HALVES(0, 1, 3, 0),
    TENFOLD_HALVES(2, 3, 0, 0), TENFOLD_HALVES(0, 2, 3, 0), TENFOLD_HALVES(1, 2, 3, 0),
    TENFOLD_HALVES(0, 1, 2, 3)};
#undef TENFOLD_HALVES
#endif

// Lists the pixels of filter f that have a gradient, window by window, and adds their gradients to sums.
template <class T>
TENFOLD_INLINE void list_pixels(const LaneSparse<T>& a, index f, index first, index end,
                                const Lists<T>& lists) {
  const T* const d = a.d + f * a.d_plane;
  const unsigned char* const codes = a.codes + f * a.code_plane;
  const int32_t* const pixel = a.pixel;
  const index windows_w = a.windows_w, d_row = a.d_row, sample = a.rows.sample;
  Entry<T>* next[kGroups];
  const auto begin_of = [&](int g) { return lists.entries + lists.number(g, f) * lists.capacity; };
  TENFOLD_UNROLL
  for (int g = 0; g < kGroups; ++g) next[g] = begin_of(g);
  Vec<T> sum[kBlock / kLanes<T>] = {};
#if defined(TENFOLD_ISA_avx512) || defined(TENFOLD_ISA_avx2)
  // Lists those of four entries whose bit is set.
  const auto put = [&](int group, unsigned open, __m256 entries) __attribute__((always_inline)) {
    const __m256i picked = _mm256_load_si256(reinterpret_cast<const __m256i*>(kPicked[open]));
    _mm256_storeu_ps(reinterpret_cast<float*>(next[group]), _mm256_permutevar8x32_ps(entries, picked));
    next[group] += __builtin_popcount(open);
  };
#endif
#if defined(TENFOLD_ISA_avx512)
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i samples = _mm512_mullo_epi32(lane, _mm512_set1_epi32(static_cast<int>(sample)));
  const __m512i lower_groups = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
  const __m512i upper_groups = _mm512_add_epi64(lower_groups, _mm512_set1_epi64(4));
#elif defined(TENFOLD_ISA_avx2)
  const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0),
                pitch = _mm256_set1_epi32(static_cast<int>(sample));
  const __m256i lower = _mm256_mullo_epi32(lane, pitch);
  const __m256i samples[2] = {lower, _mm256_add_epi32(lower, _mm256_slli_epi32(pitch, 3))};
#endif
  for (index i = first; i < end; ++i) {
    for (index j = 0; j < windows_w; ++j) {
      const index window = i * windows_w + j;
      const T* const gradients = d + i * d_row + j * kBlock;
#if defined(TENFOLD_ISA_avx512)
      if constexpr (sizeof(T) == 4) {
        const __m512i code = (__m512i)load_codes<T>(codes + window * kBlock);
        const auto bits = static_cast<__mmask16>(~_mm512_movepi32_mask(code));
        const unsigned open = bits;
        const __m512 pixels =
            _mm512_broadcast_f32x4(_mm_loadu_ps(reinterpret_cast<const float*>(pixel + 4 * window)));
        const __m512i at = _mm512_add_epi32(samples, _mm512_castps_si512(_mm512_permutevar_ps(pixels, code)));
        const __m512 g = _mm512_loadu_ps(gradients);
        sum[0] = (Vec<T>)_mm512_mask_add_ps((__m512)sum[0], bits, (__m512)sum[0], g);
        // Entries of lanes 0, 1, 4, 5, .. and 2, 3, 6, 7, ..; then of two groups each.
        const __m512 p = _mm512_castsi512_ps(at);
        const __m512d low = _mm512_castps_pd(_mm512_unpacklo_ps(g, p)),
                      high = _mm512_castps_pd(_mm512_unpackhi_ps(g, p));
        const __m512 lower = _mm512_castpd_ps(_mm512_permutex2var_pd(low, lower_groups, high));
        const __m512 upper = _mm512_castpd_ps(_mm512_permutex2var_pd(low, upper_groups, high));
        put(0, open & 15, _mm512_castps512_ps256(lower));
        put(1, (open >> 4) & 15, _mm512_extractf32x8_ps(lower, 1));
        put(2, (open >> 8) & 15, _mm512_castps512_ps256(upper));
        put(3, open >> 12, _mm512_extractf32x8_ps(upper, 1));
        continue;
      }
#elif defined(TENFOLD_ISA_avx2)
      if constexpr (sizeof(T) == 4) {
        const __m256 pixels = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(pixel + 4 * window));
        TENFOLD_UNROLL
        for (int v = 0; v < 2; ++v) {
          const __m256i code = (__m256i)load_codes<T>(codes + window * kBlock + v * 8);
          const unsigned open = ~static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(code)));
          const __m256 at = _mm256_castsi256_ps(
              _mm256_add_epi32(samples[v], _mm256_castps_si256(_mm256_permutevar_ps(pixels, code))));
          const Vec<T> g = load(gradients + v * 8);
          sum[v] += select<T>((Mask<T>)code < Mask<T>{}, Vec<T>{}, g);
          const __m256 low = _mm256_unpacklo_ps((__m256)g, at), high = _mm256_unpackhi_ps((__m256)g, at);
          put(2 * v, open & 15, _mm256_permute2f128_ps(low, high, 0x20));
          put(2 * v + 1, (open >> 4) & 15, _mm256_permute2f128_ps(low, high, 0x31));
        }
        continue;
      }
#endif
      TENFOLD_UNROLL
      for (int v = 0; v < kBlock / kLanes<T>; ++v) {
        const Mask<T> shut = load_codes<T>(codes + window * kBlock + v * kLanes<T>) < Mask<T>{};
        sum[v] += select<T>(shut, Vec<T>{}, load(gradients + v * kLanes<T>));
      }
      for (int g = 0; g < kGroups; ++g) {
        for (int n = g * kGroup; n < (g + 1) * kGroup; ++n) {
          const auto code = static_cast<signed char>(codes[window * kBlock + n]);
          // Written either way: a branch would be guessed wrong too often.
          *next[g] = {gradients[n], pixel[4 * window + (code & 3)] + static_cast<int32_t>(n * sample)};
          next[g] += code >= 0;
        }
      }
    }
  }
  TENFOLD_UNROLL
  for (int g = 0; g < kGroups; ++g)
    lists.counts[lists.number(g, f)] = static_cast<int32_t>(next[g] - begin_of(g));
  if (a.sums == nullptr) return;
  TENFOLD_UNROLL
  for (int v = 0; v < kBlock / kLanes<T>; ++v) {
    T* const to = a.sums + f * kBlock + v * kLanes<T>;
    store(to, load(to) + sum[v]);
  }
}

// rows[n][e] <-- x[source[e]][n]
template <class T>
void to_rows(const LaneSparse<T>& a, T* rows) {
  constexpr index L = kLanes<T>;
  for (index lane = 0; lane < kBlock; lane += L) {
    for (index e = 0; e < a.rows.elements; e += L) {
      Vec<T> square[L];
      TENFOLD_UNROLL
      for (index k = 0; k < L; ++k) {
        const index from = e + k < a.rows.elements ? a.source[e + k] : kNoSource;
        square[k] = load(a.x + (from < 0 ? 0 : from) + lane);
      }
      transpose_lanes<T>(square);
      TENFOLD_UNROLL
      for (index n = 0; n < L; ++n) store(rows + (lane + n) * a.rows.sample + e, square[n]);
    }
  }
}

// dx[source[e]][n] <-- rows[n][e]
template <class T>
void from_rows(const LaneSparse<T>& a, const T* rows) {
  constexpr index L = kLanes<T>;
  for (index lane = 0; lane < kBlock; lane += L) {
    for (index e = 0; e < a.rows.elements; e += L) {
      Vec<T> square[L];
      TENFOLD_UNROLL
      for (index n = 0; n < L; ++n) square[n] = load(rows + (lane + n) * a.rows.sample + e);
      transpose_lanes<T>(square);
      TENFOLD_UNROLL
      for (index k = 0; k < L; ++k) {
        const index to = e + k < a.rows.elements ? a.source[e + k] : kNoSource;
        if (to >= 0) store(a.dx + to + lane, square[k]);
      }
    }
  }
}

// Asks for the lines of some memory, as many in each of so many turns: they come while the turns compute.
class Asking {
 public:
  Asking(const LaneAhead* pieces, index count, index turns) : piece_(pieces), end_(pieces + count) {
    for (const LaneAhead* p = piece_; p != end_; ++p) in_turn_ += (p->bytes + kLineBytes - 1) / kLineBytes;
    in_turn_ = (in_turn_ + turns - 1) / turns;
  }
  void take_turn() {
    for (index n = 0; n < in_turn_ && piece_ != end_; ++n) {
      __builtin_prefetch(piece_->begin + at_, 0, 2);
      at_ += kLineBytes;
      if (at_ >= piece_->bytes) at_ = 0, ++piece_;
    }
  }

 private:
  const LaneAhead *piece_, *end_;
  index at_ = 0, in_turn_ = 0;
};

template <class T, int r>
void backward(const LaneSparse<T>& a) {
  const index size = lane_sparse_rows(a.rows), run = a.rows.run;
  T* const x = a.scratch;
  T* const dx = x + size;  // if it is wanted
  Lists<T> lists{reinterpret_cast<Entry<T>*>(a.dx != nullptr ? dx + size : dx), nullptr,
                 lane_sparse_list(a.strip, a.windows_w), a.filters};
  lists.counts = reinterpret_cast<int32_t*>(lists.entries + kGroups * a.filters * lists.capacity);
  const bool both = kManyRegisters && a.dx != nullptr;
  Asking asking(a.ahead, a.ahead_count, (a.windows_h + a.strip - 1) / a.strip * kGroups * a.filters);
  to_rows<T>(a, x);
  if (a.dx != nullptr) {
    for (index e = 0; e < kBlock * a.rows.sample; e += kLanes<T>) store(dx + e, Vec<T>{});
  }
  for (index first = 0; first < a.windows_h; first += a.strip) {
    const index end = a.windows_h - first < a.strip ? a.windows_h : first + a.strip;
    for (index f = 0; f < a.filters; ++f) list_pixels<T>(a, f, first, end, lists);
    for (index g = 0; g < kGroups; ++g) {
      for (index f = 0; f < a.filters; ++f) {
        asking.take_turn();
        in_pieces<kParts<r>>(run / kPart<T>, [&](index j, auto parts) {
          const List<T> list = lists.of(g, f);
          T* const dw = a.dw + f * r * run + j * kPart<T>;
          if (!both) return add_weight<T, r, parts.value>(a.rows, list, x + j * kPart<T>, dw);
          if constexpr (kManyRegisters) {
            constexpr int kRows = kBothRows<r, parts.value>;
            const auto add = [&](index row, auto rows) __attribute__((always_inline)) {
              const index look = row * a.rows.row + j * kPart<T>;
              add_both<T, rows.value, parts.value>(a.rows, list, x + look, dw + row * run,
                                                   a.w + (f * r + row) * run + j * kPart<T>, dx + look);
            };
            add(0, Constant<kRows>{});
            if constexpr (kRows < r) add(kRows, Constant<r - kRows>{});
          }
        });
      }
      if constexpr (!kManyRegisters) {
        if (a.dx == nullptr) continue;
        for (index f = 0; f < a.filters; ++f) {
          in_pieces<kInputParts>(run / kPart<T>, [&](index j, auto parts) {
            add_input<T, r, parts.value>(a.rows, lists.of(g, f), a.w + f * r * run + j * kPart<T>,
                                         dx + j * kPart<T>);
          });
        }
      }
    }
  }
  if (a.dx != nullptr) from_rows<T>(a, dx);
}

template <class T, int r>
void pack(const SampleRows& rows, index filters, index channels, const T* w, T* packed) {
  for (index f = 0; f < filters; ++f, w += channels * r * r, packed += r * rows.run) {
    for (index i = 0; i < r * rows.run; ++i) packed[i] = 0;
    for (index c = 0; c < channels; ++c) {
      for (index kh = 0; kh < r; ++kh) {
        for (index kw = 0; kw < r; ++kw)
          packed[kh * rows.run + kw * rows.channels + c] = w[(c * r + kh) * r + kw];
      }
    }
  }
}

template <class T, int r>
void unpack(const SampleRows& rows, index filters, index channels, index parts, const T* packed, index pitch,
            T scale, T* dw) {
  for (index f = 0; f < filters; ++f, packed += r * rows.run) {
    for (index c = 0; c < channels; ++c) {
      for (index kh = 0; kh < r; ++kh) {
        for (index kw = 0; kw < r; ++kw) {
          const T* const from = packed + kh * rows.run + kw * rows.channels + c;
          T sum = from[0];
          for (index p = 1; p < parts; ++p) sum += from[p * pitch];
          *dw++ = sum * scale;
        }
      }
    }
  }
}

// 28 KB of floats where one gradient is made at a time; with both, as measured.
constexpr index kNear = 7168, kNearOfBoth = 4480;

template <class T>
constexpr LaneSparseKernels<T> make_table() {
  return {{kNear, kManyRegisters ? kNearOfBoth : kNear},
          {backward<T, 3>, backward<T, 5>},
          {pack<T, 3>, pack<T, 5>},
          {unpack<T, 3>, unpack<T, 5>}};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneSparseKernels, make_table)
