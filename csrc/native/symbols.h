// The functions of libm and libc that compiled kernels call, in the versions that jaxlib itself is linked against:
// glibc's older `log` and its default one return NaNs of different signs.
#pragma once

#include <string>

namespace cyxla::native {

// The address of a function that kernels may call, or nullptr: not a known one, or jaxlib does not import it.
void* runtime_symbol(const std::string& name);

}  // namespace cyxla::native
