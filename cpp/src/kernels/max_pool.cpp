// The form for any window, and before it the faster ones: for whole planes, for strides, where an ISA has one, and for every
// column.
#include "kernels/max_pool.h"

#include "kernels/max_pool_dense.h"
#include "kernels/max_pool_planes.h"
#include "kernels/max_pool_rows.h"
#if defined(TENFOLD_ISA_avx512)
#include "kernels/max_pool_permutations.h"
#elif defined(TENFOLD_ISA_avx2)
#include "kernels/max_pool_strided.h"
#endif

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

template <class T, class P>
void max_planes(const PoolGeometry& g, index planes, const T* x, [[maybe_unused]] bool far, T* y,
                P* positions) {
  if (max_of_planes(g, planes, x, y, positions)) return;
#if defined(TENFOLD_ISA_avx512)
  if (max_by_permutations(g, planes, x, y, positions)) return;
#elif defined(TENFOLD_ISA_avx2)
  if (max_by_strided_blocks(g, planes, x, far, y, positions)) return;
#endif
  if (max_dense(g, planes, x, y, positions)) return;
  const index in = g.d.size * g.h.size * g.w.size, out = g.d.output * g.h.output * g.w.output;
  for (index p = 0; p < planes; ++p) {
    max_plane(g, x + p * in, y + p * out, later(positions, p * out));
  }
}

template <class T>
void max_values(const PoolGeometry& g, index planes, const T* x, bool far, T* y) {
  max_planes(g, planes, x, far, y, static_cast<None*>(nullptr));
}
template <class T, class P>
void max_kept(const PoolGeometry& g, index planes, const T* x, bool far, T* y, P* positions) {
  max_planes(g, planes, x, far, y, positions);
}

template <class T>
constexpr MaxPoolKernels<T> make_table() {
  return {max_values<T>, max_kept<T, TapNumber>, max_kept<T, Position>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(MaxPoolKernels, make_table)
