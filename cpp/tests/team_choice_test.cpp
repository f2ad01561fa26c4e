#include "tenfold/team_choice.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

// Runs it, with what a run takes with the team and alone; returns how many were made alone.
int runs_alone(TeamChoice& choice, int runs, double with_team, double alone) {
  int count = 0;
  for (int i = 0; i < runs; ++i) {
    count += choice.alone();
    choice.took(choice.alone() ? alone : with_team);
  }
  return count;
}

TEST(TeamChoice, TakesTheFasterWayAndTriesTheOtherSeldom) {
  TeamChoice fast_team, slow_team;
  EXPECT_LE(runs_alone(fast_team, 1000, 10, 15), 40);
  EXPECT_GE(runs_alone(slow_team, 1000, 15, 10), 960);
}

TEST(TeamChoice, FollowsWhenTheFasterWayChanges) {
  TeamChoice choice;
  runs_alone(choice, 1000, 10, 15);
  EXPECT_GE(runs_alone(choice, 1000, 40, 15), 940);
  EXPECT_LE(runs_alone(choice, 1000, 10, 15), 300);  // until the next trial
}

TEST(TeamChoice, AnInterruptionDoesNotDecide) {
  TeamChoice choice;
  runs_alone(choice, 100, 10, 15);
  choice.took(500);
  EXPECT_FALSE(choice.alone());
}

TEST(TeamChoice, ManyInterruptionsDecide) {
  TeamChoice choice;
  runs_alone(choice, 100, 10, 15);
  int alone = 0;
  for (int i = 0; i < 1000; ++i) {
    alone += choice.alone();
    choice.took(choice.alone() ? 15 : i % 2 == 0 ? 10 : 80);
  }
  EXPECT_GE(alone, 800);
}

TEST(TeamChoice, ShortRunsAloneSeldomWakeTheTeam) {
  TeamChoice choice;
  EXPECT_GE(runs_alone(choice, 20000, 15e-6, 5e-6), 19900);
}

TEST(TeamChoice, ATrialForgivesItsFirstRuns) {
  TeamChoice choice;
  choice.took(500);  // members were asleep, caches cold
  EXPECT_LE(runs_alone(choice, 200, 10, 15), 40);
}

}  // namespace
}  // namespace tenfold
