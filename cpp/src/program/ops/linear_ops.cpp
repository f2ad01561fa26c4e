// Linear layers and matrix products.
#include <algorithm>

#include "gemm/strided.h"
#include "program/ops/op_base.h"

namespace tenfold {
namespace {

// y[r][o] = activation(sum over i of x[r][i] * w[o][i] + bias[o]); x's leading dimensions are rows.
template <class T>
class LinearOp final : public Op {
 public:
  LinearOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    require_same_dtype("linear", inputs, {"input", "weight", "bias"});
    if (inputs.size() != 2 && inputs.size() != 3) {
      reject("linear", "inputs", "must be input, weight and perhaps bias; received ", inputs.size());
    }
    const Shape &x = inputs[0].shape, &w = inputs[1].shape;
    if (w.size() != 2) {
      reject("linear", "weight", "must have the shape (out_features, in_features); received ", to_string(w));
    }
    if (x.empty() || x.back() != w[1]) {
      reject("linear", "input", "must have ", w[1], " features in its last dimension, as weight ",
             to_string(w), " has; received ", to_string(x));
    }
    features_in_ = w[1], features_out_ = w[0];
    has_bias_ = inputs.size() == 3;
    if (has_bias_ && inputs[2].shape != Shape{features_out_}) {
      reject("linear", "bias", "must have the shape (", features_out_, ",), one per row of weight; received ",
             to_string(inputs[2].shape));
    }
    Shape y = x;
    y.back() = features_out_;
    checked_count(y, "linear", "input");
    rows_ = checked_count(Shape(x.begin(), x.end() - 1), "linear", "input");
    inputs_ = inputs;
    outputs_ = {{inputs[0].dtype, y}};

    const std::string activation = attributes.get<std::string>("activation", "");
    if (activation == "relu") {
      activation_ = attributes.get<bool>("keep_sign", false) ? kGemmReluKeepSign : kGemmRelu;
      at_zero_ = static_cast<T>(attributes.get<double>("at_zero", 1.0));
    } else if (!activation.empty() && activation != "none") {
      reject("linear", "activation", "must be 'relu' or 'none'; received '", activation, "'");
    }
    forward_ = plan_strided<T>(rows_, features_out_, features_in_, {features_in_, 1}, {1, features_in_});
    d_input_ = plan_strided<T>(rows_, features_in_, features_out_, {features_out_, 1}, {features_in_, 1});
    d_weight_ = plan_strided<T>(features_out_, features_in_, rows_, {1, features_out_}, {features_in_, 1});
  }

  bool backward_needs_input(int i) const override { return i < 2; }
  bool backward_needs_output(int) const override { return activation_ != kGemmNone; }
  double flops() const override {
    return 2.0 * static_cast<double>(rows_) * static_cast<double>(features_in_) *
           static_cast<double>(features_out_);
  }
  std::size_t forward_workspace(int threads) const override { return forward_.workspace(threads); }
  std::size_t backward_workspace(int threads) const override {
    return d_sum_bytes() + std::max(d_input_.workspace(threads), d_weight_.workspace(threads));
  }

  void forward(const Team& team, const ForwardCall& call) const override {
    StridedC<T> y{output<T>(call, 0), features_out_};
    y.bias_column = has_bias_ ? input<T>(call, 2) : nullptr;
    y.activation = activation_;
    run_strided(team, forward_, input<T>(call, 0), input<T>(call, 1), y, call.workspace);
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const GemmKernels<T>& k = forward_.kernels();
    std::byte* const workspace = call.workspace + d_sum_bytes();
    // dv: the gradient before the activation.
    const T* dv = d_output<T>(call, 0);
    if (activation_ != kGemmNone) {
      const T *y = output<T>(call, 0), *dy = dv;
      T* masked = reinterpret_cast<T*>(call.workspace);
      team.for_range(rows_ * features_out_, 1024, [&](index begin, index end) {
        k.relu_backward(end - begin, y + begin, dy + begin, at_zero_, masked + begin);
      });
      dv = masked;
    }
    if (T* dx = d_input<T>(call, 0)) {  // dx = dv W
      run_strided(team, d_input_, dv, input<T>(call, 1), StridedC<T>{dx, features_in_}, workspace);
    }
    if (T* dw = d_input<T>(call, 1)) {  // dW = dvᵀ x
      run_strided(team, d_weight_, dv, input<T>(call, 0), StridedC<T>{dw, features_in_}, workspace);
    }
    if (T* db = has_bias_ ? d_input<T>(call, 2) : nullptr) {
      team.for_range(features_out_, 64, [&](index begin, index end) {
        k.add_rows(rows_, end - begin, dv + begin, features_out_, false, db + begin);
      });
    }
  }

