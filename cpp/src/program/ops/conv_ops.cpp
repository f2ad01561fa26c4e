#include "program/ops/op_base.h"

namespace tenfold {

void register_conv_ops(OpRegistry&) {}

}  // namespace tenfold
