// Positions that are known when an operation runs: integers of any type, clamped into the bounds of what they index.
#pragma once

#include <algorithm>
#include <cstdint>

#include "host/box.h"

namespace cyxla::host {

// The integer at `data`; unsigned ones too large for the result become its maximum.
inline int64_t read_integer(DType dtype, const void* data) {
  return with_type(dtype, [&](auto type) -> int64_t {
    using T = typename decltype(type)::type;
    if constexpr (is_integer<T>) {
      T value;
      std::memcpy(&value, data, sizeof(T));
      if constexpr (std::is_same_v<T, uint64_t>) return int64_t(std::min<uint64_t>(value, INT64_MAX));
      else return int64_t(value);
    } else {
      return 0;
    }
  });
}

inline bool is_index(DType dtype) { return dtype >= DType::kI8 && dtype <= DType::kU64; }

// Where the window of a dynamic slice begins: one scalar operand an axis.
class Positions {
 public:
  // The scalars are the operands from `first` on; they index `x`, in windows of the given shape.
  bool prepare(const Request& request, size_t first, const Array& x, const Ints& window) {
    const size_t rank = x.shape.size();
    if (request.operands.size() != first + rank || window.size() != rank || rank > 32) return false;
    strides_ = dense_strides(x.shape, width_of(x.dtype));
    for (size_t i = 0; i < rank; ++i) {
      const Array& start = request.operands[first + i];
      if (!is_index(start.dtype) || start.count() != 1 || window[i] > x.shape[i]) return false;
      dtypes_.push_back(start.dtype);
      last_.push_back(x.shape[i] - window[i]);
    }
    return true;
  }

  int64_t offset(const void* const* starts) const {
    int64_t bytes = 0;
    for (size_t i = 0; i < last_.size(); ++i) {
      bytes += std::clamp<int64_t>(read_integer(dtypes_[i], starts[i]), 0, last_[i]) * strides_[i];
    }
    return bytes;
  }

 private:
  std::vector<DType> dtypes_;
  Ints last_, strides_;
};

}  // namespace cyxla::host
