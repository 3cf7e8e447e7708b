// SPDX-License-Identifier: Apache-2.0
// Rows of a tensor in another order. Rows are copied by the widest unit that divides them: 16, 4 or 1 bytes.
//
// R rows of the result, U units of a row.
#pragma once

#include "cuda/core/divide.cuh"
#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

using Bytes16 = FourOf<std::uint32_t>;

/// y[r] = x[source(r)], or `missing` throughout where that is negative. Not by fours.
template <class Unit, class Source>
struct CopyRows {
  const Unit* x;  ///< [any, U]
  Unit* y;        ///< [R, U]
  Source source;
  Divisor units;  ///< U
  Unit missing;

  DM_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t row = units.quotient(i);
    const std::int64_t from = source(row);
    y[i] = from < 0 ? missing : x[from * units.value + (i - row * units.value)];
  }
  DM_DEVICE void four(std::int64_t) const {}
};

/// Every row where it is.
struct IdentityRow {
  DM_DEVICE std::int64_t operator()(std::int64_t row) const { return row; }
};

/// The rows of each plane at the indices of its batch: row r is index r % N of plane r / N.
///
/// B batches of O planes, D rows of a plane, N indices of a batch.
struct IndexedRow {
  const std::int32_t* indices;  ///< [B, N]
  Divisor count;                ///< N
  Divisor planes;               ///< O
  std::int64_t rows;            ///< D

  /// Negative where the index is outside 0..D-1.
  DM_DEVICE std::int64_t operator()(std::int64_t row) const {
    const std::int64_t plane = count.quotient(row);
    const std::int64_t batch = planes.quotient(plane);
    const std::int64_t index = indices[batch * count.value + (row - plane * count.value)];
    return index < 0 || index >= rows ? -1 : plane * rows + index;
  }
};

}  // namespace dm::cuda
