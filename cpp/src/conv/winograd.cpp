#include "conv/winograd.h"

#include <algorithm>

#include "tenfold/error.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

// What all members share, at one time. Every item reads all of it: it stays in the last-level cache. It is not cut for less
// than the most, since every stretch of tiles transforms the weights anew.
constexpr index kSharedBytes = 8 * 1024 * 1024, kMostSharedBytes = 12 * 1024 * 1024;
// Transformed tiles of an item: they stay in the second-level cache. Those of one panel may be more, up to a point.
constexpr index kBlockBytes = 512 * 1024, kPanelBytes = 1536 * 1024;
// Transformed weights of an item: of all its channels, and of those at a time that stay in the second-level
// cache.
constexpr index kGroupBytes = 768 * 1024;
constexpr index kDepthBytes = 256 * 1024;
// Products that wait for their transform.
constexpr index kSumBytes = 96 * 1024;
constexpr index kWholeBytes = 384 * 1024;
// Most channels that a register tile sums at a time (GEMM's KC).
constexpr index kDepth = 512;
// Channels whose taps are staged at a time, and those of a piece of the shared transform of tiles.
constexpr index kStaged = 16;
// Elements that are asked for ahead while looks are staged, at least: those of the next channels.
constexpr index kAhead = 256;
// Channels from which on asking for the outputs' lines is worth its instructions.
constexpr index kLeastSums = 32;
// Items to aim at, so that several threads have even shares.
constexpr index kItems = 16;
// Sums of a register tile, at least: fewer wait for each other.
constexpr index kLeastTile = 12;
// Filters of a panel, at least, where more panels make the shares even.
constexpr index kFewRows = 8;

WinogradProblem common_problem(const ConvGeometry& g) {
  WinogradProblem p;
  p.images = g.images;
  p.kernel = g.window[1].kernel;
  p.stride = g.window[1].stride;
  return p;
}

int form_of(const WinogradProblem& p) {
  if (p.stride == 2)
    return (p.adjoint ? kWinogradAdjointForm : kWinogradStrideForm) + static_cast<int>(p.kernel) - 3;
  return (p.kernel == 5 ? kWinogradFiveForm : 0) + (p.tile == 4 ? 1 : 0);
}

// Whether filters are shared out, and in how many stretches tiles follow each other then: all of their transforms, or
// all transformed weights, would not stay in the cache.
struct Sharing {
  bool filters_out;
  index stretches;
};
Sharing sharing_of(const WinogradProblem& p, index form, index tiles, index element) {
  const index t = kWinogradForms[form].t;
  const auto bytes = [&](index count) { return t * t * p.source_channels * count * element; };
  const bool filters_out = p.target_channels > tiles || bytes(p.target_channels) > kSharedBytes;
  const index of_tiles = bytes(tiles);
  return {filters_out, filters_out && of_tiles > kMostSharedBytes ? divide_up(of_tiles, kSharedBytes) : 1};
}

}  // namespace

bool winograd_applies(const ConvGeometry& g, bool adjoint) {
  const Window& w = g.window;
  const auto fits = [&](const Axis& a) {
    if (a.dilation != 1) return false;
    if (a.stride == 1) return a.kernel == 3 || a.kernel == 5;
    return a.stride == 2 && (a.kernel == 3 || a.kernel == 4) &&
           (!adjoint || (a.pad_before > 0 && a.pad_before % 2 == 1 && w.border == Border::constant));
  };
  return w.rank == 2 && g.groups == 1 && fits(w[1]) && fits(w[2]) && w[1].kernel == w[2].kernel &&
         w[1].stride == w[2].stride;
}

void require_winograd(const ConvGeometry& g, int tile) {
  const Window& w = g.window;
  const bool exists = winograd_applies(g, false) && winograd_applies(g, true);
  if (exists && (tile == 0 || w[1].stride == 1)) return;
  const auto pair = [&](index Axis::* member) {
    Shape shape;
    for (int i = 3 - w.rank; i < 3; ++i) shape.push_back(w[i].*member);
    return to_string(shape);
  };
  reject(
      g.function, "algorithm",
      tile == 4
          ? "of Winograd with tiles of 4 is for 2-D kernels of (3, 3) or (5, 5) with stride 1"
          : "of Winograd is for 2-D kernels of (3, 3) or (5, 5) with stride 1, and of (3, 3) or (4, 4) with "
            "stride 2 and an odd, constant padding",
      ", dilation 1 and groups 1; received kernel_size ", pair(&Axis::kernel), ", stride ",
      pair(&Axis::stride), ", padding ", pair(&Axis::pad_before), ", border ", name_of(w.border),
      ", dilation ", pair(&Axis::dilation), " and groups ", g.groups);
}

