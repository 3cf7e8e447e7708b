/* SPDX-License-Identifier: Apache-2.0
 * The C table of the device library (libdiffmavil_cuda.so), and of the emulated one. Nothing of CUDA is in it, nothing throws or aborts, and
 * every struct begins with its size, so that fields may be added at the end. A context is for one thread at a time. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DM_CUDA_ABI 1

typedef enum dm_cuda_status {
  DM_CUDA_OK = 0,
  DM_CUDA_INVALID_ARGUMENT = 1,
  DM_CUDA_OUT_OF_MEMORY = 2,
  DM_CUDA_UNSUPPORTED = 3,
  DM_CUDA_INTERNAL = 4,
  DM_CUDA_NO_DEVICE = 5,   /* no driver, or no GPU that is visible */
  DM_CUDA_DEVICE_LOST = 6  /* an earlier kernel failed: the context refuses everything from then on */
} dm_cuda_status;

typedef struct dm_cuda_context dm_cuda_context;

typedef struct dm_cuda_device {
  uint32_t struct_size;
  int32_t index;
  char name[256];
  int32_t major, minor; /* compute capability */
  int32_t multiprocessors;
  int32_t driver, runtime; /* as CUDA counts: 13000 is 13.0 */
  uint64_t total_bytes, free_bytes;
} dm_cuda_device;

/* Device memory; `data` is not for the host. */
typedef struct dm_cuda_buffer {
  void* data;
  uint64_t bytes;
} dm_cuda_buffer;

typedef struct dm_cuda_api {
  uint32_t struct_size;
  uint32_t abi;

  /* DM_CUDA_NO_DEVICE leaves 0. */
  dm_cuda_status (*device_count)(int32_t* count);
  dm_cuda_status (*create)(int32_t device, dm_cuda_context** context);
  void (*destroy)(dm_cuda_context* context);
  /* Of the last call that failed: one sentence, valid until the next call. A null context: of `create` and `device_count`. */
  const char* (*message)(const dm_cuda_context* context);
  dm_cuda_status (*describe)(dm_cuda_context* context, dm_cuda_device* device);

  /* 256-byte aligned; in the order of the stream. */
  dm_cuda_status (*allocate)(dm_cuda_context* context, uint64_t bytes, dm_cuda_buffer* buffer);
  dm_cuda_status (*release)(dm_cuda_context* context, dm_cuda_buffer buffer);
  /* The host memory may change once it returns. */
  dm_cuda_status (*upload)(dm_cuda_context* context, dm_cuda_buffer to, const void* from, uint64_t bytes);
  /* Waits for the stream. */
  dm_cuda_status (*download)(dm_cuda_context* context, void* to, dm_cuda_buffer from, uint64_t bytes);
  dm_cuda_status (*synchronize)(dm_cuda_context* context);
  /* The cudaStream_t that everything runs on; null without a GPU. */
  void* (*stream)(dm_cuda_context* context);

  /* Ops have the names, buffers and numbers of the CPU ops (native/cpu). -1 for a name there is none of. */
  int32_t (*find)(const char* op);
  int32_t (*op_count)(void);
  const char* (*op_name)(int32_t op);
  /* Does not wait for the device: a kernel's fault is told by the next call that does. */
  dm_cuda_status (*run)(dm_cuda_context* context, int32_t op, const dm_cuda_buffer* buffers, uint64_t buffer_count,
                        const double* numbers, uint64_t number_count);
} dm_cuda_api;

/* The table, or null when `abi` is not this library's. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const dm_cuda_api* dm_cuda_get_api(uint32_t abi);

#ifdef __cplusplus
}
#endif
