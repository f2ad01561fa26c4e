#include "tenfold/optim.h"

#include <cmath>

#include "kernels/optim.h"
#include "kernels/past.h"
#include "tenfold/error.h"

namespace tenfold {
namespace {

// What other members have read in a step they hold when the next one writes (kernels/past.h).
template <class T>
bool write_past_caches(const T* parameters, bool read_by_others) {
  return read_by_others && reinterpret_cast<std::uintptr_t>(parameters) % kLineBytes == 0;
}

// Written so that NaN is refused too.
void require_not_negative(const char* optimizer, const char* argument, double value) {
  if (!(value >= 0 && std::isfinite(value))) {
    reject(optimizer, argument, "must be finite and at least 0; received ", value);
  }
}
void require_share(const char* optimizer, const char* argument, double value) {
  if (!(value >= 0 && value < 1))
    reject(optimizer, argument, "must be at least 0 and less than 1; received ", value);
}

}  // namespace

SGD::SGD(const Options& options) : options_(options) {
  require_not_negative("SGD", "momentum", options.momentum);
  require_not_negative("SGD", "weight_decay", options.weight_decay);
  if (!std::isfinite(options.dampening))
    reject("SGD", "dampening", "must be finite; received ", options.dampening);
  if (options.nesterov && !(options.momentum > 0 && options.dampening == 0)) {
    reject("SGD", "nesterov", "needs momentum > 0 and dampening = 0; received momentum ", options.momentum,
           " and dampening ", options.dampening);
  }
}

int SGD::state_count() const {
  return options_.momentum > 0 ? 1 : 0;
}

template <class T>
void SGD::run(index n, T* parameters, const T* gradients, T* const* state, double learning_rate,
              std::int64_t step, bool read_by_others) const {
  const auto& k = kernels<OptimKernels, T>();
  const bool first = step == 0;
  SgdRates<T> rates;
  rates.learning_rate = static_cast<T>(learning_rate);
  rates.momentum = static_cast<T>(options_.momentum);
  rates.weight_decay = static_cast<T>(options_.weight_decay);
  rates.keep = static_cast<T>(first ? 0 : options_.momentum);
  rates.share = static_cast<T>(first ? 1 : 1 - options_.dampening);
  rates.nesterov = options_.nesterov;
  T* buffer = state_count() > 0 ? state[0] : nullptr;
  const bool past = write_past_caches(parameters, read_by_others);
  k.sgd(n, parameters, gradients, buffer, rates, past);
}

Adam::Adam(const Options& options) : options_(options) {
  const char* name = options.decoupled ? "AdamW" : "Adam";
  require_share(name, "betas[0]", options.beta1);
  require_share(name, "betas[1]", options.beta2);
  require_not_negative(name, "eps", options.eps);
  require_not_negative(name, "weight_decay", options.weight_decay);
}

template <class T>
void Adam::run(index n, T* parameters, const T* gradients, T* const* state, double learning_rate,
               std::int64_t step, bool read_by_others) const {
  const auto& k = kernels<OptimKernels, T>();
  const double t = static_cast<double>(step) + 1;
  AdamRates<T> rates;
  rates.keep1 = static_cast<T>(options_.beta1);
  rates.share1 = static_cast<T>(1 - options_.beta1);
  rates.keep2 = static_cast<T>(options_.beta2);
  rates.share2 = static_cast<T>(1 - options_.beta2);
  rates.step_size = static_cast<T>(learning_rate / (1 - std::pow(options_.beta1, t)));
  rates.root_correction = static_cast<T>(1 / std::sqrt(1 - std::pow(options_.beta2, t)));
  rates.eps = static_cast<T>(options_.eps);
  rates.weight_decay = static_cast<T>(options_.decoupled ? 0 : options_.weight_decay);
  rates.shrink = static_cast<T>(options_.decoupled ? 1 - learning_rate * options_.weight_decay : 1);
  T *mean = state[0], *square = state[1];
  const bool past = write_past_caches(parameters, read_by_others);
  k.adam(n, parameters, gradients, mean, square, rates, past);
}

RMSprop::RMSprop(const Options& options) : options_(options) {
  require_share("RMSprop", "alpha", options.alpha);
  require_not_negative("RMSprop", "eps", options.eps);
  require_not_negative("RMSprop", "weight_decay", options.weight_decay);
  require_not_negative("RMSprop", "momentum", options.momentum);
}

int RMSprop::state_count() const {
  return options_.momentum > 0 ? 2 : 1;
}

template <class T>
void RMSprop::run(index n, T* parameters, const T* gradients, T* const* state, double learning_rate,
                  std::int64_t, bool read_by_others) const {
  const auto& k = kernels<OptimKernels, T>();
  RmspropRates<T> rates;
  rates.learning_rate = static_cast<T>(learning_rate);
  rates.keep = static_cast<T>(options_.alpha);
  rates.share = static_cast<T>(1 - options_.alpha);
  rates.eps = static_cast<T>(options_.eps);
  rates.weight_decay = static_cast<T>(options_.weight_decay);
  rates.momentum = static_cast<T>(options_.momentum);
  T* square = state[0];
  T* buffer = state_count() > 1 ? state[1] : nullptr;
  const bool past = write_past_caches(parameters, read_by_others);
  k.rmsprop(n, parameters, gradients, square, buffer, rates, past);
}

#define TENFOLD_DEFINE_UPDATE(Class, T)                                                                 \
  void Class::update(index n, T* parameters, const T* gradients, T* const* state, double learning_rate, \
                     std::int64_t step, bool read_by_others) const {                                    \
    run(n, parameters, gradients, state, learning_rate, step, read_by_others);                          \
  }
TENFOLD_DEFINE_UPDATE(SGD, float)
TENFOLD_DEFINE_UPDATE(SGD, double)
TENFOLD_DEFINE_UPDATE(Adam, float)
TENFOLD_DEFINE_UPDATE(Adam, double)
TENFOLD_DEFINE_UPDATE(RMSprop, float)
TENFOLD_DEFINE_UPDATE(RMSprop, double)
#undef TENFOLD_DEFINE_UPDATE

}  // namespace tenfold
