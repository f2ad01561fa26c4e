#include "program/ops/op_base.h"

namespace tenfold {

void register_random_ops(OpRegistry&) {}

}  // namespace tenfold
