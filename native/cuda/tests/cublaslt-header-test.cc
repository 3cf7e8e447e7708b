// SPDX-License-Identifier: Apache-2.0
// What device/cublaslt-api.h declares, against the library's own header. Where there is none, nothing is compared, and the test says so.
#include "cuda/device/cublaslt-api.h"

#include <type_traits>

#include "check.h"

namespace lt = dm::cuda::lt;

namespace {

/// As many arguments of the same sizes, and a result of the same size.
template <class R, class... A, class S, class... B>
constexpr bool same_call(R (*)(A...), S (*)(B...)) {
  if constexpr (sizeof...(A) == sizeof...(B)) return sizeof(R) == sizeof(S) && ((sizeof(A) == sizeof(B)) && ...);
  return false;
}
constexpr lt::Api kApi{};

}  // namespace

// Of every function there is, so that this compiles where the header is if it does where it is not.
static_assert(same_call(kApi.version, kApi.version) && same_call(kApi.matmul, kApi.matmul));
static_assert(!same_call(kApi.create, kApi.desc_create) && !same_call(kApi.version, static_cast<int (*)()>(nullptr)));

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>

static_assert(lt::kSuccess == CUBLAS_STATUS_SUCCESS);
static_assert(lt::kFloat32 == CUDA_R_32F && lt::kBFloat16 == CUDA_R_16BF);
static_assert(lt::kCompute32F == CUBLAS_COMPUTE_32F);
static_assert(lt::kTransA == CUBLASLT_MATMUL_DESC_TRANSA);
static_assert(lt::kTransB == CUBLASLT_MATMUL_DESC_TRANSB);
static_assert(lt::kEpilogue == CUBLASLT_MATMUL_DESC_EPILOGUE);
static_assert(lt::kBiasPointer == CUBLASLT_MATMUL_DESC_BIAS_POINTER);
static_assert(lt::kBiasDataType == CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
static_assert(lt::kBatchCount == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
static_assert(lt::kStridedBatchOffset == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
static_assert(lt::kMaxWorkspaceBytes == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(lt::kReductionSchemeMask == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
static_assert(lt::kMinAlignmentA == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
static_assert(lt::kMinAlignmentB == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
static_assert(lt::kMinAlignmentC == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
static_assert(lt::kMinAlignmentD == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
static_assert(lt::kTranspose == CUBLAS_OP_T);
static_assert(lt::kEpilogueDefault == CUBLASLT_EPILOGUE_DEFAULT);
static_assert(lt::kEpilogueBias == CUBLASLT_EPILOGUE_BIAS);
static_assert(lt::kEpilogueBiasGradientB == CUBLASLT_EPILOGUE_BGRADB);
static_assert(lt::kReductionComputeType == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
static_assert(sizeof(lt::Algo) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(lt::HeuristicResult) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(lt::HeuristicResult, workspace_bytes) ==
              offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(lt::HeuristicResult, state) ==
              offsetof(cublasLtMatmulHeuristicResult_t, state));
static_assert(offsetof(lt::HeuristicResult, waves) ==
              offsetof(cublasLtMatmulHeuristicResult_t, wavesCount));

static_assert(same_call(kApi.version, &cublasLtGetVersion));
static_assert(same_call(kApi.create, &cublasLtCreate));
static_assert(same_call(kApi.destroy, &cublasLtDestroy));
static_assert(same_call(kApi.desc_create, &cublasLtMatmulDescCreate));
static_assert(same_call(kApi.desc_destroy, &cublasLtMatmulDescDestroy));
static_assert(same_call(kApi.desc_set, &cublasLtMatmulDescSetAttribute));
static_assert(same_call(kApi.layout_create, &cublasLtMatrixLayoutCreate));
static_assert(same_call(kApi.layout_destroy, &cublasLtMatrixLayoutDestroy));
static_assert(same_call(kApi.layout_set, &cublasLtMatrixLayoutSetAttribute));
static_assert(same_call(kApi.preference_create, &cublasLtMatmulPreferenceCreate));
static_assert(same_call(kApi.preference_destroy, &cublasLtMatmulPreferenceDestroy));
static_assert(same_call(kApi.preference_set, &cublasLtMatmulPreferenceSetAttribute));
static_assert(same_call(kApi.heuristic, &cublasLtMatmulAlgoGetHeuristic));
static_assert(same_call(kApi.matmul, &cublasLtMatmul));

TEST("declarations are those of cublasLt.h") { CHECK(sizeof(lt::Algo) == 64); }
#else
TEST("no cublasLt.h here: declarations compared with nothing but their known sizes") {
  CHECK(sizeof(dm::cuda::lt::Algo) == 64);
  CHECK(sizeof(dm::cuda::lt::HeuristicResult) == 96);
}
#endif
