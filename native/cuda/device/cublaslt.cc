// SPDX-License-Identifier: Apache-2.0
// cuBLASLt counts rows down the columns: what is stored row after row is the transpose to it, so cᵀ = bᵀ aᵀ is asked for, with our b as its
// A, our a as its B, the bias along its rows, and the sums of our a those of its B.
#include "cuda/device/cublaslt.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "cuda/branch-rows.h"

namespace dm::cuda {

namespace {

constexpr std::size_t kWorkspaceBytes = 32 * 1024 * 1024;
constexpr int kTimedRuns = 5;
constexpr double kWorthChanging = 0.97;  // of the time of an earlier answer

/// Up to 256 bytes, which is what the library assumes when not told.
std::int64_t alignment_of(const void* data) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t lowest = address & (~address + 1);
  return address == 0 ? 256 : static_cast<std::int64_t>(std::min<std::uintptr_t>(lowest, 256));
}

int type_of(bool bfloat16) { return bfloat16 ? lt::kBFloat16 : lt::kFloat32; }

bool is_off(const char* value) { return value != nullptr && std::strcmp(value, "off") == 0; }

}  // namespace

std::unique_ptr<CublasLt> CublasLt::from_environment(Device& device, StreamClock& clock) {
  const char* const path = std::getenv("DIFFMAVIL_CUBLASLT");
  if (is_off(path)) return nullptr;
  return load(path, device, clock, !is_off(std::getenv("DIFFMAVIL_CUBLASLT_TUNE")), true);
}

std::unique_ptr<CublasLt> CublasLt::load(const char* path, Device& device, StreamClock& clock,
                                         bool tune, bool keep) {
  lt::Api api{};
  lt::Handle handle = nullptr;
  if (!lt::load(path, api) || api.create(&handle) != lt::kSuccess) return nullptr;
  std::string choices;
  if (tune && keep) {
    choices = ProductChoices::path_from_environment(api.version(), device.facts().name);
  }
  return std::unique_ptr<CublasLt>(
      new CublasLt(api, handle, device, clock, tune, std::move(choices)));
}

CublasLt::CublasLt(const lt::Api& api, lt::Handle handle, Device& device, StreamClock& clock,
                   bool tune, std::string choices)
    : api_(api),
      handle_(handle),
      device_(device),
      clock_(clock),
      tune_(tune),
      workspace_(device.workspace(kWorkspaceBytes)),
      choices_(std::move(choices)) {}

CublasLt::~CublasLt() {
  for (auto& [key, plan] : plans_) {
    if (plan.desc != nullptr) api_.desc_destroy(plan.desc);
    for (lt::MatrixLayout layout : {plan.a, plan.b, plan.c}) {
      if (layout != nullptr) api_.layout_destroy(layout);
    }
  }
  api_.destroy(handle_);
  if (workspace_ != nullptr) device_.release(workspace_);
}

bool CublasLt::multiply(const LibraryProduct& product) {
  if (workspace_ == nullptr || (product.a_sums != nullptr && product.c_bfloat16)) return false;
  bias_ = product.bias;
  if (product.bias != nullptr && product.c_bfloat16) {
    bias_ = device_.shadows().of(product.bias, product.n);
    if (bias_ == nullptr) return false;
  }
  Plan& plan = plan_of(product);
  if (!plan.usable) return false;
  if (run(product, plan, plan.chosen) == lt::kSuccess) return true;
  plan.usable = false;
  return false;
}

CublasLt::Plan& CublasLt::plan_of(const LibraryProduct& product) {
  const Key key = key_of(product);
  const auto found = plans_.find(key);
  if (found != plans_.end()) return found->second;
  return plans_.emplace(key, make_plan(product, key)).first->second;
}

const void* CublasLt::vector_of(const LibraryProduct& product) const {
  if (product.a_sums != nullptr) return product.a_sums;
  return product.bias == nullptr ? nullptr : bias_;
}

