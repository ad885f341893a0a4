// Operations that pick one of several values for each element: select and clamp.
#include <cmath>

#include "host/elementwise.h"
#include "host/positions.h"

namespace cyxla::host {
namespace {

// ---- select. operands: which, then the cases, of one shape; `which` may be a scalar

template <class T>
void select_loop(const void* const* operands, void* result, int64_t n, unsigned) {
  const bool* which = static_cast<const bool*>(operands[0]);
  const T* x = static_cast<const T*>(operands[1]);
  const T* y = static_cast<const T*>(operands[2]);
  T* out = static_cast<T*>(result);
  for (int64_t i = 0; i < n; ++i) out[i] = which[i] ? y[i] : x[i];
}

// Cases of the width of T, of which all but the copied one are left unread.
class Choose : public Operation {
 public:
  Choose(DType which, bool one, int64_t n, int64_t width, size_t cases)
      : which_(which), one_(one), n_(n), width_(width), cases_(cases) {}
  void run(const void* const* operands, void* const* results) const override {
    auto* out = static_cast<char*>(results[0]);
    const auto* which = static_cast<const char*>(operands[0]);
    if (one_) {
      if (n_) std::memcpy(out, operands[1 + number(which)], size_t(n_ * width_));
      return;
    }
    const int64_t step = width_of(which_);
    for (int64_t i = 0; i < n_; ++i) {
      const auto* from = static_cast<const char*>(operands[1 + number(which + i * step)]);
      std::memcpy(out + i * width_, from + i * width_, size_t(width_));
    }
  }

 private:
  // Out of range: the nearest case, as the tree of comparisons in the lowering of select_n has it.
  size_t number(const void* data) const {
    if (which_ == DType::kBool) return *static_cast<const bool*>(data) ? cases_ - 1 : 0;
    return size_t(std::clamp<int64_t>(read_integer(which_, data), 0, int64_t(cases_) - 1));
  }
  DType which_;
  bool one_;
  int64_t n_, width_;
  size_t cases_;
};

Made make_select(const Request& request) {
  if (request.operands.size() < 2) return nullptr;
  const Array &which = request.operands[0], &out = request.results[0];
  const size_t cases = request.operands.size() - 1;
  if (which.dtype != DType::kBool && !is_index(which.dtype)) return nullptr;
  if (which.dtype == DType::kBool && cases > 2) return nullptr;
  const int64_t n = out.count();
  for (size_t i = 1; i <= cases; ++i) {
    if (request.operands[i].dtype != out.dtype || request.operands[i].count() != n) return nullptr;
  }
  if (which.shape.empty() || which.count() != n) {
    if (!which.shape.empty()) return nullptr;
    return std::make_unique<Choose>(which.dtype, true, n, width_of(out.dtype), cases);
  }
  if (which.dtype == DType::kBool && cases == 2) {
    Loop loop = nullptr;
    switch (width_of(out.dtype)) {
      case 1: loop = select_loop<uint8_t>; break;
      case 2: loop = select_loop<uint16_t>; break;
      case 4: loop = select_loop<uint32_t>; break;
      case 8: loop = select_loop<uint64_t>; break;
      default: break;
    }
    if (loop) return std::make_unique<Elementwise>(loop, n, 0, false);
  }
  return std::make_unique<Choose>(which.dtype, false, n, width_of(out.dtype), cases);
}

// ---- clamp. operands: low, x, high; the bounds may be scalars

template <class T>
void clamp_loop(const void* const* operands, void* result, int64_t n, unsigned scalars) {
  const T* low = static_cast<const T*>(operands[0]);
  const T* x = static_cast<const T*>(operands[1]);
  const T* high = static_cast<const T*>(operands[2]);
  const int64_t low_step = scalars & 1 ? 0 : 1, high_step = scalars & 4 ? 0 : 1;
  T* out = static_cast<T*>(result);
  for (int64_t i = 0; i < n; ++i) {
    const T least = low[i * low_step], most = high[i * high_step];
    if constexpr (std::is_same_v<T, Half>) {
      out[i] = Min::apply_half(most, Max::apply_half(least, x[i]));
    } else {
      out[i] = narrowed<T>(Min::apply(widened(most), Max::apply(widened(least), widened(x[i]))));
    }
  }
}

Made make_clamp(const Request& request) {
  if (request.operands.size() != 3 || request.operands[1].count() != request.results[0].count()) return nullptr;
  const DType dtype = request.results[0].dtype;
  for (const Array& x : request.operands) {
    if (x.dtype != dtype) return nullptr;
  }
  const Loop loop = with_type(dtype, [](auto type) -> Loop {
    using T = typename decltype(type)::type;
    if constexpr (!is_complex<T> && !std::is_same_v<T, bool>) return clamp_loop<T>;
    else return nullptr;
  });
  return elementwise(request, 3, loop);
}

}  // namespace

const Row kSelection[] = {
    {"select_n", make_select},
    {"clamp", make_clamp},
    {nullptr, nullptr},
};

}  // namespace cyxla::host
