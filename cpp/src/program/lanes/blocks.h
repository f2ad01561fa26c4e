// The blocks of a lane segment: what a member of the team does with 16 samples, what that leaves, and what is made of it
// when all blocks are done.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/lanes.h"
#include "kernels/lanes_conv.h"
#include "kernels/lanes_dense.h"
#include "kernels/lanes_nine_winograd.h"
#include "kernels/lanes_pool.h"
#include "kernels/lanes_row_winograd.h"
#include "kernels/lanes_sparse.h"
#include "kernels/lanes_winograd.h"
#include "kernels/past.h"
#include "program/lanes/background.h"
#include "program/lanes/plan.h"
#include "program/ops/op_base.h"

namespace tenfold {
namespace lanes {

// What all blocks leave stays in the second-level cache up to so many elements.
constexpr index kNearLeftovers = index{1} << 17;  // elements

template <class T>
class Blocks {
 public:
  using Kernels = LaneKernels<T>;

  Blocks(const LaneChain& chain, const Plan& plan) : chain_(chain), plan_(plan), background_(plan) {}

  const Background<T>& background() const { return background_; }

  bool keeps_areas() const { return chain_.training && !chain_.by_block; }

  // What a member holds: [transformed weights][scratch of tiles][area of a block][gradients].
  index forward_elements() const {
    return plan_.forward_member() + (keeps_areas() ? 0 : plan_.area) + (chain_.by_block ? plan_.member() : 0);
  }
  index backward_elements() const {
    return plan_.forward_member() + (keeps_areas() ? 0 : plan_.area) + plan_.member();
  }
  T* area_of(T* mine) const { return mine + plan_.forward_member(); }
  T* gradients_of(T* mine) const { return area_of(mine) + (keeps_areas() ? 0 : plan_.area); }

  // Each member transforms the weights for itself, once, when it takes its first chunk: that takes less time than
  // sharing them.
  void transform_weights(const void* const* inputs, T* mine, bool& ready) const {
    if (ready) return;
    ready = true;
    for (const Stage& stage : plan_.stages) {
      const index pairs = stage.features * value(stage.in).channels;
      const T* const w = stage.weight >= 0 ? static_cast<const T*>(inputs[stage.weight]) : nullptr;
      if (stage.forward_form == Form::winograd || stage.input_form == Form::winograd)
        kernels<LaneWinogradKernels, T>().transform[kernel_number(stage)](pairs, w, mine + stage.points);
      T* const forward_points = mine + stage.forward_points;
      if (stage.forward_form == Form::rows)
        kernels<LaneRowWinogradKernels, T>().transform[kernel_number(stage)](pairs, w, forward_points);
      if (stage.forward_form == Form::nine) {
        kernels<LaneNineWinogradKernels, T>().transform(value(stage.in).channels, stage.features, w,
                                                        forward_points);
      }
      if (stage.input_form == Form::sparse)
        kernels<LaneSparseKernels, T>().pack[kernel_number(stage)](
            stage.sparse.rows, stage.features, value(stage.in).channels, w, mine + stage.sparse.weights);
    }
  }

  // The gradient of a value of block b. A dense layer's output gradient is left for the end of the step.
  T* gradient(T* gradients, T* leftovers, index b, int v) const {
    const Stage* producer = v > 0 ? &plan_.stages[static_cast<std::size_t>(v - 1)] : nullptr;
    if (producer != nullptr && producer->kind == LaneLayer::Kind::linear) {
      return leftovers + producer->d_out + b * producer->features * kLanes;
    }
    return gradients + (v % 2 == 0 ? 0 : plan_.gradient[0]);
  }
  void clear_sums(T* gradients) const { std::memset(sums(gradients), 0, bytes(plan_.sums)); }

