// SPDX-License-Identifier: Apache-2.0
// Names of status codes.
#include "dm/status.h"

namespace dm {

const char* status_name(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "DM_OK";
    case StatusCode::kInvalidArgument:
      return "DM_INVALID_ARGUMENT";
    case StatusCode::kOutOfMemory:
      return "DM_OUT_OF_MEMORY";
    case StatusCode::kUnsupported:
      return "DM_UNSUPPORTED";
    case StatusCode::kInternal:
      break;
  }
  return "DM_INTERNAL";
}

}  // namespace dm
