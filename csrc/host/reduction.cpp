// Reductions whose result does not depend on the order: of integers and bools; and the positions of extrema.
#include <algorithm>
#include <limits>

#include "host/box.h"
#include "host/flush.h"

namespace cyxla::host {
namespace {

// Walks an array in the order of its memory, row by row, and along with it another at the given strides.
struct Walk {
  Ints dims, strides;  // of all axes but the last
  int64_t rows = 1, row = 1, step = 0;  // the last axis: its size, and the other array's stride

  Walk(const Ints& shape, const Ints& other) {
    for (size_t i = 0; i + 1 < shape.size(); ++i) {
      dims.push_back(shape[i]);
      strides.push_back(other[i]);
      rows *= shape[i];
    }
    if (!shape.empty()) {
      row = shape.back();
      step = other.back();
    }
  }

  // f(position in the array, position in the other one) for each row.
  template <class F>
  void each(F&& f) const {
    int64_t index[32] = {};
    int64_t position = 0;
    for (int64_t i = 0; i < rows; ++i) {
      f(i * row, position);
      for (size_t axis = dims.size(); axis-- > 0;) {
        position += strides[axis];
        if (++index[axis] < dims[axis]) break;
        position -= strides[axis] * dims[axis];
        index[axis] = 0;
      }
    }
  }
};

// ---- ints: axes

struct Sum {
  static constexpr unsigned kinds = kIntegers;
  template <class T>
  static constexpr T identity() { return 0; }
  template <class T>
  static T apply(T x, T y) { return T(std::make_unsigned_t<T>(x) + std::make_unsigned_t<T>(y)); }
};

struct Product {
  static constexpr unsigned kinds = kIntegers;
  template <class T>
  static constexpr T identity() { return 1; }
  template <class T>
  static T apply(T x, T y) {
    using U = std::common_type_t<std::make_unsigned_t<T>, unsigned>;
    return T(U(x) * U(y));
  }
};

struct Maximum {
  static constexpr unsigned kinds = kBools | kIntegers;
  template <class T>
  static constexpr T identity() { return std::numeric_limits<T>::min(); }
  template <class T>
  static T apply(T x, T y) { return x > y ? x : y; }
};

struct Minimum {
  static constexpr unsigned kinds = kBools | kIntegers;
  template <class T>
  static constexpr T identity() { return std::numeric_limits<T>::max(); }
  template <class T>
  static T apply(T x, T y) { return x < y ? x : y; }
};

struct All {
  static constexpr unsigned kinds = kBools | kIntegers;
  template <class T>
  static constexpr T identity() { return std::is_same_v<T, bool> ? T(1) : T(-1); }
  template <class T>
  static T apply(T x, T y) { return T(x & y); }
};

struct Any {
  static constexpr unsigned kinds = kBools | kIntegers;
  template <class T>
  static constexpr T identity() { return 0; }
  template <class T>
  static T apply(T x, T y) { return T(x | y); }
};

struct Parity {
  static constexpr unsigned kinds = kBools | kIntegers;
  template <class T>
  static constexpr T identity() { return 0; }
  template <class T>
  static T apply(T x, T y) { return T(x ^ y); }
};

template <class F, class T>
class Reduce : public Operation {
 public:
  Reduce(Walk walk, int64_t n) : walk_(std::move(walk)), n_(n) {}
  void run(const void* const* operands, void* const* results) const override {
    const T* x = static_cast<const T*>(operands[0]);
    T* out = static_cast<T*>(results[0]);
    std::fill(out, out + n_, F::template identity<T>());
    walk_.each([&](int64_t from, int64_t to) {
      if (walk_.step == 0) {
        T value = out[to];
        for (int64_t i = 0; i < walk_.row; ++i) value = F::template apply<T>(value, x[from + i]);
        out[to] = value;
      } else {
        for (int64_t i = 0; i < walk_.row; ++i) out[to + i] = F::template apply<T>(out[to + i], x[from + i]);
      }
    });
  }

