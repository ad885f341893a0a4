// Sizes up to 64 KiB are rounded up to powers of two, each with a list of free blocks of bounded length; larger
// blocks come from the system's allocator and go back to it.
#include "native/pool.h"

#include <cstdlib>

#ifdef _WIN32
#include <malloc.h>
#endif

namespace cyxla::native {
namespace {

constexpr int kMinShift = 6;
constexpr int kMaxShift = 16;
constexpr size_t kListBytes = size_t{1} << 20;  // at most so much idle in one list

struct Block {
  Block* next;
};
struct List {
  Block* first = nullptr;
  size_t bytes = 0;
};
List lists[kMaxShift - kMinShift + 1];

inline int size_class(size_t size) {
  int index = 0;
  while (size > (size_t{1} << (index + kMinShift))) ++index;
  return index;
}

}  // namespace

void* aligned_allocate(size_t size) {
  if (size > SIZE_MAX - kAlignment) return nullptr;
  const size_t rounded = size ? (size + kAlignment - 1) / kAlignment * kAlignment : kAlignment;
#ifdef _WIN32
  return _aligned_malloc(rounded, kAlignment);
#else
  return std::aligned_alloc(kAlignment, rounded);
#endif
}

void aligned_free(void* memory) {
#ifdef _WIN32
  _aligned_free(memory);
#else
  std::free(memory);
#endif
}

void* pool_allocate(size_t size) {
  if (size > (size_t{1} << kMaxShift)) return aligned_allocate(size);
  const int index = size_class(size);
  List& list = lists[index];
  const size_t rounded = size_t{1} << (index + kMinShift);
  if (Block* block = list.first) {
    list.first = block->next;
    list.bytes -= rounded;
    return block;
  }
  return aligned_allocate(rounded);
}

void pool_free(void* memory, size_t size) {
  if (!memory) return;
  if (size <= (size_t{1} << kMaxShift)) {
    const int index = size_class(size);
    List& list = lists[index];
    const size_t rounded = size_t{1} << (index + kMinShift);
    if (list.bytes + rounded <= kListBytes) {
      auto* block = static_cast<Block*>(memory);
      block->next = list.first;
      list.first = block;
      list.bytes += rounded;
      return;
    }
  }
  aligned_free(memory);
}

size_t pool_idle_bytes() {
  size_t total = 0;
  for (const List& list : lists) total += list.bytes;
  return total;
}

void pool_trim() {
  for (List& list : lists) {
    while (Block* block = list.first) {
      list.first = block->next;
      aligned_free(block);
    }
    list.bytes = 0;
  }
}

}  // namespace cyxla::native