WinogradProblem winograd_forward(const ConvGeometry& g, const ConvOptions& options) {
  WinogradProblem p = common_problem(g);
  p.axes = {g.window[1], g.window[2]};
  p.border = g.window.border;
  p.source_channels = g.channels;
  p.target_channels = g.filters;
  p.weight_channel = p.kernel * p.kernel;
  p.weight_row = p.weight_channel * g.channels;
  p.fill = options.border_value;
  if (options.relu) p.activation = options.keep_sign ? ConvActivation::relu_keep_sign : ConvActivation::relu;
  return p;
}

// x[p - pad] = sum over k of y[p - k] w[k]: y with a border of r - 1 - pad zeros, taps in reverse order. With stride 2,
// y[(p - k) / 2] where it exists: outputs 2 v and 2 v + 1 look at v + (pad - 1) / 2 and one more, after one before with
// four taps.
WinogradProblem winograd_adjoint(const ConvGeometry& g, bool padded) {
  WinogradProblem p = common_problem(g);
  for (std::size_t i = 0; i < 2; ++i) {
    const Axis& a = g.window[static_cast<int>(i) + 1];
    Axis& to = p.axes[i];
    to = a;
    to.size = a.output;
    to.output = padded ? a.padded() : a.size;
    if (p.stride == 2) {
      to.pad_before = p.kernel - 3 - (a.pad_before - 1) / 2;
      to.pad_after = 0;
    } else {
      to.pad_before = p.kernel - 1 - (padded ? 0 : a.pad_before);
      to.pad_after = to.output + p.kernel - 1 - to.size - to.pad_before;
    }
  }
  p.source_channels = g.filters;
  p.target_channels = g.channels;
  p.weight_row = p.kernel * p.kernel;
  p.weight_channel = p.weight_row * g.channels;
  p.rotated = p.adjoint = true;
  return p;
}

namespace {

// Time in multiply-adds of a vector, of 16 lanes as measured with AVX-512, else of 8 as measured with AVX2
// (docs/performance.md).
bool wide_vectors() {
  return kernels<WinogradKernels, float>().lanes > 8;
}
index cost_lanes() {
  return wide_vectors() ? 16 : 8;
}

// Fitted to times of all forms: of moving a vector of looks, and of the transforms of a vector of looks, of outputs and
// of weights, the last two in vectors of 16 lanes; those of looks and outputs for each of the tile's products.
constexpr double kMove = 6, kLooks = 5, kOutputs = 8;
constexpr double kWeights[kWinogradFormCount] = {12, 30, 36, 85, 14, 26, 14, 26};
// Of the multiply-add peak that products reach.
constexpr double kShare = 0.92;

// Vectors' time of a product with so many columns: a few behind the last vector are summed for themselves.
double vectors_of(index columns) {
  const index lanes = cost_lanes(), behind = columns % lanes;
  const double rest = behind <= kGemmMaxFew ? static_cast<double>(behind) / kGemmMaxFew : 1;
  return static_cast<double>(columns / lanes) + rest;
}

struct WinogradCost {
  double products, tiles, weights;  // of them and of their sums; of the transforms
  double all() const { return products + tiles + weights; }
};

WinogradCost winograd_cost(const WinogradProblem& p, int tile) {
  WinogradProblem tried = p;
  tried.tile = tile;
  const WinogradForm& form = kWinogradForms[form_of(tried)];
  const index rows = divide_up(p.axes[0].output, form.m), columns = divide_up(p.axes[1].output, form.m);
  const double c = static_cast<double>(p.source_channels), f = static_cast<double>(p.target_channels);
  const index lanes = cost_lanes();
  const index all = p.images * rows * columns;
  const double elements = static_cast<double>(form.t * form.t);
  const double vectors = static_cast<double>(divide_up(all, lanes));
  const index row = columns % lanes == 0
                        ? divide_up(columns * form.step + form.looks - form.step, lanes)
                        : divide_up(form.looks, form.step) * divide_up(columns * form.step, lanes);
  const double moves = static_cast<double>(p.images * rows * form.looks * row);
  const double looks = kMove * moves + kLooks * elements * vectors;
  const double again = static_cast<double>(sharing_of(p, form_of(tried), all, sizeof(float)).stretches);
  const double wide = 16 / static_cast<double>(lanes);
  return {elements * (vectors_of(all) * c / kShare + kOutputs * wide * vectors) * f, looks * c,
          again * kWeights[form_of(tried)] * wide * c * f};
}

double direct_cost(const WinogradProblem& p) {
  const double share = p.stride == 1 ? 0.8 : 0.75, unfolded_share = 0.85;  // of the multiply-add peak
  // Of a tap of a weight, with what it takes to share it; those of a strided adjoint are packed one by one.
  const bool one_by_one = p.stride == 2 && p.adjoint;
  const double packing = wide_vectors() ? (one_by_one ? 5 : 1.3) : (one_by_one ? 17 : 4.5),
               unfolded_packing = 1;
  const double unfolding = 20;  // a vector of looks at a tap
  const double c = static_cast<double>(p.source_channels), f = static_cast<double>(p.target_channels);
  const index outputs = p.images * p.axes[0].output * p.axes[1].output;
  // Every tap of an adjoint makes every second output along both axes.
  const double columns = static_cast<double>(divide_up(one_by_one ? outputs / 4 : outputs, cost_lanes()));
  const double direct = (columns / share + packing) * f;
  const double unfolded = (vectors_of(outputs) / unfolded_share + unfolded_packing) * f + unfolding * columns;
  return static_cast<double>(p.kernel * p.kernel) * c * (one_by_one ? direct : std::min(direct, unfolded));
}

}  // namespace

