// SPDX-License-Identifier: Apache-2.0
// The same while work is recorded and run later: what a record reads is what the weight is at that time.
#include <cstddef>
#include <cstdint>

#include "shadow-case.h"

using dm::test::device;
using dm::test::noise;
using dm::test::unwritten;
using namespace dm::test::shadow;

namespace {

/// Buffers of a step of training: y = x Wᵀ, then AdamW of W in place.
struct Step {
  There x{noise(kRows * kIn, 3)}, y{unwritten(kRows * kOut)}, gradient{noise(kOut * kIn, 5)},
      first{Values(kOut * kIn)}, second{Values(kOut * kIn)}, scale{Values{1.0f}};
  There rates{Values{0.1f, 1.0f, 4.4721360f}};  ///< rate 0.1, step 1: 0.1 / (1 - 0.9), 1 / sqrt(1 - 0.95)

  void forward(const There& weight) const {
    CHECK_EQUAL(run("DmLinear", {x.buffer(), weight.buffer(), y.buffer()}, {kRows, kIn, kOut, 0, 0, 1}), "");
  }
  void update(const There& weight) const {
    CHECK_EQUAL(run("DmAdamwUpdate",
                    {weight.buffer(), gradient.buffer(), first.buffer(), second.buffer(), scale.buffer(),
                     rates.buffer(), weight.buffer(), first.buffer(), second.buffer()},
                    {1, 0.9, 0.95, 1e-8, kOut * kIn, 1, 0.05}),
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
