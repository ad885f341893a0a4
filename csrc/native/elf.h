// Loads the relocatable x86-64 object files of an executable into memory that is executable or writable, never both.
// Everything read from an object is checked against its size; unknown sections and relocations are refused.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "native/wire.h"

namespace cyxla::native {

class Code {
 public:
  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code();

  // Throws Refusal. To be called once.
  void load(const std::vector<Span>& objects);
  // The address of a function, or nullptr.
  void* find(const std::string& name) const;

 private:
  uint8_t* memory_ = nullptr;
  size_t size_ = 0;
  std::unordered_map<std::string, void*> functions_;
};

}  // namespace cyxla::native
