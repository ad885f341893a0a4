// Arithmetic as XLA:CPU does it: denormals count as zeros, as operands and as results.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__)
#include <xmmintrin.h>
#define CYXLA_HOST_KERNELS 1
#else
#define CYXLA_HOST_KERNELS 0
#endif

namespace cyxla::host {

#if CYXLA_HOST_KERNELS
// Flush to zero and denormals are zero, for as long as it lives.
class Flush {
 public:
  Flush() : saved_(_mm_getcsr()) {
    if ((saved_ & kBits) != kBits) _mm_setcsr(saved_ | kBits);
  }
  ~Flush() {
    if ((saved_ & kBits) != kBits) _mm_setcsr(saved_);
  }
  Flush(const Flush&) = delete;
  Flush& operator=(const Flush&) = delete;

 private:
  static constexpr unsigned kBits = 0x8040;
  unsigned saved_;
};
#else
class Flush {};
#endif

}  // namespace cyxla::host
