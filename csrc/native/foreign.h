// Calls of functions that XLA knows by name, jaxlib's LAPACK kernels among them, through XLA's typed foreign function
// interface. Only what such a call needs to execute: no state, no streams, no thread pool, no futures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "native/format.h"

namespace cyxla::native {

struct Argument;

constexpr size_t kMaxForeignOperands = 16;
constexpr size_t kMaxForeignAttributes = 16;
constexpr size_t kMessageBytes = 240;

struct Attribute {
  std::string name;
  int dtype = 0;       // xla::PrimitiveType
  uint64_t value = 0;  // in its first bytes
};

struct ForeignCall {
  void* handler = nullptr;
  uint32_t first = 0;  // its arguments, then its results, are the arguments first...
  uint32_t n_arguments = 0;
  std::vector<Shape> shapes;
  std::vector<Attribute> attributes;  // sorted by name

  // False, and why, where the function reports an error.
  bool run(const Argument* arguments, char (&message)[kMessageBytes]) const noexcept;
};

// The scalars of an MLIR dictionary such as `{lower = true, uplo = 76 : ui8}`; throws Refusal for anything else.
std::vector<Attribute> parse_attributes(std::string_view text);

// Makes a function known by the name that programs have for it; false if it speaks another version of the interface.
bool register_target(const char* name, void* handler) noexcept;
void* find_target(const std::string& name);  // nullptr: not registered

}  // namespace cyxla::native
