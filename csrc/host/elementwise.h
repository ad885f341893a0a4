// How a function of elements becomes an operation on arrays: a loop for each type, with operands of rank 0 spread.
//
// A function is a struct with `kinds`, the kinds of types it takes (dtypes.h), and a static template `apply`, written
// for the type that arithmetic is done in: float for the 16-bit floats. Where XLA does not go by way of float for
// float16, the function has an `apply_half` as well and derives from HasHalf, the others from Plain.
#pragma once

#include "host/flush.h"
#include "host/operation.h"

namespace cyxla::host {

// `scalars` has a bit for each operand that is one element, used for all.
using Loop = void (*)(const void* const* operands, void* result, int64_t n, unsigned scalars);

class Elementwise : public Operation {
 public:
  Elementwise(Loop loop, int64_t n, unsigned scalars, bool flush)
      : loop_(loop), n_(n), scalars_(scalars), flush_(flush) {}
  void run(const void* const* operands, void* const* results) const override {
    if (flush_) {
      const Flush flush;
      loop_(operands, results[0], n_, scalars_);
    } else {
      loop_(operands, results[0], n_, scalars_);
    }
  }

 private:
  Loop loop_;
  int64_t n_;
  unsigned scalars_;
  bool flush_;
};

// The operation of a loop, if each operand has as many elements as the result, or one.
inline Made elementwise(const Request& request, size_t n_operands, Loop loop) {
  if (!loop || request.operands.size() != n_operands) return nullptr;
  const int64_t n = request.results[0].count();
  unsigned scalars = 0;
  bool flush = is_float(request.results[0].dtype);
  for (size_t i = 0; i < n_operands; ++i) {
    const Array& x = request.operands[i];
    flush = flush || is_float(x.dtype);
    if (x.count() == n) continue;
    if (!x.shape.empty()) return nullptr;
    scalars |= 1u << i;
  }
  return std::make_unique<Elementwise>(loop, n, scalars, flush);
}

// The loop of a binary operation whose result has its operands' type; null where there is none.
Loop binary_loop_of(const std::string& name, DType dtype);

struct Plain {
  static constexpr bool has_half = false;
};
struct HasHalf {
  static constexpr bool has_half = true;
};

template <class T>
inline auto widened(const T& x) {
  return static_cast<Wide<T>>(x);
}

template <class Out, class X>
inline Out narrowed(const X& x) {
  return static_cast<Out>(x);
}

template <class F, class In, class Out>
void unary_loop(const void* const* operands, void* result, int64_t n, unsigned) {
  const In* x = static_cast<const In*>(operands[0]);
  Out* out = static_cast<Out*>(result);
  if constexpr (F::has_half && std::is_same_v<In, Half>) {
    for (int64_t i = 0; i < n; ++i) out[i] = F::apply_half(x[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = narrowed<Out>(F::template apply<Wide<In>>(widened(x[i])));
  }
}

template <class F, class In, class Out>
void binary_loop(const void* const* operands, void* result, int64_t n, unsigned scalars) {
  const In* x = static_cast<const In*>(operands[0]);
  const In* y = static_cast<const In*>(operands[1]);
  Out* out = static_cast<Out*>(result);
  using W = Wide<In>;
  if (n == 0) return;
  if constexpr (F::has_half && std::is_same_v<In, Half>) {
    const int64_t x_step = scalars & 1 ? 0 : 1, y_step = scalars & 2 ? 0 : 1;
    for (int64_t i = 0; i < n; ++i) out[i] = F::apply_half(x[i * x_step], y[i * y_step]);
  } else if (scalars == 0) {
    for (int64_t i = 0; i < n; ++i) out[i] = narrowed<Out>(F::template apply<W>(widened(x[i]), widened(y[i])));
  } else if (scalars == 2) {
    const W b = widened(y[0]);
    for (int64_t i = 0; i < n; ++i) out[i] = narrowed<Out>(F::template apply<W>(widened(x[i]), b));
  } else {
    const W a = widened(x[0]);
    for (int64_t i = 0; i < n; ++i) out[i] = narrowed<Out>(F::template apply<W>(a, widened(y[i])));
  }
}

// ---- what several families need

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
template <class T>
constexpr BitsOf<T> kSignBit = BitsOf<T>(1) << (8 * sizeof(T) - 1);

// Of floats, the bits are those that LLVM's code for x86 gives: a NaN stays as it is, but for the sign of a second one
// beside a number; zeros of both signs are ordered; denormals are zeros.
template <class T>
inline T extremum_bits(T x, T y, bool is_max) {
  using Bits = BitsOf<T>;
  const Bits a = bit_cast<Bits>(x), b = bit_cast<Bits>(y), size = Bits(~kSignBit<T>);
  const Bits sign = (is_max ? a & b : a | b) & kSignBit<T>;
  const T greater = (is_max ? x > y : x < y) ? x : y;
  const Bits c = bit_cast<Bits>(greater);
  const Bits flushed = greater == T(0) ? c & kSignBit<T> : c;
  const Bits ordered = x == y ? (x == T(0) ? sign : a) : flushed;
  const Bits number = y == y ? ordered : Bits((b & size) | sign);
  return bit_cast<T>(x == x ? number : a);
}

// float16 has one NaN only as a result.
inline Half half_extremum(Half x, Half y, bool is_max) {
  const float chosen = extremum_bits(float(x), float(y), is_max);
  Half out;
  if (chosen != chosen) out.bits = 0x7e00;
  else out = Half(chosen);
  return out;
}

struct Max : HasHalf {
  static constexpr unsigned kinds = kBools | kIntegers | kReals;
  template <class T>
  static T apply(T x, T y) {
    if constexpr (is_real<T>) return extremum_bits(x, y, true);
    else return x >= y ? x : y;
  }
  static Half apply_half(Half x, Half y) { return half_extremum(x, y, true); }
};

struct Min : HasHalf {
  static constexpr unsigned kinds = kBools | kIntegers | kReals;
  template <class T>
  static T apply(T x, T y) {
    if constexpr (is_real<T>) return extremum_bits(x, y, false);
    else return x <= y ? x : y;
  }
  static Half apply_half(Half x, Half y) { return half_extremum(x, y, false); }
};

}  // namespace cyxla::host
