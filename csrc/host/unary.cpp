// Operations on one operand: arithmetic, rounding, bits, parts of complex numbers, and conversion between all types.
#include <cmath>
#include <limits>

#include "host/elementwise.h"

namespace cyxla::host {
namespace {

// Changing the sign leaves denormals and NaNs as they are.

inline Half half_of(int bits) {
  Half out;
  out.bits = uint16_t(bits);
  return out;
}

struct Neg : HasHalf {
  static constexpr unsigned kinds = kIntegers | kReals | kComplexes;
  template <class T>
  static T apply(T x) {
    if constexpr (is_integer<T>) return T(-std::common_type_t<std::make_unsigned_t<T>, unsigned>(x));
    else if constexpr (is_complex<T>) return T(apply(x.real()), apply(x.imag()));
    else return bit_cast<T>(bit_cast<BitsOf<T>>(x) ^ kSignBit<T>);
  }
  static Half apply_half(Half x) { return half_of(x.bits ^ 0x8000); }
};

struct Abs : HasHalf {
  static constexpr unsigned kinds = kSigned | kReals;
  template <class T>
  static T apply(T x) {
    if constexpr (is_integer<T>) return x < 0 ? Neg::apply(x) : x;
    else return bit_cast<T>(bit_cast<BitsOf<T>>(x) & ~kSignBit<T>);
  }
  static Half apply_half(Half x) { return half_of(x.bits & 0x7fff); }
};

struct Sign : HasHalf {
  static constexpr unsigned kinds = kIntegers | kReals;
  template <class T>
  static T apply(T x) {
    if constexpr (is_integer<T>) return T((x > 0) - (x < 0));
    else return x != x ? x : std::copysign(x == 0 ? T(0) : T(1), x);
  }
  static Half apply_half(Half x) {
    const int size = x.bits & 0x7fff;
    return size == 0 || size > 0x7c00 ? x : half_of((x.bits & 0x8000) | 0x3c00);
  }
};

// A denormal is a zero of its sign, and a NaN becomes quiet.
template <class T>
inline T normal(T x) {
  if (x != x) return x + x;
  return x == 0 ? std::copysign(T(0), x) : x;
}

struct Floor : Plain {
  static constexpr unsigned kinds = kReals;
  template <class T>
  static T apply(T x) { return std::floor(normal(x)); }
};

struct Ceil : Plain {
  static constexpr unsigned kinds = kReals;
  template <class T>
  static T apply(T x) { return std::ceil(normal(x)); }
};

struct RoundAway : Plain {
  static constexpr unsigned kinds = kReals;
  template <class T>
  static T apply(T x) { return std::round(normal(x)); }
};

struct RoundEven : Plain {
  static constexpr unsigned kinds = kReals;
  template <class T>
  static T apply(T x) {
    const T even = std::nearbyint(normal(x));
    return even == 0 ? std::copysign(T(0), x) : even;
  }
};

struct IsFinite : Plain {
  static constexpr unsigned kinds = kReals;
  template <class T>
  static bool apply(T x) { return std::abs(x) <= std::numeric_limits<T>::max(); }
};

struct Sqrt : Plain {
  static constexpr unsigned kinds = kReals;
  template <class T>
  static T apply(T x) { return std::sqrt(x); }
};

struct Square : Plain {
  static constexpr unsigned kinds = kIntegers | kReals;
  template <class T>
  static T apply(T x) {
    if constexpr (is_integer<T>) {
      const auto wide = std::common_type_t<std::make_unsigned_t<T>, unsigned>(x);
      return T(wide * wide);
    } else {
      return x * x;
    }
  }
};

struct Not : Plain {
  static constexpr unsigned kinds = kBools | kIntegers;
  template <class T>
  static T apply(T x) {
    if constexpr (std::is_same_v<T, bool>) return !x;
    else return T(~x);
  }
};

struct PopulationCount : Plain {
  static constexpr unsigned kinds = kIntegers;
  template <class T>
  static T apply(T x) {
    uint64_t bits = std::make_unsigned_t<T>(x);
    bits -= bits >> 1 & 0x5555555555555555;
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return T(bits * 0x0101010101010101 >> 56);
  }
};

struct LeadingZeros : Plain {
  static constexpr unsigned kinds = kIntegers;
  template <class T>
  static T apply(T x) {
    int n = int(8 * sizeof(T));
    for (auto bits = std::make_unsigned_t<T>(x); bits; bits = std::make_unsigned_t<T>(bits >> 1)) --n;
    return T(n);
  }
};

struct Real : Plain {
  static constexpr unsigned kinds = kComplexes;
  template <class T>
  static auto apply(T x) { return x.real(); }
};

struct Imag : Plain {
  static constexpr unsigned kinds = kComplexes;
  template <class T>
  static auto apply(T x) { return x.imag(); }
};

struct Conj : Plain {
  static constexpr unsigned kinds = kFloats | kComplexes;
  template <class T>
  static auto apply(T x) {
    if constexpr (is_complex<T>) return T(x.real(), Neg::apply(x.imag()));
    else return std::complex<T>(x, T(0));
  }
};

template <class F, class T>
struct Result {
  using Given = decltype(F::template apply<Wide<T>>(Wide<T>{}));
  using type = std::conditional_t<is_half<T> && !std::is_same_v<Given, bool>, T, Given>;
};

template <class F>
Made make_unary(const Request& request) {
  if (request.operands.size() != 1) return nullptr;
  const DType result = request.results[0].dtype;
  const Loop loop = with_type(request.operands[0].dtype, [&](auto type) -> Loop {
    using T = typename decltype(type)::type;
    if constexpr ((F::kinds & kind_of<T>()) != 0) {
      using Out = typename Result<F, T>::type;
      if (!is_dtype<Out>(result)) return nullptr;
      return unary_loop<F, T, Out>;
    } else {
      return nullptr;
    }
  });
  return elementwise(request, 1, loop);
}

// ---- x to the power of an integer. ints: {exponent}; the factors in the order of the lowering of integer_pow.

template <class T>
class Power : public Operation {
 public:
  Power(int64_t n, int64_t exponent) : n_(n), exponent_(exponent) {}
  void run(const void* const* operands, void* const* results) const override {
    const Flush flush;
    const T* x = static_cast<const T*>(operands[0]);
    T* out = static_cast<T*>(results[0]);
    for (int64_t i = 0; i < n_; ++i) out[i] = apply(x[i]);
  }

