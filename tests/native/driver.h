// What the C++ programs of this folder need to run compiled programs without jaxlib: a library that is linked against
// libm as jaxlib is (libm.cpp), and stand-ins for its LAPACK kernels.
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "native/foreign.h"

namespace driver {

// The parts of XLA's frame of a call that the stand-ins read.
struct Buffer {
  size_t struct_size;
  void* extensions;
  int dtype;
  void* data;
  int64_t rank;
  const int64_t* dims;

  size_t bytes() const {
    size_t n = dtype == 12 ? 8 : 4;  // float64, else float32 or int32
    for (int64_t i = 0; i < rank; ++i) n *= static_cast<size_t>(dims[i]);
    return n;
  }
};
struct Buffers {
  size_t struct_size;
  void* extensions;
  int64_t size;
  const int* types;
  Buffer* const* buffers;
};
struct Frame {
  size_t struct_size;
  void** extensions;
  const void* api;
  void* context;
  int stage;
  Buffers arguments, results;
};

// Asked for it, says which version of the interface it speaks (0.3); called, writes a function of its arguments.
inline void* stand_in(Frame* frame) {
  if (frame->extensions) {
    auto* metadata = static_cast<uint8_t*>(frame->extensions[3]);
    const int version[2] = {0, 3};
    std::memcpy(metadata + 24, version, sizeof version);
    return nullptr;
  }
  float sum = 0;
  for (int64_t i = 0; i < frame->arguments.size; ++i) {
    const Buffer& buffer = *frame->arguments.buffers[i];
    for (size_t at = 0; at + 4 <= buffer.bytes(); at += 4) {
      float value;
      std::memcpy(&value, static_cast<uint8_t*>(buffer.data) + at, 4);
      sum += value;
    }
  }
  for (int64_t i = 0; i < frame->results.size; ++i) {
    const Buffer& buffer = *frame->results.buffers[i];
    for (size_t at = 0; at + 4 <= buffer.bytes(); at += 4) {
      const float value = buffer.dtype == 4 ? 0 : sum + static_cast<float>(at);
      std::memcpy(static_cast<uint8_t*>(buffer.data) + at, &value, 4);
    }
  }
  return nullptr;
}

inline bool prepare(const char* libm) {
  if (!dlopen(libm, RTLD_NOW | RTLD_GLOBAL)) {
    std::puts(dlerror());
    return false;
  }
  for (const char* name : {"lapack_spotrf_ffi", "lapack_sgeev_ffi", "lapack_ssyevd_ffi", "lapack_sgetrf_ffi"})
    if (!cyxla::native::register_target(name, reinterpret_cast<void*>(stand_in))) return false;
  return true;
}

inline std::vector<uint8_t> read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace driver