  void forward_block(const Kernels& k, const void* const* inputs, const index* rows, index b, T* area,
                     T* mine, const T* shared) const {
    for (const Plane& plane : plan_.values) clear_padding(plane, area + plane.offset);
    if (background_.there()) {
      background_.take_outputs(b, shared, area);
    } else {
      read_value(k, b, value(0), static_cast<const T*>(inputs[0]), rows, area + value(0).offset);
    }
    for (const Stage& stage : plan_.stages) {
      const Plane &in = value(stage.in), &out = value(stage.out);
      const T* x = area + in.offset;
      T* y = area + out.offset;
      const T* w = stage.weight >= 0 ? static_cast<const T*>(inputs[stage.weight]) : nullptr;
      const T* bias = stage.bias >= 0 ? static_cast<const T*>(inputs[stage.bias]) : nullptr;
      switch (stage.kind) {
        case LaneLayer::Kind::conv:
          conv_forward(stage, w, bias, area, mine);
          break;
        case LaneLayer::Kind::linear:
          if (!stage.on_background)
            kernels<LaneDenseKernels, T>().forward(stage.features, stage.taps, x, w, bias, stage.relu, y);
          break;
        case LaneLayer::Kind::max_pool: {
          LanePool<T> pool = pool_of(stage, area);
          const auto& pools = kernels<LanePoolKernels, T>();
          for (index c = 0; c < in.channels; ++c) {
            pool.x = x + c * in.plane();
            pool.y = y + c * out.plane() + out.origin();
            pools.forward(pool);
            pool.codes += out.height * out.width * kLanes;
          }
          break;
        }
        default: {
          // x and y are padded differently.
          for (index c = 0; c < in.channels; ++c) {
            for (index h = 0; h < in.height; ++h) {
              k.relu(in.width * kLanes, x + c * in.plane() + in.origin() + h * in.row(),
                     y + c * out.plane() + out.origin() + h * out.row());
            }
          }
        }
      }
    }
  }

  void write_value(const Kernels& k, index b, const T* area, int v, T* rows) const {
    write_plane(k, b, value(v), area + value(v).offset, rows);
  }

  // From the gradient of the last value to everything the block leaves (and its part of dx). `shared`: other members
  // read what it leaves, and have it in their caches from the step before; it leaves past the caches.
  void backward_block(const Kernels& k, const void* const* inputs, index b, T* area, T* gradients, T* mine,
                      T* leftovers, const BackwardCall* call, bool shared) const {
    for (std::size_t s = plan_.stages.size(); s-- > 0;) {
      const Stage& stage = plan_.stages[s];
      const Plane &in = value(stage.in), &out = value(stage.out);
      T* const d = gradient(gradients, leftovers, b, stage.out);
      T* const d_in = gradient(gradients, leftovers, b, stage.in);
      const T* const w = stage.weight >= 0 ? static_cast<const T*>(inputs[stage.weight]) : nullptr;
      const bool wants_dx = s > 0 || (call != nullptr && call->d_inputs[0] != nullptr);
      if (stage.relu && !stage.pool) relu_backward(k, stage, out, area, d);
      switch (stage.kind) {
        case LaneLayer::Kind::conv:
          conv_backward(k, stage, w, area, d, gradients, mine, wants_dx ? d_in : nullptr,
                        shared ? what_was_left(b, leftovers) : Left{});
          break;
        case LaneLayer::Kind::linear: {
          if (stage.on_background) {
            background_.leave(k, b, area, d, leftovers, shared);
          } else {
            T* rows = leftovers + stage.samples_rows + b * kLanes * stage.pitch;
            k.from_lanes(stage.taps, area + in.offset, rows, stage.pitch, kLanes, shared);
            const index whole = divide_up(stage.taps, kLanes) * kLanes;
            for (index n = 0; n < kLanes; ++n)
              std::fill(rows + n * stage.pitch + stage.taps, rows + n * stage.pitch + whole, T{0});
          }
          if (wants_dx) kernels<LaneDenseKernels, T>().input(stage.features, stage.taps, d, w, d_in);
          break;
        }
        case LaneLayer::Kind::max_pool: {
          if (!wants_dx) break;
          LanePool<T> pool = pool_of(stage, area);
          const auto& pools = kernels<LanePoolKernels, T>();
          for (index c = 0; c < in.channels; ++c) {
            pool.dy = d + c * out.plane() + out.origin();
            pool.dx = d_in + c * in.plane();
            pools.backward(pool);
            pool.codes += out.height * out.width * kLanes;
          }
          break;
        }
        default:
          relu_backward(k, stage, out, area, d);
          for (index c = 0; c < in.channels; ++c) {
            for (index h = 0; h < in.height; ++h) {
              std::memcpy(d_in + c * in.plane() + in.origin() + h * in.row(),
                          d + c * out.plane() + out.origin() + h * out.row(), bytes(in.width * kLanes));
            }
          }
      }
      if (!wants_dx) return;
      for (const auto& [v, o] : plan_.kept) {
        if (v == stage.in && call != nullptr) {
          add_output_gradient(k, b, v, static_cast<const T*>(call->d_outputs[o]), gradients, d_in);
        }
      }
      if (s == 0) write_plane(k, b, in, d_in, d_input<T>(*call, 0));
    }
  }