int winograd_tile(const WinogradProblem& p) {
  if (p.stride == 2) return 2;
  return winograd_cost(p, 4).all() < winograd_cost(p, 2).all() ? 4 : 2;
}

int winograd_choice(const WinogradProblem& p) {
  // Short sums: the direct form's error is so small that four times of it is not enough (docs/numerics.md). With five
  // taps tiles of four, at nine points, err less than those of two.
  constexpr index kLeastChannels = 8, kLeastChannelsOfFour = 16;
  // Few channels of a batch have forms in lanes besides, which are faster than the direct one.
  constexpr index kFewChannels = 8;
  constexpr double kClearly = 0.86, kClearlyOfFew = 0.6;
  const bool in_lanes =
      std::min(p.source_channels, p.target_channels) < kFewChannels && p.images >= cost_lanes();
  const bool five = p.kernel == 5;
  const index least = !five ? kLeastChannels : wide_vectors() ? 4 : 5;  // of five taps: by time, not by error
  if (p.source_channels < least) return 0;
  const int m = five && p.source_channels < kLeastChannels          ? 4
                : !five && p.source_channels < kLeastChannelsOfFour ? 2
                                                                    : winograd_tile(p);
  return winograd_cost(p, m).all() < (in_lanes ? kClearlyOfFew : kClearly) * direct_cost(p) ? m : 0;
}

