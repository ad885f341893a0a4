// From the description of an executable to a Program: thunks become bytecode, control flow jumps, and every operand
// an entry of the argument table that is a constant, a temporary, or patched at each call.
#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "native/pool.h"
#include "native/program.h"

namespace cyxla::native {
namespace {

constexpr size_t kMaxOps = 100000;
constexpr size_t kMaxArguments = 1000000;
constexpr uint64_t kUnknownTrips = 64;  // how long a loop without trip count is taken to be

uint64_t saturating_multiply(uint64_t a, uint64_t b) {
  return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}
uint64_t saturating_add(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

}  // namespace

void FreeAligned::operator()(void* memory) const { aligned_free(memory); }

AlignedMemory allocate_aligned(size_t size) {
  void* memory = aligned_allocate(size);
  if (!memory) throw std::bad_alloc();
  return AlignedMemory(static_cast<uint8_t*>(memory));
}

class Planner {
 public:
  Planner(const Executable& executable, const Limits& limits, Program& program)
      : executable_(executable), limits_(limits), program_(program) {}

  void plan() {
    program_.parameters = executable_.parameters;
    program_.outputs = executable_.outputs;
    program_.code_.load(executable_.objects);
    place_allocations();
    sequence(executable_.thunks, 1);
    emit(OpCode::end);
    if (program_.work > limits_.work) refuse("large: touches " + std::to_string(program_.work) + " bytes");
  }

 private:
  struct Place {
    enum { none, constant, temporary, buffer } kind = none;
    uint8_t* constant_data = nullptr;
    uint64_t offset = 0;
    uint32_t index = 0;
  };

  void place_allocations() {
    const auto n_parameters = static_cast<uint32_t>(executable_.parameters.size());
    places_.resize(executable_.allocations.size());
    uint64_t temporary = 0;
    std::vector<bool> written(executable_.outputs.size());
    for (size_t i = 0; i < places_.size(); ++i) {
      const Allocation& allocation = executable_.allocations[i];
      Place& place = places_[i];
      if (allocation.constant) {
        AlignedMemory memory = allocate_aligned(allocation.size);
        if (!allocation.value.empty()) std::memcpy(memory.get(), allocation.value.data(), allocation.value.size());
        place.kind = Place::constant;
        place.constant_data = memory.get();
        program_.constants_.push_back(std::move(memory));
      } else if (allocation.output >= 0) {
        place.kind = Place::buffer;
        place.index = n_parameters + static_cast<uint32_t>(allocation.output);
        if (allocation.parameter >= 0)
          program_.donations.push_back({static_cast<uint32_t>(allocation.parameter), place.index, allocation.size});
      } else if (allocation.parameter >= 0) {
        place.kind = Place::buffer;
        place.index = static_cast<uint32_t>(allocation.parameter);
      } else if (!allocation.thread_local_) {
        place.kind = Place::temporary;
        place.offset = temporary;
        temporary += (allocation.size + kAlignment - 1) / kAlignment * kAlignment;
        if (temporary > limits_.temporaries) refuse("large: needs " + std::to_string(temporary) + " bytes to work in");
      }
    }
    program_.temporary_bytes_ = temporary;
  }

  uint32_t argument(const Slice& slice) {
    if (program_.arguments_.size() >= kMaxArguments) refuse("too many operands");
    const auto index = static_cast<uint32_t>(program_.arguments_.size());
    const Place& place = places_[slice.allocation];
    Argument entry{nullptr, static_cast<size_t>(slice.size)};
    switch (place.kind) {
      case Place::constant: entry.data = place.constant_data + slice.offset; break;
      case Place::temporary: program_.temporaries_.push_back({index, place.offset + slice.offset}); break;
      case Place::buffer: program_.patches_.push_back({index, place.index, slice.offset}); break;
      default: refuse("an operand that is nowhere");
    }
    program_.arguments_.push_back(entry);
    return index;
  }

  // A result may not be written to a constant, nor to a parameter that is not donated.
  void check_written(const Slice& slice) {
    const Place& place = places_[slice.allocation];
    if (slice.size == 0) return;
    if (place.kind == Place::constant || (place.kind == Place::buffer && place.index < executable_.parameters.size()))
      refuse("a thunk that writes to an argument or constant");
  }

