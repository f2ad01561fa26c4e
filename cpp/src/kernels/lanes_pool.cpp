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

template <class T>
void forward(const LanePool<T>& a) {
  for (index oh = 0; oh < a.out_h; ++oh) {
    const index top = oh * a.stride_h - a.pad_h;
    const Span kh_span = inside(top, a.kernel_h, a.height);
    for (index ow = 0; ow < a.out_w; ++ow) {
      const index left = ow * a.stride_w - a.pad_w;
      const Span kw_span = inside(left, a.kernel_w, a.width);
      for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
        Vec<T> best = load(a.x + (top + kh_span.begin) * a.x_row + (left + kw_span.begin) * kBlock + lane);
        Mask<T> code = Mask<T>{} + static_cast<signed char>(kh_span.begin * a.kernel_w + kw_span.begin);
        for (index kh = kh_span.begin; kh < kh_span.end; ++kh) {
          for (index kw = kw_span.begin; kw < kw_span.end; ++kw) {
            const Vec<T> v = load(a.x + (top + kh) * a.x_row + (left + kw) * kBlock + lane);
            const Mask<T> better = (v > best) | ((v != v) & (best == best));
            best = select<T>(better, v, best);
            code = better ? Mask<T>{} + static_cast<signed char>(kh * a.kernel_w + kw) : code;
          }
        }
        store(a.y + oh * a.y_row + ow * kBlock + lane, best);
        store_codes<T>(a.codes + (oh * a.out_w + ow) * kBlock + lane, code);
      }
    }
  }
}

template <class T>
void backward(const LanePool<T>& a) {
  for (index h = 0; h < a.height; ++h) {
    for (index n = 0; n < a.width * kBlock; n += kLanes<T>) store(a.dx + h * a.x_row + n, Vec<T>{});
  }
  for (index oh = 0; oh < a.out_h; ++oh) {
    const index top = oh * a.stride_h - a.pad_h;
    const Span kh_span = inside(top, a.kernel_h, a.height);
    for (index ow = 0; ow < a.out_w; ++ow) {
      const index left = ow * a.stride_w - a.pad_w;
      const Span kw_span = inside(left, a.kernel_w, a.width);
      for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
        const Vec<T> d = load(a.dy + oh * a.y_row + ow * kBlock + lane);
        const Mask<T> code = load_codes<T>(a.codes + (oh * a.out_w + ow) * kBlock + lane);
        for (index kh = kh_span.begin; kh < kh_span.end; ++kh) {
          for (index kw = kw_span.begin; kw < kw_span.end; ++kw) {
            T* dx = a.dx + (top + kh) * a.x_row + (left + kw) * kBlock + lane;
            const Mask<T> here = code == Mask<T>{} + static_cast<signed char>(kh * a.kernel_w + kw);
            store(dx, load(dx) + select<T>(here, d, Vec<T>{}));
          }
        }
      }
    }
  }
}

template <class T>
constexpr LanePoolKernels<T> make_table() {
  return {forward<T>, backward<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LanePoolKernels, make_table)