template <class T>
Winograd<T>::Winograd(const WinogradProblem& problem)
    : problem_(problem),
      k_(kernels<WinogradKernels, T>()),
      gemm_(kernels<GemmKernels, T>()),
      form_(form_of(problem)),
      m_(kWinogradForms[form_].m),
      r_(kWinogradForms[form_].r),
      step_(kWinogradForms[form_].step),
      looks_(kWinogradForms[form_].looks),
      elements_(kWinogradForms[form_].t * kWinogradForms[form_].t) {
  const WinogradProblem& p = problem_;
  TH_ = divide_up(p.axes[0].output, m_);
  TW_ = divide_up(p.axes[1].output, m_);
  tiles_ = p.images * TH_ * TW_;
  for (std::size_t i = 0; i < 2; ++i) {
    // The looks of all tiles, side by side.
    Axis axis = p.axes[i];
    axis.stride = 1, axis.kernel = looks_;
    axis.output = std::max<index>(0, (i == 0 ? TH_ : TW_) - 1) * step_ + 1;
    look_[i] = shift_forward(axis, p.border).phases[0];
  }
  panels_ = divide_up(p.target_channels, gemm_.rows);
  const Sharing sharing = sharing_of(p, form_, tiles_, static_cast<index>(sizeof(T)));
  filters_out_ = sharing.filters_out;
  const index of_vector = elements_ * p.source_channels * gemm_.lanes * static_cast<index>(sizeof(T));
  index vectors = gemm_.vectors;
  while (!filters_out_ && vectors * of_vector > kPanelBytes && (vectors - 1) * gemm_.rows >= kLeastTile)
    --vectors;
  NR_ = vectors * gemm_.lanes;
  // Even shares for two and four threads, rather than the tallest tiles.
  const auto even = [](index count) { return divide_up(count, 4) * 4; };
  if (filters_out_ && p.target_channels >= kFewRows * even(panels_)) panels_ = even(panels_);
  most_rows_ = divide_up(p.target_channels, panels_);

  const auto elements = [](index bytes) { return bytes / static_cast<index>(sizeof(T)); };
  const WinogradCost cost = winograd_cost(p, p.tile);
  again_ = (filters_out_ ? cost.tiles : cost.weights) / cost.all();
  const index panel_sums = elements_ * most_rows_ * NR_;
  depth_ = divide_up(p.source_channels, divide_up(p.source_channels, kDepth));
  const index tile_panels = std::max<index>(1, divide_up(tiles_, NR_));
  if (filters_out_) {
    const index all = divide_up(tile_panels, sharing.stretches);
    stretch_ = NR_ * all;
    const index share = std::max<index>(1, panels_ / kItems);
    whole_ = panel_sums * all <= elements(kWholeBytes);
    if (whole_) {
      group_ = std::clamp<index>(elements(kSumBytes) / (panel_sums * all), 1, share);
      block_ = NR_ * all;
      depth_ = elements(kDepthBytes) / (elements_ * most_rows_ * group_) / kStaged * kStaged;
      depth_ = std::clamp(depth_, 4 * kStaged, kDepth);
    } else {
      group_ =
          std::clamp<index>(elements(kGroupBytes) / (elements_ * p.source_channels * most_rows_), 1, share);
      block_ = NR_ * std::max<index>(1, elements(kSumBytes) / (panel_sums * group_));
    }
  } else {
    stretch_ = tiles_;
    block_ = NR_ * std::max<index>(1, elements(kBlockBytes) / (elements_ * v_panel()));
    block_ = std::min(block_, NR_ * std::max<index>(1, divide_up(tiles_, NR_ * kItems)));
    group_ = std::clamp<index>(elements(kSumBytes) / (panel_sums * (block_ / NR_)), 1, panels_);
  }
  vectors_ = divide_up(block_, k_.lanes) * m_;
  groups_ = divide_up(looks_, step_);
  gap_ = TW_ % k_.lanes == 0 ? kGap : 0;
  const index lines = tiles_ == 0 ? 0 : std::min((block_ - 2 + TW_) / TW_ + 1, p.images * TH_);
  // Tiles of whole vectors, and those of the row below.
  pitch_ = (divide_up(block_, k_.lanes) * k_.lanes + (TW_ < block_ ? (groups_ - 1) * TW_ : 0)) * step_;
  pitch_ += (lines + groups_) * gap_ + (groups_ - 1) * step_ + k_.lanes;
  pitch_ = divide_up(pitch_, 16) * 16;
  if (pitch_ * static_cast<index>(sizeof(T)) % 1024 == 0) pitch_ += 16;
  const ShiftPhase& columns = look_[1];
  const index outside =
      static_cast<index>(columns.table.size()) - (columns.inside_end - columns.inside_begin);
  const index pieces = p.border == Border::constant ? 1 : 1 + outside;
  moves_ = looks_ * groups_ * ((lines + groups_) * (1 + pieces) + divide_up(pitch_, k_.lanes));
}

template <class T>
std::size_t Winograd<T>::shared_bytes() const {
  const index elements =
      elements_ * (filters_out_ ? v_step() : u_step(problem_.target_channels, problem_.source_channels));
  return align_up(static_cast<std::size_t>(elements) * sizeof(T));
}

// Of a member's transformed weights of some filters, or tiles of a block.
template <class T>
index Winograd<T>::own_elements() const {
  if (!filters_out_) return elements_ * v_step();
  return elements_ * u_step(group_ * most_rows_, whole_ ? depth_ : problem_.source_channels);
}

// Bytes of the buffers of a Scratch, in order.
template <class T>
std::array<std::size_t, 7> Winograd<T>::scratch_layout() const {
  const auto bytes = [](index count, std::size_t size) {
    return align_up(static_cast<std::size_t>(count) * size);
  };
  const index width = divide_up(most_rows_, k_.lanes) * k_.lanes;
  return {bytes(looks_ * groups_ * pitch_, sizeof(T)),
          bytes(moves_, sizeof(WinogradMove)),
          bytes(kStaged * taps_room() * width, sizeof(T)),
          bytes(own_elements(), sizeof(T)),
          bytes(group_ * (block_ / NR_) * elements_ * most_rows_ * NR_, sizeof(T)),
          bytes(block_ + vectors_, sizeof(WinogradRun)),
          bytes(vectors_ + 1, sizeof(index))};
}

template <class T>
std::size_t Winograd<T>::scratch_bytes() const {
  std::size_t total = 0;
  for (std::size_t bytes : scratch_layout()) total += bytes;
  return total;
}