  uint32_t here() const { return static_cast<uint32_t>(program_.ops_.size()); }

  Op& emit(OpCode code, uint32_t a = 0, uint32_t b = 0, uint32_t c = 0) {
    if (program_.ops_.size() >= kMaxOps) refuse("too many thunks");
    program_.ops_.push_back({code, a, b, c, nullptr});
    return program_.ops_.back();
  }

  uint64_t operand_bytes(const Thunk& thunk) const {
    uint64_t total = 0;
    for (const Operand& operand : thunk.operands) total = saturating_add(total, operand.slice.size);
    return total;
  }

  void add_work(const Thunk& thunk, uint64_t trips) {
    program_.work = saturating_add(program_.work, saturating_multiply(operand_bytes(thunk), trips));
  }

  void sequence(const std::vector<Thunk>& thunks, uint64_t trips) {
    for (const Thunk& thunk : thunks) {
      ++program_.n_thunks;
      switch (thunk.kind) {
        case Kind::kernel: kernel(thunk, trips); break;
        case Kind::copy: copy(thunk, trips); break;
        case Kind::call: sequence(thunk.sequences[0], trips); break;
        case Kind::while_: while_loop(thunk, trips); break;
        case Kind::conditional: conditional(thunk, trips); break;
        case Kind::sort: sort(thunk, trips); break;
        case Kind::dot: product(thunk, trips); break;
        case Kind::foreign: foreign(thunk, trips); break;
        case Kind::top_k: top_k(thunk, trips); break;
        default: refuse("a thunk of unknown kind");
      }
    }
  }

  void kernel(const Thunk& thunk, uint64_t trips) {
    void* function = program_.code_.find(thunk.name);
    if (!function) refuse("no kernel " + thunk.name);
    for (size_t i = thunk.n_arguments; i < thunk.operands.size(); ++i) {
      // A kernel made of a whole computation lists what it only reads among its results too.
      bool listed = false;
      for (size_t j = 0; j < thunk.n_arguments; ++j) listed |= thunk.operands[j].slice == thunk.operands[i].slice;
      if (!listed) check_written(thunk.operands[i].slice);
    }
    const auto first = static_cast<uint32_t>(program_.arguments_.size());
    for (const Operand& operand : thunk.operands) argument(operand.slice);
    const Dim3 groups{thunk.workgroups[0], thunk.workgroups[1], thunk.workgroups[2]};
    const bool grid = groups.x * groups.y * groups.z != 1;
    if (grid && operand_bytes(thunk) > limits_.grid_work) refuse("large: a kernel of several workgroups");
    const auto frame = static_cast<uint32_t>(program_.frames_.size());
    program_.frames_.push_back({first, static_cast<uint32_t>(thunk.operands.size()), groups});
    emit(grid ? OpCode::kernel_grid : OpCode::kernel, frame).function = function;
    add_work(thunk, trips);
  }

  void copy(const Thunk& thunk, uint64_t trips) {
    check_written(thunk.operands[1].slice);
    const Shape& source = thunk.operands[0].shape;
    const Shape& target = thunk.operands[1].shape;
    const uint32_t from = argument(thunk.operands[0].slice);
    argument(thunk.operands[1].slice);
    add_work(thunk, trips);
    if (source.bytes == 0) return;
    if (source.same_layout(target)) {
      emit(OpCode::copy, from);
      return;
    }
    Relayout relayout;
    relayout.from = from;
    const size_t rank = source.dims.size();
    if (rank > kMaxRank) refuse("a copy of many dimensions");
    uint64_t elements = 1;
    for (int64_t d : source.dims) elements *= static_cast<uint64_t>(d);
    relayout.width = static_cast<uint32_t>(source.bytes / elements);
    std::vector<uint64_t> stride(rank);
    uint64_t step = relayout.width;
    for (size_t i = 0; i < rank; ++i) {
      const size_t d = source.minor(i);
      stride[d] = step;
      step *= static_cast<uint64_t>(source.dims[d]);
    }
    for (size_t i = rank; i-- > 0;) {
      const size_t d = target.minor(i);
      relayout.dims.push_back(static_cast<uint64_t>(target.dims[d]));
      relayout.strides.push_back(stride[d]);
    }
    emit(OpCode::relayout, static_cast<uint32_t>(program_.relayouts_.size()));
    program_.relayouts_.push_back(std::move(relayout));
  }

