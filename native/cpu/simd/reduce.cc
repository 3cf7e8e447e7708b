// SPDX-License-Identifier: Apache-2.0
// The operations of folds.
#include "cpu/simd/reduce.h"

#include "cpu/simd/fold.h"

namespace dm::cpu::DM_ISA {
namespace {

using Int = std::int32_t;
using Word = std::uint32_t;
using Bool = std::uint8_t;

struct ProductOp {
  using A = double;
  static constexpr A kZero = 1;
  static A of(A a, A b) { return a * b; }
};
struct MinOp {
  using A = float;
  static constexpr A kZero = __builtin_inff();
  static A of(A a, A b) {
    const A least = b < a ? b : a;
    return b == b ? least : b;
  }
};
struct SumIntOp {
  using A = Int;
  static constexpr A kZero = 0;
  static A of(A a, A b) { return static_cast<A>(static_cast<Word>(a) + static_cast<Word>(b)); }
};
template <typename T, T kLeast>
struct MaxIntOp {
  using A = T;
  static constexpr A kZero = kLeast;
  static A of(A a, A b) { return b > a ? b : a; }
};
template <typename T, T kMost>
struct MinIntOp {
  using A = T;
  static constexpr A kZero = kMost;
  static A of(A a, A b) { return b < a ? b : a; }
};

template <typename T, typename Op>
constexpr FoldKernels<T, typename Op::A> kFold = {fold_row<Op, T>, fold_rows<Op, T>};

}  // namespace

extern const ReduceKernels kReduce = {
    .sum = kFold<float, SumOp>,
    .product = kFold<float, ProductOp>,
    .max = kFold<float, MaxOp>,
    .min = kFold<float, MinOp>,
    .max_int = kFold<Int, MaxIntOp<Int, INT32_MIN>>,
    .min_int = kFold<Int, MinIntOp<Int, INT32_MAX>>,
    .sum_int = kFold<Int, SumIntOp>,
    .product_int = kFold<Int, ProductOp>,
    .max_bool = kFold<Bool, MaxIntOp<Bool, 0>>,
    .min_bool = kFold<Bool, MinIntOp<Bool, UINT8_MAX>>,
};

}  // namespace dm::cpu::DM_ISA
