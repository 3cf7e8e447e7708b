// SPDX-License-Identifier: Apache-2.0
// Checks that stand between an op and whatever a caller passed.
#include "core/arguments.h"

#include <cmath>
#include <vector>

namespace dm {

namespace {

std::string text(double value) {
  const double limit = static_cast<double>(kMaxCount);
  if (value == std::floor(value) && std::abs(value) <= limit) {
    return std::to_string(static_cast<std::int64_t>(value));
  }
  return std::to_string(value);
}

}  // namespace

Arguments::Arguments(const char* op, const OpArguments& arguments, std::size_t buffers,
                     std::size_t numbers)
    : op_(op), arguments_(arguments) {
  if (arguments.buffer_count != buffers) {
    fail(std::to_string(buffers) + " buffers", std::to_string(arguments.buffer_count));
  } else if (arguments.number_count < numbers) {
    fail(std::to_string(numbers) + " numbers", std::to_string(arguments.number_count));
  }
}

void Arguments::fail(const std::string& expected, const std::string& got) {
  if (!status_.ok()) return;
  status_ = invalid_argument(std::string(op_) + ": expected " + expected + ", got " + got);
}

double Arguments::number(std::size_t index) {
  if (index >= arguments_.number_count) {
    fail("at least " + std::to_string(index + 1) + " numbers",
         std::to_string(arguments_.number_count));
  }
  return ok() ? arguments_.numbers[index] : 0;
}

std::int64_t Arguments::integer(std::size_t index) {
  const double value = number(index);
  // Written so that NaN fails.
  const bool good = std::abs(value) <= static_cast<double>(kMaxCount) && value == std::floor(value);
  if (!good) fail("an integer as number " + std::to_string(index), text(value));
  return ok() ? static_cast<std::int64_t>(value) : 0;
}

std::int64_t Arguments::count(std::size_t index) {
  const std::int64_t value = integer(index);
  if (value < 0) fail("a count as number " + std::to_string(index), std::to_string(value));
  return ok() ? value : 0;
}

DType Arguments::dtype(std::size_t index) {
  const std::int64_t value = integer(index);
  if (value < 0 || value > static_cast<std::int64_t>(DType::kBool)) {
    fail("a dtype 0..2 as number " + std::to_string(index), std::to_string(value));
  }
  return ok() ? static_cast<DType>(value) : DType::kFloat32;
}

std::int64_t Arguments::product(std::size_t first, std::size_t length) {
  std::vector<std::int64_t> sizes;
  for (std::size_t i = 0; i < length; ++i) sizes.push_back(count(first + i));
  return multiplied(sizes.data(), length);
}

std::int64_t Arguments::elements(std::initializer_list<std::int64_t> sizes) {
  return multiplied(sizes.begin(), sizes.size());
}

std::int64_t Arguments::multiplied(const std::int64_t* sizes, std::size_t length) {
  std::int64_t result = 1;  // of the sizes that are not 0: parts of a product are products too
  bool empty = false;
  for (std::size_t i = 0; i < length; ++i) {
    if (sizes[i] == 0) {
      empty = true;
    } else if (result > kMaxCount / sizes[i]) {
      fail("at most 2^53 - 1 elements", "more");
    } else {
      result *= sizes[i];
    }
  }
  return ok() && !empty ? result : 0;
}

void* Arguments::bytes(std::size_t index, std::int64_t elements, std::size_t element_bytes) {
  if (!ok()) return nullptr;
  if (index >= arguments_.buffer_count) {
    fail("a buffer " + std::to_string(index), std::to_string(arguments_.buffer_count) + " buffers");
    return nullptr;
  }
  Buffer& buffer = *arguments_.buffers[index];
  if (buffer.freed) {
    fail("buffer " + std::to_string(index) + " in use", "a freed one");
  } else if (elements < 0 || static_cast<std::size_t>(elements) > buffer.bytes / element_bytes) {
    fail("buffer " + std::to_string(index) + " of at least " + std::to_string(elements) +
             " elements of " + std::to_string(element_bytes) + " bytes",
         std::to_string(buffer.bytes) + " bytes");
  }
  return ok() ? buffer.data : nullptr;
}

}  // namespace dm
