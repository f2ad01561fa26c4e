#include "program/ops/op_base.h"

namespace tenfold {

void register_linear_ops(OpRegistry&) {}

}  // namespace tenfold
