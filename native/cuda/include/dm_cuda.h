/* SPDX-License-Identifier: Apache-2.0
 * The C table of the device library (libdiffmavil_cuda.so), and of the emulated one. Nothing of CUDA is in it, nothing throws or aborts, and
 * every struct begins with its size, so that fields may be added at the end. A context is for one thread at a time; fetch_wait alone
 * may be called by another while the context's own goes on. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DM_CUDA_ABI 2

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

/* Bytes. */
typedef struct dm_cuda_memory {
  uint32_t struct_size;
  uint64_t in_use;    /* of buffers, rounded to blocks */
  uint64_t cached;    /* of the device's memory, kept for reuse */
  uint64_t peak;      /* the most that was in use at once */
  uint64_t workspace; /* scratch of ops, workspace of the library of products */
  uint64_t staging;   /* pinned host memory */
} dm_cuda_memory;

typedef struct dm_cuda_fetch dm_cuda_fetch; /* a copy to the host under way */
typedef struct dm_cuda_graph dm_cuda_graph; /* work that was recorded, and the memory that is its own */

typedef struct dm_cuda_api {
  uint32_t struct_size;
  uint32_t abi;

  /* DM_CUDA_NO_DEVICE leaves 0. */
  dm_cuda_status (*device_count)(int32_t* count);
  dm_cuda_status (*create)(int32_t device, dm_cuda_context** context);
  void (*destroy)(dm_cuda_context* context);
  /* Of the last call that failed: one sentence, valid until the next call. A null context: of `create`, `device_count` and `fetch_wait`, each
   * on the thread that called it. */
  const char* (*message)(const dm_cuda_context* context);
  dm_cuda_status (*describe)(dm_cuda_context* context, dm_cuda_device* device);

  /* 256-byte aligned; in the order of the stream. Where the device has none left, what is cached is given back first; then
   * DM_CUDA_OUT_OF_MEMORY. A buffer that is released may still be used by what was started before. */
  dm_cuda_status (*allocate)(dm_cuda_context* context, uint64_t bytes, dm_cuda_buffer* buffer);
  dm_cuda_status (*release)(dm_cuda_context* context, dm_cuda_buffer buffer);
  /* The host memory may change once it returns. */
  dm_cuda_status (*upload)(dm_cuda_context* context, dm_cuda_buffer to, const void* from, uint64_t bytes);
  /* Wait for the stream; refused while capturing, which goes on. */
  dm_cuda_status (*download)(dm_cuda_context* context, void* to, dm_cuda_buffer from, uint64_t bytes);
  dm_cuda_status (*synchronize)(dm_cuda_context* context);
  /* The cudaStream_t that everything runs on; nothing for others on the emulator. */
  void* (*stream)(dm_cuda_context* context);

  /* Ops have the names, buffers and numbers of the CPU ops (native/cpu). -1 for a name there is none of. */
  int32_t (*find)(const char* op);
  int32_t (*op_count)(void);
  const char* (*op_name)(int32_t op);
  /* Does not wait for the device: a kernel's fault is told by the next call that does. */
  dm_cuda_status (*run)(dm_cuda_context* context, int32_t op, const dm_cuda_buffer* buffers, uint64_t buffer_count,
                        const double* numbers, uint64_t number_count);

  /* ---- since ABI 2 ---- */
  /* As many bytes as memory->struct_size says. */
  dm_cuda_status (*memory)(dm_cuda_context* context, dm_cuda_memory* memory);
  /* Gives cached device memory and idle staging memory back to the driver, and forgets copies that ops keep of weights. Ops may be given memory of
   * others' making too; when others write it or give it back, `trim` has to come between that and the next op. */
  dm_cuda_status (*trim)(dm_cuda_context* context);
  /* Pinned host memory, 64-byte aligned, for one upload_staged or unstage. */
  dm_cuda_status (*stage)(dm_cuda_context* context, uint64_t bytes, void** memory);
  dm_cuda_status (*unstage)(dm_cuda_context* context, void* memory);
  /* Copies beside the work under way; what is started later waits for it. Takes the memory back once copied; when it fails the memory is still
   * the caller's. */
  dm_cuda_status (*upload_staged)(dm_cuda_context* context, dm_cuda_buffer to, void* memory, uint64_t bytes);
  /* Starts a copy to pinned memory, in the order of the stream; refused while capturing. */
  dm_cuda_status (*fetch)(dm_cuda_context* context, dm_cuda_buffer from, uint64_t bytes, dm_cuda_fetch** fetch);
  /* Waits for the copy alone, and writes what it brought. On any one thread. */
  dm_cuda_status (*fetch_wait)(dm_cuda_fetch* fetch, void* to);
  void (*fetch_end)(dm_cuda_context* context, dm_cuda_fetch* fetch);
  /* Time on the stream from time_begin to time_end, which waits. May be nested; refused while capturing. */
  dm_cuda_status (*time_begin)(dm_cuda_context* context);
  dm_cuda_status (*time_end)(dm_cuda_context* context, double* milliseconds);
  /* A range for a profiler (NVTX). Every op has its own by itself. */
  dm_cuda_status (*range_push)(dm_cuda_context* context, const char* name);
  dm_cuda_status (*range_pop)(dm_cuda_context* context);
  /* What follows is recorded, not run. Buffers allocated meanwhile come from memory of the graph's own, and keep their place after they are
   * released; uploads are recorded with their bytes. Buffers from before must live as long as the graph is replayed. */
  dm_cuda_status (*capture_begin)(dm_cuda_context* context);
  dm_cuda_status (*capture_end)(dm_cuda_context* context, dm_cuda_graph** graph);
  dm_cuda_status (*replay)(dm_cuda_context* context, dm_cuda_graph* graph);
  /* Its memory goes back once nothing uses it any more. */
  void (*graph_destroy)(dm_cuda_context* context, dm_cuda_graph* graph);
} dm_cuda_api;

/* The table, or null when `abi` is not this library's. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const dm_cuda_api* dm_cuda_get_api(uint32_t abi);

#ifdef __cplusplus
}
#endif
