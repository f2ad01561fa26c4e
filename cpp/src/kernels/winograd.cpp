#include "kernels/winograd.h"

#include "kernels/shuffle.h"
#include "kernels/vec.h"
#include "kernels/winograd_nine_points.h"
#include "kernels/winograd_points.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// One-dimensional transforms of vectors; the two-dimensional ones apply them along both axes.
// Of three looks and two taps, for two outputs: d0 g0 + d1 g1 and d1 g0 + d2 g1.
template <class T>
TENFOLD_INLINE void input_pair(Vec<T> d0, Vec<T> d1, Vec<T> d2, Vec<T>* v) {
  v[0] = d0 - d1;
  v[1] = d1;
  v[2] = d2 - d1;
}
template <class T>
TENFOLD_INLINE void weight_pair(Vec<T> g0, Vec<T> g1, Vec<T>* u) {
  u[0] = g0;
  u[1] = g0 + g1;
  u[2] = g1;
}

// The transposes of tile_outputs and tile_weights for three taps.
template <class T, int m>
TENFOLD_INLINE void gradient_line(const Vec<T>* y, Vec<T>* s) {
  if constexpr (m == 2) {
    s[0] = y[0];
    s[1] = y[0] + y[1];
    s[2] = y[0] - y[1];
    s[3] = -y[1];
  } else {
    spread_line<T, m>(y, s);
  }
}

template <class T, int m>
TENFOLD_INLINE void tap_line(const Vec<T>* s, Vec<T>* g) {
  if constexpr (m == 2) {
    const Vec<T> sum = s[1] + s[2], difference = s[1] - s[2];
    g[0] = s[0] + sum * T(0.5);
    g[1] = difference * T(0.5);
    g[2] = sum * T(0.5) + s[3];
  } else {
    weight_line_adjoint<T, 3>(s, g);
  }
}

// The same for a form.
template <class T, int form>
TENFOLD_INLINE void form_input(const Vec<T>* d, Vec<T>* v) {
  if constexpr (form == kWinogradNineForm) {
    look_nine<T>(d, v);
  } else if constexpr (form < kWinogradStrideForm) {
    tile_looks<T, kWinogradForms[form].t>(d, v);
  } else if constexpr (form == kWinogradStrideForm) {
    input_pair<T>(d[0], d[2], d[4], v);
    v[3] = d[1];
    v[4] = d[3];
  } else if constexpr (form == kWinogradStrideForm + 1) {
    input_pair<T>(d[0], d[2], d[4], v);
    input_pair<T>(d[1], d[3], d[5], v + 3);
  } else if constexpr (form == kWinogradAdjointForm) {
    input_pair<T>(d[0], d[1], d[2], v);
    v[3] = d[0];
    v[4] = d[1];
  } else {
    input_pair<T>(d[0], d[1], d[2], v);
    input_pair<T>(d[1], d[2], d[3], v + 3);
  }
}

template <class T, int form>
TENFOLD_INLINE void form_weights(const Vec<T>* g, Vec<T>* u) {
  constexpr WinogradForm f = kWinogradForms[form];
  if constexpr (form == kWinogradNineForm) {
    weights_nine<T>(g, u);
  } else if constexpr (form < kWinogradStrideForm) {
    tile_weights<T, f.t, f.r>(g, u);
  } else {
    weight_pair<T>(g[0], g[2], u);
    if constexpr (f.r == 4) {
      weight_pair<T>(g[1], g[3], u + 3);
    } else {
      u[3] = u[4] = g[1];
    }
  }
}

template <class T, int form>
TENFOLD_INLINE void form_output(const Vec<T>* s, Vec<T>* y) {
  constexpr WinogradForm f = kWinogradForms[form];
  if constexpr (form == kWinogradNineForm) {
    first_part_nine<T>(s, y);
    add_last_part_nine<T>(s + kNineFirst, y);
  } else if constexpr (form < kWinogradStrideForm) {
    tile_outputs<T, f.m, f.t>(s, y);
  } else {
    const Vec<T> pair[2] = {s[0] + s[1], s[1] + s[2]};
    const Vec<T> other[2] = {f.r == 4 ? s[3] + s[4] : s[3], f.r == 4 ? s[4] + s[f.t - 1] : s[4]};
    if constexpr (form < kWinogradAdjointForm) {
      y[0] = pair[0] + other[0];
      y[1] = pair[1] + other[1];
    } else {
      // In the target's order: three looks at two taps make the odd outputs of three taps and the even ones of four.
      constexpr int first = f.r == 4 ? 0 : 1;
      y[first] = pair[0], y[first + 2] = pair[1];
      y[1 - first] = other[0], y[3 - first] = other[1];
    }
  }
}

