// SPDX-License-Identifier: Apache-2.0
// Copies in bfloat16 of weights: made once, rewritten by the optimizer, never stale.
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cuda/core/bf16.cuh"
#include "cuda/core/shadow-weights.h"
#include "device-run.h"

using dm::test::buffer_of;
using dm::test::device;
using dm::test::noise;
using dm::test::unwritten;

namespace {

using Values = std::vector<float>;

dm::cuda::ShadowWeights& shadows() { return device().shadows(); }

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
  dm::Buffer buffer() const { return {data_, bytes(), false}; }

 private:
  std::size_t count_;
  void* data_;
};

std::string run(const char* name, std::vector<dm::Buffer> buffers, const std::vector<double>& numbers) {
  std::vector<dm::Buffer*> pointers;
  for (dm::Buffer& buffer : buffers) pointers.push_back(&buffer);
  const auto id = static_cast<std::size_t>(dm::cuda::device_op_table().find(name));
  const dm::Status status = dm::cuda::device_op_table().run(
      device(), id, {pointers.data(), pointers.size(), numbers.data(), numbers.size()});
  return status.message();
}

constexpr std::size_t kRows = 5, kIn = 7, kOut = 9;

/// y = x Wᵀ for one x, in bfloat16 or float32.
Values product(const There& weight, bool bfloat16 = true) {
  const There x(noise(kRows * kIn, 3));
  const There y(unwritten(kRows * kOut));
  CHECK_EQUAL(run("DmLinear", {x.buffer(), weight.buffer(), y.buffer()},
                  {kRows, kIn, kOut, 0, 0, bfloat16 ? 1.0 : 0.0}),
              "");
  return y.fetch();
}

/// The same, by a weight that no op has seen.
Values fresh_product(const Values& weight) { return product(There(weight)); }

/// One step of AdamW on the weight, with moments and a gradient of their own.
void update(const There& from, const There& to) {
  const There gradient(noise(from.bytes() / 4, 5)), first(noise(from.bytes() / 4, 6));
  Values squares = noise(from.bytes() / 4, 7);
  for (float& value : squares) value *= value;
  const There second(squares), scale(Values{1.0f});
  CHECK_EQUAL(run("DmAdamwUpdate",
                  {from.buffer(), gradient.buffer(), first.buffer(), second.buffer(), scale.buffer(),
                   to.buffer(), first.buffer(), second.buffer()},
                  {1, 0.9, 0.95, 1e-8, 2, static_cast<double>(from.bytes() / 4), 0.1, 0.05}),
              "");
}

/// What the device has as the copy of a weight.
std::vector<std::uint16_t> copy_of(const There& weight) {
  std::vector<std::uint16_t> bits(weight.bytes() / 4);
  const auto count = static_cast<std::int64_t>(bits.size());
  device().download(bits.data(), shadows().of(weight.data(), count), 2 * bits.size());
  return bits;
}
std::vector<std::uint16_t> rounded(const Values& values) {
  std::vector<std::uint16_t> bits;
  for (const float value : values) bits.push_back(dm::cuda::to_bf16(value).bits);
  return bits;
}

const Values kWeight = noise(kOut * kIn, 1);
const Values kOther = noise(kOut * kIn, 2);
constexpr double kBytes = kOut * kIn * sizeof(float);

}  // namespace

TEST("a weight is rounded by the first product that reads it, and no more") {
  const There weight(kWeight);
  const std::int64_t before = shadows().made();
  const Values y = product(weight);
  CHECK_EQUAL(shadows().made() - before, 1);
  CHECK(product(weight) == y);
  CHECK_EQUAL(shadows().made() - before, 1);
  CHECK(copy_of(weight) == rounded(kWeight));
  CHECK_EQUAL(shadows().made() - before, 1);
}

TEST("a product of float32 makes none") {
  const There weight(kWeight);
  const std::int64_t before = shadows().made();
  product(weight, false);
  CHECK_EQUAL(shadows().made() - before, 0);
}

TEST("AdamW in place writes the copy with the weight, whatever their length") {
  for (const std::size_t count : {std::size_t{1}, std::size_t{63}, std::size_t{4096}, std::size_t{4099}}) {
    const There weight(noise(count, 1));
    shadows().of(weight.data(), static_cast<std::int64_t>(count));
    const std::int64_t made = shadows().made();
    update(weight, weight);
    const Values updated = weight.fetch();
    CHECK(updated != noise(count, 1));
    CHECK(copy_of(weight) == rounded(updated));
    CHECK_EQUAL(shadows().made() - made, 0);
  }
}

TEST("after AdamW in place, a product reads the new weight without rounding it") {
  const There weight(kWeight);
  const Values before = product(weight);
  const std::int64_t made = shadows().made();
  for (int step = 0; step < 2; ++step) update(weight, weight);
  const Values after = product(weight);
  CHECK_EQUAL(shadows().made() - made, 0);
  CHECK(after != before);
  CHECK(after == fresh_product(weight.fetch()));
}

