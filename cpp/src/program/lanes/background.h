// The first layer of a lane segment where it is a dense one of data with a background (kernels/lanes_background.h).
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/lanes.h"
#include "kernels/lanes_background.h"
#include "program/lanes/plan.h"
#include "program/ops/op_base.h"

namespace tenfold {
namespace lanes {

// Unlike the layers behind it, it does not run block by block: its weights are the largest, and a member that computes a
// share of the outputs of all blocks reads that share of the weights only, has it from the step before, and reads it once.
// What the blocks go on with lies in `shared`, a part of the workspace.
template <class T>
class Background {
 public:
  explicit Background(const Plan& plan) : plan_(plan), stage_(plan.stages.front()) {}

  bool there() const { return stage_.on_background; }
  index shared_elements() const { return there() ? plan_.blocks * places().block : 0; }

  // The outputs of all blocks.
  void forward(const Team& team, const void* const* inputs, const index* rows, T* shared) const {
    const auto& k = kernels<LaneKernels, T>();
    team.for_each(plan_.blocks, [&](index b) {
      take_inputs(k, b, static_cast<const T*>(inputs[0]), rows, shared + b * places().block);
    });
    const auto& background = kernels<LaneBackgroundKernels, T>();
    const index share = background.share;
    const T* const w = static_cast<const T*>(inputs[stage_.weight]);
    const T* const bias = stage_.bias >= 0 ? static_cast<const T*>(inputs[stage_.bias]) : nullptr;
    const index groups = divide_up(plan_.blocks, std::max<index>(1, kGroupElements / places().list));
    for (index g = 0; g < groups; ++g) {
      const index first = plan_.blocks * g / groups, last = plan_.blocks * (g + 1) / groups;
      team.for_each(divide_up(stage_.features, share), [&](index piece) {
        const index o = piece * share;
        T row_sums[kMostShare];
        bool summed = false;
        for (index b = first; b < last; ++b) {
          T* const block = shared + b * places().block;
          LaneBackgroundDense<T> call{};
          call.e = block;
          call.list = list(block);
          call.count = *count(block);
          call.w = w + o * stage_.taps;
          call.bias = bias != nullptr ? bias + o : nullptr;
          call.background = block + places().background;
          call.row_sums = has_background(call.background) ? row_sums : nullptr;
          call.sum = call.row_sums != nullptr && !summed;
          summed |= call.sum;
          call.y = block + places().y + o * kLanes;
          call.outputs = std::min(share, stage_.features - o);
          const index next = std::min(share, stage_.features - o - call.outputs) * stage_.taps;
          const index done = next * (b - first) / (last - first);
          call.ahead = call.w + call.outputs * stage_.taps + done;
          call.ahead_count = next * (b + 1 - first) / (last - first) - done;
          call.inputs = stage_.taps;
          call.relu = stage_.relu;
          background.dense(call);
        }
      });
    }
  }

  // What block b goes on with.
  void take_outputs(index b, const T* shared, T* area) const {
    const T* const block = shared + b * places().block;
    std::memcpy(area + output().offset, block + places().y, bytes(stage_.features * kLanes));
    std::memcpy(area + stage_.background.block, block + places().background, bytes(kLanes));
  }

  // What block b leaves for the weight gradient, d being that of its outputs; `past`: past the caches.
  void leave(const LaneKernels<T>& k, index b, const T* area, const T* d, T* leftovers, bool past) const {
    const BackgroundStage& at = stage_.background;
    std::memcpy(leftovers + at.samples + b * kLanes, area + at.block, bytes(kLanes));
    k.from_lanes(stage_.features, d, leftovers + at.d_rows + b * kLanes * at.d_pitch, at.d_pitch, kLanes,
                 past);
  }

  // What is left of the inputs, for all jobs.
  void make_columns(const Team& team, const BackwardCall& call, T* leftovers) const {
    constexpr index kTogether = 8;  // a few lines of each sample
    if (call.d_inputs[stage_.weight] == nullptr) return;
    const LaneColumns<T> to = columns(leftovers);
    team.for_each(divide_up(stage_.background.columns, kTogether), [&](index i) {
      kernels<LaneBackgroundKernels, T>().columns(
          to, i * kTogether, std::min(stage_.background.columns, (i + 1) * kTogether), stage_.taps,
          static_cast<const T*>(call.inputs[0]), call.rows, leftovers + stage_.background.samples);
    });
  }

  // The gradients of outputs begin .. end - 1, times scale, at dw and db; either may be null.
  void weight(index begin, index end, T* leftovers, T scale, T* dw, T* db) const {
    const BackgroundStage& at = stage_.background;
    kernels<LaneBackgroundKernels, T>().dense_weight(end - begin, stage_.taps, columns(leftovers),
                                                     leftovers + at.samples, leftovers + at.d_rows + begin,
                                                     scale, dw, db);
  }

 private:
  // Inputs of blocks that are read again and again for one piece after the other, half of them background: in the
  // second-level cache.
  static constexpr index kGroupElements = index{1} << 18;

  // Of a block in `shared`: what is left of the inputs and then
  struct Places {
    index list, count, background, y, block;
  };
  Places places() const {
    Places at{};
    at.list = stage_.taps * kLanes;
    at.count = at.list + divide_up(stage_.taps, kLanes) * kLanes;
    at.background = at.count + kLanes;
    at.y = at.background + kLanes;
    at.block = at.y + stage_.features * kLanes;
    return at;
  }
  std::int32_t* list(T* block) const { return reinterpret_cast<std::int32_t*>(block + places().list); }
  std::int32_t* count(T* block) const { return reinterpret_cast<std::int32_t*>(block + places().count); }

  void take_inputs(const LaneKernels<T>& k, index b, const T* data, const index* order, T* block) const {
    const auto& background = kernels<LaneBackgroundKernels, T>();
    const T* rows[kLanes];
    rows_of_block(plan_, b, data, order, stage_.taps, rows);
    const index samples = plan_.samples_of(b);
    k.gather_lanes(stage_.taps, rows, 0, samples, block);
    T* const values = block + places().background;
    for (index n = 0; n < kLanes; ++n)
      values[n] = n < samples ? background.background(stage_.taps, rows[n]) : T{0};
    *count(block) = static_cast<std::int32_t>(background.list(stage_.taps, values, block, list(block)));
  }

  static bool has_background(const T* values) {
    return std::any_of(values, values + kLanes, [](T value) { return value != T{0}; });
  }

  LaneColumns<T> columns(T* leftovers) const {
    const BackgroundStage& at = stage_.background;
    return {leftovers + at.e,
            reinterpret_cast<std::int32_t*>(leftovers + at.places),
            reinterpret_cast<std::int32_t*>(leftovers + at.counts),
            plan_.samples,
            lane_columns_pitch(plan_.samples),
            at.d_pitch};
  }

  const Plane& output() const { return plan_.values[static_cast<std::size_t>(stage_.out)]; }
  static std::size_t bytes(index elements) { return static_cast<std::size_t>(elements) * sizeof(T); }

  const Plan& plan_;
  const Stage& stage_;
};

}  // namespace lanes
}  // namespace tenfold
