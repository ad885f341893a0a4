// Operations that move elements without looking at them: views, concatenation, padding, slices at positions known when
// they run; and arrays from nothing.
#include <algorithm>
#include <cstring>

#include "host/box.h"
#include "host/positions.h"

namespace cyxla::host {

Ints dense_strides(const Ints& shape, int64_t width) {
  Ints strides(shape.size());
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = width;
    width *= shape[i];
  }
  return strides;
}

bool fits(const Ints& dims, const Ints& strides, int64_t offset, int64_t width, int64_t bytes) {
  if (dims.size() != strides.size()) return false;
  if (is_empty(dims)) return true;
  int64_t low = offset, high = offset;
  for (size_t i = 0; i < dims.size(); ++i) {
    const int64_t stride = strides[i], steps = dims[i] - 1;
    if (steps == 0) continue;
    // More than the array in either direction is outside, whatever the other axes add.
    if (stride > bytes / steps || stride < -bytes / steps) return false;
    (stride < 0 ? low : high) += steps * stride;
    if (low < -bytes || high > 2 * bytes) return false;
  }
  return low >= 0 && high <= bytes - width;
}

Box::Box(int64_t width, const Ints& dims, const Ints& from, const Ints& to) : width_(width), rows_(1) {
  if (is_empty(dims)) {
    rows_ = 0;
    return;
  }
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 1) continue;
    if (!dims_.empty() && from_.back() == from[i] * dims[i] && to_.back() == to[i] * dims[i]) {
      dims_.back() *= dims[i];
      from_.back() = from[i];
      to_.back() = to[i];
    } else {
      dims_.push_back(dims[i]);
      from_.push_back(from[i]);
      to_.push_back(to[i]);
    }
  }
  if (dims_.empty()) {
    count_ = 1;
    from_step_ = to_step_ = width;
    return;
  }
  count_ = dims_.back();
  from_step_ = from_.back();
  to_step_ = to_.back();
  dims_.pop_back();
  for (int64_t size : dims_) rows_ *= size;
}

namespace {

template <class T>
void copy_strided(const char* from, int64_t from_step, char* to, int64_t to_step, int64_t count) {
  if (to_step == sizeof(T)) {
    auto* out = reinterpret_cast<T*>(to);
    if (from_step == 0) {
      const T value = *reinterpret_cast<const T*>(from);
      std::fill(out, out + count, value);
    } else {
      for (int64_t i = 0; i < count; ++i) out[i] = *reinterpret_cast<const T*>(from + i * from_step);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    *reinterpret_cast<T*>(to + i * to_step) = *reinterpret_cast<const T*>(from + i * from_step);
  }
}

struct Wide16 {
  uint64_t parts[2];
};

void copy_row(int64_t width, const char* from, int64_t from_step, char* to, int64_t to_step, int64_t count) {
  if (from_step == width && to_step == width) {
    std::memcpy(to, from, size_t(width * count));
    return;
  }
  switch (width) {
    case 1: return copy_strided<uint8_t>(from, from_step, to, to_step, count);
    case 2: return copy_strided<uint16_t>(from, from_step, to, to_step, count);
    case 4: return copy_strided<uint32_t>(from, from_step, to, to_step, count);
    case 8: return copy_strided<uint64_t>(from, from_step, to, to_step, count);
    default: return copy_strided<Wide16>(from, from_step, to, to_step, count);
  }
}

}  // namespace

void Box::copy(const char* from, char* to) const {
  if (dims_.empty()) {
    if (rows_) copy_row(width_, from, from_step_, to, to_step_, count_);
    return;
  }
  constexpr size_t kMaxRank = 32;
  int64_t index[kMaxRank] = {};
  for (int64_t row = 0; row < rows_; ++row) {
    copy_row(width_, from, from_step_, to, to_step_, count_);
    for (size_t axis = dims_.size(); axis-- > 0;) {
      from += from_[axis];
      to += to_[axis];
      if (++index[axis] < dims_[axis]) break;
      from -= from_[axis] * dims_[axis];
      to -= to_[axis] * dims_[axis];
      index[axis] = 0;
    }
  }
}

namespace {

constexpr size_t kMaxRank = 32;

Ints times(const Ints& values, int64_t factor) {
  Ints out(values);
  for (int64_t& value : out) value *= factor;
  return out;
}

const char* bytes_of(const void* data) { return static_cast<const char*>(data); }
char* bytes_of(void* data) { return static_cast<char*>(data); }

// ---- copy: the same bytes

class Copy : public Operation {
 public:
  explicit Copy(int64_t bytes) : bytes_(size_t(bytes)) {}
  void run(const void* const* operands, void* const* results) const override {
    std::memcpy(results[0], operands[0], bytes_);
  }

