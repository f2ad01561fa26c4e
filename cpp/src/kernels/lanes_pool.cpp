#include "kernels/lanes_pool.h"

#include "kernels/lanes_common.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

struct Span {
  index begin, end;
};
// The taps of the window that starts at `start` which lie inside 0 .. size.
TENFOLD_INLINE Span inside(index start, index kernel, index size) {
  return {start < 0 ? -start : 0, start + kernel > size ? size - start : kernel};
}

// A window, for a vector of samples: where its value and its code go, where its tap (0, 0) lies, perhaps outside the plane,
// and which of its taps lie inside.
struct Window {
  index y, code, x;
  Span rows, columns;
};
template <class T, class F>
TENFOLD_INLINE void for_each_window(const LanePool<T>& a, const F& f) {
  for (index oh = 0; oh < a.out_h; ++oh) {
    const index top = oh * a.stride_h - a.pad_h;
    const Span rows = inside(top, a.kernel_h, a.height);
    for (index ow = 0; ow < a.out_w; ++ow) {
      const index left = ow * a.stride_w - a.pad_w;
      const Span columns = inside(left, a.kernel_w, a.width);
      for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
        f(Window{oh * a.y_row + ow * kBlock + lane, (oh * a.out_w + ow) * kBlock + lane,
                 top * a.x_row + left * kBlock + lane, rows, columns});
      }
    }
  }
}
// g(tap, where it lies) for the taps inside, in order.
template <class T, class G>
TENFOLD_INLINE void for_each_tap(const LanePool<T>& a, const Window& window, const G& g) {
  for (index kh = window.rows.begin; kh < window.rows.end; ++kh) {
    for (index kw = window.columns.begin; kw < window.columns.end; ++kw)
      g(static_cast<signed char>(kh * a.kernel_w + kw), window.x + kh * a.x_row + kw * kBlock);
  }
}

template <class T>
void forward(const LanePool<T>& a) {
  for_each_window(a, [&](const Window& window) {
    const index kh = window.rows.begin, kw = window.columns.begin;
    Vec<T> best = load(a.x + window.x + kh * a.x_row + kw * kBlock);
    Mask<T> code = Mask<T>{} + static_cast<signed char>(kh * a.kernel_w + kw);
    for_each_tap(a, window, [&](signed char tap, index at) {
      const Vec<T> v = load(a.x + at);
      const Mask<T> better = (v > best) | ((v != v) & (best == best));
      best = select<T>(better, v, best);
      code = better ? Mask<T>{} + tap : code;
    });
    store(a.y + window.y, best);
    store_codes<T>(a.codes + window.code, code);
  });
}

template <class T>
void backward(const LanePool<T>& a) {
  for (index h = 0; h < a.height; ++h) {
    for (index n = 0; n < a.width * kBlock; n += kLanes<T>) store(a.dx + h * a.x_row + n, Vec<T>{});
  }
  for_each_window(a, [&](const Window& window) {
    const Vec<T> d = load(a.dy + window.y);
    const Mask<T> code = load_codes<T>(a.codes + window.code);
    for_each_tap(a, window, [&](signed char tap, index at) {
      T* const dx = a.dx + at;
      store(dx, load(dx) + select<T>(code == Mask<T>{} + tap, d, Vec<T>{}));
    });
  });
}

template <class T>
constexpr LanePoolKernels<T> make_table() {
  return {forward<T>, backward<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LanePoolKernels, make_table)
