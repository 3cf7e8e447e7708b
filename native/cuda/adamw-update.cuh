// SPDX-License-Identifier: Apache-2.0
// One AdamW step of all parameters (packages/core/src/ops/adamw-update.ts; Loshchilov and Hutter, "Decoupled weight decay regularization",
// in PyTorch's arithmetic): one launch, one pass over memory, 28 bytes a parameter; 30 where products have a copy of it
// in bfloat16, which is written in the same pass. A block has one chunk of one tensor. Where the scale of the gradients is not finite, every
// element stays what it was.
//
// N elements of a tensor.
#pragma once

#include "cuda/core/quad.cuh"
#include "cuda/core/tensor-list.cuh"

namespace dm::cuda {

constexpr int kAdamwThreads = 256;
constexpr std::int64_t kAdamwChunk = 4096;

struct AdamwTensor {
  const float* parameter;   ///< [N]
  const float* gradient;    ///< [N]
  const float* first;       ///< [N]
  const float* second;      ///< [N]
  float* parameter_out;     ///< [N], may be the block of its input, as those below
  float* first_out;         ///< [N]
  float* second_out;        ///< [N]
  bf16* copy;               ///< [N]: parameter_out once more; or null
  std::int64_t count;       ///< N
  std::int64_t first_chunk;
  float decay_scale;        ///< rate_scale * weight decay
  float rate_scale;         ///< of the learning rate
  bool fours;               ///< all of these are aligned to four elements
};

struct AdamwUpdate {
  const AdamwTensor* tensors;
  const float* gradient_scale;  ///< []
  const float* rates;           ///< [3]: learning rate; learning rate / (1 - beta1^step); 1 / sqrt(1 - beta2^step)
  int tensor_count;
  float beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon;
};

/// Whether it is a number below infinity.
DM_DEVICE bool is_finite(float x) { return x - x == 0; }

/// What all elements of a tensor are updated by.
struct AdamwFactors {
  float gradient;  ///< the gradient's
  float kept;      ///< 1 - learning rate * weight decay
  float rate;      ///< learning rate / (1 - beta1^step)
  float root;      ///< 1 / sqrt(1 - beta2^step)
};
DM_DEVICE AdamwFactors adamw_factors(const AdamwUpdate& p, const AdamwTensor& t) {
  return {*p.gradient_scale, 1 - p.rates[0] * t.decay_scale, p.rates[1] * t.rate_scale, p.rates[2]};
}

/// What one element becomes.
struct AdamwElement {
  float parameter, first, second;
};
DM_DEVICE AdamwElement adamw_element(const AdamwUpdate& p, const AdamwFactors& by, float parameter,
                                     float gradient, float first, float second) {
  if (!is_finite(by.gradient)) return {parameter, first, second};
  gradient *= by.gradient;
  first = first * p.beta1 + gradient * p.one_minus_beta1;
  second = second * p.beta2 + (gradient * gradient) * p.one_minus_beta2;
  const float denominator = sqrtf(second) * by.root + p.epsilon;
  return {parameter * by.kept - (first / denominator) * by.rate, first, second};
}

DM_KERNEL(kAdamwThreads, 3)
adamw_update(AdamwUpdate p) {
  const AdamwTensor t = entry_of_chunk(p.tensors, p.tensor_count, block_index());
  const AdamwFactors by = adamw_factors(p, t);
  const std::int64_t begin = (block_index() - t.first_chunk) * kAdamwChunk;
  const std::int64_t end = begin + kAdamwChunk < t.count ? begin + kAdamwChunk : t.count;
  const std::int64_t whole = t.fours ? begin + (end - begin) / 4 * 4 : begin;
  for (std::int64_t i = begin + 4 * thread_index(); i < whole; i += 4 * kAdamwThreads) {
    FourOf<float> parameter = read_four(t.parameter + i);
    const FourOf<float> gradient = read_four(t.gradient + i);
    FourOf<float> first = read_four(t.first + i);
    FourOf<float> second = read_four(t.second + i);
    DM_UNROLL
    for (int k = 0; k < 4; ++k) {
      const AdamwElement next = adamw_element(p, by, parameter.at[k], gradient.at[k],
                                              first.at[k], second.at[k]);
      parameter.at[k] = next.parameter;
      first.at[k] = next.first;
      second.at[k] = next.second;
    }
    write_four(t.parameter_out + i, parameter);
    write_four(t.first_out + i, first);
    write_four(t.second_out + i, second);
    if (t.copy == nullptr) continue;
    put_four(t.copy + i, parameter);
  }
  for (std::int64_t i = whole + thread_index(); i < end; i += kAdamwThreads) {
    const AdamwElement next =
        adamw_element(p, by, t.parameter[i], t.gradient[i], t.first[i], t.second[i]);
    t.parameter_out[i] = next.parameter;
    t.first_out[i] = next.first;
    t.second_out[i] = next.second;
    if (t.copy != nullptr) t.copy[i] = to_bf16(next.parameter);
  }
}

}  // namespace dm::cuda
