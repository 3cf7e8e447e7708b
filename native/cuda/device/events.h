// SPDX-License-Identifier: Apache-2.0
// Events that are used again and again: making one costs more than recording it.
#pragma once

#include <vector>

#include "cuda/device/cuda-runtime.h"

namespace dm::cuda {

class Events {
 public:
  Events() = default;
  ~Events() {
    for (cudaEvent_t event : idle_) cudaEventDestroy(event);
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  /// Null, with `error` set, when the driver has none.
  cudaEvent_t take(cudaError_t& error) {
    cudaEvent_t event = nullptr;
    error = cudaSuccess;
    if (idle_.empty()) {
      error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
      return error == cudaSuccess ? event : nullptr;
    }
    event = idle_.back();
    idle_.pop_back();
    return event;
  }
  void give_back(cudaEvent_t event) { idle_.push_back(event); }

  /// Whether everything before the event is over. "Not yet" is kept by the driver as the last error, where the next launch would find it.
  static bool passed(cudaEvent_t event) {
    const cudaError_t answer = cudaEventQuery(event);
    if (answer == cudaErrorNotReady) static_cast<void>(cudaGetLastError());
    return answer == cudaSuccess;
  }

 private:
  std::vector<cudaEvent_t> idle_;
};

}  // namespace dm::cuda
