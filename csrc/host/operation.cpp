// Finds the maker of an operation by its name.
#include "host/operation.h"

#include <map>

#include "host/flush.h"

namespace cyxla::host {
namespace {

using Makers = std::map<std::string, Made (*)(const Request&)>;

Makers collect() {
  Makers makers;
  for (const Row* table : {kUnary, kBinary, kSelection, kMovement, kReduction, kIndexing}) {
    for (; table->name; ++table) makers[table->name] = table->make;
  }
  return makers;
}

bool is_sane(const Array& array) {
  int64_t bytes = width_of(array.dtype);
  for (int64_t size : array.shape) {
    if (size < 0 || (size && bytes > (int64_t{1} << 40) / size)) return false;
    if (size) bytes *= size;
  }
  return true;
}

}  // namespace

Operation* plan(const std::string& name, const Request& request) {
  static const Makers makers = collect();
  for (const Array& array : request.operands) {
    if (!is_sane(array)) return nullptr;
  }
  for (const Array& array : request.results) {
    if (!is_sane(array)) return nullptr;
  }
  const auto found = makers.find(name);
  return found == makers.end() || request.results.empty() ? nullptr : found->second(request).release();
}

bool supported() {
#if CYXLA_HOST_KERNELS
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
#else
  return false;
#endif
}

}  // namespace cyxla::host
