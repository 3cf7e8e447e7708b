// SPDX-License-Identifier: Apache-2.0
// Work that is recorded once and replayed. Recording is relaxed: memory may be asked of the driver meanwhile, and other threads go on.
#include <utility>

#include "cuda/device/cuda-device.h"

namespace dm::cuda {

void CudaDevice::capture_begin() {
  if (!check("capture_begin", cudaStreamBeginCapture(work_, cudaStreamCaptureModeRelaxed))) return;
  capture_ = std::make_unique<CudaGraph>();
  capture_->pool = allocator_.make_pool();
  shadows().begin_record();
}

/// The graph with what it holds; without `exec` after a fault.
std::unique_ptr<CudaGraph> CudaDevice::end_recording() {
  std::unique_ptr<CudaGraph> made = std::move(capture_);
  made->shadows = shadows().end_record();
  cudaGraph_t recorded = nullptr;
  const bool ended = check("capture_end", cudaStreamEndCapture(work_, &recorded));
  if (ended && recorded != nullptr) {
    check("capture_end", cudaGraphInstantiateWithFlags(&made->exec, recorded, 0));
  }
  if (recorded != nullptr) static_cast<void>(cudaGraphDestroy(recorded));
  return made;
}

Graph* CudaDevice::capture_end() {
  std::unique_ptr<CudaGraph> made = end_recording();
  if (made->exec == nullptr) {
    drop(*made);
    return nullptr;
  }
  graphs_.insert(made.get());
  return made.release();
}

void CudaDevice::replay(Graph* graph) {
  auto& own = *static_cast<CudaGraph*>(graph);
  if (own.replayed == nullptr) {
    cudaError_t error = cudaSuccess;
    own.replayed = events_.take(error);
    if (!check("replay", error)) return;
  }
  shadows().before_run(*own.shadows);
  if (!status().ok() || !check("replay", cudaGraphLaunch(own.exec, work_))) return;
  timeline_.started();
  shadows().after_run(*own.shadows);
  check("replay", cudaEventRecord(own.replayed, work_));
  check("replay", timeline_.mark());
}

void CudaDevice::graph_destroy(Graph* graph) {
  if (graphs_.erase(graph) == 0) return;
  const std::unique_ptr<CudaGraph> own(static_cast<CudaGraph*>(graph));
  drop(*own);
}

/// Gives everything back that a graph holds, once its last replay is over.
void CudaDevice::drop(CudaGraph& graph) {
  if (graph.replayed != nullptr) {
    static_cast<void>(cudaEventSynchronize(graph.replayed));
    events_.give_back(graph.replayed);
  }
  graph.shadows.reset();
  if (graph.exec != nullptr) static_cast<void>(cudaGraphExecDestroy(graph.exec));
  for (void* memory : graph.pinned) pinned_.give_back(memory);
  for (void* buffer : graph.kept) let_go(buffer);
  if (graph.scratch.data != nullptr) let_go(graph.scratch.data);
  allocator_.end_pool(graph.pool, timeline_.newest());
}

}  // namespace dm::cuda
