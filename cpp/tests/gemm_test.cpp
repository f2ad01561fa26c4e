#include "tenfold/gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gemm/driver.h"
#include "gemm/strided.h"
#include "late_member.h"
#include "naive_gemm.h"
#include "tenfold/cpu.h"
#include "tenfold/error.h"

namespace tenfold {
namespace {

constexpr Transpose kTransposes[] = {Transpose::no, Transpose::yes};

template <class T>
std::vector<T> integers(index count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = static_cast<T>(static_cast<int>(random() % 7) - 3);
  return values;
}

template <class T>
std::vector<T> reals(index count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<T> uniform(-1, 1);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = uniform(random);
  return values;
}

// Runs the rest of a test on one ISA and puts the old one back.
class WithIsa {
 public:
  explicit WithIsa(Isa isa) : before_(active_isa()) { set_isa(name_of(isa)); }
  ~WithIsa() { set_isa(name_of(before_)); }

 private:
  Isa before_;
};

class WithThreads {
 public:
  explicit WithThreads(int threads) : before_(num_threads()) { set_num_threads(threads); }
  ~WithThreads() { set_num_threads(before_); }

 private:
  int before_;
};

// Leading dimensions are longer than a row, and what lies between must stay as it was.
template <class T>
struct Problem {
  index m, n, k;
  Transpose ta, tb;
  index lda, ldb, ldc;
  std::vector<T> a, b, c;

  Problem(index m_, index n_, index k_, Transpose ta_, Transpose tb_)
      : m(m_),
        n(n_),
        k(k_),
        ta(ta_),
        tb(tb_),
        lda((ta == Transpose::yes ? m : k) + 3),
        ldb((tb == Transpose::yes ? k : n) + 1),
        ldc(n + 2),
        a(integers<T>((ta == Transpose::yes ? k : m) * lda, 1)),
        b(integers<T>((tb == Transpose::yes ? n : k) * ldb, 2)),
        c(integers<T>(m * ldc, 3)) {}