  // Adds the gradient d_out of value v as an output, in the user's layout.
  void add_output_gradient(const Kernels& k, index b, int v, const T* d_out, T* gradients, T* d) const {
    T* const more = scratch(gradients);
    read_value(k, b, value(v), d_out, nullptr, more);
    for_interior(value(v), [&](index offset, index elements) {
      for (index i = 0; i < elements; ++i) d[offset + i] += more[offset + i];
    });
  }

  void sum_chunk(const Kernels& k, index chunk, T* gradients, T* leftovers, bool shared) const {
    for (const Stage& stage : plan_.stages) {
      if (stage.kind != LaneLayer::Kind::conv) continue;
      T* const slot = leftovers + chunk * plan_.slot + stage.slot;
      const index count = stage.features * stage.looks;
      const T* const mine = sums(gradients) + stage.sums;
      if (stage.weight_form != Form::sparse) {
        k.sum_lanes(count, mine, slot, shared);
      } else if (shared) {
        write_past(slot, mine, static_cast<std::ptrdiff_t>(bytes(count)));
      } else {
        std::memcpy(slot, mine, bytes(count));
      }
      k.sum_lanes(stage.features, bias_sums(stage, gradients, 0), slot + bias_slot(stage), shared);
    }
  }

  // The parameter gradients, times scale, from what the blocks left. Those that the call's taker takes are made in `mine`.
  void finish(const Team& team, const BackwardCall& call, T* leftovers, T* mine, T scale) const {
    if (background_.there()) background_.make_columns(team, call, leftovers);
    team.for_each(static_cast<index>(plan_.jobs.size()), [&](index j) {
      const Job& job = plan_.jobs[static_cast<std::size_t>(j)];
      const Stage& stage = plan_.stages[static_cast<std::size_t>(job.stage)];
      T* const dw = d_input<T>(call, stage.weight);
      T* const db = stage.bias >= 0 ? d_input<T>(call, stage.bias) : nullptr;
      if (stage.kind == LaneLayer::Kind::conv) {
        const T* slots = leftovers + stage.slot;
        if (dw != nullptr && stage.weight_form == Form::winograd) {
          T points[kPairPiece * kWinogradPoints];
          const index begin = job.begin * kWinogradPoints, count = (job.end - job.begin) * kWinogradPoints;
          sum_slots(slots + begin, 0, count, T{1}, points);
          kernels<LaneWinogradKernels, T>().transform_back[kernel_number(stage)](
              job.end - job.begin, points, scale, dw + job.begin * stage.height.kernel * stage.width.kernel);
        } else if (dw != nullptr && stage.weight_form == Form::sparse) {
          kernels<LaneSparseKernels, T>().unpack[kernel_number(stage)](
              stage.sparse.rows, job.end - job.begin, value(stage.in).channels, plan_.chunks,
              slots + job.begin * stage.looks, plan_.slot, scale, dw + job.begin * stage.taps);
        } else if (dw != nullptr) {
          sum_slots(slots, job.begin, job.end, scale, dw);
        }
        if (db != nullptr && job.begin == 0)
          sum_slots(slots + bias_slot(stage), 0, stage.features, scale, db);
      } else if (dw != nullptr || db != nullptr) {
        const T* d = leftovers + stage.d_out + job.begin * kLanes;
        const bool taken = call.taker != nullptr && call.taker->takes(stage.weight);
        const index begin = job.begin * stage.taps;
        T* const dw_rows = taken ? mine : dw != nullptr ? dw + begin : nullptr;
        T* const db_rows = db != nullptr ? db + job.begin : nullptr;
        if (stage.on_background) {
          background_.weight(job.begin, job.end, leftovers, scale, dw_rows, db_rows);
        } else {
          kernels<LaneDenseKernels, T>().weight(job.end - job.begin, stage.taps, plan_.samples, d,
                                                stage.features * kLanes, leftovers + stage.samples_rows,
                                                stage.pitch, scale, dw_rows, db_rows);
        }
        if (taken) call.taker->take(stage.weight, begin, job.end * stage.taps, dw_rows);
      }
    });
  }

