// Runs a Program: patches its argument table, then interprets the bytecode with denormals flushed, as XLA runs it.
// Nothing here allocates, locks or throws; everything was checked when the program was planned.
#include <algorithm>
#include <cstring>
#include <new>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "native/program.h"

namespace cyxla::native {
namespace {

constexpr Dim3 kOrigin{0, 0, 0};

#if defined(__x86_64__)
// Flush to zero and denormals are zero, for as long as it lives.
class FlushDenormals {
 public:
  FlushDenormals() : saved_(_mm_getcsr()) {
    if ((saved_ & kBits) != kBits) _mm_setcsr(saved_ | kBits);
  }
  ~FlushDenormals() {
    if ((saved_ & kBits) != kBits) _mm_setcsr(saved_);
  }

 private:
  static constexpr unsigned kBits = 0x8040;
  unsigned saved_;
};
#else
class FlushDenormals {};
#endif

class Less {
 public:
  Less(const Sort& sort, const Argument* arrays, uint64_t base, uint64_t stride)
      : sort_(sort), arrays_(arrays), base_(base), stride_(stride) {}

  bool operator()(uint32_t left, uint32_t right) const {
    const void* operands[2 * 16];
    for (uint32_t i = 0; i < sort_.count; ++i) {
      const auto* data = static_cast<const uint8_t*>(arrays_[i].data);
      operands[2 * i] = data + (base_ + left * stride_) * sort_.widths[i];
      operands[2 * i + 1] = data + (base_ + right * stride_) * sort_.widths[i];
    }
    bool result = false;
    sort_.comparator(&result, nullptr, operands, nullptr, nullptr, nullptr);
    return result;
  }