// The transposes of form_output and form_weights.
template <class T, int form>
TENFOLD_INLINE void form_gradient(const Vec<T>* y, Vec<T>* s) {
  constexpr WinogradForm f = kWinogradForms[form];
  if constexpr (form == kWinogradNineForm) {
    spread_nine<T>(y, s);
  } else if constexpr (form < kWinogradStrideForm) {
    gradient_line<T, f.m>(y, s);
  } else {
    s[0] = s[3] = y[0];
    s[1] = y[0] + y[1];
    s[2] = s[f.t - 1] = y[1];
    if constexpr (f.r == 4) s[4] = s[1];
  }
}

template <class T, int form>
TENFOLD_INLINE void form_taps(const Vec<T>* s, Vec<T>* g) {
  constexpr WinogradForm f = kWinogradForms[form];
  if constexpr (form == kWinogradNineForm) {
    taps_nine<T>(s, g);
  } else if constexpr (form < kWinogradStrideForm) {
    tap_line<T, f.m>(s, g);
  } else {
    g[0] = s[0] + s[1];
    g[2] = s[1] + s[2];
    g[1] = s[3] + s[4];
    if constexpr (f.r == 4) g[3] = s[4] + s[5];
  }
}

// Elements 0 .. looks - 1 of the looks of kLanes tiles that begin `step` apart, every `step` of them `right` further; d has
// room for one more.
template <class T, int step, int looks>
TENFOLD_INLINE void load_looks(const T* p, index right, Vec<T>* d) {
  if constexpr (step == 2) {
#pragma GCC unroll 3
    for (int i = 0; i < looks; i += 2, p += right) load_separated(p, d[i], d[i + 1]);
  } else {
    Vec<T> next[4];
    load_fourths(p, d);
    load_fourths(p + right, next);
#pragma GCC unroll 4
    for (int i = 4; i < looks; ++i) d[i] = next[i - 4];
  }
}

template <class T>
void stage(index moves, const WinogradMove* move, const T* plane, index ahead, T fill, T* rows) {
  const Vec<T> outside = splat(fill);
  for (const WinogradMove* end = move + moves; move != end; ++move) {
    __builtin_prefetch(plane + move->source + ahead);
    store(rows + move->to, load_lanes(plane + move->source, move->lanes, outside));
  }
}

template <class T, int form>
void input(index tiles, const T* from, index pitch, index down, index right, T* to, index step) {
  constexpr int looks = kWinogradForms[form].looks, t = kWinogradForms[form].t;
  constexpr int apart = kWinogradForms[form].step;
  for (index i = 0; i < tiles; i += kLanes<T>, from += apart * kLanes<T>) {
    Vec<T> lines[looks][t];  // d B
#pragma GCC unroll 9
    for (int h = 0; h < looks; ++h) {
      Vec<T> d[looks + 1];
      load_looks<T, apart, looks>(from + h % apart * pitch + h / apart * down, right, d);
      form_input<T, form>(d, lines[h]);
    }
    T* first = to + i;
#pragma GCC unroll 9
    for (int c = 0; c < t; ++c, first += step) {
      Vec<T> column[looks], v[t];
#pragma GCC unroll 9
      for (int h = 0; h < looks; ++h) column[h] = lines[h][c];
      form_input<T, form>(column, v);
      T* out = first;
      TENFOLD_OPAQUE(out);
#pragma GCC unroll 9
      for (int h = 0; h < t; ++h, out += t * step) store(out, v[h]);
    }
  }
}

