// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "cuda/core/device.h"

namespace dm::cuda {

namespace {

constexpr std::size_t kAlignment = 256;

class EmulatedDevice : public Device {
 public:
  explicit EmulatedDevice(std::uint64_t order) : order_(order) {}

  void* allocate(std::size_t bytes) override {
    void* data = std::aligned_alloc(kAlignment, (bytes / kAlignment + 1) * kAlignment);
    if (data == nullptr) {
      fail({StatusCode::kOutOfMemory,
            "allocate: expected " + std::to_string(bytes) + " bytes of host memory, got none"});
    }
    return data;
  }
  void release(void* data) override { std::free(data); }
  void upload(void* to, const void* from, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void synchronize() override {}

  void* stream() const override { return nullptr; }
  DeviceFacts facts() override {
    return {.name = "emulator", .multiprocessors = multiprocessors()};
  }
  int multiprocessors() const override { return 4; }
  std::uint64_t order() const override { return order_; }

  void* scratch(std::size_t bytes) override {
    // Fresh every time, so that an op cannot read what another left there; poisoned, so that it cannot read what it did not write.
    scratch_.assign(bytes / sizeof(double) + kAlignment / sizeof(double) + 1, kPoison);
    const auto start = reinterpret_cast<std::uintptr_t>(scratch_.data());
    return reinterpret_cast<void*>((start + kAlignment - 1) / kAlignment * kAlignment);
  }

 private:
  static constexpr double kPoison = -6.2e66;

  std::uint64_t order_;
  std::vector<double> scratch_;
};

}  // namespace

std::unique_ptr<Device> make_emulated_device(std::uint64_t order) {
  return std::make_unique<EmulatedDevice>(order);
}

Status count_devices(int& count) {
  count = 1;
  return {};
}

Status open_device(int index, std::unique_ptr<Device>& device) {
  if (index != 0) {
    return invalid_argument("create: expected device 0, the emulated one, got " +
                            std::to_string(index));
  }
  const char* const order = std::getenv("DIFFMAVIL_EMULATOR_ORDER");
  device = make_emulated_device(order == nullptr ? 0 : std::strtoull(order, nullptr, 10));
  return {};
}

}  // namespace dm::cuda
