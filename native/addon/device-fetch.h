// SPDX-License-Identifier: Apache-2.0
// Reading a device's buffer without waiting for it.
#pragma once

#include <node_api.h>

#include "addon/calls.h"
#include "addon/device.h"

namespace dm::addon {

/// A promise that is kept once the values are in the call's array.
napi_value start_fetch(napi_env env, DeviceMemory& memory, const TransferCall& call);

}  // namespace dm::addon