 private:
  size_t bytes_;
};

Made make_copy(const Request& request) {
  const int64_t bytes = request.results[0].bytes();
  if (request.operands.size() != 1 || request.operands[0].bytes() != bytes) return nullptr;
  return std::make_unique<Copy>(bytes);
}

class Zeros : public Operation {
 public:
  explicit Zeros(int64_t bytes) : bytes_(size_t(bytes)) {}
  void run(const void* const*, void* const* results) const override { std::memset(results[0], 0, bytes_); }

 private:
  size_t bytes_;
};

Made make_zeros(const Request& request) { return std::make_unique<Zeros>(request.results[0].bytes()); }

// ---- view: every element of the result is one of the operand, at strides. ints: {offset}, dims, strides, in elements;
// the dims may split the result's.

class View : public Operation {
 public:
  View(Box box, int64_t offset) : box_(std::move(box)), offset_(offset) {}
  void run(const void* const* operands, void* const* results) const override {
    box_.copy(bytes_of(operands[0]) + offset_, bytes_of(results[0]));
  }

 private:
  Box box_;
  int64_t offset_;
};

int64_t product(const Ints& dims) {
  int64_t n = 1;
  for (int64_t size : dims) n *= size;
  return n;
}

Made make_view(const Request& request) {
  if (request.operands.size() != 1 || request.ints.size() != 3 || request.ints[0].size() != 1) return nullptr;
  const Array &x = request.operands[0], &out = request.results[0];
  const int64_t width = width_of(x.dtype), offset = request.ints[0][0] * width;
  const Ints &dims = request.ints[1], strides = times(request.ints[2], width);
  if (x.dtype != out.dtype || dims.size() > kMaxRank || product(dims) != out.count()) return nullptr;
  if (!fits(dims, strides, offset, width, x.bytes())) return nullptr;
  return std::make_unique<View>(Box(width, dims, strides, dense_strides(dims, width)), is_empty(dims) ? 0 : offset);
}

// ---- write: the first operand, with a box of it replaced by elements of the second. ints: {offset}, dims, strides in
// the array, strides in the second operand, in elements.

class Write : public Operation {
 public:
  Write(int64_t bytes, Box box, int64_t offset) : bytes_(size_t(bytes)), box_(std::move(box)), offset_(offset) {}
  void run(const void* const* operands, void* const* results) const override {
    std::memcpy(results[0], operands[0], bytes_);
    box_.copy(bytes_of(operands[1]), bytes_of(results[0]) + offset_);
  }

 private:
  size_t bytes_;
  Box box_;
  int64_t offset_;
};

Made make_write(const Request& request) {
  if (request.operands.size() != 2 || request.ints.size() != 4 || request.ints[0].size() != 1) return nullptr;
  const Array &x = request.operands[0], &value = request.operands[1], &out = request.results[0];
  const int64_t width = width_of(x.dtype), offset = request.ints[0][0] * width;
  const Ints &dims = request.ints[1], to = times(request.ints[2], width), from = times(request.ints[3], width);
  if (x.dtype != out.dtype || x.dtype != value.dtype || x.bytes() != out.bytes() || dims.size() > kMaxRank) {
    return nullptr;
  }
  if (!fits(dims, to, offset, width, x.bytes()) || !fits(dims, from, 0, width, value.bytes())) return nullptr;
  return std::make_unique<Write>(x.bytes(), Box(width, dims, from, to), is_empty(dims) ? 0 : offset);
}

// ---- concatenate and split: rows of several arrays make up the rows of one. ints: {number of rows}

class Concatenate : public Operation {
 public:
  Concatenate(int64_t rows, Ints pieces) : rows_(rows), pieces_(std::move(pieces)) {}
  void run(const void* const* operands, void* const* results) const override {
    char* to = bytes_of(results[0]);
    for (int64_t row = 0; row < rows_; ++row) {
      for (size_t i = 0; i < pieces_.size(); ++i) {
        std::memcpy(to, bytes_of(operands[i]) + row * pieces_[i], size_t(pieces_[i]));
        to += pieces_[i];
      }
    }
  }

