// What this processor's multiply-add units give, for judging the speed of everything else.
#pragma once

namespace tenfold {

// Floating-point operations per second (a multiply-add counts two) that all threads together reach with the active
// kernels and nothing to load. Each thread repeats short runs for `seconds` and the best of them counts, so that a
// passing disturbance, or a thread that waits for its processor, does not lower it. T is float or double.
template <class T>
double fma_peak(double seconds);

}  // namespace tenfold
