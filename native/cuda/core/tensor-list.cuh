// SPDX-License-Identifier: Apache-2.0
// One launch over many tensors: their places are a list on the device, in which each block finds the tensor that its chunk is of.
#pragma once

#include "cuda/core/simt.cuh"

namespace dm::cuda {

/// The entry with the last `first_chunk` that is not past `chunk`, of entries in rising order of it that begins with 0. Entries without
/// chunks are never found.
template <class Entry>
DM_DEVICE const Entry& entry_of_chunk(const Entry* entries, int count, std::int64_t chunk) {
  int low = 0;
  int high = count;  // entries[low].first_chunk <= chunk < entries[high].first_chunk
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (entries[middle].first_chunk <= chunk ? low : high) = middle;
  }
  return entries[low];
}

}  // namespace dm::cuda