 private:
  int64_t rows_;
  Ints pieces_;  // bytes of a row of each operand
};

class Split : public Operation {
 public:
  Split(int64_t rows, Ints pieces) : rows_(rows), pieces_(std::move(pieces)) {}
  void run(const void* const* operands, void* const* results) const override {
    const char* from = bytes_of(operands[0]);
    for (int64_t row = 0; row < rows_; ++row) {
      for (size_t i = 0; i < pieces_.size(); ++i) {
        std::memcpy(bytes_of(results[i]) + row * pieces_[i], from, size_t(pieces_[i]));
        from += pieces_[i];
      }
    }
  }

 private:
  int64_t rows_;
  Ints pieces_;
};

// The bytes of a row of each of `parts`, whose rows together are those of `whole`; empty where they are not.
Ints pieces_of(const std::vector<Array>& parts, const Array& whole, int64_t rows) {
  Ints pieces;
  int64_t total = 0;
  for (const Array& part : parts) {
    if (part.dtype != whole.dtype || rows <= 0 || part.bytes() % rows) return {};
    pieces.push_back(part.bytes() / rows);
    total += part.bytes();
  }
  return total == whole.bytes() ? pieces : Ints();
}

template <class Made_, bool joins>
Made make_pieces(const Request& request) {
  if (request.ints.size() != 1 || request.ints[0].size() != 1) return nullptr;
  const int64_t rows = request.ints[0][0];
  if ((joins ? request.results : request.operands).size() != 1) return nullptr;
  Ints pieces = joins ? pieces_of(request.operands, request.results[0], rows)
                      : pieces_of(request.results, request.operands[0], rows);
  if (pieces.empty()) return nullptr;
  return std::make_unique<Made_>(rows, std::move(pieces));
}

// ---- pad. operands: array, value; ints: low, high, interior

class Pad : public Operation {
 public:
  Pad(Box fill, Box inside, int64_t from, int64_t to)
      : fill_(std::move(fill)), inside_(std::move(inside)), from_(from), to_(to) {}
  void run(const void* const* operands, void* const* results) const override {
    fill_.copy(bytes_of(operands[1]), bytes_of(results[0]));
    inside_.copy(bytes_of(operands[0]) + from_, bytes_of(results[0]) + to_);
  }

 private:
  Box fill_, inside_;
  int64_t from_, to_;
};

Made make_pad(const Request& request) {
  if (request.operands.size() != 2 || request.ints.size() != 3) return nullptr;
  const Array &x = request.operands[0], &value = request.operands[1], &out = request.results[0];
  const Ints &low = request.ints[0], &interior = request.ints[2];
  const size_t rank = x.shape.size();
  if (low.size() != rank || interior.size() != rank || out.shape.size() != rank || rank > kMaxRank) return nullptr;
  if (x.dtype != out.dtype || x.dtype != value.dtype || value.count() != 1) return nullptr;
  const int64_t width = width_of(x.dtype);
  const Ints in = dense_strides(x.shape, width);
  Ints dims(rank), to = dense_strides(out.shape, width);
  int64_t from_offset = 0, to_offset = 0;
  const Box fill(width, {out.count()}, {0}, {width});
  for (size_t i = 0; i < rank; ++i) {
    // Element j goes to low + j * step; those that stay inside are first <= j <= last.
    const int64_t step = interior[i] + 1;
    if (step < 1) return nullptr;
    const int64_t first = low[i] < 0 ? (-low[i] + step - 1) / step : 0;
    const int64_t room = out.shape[i] - 1 - low[i];
    const int64_t last = room < 0 ? -1 : std::min(x.shape[i] - 1, room / step);
    dims[i] = std::max<int64_t>(0, last - first + 1);
    from_offset += first * in[i];
    to_offset += (low[i] + first * step) * to[i];
    to[i] *= step;
  }
  if (is_empty(dims)) from_offset = to_offset = 0;
  if (!fits(dims, in, from_offset, width, x.bytes()) || !fits(dims, to, to_offset, width, out.bytes())) return nullptr;
  return std::make_unique<Pad>(fill, Box(width, dims, in, to), from_offset, to_offset);
}

// ---- slices at positions among the operands, clamped so that they lie inside

class DynamicSlice : public Operation {
 public:
  DynamicSlice(Box box, Positions positions) : box_(std::move(box)), positions_(std::move(positions)) {}
  void run(const void* const* operands, void* const* results) const override {
    box_.copy(bytes_of(operands[0]) + positions_.offset(operands + 1), bytes_of(results[0]));
  }

