// Memory for arrays: aligned to 64 bytes, kept in lists by size when freed, so that a call's results cost no malloc.
// Not locked: used by holders of Python's lock only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cyxla::native {

constexpr size_t kAlignment = 64;

// From the system, without lists; nullptr where there is no memory. `size` may be 0.
void* aligned_allocate(size_t size);
void aligned_free(void* memory);

// nullptr where there is no memory. `size` may be 0.
void* pool_allocate(size_t size);
void pool_free(void* memory, size_t size);
// Bytes in the lists, waiting to be used again.
size_t pool_idle_bytes();
void pool_trim();

}  // namespace cyxla::native
