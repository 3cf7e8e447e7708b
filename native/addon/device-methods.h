// SPDX-License-Identifier: Apache-2.0
// The methods of a device's object.
#pragma once

#include <node_api.h>

#include "addon/device.h"

namespace dm::addon {

/// The object; null with an error pending.
napi_value device_object(napi_env env, DeviceMemory& memory);

}  // namespace dm::addon
