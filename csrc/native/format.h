// What a serialized XLA:CPU executable says: buffers, thunks, object files, and the shapes of arguments and results.
// parse() checks that every reference is in bounds; what it does not know it refuses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "native/wire.h"

namespace cyxla::native {

struct Shape {
  int dtype = 0;                        // xla::PrimitiveType
  std::vector<int64_t> dims;
  std::vector<int64_t> minor_to_major;  // empty: row-major
  bool plain = true;                    // row-major, dense, nothing dynamic
  size_t bytes = 0;

  bool same_layout(const Shape& other) const {
    return dtype == other.dtype && dims == other.dims && minor_to_major == other.minor_to_major;
  }
  // The dimension that is the i-th fastest to vary.
  size_t minor(size_t i) const {
    return minor_to_major.empty() ? dims.size() - 1 - i : static_cast<size_t>(minor_to_major[i]);
  }
};

struct Slice {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t allocation = 0;
  int dtype = 0;                        // 0: not said

  bool operator==(const Slice& other) const {
    return offset == other.offset && size == other.size && allocation == other.allocation;
  }
};

constexpr size_t kMaxRank = 16;

struct Operand {
  Slice slice;
  Shape shape;
};

struct Allocation {
  uint64_t size = 0;
  bool thread_local_ = false;
  int64_t parameter = -1;
  int64_t output = -1;
  bool constant = false;
  std::vector<uint8_t> value;           // of a constant
};

enum class Kind { kernel, copy, call, while_, conditional, sort, dot, top_k, foreign };

struct Thunk {
  Kind kind = Kind::kernel;
  std::string name;                     // kernel, comparator, foreign function
  std::string attributes;               // of a foreign call, as MLIR prints them
  uint64_t workgroups[3] = {1, 1, 1};
  std::vector<Operand> operands;        // arguments, then results
  size_t n_arguments = 0;
  std::vector<std::vector<Thunk>> sequences;  // while: condition, body
  Slice selector;                       // while: the condition's result; conditional: the branch index
  int64_t trip_count = -1;              // -1: not known
  int64_t dimension = 0;                // sort
  int direction = 0;                    // sort: 1 by <, 2 by >, 0: only the comparator knows
  uint64_t count = 0;                   // top-k: how many of each row
  std::vector<int64_t> contracting[2];  // dot: dimensions of its two operands
  std::vector<int64_t> batch[2];
  int64_t instruction = -1;             // the fusion that says what a step for one of XLA's libraries computes
};

struct Executable {
  std::vector<Allocation> allocations;
  std::vector<Shape> parameters;
  std::vector<Shape> outputs;
  std::vector<Thunk> thunks;
  std::vector<Span> objects;            // into the serialized bytes
};

// Throws Refusal.
Executable parse(Span serialized);

}  // namespace cyxla::native
