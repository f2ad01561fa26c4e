// How a loss becomes a number: terms are summed in fixed chunks, and the chunks in their order.
#pragma once

#include <string>

#include "tenfold/error.h"
#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

enum class Reduction { mean, sum, none };

inline Reduction reduction_of(const char* function, const std::string& name) {
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  if (name == "none") return Reduction::none;
  reject(function, "reduction", "must be 'mean', 'sum' or 'none'; received '", name, "'");
}

// What one chunk of positions contributes.
struct Partial {
  double value = 0;   // sum of the terms
  double weight = 0;  // sum of the weights a mean divides by
  index wrong = -1;   // the first position with an illegal label
};

}  // namespace tenfold
