// How tenfold refuses an argument: the function, the argument, the rule, and what came.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace tenfold {

// A wrong value or shape (ValueError in Python).
struct InvalidArgument : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// A wrong element type (TypeError in Python).
struct InvalidType : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

namespace detail {
template <class Error, class... Parts>
[[noreturn]] void fail(const char* function, const char* argument, const Parts&... parts) {
  std::ostringstream text;
  text << function << ": " << argument << ' ';
  (text << ... << parts);
  throw Error(text.str());
}
}  // namespace detail

// reject("conv2d", "stride", "must be positive; received ", stride) throws
// InvalidArgument "conv2d: stride must be positive; received 0".
template <class... Parts>
[[noreturn]] void reject(const char* function, const char* argument, const Parts&... parts) {
  detail::fail<InvalidArgument>(function, argument, parts...);
}
template <class... Parts>
[[noreturn]] void reject_type(const char* function, const char* argument, const Parts&... parts) {
  detail::fail<InvalidType>(function, argument, parts...);
}

}  // namespace tenfold