template <class T, int form>
void weights(index K, index rows, const T* taps, index k_step, index tap_step, T* to, index step) {
  constexpr int r = kWinogradForms[form].r, t = kWinogradForms[form].t;
  for (index k = 0; k < K; ++k) {
    for (index f = 0; f < rows; f += kLanes<T>) {
      const T* g = taps + k * k_step + f;
      Vec<T> lines[r][t];  // [column of g][row of G g]
#pragma GCC unroll 5
      for (int c = 0; c < r; ++c) {
        Vec<T> column[r];
#pragma GCC unroll 5
        for (int h = 0; h < r; ++h) column[h] = load(g + (h * r + c) * tap_step);
        form_weights<T, form>(column, lines[c]);
      }
      // Lanes beyond the filters fall into the next k, which is written later; those of the last k must not be written, and
      // come by way of `spare`: the transforms once more with stores of parts would be half of the code.
      T* const first = to + k * rows + f;
      const index left = k + 1 < K ? kLanes<T> : rows - f;
      alignas(64) T spare[t * t * kLanes<T>];
      const bool whole = left >= kLanes<T>;
      const index apart = whole ? step : kLanes<T>;
      T* out = whole ? first : spare;
      TENFOLD_OPAQUE(out);
#pragma GCC unroll 9
      for (int h = 0; h < t; ++h) {
        Vec<T> row[r], u[t];
#pragma GCC unroll 5
        for (int c = 0; c < r; ++c) row[c] = lines[c][h];
        form_weights<T, form>(row, u);
#pragma GCC unroll 9
        for (int c = 0; c < t; ++c, out += apart) store(out, u[c]);
      }
      if (whole) continue;
#pragma GCC unroll 1
      for (index i = 0; i < t * t; ++i) store_first(first + i * step, load(spare + i * kLanes<T>), left);
    }
  }
}

template <class T>
TENFOLD_INLINE Vec<T> activate(Vec<T> v, ConvActivation activation) {
  const Vec<T> zero = {};
  if (activation == ConvActivation::relu) return select<T>(v < zero, zero, v);
  if (activation == ConvActivation::relu_keep_sign) return select<T>(v < zero, -zero, v + zero);
  return v;
}

// y[...] <-- m rows of m vectors of outputs, run by run. Never inlined: the rows' transform needs the registers.
template <class T, int m>
__attribute__((noinline)) void put_parts(const T* rows, const index* first, const WinogradRun* runs, T* y,
                                         index pitch) {
  constexpr index L = kLanes<T>;
  for (int c = 0; c < m; ++c, rows += L) {
    for (const WinogradRun *run = runs + first[c], *end = runs + first[c + 1]; run != end; ++run) {
      T* to = y + run->target;
      for (index h = 0; h < run->rows; ++h, to += pitch)
        store_between(to, load(rows + h * m * L), run->begin, run->end);
    }
  }
}

template <class T, int form>
void output(index tiles, const index* first, const WinogradRun* runs, const T* s, index step, T bias,
            ConvActivation activation, T* y, index pitch) {
  constexpr int m = kWinogradForms[form].m, t = kWinogradForms[form].t;
  constexpr index L = kLanes<T>;
  for (index i = 0; i < tiles; i += L, first += m) {
    const WinogradRun *run = runs + first[0], *last = runs + first[m] - 1;
    // All side by side, the usual case of wide images.
    const bool whole =
        last == run + m - 1 && last->target == run->target + (m - 1) * L && last->end - run->begin == L;
    alignas(64) T parts[m * m * L];
    Vec<T> lines[t][m];  // [column of s][row of A^T s]
#pragma GCC unroll 9
    for (int c = 0; c < t; ++c) {
      Vec<T> column[t];
      const T* p = s + i + c * step;
      TENFOLD_OPAQUE(p);
#pragma GCC unroll 9
      for (int h = 0; h < t; ++h, p += t * step) column[h] = load(p);
      form_output<T, form>(column, lines[c]);
    }
#pragma GCC unroll 4
    for (int h = 0; h < m; ++h) {
      Vec<T> line[t], o[m];
#pragma GCC unroll 9
      for (int c = 0; c < t; ++c) line[c] = lines[c][h];
      form_output<T, form>(line, o);
#pragma GCC unroll 4
      for (int c = 0; c < m; ++c) o[c] = activate<T>(o[c] + splat(bias), activation);
      if constexpr (m == 2) {
        interleave<T>(o[0], o[1], o[0], o[1]);
      } else {
        Vec<T> low[2], high[2];
        interleave<T>(o[0], o[2], low[0], high[0]);
        interleave<T>(o[1], o[3], low[1], high[1]);
        interleave<T>(low[0], low[1], o[0], o[1]);
        interleave<T>(high[0], high[1], o[2], o[3]);
      }
      T* to = parts;
      index apart = m * L;
      if (whole) {
        if (h >= run->rows) break;
        to = y + run->target, apart = pitch;
      }
#pragma GCC unroll 4
      for (int c = 0; c < m; ++c) store(to + h * apart + c * L, o[c]);
    }
    if (!whole) put_parts<T, m>(parts, first, runs, y, pitch);
  }
}