TEST("AdamW into another buffer leaves the old weight's copy to its own master") {
  const There weight(kWeight);
  const There next(unwritten(kWeight.size()));
  const Values before = product(weight);
  update(weight, next);
  CHECK(product(weight) == before);
  CHECK(product(next) == fresh_product(next.fetch()));
}

TEST("AdamW of weights without copies makes none") {
  const There weight(kWeight);
  const std::size_t size = shadows().size();
  update(weight, weight);
  CHECK_EQUAL(shadows().size(), size);
}

TEST("an upload drops the copy, of a part of the weight too") {
  const There weight(kWeight);
  product(weight);
  weight.upload(kOther);
  CHECK(product(weight) == fresh_product(kOther));
  weight.upload({1.5f}, kWeight.size() - 1);
  Values expected = kOther;
  expected.back() = 1.5f;
  CHECK(product(weight) == fresh_product(expected));
}

TEST("memory that is given back takes its copy along: what gets the address next has its own") {
  There weight(kWeight);
  product(weight);
  const std::size_t size = shadows().size();
  const void* const address = weight.data();
  weight.release();
  CHECK_EQUAL(shadows().size(), size - 1);
  // An op fills what may be the same address.
  std::vector<void*> others;
  for (int i = 0; i < 64; ++i) {
    others.push_back(device().allocate(kWeight.size() * sizeof(float)));
    if (others.back() == address) break;
  }
  const There source(kOther);
  const dm::Buffer recycled{others.back(), source.bytes(), false};
  CHECK_EQUAL(run("Copy", {source.buffer(), recycled}, {kBytes}), "");
  const There x(noise(kRows * kIn, 3));
  const There y(unwritten(kRows * kOut));
  CHECK_EQUAL(run("DmLinear", {x.buffer(), recycled, y.buffer()}, {kRows, kIn, kOut, 0, 0, 1}), "");
  CHECK(y.fetch() == fresh_product(kOther));
  for (void* other : others) device().release(other);
}

TEST("an op that writes into a weight drops the copy, from any place in memory") {
  const There weight(kWeight);
  const There source(kOther);
  product(weight);
  CHECK_EQUAL(run("Copy", {source.buffer(), weight.buffer()}, {kBytes}), "");
  CHECK(product(weight) == fresh_product(kOther));
  // Into the middle of it.
  const dm::Buffer part{weight.data() + 3, 8 * sizeof(float), false};
  CHECK_EQUAL(run("Copy", {There(kWeight).buffer(), part}, {32}), "");
  CHECK(product(weight) == fresh_product(weight.fetch()));
}

TEST("a product into the memory of a weight drops its copy, of its own weight too") {
  // y has 45 elements, the weight 63.
  const There weight(kWeight);
  const There x(noise(kRows * kIn, 3));
  product(weight);
  const There other(kOther);
  CHECK_EQUAL(run("DmLinear", {x.buffer(), other.buffer(), weight.buffer()}, {kRows, kIn, kOut, 0, 0, 1}), "");
  CHECK(product(weight) == fresh_product(weight.fetch()));
  // The gradient of a weight over it, and that of x, which reads it.
  const There dy(noise(kRows * kOut, 4));
  CHECK_EQUAL(run("DmLinearGrad", {dy.buffer(), x.buffer(), other.buffer(), other.buffer(), x.buffer()},
                  {kRows, kIn, kOut, 0, 0, 1, 1}),
              "");
  CHECK(other.fetch() != kOther);
  CHECK(product(other) == fresh_product(other.fetch()));
}

TEST("what others write is read after forget") {
  const There weight(kWeight);
  const There other(kOther);
  product(weight);
  product(other);
  device().synchronize();
  // Behind the device's back; on the emulator its memory is the host's.
  shadows().forget();
  CHECK_EQUAL(shadows().size(), std::size_t{0});
  const std::int64_t made = shadows().made();
  CHECK(product(weight) == fresh_product(kWeight));
  CHECK_EQUAL(shadows().made() - made, 2);
}

TEST("an op that fails drops the copies of what it was given") {
  const There weight(kWeight);
  product(weight);
  const std::size_t size = shadows().size();
  CHECK(run("DmLinear", {weight.buffer(), weight.buffer()}, {kRows, kIn, kOut, 0, 0, 1}) != "");
  CHECK_EQUAL(shadows().size(), size - 1);
  CHECK(product(weight) == fresh_product(kWeight));
}

TEST("weights that share memory have one copy, of whichever was read last") {
  const There both(noise(kOut * kIn + 4, 8));
  const std::int64_t count = kOut * kIn;
  shadows().begin_op();
  const std::size_t size = shadows().size();
  shadows().of(both.data(), count);
  shadows().of(both.data() + 4, count);
  CHECK_EQUAL(shadows().size(), size + 1);
  shadows().of(both.data(), count);
  shadows().of(both.data(), count + 4);
  CHECK(copy_of(both) == rounded(both.fetch()));
  CHECK_EQUAL(shadows().size(), size + 1);
}