  void while_loop(const Thunk& thunk, uint64_t trips) {
    if (thunk.trip_count >= 0) {
      const uint32_t counter = program_.n_counters_++;
      emit(OpCode::count, counter, static_cast<uint32_t>(program_.counts_.size()));
      program_.counts_.push_back(thunk.trip_count);
      const uint32_t top = here();
      emit(OpCode::loop, counter);
      sequence(thunk.sequences[1], saturating_multiply(trips, static_cast<uint64_t>(thunk.trip_count)));
      emit(OpCode::jump, top);
      program_.ops_[top].b = here();
      return;
    }
    program_.open_ended = true;
    const uint64_t inner = saturating_multiply(trips, kUnknownTrips);
    const uint32_t top = here();
    sequence(thunk.sequences[0], inner);
    const uint32_t test = here();
    emit(OpCode::unless, argument(thunk.selector));
    sequence(thunk.sequences[1], inner);
    emit(OpCode::jump, top);
    program_.ops_[test].b = here();
  }

  void conditional(const Thunk& thunk, uint64_t trips) {
    const auto n = static_cast<uint32_t>(thunk.sequences.size());
    const auto first = static_cast<uint32_t>(program_.table_.size());
    program_.table_.resize(first + n);
    emit(thunk.selector.size == 1 ? OpCode::choose_bool : OpCode::choose, argument(thunk.selector), first, n);
    std::vector<uint32_t> exits;
    for (uint32_t i = 0; i < n; ++i) {
      program_.table_[first + i] = here();
      sequence(thunk.sequences[i], trips);
      exits.push_back(here());
      emit(OpCode::jump);
    }
    for (uint32_t exit : exits) program_.ops_[exit].a = here();
  }

  void sort(const Thunk& thunk, uint64_t trips) {
    Sort sort;
    sort.comparator = reinterpret_cast<Comparator>(program_.code_.find(thunk.name));
    if (!sort.comparator) refuse("no comparator " + thunk.name);
    const Shape& shape = thunk.operands[0].shape;
    for (size_t i = 0; i < shape.dims.size(); ++i) {
      const auto d = static_cast<int64_t>(i);
      uint64_t& part = d < thunk.dimension ? sort.outer : d > thunk.dimension ? sort.inner : sort.length;
      part *= static_cast<uint64_t>(shape.dims[i]);
    }
    sort.first = static_cast<uint32_t>(program_.arguments_.size());
    sort.count = static_cast<uint32_t>(thunk.operands.size());
    uint32_t widest = 1;
    for (const Operand& operand : thunk.operands) {
      check_written(operand.slice);
      argument(operand.slice);
      const uint64_t elements = sort.outer * sort.length * sort.inner;
      const auto width = static_cast<uint32_t>(elements ? operand.shape.bytes / elements : 1);
      sort.widths.push_back(width);
      if (width > widest) widest = width;
    }
    add_work(thunk, trips);
    if (shape.bytes == 0) return;
    const uint64_t elements = sort.outer * sort.length * sort.inner;
    const bool plain = thunk.direction && sort.count == 1 && sort.inner == 1;
    if (plain) sort.plain_dtype = shape.dtype;
    sort.descending = thunk.direction == 2;
    if (elements > (plain ? limits_.plain_sort : limits_.sort)) refuse("large: a sort of " + std::to_string(elements) + " elements");
    // Two lists of indices and one line of elements.
    program_.scratch_bytes_ = std::max(program_.scratch_bytes_, sort.length * (8 + uint64_t{widest}) + kAlignment);
    if (program_.scratch_bytes_ > limits_.temporaries) refuse("large: a sort");
    emit(OpCode::sort, static_cast<uint32_t>(program_.sorts_.size()));
    program_.sorts_.push_back(std::move(sort));
  }

