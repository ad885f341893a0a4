// An operation on arrays of known shapes, ready to run: what `plan` makes of an operation's name and its parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "host/dtypes.h"

namespace cyxla::host {

using Ints = std::vector<int64_t>;

struct Array {
  DType dtype;
  Ints shape;
  int64_t count() const {
    int64_t n = 1;
    for (int64_t size : shape) n *= size;
    return n;
  }
  int64_t bytes() const { return count() * width_of(dtype); }
};

// Operands are dense and row-major, and so are the results; no result overlaps an operand.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual void run(const void* const* operands, void* const* results) const = 0;
};

// What the maker of an operation is given. The meaning of `ints` is the operation's own: see the comments at the tables.
struct Request {
  std::vector<Array> operands;
  std::vector<Array> results;
  std::vector<Ints> ints;
};

using Made = std::unique_ptr<Operation>;

struct Row {
  const char* name;
  Made (*make)(const Request&);
};

// The tables, by family, each ended by a row without a name.
extern const Row kUnary[], kBinary[], kSelection[], kMovement[], kReduction[], kIndexing[];

// The operation, or null where there is none of that name, for those types or with those parameters. Every access that
// running it will make has been checked against the shapes.
Operation* plan(const std::string& name, const Request& request);

// Whether the kernels run on this machine, and have XLA's results there.
bool supported();

}  // namespace cyxla::host
