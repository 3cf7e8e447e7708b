// SPDX-License-Identifier: Apache-2.0
// Reads and checks the arguments of an op. The first fault is kept and everything read after it is
// harmless, so an op reads all its arguments, asks once for `ok()`, and then computes on plain
// pointers and counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "dm/op.h"

namespace dm {

/// Elements a tensor may have: 2^53 - 1, what a JavaScript number counts exactly.
inline constexpr std::int64_t kMaxCount = 9007199254740991;

/// A flag that the count of buffers depends on, read before anything is checked.
inline bool flag_of(const OpArguments& arguments, std::size_t index) {
  return arguments.number_count > index && arguments.numbers[index] != 0;
}

class Arguments {
 public:
  /// Expects exactly so many buffers, and at least so many numbers (lists follow the fixed ones).
  Arguments(const char* op, const OpArguments& arguments, std::size_t buffers, std::size_t numbers);

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  /// Records a fault found by the op itself: `<op>: expected <what>, got <value>`.
  void fail(const std::string& expected, const std::string& got);

  double number(std::size_t index);
  /// An integer 0..2^53-1; 0 after a fault.
  std::int64_t count(std::size_t index);
  /// An integer of either sign.
  std::int64_t integer(std::size_t index);
  bool flag(std::size_t index) { return number(index) != 0; }
  DType dtype(std::size_t index);
  /// The product of counts `first .. first + length - 1`, checked not to overflow.
  std::int64_t product(std::size_t first, std::size_t length);
  /// The product of sizes, checked not to overflow.
  std::int64_t elements(std::initializer_list<std::int64_t> sizes);

  std::size_t number_count() const { return arguments_.number_count; }

  /// A buffer of at least `elements` elements; null after a fault, and for no elements.
  template <typename T>
  T* buffer(std::size_t index, std::int64_t elements) {
    return static_cast<T*>(bytes(index, elements, sizeof(T)));
  }

  /// As `buffer`, of the buffer after the one that `next` or `next_if` read before; the first at first.
  template <typename T>
  T* next(std::int64_t elements) {
    return static_cast<T*>(next_bytes(elements, sizeof(T)));
  }
  /// As `next`; passes over a buffer that is not `present`.
  template <typename T>
  T* next_if(bool present, std::int64_t elements) {
    if (present) return next<T>(elements);
    ++next_;
    return nullptr;
  }

  static std::size_t size_of(DType dtype) { return dtype == DType::kBool ? 1 : 4; }
  /// As `buffer`, for a dtype that is known at run time.
  void* bytes(std::size_t index, std::int64_t elements, std::size_t element_bytes);
  void* next_bytes(std::int64_t elements, std::size_t element_bytes) {
    return bytes(next_++, elements, element_bytes);
  }

 private:
  std::int64_t multiplied(const std::int64_t* sizes, std::size_t length);

  const char* op_;
  const OpArguments& arguments_;
  Status status_;
  std::size_t next_ = 0;
};

}  // namespace dm