  void top_k(const Thunk& thunk, uint64_t trips) {
    TopK top_k;
    const Shape& values = thunk.operands[0].shape;
    top_k.rows = static_cast<uint64_t>(values.dims[0]);
    top_k.length = static_cast<uint64_t>(values.dims[1]);
    top_k.count = thunk.count;
    for (size_t i = 1; i < 3; ++i) check_written(thunk.operands[i].slice);
    top_k.first = argument(thunk.operands[0].slice);
    argument(thunk.operands[1].slice);
    argument(thunk.operands[2].slice);
    add_work(thunk, trips);
    program_.scratch_bytes_ = std::max(program_.scratch_bytes_, top_k.length * sizeof(uint32_t));
    if (program_.scratch_bytes_ > limits_.temporaries) refuse("large: a top-k");
    emit(OpCode::top_k, static_cast<uint32_t>(program_.top_ks_.size()));
    program_.top_ks_.push_back(top_k);
  }

  void foreign(const Thunk& thunk, uint64_t trips) {
    ForeignCall call;
    call.handler = find_target(thunk.name);
    if (!call.handler) refuse("a call of " + thunk.name);
    if (thunk.operands.size() > kMaxForeignOperands) refuse("a call with many operands");
    call.attributes = parse_attributes(thunk.attributes);
    call.first = static_cast<uint32_t>(program_.arguments_.size());
    call.n_arguments = static_cast<uint32_t>(thunk.n_arguments);
    int64_t longest = 1;
    for (size_t i = 0; i < thunk.operands.size(); ++i) {
      const Operand& operand = thunk.operands[i];
      if (i >= thunk.n_arguments) check_written(operand.slice);
      argument(operand.slice);
      for (int64_t d : operand.shape.dims) longest = std::max(longest, d);
      call.shapes.push_back(operand.shape);
    }
    // Factorizations do operations for each element of about this number.
    program_.work = saturating_add(
        program_.work, saturating_multiply(saturating_multiply(operand_bytes(thunk) / 4, static_cast<uint64_t>(longest)),
                                           trips));
    emit(OpCode::foreign, static_cast<uint32_t>(program_.foreign_calls_.size()));
    program_.foreign_calls_.push_back(std::move(call));
  }

  // The distance, in elements, between neighbours along each dimension.
  static std::vector<int64_t> strides_of(const Shape& shape) {
    std::vector<int64_t> strides(shape.dims.size());
    int64_t step = 1;
    for (size_t i = 0; i < strides.size(); ++i) {
      const size_t d = shape.minor(i);
      strides[d] = step;
      step *= shape.dims[d];
    }
    return strides;
  }

  // The one dimension that is neither contracted nor a batch's; -1: there is none.
  static int64_t free_dimension(const Thunk& thunk, int side) {
    const Shape& shape = thunk.operands[side].shape;
    std::vector<bool> taken(shape.dims.size());
    for (const auto* list : {&thunk.contracting[side], &thunk.batch[side]}) {
      for (int64_t d : *list) {
        if (d < 0 || static_cast<size_t>(d) >= taken.size() || taken[d]) refuse("a dot of strange dimensions");
        taken[d] = true;
      }
    }
    int64_t found = -1;
    for (size_t d = 0; d < taken.size(); ++d) {
      if (taken[d]) continue;
      if (found >= 0) refuse("a dot of more than one free dimension");
      found = static_cast<int64_t>(d);
    }
    return found;
  }

