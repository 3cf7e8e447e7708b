// SPDX-License-Identifier: Apache-2.0
// Products by cuBLASLt, where it can be loaded. Each product's algorithm is chosen the first time it is seen: of the library's first answers
// the fastest, measured on the device unless its stream is being captured. Split sums whose parts are added in an order that may change are
// left out, so that an algorithm gives the same bits each time; which one is chosen depends on what was measured, once for each device and
// version of the library (product-choices.h). DIFFMAVIL_CUBLASLT: `off`, or the path of the library. DIFFMAVIL_CUBLASLT_TUNE=off: always the
// first answer.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cuda/core/device.h"
#include "cuda/device/cublaslt-api.h"
#include "cuda/device/product-choices.h"

namespace dm::cuda {

/// What is asked of the device's stream.
class StreamClock {
 public:
  virtual ~StreamClock() = default;
  /// Whether the stream is recording a graph: nothing runs now.
  virtual bool capturing() = 0;
  /// How long `work` takes on the stream; waits for it.
  virtual double milliseconds(const std::function<void()>& work) = 0;
};

class CublasLt {
 public:
  /// By the environment; null where the library is not there, not wanted, or does not start. Memory comes from the device, which has to
  /// outlive it, as does the clock.
  static std::unique_ptr<CublasLt> from_environment(Device& device, StreamClock& clock);
  static std::unique_ptr<CublasLt> load(const char* path, Device& device, StreamClock& clock,
                                        bool tune, bool keep = false);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  /// Starts a product on the device's stream. False, and nothing done, when the library does not take it.
  bool multiply(const LibraryProduct& product);

 private:
  using Key = ProductChoices::Key;

  /// A product's descriptors and algorithm.
  struct Plan {
    lt::MatmulDesc desc = nullptr;
    lt::MatrixLayout a = nullptr, b = nullptr, c = nullptr;
    lt::HeuristicResult chosen{};
    int place = 0;             ///< of it among the library's answers
    double milliseconds = -1;  ///< of kTimedRuns runs; negative where that was not measured
    bool usable = false;
  };

  CublasLt(const lt::Api& api, lt::Handle handle, Device& device, StreamClock& clock, bool tune,
           std::string choices);
  /// The bias, in the type of the result, or the sums of a: what the epilogue reads or writes besides; or null.
  const void* vector_of(const LibraryProduct& product) const;
  Key key_of(const LibraryProduct& product) const;
  Plan& plan_of(const LibraryProduct& product);
  Plan make_plan(const LibraryProduct& product, const Key& key);
  /// Takes what was chosen before. False when that is not known, or not one of the answers.
  bool choose_again(const Key& key, const std::array<lt::HeuristicResult, 8>& answers, int count,
                    Plan& plan) const;
  /// Whether the sums of a cost more with this product than in a pass of our own.
  bool sums_apart(const LibraryProduct& product, const Plan& plan);
  bool describe(const LibraryProduct& product, Plan& plan);
  /// The library's answers, best first; their number.
  int ask(const Key& key, const Plan& plan, std::array<lt::HeuristicResult, 8>& answers);
  void choose(const LibraryProduct& product, std::array<lt::HeuristicResult, 8>& answers, int count,
              Plan& plan);
  int run(const LibraryProduct& product, const Plan& plan, const lt::HeuristicResult& by);

  lt::Api api_;
  lt::Handle handle_;
  Device& device_;
  StreamClock& clock_;
  bool tune_;
  void* workspace_;
  const void* bias_ = nullptr;  ///< of the product at hand, in the type of its result
  ProductChoices choices_;
  std::map<Key, Plan> plans_;
};

}  // namespace dm::cuda
