// SPDX-License-Identifier: Apache-2.0
#include "core/arguments.h"

#include <cmath>
#include <vector>

#include "check.h"
#include "run-op.h"

using dm::test::complaint;

TEST("refuses wrong counts of buffers and numbers") {
  std::vector<float> x(4);
  CHECK_EQUAL(complaint("Exp", {dm::test::buffer_of(x)}, {4}), "unary: expected 2 buffers, got 1");
  CHECK_EQUAL(complaint("Fill", {dm::test::buffer_of(x)}, {0, 4}), "Fill: expected 3 numbers, got 2");
}

TEST("refuses counts that are none, and buffers that are too small or freed") {
  std::vector<float> x(4);
  std::vector<float> y(4);
  const auto exp = [&](double count) {
    return complaint("Exp", {dm::test::buffer_of(x), dm::test::buffer_of(y)}, {count});
  };
  CHECK_EQUAL(exp(-1), "unary: expected a count as number 0, got -1");
  CHECK_EQUAL(exp(0.5), "unary: expected an integer as number 0, got 0.500000");
  CHECK_EQUAL(exp(std::nan("")), "unary: expected an integer as number 0, got nan");
  CHECK_EQUAL(exp(INFINITY), "unary: expected an integer as number 0, got inf");
  CHECK_EQUAL(exp(5), "unary: expected buffer 0 of at least 5 elements of 4 bytes, got 16 bytes");
  CHECK_EQUAL(exp(9e15),
              "unary: expected buffer 0 of at least 9000000000000000 elements of 4 bytes, got 16 "
              "bytes");
  CHECK_EQUAL(exp(4), "");
  CHECK_EQUAL(complaint("Exp", {{nullptr, 16, true}, dm::test::buffer_of(y)}, {4}),
              "unary: expected buffer 0 in use, got a freed one");
}

TEST("refuses shapes that do not broadcast, and products that overflow") {
  std::vector<float> x(4);
  const auto divide = [&](std::vector<double> numbers) {
    const dm::Buffer buffer = dm::test::buffer_of(x);
    return complaint("RealDiv", {buffer, buffer, buffer}, std::move(numbers));
  };
  CHECK_EQUAL(divide({0, 1, 2, 3}), "binary: expected shapes that broadcast, got 2 against 3");
  CHECK_EQUAL(divide({0, 9}), "binary: expected a rank of at most 8, got 9");
  CHECK_EQUAL(divide({0, 2, 1e9, 1e9, 1, 1}),
              "binary: expected at most 2^53 - 1 elements, got more");
  CHECK_EQUAL(divide({0, 2, 1e9, 1, 1, 1e9}),
              "binary: expected at most 2^53 - 1 elements, got more");
  CHECK_EQUAL(divide({0, 2, 2}), "binary: expected at least 4 numbers, got 3");
  CHECK_EQUAL(divide({2, 0}), "binary: expected a dtype of this op, got 2");
  CHECK_EQUAL(divide({3, 0}), "binary: expected a dtype 0..2 as number 0, got 3");
}

TEST("knows no other ids") {
  const dm::OpArguments none{nullptr, 0, nullptr, 0};
  CHECK(!dm::op_table().run(1'000'000, none).ok());
  CHECK_EQUAL(dm::op_table().find("NoSuchOp"), -1);
}
