#include "program/ops/op_base.h"

namespace tenfold {

void register_pool_ops(OpRegistry&) {}

}  // namespace tenfold