/// Everything that the choice of an algorithm may depend on.
CublasLt::Key CublasLt::key_of(const LibraryProduct& p) const {
  const std::int64_t kinds = (p.a_transposed ? 1 : 0) + (p.b_transposed ? 2 : 0) +
                             (p.bfloat16 ? 4 : 0) + (p.c_bfloat16 ? 8 : 0) +
                             (p.bias != nullptr ? 16 : 0) + (p.added != nullptr ? 32 : 0) +
                             (p.added == p.c ? 64 : 0) + (p.a_sums != nullptr ? 128 : 0);
  const std::int64_t added = p.added == nullptr ? 256 : alignment_of(p.added);
  return {p.m, p.n, p.k, p.batch, kinds, p.a_step, p.b_step, p.c_step, p.a_batch_step,
          p.b_batch_step, p.c_batch_step, alignment_of(p.a), alignment_of(p.b), alignment_of(p.c),
          added, alignment_of(vector_of(p))};
}

CublasLt::Plan CublasLt::make_plan(const LibraryProduct& product, const Key& key) {
  Plan plan;
  if (!describe(product, plan)) return plan;
  std::array<lt::HeuristicResult, 8> answers{};
  const int count = ask(key, plan, answers);
  if (count == 0 || choose_again(key, answers, count, plan)) return plan;
  choose(product, answers, count, plan);
  if (product.a_sums != nullptr && sums_apart(product, plan)) plan.usable = false;
  if (plan.milliseconds >= 0) choices_.add(key, plan.usable ? plan.place : -1);
  return plan;
}

bool CublasLt::choose_again(const Key& key, const std::array<lt::HeuristicResult, 8>& answers,
                            int count, Plan& plan) const {
  const std::optional<int> place = choices_.find(key);
  if (!tune_ || !place.has_value() || *place >= count) return false;
  plan.usable = *place >= 0;
  if (plan.usable) plan.chosen = answers[static_cast<std::size_t>(*place)];
  return true;
}

bool CublasLt::sums_apart(const LibraryProduct& p, const Plan& plan) {
  LibraryProduct alone = p;
  alone.a_sums = nullptr;
  const auto scratch = static_cast<std::size_t>(column_sums_scratch(device_, p.k, p.m));
  if (!plan.usable || plan.milliseconds < 0 || scratch > kWorkspaceBytes) return false;
  const Plan& other = plan_of(alone);
  if (!other.usable || other.milliseconds < 0) return false;
  const MatrixType type = p.bfloat16 ? MatrixType::kBFloat16 : MatrixType::kFloat32;
  const double own = clock_.milliseconds([&] {
    for (int i = 0; i < kTimedRuns; ++i) {
      column_sums(device_, {.x = p.a, .type = type, .rows = p.k, .columns = p.m}, p.a_sums,
                  workspace_);
    }
  });
  return other.milliseconds + own < plan.milliseconds;
}

bool CublasLt::describe(const LibraryProduct& p, Plan& plan) {
  bool good = true;
  const auto did = [&good](int status) { good = good && status == lt::kSuccess; };
  did(api_.desc_create(&plan.desc, lt::kCompute32F, lt::kFloat32));
  const auto layout = [&](lt::MatrixLayout& made, bool bfloat16, std::int64_t rows,
                          std::int64_t columns, std::int64_t step, std::int64_t batch_step) {
    if (!good) return;
    did(api_.layout_create(&made, type_of(bfloat16), static_cast<std::uint64_t>(rows),
                           static_cast<std::uint64_t>(columns), step));
    if (!good || p.batch == 1) return;
    const auto batch = static_cast<std::int32_t>(p.batch);
    did(api_.layout_set(made, lt::kBatchCount, &batch, sizeof batch));
    did(api_.layout_set(made, lt::kStridedBatchOffset, &batch_step, sizeof batch_step));
  };
  // Rows and columns of what is stored, as the library counts.
  layout(plan.a, p.bfloat16, p.b_transposed ? p.k : p.n, p.b_transposed ? p.n : p.k, p.b_step,
         p.b_batch_step);
  layout(plan.b, p.bfloat16, p.a_transposed ? p.m : p.k, p.a_transposed ? p.k : p.m, p.a_step,
         p.a_batch_step);
  layout(plan.c, p.c_bfloat16, p.n, p.m, p.c_step, p.c_batch_step);
  const auto set = [&](int attribute, const auto& value) {
    if (good) did(api_.desc_set(plan.desc, attribute, &value, sizeof value));
  };
  if (p.b_transposed) set(lt::kTransA, lt::kTranspose);
  if (p.a_transposed) set(lt::kTransB, lt::kTranspose);
  if (p.bias != nullptr) {
    set(lt::kEpilogue, lt::kEpilogueBias);
    set(lt::kBiasDataType, static_cast<std::int32_t>(type_of(p.c_bfloat16)));
  }
  if (p.a_sums != nullptr) {
    set(lt::kEpilogue, lt::kEpilogueBiasGradientB);
    set(lt::kBiasDataType, static_cast<std::int32_t>(lt::kFloat32));
  }
  // The library's answers are for vectors as aligned as this one.
  if (const void* const vector = vector_of(p)) set(lt::kBiasPointer, vector);
  return good;
}