template <class T>
typename Winograd<T>::Scratch Winograd<T>::scratch_of(int rank, std::byte* at) const {
  at += static_cast<std::size_t>(rank) * scratch_bytes();
  std::array<std::byte*, 7> buffers;
  const auto layout = scratch_layout();
  for (std::size_t i = 0; i < layout.size(); ++i) {
    buffers[i] = at;
    at += layout[i];
  }
  const auto elements = [&](std::size_t i) { return reinterpret_cast<T*>(buffers[i]); };
  return {elements(0),
          reinterpret_cast<WinogradMove*>(buffers[1]),
          elements(2),
          elements(3),
          elements(4),
          reinterpret_cast<WinogradRun*>(buffers[5]),
          reinterpret_cast<index*>(buffers[6])};
}

template <class T>
std::size_t Winograd<T>::workspace(int threads) const {
  int copies = 1;  // a team may turn out smaller
  while (copies < threads && own(copies + 1)) ++copies;
  return static_cast<std::size_t>(copies) * shared_bytes() +
         static_cast<std::size_t>(threads) * scratch_bytes();
}

template <class T>
bool Winograd<T>::own(int members) const {
  constexpr double kAgain = 0.25;
  constexpr std::size_t kMostBytes = 3 * 1024 * 1024;
  return stretch_ >= tiles_ && again_ * (members - 1) <= kAgain && shared_bytes() <= kMostBytes;
}

// The runs of the outputs of tiles begin .. end - 1: vector by vector, of what lies side by side in a row of an image.
template <class T>
void Winograd<T>::make_runs(index begin, index end, const Scratch& s) const {
  const Axis &height = problem_.axes[0], &width = problem_.axes[1];
  const index L = k_.lanes, vectors = divide_up(end - begin, L) * m_;
  index run = 0, vector = 0;
  for (index tile = begin, count; tile < end; tile += count) {
    const index image = tile / (TH_ * TW_), th = tile / TW_ % TH_, tw = tile % TW_;
    count = std::min(TW_ - tw, end - tile);
    const index at = (tile - begin) * m_, pixels = std::min(count * m_, width.output - tw * m_);
    const index target =
        (image * problem_.target_channels * height.output + th * m_) * width.output + tw * m_ - at;
    const index rows = std::min(m_, height.output - th * m_);
    for (index i = at; i < at + pixels;) {
      while (vector <= i / L) s.first[vector++] = run;
      const index lane = i % L, lanes = std::min(L - lane, at + pixels - i);
      s.runs[run++] = {target + i - lane, lane, lane + lanes, rows};
      i += lanes;
    }
  }
  while (vector <= vectors) s.first[vector++] = run;
}

// How the looks of tiles begin .. end - 1 are staged: tile after tile, as if they all lay in one row. What a look has beyond
// its tile's own step x step elements belongs to the tile beside it or below, too, but for the last ones of a row and of an
// image: where vectors of tiles go across such an end, it is staged once more.
template <class T>
typename Winograd<T>::Staging Winograd<T>::make_moves(index begin, index end, const Scratch& s) const {
  const WinogradProblem& p = problem_;
  const ShiftPhase &rows = look_[0], &columns = look_[1];
  const index H = p.axes[0].size, W = p.axes[1].size, area = TH_ * TW_;
  const bool in_rows = gap_ > 0 || begin / TW_ == (end - 1) / TW_;
  const bool in_image = TW_ < end - begin && begin / area == (end - 1) / area;
  const index lines = in_image ? step_ : looks_, beside = in_rows ? 1 : groups_;
  Staging staging{0, in_image ? TW_ * step_ + gap_ : step_ * pitch_, in_rows ? step_ : lines * pitch_};
  // Elements i < count, those from b to e of the source.
  const auto add = [&](index source, index b, index e, index count, index to) {
    for (index i = 0; i < count; i += k_.lanes) {
      const auto below = [&](index at) { return (1u << std::clamp(at - i, index{0}, k_.lanes)) - 1; };
      s.moves[staging.moves++] = {source + i, to + i, below(e) & ~below(b)};
    }
  };
  const index last = in_image ? end + (groups_ - 1) * TW_ : end;
  for (index tile = begin, count; tile < last; tile += count) {
    const index image = std::min(tile, end - 1) / area, th = tile / TW_ - image * TH_, tw = tile % TW_;
    count = std::min(TW_ - tw, last - tile);
    const index needed = tile < end ? lines : std::min(lines, looks_ - step_);
    for (index line = 0; line < needed; ++line) {
      const index h = rows.table[static_cast<std::size_t>(th * step_ + line)];
      for (index group = 0; group < beside; ++group) {
        const index u = (tw + group) * step_, to = group * staging.right + line * pitch_ + place(begin, tile);
        const index size = static_cast<index>(columns.table.size()) - u;
        const index n = std::min(size, count * step_ + (in_rows ? looks_ - step_ : 0));
        if (n <= 0) continue;
        const index b = std::clamp(columns.inside_begin - u, index{0}, n);
        const index e = std::clamp(columns.inside_end - u, b, n);
        const index row = image * p.source_channels * H * W + h * W;
        if (h < 0) {
          add(0, 0, 0, n, to);
        } else if (p.border == Border::constant) {
          add(row + columns.first + u, b, e, n, to);
        } else {
          const auto single = [&](index i) {
            add(row + columns.table[static_cast<std::size_t>(u + i)], 0, 1, 1, to + i);
          };
          for (index i = 0; i < b; ++i) single(i);
          if (e > b) add(row + columns.first + u + b, 0, e - b, e - b, to + b);
          for (index i = e; i < n; ++i) single(i);
        }
      }
    }
  }
  return staging;
}