 private:
  Walk walk_;
  int64_t n_;
};

// For each axis whether it is reduced; empty where the axes are no such thing.
std::vector<bool> reduced_axes(const Ints& axes, size_t rank) {
  std::vector<bool> reduced(rank, false);
  for (int64_t axis : axes) {
    if (axis < 0 || axis >= int64_t(rank) || reduced[axis]) return {};
    reduced[axis] = true;
  }
  return reduced;
}

// The strides of the result along the axes of the operand; false if the result's shape is another.
bool result_strides(const Array& x, const Array& out, const std::vector<bool>& reduced, Ints& strides) {
  const size_t rank = x.shape.size();
  if (reduced.size() != rank || rank > 32) return false;
  Ints kept;
  for (size_t i = 0; i < rank; ++i) {
    if (!reduced[i]) kept.push_back(x.shape[i]);
  }
  if (kept != out.shape) return false;
  const Ints dense = dense_strides(kept, 1);
  strides.assign(rank, 0);
  for (size_t i = 0, j = 0; i < rank; ++i) {
    if (!reduced[i]) strides[i] = dense[j++];
  }
  return true;
}

template <class F>
Made make_reduce(const Request& request) {
  if (request.operands.size() != 1 || request.ints.size() != 1) return nullptr;
  const Array &x = request.operands[0], &out = request.results[0];
  Ints strides;
  if (x.dtype != out.dtype || !result_strides(x, out, reduced_axes(request.ints[0], x.shape.size()), strides)) {
    return nullptr;
  }
  return with_type(x.dtype, [&](auto type) -> Made {
    using T = typename decltype(type)::type;
    if constexpr ((F::kinds & kind_of<T>()) != 0) {
      return std::make_unique<Reduce<F, T>>(Walk(x.shape, strides), out.count());
    } else {
      return nullptr;
    }
  });
}

// ---- argmax and argmin. ints: {axis}; the first NaN wins, else the first extremum

template <class T, class I, bool greatest>
class Extremum : public Operation {
 public:
  Extremum(int64_t outer, int64_t n, int64_t inner) : outer_(outer), n_(n), inner_(inner) {}
  void run(const void* const* operands, void* const* results) const override {
    const Flush flush;
    const T* x = static_cast<const T*>(operands[0]);
    I* out = static_cast<I*>(results[0]);
    for (int64_t i = 0; i < outer_; ++i, x += n_ * inner_) {
      for (int64_t k = 0; k < inner_; ++k) *out++ = I(first(x + k));
    }
  }

 private:
  int64_t first(const T* x) const {
    auto best = Wide<T>(x[0]);
    int64_t found = 0;
    for (int64_t j = 1; j < n_ && best == best; ++j) {
      const auto value = Wide<T>(x[j * inner_]);
      if ((greatest ? value > best : value < best) || value != value) {
        best = value;
        found = j;
      }
    }
    return found;
  }
  int64_t outer_, n_, inner_;
};

template <bool greatest>
Made make_extremum(const Request& request) {
  if (request.operands.size() != 1 || request.ints.size() != 1 || request.ints[0].size() != 1) return nullptr;
  const Array &x = request.operands[0], &out = request.results[0];
  const int64_t axis = request.ints[0][0];
  if (axis < 0 || axis >= int64_t(x.shape.size()) || x.shape[axis] == 0) return nullptr;
  int64_t outer = 1, inner = 1;
  for (int64_t i = 0; i < int64_t(x.shape.size()); ++i) {
    if (i < axis) outer *= x.shape[i];
    if (i > axis) inner *= x.shape[i];
  }
  if (outer * inner != out.count()) return nullptr;
  const int64_t n = x.shape[axis];
  return with_type(x.dtype, [&](auto type) -> Made {
    using T = typename decltype(type)::type;
    if constexpr (is_complex<T>) {
      return nullptr;
    } else if (out.dtype == DType::kI32) {
      return n <= INT32_MAX ? Made(new Extremum<T, int32_t, greatest>(outer, n, inner)) : nullptr;
    } else if (out.dtype == DType::kI64) {
      return Made(new Extremum<T, int64_t, greatest>(outer, n, inner));
    } else {
      return nullptr;
    }
  });
}

}  // namespace

const Row kReduction[] = {
    {"reduce_sum", make_reduce<Sum>},
    {"reduce_prod", make_reduce<Product>},
    {"reduce_max", make_reduce<Maximum>},
    {"reduce_min", make_reduce<Minimum>},
    {"reduce_and", make_reduce<All>},
    {"reduce_or", make_reduce<Any>},
    {"reduce_xor", make_reduce<Parity>},
    {"argmax", make_extremum<true>},
    {"argmin", make_extremum<false>},
    {nullptr, nullptr},
};

}  // namespace cyxla::host