 private:
  // -- places
  const Plane& value(int v) const { return plan_.values[static_cast<std::size_t>(v)]; }
  static std::size_t bytes(index elements) { return static_cast<std::size_t>(elements) * sizeof(T); }
  T* tiles(T* mine) const { return mine + plan_.points; }
  T* expanded(T* gradients) const { return gradients + plan_.gradient[0] + plan_.gradient[1]; }
  T* sums(T* gradients) const { return expanded(gradients) + plan_.expanded; }
  T* scratch(T* gradients) const { return sums(gradients) + plan_.sums; }
  static unsigned char* codes(T* area, const Stage& stage) {
    return reinterpret_cast<unsigned char*>(area + stage.codes);
  }
  T* bias_sums(const Stage& stage, T* gradients, index f) const {
    return sums(gradients) + stage.bias_sums + f * kLanes;
  }

  // The inside of lanes <-- block b of a value in the user's layout (samples, features); `order`: see ForwardCall::rows.
  void read_value(const Kernels& k, index b, const Plane& plane, const T* x, const index* order,
                  T* lanes) const {
    const index pitch = plane.features(), samples = plan_.samples_of(b);
    const T* rows[kLanes];
    rows_of_block(plan_, b, x, order, pitch, rows);
    if (!plane.padded()) return k.gather_lanes(pitch, rows, 0, samples, lanes);
    for (index c = 0; c < plane.channels; ++c) {
      for (index h = 0; h < plane.height; ++h) {
        k.gather_lanes(plane.width, rows, (c * plane.height + h) * plane.width, samples,
                       lanes + c * plane.plane() + plane.origin() + h * plane.row());
      }
    }
  }
  void write_plane(const Kernels& k, index b, const Plane& plane, const T* lanes, T* rows) const {
    const index pitch = plane.features(), samples = plan_.samples_of(b);
    rows += b * kLanes * pitch;
    if (!plane.padded()) return k.from_lanes(pitch, lanes, rows, pitch, samples, false);
    for (index c = 0; c < plane.channels; ++c) {
      for (index h = 0; h < plane.height; ++h) {
        k.from_lanes(plane.width, lanes + c * plane.plane() + plane.origin() + h * plane.row(),
                     rows + (c * plane.height + h) * plane.width, pitch, samples, false);
      }
    }
  }
  static void clear_padding(const Plane& plane, T* lanes) {
    if (!plane.padded()) return;
    const auto clear = [](T* p, index pixels) { std::memset(p, 0, bytes(pixels * kLanes)); };
    for (index c = 0; c < plane.channels; ++c, lanes += plane.plane()) {
      clear(lanes, plane.pad_top * plane.cols());
      for (index h = 0; h < plane.height; ++h) {
        T* row = lanes + (plane.pad_top + h) * plane.row();
        clear(row, plane.pad_left);
        clear(row + (plane.pad_left + plane.width) * kLanes, plane.pad_right);
      }
      clear(lanes + (plane.pad_top + plane.height) * plane.row(), plane.pad_bottom * plane.cols());
    }
  }
  // Calls f(offset, elements) for the contiguous pieces of a value inside its padding.
  template <class F>
  static void for_interior(const Plane& plane, F&& f) {
    if (!plane.padded()) return f(index{0}, plane.elements());
    for (index c = 0; c < plane.channels; ++c) {
      for (index h = 0; h < plane.height; ++h) {
        f(c * plane.plane() + plane.origin() + h * plane.row(), plane.width * kLanes);
      }
    }
  }