int CublasLt::ask(const Key& key, const Plan& plan, std::array<lt::HeuristicResult, 8>& answers) {
  lt::Preference preference = nullptr;
  if (api_.preference_create(&preference) != lt::kSuccess) return 0;
  bool good = true;
  const auto set = [&](int attribute, const auto& value) {
    good = good && api_.preference_set(preference, attribute, &value, sizeof value) == lt::kSuccess;
  };
  set(lt::kMaxWorkspaceBytes, std::uint64_t{kWorkspaceBytes});
  set(lt::kReductionSchemeMask, lt::kReductionComputeType);
  set(lt::kMinAlignmentA, static_cast<std::uint32_t>(key[12]));
  set(lt::kMinAlignmentB, static_cast<std::uint32_t>(key[11]));
  set(lt::kMinAlignmentC, static_cast<std::uint32_t>(std::min(key[13], key[14])));
  set(lt::kMinAlignmentD, static_cast<std::uint32_t>(key[13]));
  int found = 0;
  if (good && api_.heuristic(handle_, plan.desc, plan.a, plan.b, plan.c, plan.c, preference,
                             static_cast<int>(answers.size()), answers.data(),
                             &found) != lt::kSuccess) {
    found = 0;
  }
  api_.preference_destroy(preference);
  const auto end = std::remove_if(
      answers.begin(), answers.begin() + found,
      [](const lt::HeuristicResult& answer) { return answer.state != lt::kSuccess; });
  return static_cast<int>(end - answers.begin());
}

void CublasLt::choose(const LibraryProduct& product, std::array<lt::HeuristicResult, 8>& answers,
                      int count, Plan& plan) {
  plan.chosen = answers[0];
  plan.usable = true;
  // What adds to itself cannot be run several times.
  if (!tune_ || count == 1 || product.added == product.c || clock_.capturing()) return;
  double best = -1;
  for (int i = 0; i < count; ++i) {
    const lt::HeuristicResult& answer = answers[static_cast<std::size_t>(i)];
    if (run(product, plan, answer) != lt::kSuccess) continue;
    const double time = clock_.milliseconds([&] {
      for (int k = 0; k < kTimedRuns; ++k) run(product, plan, answer);
    });
    if (best >= 0 && time >= best * kWorthChanging) continue;
    best = time;
    plan.chosen = answer;
    plan.place = i;
  }
  plan.usable = best >= 0;
  plan.milliseconds = best;
}

int CublasLt::run(const LibraryProduct& p, const Plan& plan, const lt::HeuristicResult& by) {
  if (const void* const vector = vector_of(p)) {
    const int status = api_.desc_set(plan.desc, lt::kBiasPointer, &vector, sizeof vector);
    if (status != lt::kSuccess) return status;
  }
  const float alpha = 1;
  const float beta = p.added == nullptr ? 0 : 1;
  const void* const added = p.added == nullptr ? p.c : p.added;
  return api_.matmul(handle_, plan.desc, &alpha, p.b, plan.a, p.a, plan.b, &beta, added, plan.c, p.c,
                     plan.c, &by.algo, workspace_, kWorkspaceBytes, device_.stream());
}

}  // namespace dm::cuda
