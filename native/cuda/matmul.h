// SPDX-License-Identifier: Apache-2.0
// Matrix products for every op of a device (core/matmul-description.h). On a GPU whose driver library can multiply (device.multiply) that
// does it, with what is left of the epilogue in a pass of our own; else our own kernels. One of row_step and column_step of each layout is 1.
// Sums are float32 and in a fixed order.
#pragma once

#include "core/matmul-description.h"
#include "cuda/core/device.h"

namespace dm::cuda {

/// Starts one product. A fault goes to device.status().
void matmul(Device& device, const MatmulDescription& description, const void* a, const void* b,
            void* c);

/// The epilogue alone: of a product [batch, m, n] that is there, dense; c is dense too and may be the product.
void apply_epilogue(Device& device, const MatmulDescription& description, const void* product,
                    MatrixType product_type, void* c);

}  // namespace dm::cuda
