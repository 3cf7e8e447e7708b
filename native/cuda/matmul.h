// SPDX-License-Identifier: Apache-2.0
// Matrix products for every op of a device (core/matmul-description.h). On a GPU whose driver library can multiply (device.multiply) that
// does it, with what is left of the epilogue in a pass of our own; else our own kernels. One of row_step and column_step of each layout is 1.
// Sums are float32 and in a fixed order.
#pragma once

#include "core/matmul-description.h"
#include "cuda/core/device.h"

namespace dm::cuda {

/// Sums of columns that are wanted with a product of one matrix; null where they are not. They are computed with the product or in a pass that
/// has to be made anyway, where that can be, and in one of their own where not.
struct MatmulSums {
  float* of_a = nullptr;    ///< [m]: of a, which is stored as [k, m], dense
  float* of_c = nullptr;    ///< [n]: of c, dense
  void* scratch = nullptr;  ///< column_sums_scratch bytes, for the columns of either
};

/// Starts one product. A fault goes to device.status().
void matmul(Device& device, const MatmulDescription& description, const void* a, const void* b,
            void* c, const MatmulSums& sums = {});

/// The epilogue alone: of a product [batch, m, n] that is there, dense; c is dense too and may be the product. And the sums of c.
void apply_epilogue(Device& device, const MatmulDescription& description, const void* product,
                    MatrixType product_type, void* c, const MatmulSums& sums = {});

}  // namespace dm::cuda
