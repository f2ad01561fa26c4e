#include "tenfold/team_choice.h"

#include <algorithm>

namespace tenfold {

bool TeamChoice::due() const {
  return runs_ >= kBetween && (!alone_ || static_cast<double>(runs_) * time_[1] >= kBetweenWakes);
}

void TeamChoice::took(double time) {
  double& known = time_[alone_ ? 1 : 0];
  const double other = time_[alone_ ? 0 : 1];
  if (trying_) {
    if (runs_ == 0 || time < known) known = time;
    if (++runs_ < kTrial) return;
    trying_ = other == 0;
    if (trying_ || other < known) alone_ = !alone_;
  } else {
    // By and by: an interruption does not decide.
    known += (std::min(time, 2 * known) - known) / 32;
    ++runs_;
    if (!due() && known <= other) return;
    alone_ = !alone_;
    trying_ = true;
  }
  runs_ = 0;
}

}  // namespace tenfold