 private:
  static T times(T x, T y) {
    if constexpr (is_integer<T>) {
      using U = std::common_type_t<std::make_unsigned_t<T>, unsigned>;
      return T(U(x) * U(y));
    } else {
      return x * y;
    }
  }
  T apply(T x) const {
    if (exponent_ == 0) return T(1);
    uint64_t n = exponent_ < 0 ? -uint64_t(exponent_) : uint64_t(exponent_);
    T power = x, result = T(1);
    for (bool first = true;; power = times(power, power)) {
      if (n & 1) {
        result = first ? power : times(result, power);
        first = false;
      }
      n >>= 1;
      if (!n) break;
    }
    return exponent_ < 0 ? T(1) / result : result;
  }
  int64_t n_, exponent_;
};

Made make_power(const Request& request) {
  if (request.operands.size() != 1 || request.ints.size() != 1 || request.ints[0].size() != 1) return nullptr;
  const Array &x = request.operands[0], &out = request.results[0];
  const int64_t n = out.count(), exponent = request.ints[0][0];
  if (x.dtype != out.dtype || x.count() != n) return nullptr;
  return with_type(x.dtype, [&](auto type) -> Made {
    using T = typename decltype(type)::type;
    if constexpr ((kind_of<T>() & (kIntegers | kFloats)) != 0) {
      if (is_integer<T> && exponent < 0) return nullptr;
      return std::make_unique<Power<T>>(n, exponent);
    } else {
      return nullptr;
    }
  });
}

// ---- conversion

// Towards zero; what does not fit becomes the nearest number that does, NaN zero.
template <class To, class From>
inline To saturated(From x) {
  using Limits = std::numeric_limits<To>;
  // The first number above the range is a power of two, and so exact in any float; To's maximum may not be.
  const From above = std::ldexp(From(1), Limits::digits);
  if (x != x) return 0;
  if (x >= above) return Limits::max();
  if (x <= From(Limits::min())) return Limits::min();
  return To(x);
}

struct Convert {
  template <class To, class From>
  static To apply(From x) {
    if constexpr (is_complex<From>) {
      using Part = typename From::value_type;
      if constexpr (is_complex<To>) {
        using Narrow = typename To::value_type;
        return To(Narrow(x.real()), Narrow(x.imag()));
      } else {
        return apply<To, Part>(x.real());
      }
    } else if constexpr (is_complex<To>) {
      using Part = typename To::value_type;
      return To(apply<Part, From>(x), Part(0));
    } else if constexpr (std::is_same_v<From, BFloat16> && std::is_same_v<To, bool>) {
      return (x.bits & 0x7fff) != 0;  // the one comparison with a constant, which LLVM makes of the bits
    } else if constexpr (is_half<From>) {
      return apply<To, float>(float(x));
    } else if constexpr (std::is_same_v<To, bool>) {
      return x != From(0);
    } else if constexpr (std::is_floating_point_v<From> && is_integer<To>) {
      return saturated<To>(x);
    } else if constexpr (std::is_same_v<From, double> && std::is_same_v<To, Half>) {
      // By a function of the compiler's library, for which all NaNs of a sign are one.
      return x != x ? half_of(std::signbit(x) ? 0xfe00 : 0x7e00) : To(float(x));
    } else if constexpr (is_half<To>) {
      return To(float(x));
    } else {
      return To(x);
    }
  }
};

template <class From, class To>
void convert_loop(const void* const* operands, void* result, int64_t n, unsigned) {
  const From* x = static_cast<const From*>(operands[0]);
  To* out = static_cast<To*>(result);
  for (int64_t i = 0; i < n; ++i) out[i] = Convert::apply<To, From>(x[i]);
}

Made make_convert(const Request& request) {
  if (request.operands.size() != 1 || request.operands[0].dtype == request.results[0].dtype) return nullptr;
  const Loop loop = with_type(request.operands[0].dtype, [&](auto from) {
    return with_type(request.results[0].dtype, [](auto to) -> Loop {
      return convert_loop<typename decltype(from)::type, typename decltype(to)::type>;
    });
  });
  return elementwise(request, 1, loop);
}

}  // namespace

const Row kUnary[] = {
    {"neg", make_unary<Neg>},
    {"abs", make_unary<Abs>},
    {"sign", make_unary<Sign>},
    {"floor", make_unary<Floor>},
    {"ceil", make_unary<Ceil>},
    {"round_away", make_unary<RoundAway>},
    {"round_even", make_unary<RoundEven>},
    {"is_finite", make_unary<IsFinite>},
    {"sqrt", make_unary<Sqrt>},
    {"square", make_unary<Square>},
    {"not", make_unary<Not>},
    {"population_count", make_unary<PopulationCount>},
    {"clz", make_unary<LeadingZeros>},
    {"real", make_unary<Real>},
    {"imag", make_unary<Imag>},
    {"conj", make_unary<Conj>},
    {"integer_pow", make_power},
    {"convert", make_convert},
    {nullptr, nullptr},
};

}  // namespace cyxla::host
