// Register blocks of four rows by two vectors; columns that fill no vector are masked. B is copied into rows first
// where its rows are not contiguous. Integers are left to the compiler.
#include "native/product.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2,fma")

namespace cyxla::native {
namespace {

struct Float {
  using T = float;
  using V = __m256;
  using M = __m256i;
  static constexpr int64_t kLanes = 8;
  static V zero() { return _mm256_setzero_ps(); }
  static V fill(const T* x) { return _mm256_broadcast_ss(x); }
  static V load(const T* x) { return _mm256_loadu_ps(x); }
  static V load(const T* x, M mask) { return _mm256_maskload_ps(x, mask); }
  static void store(T* x, V v) { _mm256_storeu_ps(x, v); }
  static void store(T* x, M mask, V v) { _mm256_maskstore_ps(x, mask, v); }
  static V multiply_add(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static M mask(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

struct Double {
  using T = double;
  using V = __m256d;
  using M = __m256i;
  static constexpr int64_t kLanes = 4;
  static V zero() { return _mm256_setzero_pd(); }
  static V fill(const T* x) { return _mm256_broadcast_sd(x); }
  static V load(const T* x) { return _mm256_loadu_pd(x); }
  static V load(const T* x, M mask) { return _mm256_maskload_pd(x, mask); }
  static void store(T* x, V v) { _mm256_storeu_pd(x, v); }
  static void store(T* x, M mask, V v) { _mm256_maskstore_pd(x, mask, v); }
  static V multiply_add(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
  static M mask(int64_t n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }
};

template <class F, int Rows, int Vectors>
void block(int64_t k, const typename F::T* a, int64_t a_m, int64_t a_k, const typename F::T* b, int64_t b_k,
           typename F::T* c, int64_t c_m) {
  typename F::V sums[Rows][Vectors];
  for (auto& row : sums)
    for (auto& sum : row) sum = F::zero();
  for (int64_t p = 0; p < k; ++p) {
    typename F::V line[Vectors];
    for (int v = 0; v < Vectors; ++v) line[v] = F::load(b + p * b_k + v * F::kLanes);
    for (int r = 0; r < Rows; ++r) {
      const typename F::V x = F::fill(a + r * a_m + p * a_k);
      for (int v = 0; v < Vectors; ++v) sums[r][v] = F::multiply_add(x, line[v], sums[r][v]);
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) F::store(c + r * c_m + v * F::kLanes, sums[r][v]);
}

template <class F, int Rows>
void masked_block(int64_t k, const typename F::T* a, int64_t a_m, int64_t a_k, const typename F::T* b, int64_t b_k,
                  typename F::T* c, int64_t c_m, typename F::M mask) {
  typename F::V sums[Rows];
  for (auto& sum : sums) sum = F::zero();
  for (int64_t p = 0; p < k; ++p) {
    const typename F::V line = F::load(b + p * b_k, mask);
    for (int r = 0; r < Rows; ++r) sums[r] = F::multiply_add(F::fill(a + r * a_m + p * a_k), line, sums[r]);
  }
  for (int r = 0; r < Rows; ++r) F::store(c + r * c_m, mask, sums[r]);
}

template <class F, int Rows>
void rows(const Product& x, const typename F::T* a, const typename F::T* b, int64_t b_k, typename F::T* c) {
  int64_t j = 0;
  for (; j + 2 * F::kLanes <= x.n; j += 2 * F::kLanes)
    block<F, Rows, 2>(x.k, a, x.a_m, x.a_k, b + j, b_k, c + j, x.c_m);
  for (; j + F::kLanes <= x.n; j += F::kLanes) block<F, Rows, 1>(x.k, a, x.a_m, x.a_k, b + j, b_k, c + j, x.c_m);
  if (j < x.n) masked_block<F, Rows>(x.k, a, x.a_m, x.a_k, b + j, b_k, c + j, x.c_m, F::mask(x.n - j));
}

template <class F>
void matrix(const Product& x, const typename F::T* a, const typename F::T* b, typename F::T* c,
            typename F::T* scratch) {
  int64_t b_k = x.b_k;
  if (x.b_n != 1 && x.n > 1) {
    for (int64_t p = 0; p < x.k; ++p)
      for (int64_t j = 0; j < x.n; ++j) scratch[p * x.n + j] = b[p * x.b_k + j * x.b_n];
    b = scratch;
    b_k = x.n;
  }
  int64_t i = 0;
  for (; i + 4 <= x.m; i += 4) rows<F, 4>(x, a + i * x.a_m, b, b_k, c + i * x.c_m);
  for (; i < x.m; ++i) rows<F, 1>(x, a + i * x.a_m, b, b_k, c + i * x.c_m);
}

struct Int {
  using T = uint32_t;
};

// In any order: sums of integers are exact.
template <>
void matrix<Int>(const Product& x, const uint32_t* a, const uint32_t* b, uint32_t* c, uint32_t*) {
  for (int64_t i = 0; i < x.m; ++i) {
    uint32_t* row = c + i * x.c_m;
    for (int64_t j = 0; j < x.n; ++j) row[j] = 0;
    for (int64_t p = 0; p < x.k; ++p) {
      const uint32_t left = a[i * x.a_m + p * x.a_k];
      for (int64_t j = 0; j < x.n; ++j) row[j] += left * b[p * x.b_k + j * x.b_n];
    }
  }
}

template <class F>
void batched(const Product& x, size_t level, const typename F::T* a, const typename F::T* b, typename F::T* c,
             typename F::T* scratch) {
  if (level == x.batches.size()) {
    matrix<F>(x, a, b, c, scratch);
    return;
  }
  const Product::Batch& batch = x.batches[level];
  for (int64_t i = 0; i < batch.size; ++i)
    batched<F>(x, level + 1, a + i * batch.a, b + i * batch.b, c + i * batch.c, scratch);
}

template <class F>
void start(const Product& x, const void* left, const void* right, void* out, void* scratch) {
  using T = typename F::T;
  batched<F>(x, 0, static_cast<const T*>(left), static_cast<const T*>(right), static_cast<T*>(out),
             static_cast<T*>(scratch));
}

}  // namespace

void Product::run(const void* left, const void* right, void* out, void* scratch) const {
  switch (type) {
    case float32: return start<Float>(*this, left, right, out, scratch);
    case float64: return start<Double>(*this, left, right, out, scratch);
    case int32: return start<Int>(*this, left, right, out, scratch);
  }
}

}  // namespace cyxla::native

#pragma GCC pop_options

namespace cyxla::native {
bool products_supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
}  // namespace cyxla::native

#else

namespace cyxla::native {
void Product::run(const void*, const void*, void*, void*) const {}
bool products_supported() { return false; }
}  // namespace cyxla::native

#endif

namespace cyxla::native {
size_t Product::scratch_bytes() const {
  if (b_n == 1 || n <= 1 || type == int32) return 0;
  return static_cast<size_t>(k * n) * (type == float64 ? 8 : 4);
}
}  // namespace cyxla::native