// The two-dimensional transform of n x n vectors to t x t by a line transform; column by column, then row by row.
template <class T, int n, int t, void (*line)(const Vec<T>*, Vec<T>*)>
TENFOLD_INLINE void transform_vectors(index tiles, index m, const T* rows, index pitch, T* to, index step,
                                      index tile_step) {
  for (index i = 0; i < tiles; ++i, rows += m * kLanes<T>, to += tile_step) {
    Vec<T> lines[n][t];
#pragma GCC unroll 9
    for (int c = 0; c < n; ++c) {
      Vec<T> column[n];
      const T* p = rows + c * kLanes<T>;
#pragma GCC unroll 9
      for (int r = 0; r < n; ++r, p += pitch) column[r] = load(p);
      line(column, lines[c]);
    }
    T* out = to;
    TENFOLD_OPAQUE(out);
#pragma GCC unroll 9
    for (int r = 0; r < t; ++r) {
      Vec<T> row[n], v[t];
#pragma GCC unroll 9
      for (int c = 0; c < n; ++c) row[c] = lines[c][r];
      line(row, v);
#pragma GCC unroll 9
      for (int c = 0; c < t; ++c, out += step) store(out, v[c]);
    }
  }
}

template <class T, int form>
void looks(index tiles, const T* rows, index pitch, T* to, index step, index tile_step) {
  constexpr WinogradForm f = kWinogradForms[form];
  transform_vectors<T, f.looks, f.t, form_input<T, form>>(tiles, f.step, rows, pitch, to, step, tile_step);
}

template <class T, int form>
void gradients(index tiles, const T* rows, index pitch, T* to, index step, index tile_step) {
  constexpr WinogradForm f = kWinogradForms[form];
  transform_vectors<T, f.m, f.t, form_gradient<T, form>>(tiles, f.m, rows, pitch, to, step, tile_step);
}

template <class T, int form>
void taps(index rows, index width, const T* s, index step, T* to) {
  constexpr int r = kWinogradForms[form].r, t = kWinogradForms[form].t;
  for (index i = 0; i < rows; ++i) {
    for (index f = 0; f < width; f += kLanes<T>) {
      const T* from = s + i * width + f;
      TENFOLD_OPAQUE(from);
      Vec<T> lines[t][r];  // [row of s][column of s G]
#pragma GCC unroll 9
      for (int h = 0; h < t; ++h) {
        Vec<T> row[t];
#pragma GCC unroll 9
        for (int c = 0; c < t; ++c, from += step) row[c] = load(from);
        form_taps<T, form>(row, lines[h]);
      }
      T* out = to + i * (r * r) * width + f;
#pragma GCC unroll 5
      for (int c = 0; c < r; ++c) {
        Vec<T> column[t], g[r];
#pragma GCC unroll 9
        for (int h = 0; h < t; ++h) column[h] = lines[h][c];
        form_taps<T, form>(column, g);
#pragma GCC unroll 5
        for (int h = 0; h < r; ++h) store(out + (h * r + c) * width, g[h]);
      }
    }
  }
}

template <class T>
constexpr WinogradKernels<T> make_table() {
#define TENFOLD_FORMS(kernel)                              \
  {kernel<T, 0>, kernel<T, 1>, kernel<T, 2>, kernel<T, 3>, \
   kernel<T, 4>, kernel<T, 5>, kernel<T, 6>, kernel<T, 7>}
#define TENFOLD_GRADIENT_FORMS(kernel)                                         \
  {kernel<T, kWinogradGradientForms[0]>, kernel<T, kWinogradGradientForms[1]>, \
   kernel<T, kWinogradGradientForms[2]>, kernel<T, kWinogradGradientForms[3]>}
  WinogradKernels<T> table = {kLanes<T>,
                              stage<T>,
                              TENFOLD_FORMS(input),
                              TENFOLD_FORMS(weights),
                              TENFOLD_FORMS(output),
                              TENFOLD_GRADIENT_FORMS(looks),
                              TENFOLD_GRADIENT_FORMS(gradients),
                              TENFOLD_GRADIENT_FORMS(taps)};
  if constexpr (sizeof(T) == sizeof(float)) {
    constexpr int of_five = kWinogradGradientOfFive, form = kWinogradGradientForms[of_five];
    table.looks[of_five] = looks<T, form>;
    table.gradients[of_five] = gradients<T, form>;
    table.taps[of_five] = taps<T, form>;
  }
  return table;
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(WinogradKernels, make_table)
