// Gather and scatter: windows of an array at positions that are themselves an array.
//
// ints: offset (or update window) axes, collapsed (or inserted) axes, the array's axis of each component of an index
// vector, batching axes of the array, those of the indices, window sizes, {whether windows outside are clamped},
// and for gather the bytes of what windows outside are filled with, if they are.
#include <algorithm>
#include <cstring>

#include "host/box.h"
#include "host/elementwise.h"
#include "host/positions.h"

namespace cyxla::host {
namespace {

bool contains(const Ints& values, int64_t value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

bool are_axes(const Ints& axes, size_t rank) {
  for (int64_t axis : axes) {
    if (axis < 0 || axis >= int64_t(rank)) return false;
  }
  return true;
}

// The walk over the index vectors: for each, where its window is in the array and where in the dense other array (the
// result of a gather, the updates of a scatter).
class Windows {
 public:
  // `other` is the dense array of all windows. False if the parameters do not fit together.
  bool prepare(const Request& request, const Array& x, const Array& indices, const Array& other) {
    if (request.ints.size() < 7 || request.ints[6].size() != 1) return false;
    const Ints &window_axes = request.ints[0], &collapsed = request.ints[1], &map = request.ints[2];
    const Ints &batching = request.ints[3], &index_batching = request.ints[4], &sizes = request.ints[5];
    const size_t rank = x.shape.size();
    if (rank > 16 || indices.shape.empty() || other.shape.size() > 16 || !is_index(indices.dtype)) return false;
    const size_t batch_rank = indices.shape.size() - 1;
    if (sizes.size() != rank || batching.size() != index_batching.size()) return false;
    if (!are_axes(collapsed, rank) || !are_axes(map, rank) || !are_axes(batching, rank)) return false;
    if (!are_axes(index_batching, batch_rank) || !are_axes(window_axes, other.shape.size())) return false;
    if (int64_t(map.size()) != indices.shape.back() || other.shape.size() != window_axes.size() + batch_rank) return false;
    width_ = width_of(x.dtype);
    index_width_ = width_of(indices.dtype);
    index_dtype_ = indices.dtype;
    clamps_ = request.ints[6][0] != 0;
    const Ints strides = dense_strides(x.shape, width_), other_strides = dense_strides(other.shape, width_);
    for (size_t i = 0; i < rank; ++i) {
      if (sizes[i] < 0 || sizes[i] > x.shape[i]) return false;
      if (contains(collapsed, int64_t(i)) || contains(batching, int64_t(i))) {
        if (sizes[i] != 1) return false;
        continue;
      }
      window_.push_back(sizes[i]);
      window_strides_.push_back(strides[i]);
    }
    if (window_.size() != window_axes.size()) return false;
    for (size_t i = 0; i < window_.size(); ++i) {
      if (other.shape[window_axes[i]] != window_[i]) return false;
      other_window_strides_.push_back(other_strides[window_axes[i]]);
    }
    for (size_t i = 0, j = 0; i < other.shape.size(); ++i) {
      if (contains(window_axes, int64_t(i))) continue;
      if (j == batch_rank || other.shape[i] != indices.shape[j]) return false;
      batch_.push_back(indices.shape[j++]);
      other_strides_.push_back(other_strides[i]);
    }
    if (batch_.size() != batch_rank) return false;
    batch_strides_.assign(batch_rank, 0);
    for (size_t i = 0; i < batching.size(); ++i) {
      if (x.shape[batching[i]] != batch_[index_batching[i]]) return false;
      batch_strides_[index_batching[i]] += strides[batching[i]];
    }
    for (int64_t axis : map) {
      if (contains(batching, axis)) return false;
      component_strides_.push_back(strides[axis]);
      last_.push_back(x.shape[axis] - sizes[axis]);
    }
    for (int64_t size : batch_) count_ *= size;
    empty_ = is_empty(window_) || count_ == 0;
    return true;
  }

  bool empty() const { return empty_; }
  int64_t width() const { return width_; }
  const Ints& window() const { return window_; }
  const Ints& strides() const { return window_strides_; }
  const Ints& other_strides() const { return other_window_strides_; }

  // f(offset in the array, or -1 for a window that is not wholly inside; offset in the other array) for each in turn.
  template <class F>
  void each(const void* indices, F&& f) const {
    if (empty_) return;
    int64_t index[16] = {};
    int64_t base = 0, other = 0;
    const char* vector = static_cast<const char*>(indices);
    for (int64_t i = 0; i < count_; ++i) {
      int64_t offset = base;
      bool inside = true;
      for (size_t c = 0; c < last_.size(); ++c, vector += index_width_) {
        int64_t start = read_integer(index_dtype_, vector);
        if (start < 0 || start > last_[c]) {
          inside = inside && clamps_;
          start = std::clamp<int64_t>(start, 0, last_[c]);
        }
        offset += start * component_strides_[c];
      }
      f(inside ? offset : -1, other);
      for (size_t axis = batch_.size(); axis-- > 0;) {
        base += batch_strides_[axis];
        other += other_strides_[axis];
        if (++index[axis] < batch_[axis]) break;
        base -= batch_strides_[axis] * batch_[axis];
        other -= other_strides_[axis] * batch_[axis];
        index[axis] = 0;
      }
    }
  }

 private:
  int64_t width_ = 0, index_width_ = 0, count_ = 1;
  DType index_dtype_ = DType::kI32;
  bool clamps_ = false, empty_ = false;
  Ints window_, window_strides_, other_window_strides_;  // axes of a window, and its strides in the two arrays
  Ints batch_, batch_strides_, other_strides_;           // leading axes of the indices, and strides in the two arrays
  Ints component_strides_, last_;                        // components of an index vector: stride, last start inside
};

class Gather : public Operation {
 public:
  Gather(Windows windows, std::vector<char> fill) : windows_(std::move(windows)), fill_(std::move(fill)) {
    const Ints still(windows_.window().size(), 0);
    read_ = Box(windows_.width(), windows_.window(), windows_.strides(), windows_.other_strides());
    fill_box_ = Box(windows_.width(), windows_.window(), still, windows_.other_strides());
  }
  void run(const void* const* operands, void* const* results) const override {
    const char* x = static_cast<const char*>(operands[0]);
    char* out = static_cast<char*>(results[0]);
    windows_.each(operands[1], [&](int64_t from, int64_t to) {
      if (from < 0) fill_box_.copy(fill_.data(), out + to);
      else read_.copy(x + from, out + to);
    });
  }

 private:
  Windows windows_;
  std::vector<char> fill_;
  Box read_, fill_box_;
};

Made make_gather(const Request& request) {
  if (request.operands.size() != 2 || request.ints.size() != 8) return nullptr;
  const Array &x = request.operands[0], &out = request.results[0];
  Windows windows;
  if (x.dtype != out.dtype || !windows.prepare(request, x, request.operands[1], out)) return nullptr;
  std::vector<char> fill(request.ints[7].begin(), request.ints[7].end());
  if (int64_t(fill.size()) != windows.width() && !(fill.empty() && request.ints[6][0])) return nullptr;
  fill.resize(16);
  return std::make_unique<Gather>(std::move(windows), std::move(fill));
}

// ---- scatter: windows of the result are combined with the updates, one after the other

class Scatter : public Operation {
 public:
  // `combine` is null for overwriting.
  Scatter(Windows windows, int64_t bytes, Loop combine, bool flush)
      : windows_(std::move(windows)), bytes_(size_t(bytes)), combine_(combine), flush_(flush) {
    const Ints dense = dense_strides(windows_.window(), windows_.width());
    for (int64_t size : windows_.window()) elements_ *= size;
    write_ = Box(windows_.width(), windows_.window(), windows_.other_strides(), windows_.strides());
    collect_old_ = Box(windows_.width(), windows_.window(), windows_.strides(), dense);
    collect_new_ = Box(windows_.width(), windows_.window(), windows_.other_strides(), dense);
    put_ = Box(windows_.width(), windows_.window(), dense, windows_.strides());
  }

  void run(const void* const* operands, void* const* results) const override {
    char* out = static_cast<char*>(results[0]);
    const char* updates = static_cast<const char*>(operands[2]);
    std::memcpy(out, operands[0], bytes_);
    if (!combine_) {
      windows_.each(operands[1], [&](int64_t to, int64_t from) {
        if (to >= 0) write_.copy(updates + from, out + to);
      });
    } else if (flush_) {
      const Flush flush;
      combine(operands[1], updates, out);
    } else {
      combine(operands[1], updates, out);
    }
  }

 private:
  void combine(const void* indices, const char* updates, char* out) const {
    std::vector<char> scratch(elements_ == 1 ? 0 : size_t(2 * elements_ * windows_.width()));
    char* old = scratch.data();
    char* fresh = old + elements_ * windows_.width();
    windows_.each(indices, [&](int64_t to, int64_t from) {
      if (to < 0) return;
      if (elements_ == 1) {
        const void* pair[2] = {out + to, updates + from};
        combine_(pair, out + to, 1, 0);
        return;
      }
      collect_old_.copy(out + to, old);
      collect_new_.copy(updates + from, fresh);
      const void* pair[2] = {old, fresh};
      combine_(pair, old, elements_, 0);
      put_.copy(old, out + to);
    });
  }

  Windows windows_;
  size_t bytes_;
  int64_t elements_ = 1;
  Loop combine_;
  bool flush_;
  Box write_, collect_old_, collect_new_, put_;
};

template <const char* name>
Made make_scatter(const Request& request) {
  if (request.operands.size() != 3 || request.ints.size() != 7) return nullptr;
  const Array &x = request.operands[0], &updates = request.operands[2], &out = request.results[0];
  Windows windows;
  if (x.dtype != out.dtype || x.dtype != updates.dtype || x.shape != out.shape) return nullptr;
  if (!windows.prepare(request, x, request.operands[1], updates)) return nullptr;
  Loop combine = nullptr;
  if (*name) {
    combine = binary_loop_of(name, x.dtype);
    if (!combine) return nullptr;
  }
  return std::make_unique<Scatter>(std::move(windows), x.bytes(), combine, is_float(x.dtype));
}

constexpr char kSet[] = "", kAdd[] = "add", kSub[] = "sub", kMul[] = "mul", kMin[] = "min", kMax[] = "max";

}  // namespace

const Row kIndexing[] = {
    {"gather", make_gather},
    {"scatter", make_scatter<kSet>},
    {"scatter_add", make_scatter<kAdd>},
    {"scatter_sub", make_scatter<kSub>},
    {"scatter_mul", make_scatter<kMul>},
    {"scatter_min", make_scatter<kMin>},
    {"scatter_max", make_scatter<kMax>},
    {nullptr, nullptr},
};

}  // namespace cyxla::host