namespace {

/// Buffers of a step of training: y = x Wᵀ, then AdamW of W in place.
struct Step {
  There x{noise(kRows * kIn, 3)}, y{unwritten(kRows * kOut)}, gradient{noise(kOut * kIn, 5)},
      first{Values(kOut * kIn)}, second{Values(kOut * kIn)}, scale{Values{1.0f}};

  void forward(const There& weight) const {
    CHECK_EQUAL(run("DmLinear", {x.buffer(), weight.buffer(), y.buffer()}, {kRows, kIn, kOut, 0, 0, 1}), "");
  }
  void update(const There& weight) const {
    CHECK_EQUAL(run("DmAdamwUpdate",
                    {weight.buffer(), gradient.buffer(), first.buffer(), second.buffer(), scale.buffer(),
                     weight.buffer(), first.buffer(), second.buffer()},
                    {1, 0.9, 0.95, 1e-8, 1, kOut * kIn, 0.1, 0.05}),
                "");
  }
};

/// What `body` starts, recorded.
template <class Body>
dm::cuda::Graph* recorded(Body body) {
  device().capture_begin();
  body();
  return device().capture_end();
}

/// Runs a recorded step three times; before each, `between` may do something to the weight. y has to be what the weight of that time gives.
template <class Between>
void check_steps(bool made_before, Between between) {
  const There weight(kWeight);
  const Step step;
  if (made_before) step.forward(weight);
  dm::cuda::Graph* const graph = recorded([&] {
    step.forward(weight);
    step.update(weight);
  });
  for (int i = 0; i < 3; ++i) {
    between(weight, i);
    const Values expected = fresh_product(weight.fetch());
    device().replay(graph);
    CHECK(step.y.fetch() == expected);
    CHECK(product(weight) == fresh_product(weight.fetch()));
  }
  device().graph_destroy(graph);
  CHECK(product(weight) == fresh_product(weight.fetch()));
}

}  // namespace

TEST("a recorded step reads each run's weights, whether they had copies when it was recorded or not") {
  const std::size_t size = shadows().size();
  check_steps(true, [](const There&, int) {});
  check_steps(false, [](const There&, int) {});
  CHECK_EQUAL(shadows().size(), size);
}

TEST("a recorded step with a copy made before rounds no weight again") {
  const There weight(kWeight);
  const Step step;
  step.forward(weight);
  dm::cuda::Graph* const graph = recorded([&] {
    step.forward(weight);
    step.update(weight);
  });
  const std::int64_t made = shadows().made();
  for (int i = 0; i < 3; ++i) device().replay(graph);
  CHECK(copy_of(weight) == rounded(weight.fetch()));
  CHECK_EQUAL(shadows().made() - made, 0);
  device().graph_destroy(graph);
}

TEST("what is written to a weight between runs of a record reaches the next run") {
  for (const bool made_before : {true, false}) {
    check_steps(made_before, [](const There& weight, int i) { weight.upload(i % 2 == 0 ? kOther : kWeight); });
    check_steps(made_before, [](const There& weight, int) { update(weight, weight); });
    check_steps(made_before, [](const There& weight, int i) {
      weight.upload(i % 2 == 0 ? kOther : kWeight);
      product(weight);
    });
  }
}

TEST("a record that writes to a weight drops the copy when it runs, not before") {
  const There weight(kWeight);
  const There source(kOther);
  const Values before = product(weight);
  dm::cuda::Graph* const graph = recorded([&] {
    CHECK_EQUAL(run("Copy", {source.buffer(), weight.buffer()}, {kBytes}), "");
  });
  CHECK(product(weight) == before);
  device().replay(graph);
  CHECK(product(weight) == fresh_product(kOther));
  device().graph_destroy(graph);
}

TEST("a copy that a record makes is not there before it has run") {
  const There weight(kWeight);
  const Step step;
  dm::cuda::Graph* const graph = recorded([&] { step.forward(weight); });
  CHECK(product(weight) == fresh_product(kWeight));
  device().graph_destroy(graph);
  CHECK(product(weight) == fresh_product(kWeight));
}

TEST("a weight that a record makes itself is rounded in every run") {
  const There source(kWeight);
  const Step step;
  There* made = nullptr;
  dm::cuda::Graph* const graph = recorded([&] {
    made = new There(kOther);
    CHECK_EQUAL(run("Copy", {source.buffer(), made->buffer()}, {kBytes}), "");
    step.forward(*made);
    delete made;
  });
  for (const Values& values : {kWeight, kOther}) {
    source.upload(values);
    device().replay(graph);
    CHECK(step.y.fetch() == fresh_product(values));
  }
  device().graph_destroy(graph);
}

TEST("a weight that is given back while something is recorded has no copy afterwards") {
  auto* const weight = new There(kWeight);
  product(*weight);
  const std::size_t size = shadows().size();
  dm::cuda::Graph* const graph = recorded([&] { delete weight; });
  CHECK_EQUAL(shadows().size(), size - 1);
  device().replay(graph);
  CHECK_EQUAL(shadows().size(), size - 1);
  device().graph_destroy(graph);
}