  // Where the bias sums lie in a chunk's slot of the stage.
  static index bias_slot(const Stage& stage) {
    return divide_up(stage.features * stage.looks, kLanes) * kLanes;
  }

  // What block b has left past the caches for its dense layers' weight gradients, where the second-level cache may hold that
  // of all blocks. It comes back while the convolutions' gradients are made.
  struct Left {
    std::array<LaneAhead, 16> pieces;
    index count = 0;
  };
  Left what_was_left(index b, const T* leftovers) const {
    Left left;
    if (plan_.leftovers > kNearLeftovers) return left;
    const auto add = [&](index offset, index block) {
      if (left.count == static_cast<index>(left.pieces.size())) return;
      left.pieces[static_cast<std::size_t>(left.count++)] = {
          reinterpret_cast<const char*>(leftovers + offset + b * block), static_cast<index>(bytes(block))};
    };
    for (const Stage& stage : plan_.stages) {
      if (stage.kind != LaneLayer::Kind::linear || stage.on_background) continue;
      add(stage.samples_rows, kLanes * stage.pitch);
      add(stage.d_out, kLanes * stage.features);
    }
    return left;
  }

  // -- layers
  LaneWinograd<T> winograd_of(const Stage& stage, T* mine) const {
    const Plane &in = value(stage.in), &out = value(stage.out);
    LaneWinograd<T> call{};
    call.u = mine + stage.points;
    call.scratch = tiles(mine);
    call.channels = in.channels;
    call.filters = stage.features;
    call.out_h = stage.height.output;
    call.out_w = stage.width.output;
    call.x_plane = in.plane();
    call.x_row = in.row();
    call.y_plane = out.plane();
    call.y_row = out.row();
    call.relu = stage.relu;
    call.pass_zero = stage.at_zero == 1;
    if (stage.pool) {
      call.pool_h = stage.pool_height.kernel;
      call.pooled_h = stage.pool_height.output;
      call.pooled_w = stage.pool_width.output;
      call.code_plane = static_cast<index>(stage.place.size()) * kLanes;
    }
    return call;
  }

  void conv_forward(const Stage& stage, const T* w, const T* bias, T* area, T* mine) const {
    const Plane &in = value(stage.in), &out = value(stage.out);
    const T* const x = area + in.offset;
    T* const y = area + out.offset + out.origin();
    if (stage.forward_form != Form::direct) {
      LaneWinograd<T> conv = winograd_of(stage, mine);
      conv.x = x;
      conv.bias = bias;
      conv.y = y;
      conv.codes = stage.pool ? codes(area, stage) : nullptr;
      conv.tiles = tile_scratch(stage, in).forward_tiles;
      if (stage.forward_form == Form::winograd)
        return kernels<LaneWinogradKernels, T>().forward[kernel_number(stage)](conv);
      conv.u = mine + stage.forward_points;
      if (stage.forward_form == Form::nine) return kernels<LaneNineWinogradKernels, T>().forward(conv);
      return kernels<LaneRowWinogradKernels, T>().forward[kernel_number(stage)](conv);
    }
    LaneConv<T> conv{};
    conv.x = x;
    conv.w = w;
    conv.bias = bias;
    conv.y = y;
    conv.filters = stage.features;
    conv.taps = stage.taps;
    conv.pixels = static_cast<index>(stage.pixel.size());
    conv.tap = stage.tap.data();
    conv.pixel = stage.pixel.data();
    conv.place = stage.place.data();
    conv.y_plane = out.plane();
    conv.relu = stage.relu;
    conv.pool = stage.pool;
    conv.pass_zero = stage.at_zero == 1;
    if (stage.pool) {
      conv.codes = codes(area, stage);
      conv.code_plane = static_cast<index>(stage.place.size()) * kLanes;
    }
    kernels<LaneConvKernels, T>().forward(conv);
  }