// u[element * u_apart + (k - k_begin) * rows + row] of a panel of filters
template <class T>
void Winograd<T>::transform_weights(index panel, index k_begin, index k_end, const T* weight,
                                    const Scratch& s, T* u, index u_apart) const {
  const WinogradProblem& p = problem_;
  const index f = row(panel), rows = row(panel + 1) - f;
  const index width = divide_up(rows, k_.lanes) * k_.lanes;
  // The packing is fast for whole vectors: the filters behind the panel's come along, and nothing uses them.
  const index count = std::min(width, p.target_channels - f);
  const index taps = r_ * r_, all = p.source_channels * p.target_channels * taps;
  const auto& transform = k_.weights[form_];
  for (index k = k_begin; k < k_end; k += kStaged) {
    const index kk = std::min(kStaged, k_end - k);
    const T* from = weight + f * p.weight_row + k * p.weight_channel;
    index k_step = taps * width;
    if (p.weight_channel == taps) {
      gemm_.pack(count, taps * kk, from, p.weight_row, 1, width, s.taps);
    } else {
      k_step = taps_room() * width;
      for (index i = 0; i < kk; ++i) {
        // The rows of w lie far apart: no hardware fetches the next ones by itself.
        if (k + kStaged + i < k_end) {
          const T* next = from + (kStaged + i) * p.weight_channel;
          for (index at = 0; at < taps * count; at += kLine<T>) __builtin_prefetch(next + at);
        }
        // More taps than there are, where something follows them: whole squares are transposed.
        const index begin = from + i * p.weight_channel - weight;
        const bool whole = begin + (count - 1) * p.weight_row + taps_room() <= all;
        gemm_.pack(count, whole ? taps_room() : taps, weight + begin, p.weight_row, 1, width,
                   s.taps + i * k_step);
      }
    }
    transform(kk, rows, p.rotated ? s.taps + (taps - 1) * width : s.taps, k_step, p.rotated ? -width : width,
              u + (k - k_begin) * rows, u_apart);
  }
}

// v[panel][element][channel][column] of tiles begin .. end - 1; channels c_begin .. c_end
template <class T>
void Winograd<T>::transform_tiles(index begin, index end, index c_begin, index c_end, const T* source,
                                  const Scratch& s, T* v) const {
  const index plane = problem_.axes[0].size * problem_.axes[1].size, tiles = end - begin;
  const T fill = static_cast<T>(problem_.fill);
  const index ahead = plane > 0 ? plane * divide_up(kAhead, plane) : 0;
  const auto& transform = k_.input[form_];
  const Staging staging = make_moves(begin, end, s);
  for (index c = c_begin; c < c_end; ++c) {
    k_.stage(staging.moves, s.moves, source + c * plane, ahead, fill, s.rows);
    for (index i = 0, n; i < tiles; i += n) {
      n = std::min(NR_ - i % NR_, tiles - i);
      if (gap_ > 0) n = std::min(n, TW_ - (begin + i) % TW_);
      transform(n, s.rows + place(begin, begin + i), pitch_, staging.down, staging.right,
                v + i / NR_ * v_panel() + i % NR_ + c * NR_, v_step());
    }
  }
}

// What tiles begin .. end - 1 look at and those before do not, as far as it belongs to one image.
template <class T>
Ahead<T> Winograd<T>::rows_ahead(index begin, index end, const T* source) const {
  const WinogradProblem& p = problem_;
  const index first = divide_up(begin, TW_), image = first / TH_, th = first % TH_;  // rows of tiles
  const index last = std::min((end - 1) / TW_ - image * TH_, TH_ - 1);
  if (begin >= end || last < th) return {};
  const index from = look_[0].first + th * step_ + (th > 0 ? std::max<index>(0, looks_ - step_) : 0);
  const index to = look_[0].first + last * step_ + looks_;
  const index H = p.axes[0].size, W = p.axes[1].size;
  const index h = std::clamp<index>(from, 0, H), rows = std::clamp<index>(to, h, H) - h;
  if (rows * W == 0) return {};
  return {source + (image * p.source_channels * H + h) * W, p.source_channels, H * W, rows * W};
}

