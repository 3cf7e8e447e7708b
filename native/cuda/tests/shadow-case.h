// SPDX-License-Identifier: Apache-2.0
// Weights that stay on a device between ops, and what reads and writes them: for the tests of their copies in bfloat16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cuda/core/bf16.cuh"
#include "cuda/core/shadow-weights.h"
#include "device-run.h"

namespace dm::test::shadow {

using Values = std::vector<float>;

inline cuda::ShadowWeights& shadows() { return device().shadows(); }

/// Memory of a device that stays between ops.
class There {
 public:
  explicit There(const Values& values) : count_(values.size()), data_(device().allocate(bytes())) {
    upload(values);
  }
  ~There() { release(); }
  There(const There&) = delete;
  There& operator=(const There&) = delete;

  void upload(const Values& values, std::size_t from = 0) const {
    device().upload(static_cast<float*>(data_) + from, values.data(), values.size() * sizeof(float));
  }
  void release() {
    if (data_ != nullptr) device().release(data_);
    data_ = nullptr;
  }
  Values fetch() const {
    Values values(count_);
    device().download(values.data(), data_, bytes());
    return values;
  }
  float* data() const { return static_cast<float*>(data_); }
  std::size_t bytes() const { return count_ * sizeof(float); }
  Buffer buffer() const { return {data_, bytes(), false}; }

 private:
  std::size_t count_;
  void* data_;
};

inline std::string run(const char* name, std::vector<Buffer> buffers, const std::vector<double>& numbers) {
  std::vector<Buffer*> pointers;
  for (Buffer& buffer : buffers) pointers.push_back(&buffer);
  const auto id = static_cast<std::size_t>(cuda::device_op_table().find(name));
  const Status status = cuda::device_op_table().run(
      device(), id, {pointers.data(), pointers.size(), numbers.data(), numbers.size()});
  return status.message();
}

inline constexpr std::size_t kRows = 5, kIn = 7, kOut = 9;

/// y = x Wᵀ for one x, in bfloat16 or float32.
inline Values product(const There& weight, bool bfloat16 = true) {
  const There x(noise(kRows * kIn, 3));
  const There y(unwritten(kRows * kOut));
  CHECK_EQUAL(run("DmLinear", {x.buffer(), weight.buffer(), y.buffer()},
                  {kRows, kIn, kOut, 0, 0, bfloat16 ? 1.0 : 0.0}),
              "");
  return y.fetch();
}

/// The same, by a weight that no op has seen.
inline Values fresh_product(const Values& weight) { return product(There(weight)); }

/// One step of AdamW on the weight, with moments and a gradient of their own.
inline void update(const There& from, const There& to) {
  const There gradient(noise(from.bytes() / 4, 5)), first(noise(from.bytes() / 4, 6));
  Values squares = noise(from.bytes() / 4, 7);
  for (float& value : squares) value *= value;
  const There second(squares), scale(Values{1.0f});
  // Rate 0.1, step 2: 0.1 / (1 - 0.9^2), 1 / sqrt(1 - 0.95^2).
  const There rates(Values{0.1f, 0.5263158f, 3.2025631f});
  CHECK_EQUAL(run("DmAdamwUpdate",
                  {from.buffer(), gradient.buffer(), first.buffer(), second.buffer(), scale.buffer(),
                   rates.buffer(), to.buffer(), first.buffer(), second.buffer()},
                  {1, 0.9, 0.95, 1e-8, static_cast<double>(from.bytes() / 4), 1, 0.05}),
              "");
}

/// What the device has as the copy of a weight.
inline std::vector<std::uint16_t> copy_of(const There& weight) {
  std::vector<std::uint16_t> bits(weight.bytes() / 4);
  const auto count = static_cast<std::int64_t>(bits.size());
  device().download(bits.data(), shadows().of(weight.data(), count), 2 * bits.size());
  return bits;
}
inline std::vector<std::uint16_t> rounded(const Values& values) {
  std::vector<std::uint16_t> bits;
  for (const float value : values) bits.push_back(cuda::to_bf16(value).bits);
  return bits;
}

inline const Values kWeight = noise(kOut * kIn, 1);
inline const Values kOther = noise(kOut * kIn, 2);
inline constexpr double kBytes = kOut * kIn * sizeof(float);

}  // namespace dm::test::shadow
