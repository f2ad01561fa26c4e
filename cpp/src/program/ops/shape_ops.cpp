// Operations that move elements without computing: reshape, permute, slice, pad, broadcast_to, concat.
//
// They take int64 tensors too; those have no gradient.
#include <algorithm>
#include <cstring>

#include "program/ops/op_base.h"
#include "shape/rearrange.h"
#include "tenfold/elementwise.h"
#include "tenfold/memory.h"
#include "tenfold/window.h"

namespace tenfold {
namespace {

Shape strides_of(const Shape& shape) {
  Shape strides(shape.size());
  index stride = 1;
  for (std::size_t a = shape.size(); a-- > 0;) {
    strides[a] = stride;
    stride *= shape[a];
  }
  return strides;
}

void check_rank(const char* function, const Shape& shape) {
  if (shape.size() > Rearrange::kMaxAxes) {
    reject(function, "input", "must have at most ", Rearrange::kMaxAxes, " axes; its shape is ",
           to_string(shape));
  }
}

void check_entries(const char* function, const char* argument, const Shape& values, const Shape& shape) {
  if (values.size() != shape.size()) {
    reject(function, argument, "must have one entry per axis of the input, ", shape.size(), "; received ",
           to_string(values));
  }
}

// reshape: the same elements in another shape; no copy.
class ReshapeOp final : public Op {
 public:
  ReshapeOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    inputs_ = inputs;
    const Shape shape = attributes.get<Shape>("shape");
    if (checked_count(shape, "reshape", "shape") != inputs[0].count()) {
      reject("reshape", "shape", "must have as many elements as the input, ", inputs[0].count(),
             "; received ", to_string(shape), " for input ", to_string(inputs[0].shape));
    }
    outputs_ = {{inputs[0].dtype, shape}};
  }

  bool is_view() const override { return true; }
  bool backward_needs_input(int) const override { return false; }

  void forward(const Team& team, const ForwardCall& call) const override {
    copy(team, call.inputs[0], call.outputs[0]);
  }
  void backward(const Team& team, const BackwardCall& call) const override {
    copy(team, call.d_outputs[0], call.d_inputs[0]);
  }

 private:
  void copy(const Team& team, const void* from, void* to) const {
    if (from == to || to == nullptr) return;
    team.for_range(static_cast<index>(outputs_[0].bytes()), 16384, [&](index begin, index end) {
      copy_bytes(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                 static_cast<std::size_t>(end - begin));
    });
  }
};

template <class T>
class RearrangeOp : public Op {
 public:
  RearrangeOp(TensorType input, Shape shape, std::vector<RearrangeAxis> axes, T constant = T(0))
      : rearrange_(std::move(axes)), constant_(constant) {
    outputs_ = {{input.dtype, std::move(shape)}};
    inputs_ = {std::move(input)};
  }

  bool backward_needs_input(int) const override { return false; }

  void forward(const Team& team, const ForwardCall& call) const override {
    if (outputs_[0].count() == 0) return;
    rearrange_.forward(team, input<T>(call, 0), constant_, output<T>(call, 0));
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    if constexpr (!std::is_same_v<T, index>) {
      if (call.d_inputs[0] == nullptr || inputs_[0].count() == 0) return;
      if (outputs_[0].count() == 0) {  // nothing was read
        T* dx = d_input<T>(call, 0);
        return team.for_range(inputs_[0].count(), 4096,
                              [&](index begin, index end) { std::fill(dx + begin, dx + end, T(0)); });
      }
      rearrange_.backward(team, d_output<T>(call, 0), d_input<T>(call, 0));
    }
  }

 private:
  Rearrange rearrange_;
  T constant_;
};

// The gradient is the sum over what was repeated.
template <class T>
class BroadcastOp final : public RearrangeOp<T> {
 public:
  BroadcastOp(const TensorType& input, const Shape& shape, std::vector<RearrangeAxis> axes, T constant)
      : RearrangeOp<T>(input, shape, std::move(axes), constant),
        fold_(make_unbroadcast(input.shape, shape)) {}

  std::size_t backward_workspace(int) const override {
    return static_cast<std::size_t>(fold_.workspace_count()) * sizeof(T);
  }
  void backward(const Team& team, const BackwardCall& call) const override {
    if constexpr (!std::is_same_v<T, index>) {
      if (call.d_inputs[0] == nullptr) return;
      reduce<T>(team, fold_, Reduction::sum, d_output<T>(call, 0), reinterpret_cast<T*>(call.workspace),
                d_input<T>(call, 0));
    }
  }

