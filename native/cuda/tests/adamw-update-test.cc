// SPDX-License-Identifier: Apache-2.0
// AdamW on the device against float64.
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::relative_error;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.95;
constexpr double kEpsilon = 1e-8;
constexpr double kStep = 3;
constexpr double kRate = 0.02;  // of all; each tensor has a part or a multiple of it
constexpr float kScale = 0.5f;

struct Tensor {
  std::vector<float> parameter, gradient, first, second, parameter_out, first_out, second_out;
  double rate, decay;
};

Tensor tensor(std::size_t count, unsigned salt, double rate, double decay) {
  Tensor t{noise(count, salt),     noise(count, salt + 1), noise(count, salt + 2),
           noise(count, salt + 3), unwritten(count),       unwritten(count),
           unwritten(count),       rate,                   decay};
  for (float& value : t.second) value = std::abs(value);
  return t;
}

std::string run(std::vector<Tensor>& tensors, bool in_place = false, float gradient_scale = kScale) {
  std::vector<dm::Buffer> buffers;
  std::vector<float> scale{gradient_scale};
  std::vector<float> rates{static_cast<float>(kRate), static_cast<float>(kRate / (1 - std::pow(kBeta1, kStep))),
                           static_cast<float>(1 / std::sqrt(1 - std::pow(kBeta2, kStep)))};
  std::vector<double> numbers{static_cast<double>(tensors.size()), kBeta1, kBeta2, kEpsilon};
  for (Tensor& t : tensors) {
    for (auto* values : {&t.parameter, &t.gradient, &t.first, &t.second}) {
      buffers.push_back(buffer_of(*values));
    }
    numbers.insert(numbers.end(), {static_cast<double>(t.parameter.size()), t.rate / kRate, t.decay});
  }
  buffers.push_back(buffer_of(scale));
  buffers.push_back(buffer_of(rates));
  for (Tensor& t : tensors) {
    buffers.push_back(buffer_of(in_place ? t.parameter : t.parameter_out));
    buffers.push_back(buffer_of(in_place ? t.first : t.first_out));
    buffers.push_back(buffer_of(in_place ? t.second : t.second_out));
  }
  return run_device_op("DmAdamwUpdate", buffers, numbers);
}

void compare(const Tensor& t) {
  std::vector<double> parameter;
  std::vector<double> first;
  std::vector<double> second;
  for (std::size_t i = 0; i < t.parameter.size(); ++i) {
    const double g = static_cast<double>(t.gradient[i]) * static_cast<double>(kScale);
    first.push_back(kBeta1 * static_cast<double>(t.first[i]) + (1 - kBeta1) * g);
    second.push_back(kBeta2 * static_cast<double>(t.second[i]) + (1 - kBeta2) * g * g);
    const double m = first[i] / (1 - std::pow(kBeta1, kStep));
    const double v = second[i] / (1 - std::pow(kBeta2, kStep));
    parameter.push_back(static_cast<double>(t.parameter[i]) * (1 - t.rate * t.decay) -
                        t.rate * m / (std::sqrt(v) + kEpsilon));
  }
  CHECK_ERROR(relative_error(t.parameter_out, parameter), 2e-7);
  CHECK_ERROR(relative_error(t.first_out, first), 2e-7);
  CHECK_ERROR(relative_error(t.second_out, second), 2e-7);
}

}  // namespace

TEST("is within 2e-7 of float64 for many tensors in one launch, whatever their lengths") {
  std::vector<Tensor> tensors;
  unsigned salt = 0;
  for (const std::size_t count : {std::size_t{1}, std::size_t{0}, std::size_t{4096}, std::size_t{17},
                                  std::size_t{4097}, std::size_t{9001}, std::size_t{0}}) {
    tensors.push_back(tensor(count, salt, 0.001 * (salt + 1), 0.05));
    salt += 4;
  }
  CHECK_EQUAL(run(tensors), "");
  for (const Tensor& t : tensors) compare(t);
}

TEST("may write over what it reads, with the same bits") {
  std::vector<Tensor> apart{tensor(1030, 1, 0.1, 0.3)};
  std::vector<Tensor> over{tensor(1030, 1, 0.1, 0.3)};
  CHECK_EQUAL(run(apart), "");
  CHECK_EQUAL(run(over, true), "");
  CHECK(over[0].parameter == apart[0].parameter_out);
  CHECK(over[0].first == apart[0].first_out);
  CHECK(over[0].second == apart[0].second_out);
}

TEST("leaves everything as it was where the scale of the gradients is not finite") {
  for (const float scale : {std::numeric_limits<float>::quiet_NaN(), -INFINITY}) {
    std::vector<Tensor> tensors;
    for (const std::size_t count : {std::size_t{3}, std::size_t{5000}}) {
      tensors.push_back(tensor(count, 7, 0.1, 0.05));
    }
    CHECK_EQUAL(run(tensors, false, scale), "");
    for (const Tensor& t : tensors) {
      CHECK(t.parameter_out == t.parameter);
      CHECK(t.first_out == t.first);
      CHECK(t.second_out == t.second);
    }
  }
}

TEST("does nothing for no tensors, and says which buffer is too short") {
  std::vector<Tensor> none;
  CHECK_EQUAL(run(none), "");
  std::vector<Tensor> tensors{tensor(4, 1, 0.1, 0)};
  tensors[0].second.resize(3);
  CHECK_EQUAL(run(tensors),
              "DmAdamwUpdate: expected buffer 3 of at least 4 elements of 4 bytes, got 12 bytes");
}