  LanePool<T> pool_of(const Stage& stage, T* area) const {
    LanePool<T> pool{};
    pool.codes = codes(area, stage);
    pool.height = stage.height.size;
    pool.width = stage.width.size;
    pool.out_h = stage.height.output;
    pool.out_w = stage.width.output;
    pool.kernel_h = stage.height.kernel;
    pool.kernel_w = stage.width.kernel;
    pool.stride_h = stage.height.stride;
    pool.stride_w = stage.width.stride;
    pool.pad_h = stage.height.pad_before;
    pool.pad_w = stage.width.pad_before;
    pool.x_row = value(stage.in).row();
    pool.y_row = value(stage.out).row();
    return pool;
  }

  void relu_backward(const Kernels& k, const Stage& stage, const Plane& out, const T* area, T* d) const {
    for_interior(out, [&](index offset, index elements) {
      k.relu_backward(elements, area + out.offset + offset, static_cast<T>(stage.at_zero), d + offset);
    });
  }

  void conv_backward(const Kernels& k, const Stage& stage, const T* w, T* area, const T* d, T* gradients,
                     T* mine, T* d_in, const Left& left) const {
    const Plane &in = value(stage.in), &out = value(stage.out);
    const index out_h = stage.height.output, out_w = stage.width.output;
    const auto& convs = kernels<LaneConvKernels, T>();
    T* const full = expanded(gradients);
    // Without an input gradient only a strip of the expanded dy exists at a time, in L1.
    const bool whole =
        (d_in != nullptr && stage.input_form != Form::sparse) || stage.weight_form == Form::winograd;
    if (stage.weight_form == Form::sparse) {
      sparse_backward(stage, area, d, gradients, mine, whole, d_in, left);
      if (!whole) return;
    }
    LaneConvWeight<T> weight{};
    weight.acc = sums(gradients) + stage.sums;
    weight.filters = stage.features;
    weight.taps = stage.taps;
    weight.cols = out_w;
    weight.tap = stage.tap.data();
    weight.x_row = stage.height.stride * in.row();
    weight.x_col = stage.width.stride * kLanes;
    weight.dy_row = stage.pool ? out_w * kLanes : out.row();
    for (index top = 0; top < out_h; top += stage.strip_rows) {
      const index rows = std::min(stage.strip_rows, out_h - top);
      weight.rows = rows;
      weight.x = area + in.offset + top * weight.x_row;
      if (stage.pool) {
        weight.dy_plane = (whole ? out_h : std::min(out_h, stage.strip_rows)) * out_w * kLanes;
        T* const strip = full + (whole ? top * weight.dy_row : 0);
        unpool_strip(stage, top, rows, codes(area, stage), d, gradients, weight.dy_plane, strip);
        weight.dy = strip;
      } else {
        weight.dy_plane = out.plane();
        weight.dy = d + out.origin() + top * weight.dy_row;
      }
      if (stage.weight_form == Form::direct) convs.weight(weight);
      if (stage.bias >= 0 && !stage.pool) {
        for (index f = 0; f < stage.features; ++f) {
          k.sum_plane(rows, out_w, weight.dy_row, weight.dy + f * weight.dy_plane,
                      bias_sums(stage, gradients, f));
        }
      }
    }
    const T* const dy = stage.pool ? full : d + out.origin();
    const index dy_plane = stage.pool ? out_h * out_w * kLanes : out.plane();
    LaneWinograd<T> winograd = winograd_of(stage, mine);
    winograd.dy = dy;
    winograd.y_plane = dy_plane;
    winograd.y_row = weight.dy_row;
    if (stage.weight_form == Form::winograd) {
      winograd.x = area + in.offset;
      winograd.sums = sums(gradients) + stage.sums;
      winograd.tiles = tile_scratch(stage, in).weight_rows;
      kernels<LaneWinogradKernels, T>().weight[kernel_number(stage)](winograd);
    }
    if (d_in == nullptr) return;
    if (stage.input_form == Form::winograd) {
      winograd.dx = d_in;
      kernels<LaneWinogradKernels, T>().input[kernel_number(stage)](winograd);
      return;
    }
    LaneConvInput<T> call{};
    call.dy = dy;
    call.w = w;
    call.dx = d_in;
    call.channels = in.channels;
    call.filters = stage.features;
    call.kernel_h = stage.height.kernel;
    call.kernel_w = stage.width.kernel;
    call.stride_h = stage.height.stride;
    call.stride_w = stage.width.stride;
    call.dilation_h = stage.height.dilation;
    call.dilation_w = stage.width.dilation;
    call.out_h = out_h;
    call.out_w = out_w;
    call.first_row = in.pad_top;
    call.last_row = in.pad_top + in.height;
    call.width = in.cols();
    call.dy_plane = dy_plane;
    call.dy_row = weight.dy_row;
    call.dx_plane = in.plane();
    call.dx_row = in.row();
    convs.input(call);
  }

