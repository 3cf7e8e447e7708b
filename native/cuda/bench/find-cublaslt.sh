#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# find-cublaslt.sh [PYTHON]: the path of cuBLASLt where the loader does not find it by itself: beside the CUDA toolkit, or what PyTorch brought. Nothing
# where the loader does, or where there is none.
for version in 13 12; do
  ldconfig -p 2>/dev/null | grep -q "libcublasLt.so.$version " && exit 0
  IFS=: read -ra folders <<<"${LD_LIBRARY_PATH:-}"
  for folder in "${folders[@]}"; do [[ -e $folder/libcublasLt.so.$version ]] && exit 0; done
done
packages=$("${1:-python3}" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' 2>/dev/null)
for version in 13 12; do
  for path in /usr/local/cuda/lib64/libcublasLt.so.$version /usr/local/cuda-*/lib64/libcublasLt.so.$version \
    /usr/local/cuda*/targets/*/lib/libcublasLt.so.$version "$packages"/nvidia/*/lib/libcublasLt.so.$version; do
    [[ -e $path ]] && echo "$path" && exit 0
  done
done
exit 0