 private:
  Reduce fold_;
};

template <template <class> class OpOf = RearrangeOp>
std::unique_ptr<Op> make_rearrange(const char* function, const TensorType& input,
                                   std::vector<RearrangeAxis> axes, double constant = 0) {
  Shape shape;
  for (const RearrangeAxis& axis : axes) shape.push_back(axis.output);
  checked_count(shape, function, "output");
  check_rank(function, shape);
  switch (input.dtype) {
    case DType::float32:
      return std::make_unique<OpOf<float>>(input, shape, std::move(axes), static_cast<float>(constant));
    case DType::float64:
      return std::make_unique<OpOf<double>>(input, shape, std::move(axes), constant);
    case DType::int64:
      return std::make_unique<OpOf<index>>(input, shape, std::move(axes), static_cast<index>(constant));
  }
  return nullptr;
}

// permute: output axis a is input axis axes[a].
std::unique_ptr<Op> make_permute(const Attributes& attributes, const std::vector<TensorType>& inputs) {
  const Shape& shape = inputs[0].shape;
  const Shape order = attributes.get<Shape>("axes");
  Shape sorted = order;
  std::sort(sorted.begin(), sorted.end());
  bool permutation = sorted.size() == shape.size();
  for (std::size_t a = 0; permutation && a < sorted.size(); ++a)
    permutation = sorted[a] == static_cast<index>(a);
  if (!permutation) {
    reject("permute", "dims", "must name every axis of the input once; received ", to_string(order),
           " for input ", to_string(shape));
  }
  const Shape strides = strides_of(shape);
  std::vector<RearrangeAxis> axes;
  for (index a : order) {
    const auto i = static_cast<std::size_t>(a);
    axes.push_back({shape[i], shape[i], strides[i], {}});
  }
  return make_rearrange("permute", inputs[0], std::move(axes));
}

// slice: along every axis the positions start, start + step, ... before stop (Python's range).
std::unique_ptr<Op> make_slice(const Attributes& attributes, const std::vector<TensorType>& inputs) {
  const Shape& shape = inputs[0].shape;
  const Shape start = attributes.get<Shape>("start");
  const Shape stop = attributes.get<Shape>("stop");
  const Shape step = attributes.get<Shape>("step");
  check_entries("slice", "start", start, shape);
  check_entries("slice", "stop", stop, shape);
  check_entries("slice", "step", step, shape);
  const Shape strides = strides_of(shape);
  std::vector<RearrangeAxis> axes;
  for (std::size_t a = 0; a < shape.size(); ++a) {
    const index room = step[a] > 0 ? stop[a] - start[a] : start[a] - stop[a];
    const index pace = step[a] > 0 ? step[a] : -step[a];
    if (step[a] == 0) reject("slice", "step", "must not be 0; received ", to_string(step));
    const index count = room > 0 ? (room - 1) / pace + 1 : 0;
    if (count > 0) {
      const index last = start[a] + (count - 1) * step[a];
      if (std::min(start[a], last) < 0 || std::max(start[a], last) >= shape[a]) {
        reject("slice", "start", "and stop must stay inside the input; received ", start[a], ":", stop[a],
               ":", step[a], " for size ", shape[a]);
      }
    }
    RearrangeAxis axis{count, shape[a], strides[a], {}};
    if (count != shape[a] || step[a] != 1) {
      axis.table.resize(static_cast<std::size_t>(count));
      for (index o = 0; o < count; ++o) axis.table[static_cast<std::size_t>(o)] = start[a] + o * step[a];
    }
    axes.push_back(std::move(axis));
  }
  return make_rearrange("slice", inputs[0], std::move(axes));
}

// pad: (before, after) of every axis, flat; the border says what lies outside.
std::unique_ptr<Op> make_pad(const Attributes& attributes, const std::vector<TensorType>& inputs) {
  const Shape& shape = inputs[0].shape;
  const Shape pads = attributes.get<Shape>("pads");
  const Border border = border_from(attributes.get<std::string>("border", "constant"), "pad");
  if (pads.size() != 2 * shape.size()) {
    reject("pad", "pad", "must have two entries per axis of the input; received ", to_string(pads),
           " for input ", to_string(shape));
  }
  const Shape strides = strides_of(shape);
  std::vector<RearrangeAxis> axes;
  for (std::size_t a = 0; a < shape.size(); ++a) {
    // An axis is a window of one element that visits every padded position: the same checks, the same table.
    if (pads[2 * a] == 0 && pads[2 * a + 1] == 0) {
      axes.push_back({shape[a], shape[a], strides[a], {}});
      continue;
    }
    WindowSpec spec{"pad", {shape[a]}, {1}, {1}, {1}, {pads[2 * a], pads[2 * a + 1]}, border, false};
    const Window window = make_window(spec);
    checked_count({window[2].padded()}, "pad", "output");
    axes.push_back({window[2].padded(), shape[a], strides[a], {}});
  }
  Shape padded;
  for (const RearrangeAxis& axis : axes) padded.push_back(axis.output);
  checked_count(padded, "pad", "output");
  for (std::size_t a = 0; a < shape.size(); ++a) {
    if (axes[a].output == shape[a]) continue;
    axes[a].table.resize(static_cast<std::size_t>(axes[a].output));
    for (index o = 0; o < axes[a].output; ++o) {
      axes[a].table[static_cast<std::size_t>(o)] = border_source(o - pads[2 * a], shape[a], border);
    }
  }
  return make_rearrange("pad", inputs[0], std::move(axes), attributes.get<double>("border_value", 0.0));
}

// broadcast_to: NumPy's rule; axes of extent 1 repeat, missing axes in front are made.
std::unique_ptr<Op> make_broadcast_to(const Attributes& attributes, const std::vector<TensorType>& inputs) {
  const Shape& shape = inputs[0].shape;
  const Shape target = attributes.get<Shape>("shape");
  checked_count(target, "broadcast_to", "shape");
  bool legal = target.size() >= shape.size();
  const std::size_t extra = legal ? target.size() - shape.size() : 0;
  for (std::size_t a = 0; legal && a < shape.size(); ++a)
    legal = shape[a] == 1 || shape[a] == target[a + extra];
  if (!legal) {
    reject("broadcast_to", "shape", "must be one the input broadcasts to; received ", to_string(target),
           " for input ", to_string(shape));
  }
  const Shape strides = strides_of(shape);
  std::vector<RearrangeAxis> axes;
  for (std::size_t a = 0; a < target.size(); ++a) {
    const bool made = a < extra;
    RearrangeAxis axis{
        target[a], made ? 1 : shape[a - extra], made ? inputs[0].count() : strides[a - extra], {}};
    if (axis.output != axis.input) axis.table.assign(static_cast<std::size_t>(axis.output), 0);
    axes.push_back(std::move(axis));
  }
  return make_rearrange<BroadcastOp>("broadcast_to", inputs[0], std::move(axes));
}

// concat: the inputs one after the other along `axis`; all other extents agree.
class ConcatOp final : public Op {
 public:
  ConcatOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    inputs_ = inputs;
    if (inputs.empty()) reject("concat", "tensors", "must not be empty");
    const index axis = attributes.get<index>("axis");
    Shape shape = inputs[0].shape;
    if (axis < 0 || axis >= static_cast<index>(shape.size())) {
      reject("concat", "axis", "must be an axis of the inputs; received ", axis, " for shape ",
             to_string(shape));
    }
    const auto a = static_cast<std::size_t>(axis);
    shape[a] = 0;
    for (const TensorType& type : inputs) {
      if (type.dtype != inputs[0].dtype) {
        reject_type("concat", "tensors", "must have one dtype; received ", name_of(inputs[0].dtype), " and ",
                    name_of(type.dtype));
      }
      bool fits = type.shape.size() == shape.size();
      for (std::size_t b = 0; fits && b < shape.size(); ++b) fits = b == a || type.shape[b] == shape[b];
      if (!fits) {
        reject("concat", "tensors", "must have one shape except along axis ", axis, "; received ",
               to_string(inputs[0].shape), " and ", to_string(type.shape));
      }
      shape[a] += type.shape[a];
    }
    checked_count(shape, "concat", "output");
    std::size_t inner = size_of(inputs[0].dtype);
    for (std::size_t b = a + 1; b < shape.size(); ++b) inner *= static_cast<std::size_t>(shape[b]);
    for (std::size_t b = 0; b < a; ++b) outer_ *= shape[b];
    for (const TensorType& type : inputs) {
      offsets_.push_back(row_);
      rows_.push_back(inner * static_cast<std::size_t>(type.shape[a]));
      row_ += rows_.back();
    }
    outputs_ = {{inputs[0].dtype, shape}};
  }

