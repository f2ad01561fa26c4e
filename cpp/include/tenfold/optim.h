// Optimisers: how a step changes a flat vector of parameters, given the gradient.
//
// An optimiser is immutable; what it remembers between steps are `state_count()` flat vectors of the
// parameters' length and type, which the owner allocates, fills with zeros before step 0, and saves in
// checkpoints. The formulas are PyTorch's, so that a learning rate found there can be used here.
#pragma once

#include <cstdint>

#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

// No optimiser remembers more vectors.
constexpr int kMaxOptimizerStates = 2;

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  virtual int state_count() const = 0;
  // One step of some parameters, in place and in one pass over memory; `step` counts from 0 and `state` has state_count()
  // vectors. `read_by_others`: other threads will read the parameters as well.
  virtual void update(index n, float* parameters, const float* gradients, float* const* state,
                      double learning_rate, std::int64_t step, bool read_by_others) const = 0;
  virtual void update(index n, double* parameters, const double* gradients, double* const* state,
                      double learning_rate, std::int64_t step, bool read_by_others) const = 0;

  // The same by a team, SPMD. `read_by_all`: every member will read all of the parameters, and not only the share that
  // for_range gives it.
  template <class T>
  void step(const Team& team, index n, T* parameters, const T* gradients, T* const* state,
            double learning_rate, std::int64_t step, bool read_by_all) const {
    // Pieces end at cache lines, so that no two members write to the same one.
    constexpr index kGrain = 16;
    team.for_range(n, kGrain, [&](index begin, index end) {
      T* moved[kMaxOptimizerStates] = {};
      for (int k = 0; k < state_count(); ++k) moved[k] = state[k] + begin;
      update(end - begin, parameters + begin, gradients + begin, moved, learning_rate, step,
             read_by_all && team.size() > 1);
    });
  }
};

// g = dp + weight_decay p;  b = g at step 0, else momentum b + (1 - dampening) g;
// p -= rate (nesterov ? g + momentum b : b)                    (momentum = 0: p -= rate g)
// Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning" (ICML
// 2013).
class SGD final : public Optimizer {
 public:
  struct Options {
    double momentum = 0, dampening = 0, weight_decay = 0;
    bool nesterov = false;
  };
  explicit SGD(const Options& options);
  int state_count() const override;
  void update(index n, float* parameters, const float* gradients, float* const* state, double learning_rate,
              std::int64_t step, bool read_by_others) const override;
  void update(index n, double* parameters, const double* gradients, double* const* state,
              double learning_rate, std::int64_t step, bool read_by_others) const override;

 private:
  template <class T>
  void run(index n, T* parameters, const T* gradients, T* const* state, double learning_rate,
           std::int64_t step, bool read_by_others) const;
  Options options_;
};

// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g²;  with t = step + 1,
// p -= rate / (1 - beta1^t) · m / (sqrt(v / (1 - beta2^t)) + eps)
// Adam: g = dp + weight_decay p (Kingma, Ba, "Adam", ICLR 2015). AdamW (decoupled): g = dp, and p is first
// multiplied by 1 - rate weight_decay (Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR
// 2019).
class Adam final : public Optimizer {
 public:
  struct Options {
    double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
    bool decoupled = false;
  };
  explicit Adam(const Options& options);
  int state_count() const override { return 2; }
  void update(index n, float* parameters, const float* gradients, float* const* state, double learning_rate,
              std::int64_t step, bool read_by_others) const override;
  void update(index n, double* parameters, const double* gradients, double* const* state,
              double learning_rate, std::int64_t step, bool read_by_others) const override;

 private:
  template <class T>
  void run(index n, T* parameters, const T* gradients, T* const* state, double learning_rate,
           std::int64_t step, bool read_by_others) const;
  Options options_;
};

// g = dp + weight_decay p;  v = alpha v + (1 - alpha) g²;  u = g / (sqrt(v) + eps);
// p -= rate u, or with momentum: b = momentum b + u, p -= rate b
// Tieleman, Hinton, "Lecture 6.5: rmsprop" (Coursera, 2012).
class RMSprop final : public Optimizer {
 public:
  struct Options {
    double alpha = 0.99, eps = 1e-8, weight_decay = 0, momentum = 0;
  };
  explicit RMSprop(const Options& options);
  int state_count() const override;
  void update(index n, float* parameters, const float* gradients, float* const* state, double learning_rate,
              std::int64_t step, bool read_by_others) const override;
  void update(index n, double* parameters, const double* gradients, double* const* state,
              double learning_rate, std::int64_t step, bool read_by_others) const override;

 private:
  template <class T>
  void run(index n, T* parameters, const T* gradients, T* const* state, double learning_rate,
           std::int64_t step, bool read_by_others) const;
  Options options_;
};

}  // namespace tenfold