 private:
  std::size_t d_sum_bytes() const { return activation_ == kGemmNone ? 0 : align_up(outputs_[0].bytes()); }

  index rows_ = 0, features_in_ = 0, features_out_ = 0;
  bool has_bias_ = false;
  int activation_ = kGemmNone;
  T at_zero_ = 1;
  StridedPlan<T> forward_, d_input_, d_weight_;
};

// Products of the pairs of a batch; several pairs may be added into one result.
//
//   c[slot] = sum over its pairs, in order, of a[pair.a] b[pair.b]
template <class T>
struct BatchedProduct {
  struct Pair {
    index a, b;  // element offsets
  };
  StridedPlan<T> plan;
  std::vector<std::vector<Pair>> slots;

  // Enough slots to keep a team busy are shared out whole; few large ones are computed by all members
  // together.
  bool by_slot() const { return slots.size() >= 8; }
  std::size_t own_bytes() const { return align_up(plan.workspace(1)); }
  std::size_t workspace(int threads) const {
    return by_slot() ? own_bytes() * static_cast<std::size_t>(threads) : plan.workspace(threads);
  }

  void run(const Team& team, const T* x, const T* y, T* c, std::byte* workspace) const {
    const auto slot_product = [&](const Team& members, std::size_t slot, std::byte* scratch) {
      T* to = c + static_cast<index>(slot) * plan.m * plan.n;
      T beta = 0;
      for (const Pair& pair : slots[slot]) {
        run_strided(members, plan, x + pair.a, y + pair.b, StridedC<T>{to, plan.n, T(1), beta}, scratch);
        beta = 1;
      }
    };
    if (by_slot()) {
      std::byte* const own = workspace + own_bytes() * static_cast<std::size_t>(team.rank());
      team.for_each(static_cast<index>(slots.size()),
                    [&](index slot) { slot_product(Team::alone(), static_cast<std::size_t>(slot), own); });
    } else {
      for (std::size_t slot = 0; slot < slots.size(); ++slot) slot_product(team, slot, workspace);
    }
  }
};

// c = a b as NumPy's matmul: matrices in the last two dimensions, the leading ones broadcast; a 1-D operand
// is a row on the left and a column on the right, and that dimension is dropped from the result. The attributes
// transpose_input and transpose_other tell that an operand's last two dimensions come in the other order.
template <class T>
class MatmulOp final : public Op {
 public:
  MatmulOp(const Attributes& attributes, const std::vector<TensorType>& inputs)
      : a_turned_(attributes.get<bool>("transpose_input", false)),
        b_turned_(attributes.get<bool>("transpose_other", false)) {
    require_same_dtype("matmul", inputs, {"input", "other"});
    if (inputs.size() != 2) reject("matmul", "inputs", "must be two; received ", inputs.size());
    Shape a = inputs[0].shape, b = inputs[1].shape;
    if (a.empty()) reject("matmul", "input", "must have at least one dimension; received ()");
    if (b.empty()) reject("matmul", "other", "must have at least one dimension; received ()");
    const bool row = a.size() == 1, column = b.size() == 1;
    if (a_turned_) turn(a, "input");
    if (b_turned_) turn(b, "other");
    const Shape input = a, other = b;
    if (row) a.insert(a.begin(), 1);
    if (column) b.push_back(1);
    index m = a[a.size() - 2];
    const index k = a.back(), n = b.back();
    if (b[b.size() - 2] != k) {
      reject("matmul", "other", "must have ", k, column ? " elements" : " rows",
             ", the last extent of input ", to_string(input), "; received ", to_string(other));
    }

    Shape a_batch(a.begin(), a.end() - 2), b_batch(b.begin(), b.end() - 2);
    const std::size_t rank = std::max(a_batch.size(), b_batch.size());
    a_batch.insert(a_batch.begin(), rank - a_batch.size(), 1);
    b_batch.insert(b_batch.begin(), rank - b_batch.size(), 1);
    Shape batch(rank);
    for (std::size_t d = 0; d < rank; ++d) {
      if (a_batch[d] != b_batch[d] && a_batch[d] != 1 && b_batch[d] != 1) {
        reject("matmul", "other", "must have leading dimensions that broadcast with those of input ",
               to_string(input), "; received ", to_string(other));
      }
      batch[d] = a_batch[d] == 1 ? b_batch[d] : a_batch[d];
    }
    Shape c = batch;
    if (!row) c.push_back(m);
    if (!column) c.push_back(n);
    checked_count(c, "matmul", "input");
    inputs_ = inputs;
    outputs_ = {{inputs[0].dtype, c}};

    // One matrix on the right: the matrices on the left are one tall one.
    if (!a_turned_ && checked_count(b_batch, "matmul", "other") == 1) {
      m *= checked_count(batch, "matmul", "input");
      batch.assign(rank, 1), a_batch.assign(rank, 1);
    }
    multiply_adds_ = static_cast<double>(checked_count(batch, "matmul", "input")) * static_cast<double>(m) *
                     static_cast<double>(n) * static_cast<double>(k);

    const MatrixLayout la = a_turned_ ? MatrixLayout{1, m} : MatrixLayout{k, 1};
    const MatrixLayout lb = b_turned_ ? MatrixLayout{1, k} : MatrixLayout{n, 1};
    const MatrixLayout lc{n, 1};
    const auto transposed = [](MatrixLayout l) { return MatrixLayout{l.column, l.row}; };
    forward_.plan = plan_strided<T>(m, n, k, la, lb);
    d_a_.plan = a_turned_ ? plan_strided<T>(k, m, n, lb, transposed(lc))   // daᵀ = b dcᵀ
                          : plan_strided<T>(m, k, n, lc, transposed(lb));  // da = dc bᵀ
    d_b_.plan = b_turned_ ? plan_strided<T>(n, k, m, transposed(lc), la)   // dbᵀ = dcᵀ a
                          : plan_strided<T>(k, n, m, transposed(la), lc);  // db = aᵀ dc
    d_a_.slots.resize(static_cast<std::size_t>(checked_count(a_batch, "matmul", "input")));
    d_b_.slots.resize(static_cast<std::size_t>(checked_count(b_batch, "matmul", "other")));
    for (index i = 0, count = checked_count(batch, "matmul", "input"); i < count; ++i) {
      const index ia = broadcast_index(i, batch, a_batch), ib = broadcast_index(i, batch, b_batch);
      forward_.slots.push_back({{ia * m * k, ib * k * n}});
      const index at_a = ia * m * k, at_b = ib * k * n, at_c = i * m * n;
      using Pair = typename BatchedProduct<T>::Pair;
      d_a_.slots[static_cast<std::size_t>(ia)].push_back(a_turned_ ? Pair{at_b, at_c} : Pair{at_c, at_b});
      d_b_.slots[static_cast<std::size_t>(ib)].push_back(b_turned_ ? Pair{at_c, at_a} : Pair{at_a, at_c});
    }
  }

