// SPDX-License-Identifier: Apache-2.0
// A library that does what cuBLASLt documents, for host memory and the few features that device/cublaslt.cc asks for, and refuses what cuBLASLt
// would refuse: a test of the descriptors without a GPU. Matrices are down the columns; two algorithms are offered, the second in need of
// memory.
#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "cuda/core/bf16.cuh"
#include "cuda/device/cublaslt-api.h"

namespace lt = dm::cuda::lt;

namespace {

constexpr int kInvalidValue = 7;
constexpr int kNotSupported = 15;
constexpr std::size_t kSecondWorkspace = 1024;

struct Layout {
  int type;
  std::int64_t rows, columns, step;
  std::int32_t batch = 1;
  std::int64_t batch_step = 0;
};
struct Desc {
  std::int32_t trans_a = 0, trans_b = 0, bias_type = -1;
  std::uint32_t epilogue = lt::kEpilogueDefault;
  const void* bias = nullptr;
};
struct Preference {
  std::uint64_t workspace = 0;
  std::uint32_t reduction = 7, alignment[4] = {256, 256, 256, 256};
};

int last_algorithm = -1;
bool broken = false;
void (*enqueue)(void* stream, std::function<void()> work) = nullptr;
bool without_sums = false;
int products_with_sums = 0;

/// What the library assumes of the epilogue's vector by its address when it is asked for algorithms: the most of one that is not told.
std::uint64_t alignment_of(const void* data) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  return address == 0 ? 256 : std::min<std::uint64_t>(address & (~address + 1), 256);
}

template <typename T>
int put(T& to, const void* value, std::size_t bytes) {
  if (bytes != sizeof(T)) return kInvalidValue;
  std::memcpy(&to, value, bytes);
  return lt::kSuccess;
}

double at(const void* data, int type, std::int64_t index) {
  return type == lt::kFloat32
             ? static_cast<double>(static_cast<const float*>(data)[index])
             : static_cast<double>(to_float(static_cast<const dm::cuda::bf16*>(data)[index]));
}

void store(void* data, int type, std::int64_t index, double value) {
  const auto single = static_cast<float>(value);
  if (type == lt::kFloat32) {
    static_cast<float*>(data)[index] = single;
  } else {
    static_cast<dm::cuda::bf16*>(data)[index] = dm::cuda::to_bf16(single);
  }
}

/// Whether shapes, steps and types fit each other.
bool fits(const Desc& desc, const Layout& a, const Layout& b, const Layout& d) {
  const std::int64_t k = desc.trans_a != 0 ? a.rows : a.columns;
  const bool shapes = (desc.trans_a != 0 ? a.columns : a.rows) == d.rows &&
                      (desc.trans_b != 0 ? b.rows : b.columns) == d.columns &&
                      (desc.trans_b != 0 ? b.columns : b.rows) == k;
  const bool steps = a.step >= a.rows && b.step >= b.rows && d.step >= d.rows;
  const bool types = a.type == b.type && (a.type == lt::kBFloat16 || d.type == lt::kFloat32);
  const bool bias = desc.epilogue == lt::kEpilogueDefault || desc.bias_type == d.type;
  if (desc.epilogue == lt::kEpilogueBiasGradientB && (d.batch > 1 || without_sums)) return false;
  return shapes && steps && types && bias && a.batch == d.batch && b.batch == d.batch;
}

