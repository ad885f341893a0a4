// Small matrix products, for the steps that XLA gives to its own libraries: one thread, each element summed in order
// by fused multiply-adds, which is how XLA:CPU's `dot` sums small products too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cyxla::native {

// C[m, n] = sum over k of A[m, k] * B[k, n]; strides in elements, C contiguous along n.
struct Product {
  uint32_t a = 0, b = 0, c = 0;  // arguments
  enum Type { float32, float64, int32 } type = float32;
  int64_t m = 1, n = 1, k = 1;
  int64_t a_m = 0, a_k = 0, b_k = 0, b_n = 0, c_m = 0;
  struct Batch {
    int64_t size, a, b, c;
  };
  std::vector<Batch> batches;

  size_t scratch_bytes() const;
  void run(const void* a, const void* b, void* c, void* scratch) const;
};

// Whether this processor has what run() is compiled for.
bool products_supported();

}  // namespace cyxla::native