  double flops() const override { return 2 * multiply_adds_; }
  std::size_t forward_workspace(int threads) const override { return forward_.workspace(threads); }
  std::size_t backward_workspace(int threads) const override {
    return std::max(d_a_.workspace(threads), d_b_.workspace(threads));
  }

  void forward(const Team& team, const ForwardCall& call) const override {
    forward_.run(team, input<T>(call, 0), input<T>(call, 1), output<T>(call, 0), call.workspace);
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const T* dc = d_output<T>(call, 0);
    if (T* da = d_input<T>(call, 0)) {
      const T* b = input<T>(call, 1);
      d_a_.run(team, a_turned_ ? b : dc, a_turned_ ? dc : b, da, call.workspace);
      clear_unused(team, d_a_, da);
    }
    if (T* db = d_input<T>(call, 1)) {
      const T* a = input<T>(call, 0);
      d_b_.run(team, b_turned_ ? dc : a, b_turned_ ? a : dc, db, call.workspace);
      clear_unused(team, d_b_, db);
    }
  }

 private:
  static void turn(Shape& shape, const char* argument) {
    if (shape.size() < 2) {
      reject("matmul", argument, "must have two dimensions to be transposed; received ", to_string(shape));
    }
    std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
  }

  // The flat index of element `i` of `batch` in an operand whose extents of 1 are repeated.
  static index broadcast_index(index i, const Shape& batch, const Shape& operand) {
    index flat = 0, stride = 1;
    for (std::size_t d = batch.size(); d-- > 0;) {
      flat += (operand[d] == 1 ? 0 : i % batch[d]) * stride;
      stride *= operand[d];
      i /= batch[d];
    }
    return flat;
  }

  // An operand broadcast over an extent of 0 takes part in nothing: its gradient is zero.
  static void clear_unused(const Team& team, const BatchedProduct<T>& product, T* to) {
    const index size = product.plan.m * product.plan.n;
    team.for_each(static_cast<index>(product.slots.size()), [&](index slot) {
      if (product.slots[static_cast<std::size_t>(slot)].empty()) {
        std::fill(to + slot * size, to + (slot + 1) * size, T(0));
      }
    });
  }

  const bool a_turned_, b_turned_;
  double multiply_adds_ = 0;
  BatchedProduct<T> forward_, d_a_, d_b_;
};

}  // namespace

void register_linear_ops(OpRegistry& registry) {
  add_typed<LinearOp>(registry, "linear");
  add_typed<MatmulOp>(registry, "matmul");
}

}  // namespace tenfold
