// Copying a box of elements between two layouts, each given by a stride for each axis.
#pragma once

#include <cstdint>

#include "host/operation.h"

namespace cyxla::host {

class Box {
 public:
  Box() = default;
  // Strides in bytes; `width` is that of an element.
  Box(int64_t width, const Ints& dims, const Ints& from, const Ints& to);

  void copy(const char* from, char* to) const;

 private:
  int64_t width_ = 0, rows_ = 0;  // of the innermost axis, which is not counted in `dims_`
  int64_t count_ = 0, from_step_ = 0, to_step_ = 0;
  Ints dims_, from_, to_;  // the outer axes; axes that can be walked as one have been joined
};

// Strides in bytes of a dense array.
Ints dense_strides(const Ints& shape, int64_t width);

// Whether every element of a box, whose first is at `offset`, lies within `bytes`.
bool fits(const Ints& dims, const Ints& strides, int64_t offset, int64_t width, int64_t bytes);

inline bool is_empty(const Ints& dims) {
  for (int64_t size : dims) {
    if (size == 0) return true;
  }
  return false;
}

}  // namespace cyxla::host
