// SPDX-License-Identifier: Apache-2.0
// Streams, events and graphs as programs call them; who runs next is in streams.cc.
#include <chrono>
#include <memory>
#include <utility>

#include "cuda/emulator/runtime-state.h"

namespace dm::cuda {

using emulator::call;
using emulator::Event;
using emulator::Executable;
using emulator::Moment;
using emulator::order;
using emulator::put;
using emulator::Recording;
using emulator::refuse;
using emulator::runtime;
using emulator::Stream;
using emulator::Work;

// ---- streams and events ------------------------------------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return call([=] {
    *stream = new Stream;
    runtime().scheduler.add(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  runtime().scheduler.drain(stream, order());
  runtime().scheduler.remove(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call([=] {
    if (stream->capture != nullptr) return refuse(stream, cudaErrorStreamCaptureUnsupported);
    runtime().scheduler.drain(stream, order());
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return call([=] {
    if (stream->capture != nullptr) return refuse(stream, cudaErrorStreamCaptureIsolation);
    if (event->last != nullptr) stream->queue.push_back({{}, {}, event->last});
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return call([=] {
    *event = new Event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call([=] {
    if (stream->capture != nullptr) return refuse(stream, cudaErrorStreamCaptureUnsupported);
    event->last = std::make_shared<Moment>();
    event->last->stream = stream;
    stream->queue.push_back({{}, event->last, {}});
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call([=] {
    runtime().scheduler.let_time_pass(order());
    return event->last == nullptr || event->last->reached ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([=] {
    if (event->last != nullptr) runtime().scheduler.run_until(*event->last, order());
    return cudaSuccess;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return call([=] {
    if (begin->last == nullptr || end->last == nullptr) return cudaErrorInvalidValue;
    if (!begin->last->reached || !end->last->reached) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(end->last->time - begin->last->time).count();
    return cudaSuccess;
  });
}

// ---- graphs ------------------------------------------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return call([=] {
    if (stream->capture != nullptr) return cudaErrorInvalidValue;
    stream->capture = std::make_unique<Recording>();
    stream->capture_broken = false;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  return call([=] {
    const bool broken = stream->capture == nullptr || stream->capture_broken;
    std::unique_ptr<Recording> made = std::move(stream->capture);
    if (broken) return cudaErrorStreamCaptureInvalidated;
    *graph = made.release();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph,
                                          unsigned long long) {
  return call([=] {
    *exec = new Executable{graph->work};
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return call([=] {
    for (const Work& work : exec->work) put(stream, work.run, work.bookkeeping);
    return cudaSuccess;
  });
}

}  // namespace dm::cuda
