// SPDX-License-Identifier: Apache-2.0
// Which devices there are, and what is wrong where there is none that this build runs on.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "cuda/core/architectures.h"
#include "cuda/device/cuda-device.h"

#ifndef DM_CUDA_ARCHITECTURES
#error "DM_CUDA_ARCHITECTURES has to list what the kernels are compiled for"
#endif

namespace dm::cuda {

namespace {

/// As CUDA counts: 13000 is "13.0".
std::string version_name(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

Status no_device(cudaError_t error) {
  static_cast<void>(cudaGetLastError());  // told here
  const std::string where = "device: expected a GPU and its driver, got ";
  int driver = 0;
  int runtime = 0;
  static_cast<void>(cudaDriverGetVersion(&driver));
  static_cast<void>(cudaRuntimeGetVersion(&runtime));
  if (driver == 0) {
    return {StatusCode::kUnsupported,
            where + "no driver: libcuda.so.1 is missing. Try: install NVIDIA's driver; in a "
                    "container, hand the GPU in (--gpus all)"};
  }
  if (error == cudaErrorInsufficientDriver) {
    return {StatusCode::kUnsupported, where + "a driver for CUDA " + version_name(driver) +
                                          " where CUDA " + version_name(runtime) +
                                          " is needed. Try: a newer driver"};
  }
  if (error == cudaSuccess || error == cudaErrorNoDevice) {
    return {StatusCode::kUnsupported,
            where + "a driver that shows none. Try: nvidia-smi tells what it sees, and "
                    "CUDA_VISIBLE_DEVICES hides what it lists not"};
  }
  return {StatusCode::kUnsupported, where + cudaGetErrorString(error) +
                                        ". Try: nvidia-smi tells whether the driver is in order"};
}

bool is_set(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != 0 && std::strcmp(value, "0") != 0;
}

CudaDeviceOptions options() {
  CudaDeviceOptions options;
  options.wait_for_ops = is_set("DIFFMAVIL_CUDA_SYNC");
#ifdef DM_CUDA_EMULATED
  options.order = emulator::machine().order;
#ifdef DM_EMULATOR_BOUNDS
  options.poison = true;  // and the bounds of buffers change in the order of work (device/bounds.h)
#else
  // One schedule as on a GPU, where poison starts no work: what nobody used yet is uploaded beside it.
  options.poison = emulator::machine().order != 1 && emulator::machine().kernels;
#endif
  options.library = false;
#endif
  return options;
}

}  // namespace

Status count_devices(int& count) {
  count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return {};
  count = 0;
  return no_device(error);
}

Status open_device(int index, std::unique_ptr<DeviceContext>& device) {
  int count = 0;
  if (Status status = count_devices(count); !status.ok()) return status;
  if (index < 0 || index >= count) {
    return invalid_argument("create: expected a device 0.." + std::to_string(count - 1) + ", got " +
                            std::to_string(index) + ". Try: device 0");
  }
  int major = 0;
  int minor = 0;
  cudaError_t error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
  }
  if (error == cudaSuccess && !runs_on(DM_CUDA_ARCHITECTURES, major, minor)) {
    constexpr int kOldest = 8;  // major of the first that has the instructions
    const std::string there = std::to_string(10 * major + minor);
    return {StatusCode::kUnsupported,
            "create: expected a GPU of " + architecture_names(DM_CUDA_ARCHITECTURES) + ", got sm_" +
                there +
                (major < kOldest
                     ? ". Try: sm_80 or later, whose instructions the kernels use"
                     : ". Try: npx diffmavil-native build --cuda --arch " + there +
                           " (nvcc); in a checkout cmake -DDIFFMAVIL_CUDA_ARCHITECTURES=" + there +
                           "-real native/build-cuda, then npm run build:cuda")};
  }
  std::unique_ptr<CudaDevice> made;
  if (error == cudaSuccess) error = CudaDevice::open(index, options(), made);
  if (error != cudaSuccess) {
    // Told here: the first launch on another device would find it as the last error.
    static_cast<void>(cudaGetLastError());
    return {StatusCode::kInternal, "create: expected device " + std::to_string(index) +
                                       " to start, got " + cudaGetErrorString(error) +
                                       ". Try: nvidia-smi tells whether somebody holds it alone"};
  }
  device = std::move(made);
  return {};
}

}  // namespace dm::cuda
