// Softmax and its logarithm along rows of n elements that lie side by side: by the row, or for short rows, whose vectors would
// be cut and summed up one by one, turned so that the lanes run across rows. An element has the same bits whichever rows are
// given together. (Other gradients than log-softmax's take too little time to repay the turning.) With `past`, rows of
// some length leave past the caches (kernels/past.h); not where y is x.
#pragma once

#include "tenfold/types.h"

namespace tenfold {

// Rows that make a piece of work worth sharing out.
index softmax_grain(index n);

// y = exp(x - max) / sum exp(x - max). largest (max) and log_sum (log sum), one per row, are written where not null.
template <class T>
void softmax_rows(index rows, index n, const T* x, T* y, T* largest, T* log_sum, bool past = false);

// y = x - max - log sum exp(x - max)
template <class T>
void log_softmax_rows(index rows, index n, const T* x, T* y, bool past = false);
// dx = dy - exp(y) sum(dy)
template <class T>
void log_softmax_rows_backward(index rows, index n, const T* y, const T* dy, T* dx);

}  // namespace tenfold
