// The element types of host kernels: numbers for them, the two 16-bit floats, and how a number becomes a C++ type.
// Arithmetic of 16-bit floats is that of float, rounded once; arithmetic runs with denormals flushed (flush.h).
#pragma once

#include <complex>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace cyxla::host {

// Order and meaning are those of DTYPES in pyx/host.pyx.
enum class DType : int { kBool, kI8, kI16, kI32, kI64, kU8, kU16, kU32, kU64, kF16, kBF16, kF32, kF64, kC64, kC128 };
constexpr int kNumDTypes = 15;

// Sets of kinds of types, as the tables of operations name what they accept.
enum Kinds : unsigned { kBools = 1, kSigned = 2, kUnsigned = 4, kHalves = 8, kFloats = 16, kComplexes = 32 };
constexpr unsigned kIntegers = kSigned | kUnsigned;
constexpr unsigned kReals = kHalves | kFloats;

template <class To, class From>
inline To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

struct Half {
  uint16_t bits;
  Half() = default;
  explicit Half(float x) : bits(round(x)) {}
#ifdef __F16C__
  explicit operator float() const { return _cvtsh_ss(bits); }

 private:
  static uint16_t round(float x) { return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT); }
#else
  explicit operator float() const {
    const uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31) return bit_cast<float>(sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0));
    if (exponent) return bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
    const float size = float(int32_t(fraction)) * (1.0f / (1 << 24));
    return bit_cast<float>(sign | bit_cast<uint32_t>(size));
  }

 private:
  static uint16_t round(float x) {
    const uint32_t bits = bit_cast<uint32_t>(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return uint16_t(sign | 0x7e00 | (size >> 13 & 0x3ff));
    if (size >= 0x47800000) return uint16_t(sign | 0x7c00);
    if (size >= 0x38800000) {
      const uint32_t rounded = size - 0x38000000 + 0xfff + (size >> 13 & 1);
      return uint16_t(sign | rounded >> 13);
    }
    // Below the normal numbers: the fraction is that of size + 2^-1, whose last bit is worth 2^-24.
    const float shifted = bit_cast<float>(size) + 0.5f;
    return uint16_t(sign | (bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
#endif
};

struct BFloat16 {
  uint16_t bits;
  BFloat16() = default;
  explicit BFloat16(float x) {
    const uint32_t wide = bit_cast<uint32_t>(x);
    // A NaN keeps its sign only.
    bits = (wide & 0x7fffffff) > 0x7f800000 ? uint16_t((wide >> 16 & 0x8000) | 0x7fc0)
                                            : uint16_t((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
  }
  explicit operator float() const { return bit_cast<float>(uint32_t(bits) << 16); }
};

template <class T>
constexpr bool is_half = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
template <class T>
constexpr bool is_complex = std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>;
template <class T>
constexpr bool is_real = is_half<T> || std::is_floating_point_v<T>;
template <class T>
constexpr bool is_integer = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <class T>
constexpr unsigned kind_of() {
  if (std::is_same_v<T, bool>) return kBools;
  if (is_half<T>) return kHalves;
  if (std::is_floating_point_v<T>) return kFloats;
  if (is_complex<T>) return kComplexes;
  return std::is_signed_v<T> ? kSigned : kUnsigned;
}

// The type that arithmetic on T is done in.
template <class T>
using Wide = std::conditional_t<is_half<T>, float, T>;

template <class T>
struct Type {
  using type = T;
};

// f(Type<T>{}) with the T of a dtype.
template <class F>
auto with_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kBool: return f(Type<bool>{});
    case DType::kI8: return f(Type<int8_t>{});
    case DType::kI16: return f(Type<int16_t>{});
    case DType::kI32: return f(Type<int32_t>{});
    case DType::kI64: return f(Type<int64_t>{});
    case DType::kU8: return f(Type<uint8_t>{});
    case DType::kU16: return f(Type<uint16_t>{});
    case DType::kU32: return f(Type<uint32_t>{});
    case DType::kU64: return f(Type<uint64_t>{});
    case DType::kF16: return f(Type<Half>{});
    case DType::kBF16: return f(Type<BFloat16>{});
    case DType::kF32: return f(Type<float>{});
    case DType::kF64: return f(Type<double>{});
    case DType::kC64: return f(Type<std::complex<float>>{});
    default: return f(Type<std::complex<double>>{});
  }
}

// Whether a dtype's C++ type is T.
template <class T>
bool is_dtype(DType dtype) {
  return with_type(dtype, [](auto type) { return std::is_same_v<typename decltype(type)::type, T>; });
}

inline int64_t width_of(DType dtype) {
  constexpr int64_t widths[kNumDTypes] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
  return widths[static_cast<int>(dtype)];
}

inline bool is_float(DType dtype) { return dtype >= DType::kF16; }

}  // namespace cyxla::host
