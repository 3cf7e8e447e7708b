// SPDX-License-Identifier: Apache-2.0
// The few entry points of cuBLASLt that are used, declared here so that neither its headers nor the library are needed to build. Names, values
// and sizes as in cublasLt.h 12 and 13; tests/cublaslt-header-test.cc compares them with that header where there is one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dm::cuda::lt {

using Handle = void*;
using MatmulDesc = void*;
using MatrixLayout = void*;
using Preference = void*;
using Stream = void*;

constexpr int kSuccess = 0;
constexpr int kFloat32 = 0;    // CUDA_R_32F
constexpr int kBFloat16 = 14;  // CUDA_R_16BF
constexpr int kCompute32F = 68;

// Attributes of a product, a layout, a preference.
constexpr int kTransA = 3, kTransB = 4, kEpilogue = 7, kBiasPointer = 8, kBiasDataType = 26;
constexpr int kBatchCount = 5, kStridedBatchOffset = 6;
constexpr int kMaxWorkspaceBytes = 1, kReductionSchemeMask = 3;
constexpr int kMinAlignmentA = 5, kMinAlignmentB = 6, kMinAlignmentC = 7, kMinAlignmentD = 8;

constexpr std::int32_t kTranspose = 1;
constexpr std::uint32_t kEpilogueDefault = 1;
constexpr std::uint32_t kEpilogueBias = 4;
/// Sums of B along k go to the bias pointer.
constexpr std::uint32_t kEpilogueBiasGradientB = 512;
/// Parts of a split sum are stored as float32 and added in a separate step, in order.
constexpr std::uint32_t kReductionComputeType = 2;

struct Algo {
  std::uint64_t data[8];
};
struct HeuristicResult {
  Algo algo;
  std::size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
};

struct Api {
  std::size_t (*version)();
  int (*create)(Handle*);
  int (*destroy)(Handle);
  int (*desc_create)(MatmulDesc*, int compute_type, int scale_type);
  int (*desc_destroy)(MatmulDesc);
  int (*desc_set)(MatmulDesc, int attribute, const void* value, std::size_t bytes);
  int (*layout_create)(MatrixLayout*, int type, std::uint64_t rows, std::uint64_t columns,
                       std::int64_t step);
  int (*layout_destroy)(MatrixLayout);
  int (*layout_set)(MatrixLayout, int attribute, const void* value, std::size_t bytes);
  int (*preference_create)(Preference*);
  int (*preference_destroy)(Preference);
  int (*preference_set)(Preference, int attribute, const void* value, std::size_t bytes);
  int (*heuristic)(Handle, MatmulDesc, MatrixLayout a, MatrixLayout b, MatrixLayout c,
                   MatrixLayout d, Preference, int wanted, HeuristicResult*, int* found);
  int (*matmul)(Handle, MatmulDesc, const void* alpha, const void* a, MatrixLayout, const void* b,
                MatrixLayout, const void* beta, const void* c, MatrixLayout, void* d, MatrixLayout,
                const Algo*, void* workspace, std::size_t workspace_bytes, Stream);
};

/// Fills `api` from a library, which stays loaded; null or "" means its usual names. False when the library or an entry point is not there.
bool load(const char* path, Api& api);

}  // namespace dm::cuda::lt