  bool backward_needs_input(int) const override { return false; }

  void forward(const Team& team, const ForwardCall& call) const override {
    each_piece(team, [&](std::size_t i, const Piece& piece) {
      copy_rows(piece, static_cast<const char*>(call.inputs[i]) + within(i, piece), rows_[i],
                static_cast<char*>(call.outputs[0]) + offset(i, piece), row_);
    });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    each_piece(team, [&](std::size_t i, const Piece& piece) {
      if (call.d_inputs[i] == nullptr) return;
      copy_rows(piece, static_cast<const char*>(call.d_outputs[0]) + offset(i, piece), row_,
                static_cast<char*>(call.d_inputs[i]) + within(i, piece), rows_[i]);
    });
  }

 private:
  // Some rows of an input from `row` on, and of each the bytes from `begin` on.
  struct Piece {
    std::size_t row, rows, begin, bytes;
  };

  std::size_t within(std::size_t i, const Piece& piece) const { return piece.row * rows_[i] + piece.begin; }
  std::size_t offset(std::size_t i, const Piece& piece) const {
    return piece.row * row_ + offsets_[i] + piece.begin;
  }

  static void copy_rows(const Piece& piece, const char* from, std::size_t from_step, char* to,
                        std::size_t to_step) {
    constexpr std::size_t kShort = 64, kChunk = 16, kWord = 4;  // every element is whole words
    for (std::size_t r = 0; r < piece.rows; ++r, from += from_step, to += to_step) {
      if (piece.bytes >= kShort) {
        copy_bytes(to, from, piece.bytes);
        continue;
      }
      std::size_t k = 0;
      for (; k + kChunk <= piece.bytes; k += kChunk) std::memcpy(to + k, from + k, kChunk);
      for (; k < piece.bytes; k += kWord) std::memcpy(to + k, from + k, kWord);
    }
  }

