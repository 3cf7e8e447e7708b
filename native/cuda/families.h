// SPDX-License-Identifier: Apache-2.0
// The families of device ops. A new family is one line here; its file cuda/<stem>.cu defines register_<stem>.
#pragma once

#include "cuda/core/device.h"

// Sorted, one stem a line.
#define DM_CUDA_FAMILIES(X) \
  X(adamw_update) \
  X(arg_reduce) \
  X(attention) \
  X(attention_branch) \
  X(attention_packed) \
  X(batch_matmul) \
  X(binary) \
  X(broadcast_to) \
  X(cast) \
  X(concat) \
  X(copy) \
  X(cumulate) \
  X(diffuse) \
  X(drop_path) \
  X(fill) \
  X(gather) \
  X(gather_nd) \
  X(gather_tokens) \
  X(gelu) \
  X(global_norm) \
  X(info_nce) \
  X(layer_norm) \
  X(linear) \
  X(masked_patch_loss) \
  X(mlp_branch) \
  X(one_hot) \
  X(pad) \
  X(range) \
  X(reduce) \
  X(select) \
  X(softmax) \
  X(strided_copy) \
  X(top_k) \
  X(unary)

namespace dm::cuda {

#define DM_DECLARE_FAMILY(stem) void register_##stem(DeviceOpTable& table);
DM_CUDA_FAMILIES(DM_DECLARE_FAMILY)
#undef DM_DECLARE_FAMILY

}  // namespace dm::cuda
