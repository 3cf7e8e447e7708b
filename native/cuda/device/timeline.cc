// SPDX-License-Identifier: Apache-2.0
#include "cuda/device/timeline.h"

namespace dm::cuda {

cudaError_t Timeline::mark() {
  if (marked_ == newest_) return cudaSuccess;
  cudaError_t error = cudaSuccess;
  const cudaEvent_t event = events_.take(error);
  if (error != cudaSuccess) return error;
  marked_ = newest_;
  marks_.push_back({newest_, event});
  return cudaEventRecord(event, work_);
}

cudaError_t Timeline::wait(cudaStream_t stream, std::uint64_t number) {
  forget_passed();
  if (number <= over_) return cudaSuccess;
  for (const Mark& mark : marks_) {
    if (mark.number >= number) return cudaStreamWaitEvent(stream, mark.event, 0);
  }
  const cudaError_t error = mark();
  return error == cudaSuccess ? cudaStreamWaitEvent(stream, marks_.back().event, 0) : error;
}

void Timeline::forget_passed() {
  while (!marks_.empty() && Events::passed(marks_.front().event)) {
    over_ = marks_.front().number;
    events_.give_back(marks_.front().event);
    marks_.pop_front();
  }
}

}  // namespace dm::cuda