  std::string name() const {
    return std::string(name_of(active_isa())) + " " + std::to_string(m) + "x" + std::to_string(n) + "x" +
           std::to_string(k) + (ta == Transpose::yes ? " T" : " N") + (tb == Transpose::yes ? "T" : "N");
  }
  // Small integers: every order of summation gives the same, exact, result.
  void expect_exact(T alpha, T beta) {
    std::vector<T> expected = c, actual = c;
    naive::gemm(ta, tb, m, n, k, alpha, a.data(), lda, b.data(), ldb, beta, expected.data(), ldc);
    gemm(ta, tb, m, n, k, alpha, a.data(), lda, b.data(), ldb, beta, actual.data(), ldc);
    ASSERT_EQ(actual, expected) << name() << " alpha " << alpha << " beta " << beta;
  }
};

template <class T>
class Gemm : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Gemm, Types);

TYPED_TEST(Gemm, IsExactAroundTheTileOnEveryIsa) {
  for (Isa isa : available_isas()) {
    const WithIsa with(isa);
    const auto& kernels = tenfold::kernels<GemmKernels, TypeParam>();
    const index rows = kernels.rows, columns = static_cast<index>(kernels.vectors) * kernels.lanes;
    for (index m : {index{1}, rows - 1, rows, rows + 1, 2 * rows + 1}) {
      for (index n : {index{1}, static_cast<index>(kernels.lanes), columns - 1, columns, columns + 1,
                      3 * columns + 1}) {
        for (Transpose ta : kTransposes) {
          for (Transpose tb : kTransposes) Problem<TypeParam>(m, n, 9, ta, tb).expect_exact(1, 0);
        }
      }
    }
  }
}

TYPED_TEST(Gemm, IsExactForEveryHeightAndWidthOfTile) {
  for (Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (index m = 1; m <= 14; ++m) {
      for (index n = 1; n <= 67; n += 3)
        Problem<TypeParam>(m, n, 5, Transpose::no, Transpose::no).expect_exact(2, 1);
    }
  }
}

TYPED_TEST(Gemm, PacksPanelsOfEveryWidth) {
  using T = TypeParam;
  constexpr index kPitch = 70, kUntouched = 77, kBehind = 64;
  const std::vector<T> from = integers<T>(kPitch * kPitch, 4);
  for (Isa isa : available_isas()) {
    const WithIsa with(isa);
    const auto& kernels = tenfold::kernels<GemmKernels, T>();
    const index lanes = kernels.lanes;
    for (index width = 1; width <= 4 * lanes; ++width) {
      // Panels of B are whole vectors, the last of which may be ragged; those of A are as wide as they have rows.
      for (index count = width % lanes == 0 ? width - lanes + 1 : width; count <= width; ++count) {
        for (index k : {1, 7, 33}) {
          for (const bool together : {true, false}) {
            const index panel_stride = together ? 1 : kPitch, k_stride = together ? kPitch : 1;
            std::vector<T> to(static_cast<std::size_t>(k * width + kBehind), T{kUntouched}), expected = to;
            for (index kk = 0; kk < k; ++kk) {
              for (index p = 0; p < width; ++p)
                expected[static_cast<std::size_t>(kk * width + p)] =
                    p < count ? from[static_cast<std::size_t>(p * panel_stride + kk * k_stride)] : T{0};
            }
            kernels.pack(count, k, from.data(), panel_stride, k_stride, width, to.data());
            ASSERT_EQ(to, expected) << name_of(isa) << " " << count << " of " << width << ", k " << k
                                    << (together ? ", side by side" : ", turned");
          }
        }
      }
    }
  }
}

TYPED_TEST(Gemm, IsExactForFewColumnsOfAPackedPanel) {
  using T = TypeParam;
  constexpr index kStep = 5, kPitch = 9, kUntouched = 77;
  for (Isa isa : available_isas()) {
    const WithIsa with(isa);
    const GemmKernels<T>& kernels = tenfold::kernels<GemmKernels, T>();
    for (index rows = 1; rows <= kernels.rows; ++rows) {
      for (index n = 1; n <= kGemmMaxFew; ++n) {
        for (index k = 0; k <= 9; ++k) {
          const auto a = integers<T>(k * rows + kernels.rows * kernels.lanes, 1),
                     b = integers<T>(k * kStep, 2);
          for (int beta : {0, 1}) {
            std::vector<T> c(static_cast<std::size_t>(rows * kPitch), T(kUntouched));
            GemmTile<T> tile{};
            tile.k = k, tile.a = a.data(), tile.a_row = 1, tile.a_step = rows;
            tile.b = b.data(), tile.b_step = kStep;
            tile.c = c.data(), tile.ldc = kPitch, tile.alpha = 1, tile.beta = static_cast<T>(beta);
            kernels.few[n - 1](rows, tile);
            for (index i = 0; i < rows; ++i) {
              for (index j = 0; j < kPitch; ++j) {
                T expected = j < n && beta == 0 ? T(0) : T(kUntouched);
                for (index kk = 0; j < n && kk < k; ++kk)
                  expected += a[static_cast<std::size_t>(kk * rows + i)] *
                              b[static_cast<std::size_t>(kk * kStep + j)];
                ASSERT_EQ(c[static_cast<std::size_t>(i * kPitch + j)], expected)
                    << name_of(isa) << " rows " << rows << " n " << n << " k " << k << " at " << i << ", "
                    << j;
              }
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(Gemm, IsExactOverSeveralChunksAndBands) {
  const struct {
    index m, n, k;
    const char* why;
  } shapes[] = {
      {23, 65, 1025, "three chunks of K"},
      {5, 400, 1030, "bands of columns"},
      {400, 5, 600, "bands of rows"},
      {37, 530, 700, "packed B, bands of columns"},
      {530, 37, 700, "few columns"},
      {30, 230, 1021, "rows of A in the same sets of the caches: flat tiles"},
      {600, 30, 550, "a packed B whose rows are apart, where it is T"},
      {110, 1023, 70, "likewise B"},
      {100, 7, 1100, "narrow"},
      {64, 10, 84, "the last layer of a LeNet"},
      {90, 2, 223, "dot products with a copied B"},
      {2, 90, 700, "dot products with a copied A"},
      {3, 4, 600, "dot products with both copied"},
      {50, 300, 4000, "dot products of long sums: columns of B go by"},
      {310, 45, 4100, "dot products of long sums: rows of A go by"},
      {3, 1030, 2050, "few rows, a large B in place"},
      {13, 617, 3500, "few rows, a large B packed"},
      {1030, 2, 2050, "few columns, where A is T"},
  };
  for (Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto& shape : shapes) {
      for (Transpose ta : kTransposes) {
        for (Transpose tb : kTransposes) {
          SCOPED_TRACE(shape.why);
          Problem<TypeParam>(shape.m, shape.n, shape.k, ta, tb).expect_exact(1, 0);
        }
      }
    }
  }
}

TYPED_TEST(Gemm, ScalesAndAccumulates) {
  for (TypeParam alpha : {0, 1, -2}) {
    for (TypeParam beta : {0, 1, 3}) {
      Problem<TypeParam>(13, 37, 6, Transpose::no, Transpose::yes).expect_exact(alpha, beta);
      Problem<TypeParam>(13, 37, 1500, Transpose::yes, Transpose::no).expect_exact(alpha, beta);
    }
  }
}

TYPED_TEST(Gemm, OfNothingIsNothing) {
  Problem<TypeParam>(3, 5, 0, Transpose::no, Transpose::no).expect_exact(1, 0);
  Problem<TypeParam>(3, 5, 0, Transpose::no, Transpose::no).expect_exact(1, 2);
  Problem<TypeParam>(0, 5, 4, Transpose::no, Transpose::no).expect_exact(1, 0);
  Problem<TypeParam>(3, 0, 4, Transpose::no, Transpose::yes).expect_exact(1, 0);
}

TYPED_TEST(Gemm, DoesNotReadTheResultWhenBetaIsZero) {
  const std::vector<TypeParam> a(6, 1), b(6, 2);
  std::vector<TypeParam> c(4, std::numeric_limits<TypeParam>::quiet_NaN());
  gemm<TypeParam>(Transpose::no, Transpose::no, 2, 2, 3, 1, a.data(), 3, b.data(), 2, 0, c.data(), 2);
  EXPECT_EQ(c, (std::vector<TypeParam>(4, 6)));
}

TYPED_TEST(Gemm, LetsNanThrough) {
  std::vector<TypeParam> a(6, 1), b(6, 0), c(4, 0);
  a[4] = std::numeric_limits<TypeParam>::quiet_NaN();
  gemm<TypeParam>(Transpose::no, Transpose::no, 2, 2, 3, 1, a.data(), 3, b.data(), 2, 0, c.data(), 2);
  EXPECT_EQ(c[0], 0);
  EXPECT_TRUE(std::isnan(c[2]) && std::isnan(c[3]));
}

TYPED_TEST(Gemm, HasTheSameBitsForEveryTeam) {
  const struct {
    index m, n, k;
  } shapes[] = {{37, 530, 700},  {530, 37, 700},  {61, 77, 1300},    {3, 1000, 100}, {130, 120, 110},
                {900, 3, 700},   {520, 240, 520}, {1024, 1000, 260},  // the last one packs A where it is T
                {5, 1300, 1700}, {1500, 14, 1500}};                   // large operands that go by
  for (Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto& s : shapes) {
      for (Transpose ta : kTransposes) {
        for (Transpose tb : kTransposes) {
          const index lda = ta == Transpose::yes ? s.m : s.k, ldb = tb == Transpose::yes ? s.k : s.n;
          const std::vector<TypeParam> a = reals<TypeParam>(s.m * s.k, 4), b = reals<TypeParam>(s.k * s.n, 5);
          std::vector<std::vector<TypeParam>> results;
          for (int threads : {1, 2, 3}) {
            const WithThreads team(threads);
            results.emplace_back(static_cast<std::size_t>(s.m * s.n));
            gemm<TypeParam>(ta, tb, s.m, s.n, s.k, 1, a.data(), lda, b.data(), ldb, 0, results.back().data(),
                            s.n);
          }
          EXPECT_EQ(results[0], results[1]) << name_of(isa) << " " << s.m << "x" << s.n << "x" << s.k;
          EXPECT_EQ(results[0], results[2]) << name_of(isa) << " " << s.m << "x" << s.n << "x" << s.k;
          // A sum of K rounded terms is off by about sqrt(K) eps of their magnitude, by K eps at worst.
          for (index i = 0; i < s.m; i += 7) {
            for (index j = 0; j < s.n; j += 11) {
              double magnitude = 0;
              const double exact =
                  naive::product(ta, tb, s.k, a.data(), lda, b.data(), ldb, i, j, &magnitude);
              const double bound = std::numeric_limits<TypeParam>::epsilon() *
                                   (4 + 2 * std::sqrt(static_cast<double>(s.k))) * magnitude;
              ASSERT_NEAR(static_cast<double>(results[0][static_cast<std::size_t>(i * s.n + j)]), exact,
                          bound);
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(Gemm, HasTheSameBitsHoweverItIsCut) {
  using T = TypeParam;
  const index m = 50, n = 210, k = 1100;
  const std::vector<T> a = reals<T>(m * k, 4), b = reals<T>(k * n, 5);
  const struct {
    bool direct;
    index n_bands, m_cuts, n_cuts, chunks_at_once;
    bool keeps_b;
  } cuts[] = {{true, 2, 3, 2, 3, true},  {true, 1, 1, 1, 3, true},   {false, 2, 2, 1, 3, true},
              {false, 1, 2, 3, 1, true}, {false, 2, 1, 1, 2, false}, {false, 1, 3, 2, 3, false}};
  for (Isa isa : available_isas()) {
    const WithIsa with(isa);
    const WithThreads team_of(2);
    std::vector<T> expected(static_cast<std::size_t>(m * n)), actual(expected.size());
    const auto run = [&](const GemmPlan<T>& plan, std::vector<T>& c) {
      const Buffer workspace(plan.workspace(2));
      parallel(1e9, [&](const Team& team) {
        gemm_driver(team, plan, StridedA<T>{a.data(), k, 1}, StridedB<T>{b.data(), n, 1},
                    StridedC<T>{c.data(), n}, workspace.data());
      });
    };
    run(make_gemm_plan<T>(m, n, k), expected);
    for (const auto& cut : cuts) {
      GemmPlan<T> plan = make_gemm_plan<T>(m, n, k, cut.direct, cut.direct);
      plan.set_items(cut.n_bands, cut.m_cuts, cut.n_cuts);
      plan.chunks_at_once = std::min(plan.chunks, cut.chunks_at_once), plan.keeps_b = cut.keeps_b;
      run(plan, actual);
      EXPECT_EQ(actual, expected) << name_of(isa) << " cut " << &cut - cuts;
    }
  }
}

TYPED_TEST(Gemm, AddsBiasAndActivates) {
  using T = TypeParam;
  const index m = 5, n = 37, k = 600;  // two chunks: bias and activation belong to the last one only
  const std::vector<T> a = integers<T>(m * k, 8), b = integers<T>(k * n, 9), rows = integers<T>(m, 10),
                       columns = integers<T>(n, 11);
  std::vector<T> plain(static_cast<std::size_t>(m * n));
  naive::gemm<T>(Transpose::no, Transpose::no, m, n, k, 1, a.data(), k, b.data(), n, 0, plain.data(), n);
  for (Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (int activation : {kGemmNone, kGemmRelu, kGemmReluKeepSign}) {
      const GemmPlan<T> plan = make_gemm_plan<T>(m, n, k);
      const Buffer workspace(plan.workspace(1));
      std::vector<T> c(plain.size());
      StridedC<T> to{c.data(), n};
      to.bias_row = rows.data(), to.bias_column = columns.data(), to.activation = activation;
      gemm_driver(Team::alone(), plan, StridedA<T>{a.data(), k, 1}, StridedB<T>{b.data(), n, 1}, to,
                  workspace.data());
      for (index i = 0; i < m; ++i) {
        for (index j = 0; j < n; ++j) {
          const std::size_t at = static_cast<std::size_t>(i * n + j);
          const T v = plain[at] + rows[static_cast<std::size_t>(i)] + columns[static_cast<std::size_t>(j)];
          ASSERT_EQ(c[at], activation == kGemmNone ? v : std::max(v, T(0)));
          if (activation != kGemmNone) {
            ASSERT_EQ(std::signbit(c[at]), activation == kGemmReluKeepSign && v < 0) << v;
          }
        }
      }
    }
  }
}

TYPED_TEST(Gemm, PassesGradientsThroughTheKeptSign) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const std::vector<T> y = {2, T(0), -T(0), nan, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, T(0), -T(0), nan};
  const std::vector<T> dy(y.size(), 8);
  for (Isa isa : available_isas()) {
    const WithIsa with(isa);
    std::vector<T> dv(y.size());
    kernels<GemmKernels, T>().relu_backward(static_cast<index>(y.size()), y.data(), dy.data(), T(0.5),
                                            dv.data());
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (std::isnan(y[i])) {
        EXPECT_TRUE(std::isnan(dv[i]));
      } else {
        EXPECT_EQ(dv[i], y[i] > 0 ? 8 : std::signbit(y[i]) ? 0 : 4) << name_of(isa) << " at " << i;
      }
    }
  }
}

// Where an operand's rows lie decides whether it is packed.
TEST(StridedProducts, PackOnlyWhatLiesBadly) {
  const auto plan = [](index m, index n, index k, Transpose ta, Transpose tb) {
    return plan_strided<float>(m, n, k, layout(ta, ta == Transpose::yes ? m : k),
                               layout(tb, tb == Transpose::yes ? k : n))
        .tiles;
  };
  const Transpose no = Transpose::no, yes = Transpose::yes;
  for (Isa isa : available_isas()) {
    const WithIsa with(isa);
    SCOPED_TRACE(name_of(isa));
    const GemmPlan<float> few = plan(160, 160, 160, no, no);
    EXPECT_TRUE(few.a_direct && few.b_direct);
    EXPECT_EQ(plan(200, 200, 200, no, no).b_direct, isa == Isa::avx512) << "too large to stay near";
    EXPECT_EQ(plan(256, 208, 256, no, no).b_direct, isa == Isa::avx512) << "too large to stay near";
    EXPECT_FALSE(plan(1000, 600, 600, no, no).b_direct) << "rows apart, read again and again";
    const GemmPlan<float> aliased_rows = plan(1000, 100, 1024, no, no);
    EXPECT_TRUE(aliased_rows.a_direct) << "rows in the same sets, read a few times";
    EXPECT_LE(divide_up(aliased_rows.m, aliased_rows.m_panels), kFlatRows);
    EXPECT_EQ(plan(1000, 600, 1024, no, no).a_direct, isa == Isa::avx512)
        << "rows in the same sets, read again and again by narrow tiles";
    EXPECT_EQ(plan(1000, 1000, 1000, yes, no).a_direct, isa == Isa::avx512)
        << "read across its rows, of which narrow tiles use little";
    EXPECT_FALSE(plan(1024, 1024, 1000, yes, no).a_direct) << "read across rows in the same sets";
    EXPECT_TRUE(plan(1000, 3136, 128, yes, no).a_direct) << "read across its rows, of which all lines stay";
    EXPECT_EQ(plan(256, 3136, 128, yes, no).a_direct, isa == Isa::avx512) << "... and fall into few sets";
    const GemmPlan<float> none = plan(0, 5, 3, yes, no);
    EXPECT_EQ(none.m_panels * none.n_panels, 0) << "rows that lie nowhere";
  }
}

// Every form, with copies of A, of B, of both and of none.
TEST(StridedProducts, ALateMemberTouchesNothing) {
  const int before = num_threads();
  set_num_threads(2);
  bool copies_a = false, copies_b = false, streams = false, turned = false;
  const index sizes[][3] = {{1, 120, 400}, {3, 40, 90},     {4, 5, 2000},  {40, 3, 90},     {33, 70, 50},
                            {64, 84, 120}, {100, 200, 300}, {700, 40, 64}, {3, 200, 300},   {200, 3, 300},
                            {2, 64, 2000}, {64, 2, 2000},   {8, 8, 4000},  {2, 1100, 2000}, {1500, 14, 1500}};
  for (const auto& size : sizes) {
    const index m = size[0], n = size[1], k = size[2];
    for (Transpose ta : {Transpose::no, Transpose::yes}) {
      for (Transpose tb : {Transpose::no, Transpose::yes}) {
        SCOPED_TRACE(std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k));
        const auto plan = plan_strided<float>(m, n, k, layout(ta, ta == Transpose::yes ? m : k),
                                              layout(tb, tb == Transpose::yes ? k : n));
        copies_a = copies_a || plan.copies_a();
        copies_b = copies_b || plan.copies_b();
        streams = streams || (plan.form == ProductForm::streamed && !plan.stream.turned);
        turned = turned || (plan.form == ProductForm::streamed && plan.stream.turned);
        const std::vector<float> a(static_cast<std::size_t>(m * k), 2), b(static_cast<std::size_t>(k * n), 3);
        std::vector<float> c(static_cast<std::size_t>(m * n));
        expect_untouched_by_a_late_member(
            "product", plan.workspace(2), [&](const Team& team, std::byte* space) {
              run_strided(team, plan, a.data(), b.data(), StridedC<float>{c.data(), n}, space);
            });
        EXPECT_EQ(c.back(), 6.0f * static_cast<float>(k));
      }
    }
  }
  EXPECT_TRUE(streams && turned) << "no operand goes by";
  EXPECT_TRUE(copies_a && copies_b) << "the copies that the case is for do not occur";
  set_num_threads(before);
}

TEST(GemmArguments, AreChecked) {
  const float a[4] = {}, b[4] = {};
  float c[4] = {};
  const auto call = [&](index m, index lda, index ldb, index ldc) {
    gemm<float>(Transpose::no, Transpose::no, m, 2, 2, 1, a, lda, b, ldb, 0, c, ldc);
  };
  EXPECT_NO_THROW(call(2, 2, 2, 2));
  EXPECT_THROW(call(-1, 2, 2, 2), InvalidArgument);
  EXPECT_THROW(call(2, 1, 2, 2), InvalidArgument);
  EXPECT_THROW(call(2, 2, 1, 2), InvalidArgument);
  EXPECT_THROW(call(2, 2, 2, 1), InvalidArgument);
}

}  // namespace
}  // namespace tenfold
