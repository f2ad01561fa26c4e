#include "tenfold/team_choice.h"

#include <gtest/gtest.h>

#include <map>

namespace tenfold {
namespace {

// Makes runs with two threads, which take so long with both and alone; returns how many were made alone.
int runs_alone(TeamChoice& choice, int runs, double with_team, double alone) {
  int count = 0;
  for (int i = 0; i < runs; ++i) {
    const bool one = choice.members(2) == 1;
    count += one;
    choice.took(one ? alone : with_team);
  }
  return count;
}

// Makes runs with many threads, which take time(members); returns how many were made with each number of members.
template <class Time>
std::map<int, int> runs_by_members(TeamChoice& choice, int runs, int threads, Time&& time) {
  std::map<int, int> counts;
  for (int i = 0; i < runs; ++i) {
    const int members = choice.members(threads);
    ++counts[members];
    choice.took(time(members));
  }
  return counts;
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
  EXPECT_EQ(choice.members(2), 2);
}

TEST(TeamChoice, ManyInterruptionsDecide) {
  TeamChoice choice;
  runs_alone(choice, 100, 10, 15);
  int alone = 0;
  for (int i = 0; i < 1000; ++i) {
    const bool one = choice.members(2) == 1;
    alone += one;
    choice.took(one ? 15 : i % 2 == 0 ? 10 : 80);
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

// 100 of work that is shared, and waiting that grows with the members: 4 of 16 take least time, 50.
double four_are_best(int members) {
  return 100.0 / members + 6.25 * members;
}

TEST(TeamChoice, FindsTheBestOfManySizes) {
  for (int threads : {16, 13}) {  // 13 are halved to 7, 4, 2, 1
    TeamChoice choice;
    const std::map<int, int> counts = runs_by_members(choice, 10000, threads, four_are_best);
    EXPECT_GE(counts.at(4), 9800) << threads;
  }
}

TEST(TeamChoice, TakesAllOrOneOfManyWhereThatIsBest) {
  TeamChoice all, one;
  EXPECT_GE(runs_by_members(all, 10000, 16, [](int members) { return 100.0 / members; }).at(16), 9800);
  EXPECT_GE(runs_by_members(one, 10000, 16, [](int members) { return 1.0 * members; }).at(1), 9800);
}

TEST(TeamChoice, FollowsWhenTheBestOfManySizesChanges) {
  TeamChoice choice;
  runs_by_members(choice, 1000, 16, four_are_best);
  EXPECT_GE(runs_by_members(choice, 10000, 16, [](int members) { return 100.0 / members; }).at(16), 9000);
  EXPECT_GE(runs_by_members(choice, 10000, 16, four_are_best).at(4), 9000);
}

TEST(TeamChoice, BeginsAgainWithAnotherNumberOfThreads) {
  TeamChoice choice;
  runs_by_members(choice, 1000, 16, four_are_best);
  EXPECT_EQ(choice.members(8), 8);
  EXPECT_GE(runs_by_members(choice, 1000, 8, four_are_best).at(4), 950);
  EXPECT_EQ(choice.members(1), 1);
}

}  // namespace
}  // namespace tenfold