/// d = scale a b + keep c (+ bias), down the columns.
void multiply(const Desc& op, const Layout& la, const Layout& lb, const Layout& ld, const void* a, const void* b,
              const void* c, void* d, double scale, double keep) {
  const bool bias = (op.epilogue & lt::kEpilogueBias) != 0;
  const std::int64_t k = op.trans_a != 0 ? la.rows : la.columns;
  for (std::int64_t s = 0; s < ld.batch; ++s) {
    for (std::int64_t j = 0; j < ld.columns; ++j) {
      for (std::int64_t i = 0; i < ld.rows; ++i) {
        double sum = 0;
        for (std::int64_t l = 0; l < k; ++l) {
          const std::int64_t from_a = op.trans_a != 0 ? i * la.step + l : l * la.step + i;
          const std::int64_t from_b = op.trans_b != 0 ? l * lb.step + j : j * lb.step + l;
          sum += at(a, la.type, s * la.batch_step + from_a) * at(b, lb.type, s * lb.batch_step + from_b);
        }
        const std::int64_t to = s * ld.batch_step + j * ld.step + i;
        double value = scale * sum;
        if (keep != 0) value += keep * at(c, ld.type, to);
        if (bias) value += at(op.bias, op.bias_type, i);
        store(d, ld.type, to, value);
      }
    }
  }
}

/// The sums of b along k.
void add_b(const Desc& op, const Layout& lb, const Layout& ld, const void* b) {
  const std::int64_t k = op.trans_b != 0 ? lb.columns : lb.rows;
  for (std::int64_t j = 0; j < ld.columns; ++j) {
    double sum = 0;
    for (std::int64_t l = 0; l < k; ++l) {
      sum += at(b, lb.type, op.trans_b != 0 ? l * lb.step + j : j * lb.step + l);
    }
    store(const_cast<void*>(op.bias), op.bias_type, j, sum);
  }
}

}  // namespace

extern "C" {

#define FAKE __attribute__((visibility("default")))

FAKE std::size_t cublasLtGetVersion() { return 130100; }
FAKE int fake_last_algorithm() { return last_algorithm; }
FAKE void fake_break(bool now) { broken = now; }
/// How a product is put on a stream.
FAKE void fake_use_streams(void (*put)(void* stream, std::function<void()> work)) { enqueue = put; }
FAKE void fake_refuse_sums(bool now) { without_sums = now; }
FAKE int fake_products_with_sums() { return products_with_sums; }

FAKE int cublasLtCreate(void** handle) {
  *handle = new int(1);
  return lt::kSuccess;
}
FAKE int cublasLtDestroy(void* handle) {
  delete static_cast<int*>(handle);
  return lt::kSuccess;
}

FAKE int cublasLtMatmulDescCreate(void** desc, int compute, int scale) {
  if (compute != lt::kCompute32F || scale != lt::kFloat32) return kInvalidValue;
  *desc = new Desc;
  return lt::kSuccess;
}
FAKE int cublasLtMatmulDescDestroy(void* desc) {
  delete static_cast<Desc*>(desc);
  return lt::kSuccess;
}
FAKE int cublasLtMatmulDescSetAttribute(void* desc, int attribute, const void* value, std::size_t bytes) {
  auto& d = *static_cast<Desc*>(desc);
  switch (attribute) {
    case lt::kTransA:
      return put(d.trans_a, value, bytes);
    case lt::kTransB:
      return put(d.trans_b, value, bytes);
    case lt::kEpilogue:
      return put(d.epilogue, value, bytes);
    case lt::kBiasPointer:
      return put(d.bias, value, bytes);
    case lt::kBiasDataType:
      return put(d.bias_type, value, bytes);
    default:
      return kInvalidValue;
  }
}

FAKE int cublasLtMatrixLayoutCreate(void** layout, int type, std::uint64_t rows, std::uint64_t columns,
                                    std::int64_t step) {
  *layout = new Layout{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), step};
  return lt::kSuccess;
}
FAKE int cublasLtMatrixLayoutDestroy(void* layout) {
  delete static_cast<Layout*>(layout);
  return lt::kSuccess;
}
FAKE int cublasLtMatrixLayoutSetAttribute(void* layout, int attribute, const void* value, std::size_t bytes) {
  auto& l = *static_cast<Layout*>(layout);
  if (attribute == lt::kBatchCount) return put(l.batch, value, bytes);
  if (attribute == lt::kStridedBatchOffset) return put(l.batch_step, value, bytes);
  return kInvalidValue;
}