  // Adds the weight gradient in the sparse form and, unless somebody unpools, the bias gradient; writes the input gradient
  // that has this form.
  void sparse_backward(const Stage& stage, T* area, const T* d, T* gradients, const T* mine, bool unpooled,
                       T* d_in, const Left& left) const {
    const Plane &in = value(stage.in), &out = value(stage.out);
    LaneSparse<T> call{};
    call.rows = stage.sparse.rows;
    call.x = area + in.offset;
    call.d = d + out.origin();
    call.codes = codes(area, stage);
    call.pixel = stage.sparse.pixel.data();
    call.source = stage.sparse.source.data();
    call.dw = sums(gradients) + stage.sums;
    call.sums = unpooled ? nullptr : bias_sums(stage, gradients, 0);
    if (stage.input_form == Form::sparse) {
      call.w = mine + stage.sparse.weights;
      call.dx = d_in;
      call.ahead = left.pieces.data();
      call.ahead_count = left.count;
    }
    call.scratch = expanded(gradients);
    call.filters = stage.features;
    call.windows_h = out.height;
    call.windows_w = out.width;
    call.d_plane = out.plane();
    call.d_row = out.row();
    call.code_plane = static_cast<index>(stage.place.size()) * kLanes;
    call.strip = stage.sparse.strip;
    kernels<LaneSparseKernels, T>().backward[kernel_number(stage)](call);
  }

  // Rows top .. top + rows - 1 of dy of a pooled convolution, from the gradient d of the pooled values; adds
  // them to the bias gradient.
  void unpool_strip(const Stage& stage, index top, index rows, const unsigned char* tap_codes, const T* d,
                    T* gradients, index dy_plane, T* dy) const {
    const Plane& out = value(stage.out);
    const index kernel = stage.pool_height.kernel, pooled_w = stage.pool_width.output;
    const index row = stage.width.output * kLanes;
    const bool gaps = stage.pool_width.output * stage.pool_width.kernel < stage.width.output;
    const auto& convs = kernels<LaneConvKernels, T>();
    for (index f = 0; f < stage.features; ++f) {
      for (index r = 0; r < rows; r += kernel) {
        T* const to = dy + f * dy_plane + r * row;
        const index oh = (top + r) / kernel;
        // Pixels that no window covers get no gradient.
        if (gaps || oh >= stage.pool_height.output) {
          std::memset(to, 0, bytes(std::min(kernel, rows - r) * row));
        }
        if (oh >= stage.pool_height.output) continue;
        const index first = oh * pooled_w;
        convs.unpool(pooled_w, d + f * out.plane() + out.origin(), stage.place.data() + first,
                     tap_codes + (f * static_cast<index>(stage.place.size()) + first) * kLanes,
                     stage.window_place.data() + 4 * first, to, bias_sums(stage, gradients, f));
      }
    }
  }

  void sum_slots(const T* slots, index begin, index end, T scale, T* sums_out) const {
    for (index i = begin; i < end; ++i) {
      T sum = slots[i];
      for (index chunk = 1; chunk < plan_.chunks; ++chunk) sum += slots[chunk * plan_.slot + i];
      sums_out[i] = sum * scale;
    }
  }

  const LaneChain& chain_;
  const Plan& plan_;
  Background<T> background_;
};

}  // namespace lanes
}  // namespace tenfold
