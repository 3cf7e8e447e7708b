// SPDX-License-Identifier: Apache-2.0
// DmGlobalNorm on a device: buffers and numbers as in cpu/global-norm.cc.
#include "cuda/global-norm.cuh"

#include <string>
#include <vector>

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/core/upload-list.h"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

// buffers: n tensors, norm []. numbers: [count of each].
Status norm(Device& device, const OpArguments& arguments) {
  Arguments in("DmGlobalNorm", arguments, arguments.buffer_count, 0);
  const std::size_t n = in.number_count();
  if (arguments.buffer_count != n + 1) {
    in.fail(std::to_string(n + 1) + " buffers", std::to_string(arguments.buffer_count));
  }
  GlobalNorm p{.tensors = nullptr,
               .partials = nullptr,
               .norm = in.buffer<float>(n, 1),
               .chunks = 0,
               .tensor_count = static_cast<int>(n)};
  std::vector<NormTensor> tensors;
  for (std::size_t i = 0; i < n && in.ok(); ++i) {
    const std::int64_t count = in.count(i);
    const float* x = in.buffer<float>(i, count);
    tensors.push_back(
        {.x = x, .count = count, .first_chunk = p.chunks, .fours = all_aligned({x}, 16)});
    p.chunks += blocks_for(count, kNormChunk);
  }
  if (!in.ok()) return in.status();
  NormTensor* const list =
      upload_list(device, tensors, static_cast<std::size_t>(p.chunks) * sizeof(double));
  if (list == nullptr) return {};
  p.tensors = list;
  p.partials = reinterpret_cast<double*>(
      reinterpret_cast<std::byte*>(list) +
      padded_bytes<NormTensor>(static_cast<std::int64_t>(tensors.size())));
  const Grid grid{.blocks = p.chunks, .threads = kNormThreads, .shared_bytes = kNormShared};
  launch<add_squares>(device, grid, p);
  launch<finish_norm>(device, {.threads = kNormThreads, .shared_bytes = kNormShared}, p);
  return {};
}

}  // namespace

void register_global_norm(DeviceOpTable& table) { table.add("DmGlobalNorm", norm); }

}  // namespace dm::cuda
