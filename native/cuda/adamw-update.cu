// SPDX-License-Identifier: Apache-2.0
// DmAdamwUpdate on a device: buffers and numbers as in cpu/adamw-update.cc.
#include "cuda/adamw-update.cuh"

#include <string>
#include <vector>

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/core/upload-list.h"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

constexpr std::size_t kFixed = 4;  // numbers before those of the parameters
constexpr std::size_t kEach = 3;   // numbers of a parameter

AdamwTensor read_tensor(Device& device, Arguments& in, std::size_t i, std::size_t n) {
  const std::int64_t count = in.count(kFixed + kEach * i);
  const double rate_scale = in.number(kFixed + kEach * i + 1);
  const double weight_decay = in.number(kFixed + kEach * i + 2);
  const std::size_t out = 4 * n + 2 + 3 * i;
  AdamwTensor t{.parameter = in.buffer<float>(4 * i, count),
                .gradient = in.buffer<float>(4 * i + 1, count),
                .first = in.buffer<float>(4 * i + 2, count),
                .second = in.buffer<float>(4 * i + 3, count),
                .parameter_out = in.buffer<float>(out, count),
                .first_out = in.buffer<float>(out + 1, count),
                .second_out = in.buffer<float>(out + 2, count),
                .copy = nullptr,
                .count = count,
                .first_chunk = 0,
                .decay_scale = static_cast<float>(rate_scale * weight_decay),
                .rate_scale = static_cast<float>(rate_scale),
                .fours = false};
  t.fours = all_aligned({t.parameter, t.gradient, t.first, t.second, t.parameter_out, t.first_out,
                         t.second_out},
                        16);
  t.copy = device.shadows().rewritten(t.parameter_out, count);
  return t;
}

// buffers: parameter, gradient, first, second of each of n parameters; gradientScale []; rates [3]; then parameter, first, second of
// each, which may be those given. numbers: [n, beta1, beta2, epsilon, then count, rateScale, weightDecay of each].
Status update(Device& device, const OpArguments& arguments) {
  Arguments in("DmAdamwUpdate", arguments, arguments.buffer_count, kFixed);
  const auto n = static_cast<std::size_t>(in.count(0));
  if (in.ok() && (arguments.buffer_count != 7 * n + 2 ||
                  in.number_count() < kFixed + kEach * n)) {
    in.fail(std::to_string(7 * n + 2) + " buffers and " + std::to_string(kFixed + kEach * n) +
                " numbers",
            std::to_string(arguments.buffer_count) + " and " + std::to_string(in.number_count()));
  }
  const double beta1 = in.number(1);
  const double beta2 = in.number(2);
  AdamwUpdate p{.tensors = nullptr,
                .gradient_scale = in.buffer<float>(4 * n, 1),
                .rates = in.buffer<float>(4 * n + 1, 3),
                .tensor_count = static_cast<int>(n),
                .beta1 = static_cast<float>(beta1),
                .one_minus_beta1 = static_cast<float>(1 - beta1),
                .beta2 = static_cast<float>(beta2),
                .one_minus_beta2 = static_cast<float>(1 - beta2),
                .epsilon = static_cast<float>(in.number(3))};
  std::vector<AdamwTensor> tensors;
  std::int64_t chunks = 0;
  for (std::size_t i = 0; i < n && in.ok(); ++i) {
    tensors.push_back(read_tensor(device, in, i, n));
    tensors.back().first_chunk = chunks;
    chunks += blocks_for(tensors.back().count, kAdamwChunk);
  }
  if (!in.ok() || chunks == 0) return in.status();
  p.tensors = upload_list(device, tensors);
  launch<adamw_update>(device, {.blocks = chunks, .threads = kAdamwThreads}, p);
  return {};
}

}  // namespace

void register_adamw_update(DeviceOpTable& table) { table.add("DmAdamwUpdate", update); }

}  // namespace dm::cuda
