#include "runtime/team_choice.h"

namespace tenfold {

void TeamChoice::took(double time) {
  double& known = time_[alone_ ? 1 : 0];
  const double other = time_[alone_ ? 0 : 1];
  if (trying_) {
    if (runs_ == 0 || time < known) known = time;
    if (++runs_ < kTrial) return;
    trying_ = other == 0;
    if (trying_ || other < known) alone_ = !alone_;
  } else {
    // Down at once, up by and by: an interruption does not decide.
    known = time < known ? time : known + (time < 2 * known ? time - known : known) / 32;
    if (++runs_ < kBetween && known <= other) return;
    alone_ = !alone_;
    trying_ = true;
  }
  runs_ = 0;
}

}  // namespace tenfold