FAKE int cublasLtMatmulPreferenceCreate(void** preference) {
  *preference = new Preference;
  return lt::kSuccess;
}
FAKE int cublasLtMatmulPreferenceDestroy(void* preference) {
  delete static_cast<Preference*>(preference);
  return lt::kSuccess;
}
FAKE int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* value,
                                              std::size_t bytes) {
  auto& p = *static_cast<Preference*>(preference);
  if (attribute == lt::kMaxWorkspaceBytes) return put(p.workspace, value, bytes);
  if (attribute == lt::kReductionSchemeMask) return put(p.reduction, value, bytes);
  if (attribute < lt::kMinAlignmentA || attribute > lt::kMinAlignmentD) return kInvalidValue;
  return put(p.alignment[attribute - lt::kMinAlignmentA], value, bytes);
}

FAKE int cublasLtMatmulAlgoGetHeuristic(void*, void* desc, void* a, void* b, void* c, void* d,
                                        void* preference, int wanted, lt::HeuristicResult* results,
                                        int* found) {
  const auto& p = *static_cast<Preference*>(preference);
  if (!fits(*static_cast<Desc*>(desc), *static_cast<Layout*>(a), *static_cast<Layout*>(b),
            *static_cast<Layout*>(d)) ||
      c != d || p.reduction != lt::kReductionComputeType) {
    *found = 0;
    return kNotSupported;
  }
  *found = wanted < 2 || p.workspace < kSecondWorkspace ? 1 : 2;
  for (int i = 0; i < *found; ++i) {
    results[i] = {};
    results[i].algo.data[0] = static_cast<std::uint64_t>(i);
    results[i].algo.data[1] = p.alignment[0];
    results[i].algo.data[2] = p.alignment[1];
    results[i].algo.data[3] = alignment_of(static_cast<Desc*>(desc)->bias);
    results[i].workspace_bytes = static_cast<std::size_t>(i) * kSecondWorkspace;
  }
  return lt::kSuccess;
}

FAKE int cublasLtMatmul(void*, void* desc, const void* alpha, const void* a, void* a_layout, const void* b,
                        void* b_layout, const void* beta, const void* c, void*, void* d, void* d_layout,
                        const lt::Algo* algo, void* workspace, std::size_t workspace_bytes, void* stream) {
  const Desc op = *static_cast<Desc*>(desc);
  const Layout la = *static_cast<Layout*>(a_layout);
  const Layout lb = *static_cast<Layout*>(b_layout);
  const Layout ld = *static_cast<Layout*>(d_layout);
  const bool sums = op.epilogue == lt::kEpilogueBiasGradientB;
  if (broken || !fits(op, la, lb, ld) || (op.epilogue != lt::kEpilogueDefault && op.bias == nullptr)) return kInvalidValue;
  if (algo->data[0] == 1 && (workspace == nullptr || workspace_bytes < kSecondWorkspace)) return kInvalidValue;
  if (reinterpret_cast<std::uintptr_t>(a) % algo->data[1] != 0 ||
      reinterpret_cast<std::uintptr_t>(b) % algo->data[2] != 0 ||
      reinterpret_cast<std::uintptr_t>(op.bias) % algo->data[3] != 0) {
    return kInvalidValue;
  }
  last_algorithm = static_cast<int>(algo->data[0]);
  products_with_sums += sums ? 1 : 0;
  const auto scale = static_cast<double>(*static_cast<const float*>(alpha));
  const auto keep = static_cast<double>(*static_cast<const float*>(beta));
  if (sums) enqueue(stream, [=] { add_b(op, lb, ld, b); });
  enqueue(stream, [=] { multiply(op, la, lb, ld, a, b, c, d, scale, keep); });
  return lt::kSuccess;
}

}  // extern "C"