// What the outputs of these tiles and channels are written to, as far as it belongs to the first one's image.
template <class T>
Ahead<T> Winograd<T>::target_ahead(index begin, index end, index c_begin, index c_end,
                                   const T* target) const {
  const Axis &height = problem_.axes[0], &width = problem_.axes[1];
  const index image = begin / TW_ / TH_, th = begin / TW_ % TH_, area = height.output * width.output;
  const index last = std::min((end - 1) / TW_ - image * TH_, TH_ - 1);
  const bool single = begin / TW_ == (end - 1) / TW_;
  const index w = single ? begin % TW_ * m_ : 0,
              w_end = single ? std::min(width.output, ((end - 1) % TW_ + 1) * m_) : width.output;
  const index h = th * m_, h_end = std::min(height.output, (last + 1) * m_);
  const T* const from = target + (image * problem_.target_channels + c_begin) * area + h * width.output + w;
  return {from, c_end - c_begin, area, h_end - h, width.output, w_end - w};
}

// sums[panel][column panel][element] (+)= the products of filter panels p_begin .. p_end - 1 and of v's column panels over
// K channels; u begins with panel p_begin, its elements are u_apart. Meanwhile the next rows of the source and where the outputs go are asked for.
template <class T>
void Winograd<T>::multiply(index p_begin, index p_end, index K, bool resume, const T* u, index u_apart,
                           const T* v, index tiles, const Scratch& s, Ahead<T>* next_rows,
                           Ahead<T> outputs) const {
  const index panels = divide_up(tiles, NR_), room = elements_ * most_rows_ * NR_;
  const index asked = outputs.lines(elements_ * (p_end - p_begin) * panels);
  const index step = next_rows ? next_rows->step(depth_) : 0;
  // A few tiles behind the last whole vector of the last panel do not take a vector's time.
  const index last = tiles - (panels - 1) * NR_, behind = last % gemm_.lanes;
  const index few = behind <= kGemmMaxFew ? behind : 0, last_vectors = divide_up(last - few, gemm_.lanes);
  GemmTile<T> tile{};
  tile.a_row = 1, tile.b_step = NR_, tile.ldc = NR_, tile.alpha = 1;
  for (index e = 0; e < elements_; ++e) {
    for (index p = p_begin; p < p_end; ++p) {
      const index rows = row(p + 1) - row(p);
      const T* a = u + e * u_apart + (row(p) - row(p_begin)) * K;
      const T* b = v + e * v_step();
      T* sums = s.sums + (p - p_begin) * panels * room + e * rows * NR_;
      tile.a_step = rows;
      for (index q = 0; q < panels; ++q, b += v_panel(), sums += room) {
        const bool whole = q + 1 < panels;
        const index vectors = whole ? NR_ / gemm_.lanes : last_vectors;
        tile.c = sums, tile.n = vectors * gemm_.lanes;
        outputs.more(asked);
        // One tile's parts follow each other: both operands are read on where they come from the third-level cache.
        for (index k = 0; k < K; k += depth_) {
          tile.k = std::min(depth_, K - k);
          tile.a = a + k * rows, tile.b = b + k * NR_;
          tile.beta = resume || k > 0 ? T(1) : T(0);
          if (next_rows) {
            const GemmFetch<T> fetch = next_rows->with_tile(tile.k, step);
            tile.next = fetch.data, tile.next_step = fetch.step;
          }
          if (vectors > 0) gemm_.tile[vectors - 1][rows - 1](tile);
          if (whole || few == 0) continue;
          GemmTile<T> rest = tile;
          rest.b += vectors * gemm_.lanes, rest.c += vectors * gemm_.lanes;
          gemm_.few[few - 1](rows, rest);
        }
      }
    }
  }
}

// The outputs of these panels and of the block whose runs are made.
template <class T>
void Winograd<T>::transform_products(index p_begin, index p_end, index tiles, const T* bias, const Scratch& s,
                                     T* target) const {
  const index area = problem_.axes[0].output * problem_.axes[1].output;
  const index panels = divide_up(tiles, NR_), room = elements_ * most_rows_ * NR_;
  const auto& transform = k_.output[form_];
  for (index p = p_begin; p < p_end; ++p) {
    const index rows = row(p + 1) - row(p);
    for (index i = 0; i < rows; ++i) {
      const index f = row(p) + i;
      for (index q = 0; q < panels; ++q) {
        transform(std::min(NR_, tiles - q * NR_), s.first + q * NR_ / k_.lanes * m_, s.runs,
                  s.sums + ((p - p_begin) * panels + q) * room + i * NR_, rows * NR_, bias ? bias[f] : T(0),
                  problem_.activation, target + f * area, problem_.axes[1].output);
      }
    }
  }
}