  // body(input, piece): short rows some at a time, of all inputs, so that no line of the output is written twice; of long
  // ones a part.
  template <class Body>
  void each_piece(const Team& team, Body&& body) const {
    constexpr std::size_t kBytes = 32768;
    const auto outer = static_cast<std::size_t>(outer_);
    if (row_ == 0) return;
    if (row_ <= kBytes) {
      const std::size_t many = kBytes / row_;
      team.for_each(static_cast<index>((outer + many - 1) / many), [&](index block) {
        const std::size_t first = static_cast<std::size_t>(block) * many;
        for (std::size_t i = 0; i < rows_.size(); ++i) {
          if (rows_[i] > 0) body(i, Piece{first, std::min(many, outer - first), 0, rows_[i]});
        }
      });
      return;
    }
    const auto parts = [&](std::size_t i) { return (rows_[i] + kBytes - 1) / kBytes; };
    std::size_t per_row = 0;
    for (std::size_t i = 0; i < rows_.size(); ++i) per_row += parts(i);
    team.for_each(static_cast<index>(outer * per_row), [&](index number) {
      const std::size_t row = static_cast<std::size_t>(number) / per_row;
      std::size_t i = 0, part = static_cast<std::size_t>(number) % per_row;
      for (; part >= parts(i); ++i) part -= parts(i);
      body(i, Piece{row, 1, part * kBytes, std::min(kBytes, rows_[i] - part * kBytes)});
    });
  }

  index outer_ = 1;
  std::size_t row_ = 0;  // bytes of an output row: all inputs beside each other
  std::vector<std::size_t> rows_,
      offsets_;  // bytes of every input's row, and where it lies in the output row
};

}  // namespace

void register_shape_ops(OpRegistry& registry) {
  registry.add("reshape", [](const Attributes& attributes, const std::vector<TensorType>& inputs) {
    return std::make_unique<ReshapeOp>(attributes, inputs);
  });
  registry.add("concat", [](const Attributes& attributes, const std::vector<TensorType>& inputs) {
    return std::make_unique<ConcatOp>(attributes, inputs);
  });
  registry.add("permute", make_permute);
  registry.add("slice", make_slice);
  registry.add("pad", make_pad);
  registry.add("broadcast_to", make_broadcast_to);
}

}  // namespace tenfold