 private:
  Box box_;
  Positions positions_;
};

Made make_dynamic_slice(const Request& request) {
  if (request.operands.empty()) return nullptr;
  const Array &x = request.operands[0], &out = request.results[0];
  const int64_t width = width_of(x.dtype);
  Positions positions;
  if (x.dtype != out.dtype || !positions.prepare(request, 1, x, out.shape)) return nullptr;
  return std::make_unique<DynamicSlice>(
      Box(width, out.shape, dense_strides(x.shape, width), dense_strides(out.shape, width)), std::move(positions));
}

class DynamicUpdate : public Operation {
 public:
  DynamicUpdate(int64_t bytes, Box box, Positions positions)
      : bytes_(size_t(bytes)), box_(std::move(box)), positions_(std::move(positions)) {}
  void run(const void* const* operands, void* const* results) const override {
    std::memcpy(results[0], operands[0], bytes_);
    box_.copy(bytes_of(operands[1]), bytes_of(results[0]) + positions_.offset(operands + 2));
  }

 private:
  size_t bytes_;
  Box box_;
  Positions positions_;
};

Made make_dynamic_update(const Request& request) {
  if (request.operands.size() < 2) return nullptr;
  const Array &x = request.operands[0], &update = request.operands[1], &out = request.results[0];
  const int64_t width = width_of(x.dtype);
  Positions positions;
  if (x.dtype != out.dtype || x.dtype != update.dtype || x.shape != out.shape) return nullptr;
  if (!positions.prepare(request, 2, x, update.shape)) return nullptr;
  Box box(width, update.shape, dense_strides(update.shape, width), dense_strides(x.shape, width));
  return std::make_unique<DynamicUpdate>(x.bytes(), std::move(box), std::move(positions));
}

// ---- iota. ints: {axis}

template <class T>
class Iota : public Operation {
 public:
  Iota(int64_t outer, int64_t count, int64_t inner) : outer_(outer), count_(count), inner_(inner) {}
  void run(const void* const*, void* const* results) const override {
    T* out = static_cast<T*>(results[0]);
    for (int64_t i = 0; i < outer_; ++i) {
      for (int64_t j = 0; j < count_; ++j) {
        std::fill(out, out + inner_, value(j));
        out += inner_;
      }
    }
  }

 private:
  static T value(int64_t j) {
    if constexpr (is_half<T>) return T(float(j));
    else if constexpr (is_complex<T>) return T(typename T::value_type(j));
    else return T(j);
  }
  int64_t outer_, count_, inner_;
};

Made make_iota(const Request& request) {
  const Array& out = request.results[0];
  if (request.ints.size() != 1 || request.ints[0].size() != 1 || out.dtype == DType::kBool) return nullptr;
  const int64_t axis = request.ints[0][0];
  if (axis < 0 || axis >= int64_t(out.shape.size())) return nullptr;
  const Ints& shape = out.shape;
  const int64_t outer = product(Ints(shape.begin(), shape.begin() + axis));
  const int64_t inner = product(Ints(shape.begin() + axis + 1, shape.end()));
  return with_type(out.dtype, [&](auto type) -> Made {
    return std::make_unique<Iota<typename decltype(type)::type>>(outer, shape[axis], inner);
  });
}

}  // namespace

const Row kMovement[] = {
    {"copy", make_copy},
    {"zeros", make_zeros},
    {"view", make_view},
    {"write", make_write},
    {"concatenate", make_pieces<Concatenate, true>},
    {"split", make_pieces<Split, false>},
    {"pad", make_pad},
    {"dynamic_slice", make_dynamic_slice},
    {"dynamic_update_slice", make_dynamic_update},
    {"iota", make_iota},
    {nullptr, nullptr},
};

}  // namespace cyxla::host
