// What this machine gives at the moment, for judging the speed of everything else.
#pragma once

namespace tenfold {

// Floating-point operations per second (a multiply-add counts two) that all threads together reach with the active
// kernels and nothing to load. Each thread repeats short runs for `seconds` and the best of them counts, so that a
// passing disturbance, or a thread that waits for its processor, does not lower it. T is float or double.
template <class T>
double fma_peak(double seconds);

// Seconds that a cache line takes from the calling thread to another one and back, to the farthest of them; 0 with one
// thread. It tells cores that share a cache from cores that do not, which a virtual machine may exchange at any time.
double round_trip();

}  // namespace tenfold
