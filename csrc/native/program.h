// An executable ready to run in this process: its thunks as bytecode, its code loaded, its constants in place.
// load() never throws; a Program does not change after it, so that any number of threads run it, each in a Context.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "native/elf.h"
#include "native/foreign.h"
#include "native/format.h"
#include "native/product.h"

namespace cyxla::native {

// The call frame of XLA:CPU kernels.
struct Dim3 {
  uint64_t x, y, z;
};
struct Argument {
  void* data;
  size_t bytes;
};
struct Frame {
  const Dim3* workgroups;
  const Dim3* workgroup_id;
  size_t n_arguments;
  const Argument* arguments;
};
using Kernel = void* (*)(const Frame*);
using Comparator = void (*)(void* result, const void* options, const void** operands, const void** table, void* status,
                            int64_t* counters);

struct FreeAligned {
  void operator()(void* memory) const;
};
using AlignedMemory = std::unique_ptr<uint8_t, FreeAligned>;
AlignedMemory allocate_aligned(size_t size);  // throws std::bad_alloc

// What one running call needs for itself: argument tables, temporaries, loop counters.
struct Context {
  std::vector<Argument> arguments;
  std::vector<Frame> frames;
  std::vector<int64_t> counters;
  AlignedMemory temporaries;
  AlignedMemory scratch;
  char message[kMessageBytes] = {};  // of the function that reported an error
  Context* next = nullptr;
};

enum class OpCode : uint32_t {
  kernel,       // frame a
  kernel_grid,  // frame a, all its workgroups one after the other
  copy,         // argument a to argument a + 1
  relayout,     // the same to another order of the dimensions: relayouts[a]
  count,        // counter a = table[b]
  loop,         // if counter a is zero jump to b, else decrement it
  jump,         // to a
  unless,       // jump to b if the bool in argument a is false
  choose,       // jump to table[b + i], i of c: the int32 in argument a
  choose_bool,  // jump to table[b] if the bool in argument a is true, else to table[b + 1]
  sort,         // sorts[a]
  product,      // products[a]
  foreign,      // foreign_calls[a]
  top_k,        // top_ks[a]
  end,
};

struct Op {
  OpCode code;
  uint32_t a = 0, b = 0, c = 0;
  void* function = nullptr;
};

struct Sort {
  uint32_t first = 0;  // its arrays are the arguments first...
  uint32_t count = 0;
  std::vector<uint32_t> widths;
  uint64_t outer = 1, length = 1, inner = 1;
  Comparator comparator = nullptr;
  int plain_dtype = 0;  // integers by themselves are sorted without asking the comparator
  bool descending = false;
};

// The largest `count` of each row, in order, and where they are.
struct TopK {
  uint32_t first = 0;  // arguments: the values, then the results
  uint64_t rows = 0, length = 0, count = 0;
};

// A copy between arrays of one shape and different layouts: destination in order, the source by strides.
struct Relayout {
  uint32_t from = 0;  // argument; the destination is the one after it
  uint32_t width = 1;
  std::vector<uint64_t> dims;     // of the destination, outermost first
  std::vector<uint64_t> strides;  // of the source, in bytes
};

struct Limits {
  uint64_t work = uint64_t{1} << 20;         // bytes that the thunks of a call read and write
  uint64_t grid_work = uint64_t{1} << 17;    // the same for a kernel that XLA would spread over threads
  uint64_t temporaries = uint64_t{1} << 24;  // bytes
  uint64_t sort = 4096;                      // elements
  uint64_t plain_sort = uint64_t{1} << 15;   // the same for integers by themselves
  uint64_t product = uint64_t{1} << 18;      // multiplications of one matrix product
  uint64_t integer_product = uint64_t{1} << 15;
};

class Program {
 public:
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // nullptr, and the reason, for a program that is not to be run natively.
  static Program* load(const uint8_t* bytes, size_t size, const Limits& limits, std::string& reason) noexcept;

  // Contexts are taken and given back by holders of one lock (Python's); nullptr where there is no memory.
  Context* acquire() noexcept;
  void release(Context* context) noexcept;

  // `buffers`: the parameters, then the outputs, all aligned to 64 bytes and of the sizes the program says.
  // False if a kernel or a function reported an error; context.message then says more, or nothing.
  bool run(Context& context, void* const* buffers) const noexcept;

  // A parameter of which the program turns the contents into an output, in the output's memory: which may be the
  // parameter's own, and is filled with a copy where it is not.
  struct Donation {
    uint32_t from, to;  // buffers
    uint64_t bytes;
  };

  std::vector<Shape> parameters;
  std::vector<Shape> outputs;
  std::vector<Donation> donations;
  uint64_t work = 0;
  bool open_ended = false;  // has a loop whose trip count is not known
  size_t n_thunks = 0;

 private:
  friend class Planner;
  Program() = default;

  struct Patch {
    uint32_t argument;
    uint32_t buffer;
    uint64_t offset;
  };
  struct FramePlan {
    uint32_t first;
    uint32_t count;
    Dim3 workgroups;
  };
  struct Temporary {
    uint32_t argument;
    uint64_t offset;
  };

  Context* make_context() const;
  void run_relayout(const Relayout& relayout, const Argument* arguments) const;
  void run_sort(const Sort& sort, Context& context) const;
  void run_plain_sort(const Sort& sort, Context& context) const;
  void run_top_k(const TopK& top_k, Context& context) const;

  Code code_;
  std::vector<Op> ops_;
  std::vector<uint32_t> table_;
  std::vector<int64_t> counts_;
  std::vector<Argument> arguments_;  // with constants in place, the rest to be filled in
  std::vector<Patch> patches_;
  std::vector<Temporary> temporaries_;
  std::vector<FramePlan> frames_;
  std::vector<Sort> sorts_;
  std::vector<Relayout> relayouts_;
  std::vector<Product> products_;
  std::vector<ForeignCall> foreign_calls_;
  std::vector<TopK> top_ks_;
  std::vector<AlignedMemory> constants_;
  uint64_t temporary_bytes_ = 0;
  uint64_t scratch_bytes_ = 0;
  uint32_t n_counters_ = 0;
  Context* free_ = nullptr;
};

}  // namespace cyxla::native
