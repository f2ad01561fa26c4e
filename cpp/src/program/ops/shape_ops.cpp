#include "program/ops/op_base.h"

namespace tenfold {

void register_shape_ops(OpRegistry&) {}

}  // namespace tenfold
