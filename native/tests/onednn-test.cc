// SPDX-License-Identifier: Apache-2.0
// oneDNN is found, linked and runs; the numbers of a product that can be done in the head.
#include "cpu/onednn.h"

#include <vector>

#include "check.h"

TEST("multiplies two matrices") {
  std::vector<float> a{1, 2, 3, 4};
  std::vector<float> b{5, 6, 7, 8};
  std::vector<float> c(4);
  dnnl::stream& stream = dm::cpu::onednn_stream();
  CHECK_EQUAL(dnnl_sgemm('N', 'N', 2, 2, 2, 1.0f, a.data(), 2, b.data(), 2, 0.0f, c.data(), 2),
              dnnl_success);
  stream.wait();
  CHECK(c == (std::vector<float>{19, 22, 43, 50}));
}