template <class T>
void Winograd<T>::share_filters(const Team& team, index first, const Call& call, const Scratch& s) const {
  const index C = problem_.source_channels, parts = divide_up(C, kStaged);
  const index last = std::min(tiles_, first + stretch_), blocks = divide_up(last - first, block_);
  const auto end_of = [&](index begin) { return std::min(last, begin + block_); };
  const auto place_of = [&](index begin) { return call.shared + (begin - first) / NR_ * v_panel(); };
  const auto transform_part = [&](index part) {
    const index begin = first + part / parts * block_, c = part % parts * kStaged;
    transform_tiles(begin, end_of(begin), c, std::min(C, c + kStaged), call.source, s, place_of(begin));
  };
  if (!call.each) team.for_each(blocks * parts, transform_part);
  bool ready = !call.each;
  const index groups = divide_up(panels_, group_), room = whole_ ? depth_ : C;
  team.for_each(groups, [&](index item) {
    const index p_begin = panels_ * item / groups, p_end = panels_ * (item + 1) / groups;
    const index filters = row(p_end) - row(p_begin);
    for (index begin = first; !ready && begin < last; begin += block_)
      transform_tiles(begin, end_of(begin), 0, C, call.source, s, place_of(begin));
    ready = true;
    if (whole_) make_runs(first, last, s);
    for (index k = 0; k < C; k += room) {
      const index k_end = std::min(C, k + room), step = u_step(filters, k_end - k);
      for (index p = p_begin; p < p_end; ++p) {
        transform_weights(p, k, k_end, call.weight, s, s.own + (row(p) - row(p_begin)) * (k_end - k), step);
      }
      if (!whole_) continue;
      multiply(p_begin, p_end, k_end - k, k > 0, s.own, step, call.shared + k * NR_, last - first, s);
    }
    if (whole_) return transform_products(p_begin, p_end, last - first, call.bias, s, call.target);
    for (index begin = first; begin < last; begin += block_) {
      const index tiles = end_of(begin) - begin;
      multiply(p_begin, p_end, C, false, s.own, u_step(filters, C), place_of(begin), tiles, s);
      make_runs(begin, end_of(begin), s);
      transform_products(p_begin, p_end, tiles, call.bias, s, call.target);
    }
  });
}

template <class T>
void Winograd<T>::share_tiles(const Team& team, const Call& call, const Scratch& s) const {
  const index C = problem_.source_channels, step = u_step(problem_.target_channels, C);
  const auto transform_panel = [&](index p) {
    transform_weights(p, 0, C, call.weight, s, call.shared + row(p) * C, step);
  };
  if (!call.each) team.for_each(panels_, transform_panel);
  bool ready = !call.each;
  const auto end_of = [&](index begin) { return std::min(tiles_, begin + block_); };
  team.for_each(divide_up(tiles_, block_), [&](index item) {
    for (index p = 0; !ready && p < panels_; ++p) transform_panel(p);
    ready = true;
    const index begin = item * block_, end = end_of(begin);
    make_runs(begin, end, s);
    transform_tiles(begin, end, 0, C, call.source, s, s.own);
    Ahead<T> next_rows = rows_ahead(end, end_of(end), call.source);
    for (index p = 0; p < panels_; p += group_) {
      const index p_end = std::min(panels_, p + group_);
      const Ahead<T> outputs =
          C < kLeastSums ? Ahead<T>() : target_ahead(begin, end, row(p), row(p_end), call.target);
      multiply(p, p_end, C, false, call.shared + row(p) * C, step, s.own, end - begin, s, &next_rows,
               outputs);
      transform_products(p, p_end, end - begin, call.bias, s, call.target);
    }
  });
}

template <class T>
void Winograd<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                      std::byte* workspace) const {
  const bool each = own(team.size());
  const auto rank = static_cast<std::size_t>(team.rank()),
             copies = each ? static_cast<std::size_t>(team.size()) : 1;
  const Scratch s = scratch_of(team.rank(), workspace + copies * shared_bytes());
  T* const shared = reinterpret_cast<T*>(workspace + (each ? rank * shared_bytes() : 0));
  const Call call{source, weight, bias, target, shared, each};
  if (!filters_out_) return share_tiles(team, call, s);
  for (index first = 0; first < tiles_; first += stretch_) share_filters(team, first, call, s);
}

template class Winograd<float>;
template class Winograd<double>;

}  // namespace tenfold
