// Operations on two operands of one type: arithmetic, bits, comparison.
#include <cmath>

#include "host/elementwise.h"

namespace cyxla::host {
namespace {

template <class T>
using Bits = std::make_unsigned_t<T>;

// Arithmetic modulo 2^n: unsigned, and no narrower than unsigned, for narrower types are promoted to int.
template <class T>
using Modular = std::common_type_t<Bits<T>, unsigned>;

template <class T>
constexpr int kBits = int(8 * sizeof(T));

// Where both operands are NaN, the result is the first of them.
template <class T>
inline T first_nan(T x, T result) {
  return x != x ? x + x : result;
}

struct Add : Plain {
  static constexpr unsigned kinds = kIntegers | kReals | kComplexes;
  template <class T>
  static T apply(T x, T y) {
    if constexpr (is_integer<T>) return T(Modular<T>(x) + Modular<T>(y));
    else if constexpr (is_complex<T>) {
      return T(apply(x.real(), y.real()), apply(x.imag(), y.imag()));
    } else {
      return first_nan(x, x + y);
    }
  }
};

struct Sub : Plain {
  static constexpr unsigned kinds = kIntegers | kReals | kComplexes;
  template <class T>
  static T apply(T x, T y) {
    if constexpr (is_integer<T>) return T(Modular<T>(x) - Modular<T>(y));
    else if constexpr (is_complex<T>) {
      return T(apply(x.real(), y.real()), apply(x.imag(), y.imag()));
    } else {
      return first_nan(x, x - y);
    }
  }
};

struct Mul : Plain {
  static constexpr unsigned kinds = kIntegers | kReals;
  template <class T>
  static T apply(T x, T y) {
    if constexpr (is_integer<T>) return T(Modular<T>(x) * Modular<T>(y));
    else return first_nan(x, x * y);
  }
};

// Of integers: by zero all bits are set, and the quotient that does not fit wraps around.
struct Div : Plain {
  static constexpr unsigned kinds = kIntegers | kReals;
  template <class T>
  static T apply(T x, T y) {
    if constexpr (is_integer<T>) {
      if (y == 0) return T(-1);
      if constexpr (std::is_signed_v<T>) {
        if (y == -1) return T(-Modular<T>(x));
      }
      return T(x / y);
    } else {
      return first_nan(x, x / y);
    }
  }
};

struct Rem : Plain {
  static constexpr unsigned kinds = kIntegers;
  template <class T>
  static T apply(T x, T y) {
    if (y == 0) return x;
    if constexpr (std::is_signed_v<T>) {
      if (y == -1) return 0;
    }
    return T(x % y);
  }
};

struct And : Plain {
  static constexpr unsigned kinds = kBools | kIntegers;
  template <class T>
  static T apply(T x, T y) { return T(x & y); }
};

struct Or : Plain {
  static constexpr unsigned kinds = kBools | kIntegers;
  template <class T>
  static T apply(T x, T y) { return T(x | y); }
};

struct Xor : Plain {
  static constexpr unsigned kinds = kBools | kIntegers;
  template <class T>
  static T apply(T x, T y) { return T(x ^ y); }
};

// Distances are unsigned; shifting by all bits or more leaves nothing but copies of the sign where that is kept.
struct ShiftLeft : Plain {
  static constexpr unsigned kinds = kIntegers;
  template <class T>
  static T apply(T x, T y) {
    return Bits<T>(y) >= Bits<T>(kBits<T>) ? T(0) : T(Modular<T>(x) << y);
  }
};

struct ShiftRightLogical : Plain {
  static constexpr unsigned kinds = kIntegers;
  template <class T>
  static T apply(T x, T y) {
    return Bits<T>(y) >= Bits<T>(kBits<T>) ? T(0) : T(Bits<T>(x) >> y);
  }
};

struct ShiftRightArithmetic : Plain {
  static constexpr unsigned kinds = kIntegers;
  template <class T>
  static T apply(T x, T y) {
    using S = std::make_signed_t<T>;
    return T(S(x) >> (Bits<T>(y) >= Bits<T>(kBits<T>) ? kBits<T> - 1 : int(y)));
  }
};

struct Eq : Plain {
  static constexpr unsigned kinds = kBools | kIntegers | kReals | kComplexes;
  template <class T>
  static bool apply(T x, T y) { return x == y; }
};

struct Ne : Plain {
  static constexpr unsigned kinds = kBools | kIntegers | kReals | kComplexes;
  template <class T>
  static bool apply(T x, T y) { return x != y; }
};

struct Lt : Plain {
  static constexpr unsigned kinds = kBools | kIntegers | kReals;
  template <class T>
  static bool apply(T x, T y) { return x < y; }
};

struct Le : Plain {
  static constexpr unsigned kinds = kBools | kIntegers | kReals;
  template <class T>
  static bool apply(T x, T y) { return x <= y; }
};

struct Gt : Plain {
  static constexpr unsigned kinds = kBools | kIntegers | kReals;
  template <class T>
  static bool apply(T x, T y) { return x > y; }
};

struct Ge : Plain {
  static constexpr unsigned kinds = kBools | kIntegers | kReals;
  template <class T>
  static bool apply(T x, T y) { return x >= y; }
};

struct MakeComplex : Plain {
  static constexpr unsigned kinds = kFloats;
  template <class T>
  static std::complex<T> apply(T x, T y) { return {x, y}; }
};

// The result's type for operands of type T: that of what `apply` gives, but for the 16-bit floats.
template <class F, class T>
struct Result {
  using Given = decltype(F::template apply<Wide<T>>(Wide<T>{}, Wide<T>{}));
  using type = std::conditional_t<is_half<T> && !std::is_same_v<Given, bool>, T, Given>;
};

template <class F>
Loop loop_of(DType dtype, DType result) {
  return with_type(dtype, [&](auto type) -> Loop {
    using T = typename decltype(type)::type;
    if constexpr ((F::kinds & kind_of<T>()) != 0) {
      using Out = typename Result<F, T>::type;
      return is_dtype<Out>(result) ? binary_loop<F, T, Out> : nullptr;
    } else {
      return nullptr;
    }
  });
}

template <class F>
Made make_binary(const Request& request) {
  if (request.operands.size() != 2 || request.operands[0].dtype != request.operands[1].dtype) return nullptr;
  return elementwise(request, 2, loop_of<F>(request.operands[0].dtype, request.results[0].dtype));
}

}  // namespace

Loop binary_loop_of(const std::string& name, DType dtype) {
  if (name == "add") return loop_of<Add>(dtype, dtype);
  if (name == "sub") return loop_of<Sub>(dtype, dtype);
  if (name == "mul") return loop_of<Mul>(dtype, dtype);
  if (name == "min") return loop_of<Min>(dtype, dtype);
  if (name == "max") return loop_of<Max>(dtype, dtype);
  return nullptr;
}

const Row kBinary[] = {
    {"add", make_binary<Add>},
    {"add_any", make_binary<Add>},
    {"sub", make_binary<Sub>},
    {"mul", make_binary<Mul>},
    {"div", make_binary<Div>},
    {"rem", make_binary<Rem>},
    {"max", make_binary<Max>},
    {"min", make_binary<Min>},
    {"and", make_binary<And>},
    {"or", make_binary<Or>},
    {"xor", make_binary<Xor>},
    {"shift_left", make_binary<ShiftLeft>},
    {"shift_right_logical", make_binary<ShiftRightLogical>},
    {"shift_right_arithmetic", make_binary<ShiftRightArithmetic>},
    {"eq", make_binary<Eq>},
    {"ne", make_binary<Ne>},
    {"lt", make_binary<Lt>},
    {"le", make_binary<Le>},
    {"gt", make_binary<Gt>},
    {"ge", make_binary<Ge>},
    {"complex", make_binary<MakeComplex>},
    {nullptr, nullptr},
};

}  // namespace cyxla::host
