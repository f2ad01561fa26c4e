#include "tenfold/team_choice.h"

#include <algorithm>

namespace tenfold {

int TeamChoice::members(int threads) {
  if (threads != threads_) {
    *this = TeamChoice();
    threads_ = threads;
    while (last_ < kMaxHalvings && threads > 1 << last_) ++last_;
  }
  return (threads + (1 << now_) - 1) >> now_;
}

bool TeamChoice::seems_faster(int halvings) const {
  return exists(halvings) && time_[halvings] > 0 && time_[halvings] < time_[best_];
}

bool TeamChoice::due() const {
  return runs_ >= kBetween && (best_ < last_ || static_cast<double>(runs_) * time_[best_] >= kBetweenWakes);
}

void TeamChoice::took(double time) {
  double& known = time_[now_];
  if (trying_) {
    if (runs_ == 0 || time < known) known = time;
    if (++runs_ < kTrial) return;
    // While it gets faster, on in the same direction.
    const bool faster = now_ == best_ || known < time_[best_];
    if (faster) best_ = now_;
    trying_ = faster && exists(now_ + step_);
    now_ = trying_ ? now_ + step_ : best_;
  } else {
    // By and by: an interruption does not decide.
    known += (std::min(time, 2 * known) - known) / 32;
    ++runs_;
    if (seems_faster(best_ - 1)) {
      step_ = -1;
    } else if (seems_faster(best_ + 1)) {
      step_ = 1;
    } else if (due()) {
      step_ = exists(best_ - step_) ? -step_ : step_;
    } else {
      return;
    }
    trying_ = exists(best_ + step_);
    if (trying_) now_ = best_ + step_;
  }
  runs_ = 0;
}

}  // namespace tenfold