  void product(const Thunk& thunk, uint64_t trips) {
    if (!products_supported()) refuse("a dot on this processor");
    const Shape& a = thunk.operands[0].shape;
    const Shape& b = thunk.operands[1].shape;
    const Shape& c = thunk.operands[2].shape;
    if (a.dtype != b.dtype || a.dtype != c.dtype || (a.dtype != 11 && a.dtype != 12 && a.dtype != 4))
      refuse("a dot of dtype " + std::to_string(a.dtype));
    if (thunk.contracting[0].size() != 1 || thunk.contracting[1].size() != 1 ||
        thunk.batch[0].size() != thunk.batch[1].size() || thunk.batch[0].size() > kMaxRank)
      refuse("a dot of strange dimensions");
    if (a.bytes == 0 || b.bytes == 0 || c.bytes == 0) refuse("an empty dot");
    const int64_t free_a = free_dimension(thunk, 0), free_b = free_dimension(thunk, 1);
    const auto strides_a = strides_of(a), strides_b = strides_of(b), strides_c = strides_of(c);
    const size_t n_batch = thunk.batch[0].size();
    if (c.dims.size() != n_batch + (free_a >= 0) + (free_b >= 0)) refuse("a dot of another result");
    Product out;
    out.type = a.dtype == 12 ? Product::float64 : a.dtype == 11 ? Product::float32 : Product::int32;
    for (size_t i = 0; i < n_batch; ++i) {
      const int64_t da = thunk.batch[0][i], db = thunk.batch[1][i];
      if (a.dims[da] != b.dims[db] || a.dims[da] != c.dims[i]) refuse("a dot of another result");
      out.batches.push_back({c.dims[i], strides_a[da], strides_b[db], strides_c[i]});
    }
    const int64_t ka = thunk.contracting[0][0], kb = thunk.contracting[1][0];
    if (a.dims[ka] != b.dims[kb]) refuse("a dot of different lengths");
    out.k = a.dims[ka];
    out.a_k = strides_a[ka];
    out.b_k = strides_b[kb];
    int64_t c_n = 1;
    if (free_a >= 0) {
      if (c.dims[n_batch] != a.dims[free_a]) refuse("a dot of another result");
      out.m = a.dims[free_a];
      out.a_m = strides_a[free_a];
      out.c_m = strides_c[n_batch];
    }
    if (free_b >= 0) {
      if (c.dims.back() != b.dims[free_b]) refuse("a dot of another result");
      out.n = b.dims[free_b];
      out.b_n = strides_b[free_b];
      c_n = strides_c.back();
    }
    for (size_t i = 0; i < 2; ++i) check_written_apart(thunk.operands[i].slice, thunk.operands[2].slice);
    check_written(thunk.operands[2].slice);
    out.a = argument(thunk.operands[0].slice);
    out.b = argument(thunk.operands[1].slice);
    out.c = argument(thunk.operands[2].slice);
    if (out.n > 1 && c_n != 1) {
      // The transposed product, whose result is contiguous along its rows.
      if (out.m > 1 && out.c_m != 1) refuse("a dot to another layout");
      std::swap(out.a, out.b);
      std::swap(out.m, out.n);
      std::swap(out.a_m, out.b_n);
      std::swap(out.a_k, out.b_k);
      out.c_m = c_n;
      for (auto& batch : out.batches) std::swap(batch.a, batch.b);
    }
    uint64_t multiplications = 1;
    for (const auto& batch : out.batches)
      multiplications = saturating_multiply(multiplications, static_cast<uint64_t>(batch.size));
    for (int64_t size : {out.m, out.n, out.k})
      multiplications = saturating_multiply(multiplications, static_cast<uint64_t>(size));
    if (multiplications > (out.type == Product::int32 ? limits_.integer_product : limits_.product))
      refuse("large: a product of " + std::to_string(multiplications) + " multiplications");
    add_work(thunk, trips);
    program_.work = saturating_add(program_.work, saturating_multiply(multiplications / 2, trips));
    program_.scratch_bytes_ = std::max<uint64_t>(program_.scratch_bytes_, out.scratch_bytes() + kAlignment);
    emit(OpCode::product, static_cast<uint32_t>(program_.products_.size()));
    program_.products_.push_back(std::move(out));
  }

  // A product writes its result while it still reads its operands.
  static void check_written_apart(const Slice& read, const Slice& written) {
    if (read.allocation == written.allocation && read.offset < written.offset + written.size &&
        written.offset < read.offset + read.size)
      refuse("a dot in place");
  }

  const Executable& executable_;
  const Limits& limits_;
  Program& program_;
  std::vector<Place> places_;
};

Program* Program::load(const uint8_t* bytes, size_t size, const Limits& limits, std::string& reason) noexcept {
  try {
#if defined(__x86_64__) && defined(__linux__)
    const Executable executable = parse({bytes, size});
    std::unique_ptr<Program> program(new Program());
    Planner(executable, limits, *program).plan();
    return program.release();
#else
    reason = "this platform";
#endif
  } catch (const std::exception& error) {
    try {
      reason = error.what();
    } catch (...) {
    }
  }
  return nullptr;
}

}  // namespace cyxla::native