 private:
  const Sort& sort_;
  const Argument* arrays_;
  uint64_t base_, stride_;
};

// A merge sort of our own: unlike std::stable_sort it allocates nothing and stays in bounds with any comparator.
void merge_sort(uint32_t* order, uint32_t* other, uint32_t n, const Less& less) {
  constexpr uint32_t kRun = 8;
  for (uint32_t start = 0; start < n; start += kRun) {
    const uint32_t end = std::min(n, start + kRun);
    for (uint32_t i = start + 1; i < end; ++i) {
      const uint32_t x = order[i];
      uint32_t j = i;
      while (j > start && less(x, order[j - 1])) {
        order[j] = order[j - 1];
        --j;
      }
      order[j] = x;
    }
  }
  uint32_t* from = order;
  uint32_t* to = other;
  for (uint64_t width = kRun; width < n; width *= 2) {
    for (uint64_t start = 0; start < n; start += 2 * width) {
      const uint64_t middle = std::min<uint64_t>(n, start + width), end = std::min<uint64_t>(n, start + 2 * width);
      uint64_t left = start, right = middle;
      for (uint64_t k = start; k < end; ++k) {
        if (left < middle && (right >= end || !less(from[right], from[left]))) to[k] = from[left++];
        else to[k] = from[right++];
      }
    }
    std::swap(from, to);
  }
  if (from != order) std::memcpy(order, from, n * sizeof(uint32_t));
}

template <class T>
void sort_rows(void* data, uint64_t rows, uint64_t length, bool descending) {
  auto* row = static_cast<T*>(data);
  for (uint64_t i = 0; i < rows; ++i, row += length) {
    if (descending) std::sort(row, row + length, [](T a, T b) { return a > b; });
    else std::sort(row, row + length);
  }
}

}  // namespace

void Program::run_relayout(const Relayout& relayout, const Argument* arguments) const {
  const auto* from = static_cast<const uint8_t*>(arguments[relayout.from].data);
  auto* to = static_cast<uint8_t*>(arguments[relayout.from + 1].data);
  const size_t last = relayout.dims.size() - 1;
  const uint64_t n = relayout.dims[last], stride = relayout.strides[last];
  const uint32_t width = relayout.width;
  uint64_t index[kMaxRank] = {};
  for (;;) {
    for (uint64_t i = 0; i < n; ++i, to += width) {
      const uint8_t* element = from + i * stride;
      switch (width) {
        case 4: std::memcpy(to, element, 4); break;
        case 8: std::memcpy(to, element, 8); break;
        default: std::memcpy(to, element, width);
      }
    }
    size_t d = last;
    for (;;) {
      if (d == 0) return;
      --d;
      from += relayout.strides[d];
      if (++index[d] < relayout.dims[d]) break;
      from -= relayout.strides[d] * relayout.dims[d];
      index[d] = 0;
    }
  }
}

void Program::run_plain_sort(const Sort& sort, Context& context) const {
  void* data = context.arguments[sort.first].data;
  switch (sort.plain_dtype) {
    case 1: case 6: return sort_rows<uint8_t>(data, sort.outer, sort.length, sort.descending);
    case 2: return sort_rows<int8_t>(data, sort.outer, sort.length, sort.descending);
    case 3: return sort_rows<int16_t>(data, sort.outer, sort.length, sort.descending);
    case 4: return sort_rows<int32_t>(data, sort.outer, sort.length, sort.descending);
    case 5: return sort_rows<int64_t>(data, sort.outer, sort.length, sort.descending);
    case 7: return sort_rows<uint16_t>(data, sort.outer, sort.length, sort.descending);
    case 8: return sort_rows<uint32_t>(data, sort.outer, sort.length, sort.descending);
    default: return sort_rows<uint64_t>(data, sort.outer, sort.length, sort.descending);
  }
}

void Program::run_sort(const Sort& sort, Context& context) const {
  if (sort.plain_dtype) return run_plain_sort(sort, context);
  const Argument* arrays = context.arguments.data() + sort.first;
  const auto n = static_cast<uint32_t>(sort.length);
  auto* order = reinterpret_cast<uint32_t*>(context.scratch.get());
  uint32_t* other = order + n;
  auto* line = reinterpret_cast<uint8_t*>(other + n);
  for (uint64_t outer = 0; outer < sort.outer; ++outer) {
    for (uint64_t inner = 0; inner < sort.inner; ++inner) {
      const uint64_t base = outer * sort.length * sort.inner + inner;
      for (uint32_t i = 0; i < n; ++i) order[i] = i;
      merge_sort(order, other, n, Less(sort, arrays, base, sort.inner));
      for (uint32_t a = 0; a < sort.count; ++a) {
        const uint64_t width = sort.widths[a];
        auto* data = static_cast<uint8_t*>(arrays[a].data) + base * width;
        const uint64_t stride = sort.inner * width;
        for (uint32_t i = 0; i < n; ++i) std::memcpy(line + i * width, data + order[i] * stride, width);
        for (uint32_t i = 0; i < n; ++i) std::memcpy(data + i * stride, line + i * width, width);
      }
    }
  }
}

void Program::run_top_k(const TopK& top_k, Context& context) const {
  const Argument* arrays = context.arguments.data() + top_k.first;
  const auto* values = static_cast<const uint8_t*>(arrays[0].data);
  auto* largest = static_cast<uint8_t*>(arrays[1].data);
  auto* where = static_cast<uint8_t*>(arrays[2].data);
  auto* order = reinterpret_cast<uint32_t*>(context.scratch.get());
  for (uint64_t row = 0; row < top_k.rows; ++row, values += 4 * top_k.length) {
    // XLA's order: -NaN < -inf < -0 < 0 < inf < NaN, and of equals the first one.
    auto key = [&](uint32_t i) {
      int32_t bits;
      std::memcpy(&bits, values + 4 * uint64_t{i}, 4);
      return bits < 0 ? static_cast<int32_t>(0x7fffffffu - static_cast<uint32_t>(bits)) : bits;
    };
    for (uint32_t i = 0; i < top_k.length; ++i) order[i] = i;
    std::partial_sort(order, order + top_k.count, order + top_k.length, [&](uint32_t a, uint32_t b) {
      const int32_t left = key(a), right = key(b);
      return left != right ? left > right : a < b;
    });
    for (uint64_t i = 0; i < top_k.count; ++i, largest += 4, where += 4) {
      std::memcpy(largest, values + 4 * uint64_t{order[i]}, 4);
      std::memcpy(where, order + i, 4);
    }
  }
}

Program::~Program() {
  while (free_) {
    Context* next = free_->next;
    delete free_;
    free_ = next;
  }
}

Context* Program::make_context() const {
  auto context = std::make_unique<Context>();
  context->arguments = arguments_;
  context->counters.resize(n_counters_);
  context->temporaries = allocate_aligned(temporary_bytes_);
  context->scratch = allocate_aligned(scratch_bytes_);
  for (const Temporary& temporary : temporaries_)
    context->arguments[temporary.argument].data = context->temporaries.get() + temporary.offset;
  for (const FramePlan& frame : frames_)
    context->frames.push_back({&frame.workgroups, &kOrigin, frame.count, context->arguments.data() + frame.first});
  return context.release();
}

Context* Program::acquire() noexcept {
  if (Context* context = free_) {
    free_ = context->next;
    return context;
  }
  try {
    return make_context();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void Program::release(Context* context) noexcept {
  context->next = free_;
  free_ = context;
}

bool Program::run(Context& context, void* const* buffers) const noexcept {
  Argument* arguments = context.arguments.data();
  for (const Patch& patch : patches_)
    arguments[patch.argument].data = static_cast<uint8_t*>(buffers[patch.buffer]) + patch.offset;
  for (const Donation& donation : donations)
    if (donation.bytes && buffers[donation.to] != buffers[donation.from])
      std::memcpy(buffers[donation.to], buffers[donation.from], donation.bytes);
  const FlushDenormals flush;
  const Op* const ops = ops_.data();
  for (const Op* op = ops;;) {
    switch (op->code) {
      case OpCode::kernel:
        if (reinterpret_cast<Kernel>(op->function)(&context.frames[op->a])) return false;
        ++op;
        break;
      case OpCode::kernel_grid: {
        Frame frame = context.frames[op->a];
        const Dim3 groups = *frame.workgroups;
        Dim3 id;
        frame.workgroup_id = &id;
        for (id.z = 0; id.z < groups.z; ++id.z)
          for (id.y = 0; id.y < groups.y; ++id.y)
            for (id.x = 0; id.x < groups.x; ++id.x)
              if (reinterpret_cast<Kernel>(op->function)(&frame)) return false;
        ++op;
        break;
      }
      case OpCode::copy:
        std::memmove(arguments[op->a + 1].data, arguments[op->a].data, arguments[op->a].bytes);
        ++op;
        break;
      case OpCode::relayout:
        run_relayout(relayouts_[op->a], arguments);
        ++op;
        break;
      case OpCode::count:
        context.counters[op->a] = counts_[op->b];
        ++op;
        break;
      case OpCode::loop:
        if (context.counters[op->a] == 0) {
          op = ops + op->b;
        } else {
          --context.counters[op->a];
          ++op;
        }
        break;
      case OpCode::jump: op = ops + op->a; break;
      case OpCode::unless:
        if (*static_cast<const uint8_t*>(arguments[op->a].data)) ++op;
        else op = ops + op->b;
        break;
      case OpCode::choose: {
        int32_t index;
        std::memcpy(&index, arguments[op->a].data, sizeof index);
        // Out of range means the last branch.
        if (index < 0 || static_cast<uint32_t>(index) >= op->c) index = static_cast<int32_t>(op->c) - 1;
        op = ops + table_[op->b + static_cast<uint32_t>(index)];
        break;
      }
      case OpCode::choose_bool:
        op = ops + table_[op->b + (*static_cast<const uint8_t*>(arguments[op->a].data) ? 0 : 1)];
        break;
      case OpCode::sort:
        run_sort(sorts_[op->a], context);
        ++op;
        break;
      case OpCode::product: {
        const Product& product = products_[op->a];
        product.run(arguments[product.a].data, arguments[product.b].data, arguments[product.c].data,
                    context.scratch.get());
        ++op;
        break;
      }
      case OpCode::foreign:
        if (!foreign_calls_[op->a].run(arguments, context.message)) return false;
        ++op;
        break;
      case OpCode::top_k:
        run_top_k(top_ks_[op->a], context);
        ++op;
        break;
      case OpCode::end: return true;
    }
  }
}

}  // namespace cyxla::native
